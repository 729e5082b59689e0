//! The pages: each block of each does what it says.

use crate::blocks::{Block, Class, sections};
use crate::common::done;
use crate::place::Place;
use crate::{machine, repository, text};

/// All of them.
pub const PAGES: [&str; 15] = [
    "README.md",
    "docs/README.md",
    "docs/env-files.md",
    "docs/figures.md",
    "docs/how-it-works.md",
    "docs/moving-in.md",
    "docs/quick-start.md",
    "docs/recipes.md",
    "docs/recipes/web-ui.md",
    "docs/reference.md",
    "docs/security.md",
    "docs/troubleshooting.md",
    "docs/trust.md",
    "docs/upgrades.md",
    "docs/upgrading-and-removing.md",
];

/// Runs all blocks of a page.
fn run(page: &str) {
    for section in sections(page, &text(page)).iter().filter(|section| !section.is_empty()) {
        let mut place = Place::new();
        for block in section {
            if block.class == (Class::Session { fresh: true }) {
                place = Place::new();
            }
            run_block(&place, block);
        }
    }
}

fn run_block(place: &Place, block: &Block) {
    let at = &block.place;
    match &block.class {
        Class::Run { code } => {
            let ended = place.shell(&place.ours(&block.text));
            assert_eq!(ended.code, Some(*code), "{at}\n{}", ended.stdout);
        }
        Class::Session { .. } => session(place, block),
        Class::Machine => drop(machine::understand(place, &block.text, at)),
        Class::Config => {
            place.write("forerun.toml", &place.ours(&block.text));
            let mut command = place.command(env!("CARGO_BIN_EXE_forerun"));
            command.arg("--dry-run");
            if !block.text.lines().any(|line| line.starts_with("command")) {
                command.args(["--", "true"]);
            }
            let ended = done(&mut command);
            assert_eq!(ended.code, Some(0), "{at}: {}", ended.stderr);
        }
        Class::Starts => assert!(machine::starts(place, &block.text, at) > 0, "{at}: it does not start forerun"),
        Class::File(name) => drop(place.write(name, &place.ours(&block.text))),
        Class::Shown => {
            let typed = block.text.lines().find(|line| line.starts_with("$ ") || line.starts_with("forerun "));
            assert_eq!(typed, None, "{at}: what is typed belongs in a block that is run");
        }
    }
}

/// Runs each line that a person types, and compares what is shown.
fn session(place: &Place, block: &Block) {
    let at = &block.place;
    let text = place.ours(&block.text);
    assert!(text.starts_with("$ "), "{at}: it begins with a line that is typed");
    for exchange in text.split("\n$ ") {
        let exchange = exchange.strip_prefix("$ ").unwrap_or(exchange);
        let (command, shown) = exchange.split_once('\n').unwrap_or((exchange, ""));
        let said = place.shell(command).stdout;
        let said = said.replace(&place.room.state().display().to_string(), "/home/me/.local/state/forerun");
        let said = said.replace(&place.room.path().display().to_string(), "/home/me/web");
        let expected: Vec<_> = shown.lines().map(plain).collect();
        let found: Vec<_> = said.lines().filter(|line| !is_progress(line)).map(plain).collect();
        assert!(fits(&expected, &found), "{at}: {command}\nexpected:\n{shown}\nfound:\n{said}");
    }
}

/// What a slow machine says of a wait, and a fast one does not.
fn is_progress(line: &str) -> bool {
    line.starts_with("forerun: waiting for '") || line.starts_with("forerun: '") && line.contains(" holds after ")
}

/// A line without what differs: numbers, times, the width of columns, and where Python is.
pub fn plain(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let is_time = |word: &str| {
            let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            word.starts_with(|c: char| c.is_ascii_digit()) && ["", "ms", "s", "m", "h", "d"].contains(&unit)
        };
        let bare = word.trim_end_matches([',', ';', ':', ')']).trim_start_matches('(');
        match bare.rsplit_once('/') {
            Some((folder, "python3")) => word.replace(&format!("{folder}/"), ""),
            _ if is_time(bare) => word.replace(bare, "N"),
            _ => word.to_owned(),
        }
    });
    let mut line = words.collect::<Vec<_>>().join(" ");
    while line.contains("N N") {
        line = line.replace("N N", "N");
    }
    line
}

