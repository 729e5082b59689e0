//! stop, restart and --replace from within the instance that must end: from a shell in a web terminal, or from a hook.

use std::path::Path;

use crate::common::process::{self, children};
use crate::common::{Room, accepts, alive, done, eventually, free_port};
use crate::{assert_nothing_left, files, left, recorded, serve, serving};

/// How the shell scripts here call forerun.
const FORERUN: &str = concat!("'", env!("CARGO_BIN_EXE_forerun"), "'");

/// A server that runs the script `todo` in `place`.
#[track_caller]
fn server(room: &Room, port: u16, place: &str, more: &[&str]) -> i32 {
    let todo = room.path().join("todo").display().to_string();
    serve(room, port, &[], &[&["--workers", "1", "--run", &todo, "--run-in", place], more].concat())
}

/// Lets the server run this.
fn run(room: &Room, text: &str) {
    let whole = format!("rm \"$0\"\n{text}\n");
    std::fs::write(room.path().join("todo.new"), whole).expect("written");
    std::fs::rename(room.path().join("todo.new"), room.path().join("todo")).expect("renamed");
}

/// The content of a file that a script wrote completely.
#[track_caller]
fn code(room: &Room) -> String {
    process::appears(&room.path().join("code")).trim().to_owned()
}

/// A command that records the exit code of the command before it.
const NOTE: &str = "; echo $? > code.new; mv code.new code";

/// Where a server runs the scripts, and how the shell there reacts to the end of its terminal.
const PLACES: [(&str, &str); 5] =
    [("terminal", "trap '' HUP"), ("terminal", "trap : HUP"), ("session", ":"), ("group", ":"), ("here", ":")];

#[test]
fn a_stop_ends_everything_but_what_leads_to_it_and_its_exit_code_arrives() {
    for (place, trap) in PLACES {
        let room = Room::new();
        let port = free_port();
        let pid = server(&room, port, place, &[]);
        run(&room, &format!("{trap}; sleep 300 & {FORERUN} stop web > out 2>&1{NOTE}"));
        assert_eq!(code(&room), "0", "{place}, {trap}: {}", said(&room));
        assert!(!alive(pid) && !accepts(port));
        assert!(
            said(&room).starts_with(&format!("stopped web: pid {pid} and 2 workers, after ")),
            "{place}: {}",
            said(&room)
        );
        eventually("nothing is left", || left(&room).is_empty());
        assert_nothing_left(&room);
    }
}

fn said(room: &Room) -> String {
    std::fs::read_to_string(room.path().join("out")).unwrap_or_default()
}

#[test]
fn a_stop_whose_shell_dies_with_the_terminal_is_finished() {
    let room = Room::new();
    let port = free_port();
    let pid = server(&room, port, "terminal", &[]);
    run(&room, &format!("{FORERUN} stop web"));
    eventually("all of it is gone, with its record", || {
        left(&room).is_empty() && files(&room) == ["lock", "server.log"]
    });
    assert!(!alive(pid) && !accepts(port));
}

#[test]
fn a_stop_on_a_terminal_that_ends_exits_0() {
    let room = Room::new();
    server(&room, free_port(), "terminal", &[]);
    // The output goes nowhere.
    run(&room, &format!("trap '' HUP; {FORERUN} stop web{NOTE}"));
    assert_eq!(code(&room), "0");
    eventually("nothing is left", || left(&room).is_empty());
}

/// The signals with which servers end their children.
const SIGNALS: [&str; 3] = ["1", "15", "9"];

#[test]
fn a_stop_is_finished_though_the_server_kills_its_children() {
    for signal in SIGNALS {
        for place in ["group", "terminal"] {
            let room = Room::new();
            let port = free_port();
            let pid = server(&room, port, place, &["--kills", signal]);
            run(&room, &format!("{FORERUN} stop web"));
            eventually("all of it is gone, with its record", || {
                left(&room).is_empty() && files(&room) == ["lock", "server.log"]
            });
            assert!(!alive(pid) && !accepts(port), "{place}, signal {signal}");
        }
    }
}

