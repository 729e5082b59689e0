//! stop, restart and start at the same time, and killed at any moment: one name, one server.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::process::children;
use crate::common::{Room, accepts, alive, collect, done, eventually, free_port};
use crate::{assert_nothing_left, begun, files, json, left, number, recorded, script, serve, serving, suspend};

/// The recorded server and its one worker run, and nothing else.
#[track_caller]
fn assert_one_server(room: &Room, port: u16) {
    let pid = recorded(room).expect("a pid");
    assert!(accepts(port));
    let mut expected = [vec![pid], children(pid)].concat();
    expected.sort_unstable();
    eventually("there is one server and nothing else", || {
        let mut there = left(room);
        there.sort_unstable();
        there == expected
    });
    assert_eq!(expected.len(), 2);
    assert_eq!(files(room), ["lock", "record.json", "server.log"]);
    assert_eq!(room.run(&["status", "web"]).code, Some(0));
}

#[test]
fn starts_restarts_and_stops_at_once_leave_one_server_or_none() {
    let room = Room::new();
    let port = free_port();
    // From here on the name is known, so that a stop before the first start finds it.
    serve(&room, port, &[], &[]);
    room.run(&["stop", "web"]).expect_code(0);
    for _ in 0..3 {
        let command = |at: usize| -> Child {
            match at % 3 {
                0 => begun(&mut serving(&room, port, &[], &["--workers", "1"])),
                1 => begun(room.forerun().args(["restart", "web"])),
                _ => begun(room.forerun().args(["stop", "web"])),
            }
        };
        let all: Vec<_> = (0..9).map(command).collect();
        for (at, child) in all.into_iter().enumerate() {
            let output = collect(child);
            // A start that is ended by a stop exits 143. After a stop, a restart has no record.
            let allowed: &[i32] = [&[0, 143][..], &[0, 1, 143], &[0]][at % 3];
            assert!(output.status.code().is_some_and(|code| allowed.contains(&code)), "{at}: {output:?}");
        }
        match recorded(&room) {
            Some(_) => assert_one_server(&room, port),
            None => assert_nothing_left(&room),
        }
    }
    serve(&room, port, &[], &["--workers", "1"]);
    assert_one_server(&room, port);
}

/// Runs a command and kills it later each time, until it ends before that. Calls `check` each time.
fn killed_at_any_moment(start: impl Fn() -> Child, mut check: impl FnMut()) {
    let mut delay = Duration::ZERO;
    loop {
        let begun = Instant::now();
        let mut child = start();
        while begun.elapsed() < delay && child.try_wait().expect("waited").is_none() {
            std::thread::yield_now();
        }
        let in_time = child.try_wait().expect("waited").is_none();
        let _ = child.kill();
        let _ = child.wait();
        check();
        if !in_time {
            return;
        }
        delay += Duration::from_millis(7);
    }
}

#[test]
fn a_start_after_a_restart_that_was_killed_at_any_moment_makes_one_server() {
    let room = Room::new();
    let port = free_port();
    let args = ["--workers", "1"];
    serve(&room, port, &[], &args);
    killed_at_any_moment(
        || begun(room.forerun().args(["restart", "web"])),
        || {
            serve(&room, port, &[], &args);
            assert_one_server(&room, port);
        },
    );
}

#[test]
fn a_start_after_a_stop_that_was_killed_at_any_moment_makes_one_server() {
    let room = Room::new();
    let port = free_port();
    let args = ["--workers", "1"];
    serve(&room, port, &[], &args);
    killed_at_any_moment(
        || begun(room.forerun().args(["stop", "web"])),
        || {
            serve(&room, port, &[], &args);
            assert_one_server(&room, port);
        },
    );
}

#[test]
fn a_stop_after_a_stop_that_was_killed_at_any_moment_leaves_nothing() {
    let room = Room::new();
    let port = free_port();
    serve(&room, port, &[], &["--workers", "1"]);
    killed_at_any_moment(
        || begun(room.forerun().args(["stop", "web"])),
        || {
            room.run(&["stop", "web"]).expect_code(0);
            assert_nothing_left(&room);
            serve(&room, port, &[], &["--workers", "1"]);
        },
    );
}

#[test]
fn a_server_that_is_suspended_is_killed_after_the_grace() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &["--workers", "1"]);
    suspend(server);
    let stopped = room.run(&["stop", "web", "--grace", "300ms"]).expect_code(0);
    assert!(!alive(server) && stopped.took >= Duration::from_millis(300));
    assert_nothing_left(&room);
}

#[test]
fn what_is_started_while_a_stop_is_under_way_goes_too() {
    let room = Room::new();
    // On SIGTERM the server starts another process in its session, and ends.
    let text = "trap 'sleep 300 & exit 0' TERM; echo > up; while :; do sleep 0.01; done";
    script(&room, &[], text);
    room.run(&["stop", "web"]).expect_code(0);
    assert_nothing_left(&room);
}

#[test]
fn a_stop_during_a_restart_ends_it() {
    let room = Room::new();
    let port = free_port();
    let sick = room.path().join("sick");
    let first = serve(&room, port, &["--health-timeout", "10m"], &["--sick", sick.to_str().expect("UTF-8")]);
    std::fs::write(&sick, "").expect("written");
    let restarting = begun(room.forerun().args(["restart", "web"]));
    let restarter = restarting.id() as i32;
    eventually("the new one is there", || recorded(&room).is_some_and(|pid| pid != first && pid != restarter));
    let stopped = done(room.forerun().args(["stop", "web", "--json"])).expect_code(0);
    assert_eq!(number(&json(&stopped)["stopped"]), 0);
    assert_eq!(collect(restarting).status.code(), Some(143));
    assert_nothing_left(&room);
}

#[test]
fn a_start_that_waits_for_one_that_ends_starts_another() {
    let room = Room::new();
    let port = free_port();
    let sick = room.path().join("sick");
    let args = ["--sick", sick.to_str().expect("UTF-8"), "--workers", "1"];
    let first = serve(&room, port, &["--health-timeout", "10m"], &args);
    std::fs::write(&sick, "").expect("written");
    let log = room.path().join("stderr");
    let mut command = serving(&room, port, &["--health-timeout", "10m"], &args);
    let stderr = std::fs::File::create(&log).expect("a file");
    let waiting = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("spawned");
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("it waits for the health of the first", || said().contains("waiting for 'http"));
    room.run(&["stop", "web"]).expect_code(0);
    std::fs::remove_file(&sick).expect("removed");
    let output = collect(waiting);
    assert!(output.status.success() && !alive(first), "{}", said());
    assert_one_server(&room, port);
}
