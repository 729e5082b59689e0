//! stop: ends all of an instance and nothing else.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::process::{self, children, in_own_session, send};
use crate::common::{Room, accepts, alive, collect, done, eventually, fixture, free_port};
use crate::{
    Killed, assert_nothing_left, begun, files, in_foreground, json, kill, left, number, recorded, script, serve,
    serving,
};

#[test]
fn all_of_it_is_gone_and_so_is_the_record() {
    let room = Room::new();
    let port = free_port();
    let server = serve(&room, port, &[], &["--workers", "3"]);
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(!alive(server) && !accepts(port));
    assert_nothing_left(&room);
    let start = format!("stopped web: pid {server} and 3 workers, after ");
    assert!(stopped.stdout.starts_with(&start) && stopped.stdout.ends_with("s\n"), "{}", stopped.stdout);
    assert_eq!(stopped.stderr, "");
}

#[test]
fn one_worker_is_one_worker_and_none_is_not_spoken_of() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &["--workers", "1"]);
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(stopped.stdout.starts_with(&format!("stopped web: pid {server} and 1 worker, ")), "{}", stopped.stdout);
    let server = serve(&room, free_port(), &[], &[]);
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(stopped.stdout.starts_with(&format!("stopped web: pid {server}, after ")), "{}", stopped.stdout);
}

#[test]
fn json_says_what_was_stopped() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &["--workers", "2"]);
    let stopped = json(&room.run(&["stop", "web", "--json"]).expect_code(0));
    assert_eq!((number(&stopped["pid"]), number(&stopped["stopped"])), (server, 3));
    assert_eq!((&stopped["name"], &stopped["left_alone"]), (&"web".into(), &serde_json::json!([])));
    let again = json(&room.run(&["stop", "web", "--json"]).expect_code(0));
    assert_eq!((&again["pid"], number(&again["stopped"])), (&serde_json::Value::Null, 0));
}

#[test]
fn descendants_in_sessions_of_their_own_go_too() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &["--workers", "2", "--in-sessions"]);
    let workers = children(server);
    assert_eq!(workers.len(), 2);
    eventually("they have left the session", || {
        workers.iter().all(|&w| process::stat(w, process::SESSION) == i64::from(w))
    });
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(stopped.stdout.contains("and 2 workers"), "{}", stopped.stdout);
    assert_nothing_left(&room);
}

#[test]
fn a_worker_that_ignores_sigterm_outlives_main_and_is_killed() {
    let room = Room::new();
    let text = "/bin/sh -c 'trap \"\" TERM; echo $$ > worker; while :; do sleep 1; done' &
        while [ ! -e worker ]; do sleep 0.01; done; echo > up; wait";
    script(&room, &["--grace", "300ms"], text);
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(stopped.took >= Duration::from_millis(300), "{:?}", stopped.took);
    assert_nothing_left(&room);
}

#[test]
fn what_ignores_sigterm_is_killed_after_the_grace_that_is_given() {
    let room = Room::new();
    let server = serve(&room, free_port(), &["--grace", "10m"], &["--ignore-term", "--workers", "1"]);
    let stopped = room.run(&["stop", "web", "--grace", "400ms"]).expect_code(0);
    assert!(!alive(server) && stopped.took >= Duration::from_millis(400), "{:?}", stopped.took);
    assert_nothing_left(&room);
}

#[test]
fn the_grace_is_that_of_the_start_unless_one_is_given() {
    for in_file in [false, true] {
        let room = Room::new();
        if in_file {
            room.file("forerun.toml", "grace = '600ms'\n");
        }
        let options: &[&str] = if in_file { &[] } else { &["--grace", "600ms"] };
        serve(&room, free_port(), options, &["--ignore-term"]);
        // The file has another grace by now, which is for the next start.
        if in_file {
            room.file("forerun.toml", "grace = '10m'\n");
        }
        let stopped = room.run(&["stop", "web"]).expect_code(0);
        assert!(stopped.took >= Duration::from_millis(600), "{:?}", stopped.took);
        assert_nothing_left(&room);
    }
}

#[test]
fn a_grace_of_nothing_kills_at_once() {
    let room = Room::new();
    let server = serve(&room, free_port(), &["--grace", "10m"], &["--ignore-term"]);
    room.run(&["stop", "web", "--grace", "0s"]).expect_code(0);
    assert!(!alive(server));
}

