//! Checks that speak a protocol, with real servers in each of their states: the check that means it, and the one that
//! does not.

#[path = "../common/mod.rs"]
mod common;

/// What is installed here. Without it the test is skipped.
macro_rules! installed {
    ($found:expr, $what:literal) => {{
        let found = $found;
        skip_unless!(found.is_some(), "{} is not installed", $what);
        let Some(found) = found else { return };
        found
    }};
}

mod certificates;
mod every_kind;
mod grpc;
mod keys;
mod local;
mod mysql;
mod nginx;
mod pace;
mod postgres;
mod proxy;
mod redis;
mod web;

use std::process::{Command, Stdio};

use common::{DEADLINE, Done, Killed, Room, eventually, find, holds_within, text};

/// One attempt of a check, which may have keys.
#[track_caller]
fn attempt(room: &Room, check: &str) -> Done {
    room.run(&["check", "--require", check])
}

#[track_caller]
fn holds(room: &Room, check: &str) {
    let out = attempt(room, check).expect_code(0);
    assert!(out.stdout.starts_with("ok "), "{}{}", out.stdout, out.stderr);
}

/// Asserts that a check fails, and that these words are the reason.
#[track_caller]
fn fails(room: &Room, check: &str, reason: &str) {
    let out = attempt(room, check).expect_code(78);
    assert!(out.stdout.starts_with("FAILED ") && out.stdout.contains(&format!("  {reason}")), "{}", out.stdout);
    assert_eq!(out.stdout.lines().count(), 1, "{}", out.stdout);
}

/// Asserts that a check comes true.
#[track_caller]
fn comes_true(room: &Room, check: &str) {
    room.run(&["check", "--wait", check]).expect_code(0);
}

/// A wait that goes on beside the test.
fn waiting(room: &Room, check: &str) -> std::process::Child {
    let mut command = room.forerun();
    command.args(["check", "--wait", check, "--wait-timeout", "100s"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned")
}

/// Starts a server in the room. What it says goes to `NAME.log` there.
fn serve(room: &Room, name: &str, command: &mut Command) -> Running {
    let log = std::fs::File::create(room.path().join(format!("{name}.log"))).expect("a log");
    let both = (log.try_clone().expect("a descriptor"), log);
    let child = command.current_dir(room.path()).stdin(Stdio::null()).stdout(both.0).stderr(both.1).spawn();
    Running { child: Killed(child.expect(name)), end: libc::SIGTERM }
}

/// A server that is told to end before it is killed: one with workers ends them.
struct Running {
    child: Killed,
    end: libc::c_int,
}

impl Running {
    fn told_with(mut self, signal: libc::c_int) -> Self {
        self.end = signal;
        self
    }

    fn pid(&self) -> i32 {
        self.child.pid()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.is_well() {
            common::process::send(self.child.pid(), self.end);
        }
        holds_within(DEADLINE, || !self.child.is_well());
    }
}

/// Waits until the server says this in its log.
#[track_caller]
fn says(room: &Room, name: &str, words: &str) {
    let log = room.path().join(format!("{name}.log"));
    eventually(words, || std::fs::read(&log).is_ok_and(|log| String::from_utf8_lossy(&log).contains(words)));
}