/// Waits for a healthy server other than `before`, and until nothing else runs.
#[track_caller]
fn one_new_server(room: &Room, port: u16, before: i32, what: &str) {
    eventually(&format!("a new one: {what}"), || {
        recorded(room).is_some_and(|pid| pid != before && alive(pid)) && room.record("web")["phase"] == "running"
    });
    let pid = recorded(room).expect("a pid");
    assert!(accepts(port) && !alive(before), "{what}");
    let all = || [vec![pid], children(pid)].concat();
    eventually(&format!("there is nothing else: {what}"), || {
        let (mut expected, mut there) = (all(), left(room));
        expected.sort_unstable();
        there.sort_unstable();
        expected == there
    });
    assert_eq!(process::stat(pid, process::SESSION), i64::from(pid), "{what}");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/0")).expect("a link"), Path::new("/dev/null"), "{what}");
    assert_eq!(room.run(&["status", "web"]).code, Some(0), "{what}");
}

#[test]
fn a_restart_makes_one_healthy_new_server_and_its_exit_code_arrives() {
    for (place, trap) in PLACES {
        let room = Room::new();
        let port = free_port();
        let pid = server(&room, port, place, &[]);
        run(&room, &format!("{trap}; {FORERUN} restart web > out 2>&1{NOTE}"));
        assert_eq!(code(&room), "0", "{place}, {trap}: {}", said(&room));
        one_new_server(&room, port, pid, place);
    }
}

#[test]
fn a_restart_is_finished_though_the_server_kills_its_children() {
    for signal in SIGNALS {
        for place in ["group", "terminal"] {
            let room = Room::new();
            let port = free_port();
            let pid = server(&room, port, place, &["--kills", signal]);
            run(&room, &format!("{FORERUN} restart web"));
            one_new_server(&room, port, pid, &format!("{place}, signal {signal}"));
        }
    }
}

#[test]
fn a_replacing_start_makes_one_healthy_new_server() {
    for place in ["terminal", "here"] {
        let room = Room::new();
        let port = free_port();
        let pid = server(&room, port, place, &[]);
        let again = serving(&room, port, &["--replace"], &[]);
        let mut words: Vec<_> = again.get_args().map(|word| word.to_str().expect("UTF-8").to_owned()).collect();
        let todo = room.path().join("todo").display().to_string();
        words.extend(["--workers", "1", "--run", &todo, "--run-in", place].map(str::to_owned));
        let words = words.join("' '");
        run(&room, &format!("trap '' HUP; {FORERUN} '{words}' > out 2>&1{NOTE}"));
        assert_eq!(code(&room), "0", "{place}: {}", said(&room));
        one_new_server(&room, port, pid, place);
    }
}

#[test]
fn a_stop_of_another_instance_from_within_leaves_this_one_alone() {
    let room = Room::new();
    let mut other = room.forerun();
    other.args(["--detach", "--name", "other", "--json", "--", "sleep", "300"]);
    let other = crate::pid(&done(&mut other).expect_code(0));
    let port = free_port();
    let pid = server(&room, port, "terminal", &[]);
    run(&room, &format!("{FORERUN} stop other{NOTE}"));
    assert_eq!(code(&room), "0");
    assert!(!alive(other) && alive(pid) && accepts(port));
}

#[test]
fn a_worker_that_restarts_its_server_ends_last_and_the_port_is_free_for_the_new_one() {
    let room = Room::new();
    let port = free_port();
    let pid = server(&room, port, "worker", &[]);
    let worker = *children(pid).iter().max().expect("a worker");
    run(&room, &format!("{FORERUN} restart web > out 2>&1{NOTE}"));
    one_new_server(&room, port, pid, "worker");
    assert!(!alive(worker), "{}", said(&room));
}

#[test]
fn a_worker_that_stops_its_server_ends_too() {
    let room = Room::new();
    let port = free_port();
    let pid = server(&room, port, "worker", &[]);
    let worker = *children(pid).iter().max().expect("a worker");
    run(&room, &format!("{FORERUN} stop web"));
    eventually("all of it is gone, with its record", || {
        left(&room).is_empty() && files(&room) == ["lock", "server.log"]
    });
    assert!(!alive(pid) && !alive(worker) && !accepts(port));
}