#[test]
fn a_server_that_takes_its_time_is_waited_for_and_not_killed() {
    let room = Room::new();
    let text = "trap 'sleep 0.5; echo ended > ended; exit 0' TERM; echo > up; while :; do sleep 0.01; done";
    let server = script(&room, &[], text);
    room.run(&["stop", "web"]).expect_code(0);
    assert!(!alive(server) && room.path().join("ended").exists());
}

#[test]
fn what_does_not_run_is_said_to_and_is_no_error() {
    let room = Room::new();
    // Never heard of: a script must not go on as if it had been stopped. Nothing is made for it either.
    room.run(&["stop", "web"]).expect_code(1).expect_line(&["no service is called 'web'"]);
    assert!(!room.state().exists());
    // Stopped already.
    serve(&room, free_port(), &[], &[]);
    room.run(&["stop", "web"]).expect_code(0);
    assert_eq!(room.run(&["stop", "web"]).expect_code(0).stdout, "web is not running\n");
    // Main died by itself, and nothing is left of it.
    kill(serve(&room, free_port(), &[], &[]));
    assert_eq!(room.run(&["stop", "web"]).expect_code(0).stdout, "web is not running\n");
    assert_nothing_left(&room);
}

#[test]
fn one_that_was_started_in_the_foreground_by_hand_obeys() {
    let room = Room::new();
    let port = free_port();
    // A shell with job control gives it a process group. The session belongs to the shell.
    let mut bystander = Killed(
        in_own_session(Command::new(fixture()).args(["serve", &free_port().to_string()])).spawn().expect("spawned"),
    );
    let mut server = in_foreground(room.forerun().arg("--foreground"), port, Stdio::null());
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(
        stopped.stdout.starts_with(&format!("stopped web: pid {} and 2 workers", server.pid())),
        "{}",
        stopped.stdout
    );
    assert!(!server.is_well() && bystander.is_well() && !accepts(port));
    assert_eq!(left(&room), Vec::<i32>::new());
    assert_eq!(files(&room), ["lock"]);
}

#[test]
fn a_script_that_ran_it_in_the_foreground_goes_on() {
    let room = Room::new();
    let port = free_port();
    // Session and process group are those of the script, not of the server.
    let mut shell = Command::new("/bin/sh");
    let text = "\"$@\"; echo $? > code; exec sleep 100";
    shell.args(["-c", text, "sh", env!("CARGO_BIN_EXE_forerun"), "--foreground"]).current_dir(room.path());
    shell.env("FORERUN_STATE_DIR", room.state());
    let mut shell = in_foreground(&mut shell, port, Stdio::null());
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(stopped.stdout.contains("and 2 workers"), "{}", stopped.stdout);
    assert_eq!(process::appears(&room.path().join("code")).trim(), "143");
    assert!(shell.is_well() && !accepts(port));
}

#[test]
fn bystanders_survive() {
    let room = Room::new();
    let port = free_port();
    serve(&room, port, &[], &["--workers", "1"]);
    let stranger = |command: &mut Command| Killed(command.spawn().expect("spawned"));
    // The same program, as the same user; in the test's own session, and in another.
    let other_ports = [free_port(), free_port()].map(|port| port.to_string());
    let mut same = stranger(Command::new(fixture()).args(["serve", &other_ports[0]]));
    let mut same_in_session = stranger(in_own_session(Command::new(fixture()).args(["serve", &other_ports[1]])));
    // A client of the port.
    let client = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connected");
    // Another service of the same program, and one whose name begins with this one's.
    let other = Room::new();
    let other_server = serve(&other, free_port(), &[], &[]);
    let mut neighbour = room.forerun();
    neighbour.args(["--detach", "--name", "web2", "--json", "--", "sleep", "300"]);
    let neighbour = crate::pid(&done(&mut neighbour).expect_code(0));
    // The cookie of an earlier instance of this name.
    let mut earlier = stranger(Command::new("sleep").arg("300").env("FORERUN_INSTANCE", "web/0123456789abcdef"));
    let stopped = room.run(&["stop", "web", "--all"]).expect_code(0);
    assert!(stopped.stdout.contains("and 1 worker"), "{}", stopped.stdout);
    assert!(same.is_well() && same_in_session.is_well() && earlier.is_well());
    assert!(alive(other_server) && alive(neighbour));
    drop(client);
}

