//! Commands for instances (stop, restart, status, logs, fds) with real servers, from outside and from within.

#[path = "../common/mod.rs"]
mod common;

mod at_once;
mod fds;
mod inside;
mod logs;
mod names;
mod reload;
mod restart;
mod status;
mod stop;
mod stop_remains;
mod supervised;
mod told;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use common::process::{self, in_own_session, pids, send, with_plain_signals};
use common::{Done, Killed, Room, accepts, alive, collect, done, eventually, fixture, holds_within, left};

/// `forerun --detach --name web OPTIONS -- PROGRAM ARGS`.
fn detached(room: &Room, options: &[&str], program: impl AsRef<OsStr>, args: &[&str]) -> Command {
    let mut command = room.forerun();
    command.args(["--detach", "--name", "web"]).args(options).arg("--").arg(program).args(args);
    command
}

/// A fixture that serves on `port`, with a health URL.
fn serving(room: &Room, port: u16, options: &[&str], args: &[&str]) -> Command {
    let url = format!("http://127.0.0.1:{port}/health");
    let all = [&["--health", &url], options].concat();
    detached(room, &all, fixture(), &[&["serve", &port.to_string()], args].concat())
}

/// Starts such a server and returns its pid.
#[track_caller]
fn serve(room: &Room, port: u16, options: &[&str], args: &[&str]) -> i32 {
    pid(&done(&mut serving(room, port, &[&["--json"], options].concat(), args)).expect_code(0))
}

/// A shell script as a server that is ready once it has made the file `up`.
#[track_caller]
fn script(room: &Room, options: &[&str], text: &str) -> i32 {
    let options = [&["--json", "--health", "exec:test -e up"], options].concat();
    pid(&done(&mut detached(room, &options, "/bin/sh", &["-c", text])).expect_code(0))
}

/// A service in the foreground, in its own session and without a terminal. `starter` is forerun or the process that
/// runs it, and `stderr` takes its output. Returns once the server listens.
#[track_caller]
fn in_foreground(starter: &mut Command, port: u16, stderr: impl Into<Stdio>) -> Killed {
    starter.args(["--name", "web", "--port", &port.to_string(), "--"]).arg(fixture());
    starter.args(["serve", &port.to_string(), "--workers", "2"]).stderr(stderr);
    let child = in_own_session(with_plain_signals(starter)).stdin(Stdio::null()).stdout(Stdio::null());
    let owned = Killed(child.spawn().expect("spawned"));
    eventually("it listens", || accepts(port));
    owned
}

/// All processes in the room's folder, even if they overwrote their environment.
fn in_folder(room: &Room) -> Vec<i32> {
    let folder = room.path().canonicalize().expect("a path");
    let is_there = |pid: &i32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&folder));
    pids().into_iter().filter(|pid| is_there(pid) && alive(*pid)).collect()
}

/// Kills all processes in the room's folder at the end, because some servers overwrite their environment.
struct Cleared<'a>(&'a Room);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        in_folder(self.0).into_iter().for_each(|pid| send(pid, libc::SIGKILL));
        holds_within(common::DEADLINE, || in_folder(self.0).is_empty());
    }
}

#[track_caller]
fn json(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", done.stdout, done.stderr))
}

/// The pid of the server that a start with `--json` made or found.
#[track_caller]
fn pid(done: &Done) -> i32 {
    number(&json(done)["pid"])
}

#[track_caller]
fn number(value: &Value) -> i32 {
    value.as_i64().and_then(|number| number.try_into().ok()).unwrap_or_else(|| panic!("no number: {value}"))
}

/// The pid in the record.
fn recorded(room: &Room) -> Option<i32> {
    let text = std::fs::read(room.state().join("web/record.json")).ok()?;
    serde_json::from_slice::<Value>(&text).ok()?["process"]["pid"].as_i64()?.try_into().ok()
}

/// A pid that the fixture wrote to a file.
#[track_caller]
fn pid_in(path: PathBuf) -> i32 {
    process::appears(&path).trim().parse().expect("a pid")
}

/// Kills only this process, and waits for its end.
#[track_caller]
fn kill(pid: i32) {
    send(pid, libc::SIGKILL);
    eventually("it is gone", || !alive(pid));
}

/// Suspends a process and waits until it is suspended. Otherwise SIGTERM would overtake the signal.
#[track_caller]
fn suspend(pid: i32) {
    send(pid, libc::SIGSTOP);
    eventually("it is suspended", || process::status(pid, "State").starts_with('T'));
}

/// The names in the state folder of the service.
fn files(room: &Room) -> Vec<String> {
    let entries = std::fs::read_dir(room.state().join("web")).expect("a folder").flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Nothing runs, and no file is left that a start would not make again.
#[track_caller]
fn assert_nothing_left(room: &Room) {
    assert_eq!(left(room), Vec::<i32>::new());
    assert_eq!(files(room), ["lock", "server.log"]);
}

/// Spawns a command that the test does not wait for yet, with the signal dispositions that a terminal would give it.
#[track_caller]
fn begun(command: &mut Command) -> Child {
    with_plain_signals(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned")
}

fn bytes(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}
