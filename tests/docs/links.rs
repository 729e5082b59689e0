//! Links and flags: each link leads somewhere, each flag is in the reference, and no page names one that is not there.

use std::collections::BTreeSet;

use crate::common::Room;
use crate::pages::PAGES;
use crate::{repository, text};

/// The anchors of a page, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let text = text(page);
    let mut is_code = false;
    let headings = text.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The targets of the links of a page, pictures too.
fn targets(text: &str) -> Vec<String> {
    let parts = text.split("](").skip(1);
    parts.filter_map(|part| Some(part.split_once(')')?.0.to_owned())).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for page in PAGES {
        for target in targets(&text(page)).iter().filter(|target| !target.starts_with("http")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
            let mut path = if file.is_empty() { page.to_owned() } else { format!("{folder}/{file}") };
            while let Some(at) = path.find("/../") {
                let above = path[..at].rfind('/').map_or(0, |slash| slash + 1);
                path.replace_range(above..at + 4, "");
            }
            let path = path.trim_start_matches('/');
            assert!(repository(path).exists(), "{page}: {target} leads nowhere");
            assert!(anchor.is_empty() || anchors(path).contains(anchor), "{page}: no heading is {target}");
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

const SUBCOMMANDS: [&str; 13] = [
    "check",
    "status",
    "stop",
    "restart",
    "reload",
    "logs",
    "fds",
    "unit",
    "doctor",
    "man",
    "schema",
    "completions",
    "forget",
];

/// The long flags in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
}

/// Flags of other programs that our pages name.
const OTHERS: [&str; 4] = ["--test", "--daemon", "--no-daemon", "--init"];

#[test]
fn the_reference_has_every_flag_and_no_page_one_that_is_not_there() {
    let room = Room::new();
    let mut known = flags(&room.run(&["--help"]).expect_code(0).stdout);
    for name in SUBCOMMANDS {
        known.extend(flags(&room.run(&[name, "--help"]).expect_code(0).stdout));
    }
    let reference = text("docs/reference.md");
    let there = flags(&reference);
    let missing: Vec<_> = known.difference(&there).collect();
    assert!(missing.is_empty(), "not in docs/reference.md: {missing:?}");
    for name in SUBCOMMANDS {
        assert!(reference.contains(&format!("forerun {name}")), "{name} is not in docs/reference.md");
    }
    for page in PAGES {
        // A block that forerun runs says itself what it does not know; this is about the text.
        let mut is_code = false;
        let prose: String = text(page)
            .lines()
            .filter(|line| {
                is_code ^= line.starts_with("```");
                !is_code
            })
            .collect::<Vec<_>>()
            .join("\n");
        let unknown: Vec<_> =
            flags(&prose).into_iter().filter(|f| !known.contains(f) && !OTHERS.contains(&f.as_str())).collect();
        assert!(unknown.is_empty(), "{page}: forerun has no {unknown:?}");
    }
}

/// The keys of a table of forerun.toml, as src/service/file.rs has them.
fn keys(table: &str) -> Vec<String> {
    let source = text("src/service/file.rs");
    let (_, behind) = source.split_once(&format!("struct {table} {{")).expect("the table");
    let (fields, _) = behind.split_once("\n}").expect("its end");
    // What is skipped is no key.
    let fields = fields.split("\n    #[serde(skip)]\n    pub ").enumerate();
    let keys = fields.map(|(at, part)| if at == 0 { part } else { part.split_once('\n').map_or("", |(_, rest)| rest) });
    let names = keys.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
    names.map(|(name, _)| name.replace('_', "-")).collect()
}

#[test]
fn the_reference_has_every_key_of_the_file() {
    let reference = text("docs/reference.md");
    let (_, section) = reference.split_once("\n## 4. forerun.toml\n").expect("the section");
    let (section, _) = section.split_once("\n## 5. ").expect("its end");
    let mut count = 0;
    for key in ["File", "CheckTable", "Limits", "WatchTable"].into_iter().flat_map(keys) {
        let forms = [format!("\n{key} ="), format!("\n{key}   ="), format!("`{key} ="), format!("[{key}]")];
        assert!(forms.iter().any(|form| section.contains(form)), "'{key}' is not in section 4 of docs/reference.md");
        count += 1;
    }
    assert!(count > 35, "{count}");
}