#[test]
fn a_recycled_pid_is_nobody_of_ours() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &[]);
    process::let_a_tick_pass(server);
    kill(server);
    let mut bystander = Killed(in_own_session(Command::new("sleep").arg("300")).spawn().expect("spawned"));
    let mut record = room.record("web");
    record["process"]["pid"] = bystander.pid().into();
    record["session"] = bystander.pid().into();
    record["group"] = bystander.pid().into();
    record["executable"] =
        std::fs::read_link(format!("/proc/{}/exe", bystander.pid())).expect("a link").to_str().into();
    std::fs::write(room.state().join("web/record.json"), record.to_string()).expect("written");
    let stopped = room.run(&["stop", "web", "--all"]).expect_code(0);
    assert_eq!(stopped.stdout, "web is not running\n");
    assert!(bystander.is_well());
}

#[test]
fn a_record_of_another_machine_is_not_acted_on() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &[]);
    let mut record = room.record("web");
    record["process"]["host"]["machine"] = "0123456789abcdef0123456789abcdef".into();
    let path = room.state().join("web/record.json");
    std::fs::write(&path, record.to_string()).expect("written");
    let refused = room.run(&["stop", "web"]).expect_code(75);
    refused.expect_line(&["cannot tell whether 'web' runs", "another machine", "record.json"]);
    assert!(alive(server) && path.exists());
}

#[test]
fn a_record_of_another_boot_is_forgotten_and_nothing_is_signalled() {
    let room = Room::new();
    let server = serve(&room, free_port(), &[], &[]);
    let mut record = room.record("web");
    record["process"]["host"]["boot"] = "01234567-89ab-cdef-0123-456789abcdef".into();
    std::fs::write(room.state().join("web/record.json"), record.to_string()).expect("written");
    if !common::has_machine_id() {
        // It may be a boot of another machine.
        room.run(&["stop", "web"]).expect_code(75).expect_line(&["this machine has no id (/etc/machine-id)"]);
        assert!(alive(server));
        return;
    }
    assert_eq!(room.run(&["stop", "web"]).expect_code(0).stdout, "web is not running\n");
    assert!(alive(server));
    assert_eq!(files(&room), ["lock", "server.log"]);
}

#[test]
fn the_name_comes_from_the_file_of_the_folder() {
    let room = Room::new();
    room.file("forerun.toml", "name = 'web'\n");
    let server = serve(&room, free_port(), &[], &[]);
    let stopped = room.run(&["stop"]).expect_code(0);
    assert!(stopped.stdout.starts_with(&format!("stopped web: pid {server},")), "{}", stopped.stdout);
    let server = serve(&room, free_port(), &[], &[]);
    let mut elsewhere = room.forerun();
    elsewhere.args(["stop", "--config"]).arg(room.path().join("forerun.toml")).current_dir("/");
    done(&mut elsewhere).expect_code(0);
    assert!(!alive(server));
}

#[test]
fn without_a_name_and_a_file_it_is_the_folders() {
    let room = Room::new();
    let name = room.path().file_name().expect("a name").to_string_lossy().into_owned();
    for command in ["stop", "restart", "logs", "forget"] {
        let done = room.run(&[command]).expect_code(1);
        done.expect_line(&[&format!("nothing was ever started here as '{name}'"), "NAME"]);
    }
    done(room.forerun().args(["--detach", "--port", "0", "--", "sleep", "100"])).expect_code(0);
    assert!(room.run(&["status"]).expect_code(0).stdout.starts_with(&format!("{name} is running")));
    room.run(&["restart"]).expect_code(0);
    room.run(&["logs"]).expect_code(0);
    assert!(room.run(&["stop"]).expect_code(0).stdout.starts_with(&format!("stopped {name}")));
}

#[test]
fn what_is_no_name_is_a_mistake() {
    let room = Room::new();
    let long = "x".repeat(65);
    for command in ["stop", "restart", "status", "logs"] {
        for name in ["", ".", "..", "../web", "a/b", "a b", "a\nb", "ä", &long] {
            let refused = room.run(&[command, name]).expect_code(2);
            assert_eq!(refused.stderr.lines().count(), 1, "{command} {name:?}: {}", refused.stderr);
        }
        let bytes = [std::ffi::OsStr::new(command), crate::bytes(b"\xff")];
        room.run(&bytes).expect_code(2);
    }
    assert!(!room.state().exists());
}

#[test]
fn a_stop_during_a_start_ends_both() {
    let room = Room::new();
    let port = free_port();
    let never = room.path().join("never").display().to_string();
    let starting = begun(&mut serving(&room, port, &[], &["--workers", "2", "--when", &never]));
    let starter = starting.id() as i32;
    eventually("the server is recorded", || recorded(&room).is_some_and(|pid| pid != starter));
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert_eq!(stopped.stdout, "web is not running\n");
    stopped.expect_line(&[&format!("ending the start of 'web' by pid {starter}")]);
    assert_eq!(collect(starting).status.code(), Some(143));
    assert_nothing_left(&room);
}

