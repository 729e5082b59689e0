//! The picture of the README: docs/picture.py makes it from a real run.

use std::process::Command;

use crate::common::{Room, done, free_port, has};
use crate::{repository, skip_unless, text};

#[test]
fn the_picture_is_made_from_a_real_run() {
    skip_unless!(has("python3"), "no python3");
    skip_unless!(has("runsvdir"), "no runit");
    let room = Room::new();
    let (picture, record) = (room.path().join("loop.svg"), room.path().join("record.json"));
    let mut make = Command::new("python3");
    make.arg(repository("docs/picture.py")).arg(env!("CARGO_BIN_EXE_forerun")).args(["--seconds", "5"]);
    make.args(["--ports", &free_port().to_string(), &free_port().to_string()]);
    // Its own deadline is longer than that of a test: a busy machine takes its time.
    let made = make.arg("--out").arg(&picture).arg("--record").arg(&record).output().expect("spawned");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let seen: serde_json::Value = serde_json::from_slice(&std::fs::read(record).expect("read")).expect("JSON");
    let pids = |run: &str, who: &str| -> Vec<u64> {
        seen[run][who].as_array().expect("a list").iter().filter_map(|span| span[0].as_u64()).collect()
    };
    // What runit watches is the server, and nothing else; it is never the server that the script started.
    assert_eq!(seen["forerun"]["conflicts"], 0, "{seen}");
    let (watched, serves) = (pids("forerun", "watched"), pids("forerun", "serves"));
    assert!(!serves.is_empty() && serves.iter().all(|pid| watched.contains(pid)), "{seen}");
    let (watched, serves) = (pids("script", "watched"), pids("script", "serves"));
    assert!(!serves.is_empty() && !serves.iter().any(|pid| watched.contains(pid)), "{seen}");
    // It starts over and over. How often a server finds the port in use, a slow machine decides.
    assert!(watched.len() > 1 && seen["script"]["conflicts"].is_u64(), "{seen}");
    for picture in [std::fs::read_to_string(picture).expect("read"), text("docs/loop.svg")] {
        let parsed = room.file("picture.svg", &picture);
        let parse = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])";
        done(Command::new("python3").args(["-c", parse]).arg(parsed)).expect_code(0);
        assert!(picture.contains("prefers-color-scheme: dark") && picture.contains("conflicts</text>"));
    }
}