/// Whether the lines are the expected ones, where `...` stands for any number of them, and for the rest of its line.
pub fn fits(expected: &[String], found: &[String]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((first, rest)) if first == "..." => (0..=found.len()).any(|skipped| fits(rest, &found[skipped..])),
        Some((first, rest)) => {
            let is_it = |line: &String| match first.strip_suffix("...") {
                Some(beginning) => line.starts_with(beginning),
                None => line == first,
            };
            found.first().is_some_and(is_it) && fits(rest, &found[1..])
        }
    }
}

macro_rules! pages {
    ($($name:ident: $page:literal,)+) => {
        $(
            #[test]
            fn $name() {
                run($page);
            }
        )+

        #[test]
        fn every_page_is_run() {
            let in_folder = |folder: &'static str| {
                let entries = std::fs::read_dir(repository(folder)).expect("a folder");
                let names = entries.map(|entry| entry.expect("an entry").file_name().to_str().expect("a name").to_owned());
                names.map(move |name| format!("{folder}/{name}")).filter(|name| name.ends_with(".md"))
            };
            let mut there: Vec<String> =
                in_folder("docs").chain(in_folder("docs/recipes")).chain(["README.md".to_owned()]).collect();
            there.sort();
            assert_eq!(there, PAGES);
            assert_eq!([$($page),+], PAGES);
        }
    };
}

pages! {
    the_readme_does_what_it_says: "README.md",
    the_index_does_what_it_says: "docs/README.md",
    env_files_do_what_they_say: "docs/env-files.md",
    figures_do_what_they_say: "docs/figures.md",
    how_it_works_does_what_it_says: "docs/how-it-works.md",
    moving_in_does_what_it_says: "docs/moving-in.md",
    the_quick_start_does_what_it_says: "docs/quick-start.md",
    recipes_do_what_they_say: "docs/recipes.md",
    a_web_ui_moves_in: "docs/recipes/web-ui.md",
    the_reference_does_what_it_says: "docs/reference.md",
    security_does_what_it_says: "docs/security.md",
    troubleshooting_does_what_it_says: "docs/troubleshooting.md",
    trust_does_what_it_says: "docs/trust.md",
    upgrades_do_what_they_say: "docs/upgrades.md",
    upgrading_and_removing_do_what_they_say: "docs/upgrading-and-removing.md",
}

#[test]
fn pages_of_supervisors_do_what_they_say() {
    let pages = std::fs::read_dir(repository("docs/supervisors")).expect("a folder");
    for page in pages.map(|entry| entry.expect("an entry").file_name()) {
        run(&format!("docs/supervisors/{}", page.to_str().expect("a name")));
    }
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let all = sections("README.md", &text("README.md"));
    let first = all.iter().flatten().next().expect("a block");
    assert_eq!(first.class, Class::Run { code: 0 });
    assert_eq!(first.text, "cargo run --release -- --config examples/forerun.toml --detach\ncargo test\n");
    let place = Place::new();
    run_block(&place, first);
    assert_eq!(place.cargo(), first.text);
    let status = place.shell("forerun status hello");
    assert!(status.code == Some(0) && status.stdout.starts_with("hello is running, healthy\n"), "{}", status.stdout);
}

#[test]
fn most_blocks_are_run() {
    let mut counts = std::collections::BTreeMap::new();
    for page in PAGES {
        for block in sections(page, &text(page)).iter().flatten() {
            let kind = match block.class {
                Class::Run { .. } | Class::Session { .. } => "run",
                Class::Config => "read by forerun",
                Class::Machine | Class::Starts => "understood",
                Class::File(_) => "written",
                Class::Shown => "shown",
            };
            *counts.entry(kind).or_insert(0) += 1;
        }
    }
    let count = |kind| counts.get(kind).copied().unwrap_or(0);
    assert!(count("run") > 40 && count("read by forerun") > 15 && count("shown") < 8, "{counts:?}");
    println!("{counts:?}");
}

#[test]
fn a_difference_is_found() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(fits(&lines("a\n...\nb"), &lines("a\nx\ny\nb")) && fits(&lines("..."), &[]));
    assert!(fits(&lines("a b...\nc"), &lines("a b c d\nc")) && !fits(&lines("a b..."), &lines("a c")));
    for found in ["a\nc", "a\nb\nc", "b", ""] {
        assert!(!fits(&lines("a\n...\nb"), &lines(found)), "{found}");
    }
}
