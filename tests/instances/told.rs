//! stop: who is told to end, when and how; and what a stop that cannot go on leaves.

use std::process::Command;
use std::time::Duration;

use crate::common::process::{self, send};
use crate::common::{Room, accepts, alive, done, eventually, free_port, has};
use crate::{assert_nothing_left, begun, collect, kill, left, pid, script, serve, serving, skip_unless};

/// A worker that takes a while, and loses its work if it is told to end.
const WORKER: &str = "/bin/sh -c 'trap \"echo > told; exit 1\" TERM; echo > works
    while [ ! -e go ]; do sleep 0.01; done; echo > finished' &
    while [ ! -e works ]; do sleep 0.01; done; echo > up";

#[track_caller]
fn is_there(room: &Room, name: &str) -> bool {
    room.path().join(name).exists()
}

#[test]
fn main_alone_is_told_and_its_worker_finishes() {
    let room = Room::new();
    let server = script(&room, &["--grace", "10m"], &format!("trap 'echo > go' TERM\n{WORKER}\nwait; wait"));
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(!alive(server) && is_there(&room, "finished") && !is_there(&room, "told"));
    assert!(stopped.stdout.starts_with(&format!("stopped web: pid {server} and ")), "{}", stopped.stdout);
    assert_nothing_left(&room);
}

#[test]
fn a_wrapper_that_tells_nobody_has_its_family_told_once_it_has_ended() {
    let room = Room::new();
    script(&room, &["--grace", "10m"], &format!("{WORKER}\nwait"));
    // Half of the grace is five minutes.
    room.run(&["stop", "web"]).expect_code(0);
    assert!(is_there(&room, "told") && !is_there(&room, "finished"));
    assert_nothing_left(&room);
}

#[test]
fn the_rest_is_told_after_half_of_the_grace() {
    let room = Room::new();
    script(&room, &["--grace", "2s"], &format!("trap '' HUP; trap : TERM\n{WORKER}\nwait; wait"));
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(is_there(&room, "told") && stopped.took >= Duration::from_secs(1), "{:?}", stopped.took);
    assert_nothing_left(&room);
}

#[test]
fn main_gets_the_signal_of_the_file_and_the_rest_gets_sigterm() {
    for signal in ["'SIGUSR2'", "'usr2'", "12"] {
        let room = Room::new();
        room.file("forerun.toml", &format!("name = 'web'\n[stop]\nsignal = {signal}\n"));
        let traps = "trap 'echo > usr2; exit 0' USR2; trap 'echo > term' TERM";
        script(&room, &["--grace", "10m"], &format!("{traps}\n{WORKER}\nwait; wait"));
        // What counts is the file as it was at the start.
        room.file("forerun.toml", "name = 'web'\n");
        room.run(&["stop"]).expect_code(0);
        assert!(is_there(&room, "usr2") && !is_there(&room, "term") && is_there(&room, "told"), "{signal}");
    }
}

/// A detached server with a command before its stop.
#[track_caller]
fn with_before(room: &Room, port: u16, before: &str) -> i32 {
    room.file("forerun.toml", &format!("name = 'web'\n[stop]\n{before}\n[env]\nFROM_FILE = '1'\n"));
    serve(room, port, &["--env", "FROM_FLAG=2"], &[])
}

#[test]
fn the_command_before_runs_while_the_server_serves_and_is_no_part_of_the_instance() {
    let room = Room::new();
    let port = free_port();
    let before = "before = 'kill -0 $(cat pid) && echo ${FORERUN_INSTANCE-none} $FROM_FILE$FROM_FLAG $PWD > before'";
    let server = with_before(&room, port, before);
    room.file("pid", &server.to_string());
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    let folder = room.path().canonicalize().expect("a path").display().to_string();
    let said = std::fs::read_to_string(room.path().join("before")).expect("it ran");
    assert!(said.starts_with("none 12 ") && said.trim_end().ends_with(&folder), "{said}");
    stopped.expect_line(&["before the stop of 'web': 'kill -0"]);
}

#[test]
fn a_command_before_that_fails_or_hangs_is_one_line_and_the_stop_goes_on() {
    for (before, why) in [
        ("before = 'exit 7'", "exited with status 7"),
        ("before = 'sleep 300 & echo $! > sleeps; wait'\nbefore-timeout = '200ms'", "did not end within 200ms"),
    ] {
        let room = Room::new();
        let server = with_before(&room, free_port(), before);
        let stopped = room.run(&["stop", "web"]).expect_code(0);
        assert!(!alive(server));
        stopped.expect_stderr(&["the command before the stop of 'web' failed: ", why, "; stopping it all the same"]);
        if is_there(&room, "sleeps") {
            let sleeps = crate::pid_in(room.path().join("sleeps"));
            eventually("it is killed with its group", || !alive(sleeps));
        }
    }
}

