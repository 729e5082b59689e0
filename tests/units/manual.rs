//! The manual page and the completions.

use std::collections::BTreeSet;
use std::process::Command;

use crate::common::{Room, done, has};
use crate::skip_unless;

const SUBCOMMANDS: [&str; 11] =
    ["check", "status", "stop", "restart", "logs", "fds", "unit", "doctor", "man", "schema", "completions"];

/// The long flags in a help text.
fn flags(help: &str) -> BTreeSet<String> {
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
}

#[test]
fn every_flag_and_every_subcommand_is_in_the_manual_page() {
    let room = Room::new();
    let page = room.run(&["man"]).expect_code(0).stdout;
    let plain = page.replace("\\-", "-");
    let reference = include_str!("../../docs/reference.md");
    let help = room.run(&["--help"]).expect_code(0).stdout;
    for name in SUBCOMMANDS {
        assert!(plain.contains(&format!("forerun {name}")) && help.contains(&format!("\n  {name} ")), "{name}");
        assert!(reference.contains(&format!("forerun {name}")), "{name} is not in the reference");
        let help = room.run(&[name, "--help"]).expect_code(0).stdout;
        assert!(help.contains("Example"), "{name} has no example");
        for flag in flags(&help) {
            assert!(plain.contains(&flag) && (flag == "--help" || reference.contains(&flag)), "{name} {flag}");
        }
    }
    let all = flags(&help);
    assert!(all.len() > 25, "{all:?}");
    for flag in all {
        let is_clap = matches!(flag.as_str(), "--help" | "--version");
        assert!(plain.contains(&flag) && (is_clap || reference.contains(&flag)), "{flag}");
    }
}

#[test]
fn each_manual_page_is_one_that_man_shows_without_a_word() {
    skip_unless!(has("groff"), "no groff");
    let room = Room::new();
    for (page, title) in [("forerun", "forerun(1)"), ("forerun.toml", "forerun.toml(5)")] {
        let file = room.file("page", &room.run(&["man", page]).expect_code(0).stdout);
        let shown = done(Command::new("groff").args(["-man", "-ww", "-Tutf8", "-K", "utf8"]).arg(file)).expect_code(0);
        assert_eq!(shown.stderr, "");
        assert!(shown.stdout.contains(title) && shown.stdout.lines().count() > 150, "{}", shown.stdout);
    }
    room.run(&["man", "forerun.ini"]).expect_code(2).expect_line(&["'forerun.ini'", "forerun.toml"]);
}

#[test]
fn completions_are_understood_by_their_shells() {
    let room = Room::new();
    for shell in ["bash", "zsh", "fish"] {
        let file = room.file(shell, &room.run(&["completions", shell]).expect_code(0).stdout);
        skip_unless!(has(shell), "no {shell}");
        let checked = done(Command::new(shell).arg("-n").arg(&file)).expect_code(0);
        assert_eq!(checked.stderr, "", "{shell}");
    }
    // What a person gets by pressing TAB.
    let script = format!(
        ". {}/bash; COMP_WORDS=(forerun unit systemd --inst); COMP_CWORD=3; _forerun forerun --inst systemd; echo \"${{COMPREPLY[@]}}\"",
        room.path().display()
    );
    let completed = done(Command::new("bash").args(["--norc", "-c", &script])).expect_code(0);
    assert_eq!(completed.stdout, "--install\n", "{}", completed.stderr);
    room.run(&["completions", "tcsh"]).expect_code(2).expect_line(&["'tcsh'", "bash"]);
    room.run(&["completions"]).expect_code(2).expect_line(&["no shell was given", "bash, zsh or fish"]);
}
