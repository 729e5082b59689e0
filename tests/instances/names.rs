//! What a NAME may be: given, that of forerun.toml, the folder's, or a pid; and what is never heard of.

use std::process::Stdio;

use super::{detached, json, kill, number, pid, serve};
use crate::common::process::{children, with_plain_signals};
use crate::common::{Killed, Room, accepts, alive, done, eventually, fixture, free_port};

/// A server that nothing is checked of.
#[track_caller]
fn sleeper(room: &Room, name: &str) {
    done(room.forerun().args(["--detach", "--name", name, "--port", "0", "--", "sleep", "100"])).expect_code(0);
}

#[test]
fn a_pid_is_taken_wherever_a_name_is() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &[]).to_string();
    assert!(room.run(&["status", &server]).expect_code(0).stdout.starts_with("web is running, healthy"));
    assert!(room.run(&["logs", &server]).expect_code(0).stdout.starts_with("listening "));
    room.run(&["fds", &server]).expect_code(0);
    room.run(&["forget", &server]).expect_code(75).expect_line(&["'web' runs as", "stop it first"]);
    let again = number(&json(&room.run(&["restart", &server, "--json"]).expect_code(0))["pid"]);
    room.run(&["stop", &server]).expect_code(1).expect_line(&["no service and no process is called"]);
    assert!(room.run(&["stop", &again.to_string()]).expect_code(0).stdout.starts_with("stopped web"));
    assert!(!alive(again));
}

#[test]
fn the_pid_of_a_worker_is_not_taken_for_the_server() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &["--workers", "1"]);
    let worker = children(server)[0].to_string();
    for command in ["stop", "restart", "status", "logs", "forget"] {
        let done = room.run(&[command, &worker]).expect_code(75);
        done.expect_line(&[&format!("pid {worker} is a process of 'web', whose main process is pid {server}")]);
    }
    assert!(alive(server));
    room.run(&["fds", &worker]).expect_code(0);
}

#[test]
fn a_name_of_digits_is_a_name_first() {
    let room = Room::new();
    let us = std::process::id().to_string();
    sleeper(&room, &us);
    assert!(room.run(&["status", &us]).expect_code(0).stdout.starts_with(&format!("{us} is running")));
    assert!(room.run(&["stop", &us]).expect_code(0).stdout.starts_with(&format!("stopped {us}")));
}

#[test]
fn what_was_never_heard_of_is_an_error_and_a_near_name_is_suggested() {
    let room = Room::new();
    sleeper(&room, "webui");
    for command in ["status", "stop", "restart", "logs", "fds", "forget"] {
        room.run(&[command, "webiu"]).expect_code(1).expect_line(&["'webiu'; did you mean 'webui'?"]);
        room.run(&[command, "other"]).expect_code(1).expect_line(&["'other'; see 'forerun status --all'"]);
    }
    // What forerun.toml says is heard of.
    room.file("forerun.toml", "name = 'never'\ncommand = 'true'\n");
    for (command, code) in [("stop", 0), ("status", 1), ("forget", 0)] {
        let said = room.run(&[command]).expect_code(code);
        assert!(said.stdout.starts_with("never ") && said.stderr.is_empty(), "{command}: {}", said.stdout);
        assert_eq!(room.run(&[command, "never"]).expect_code(code).stdout, said.stdout);
    }
}

#[test]
fn all_are_listed_inside_the_folder_of_one_too() {
    let room = Room::new();
    sleeper(&room, "one");
    sleeper(&room, "two");
    room.file("forerun.toml", "name = 'one'\ncommand = ['sleep', '100']\n");
    assert!(!room.run(&["status"]).expect_code(0).stdout.contains("two"));
    let all = room.run(&["status", "--all"]).expect_code(0).stdout;
    assert!(all.contains("one ") && all.contains("two "), "{all}");
    assert_eq!(json(&room.run(&["status", "--all", "--json"]).expect_code(0)).as_array().map(Vec::len), Some(2));
    room.run(&["status", "one", "--all"]).expect_code(2).expect_line(&["cannot be used with"]);
}

#[test]
fn a_run_that_ended_by_itself_is_history_and_a_detached_one_is_missed() {
    let room = Room::new();
    room.run(&["--foreground", "--name", "once", "--port", "0", "--", "true"]);
    // Nothing runs.
    room.run(&["status"]).expect_code(1);
    let server = serve(&room, free_port(), &[], &[]);
    let all = room.run(&["status"]).expect_code(0).stdout;
    assert!(all.contains("once  not running"), "{all}");
    room.run(&["status", "once"]).expect_code(1);
    kill(server);
    room.run(&["status"]).expect_code(1);
}

#[test]
fn what_does_not_run_is_forgotten_and_its_log_stays() {
    let room = Room::new();
    kill(serve(&room, free_port(), &[], &[]));
    let log = room.state().join("web/server.log");
    let said = room.run(&["forget", "web"]).expect_code(0).stdout;
    assert_eq!(said, format!("forgot web; its log stays: {}\n", log.display()));
    assert!(log.exists() && !room.state().join("web/record.json").exists());
    assert!(!room.run(&["status"]).expect_code(1).stdout.contains("web"));
    let again = json(&room.run(&["forget", "web", "--json"]).expect_code(0));
    assert_eq!((&again["name"], &again["forgotten"]), (&"web".into(), &false.into()));
}