#[test]
fn an_interrupted_command_before_ends_and_the_server_is_told() {
    let room = Room::new();
    let server = with_before(&room, free_port(), "before = 'echo > drains; sleep 300'\nbefore-timeout = '10m'");
    let stopping = begun(room.forerun().args(["stop", "web"]));
    process::appears(&room.path().join("drains"));
    send(stopping.id() as i32, libc::SIGINT);
    collect(stopping);
    eventually("it ends", || !alive(server));
}

#[test]
fn a_restart_runs_the_command_before_and_what_is_dead_needs_none() {
    let room = Room::new();
    let port = free_port();
    let server = with_before(&room, port, "before = 'echo >> before'");
    let count = || std::fs::read_to_string(room.path().join("before")).unwrap_or_default().lines().count();
    let second = pid(&room.run(&["restart", "web", "--json"]).expect_code(0));
    assert!(count() == 1 && second != server);
    kill(second);
    room.run(&["stop", "web"]).expect_code(0);
    assert_eq!(count(), 1);
}

/// A stop below strace, which changes what some system calls answer.
fn stop_with(room: &Room, injections: &[&str]) -> Command {
    let mut command = room.forerun();
    let forerun = command.get_program().to_owned();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null"]);
    for injection in injections {
        strace.args(["-e", &format!("inject={injection}")]);
    }
    strace.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.current_dir(room.path()).arg(forerun).args(["stop", "web"]);
    command = strace;
    command
}

/// It runs as if nobody had tried, and a start leaves it alone.
#[track_caller]
fn runs_as_before(room: &Room, port: u16, server: i32, args: &[&str]) {
    let status = room.run(&["status", "web"]);
    assert!(status.code == Some(0) && status.stdout.starts_with("web is running, healthy"), "{}", status.stdout);
    let again = done(&mut serving(room, port, &["--json"], args)).expect_code(0);
    assert_eq!(pid(&again), server);
    assert!(alive(server) && accepts(port));
}

#[test]
fn a_stop_whose_signal_is_refused_takes_its_mark_back() {
    skip_unless!(has("strace"), "there is no strace");
    let room = Room::new();
    let port = free_port();
    let server = serve(&room, port, &["--grace", "10m"], &["--workers", "2"]);
    let family = left(&room);
    let refused = done(&mut stop_with(&room, &["pidfd_send_signal:error=EPERM", "kill:error=EPERM"])).expect_code(75);
    refused.expect_line(&[&format!("cannot stop pid {server}"), "Operation not permitted"]);
    assert_eq!(room.record("web")["phase"], "running");
    assert_eq!(left(&room), family);
    runs_as_before(&room, port, server, &["--workers", "2"]);
}

#[test]
fn a_stop_that_is_killed_before_its_first_signal_has_told_nobody() {
    skip_unless!(has("strace"), "there is no strace");
    let room = Room::new();
    let port = free_port();
    let server = serve(&room, port, &[], &[]);
    done(&mut stop_with(&room, &["pidfd_send_signal:error=EPERM:signal=SIGKILL"]));
    assert_eq!(room.record("web")["phase"], "stopping");
    runs_as_before(&room, port, server, &[]);
    room.run(&["stop", "web"]).expect_code(0);
    assert!(!alive(server));
}

#[test]
fn a_stop_without_descriptors_changes_nothing_or_is_done() {
    skip_unless!(has("strace"), "there is no strace");
    let room = Room::new();
    let port = free_port();
    serve(&room, port, &[], &[]);
    let opens = count_opens(&room);
    let mut server = serve(&room, port, &[], &[]);
    // From each of so many moments on there is none left.
    for at in (0..12).map(|part| 1 + opens * part / 12) {
        done(&mut stop_with(&room, &[&format!("openat:error=EMFILE:when={at}+")]));
        let record = std::fs::read_to_string(room.state().join("web/record.json")).unwrap_or_default();
        if record.contains("\"told\":true") {
            eventually("it ends", || !alive(server));
        }
        match alive(server) {
            true => runs_as_before(&room, port, server, &[]),
            false => server = serve(&room, port, &[], &[]),
        }
    }
}

/// How many files a stop opens.
fn count_opens(room: &Room) -> usize {
    let trace = room.path().join("trace");
    let mut command = stop_with(room, &[]);
    let words: Vec<_> = command.get_args().skip(3).map(ToOwned::to_owned).collect();
    let mut counted = Command::new("strace");
    counted.args(["-f", "-e", "trace=openat", "-o"]).arg(&trace).args(words).current_dir(room.path());
    counted.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command = counted;
    done(&mut command).expect_code(0);
    std::fs::read_to_string(&trace).expect("a trace").lines().filter(|line| line.contains("openat(")).count()
}

#[test]
fn without_pidfd_send_signal_the_signal_goes_by_number() {
    skip_unless!(has("strace"), "there is no strace");
    for error in ["ENOSYS", "EPERM"] {
        let room = Room::new();
        let server = serve(&room, free_port(), &["--grace", "10m"], &["--workers", "1"]);
        done(&mut stop_with(&room, &[&format!("pidfd_send_signal:error={error}")])).expect_code(0);
        assert!(!alive(server));
        assert_nothing_left(&room);
    }
}
