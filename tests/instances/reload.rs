//! reload: the signal goes to main, and health is waited for.

use std::process::Stdio;

use crate::common::process::send;
use crate::common::{Room, alive, done, eventually, free_port};
use crate::{in_foreground, json, number, script, serve};

/// A server that counts its reloads.
const COUNTS: &str = "trap 'echo >> reloads' HUP; trap 'echo >> other' USR1
    echo > up; while :; do sleep 0.01; done";

fn count(room: &Room, name: &str) -> usize {
    std::fs::read_to_string(room.path().join(name)).unwrap_or_default().lines().count()
}

#[test]
fn main_gets_sighup_and_health_is_said() {
    let room = Room::new();
    let server = script(&room, &[], COUNTS);
    let reloaded = room.run(&["reload", "web"]).expect_code(0);
    assert!(reloaded.stdout.starts_with(&format!("reloaded web: pid {server}, healthy after ")), "{}", reloaded.stdout);
    assert_eq!((reloaded.stderr.as_str(), count(&room, "reloads")), ("", 1));
    let again = json(&room.run(&["reload", "web", "--json"]).expect_code(0));
    assert_eq!((number(&again["pid"]), &again["name"]), (server, &"web".into()));
    assert_eq!(again["health"], "exec:test -e up");
    assert_eq!((count(&room, "reloads"), alive(server)), (2, true));
}

#[test]
fn the_signal_is_that_of_the_file_at_the_start() {
    let room = Room::new();
    room.file("forerun.toml", "name = 'web'\n[stop]\nreload-signal = 'USR1'\n");
    script(&room, &[], COUNTS);
    room.run(&["reload"]).expect_code(0);
    assert_eq!((count(&room, "reloads"), count(&room, "other")), (0, 1));
}

#[test]
fn a_server_that_the_signal_would_end_or_not_reach_does_not_get_it() {
    for (text, why) in [
        ("echo > up; exec sleep 300", "it does not handle SIGHUP, which would end it"),
        ("trap '' HUP; echo > up; exec sleep 300", "it ignores SIGHUP"),
    ] {
        let room = Room::new();
        let server = script(&room, &[], text);
        let comm = || std::fs::read_to_string(format!("/proc/{server}/comm")).unwrap_or_default();
        eventually("it is what it will be", || comm() == "sleep\n");
        let refused = room.run(&["reload", "web"]).expect_code(78);
        refused.expect_line(&["cannot reload 'web'", why, "reload-signal", "forerun restart web"]);
        assert!(alive(server));
    }
}

#[test]
fn one_that_ends_over_it_or_gets_sick_exits_1() {
    let room = Room::new();
    let server = script(&room, &[], "trap 'exit 3' HUP; echo > up; while :; do sleep 0.01; done");
    let ended = room.run(&["reload", "web"]).expect_code(1);
    ended.expect_line(&[&format!("'web', pid {server}, ended after SIGHUP"), "server.log"]);

    let room = Room::new();
    let server =
        script(&room, &["--health-timeout", "700ms"], "trap 'rm up' HUP; echo > up; while :; do sleep 0.01; done");
    let sick = room.run(&["reload", "web"]).expect_code(1);
    // A slow machine says before that it waits.
    sick.expect_stderr(&["'web' is not healthy after its reload", "'exec:test -e up' not ready after"]);
    assert!(alive(server));
}

#[test]
fn what_does_not_run_cannot_be_reloaded() {
    let room = Room::new();
    room.run(&["reload", "web"]).expect_code(1).expect_line(&["no service is called 'web'"]);
    serve(&room, free_port(), &[], &[]);
    room.run(&["stop", "web"]).expect_code(0);
    room.run(&["reload", "web"]).expect_code(1).expect_line(&["'web' is not running; start it"]);
}

#[test]
fn without_a_check_it_says_that_nothing_was_checked() {
    let room = Room::new();
    let options = ["--detach", "--name", "web", "--port", "0", "--", "/bin/sh", "-c"];
    done(room.forerun().args(options).arg(COUNTS)).expect_code(0);
    eventually("it is ready", || room.path().join("up").exists());
    let reloaded = room.run(&["reload", "web"]).expect_code(0);
    assert!(reloaded.stdout.ends_with("; nothing checks its health\n"), "{}", reloaded.stdout);
    assert_eq!(count(&room, "reloads"), 1);
}

#[test]
fn one_of_a_supervisor_is_reloaded_too() {
    let room = Room::new();
    room.file("forerun.toml", "[stop]\nreload-signal = 'WINCH'\n");
    let mut forerun = room.forerun();
    let port = free_port();
    let _server = in_foreground(forerun.env("SUPERVISOR_ENABLED", "1"), port, Stdio::null());
    // The fixture does not handle it, which is said. The supervisor is not the reason.
    let refused = room.run(&["reload", "web"]).expect_code(78);
    refused.expect_line(&["it does not handle SIGWINCH"]);
    send(crate::recorded(&room).expect("a pid"), libc::SIGTERM);
}
