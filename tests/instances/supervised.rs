//! Only the supervisor stops and restarts an instance that it runs. forerun names the supervisor's commands.

use std::process::{Command, Stdio};

use crate::common::process::send;
use crate::common::{Room, accepts, alive, done, free_port};
use crate::{Killed, files, in_foreground, json, left, number, recorded, serving};

/// A supervised instance: the variables that mark the supervisor, or the name of the parent.
enum By {
    Variables(&'static [(&'static str, &'static str)]),
    Parent(&'static str),
}

const SYSTEMD: By = By::Variables(&[("INVOCATION_ID", "0123456789abcdef")]);

/// Starts a supervised instance. Returns forerun or its parent.
#[track_caller]
fn supervised(room: &Room, by: &By, port: u16) -> Killed {
    let mut forerun = room.forerun();
    match by {
        By::Variables(list) => in_foreground(forerun.envs(list.iter().copied()), port, Stdio::null()),
        By::Parent(name) => {
            let mut parent = Command::new(room.fixture_called(name));
            parent
                .env("FORERUN_STATE_DIR", room.state())
                .current_dir(room.path())
                .arg("run")
                .arg(forerun.get_program());
            in_foreground(&mut parent, port, Stdio::null())
        }
    }
}

/// Writes the control group of a unit into the record.
fn put_into(room: &Room, group: &str) {
    let mut record = room.record("web");
    record["cgroup"] = group.into();
    std::fs::write(room.state().join("web/record.json"), record.to_string()).expect("written");
}

#[test]
fn it_is_left_alone_and_the_supervisors_own_command_is_named() {
    let folder = |room: &Room| room.path().canonicalize().expect("a path").display().to_string();
    let cases: [(By, &str, &str, &str); 7] = [
        (
            By::Variables(&[
                ("SUPERVISOR_ENABLED", "1"),
                ("SUPERVISOR_PROCESS_NAME", "web"),
                ("SUPERVISOR_GROUP_NAME", "web"),
            ]),
            "supervisord (web)",
            "supervisorctl stop web",
            "supervisorctl restart web",
        ),
        (
            By::Variables(&[
                ("SUPERVISOR_ENABLED", "1"),
                ("SUPERVISOR_PROCESS_NAME", "web_1"),
                ("SUPERVISOR_GROUP_NAME", "all"),
            ]),
            "supervisord (all:web_1)",
            "supervisorctl stop all:web_1",
            "supervisorctl restart all:web_1",
        ),
        (
            By::Variables(&[("SUPERVISOR_ENABLED", "1")]),
            "supervisord",
            "stop it through supervisord",
            "restart it through supervisord",
        ),
        (By::Parent("runsv"), "runit (", "sv stop HERE", "sv restart HERE"),
        (By::Parent("s6-supervise"), "s6 (", "s6-svc -d HERE", "s6-svc -r HERE"),
        (By::Parent("supervise"), "daemontools (", "svc -d HERE", "svc -t HERE"),
        (
            By::Variables(&[("XPC_SERVICE_NAME", "com.example.web"), ("LAUNCHD_SOCKET", "/x")]),
            "launchd (com.example.web)",
            "launchctl bootout ",
            "launchctl kickstart -k ",
        ),
    ];
    for (by, name, stop, restart) in cases {
        let room = Room::new();
        let _supervised = supervised(&room, &by, free_port());
        let server = recorded(&room).expect("a pid");
        let here = folder(&room);
        for (args, command) in [
            (&["stop", "web"][..], stop),
            (&["stop", "web", "--all", "--grace", "0s"], stop),
            (&["restart", "web"], restart),
        ] {
            let refused = room.run(args).expect_code(75);
            refused.expect_line(&["'web' is run by ", name, &command.replace("HERE", &here)]);
        }
        assert!(alive(server) && left(&room).len() >= 3, "{name}");
        assert_eq!(recorded(&room), Some(server));
    }
}

#[test]
fn systemds_unit_is_that_of_the_control_group() {
    let room = Room::new();
    let port = free_port();
    let mut server = supervised(&room, &SYSTEMD, port);
    for (group, stop, restart) in [
        ("/system.slice/web.service", "systemctl stop web.service", "systemctl restart web.service"),
        (
            "/system.slice/system-web.slice/web@a.service/payload",
            "systemctl stop web@a.service",
            "systemctl restart web@a.service",
        ),
        ("/user.slice/user-0.slice/session-1.scope", "stop it through systemd", "restart it through systemd"),
    ] {
        put_into(&room, group);
        room.run(&["stop", "web"]).expect_code(75).expect_line(&[stop]);
        room.run(&["restart", "web"]).expect_code(75).expect_line(&[restart]);
    }
    assert!(server.is_well() && accepts(port));
}

#[test]
fn a_users_systemd_is_told_as_such() {
    let room = Room::new();
    let variables = By::Variables(&[("INVOCATION_ID", "0123456789abcdef"), ("MANAGERPID", "1")]);
    let _server = supervised(&room, &variables, free_port());
    put_into(&room, "/user.slice/user-0.slice/user@0.service/app.slice/web.service");
    room.run(&["stop", "web"]).expect_code(75).expect_line(&["systemctl --user stop web.service"]);
}

#[test]
fn replace_leaves_it_alone_too() {
    let room = Room::new();
    let port = free_port();
    let mut server = supervised(&room, &SYSTEMD, port);
    let _ = done(&mut serving(&room, port, &["--replace"], &["--workers", "2"]));
    assert!(server.is_well());
    assert_eq!(recorded(&room), Some(server.pid()));
}

#[test]
fn what_it_left_behind_when_it_died_may_be_stopped() {
    let room = Room::new();
    let mut server = supervised(&room, &SYSTEMD, free_port());
    send(server.pid(), libc::SIGKILL);
    let _ = server.0.wait();
    assert_eq!(left(&room).len(), 2);
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(stopped.stdout.contains("stopped 2 processes"), "{}", stopped.stdout);
    assert_eq!(left(&room), Vec::<i32>::new());
    assert_eq!(files(&room), ["lock"]);
    // Only the supervisor may start it again. forerun can only say that it is gone.
    room.run(&["restart", "web"]).expect_code(1);
}

#[test]
fn a_start_that_waits_below_a_supervisor_is_the_supervisors_to_end() {
    let room = Room::new();
    let mut command = room.forerun();
    command.env("INVOCATION_ID", "0123456789abcdef").args(["--name", "web", "--wait", "file:never", "--", "true"]);
    let mut starting = Killed(crate::begun(&mut command));
    crate::eventually("it is recorded", || recorded(&room) == Some(starting.pid()));
    room.run(&["stop", "web"]).expect_code(75).expect_line(&["'web' is run by systemd"]);
    assert!(starting.is_well());
}

#[test]
fn standby_takes_over_after_a_stop() {
    let room = Room::new();
    let port = free_port();
    let detached = crate::serve(&room, port, &["--port", &port.to_string()], &["--answer-pid"]);
    let mut command = serving(&room, port, &[], &["--answer-pid"]);
    let words: Vec<_> = command.get_args().skip(1).map(std::ffi::OsStr::to_owned).collect();
    command = room.forerun();
    command.env("INVOCATION_ID", "0123456789abcdef").args(words);
    let log = room.path().join("standby");
    command.stderr(std::fs::File::create(&log).expect("a file")).stdout(Stdio::null());
    let mut standby = Killed(crate::in_own_session(&mut command).spawn().expect("spawned"));
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    crate::eventually("it stands by", || said().contains("standby: the name 'web' is held by"));
    assert!(said().contains("stop it: forerun stop web"), "{}", said());
    room.run(&["stop", "web"]).expect_code(0);
    assert!(!alive(detached));
    crate::eventually("it serves", || accepts(port));
    assert!(standby.is_well());
    // From now on the supervisor runs it.
    room.run(&["stop", "web"]).expect_code(75);
    let status = json(&room.run(&["status", "web", "--json"]).expect_code(0));
    assert_eq!((number(&status["pid"]), &status["supervisor"]), (standby.pid(), &"systemd".into()));
}

#[test]
fn a_supervisors_variables_change_no_exit_code_of_who_asks() {
    let room = Room::new();
    for (words, code) in [(["stop", "../a"], 2), (["status", "web"], 1), (["logs", "web"], 1)] {
        done(room.forerun().env("INVOCATION_ID", "0123").args(words)).expect_code(code);
    }
}