#[test]
fn a_stop_during_the_waits_of_a_start_ends_it() {
    for mode in ["--detach", "--foreground"] {
        let room = Room::new();
        let mut command = room.forerun();
        command.args([mode, "--name", "web", "--wait", "file:never", "--", "touch", "started"]);
        let starting = begun(&mut command);
        eventually("the start is recorded", || recorded(&room).is_some());
        room.run(&["stop", "web"]).expect_code(0).expect_stderr(&["ending the start of 'web'"]);
        let ended = collect(starting).status;
        // In the foreground it dies of the signal itself.
        let signal = std::os::unix::process::ExitStatusExt::signal(&ended);
        assert!(ended.code() == Some(143) || signal == Some(libc::SIGTERM), "{ended:?}");
        assert_eq!(left(&room), Vec::<i32>::new());
        assert!(!files(&room).contains(&"record.json".to_owned()) && !room.path().join("started").exists());
    }
}

#[test]
fn a_start_whose_server_ignores_sigterm_is_ended_with_it() {
    let room = Room::new();
    let never = room.path().join("never").display().to_string();
    let args = ["--ignore-term", "--when", &never];
    let starting = begun(&mut serving(&room, free_port(), &["--grace", "300ms"], &args));
    let starter = starting.id() as i32;
    eventually("the server is recorded", || recorded(&room).is_some_and(|pid| pid != starter));
    let server = recorded(&room).expect("a pid");
    eventually("it ignores it", || {
        process::status(server, "SigIgn").parse().is_ok_and(|mask: String| {
            u64::from_str_radix(&mask, 16).is_ok_and(|mask| mask & (1 << (libc::SIGTERM - 1)) != 0)
        })
    });
    room.run(&["stop", "web"]).expect_code(0);
    assert_eq!(collect(starting).status.code(), Some(143));
    assert_nothing_left(&room);
}

#[test]
fn an_interrupted_stop_says_what_still_runs_and_the_next_start_finishes_it() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let room = Room::new();
        let port = free_port();
        let options = ["--grace", "10m"];
        let server = serve(&room, port, &options, &["--ignore-term", "--workers", "1"]);
        let stopping = begun(room.forerun().args(["stop", "web"]));
        eventually("it is told to end", || room.record("web")["phase"] == "stopping");
        send(stopping.id() as i32, signal);
        let stopped = collect(stopping);
        let said = String::from_utf8_lossy(&stopped.stderr).into_owned();
        assert_eq!(stopped.status.code(), Some(code), "{said}");
        assert!(said.contains("interrupted: pid ") && said.contains("still runs"), "{said}");
        assert!(alive(server));
        // The second start has another grace.
        let second = serve(&room, port, &["--grace", "300ms"], &[]);
        assert!(second != server && !alive(server) && accepts(port));
        assert_eq!(room.record("web")["phase"], "running");
        eventually("of the first nothing is left", || left(&room) == [second]);
    }
}

#[test]
fn an_interrupted_stop_is_finished_by_the_next_stop() {
    let room = Room::new();
    let server = serve(&room, free_port(), &["--grace", "10m"], &["--ignore-term"]);
    let stopping = begun(room.forerun().args(["stop", "web"]));
    eventually("it is told to end", || room.record("web")["phase"] == "stopping");
    send(stopping.id() as i32, libc::SIGKILL);
    let _ = collect(stopping);
    assert!(alive(server));
    let stopped = room.run(&["stop", "web", "--grace", "200ms"]).expect_code(0);
    assert!(stopped.stdout.starts_with(&format!("stopped web: pid {server}")), "{}", stopped.stdout);
    assert_nothing_left(&room);
}

#[test]
fn ten_stops_at_once_all_end_well() {
    let room = Room::new();
    serve(&room, free_port(), &[], &["--workers", "2"]);
    let stops: Vec<_> = (0..10).map(|_| begun(room.forerun().args(["stop", "web"]))).collect();
    let outputs: Vec<_> = stops.into_iter().map(collect).collect();
    assert!(outputs.iter().all(|o| o.status.success()), "{outputs:?}");
    let stopped = outputs.iter().filter(|o| o.stdout.starts_with(b"stopped web")).count();
    assert_eq!(stopped, 1, "{outputs:?}");
    assert_nothing_left(&room);
}
