//! Launchers that are no init: a start script that starts its server and ends loops under them, and one that calls
//! forerun does not, though it lacks `exec`.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Room, alive, answer, eventually, fixture, free_port, has, left};

const KEEP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/supervisors/keep.sh");

/// A launcher, running in a folder with `./run`.
struct Launcher {
    room: Room,
    port: u16,
    keeper: Child,
}

impl Launcher {
    /// Starts it with the words of its command line. `run` is what the script does after it has noted that it runs.
    fn start(words: &[&str], files: &[(&str, &str)], run: impl Fn(u16) -> String) -> Self {
        let room = Room::outside_tmp();
        let port = free_port();
        let folder = room.path();
        room.executable("run", &format!("#!/bin/sh\necho run >>'{}/runs'\n{}\n", folder.display(), run(port)));
        for (name, text) in files {
            room.file(name, &text.replace("{folder}", folder.to_str().expect("UTF-8")));
        }
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let mut keeper = Command::new("bash");
        keeper.arg(KEEP).arg(format!("FORERUN_STATE_DIR={}", room.state().display())).args(words).current_dir(folder);
        keeper.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
        keeper.env("PM2_HOME", folder.join("pm2"));
        keeper.stdin(Stdio::piped()).stderr(log.try_clone().expect("a log")).stdout(log);
        Launcher { port, keeper: keeper.spawn().expect("bash"), room }
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.room.path().join("runs")).unwrap_or_default().lines().count()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.room.path().join("log")).unwrap_or_default()
    }

    /// Ends it, and waits until nothing of it is left.
    fn end(mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().expect("it ends");
        assert_eq!(left(&self.room), Vec::<i32>::new());
    }
}

/// A bootstrap: it starts the server and ends.
fn bootstrap(port: u16) -> String {
    format!("'{}' serve {port} --answer-pid >/dev/null 2>&1 &", fixture().display())
}

/// The same with forerun, and without `exec`.
fn with_forerun(port: u16) -> String {
    let (forerun, server) = (env!("CARGO_BIN_EXE_forerun"), fixture());
    let server = server.display();
    format!("'{forerun}' --name web --health http://127.0.0.1:{port}/ -- '{server}' serve {port} --answer-pid")
}

/// One that starts what ended again: the bootstrap loops, and with forerun each end of the server is one start.
fn starts_again(words: &[&str], files: &[(&str, &str)], called: &str) {
    let looping = Launcher::start(words, files, bootstrap);
    eventually("the bootstrap loops", || looping.runs() >= 3);
    looping.end();
    let steady = Launcher::start(words, files, with_forerun);
    eventually("it serves", || answer(steady.port).is_some());
    for starts in 1..=3 {
        let server = answer(steady.port).expect("a server");
        assert_eq!(steady.runs(), starts, "{}", steady.log());
        common::process::send(server, libc::SIGKILL);
        eventually("it serves again", || answer(steady.port).is_some_and(|now| now != server));
    }
    let record = steady.room.record("web");
    assert_eq!((&record["mode"], &record["supervisor"]), (&"foreground".into(), &called.into()), "{record}");
    steady.end();
}

/// A runner of a Procfile: it ends all of it when one ends.
fn runs_all_or_none(words: &[&str], called: &str) {
    let files = [("Procfile", "web: ./run\nother: sleep 1000\n")];
    let mut ended = Launcher::start(words, &files, bootstrap);
    eventually("the runner ends", || {
        ended.log().contains("other.1") && process_named(&ended.room, "sleep").is_none() && ended.runs() == 1
    });
    assert!(ended.keeper.try_wait().expect("a keeper").is_none());
    ended.end();
    let steady = Launcher::start(words, &files, with_forerun);
    eventually("it serves", || answer(steady.port).is_some());
    let record = steady.room.record("web");
    assert_eq!((&record["mode"], &record["supervisor"]), (&"foreground".into(), &called.into()), "{record}");
    let mut other = None;
    eventually("the other one runs", || {
        other = process_named(&steady.room, "sleep");
        other.is_some()
    });
    let other = other.expect("a process");
    common::process::send(answer(steady.port).expect("a server"), libc::SIGKILL);
    eventually("the runner ends the other one", || !alive(other));
    assert_eq!(steady.runs(), 1);
    steady.end();
}

/// A process of a room by the name of its program.
fn process_named(room: &Room, name: &str) -> Option<i32> {
    // It may end at any moment.
    let called = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    left(room).into_iter().find(|pid| called(pid).trim_end() == name)
}

#[test]
fn foreman_runs_the_server_itself() {
    skip_unless!(has("foreman"), "no foreman");
    runs_all_or_none(&["foreman", "start"], "foreman");
}

#[test]
#[ignore = "honcho is no package of Debian 12: tests/README.md"]
fn honcho_runs_the_server_itself() {
    skip_unless!(has("honcho"), "no honcho");
    runs_all_or_none(&["honcho", "start"], "honcho");
}

#[test]
#[ignore = "circus is no package of Debian 12: tests/README.md"]
fn circus_starts_it_once_for_each_end() {
    skip_unless!(has("circusd"), "no circusd");
    let text = "[watcher:web]\ncmd = {folder}/run\ncopy_env = True\nwarmup_delay = 0\nmax_retry = -1\n";
    starts_again(&["circusd", "circus.ini"], &[("circus.ini", text)], "circus");
}

#[test]
#[ignore = "PM2 is no package of Debian 12: tests/README.md"]
fn pm2_starts_it_once_for_each_end() {
    skip_unless!(has("pm2-runtime"), "no PM2");
    starts_again(&["pm2-runtime", "start", "./run", "--interpreter", "none"], &[], "PM2");
}

/// The shape that looped once a second for ever: `./run` without `exec`.
#[test]
fn runit_starts_it_once_for_each_end() {
    skip_unless!(has("runsv"), "no runit");
    starts_again(&["sh", "-c", "mkdir -p sv && ln -s ../run sv/run && exec runsv sv"], &[], "runit");
}

#[test]
fn s6_starts_it_once_for_each_end() {
    skip_unless!(has("s6-supervise"), "no s6");
    starts_again(&["sh", "-c", "mkdir -p sv && ln -s ../run sv/run && exec s6-supervise sv"], &[], "s6");
}

#[test]
fn the_pid_file_of_start_stop_daemon_is_of_the_server() {
    skip_unless!(has("start-stop-daemon"), "no start-stop-daemon");
    let room = Room::outside_tmp();
    let port = free_port();
    let file = room.path().join("pid");
    let daemon = |words: &[&str]| {
        let mut command = Command::new("start-stop-daemon");
        command.env("FORERUN_STATE_DIR", room.state()).current_dir(room.path()).stdin(Stdio::null());
        command.args(words).arg("--pidfile").arg(&file);
        command
    };
    let mut start = daemon(&["--start", "--background", "--make-pidfile"]);
    start.arg("--exec").arg(env!("CARGO_BIN_EXE_forerun"));
    start.args(["--", "--name", "web", "--port", &port.to_string(), "--"]).arg(fixture());
    start.args(["serve", &port.to_string(), "--answer-pid"]);
    common::done(&mut start).expect_code(0);
    eventually("it serves", || answer(port).is_some());
    assert_eq!(pid_in(&file), answer(port), "the pid file names the server");
    common::done(&mut daemon(&["--stop", "--retry", "TERM/20/KILL/5"])).expect_code(0);
    assert_eq!(answer(port), None);
}

fn pid_in(file: &Path) -> Option<i32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