#[test]
fn a_record_that_cannot_be_trusted_is_not_forgotten() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &[]);
    let record = room.state().join("web/record.json");
    let text = std::fs::read(&record).expect("read");
    std::fs::write(&record, &text[..100]).expect("damaged");
    room.run(&["forget", "web"])
        .expect_code(73)
        .expect_line(&["cannot be trusted: it is damaged at line 1", "remove it"]);
    // Whose process it is cannot be told.
    room.run(&["stop", &server.to_string()]).expect_code(73).expect_line(&["cannot tell whose process", "damaged"]);
    assert!(record.exists() && alive(server));
    std::fs::write(&record, text).expect("mended");
    room.run(&["forget", &std::process::id().to_string()]).expect_code(1).expect_line(&["is not of an instance"]);
    room.run(&["stop", "web"]).expect_code(0);
}

#[test]
fn what_is_left_of_an_instance_is_not_forgotten() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &["--workers", "2"]);
    let workers = children(server);
    kill(server);
    let refused = room.run(&["forget", "web"]).expect_code(75);
    refused.expect_line(&["2 processes of it are left", "forerun stop web"]);
    assert!(workers.iter().all(|&pid| alive(pid)) && room.state().join("web/record.json").exists());
    room.run(&["stop", "web"]).expect_code(0);
    room.run(&["forget", "web"]).expect_code(0);
}

#[test]
fn quiet_prints_no_result_and_says_errors_all_the_same() {
    let room = Room::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/health");
    let serve = ["--detach", "--name", "web", "--health", &url, "--"];
    let fixture = fixture().to_string_lossy().into_owned();
    let port = port.to_string();
    let command = [&["-q"], &serve[..], &[&fixture, "serve", &port]].concat();
    for words in [&command[..], &command, &["-q", "status", "web"], &["status", "-q"], &["restart", "web", "-q"]] {
        let done = room.run(words).expect_code(0);
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""), "{words:?}");
    }
    assert_eq!(json(&room.run(&["-q", "status", "web", "--json"]).expect_code(0))["state"], "running");
    for words in [&["-q", "check", "--require", "cmd:sh"][..], &["stop", "web", "-q"], &["forget", "web", "-q"]] {
        assert_eq!(room.run(words).expect_code(0).stdout, "", "{words:?}");
    }
    assert_eq!(room.run(&["-q", "status", "web"]).expect_code(1).stdout, "");
    room.run(&["-q", "stop", "other"]).expect_code(1).expect_line(&["no service is called 'other'"]);
}

#[test]
fn ready_is_said_only_of_what_was_checked() {
    let room = Room::new();
    let mut command = detached(&room, &["--port", "0"], "sleep", &["100"]);
    let started = done(&mut command).expect_code(0).stdout;
    assert!(started.starts_with("web is started; nothing was checked: give --health or --port\n"), "{started}");
    assert!(!started.contains("ready"), "{started}");
    room.run(&["stop", "web"]).expect_code(0);
    let started = json(&done(&mut detached(&room, &["--port", "0", "--json"], "sleep", &["100"])).expect_code(0));
    assert_eq!(started["checked"], false);
    room.run(&["stop", "web"]).expect_code(0);
    let port = free_port().to_string();
    let mut command = detached(&room, &["--port", &port, "--json"], fixture(), &["serve", &port]);
    let ready = done(&mut command).expect_code(0);
    assert_eq!(json(&ready)["checked"], true);
    assert!(alive(pid(&ready)));
}

#[test]
fn a_server_within_its_health_timeout_is_starting() {
    let room = Room::new();
    let (port, when) = (free_port(), room.path().join("when"));
    let url = format!("http://127.0.0.1:{port}/");
    let mut command = room.forerun();
    command.args(["--foreground", "--name", "web", "--health", &url, "--health-timeout", "20s", "--"]).arg(fixture());
    command.args(["serve", &port.to_string(), "--when"]).arg(&when).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Killed(with_plain_signals(&mut command).spawn().expect("spawned"));
    let state = || serde_json::from_str::<serde_json::Value>(&room.run(&["status", "web", "--json"]).stdout);
    eventually("it is starting", || {
        state()
            .is_ok_and(|state| state["state"] == "starting" && state["healthy"].is_null() && state["running"] == true)
    });
    let said = room.run(&["status", "web"]).expect_code(1).stdout;
    assert!(said.starts_with("web is starting\n  health  waiting for ") && said.contains("at most 20s"), "{said}");
    assert!(!said.contains("not healthy"), "{said}");
    assert!(room.run(&["status", "--all"]).expect_code(1).stdout.contains("starting  -"));
    std::fs::write(when, "").expect("written");
    eventually("it listens", || accepts(port));
    assert!(room.run(&["status", "web"]).expect_code(0).stdout.starts_with("web is running, healthy"));
}

#[test]
fn one_that_is_past_its_health_timeout_is_not_healthy() {
    let room = Room::new();
    let port = free_port();
    let sick = room.path().join("sick");
    let mut server = room.forerun();
    server.args(["--foreground", "--health-timeout", "1ms", "--health", &format!("http://127.0.0.1:{port}/")]);
    server.args(["--name", "web", "--"]).arg(fixture()).args(["serve", &port.to_string(), "--sick"]).arg(&sick);
    let _server = Killed(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawned"));
    eventually("it listens", || accepts(port));
    std::fs::write(&sick, "").expect("written");
    assert!(room.run(&["status", "web"]).expect_code(1).stdout.starts_with("web is running, not healthy"));
}

#[test]
fn a_supervised_run_that_ended_is_missed_only_where_its_unit_is_there() {
    let room = Room::new();
    let unit = room.file("once.service", "");
    let once = ["--foreground", "--name", "once", "--port", "0", "--", "true"];
    done(room.forerun().args(once).env("INVOCATION_ID", "0123").env("FORERUN_UNIT", &unit));
    sleeper(&room, "web");
    room.run(&["status", "--all"]).expect_code(1);
    std::fs::remove_file(&unit).expect("removed");
    room.run(&["status", "--all"]).expect_code(0);
}
