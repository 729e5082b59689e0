//! What the README says of systemd, done with a real one.

use std::fs;

use crate::blocks::{Class, sections};
use crate::common::{Room, eventually, fixture, free_port};
use crate::harness::{Kind, Supervisor};
use crate::pages::{fits, plain};
use crate::{repository, skip_unless, text};

#[test]
fn the_unit_of_the_readme_runs_under_a_real_systemd() {
    let missing = Kind::Systemd.missing();
    skip_unless!(missing.is_none(), "systemd: {}", missing.unwrap_or_default());
    let (room, port) = (Room::outside_tmp(), free_port().to_string());
    let here = |text: &str| text.replace("/srv/hello", room.path().to_str().expect("a path")).replace("8787", &port);
    room.file("forerun.toml", &here(&text("examples/forerun.toml")));
    fs::copy(repository("examples/hello.rs"), room.path().join("hello.rs")).expect("copied");
    // root of the private machine may have no Rust.
    fs::copy(fixture().with_file_name("hello"), room.path().join("hello")).expect("copied");
    let systemd = Supervisor::boot(Kind::Systemd, &room, &[]);

    let all = sections("README.md", &text("README.md"));
    let block = all.iter().flatten().find(|block| block.class == Class::Machine).expect("a block");
    let (typed, shown) = block.text.split_once('\n').expect("a line");
    // The folder may have a blank in its path.
    let words = typed.strip_prefix("$ sudo forerun ").expect("forerun").split(' ').map(here);
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let installed = systemd.forerun(&room, &words).expect_code(0);
    let shown = &here(shown);
    let lines = |text: &str| text.lines().map(plain).collect::<Vec<_>>();
    let said = format!("{}{}", installed.stderr, installed.stdout);
    assert!(fits(&lines(shown), &lines(&said)), "expected:\n{shown}\nfound:\n{said}");

    // Its main process is the server, also after it was killed.
    let is_the_server = |pid: i32| {
        let words = fs::read(systemd.proc(pid, "cmdline")).unwrap_or_default();
        words.starts_with(b"./hello\0")
    };
    let first = systemd.pid("hello").expect("a pid");
    assert!(is_the_server(first), "{first}");
    systemd.kill(first);
    eventually("another server", || systemd.pid("hello").is_some_and(|pid| pid != first && is_the_server(pid)));
    eventually("it is active", || systemd.property("hello", "ActiveState") == "active");
}
