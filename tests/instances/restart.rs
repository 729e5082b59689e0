//! restart: what was stopped starts as it was started, but for what forerun.toml says by now.

use std::process::Stdio;
use std::time::Duration;

use crate::common::process;
use crate::common::{Room, accepts, alive, collect, done, eventually, fixture, free_port};
use crate::{
    Killed, begun, bytes, detached, files, in_foreground, in_own_session, json, kill, left, pid, recorded, serve,
    serving,
};

#[test]
fn a_new_server_is_in_the_old_ones_place_and_its_log_goes_on() {
    let room = Room::new();
    let port = free_port();
    let first = serve(&room, port, &[], &["--workers", "2"]);
    let cookie = process::variable(first, "FORERUN_INSTANCE");
    let restarted = done(room.forerun().args(["restart", "web", "--json"])).expect_code(0);
    let second = pid(&restarted);
    assert!(first != second && !alive(first) && accepts(port));
    assert_eq!(left(&room).len(), 3);
    assert_ne!(process::variable(second, "FORERUN_INSTANCE"), cookie);
    let log = std::fs::read_to_string(room.state().join("web/server.log")).expect("UTF-8");
    assert_eq!(log.matches("listening ").count(), 2, "{log}");
    assert_eq!(files(&room), ["lock", "record.json", "server.log"]);
    assert_eq!(json(&restarted)["already_running"], false);
}

#[test]
fn the_ready_lines_are_those_of_a_start() {
    let room = Room::new();
    let port = free_port();
    let first = serve(&room, port, &[], &[]);
    let restarted = room.run(&["restart", "web"]).expect_code(0);
    let lines: Vec<_> = restarted.stdout.lines().collect();
    assert_eq!(lines[0], format!("web is ready at http://127.0.0.1:{port}"));
    assert_eq!(lines[3], "  stop  forerun stop web");
    restarted.expect_line(&[&format!("stopped pid {first} after ")]);
}

#[test]
fn environment_and_folder_are_those_of_the_start() {
    let room = Room::new();
    let port = free_port();
    let folder = room.path().join("folder");
    std::fs::create_dir(&folder).expect("a folder");
    let mut command = serving(&room, port, &["--json", "--env", "GIVEN=1"], &[]);
    command.current_dir(&folder).env("ONE", "started").env("ODD", bytes(b"\xff\n\"")).env("NOTIFY_SOCKET", "");
    done(&mut command).expect_code(0);
    let mut again = room.forerun();
    again.args(["restart", "web", "--json"]).current_dir("/").env("ONE", "restarted").env("TWO", "2").env("GIVEN", "2");
    let server = pid(&done(&mut again).expect_code(0));
    let variable = |name: &str| process::variable(server, name);
    assert_eq!((variable("ONE").as_deref(), variable("TWO")), (Some("started"), None));
    assert_eq!(variable("GIVEN").as_deref(), Some("1"));
    assert!(process::strings(server, "environ").contains(&b"ODD=\xff\n\"".to_vec()));
    let cwd = std::fs::read_link(format!("/proc/{server}/cwd")).expect("a folder");
    assert_eq!(cwd, folder.canonicalize().expect("a path"));
    // And once more: what is recorded is what was recorded.
    let third = pid(&done(room.forerun().args(["restart", "web", "--json"]).current_dir("/")).expect_code(0));
    assert_eq!(process::variable(third, "ONE").as_deref(), Some("started"));
}

#[test]
fn flags_are_those_of_the_start() {
    let room = Room::new();
    let port = free_port();
    serve(&room, port, &["--log", "own.log", "--nofile", "256:300", "--cwd", "/"], &[]);
    let server = pid(&room.run(&["restart", "web", "--json"]).expect_code(0));
    let log = std::fs::read_to_string(room.path().join("own.log")).expect("UTF-8");
    assert_eq!(log.matches("listening ").count(), 2, "{log}");
    let limits = String::from_utf8_lossy(&process::read(server, "limits")).into_owned();
    assert!(limits.lines().any(|l| l.starts_with("Max open files") && l.contains(" 256 ")), "{limits}");
    assert_eq!(std::fs::read_link(format!("/proc/{server}/cwd")).expect("a folder").to_str(), Some("/"));
}

#[test]
fn arguments_that_are_not_utf_8_arrive_again() {
    let room = Room::new();
    let port = free_port();
    let mut command = serving(&room, port, &["--json"], &[]);
    let odd: &[u8] = b"\xff \n'\"";
    let first = pid(&done(command.arg(bytes(odd))).expect_code(0));
    let second = pid(&room.run(&["restart", "web", "--json"]).expect_code(0));
    assert_ne!(first, second);
    assert_eq!(process::strings(second, "cmdline").last().map(Vec::as_slice), Some(odd));
}

/// A forerun.toml of a service on `port`.
fn file(room: &Room, port: u16, more: &str) {
    let command = format!("command = ['{}', 'serve', '{port}']", fixture().display());
    room.file("forerun.toml", &format!("name = 'web'\nport = {port}\n{command}\n{more}\n"));
}

#[test]
fn the_file_is_read_again() {
    let room = Room::new();
    let (first, second) = (free_port(), free_port());
    file(&room, first, "");
    let before = pid(&room.run(&["--detach", "--json"]).expect_code(0));
    file(&room, second, "env = { NEW = '1' }");
    let after = pid(&room.run(&["restart", "--json"]).expect_code(0));
    assert!(!alive(before) && !accepts(first) && accepts(second));
    assert_eq!(process::variable(after, "NEW").as_deref(), Some("1"));
    assert_eq!(room.record("web")["port"], second);
}

#[test]
fn a_file_that_makes_no_sense_stops_nothing() {
    let room = Room::new();
    let port = free_port();
    file(&room, port, "");
    let before = pid(&room.run(&["--detach", "--json"]).expect_code(0));
    file(&room, port, "nonsense = 1");
    let refused = room.run(&["restart", "web"]).expect_code(78);
    refused.expect_line(&["nonsense", &format!("; 'web' goes on as before, pid {before}")]);
    assert!(alive(before) && accepts(port));
    assert_eq!(recorded(&room), Some(before));
}

#[test]
fn a_folder_that_is_gone_stops_nothing() {
    let room = Room::new();
    let folder = room.path().join("folder");
    std::fs::create_dir(&folder).expect("a folder");
    let mut command = serving(&room, free_port(), &["--json", "--cwd", "/"], &[]);
    let before = pid(&done(command.current_dir(&folder)).expect_code(0));
    std::fs::remove_dir(&folder).expect("removed");
    room.run(&["restart", "web"]).expect_code(78).expect_line(&["cannot change to", "folder"]);
    assert!(alive(before));
}

#[test]
fn the_old_one_has_the_grace_that_is_given() {
    let room = Room::new();
    let port = free_port();
    let first = serve(&room, port, &["--grace", "10m"], &["--ignore-term"]);
    let restarted = room.run(&["restart", "web", "--grace", "300ms"]).expect_code(0);
    assert!(restarted.took >= Duration::from_millis(300) && !alive(first));
}

#[test]
fn a_grace_that_is_given_to_a_restart_is_not_the_new_ones() {
    let room = Room::new();
    serve(&room, free_port(), &["--grace", "700ms"], &["--ignore-term"]);
    room.run(&["restart", "web", "--grace", "0s"]).expect_code(0);
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(stopped.took >= Duration::from_millis(700), "{:?}", stopped.took);
}

#[test]
fn the_old_one_has_the_grace_that_it_was_started_with() {
    let room = Room::new();
    let port = free_port();
    let stubborn = format!("command = ['{}', 'serve', '{port}', '--ignore-term']", fixture().display());
    let write = |grace: &str| room.file("forerun.toml", &format!("name = 'web'\nport = {port}\n{stubborn}\n{grace}\n"));
    write("grace = '700ms'");
    let first = pid(&room.run(&["--detach", "--json"]).expect_code(0));
    write("grace = '0s'");
    let restarted = room.run(&["restart"]).expect_code(0);
    assert!(restarted.took >= Duration::from_millis(700) && !alive(first), "{:?}", restarted.took);
    // That of the file is the new one's.
    assert_eq!(room.record("web")["grace"], serde_json::json!({ "secs": 0, "nanos": 0 }));
}

#[test]
fn without_a_record_there_is_nothing_to_start() {
    let room = Room::new();
    room.run(&["restart", "web"]).expect_code(1).expect_line(&["no service is called 'web'"]);
    assert!(!room.state().exists());
    serve(&room, free_port(), &[], &[]);
    room.run(&["stop", "web"]).expect_code(0);
    room.run(&["restart", "web"]).expect_code(1).expect_line(&["'web' is not running", "start it"]);
}

#[test]
fn a_dead_instance_is_started_again_and_what_it_left_is_cleared() {
    let room = Room::new();
    let port = free_port();
    let first = serve(&room, port, &[], &["--prefork", "2"]);
    kill(first);
    let workers = left(&room);
    assert_eq!(workers.len(), 2);
    let second = pid(&room.run(&["restart", "web", "--json"]).expect_code(0));
    assert!(accepts(port) && !workers.iter().any(|worker| alive(*worker)));
    assert_eq!(recorded(&room), Some(second));
}

#[test]
fn one_that_was_started_in_the_foreground_by_hand_is_detached_from_now_on() {
    let room = Room::new();
    let port = free_port();
    let mut first = in_foreground(room.forerun().arg("--foreground"), port, Stdio::null());
    let second = pid(&room.run(&["restart", "web", "--json"]).expect_code(0));
    assert!(!first.is_well() && accepts(port));
    assert_eq!(process::stat(second, process::SESSION), i64::from(second));
    assert_eq!(room.record("web")["mode"], "detached");
    let third = pid(&room.run(&["restart", "web", "--json"]).expect_code(0));
    assert!(second != third && alive(third) && !alive(second));
}

#[test]
fn a_new_one_that_fails_is_reported_as_at_a_start_and_nothing_is_left() {
    let room = Room::new();
    let port = free_port();
    let sick = room.path().join("sick");
    let args = ["--sick", sick.to_str().expect("UTF-8"), "--workers", "1"];
    let first = serve(&room, port, &["--health-timeout", "500ms"], &args);
    std::fs::write(&sick, "").expect("written");
    let failed = room.run(&["restart", "web"]).expect_code(1);
    failed.expect_stderr(&[&format!("stopped pid {first}"), "is not healthy and was stopped", "500", "| listening "]);
    assert!(!accepts(port));
    assert!(left(&room).is_empty());
    room.run(&["status", "web"]).expect_code(1);
    // How it was started is known still.
    std::fs::remove_file(&sick).expect("removed");
    room.run(&["restart", "web"]).expect_code(0);
    assert!(accepts(port));
}

#[test]
fn a_command_that_is_gone_exits_127_and_what_runs_goes_on() {
    let room = Room::new();
    let program = room.fixture_called("server");
    let port = free_port().to_string();
    let mut command = detached(&room, &["--port", &port], &program, &["serve", &port]);
    done(&mut command).expect_code(0);
    std::fs::remove_file(&program).expect("removed");
    let runs = left(&room);
    room.run(&["restart", "web"]).expect_code(127).expect_line(&["cannot execute"]);
    assert_eq!(left(&room), runs);
    assert_eq!(room.run(&["status", "web"]).code, Some(0));
}

#[test]
fn an_interrupted_restart_leaves_nothing_half_started() {
    let room = Room::new();
    let port = free_port();
    let sick = room.path().join("sick");
    serve(&room, port, &["--health-timeout", "10m"], &["--sick", sick.to_str().expect("UTF-8")]);
    let first = recorded(&room).expect("a pid");
    std::fs::write(&sick, "").expect("written");
    let restarting = begun(room.forerun().args(["restart", "web"]));
    let restarter = restarting.id() as i32;
    eventually("the new one is there", || recorded(&room).is_some_and(|pid| pid != first && pid != restarter));
    crate::send(restarter, libc::SIGINT);
    assert_eq!(collect(restarting).status.code(), Some(130));
    assert!(left(&room).is_empty());
}

#[test]
fn five_restarts_at_once_leave_one_server() {
    let room = Room::new();
    let port = free_port();
    serve(&room, port, &[], &["--workers", "1"]);
    let all: Vec<_> = (0..5).map(|_| begun(room.forerun().args(["restart", "web"]))).collect();
    let outputs: Vec<_> = all.into_iter().map(collect).collect();
    assert!(outputs.iter().all(|o| o.status.success()), "{outputs:?}");
    assert!(accepts(port));
    assert_eq!(left(&room).len(), 2);
    assert_eq!(room.run(&["status", "web"]).code, Some(0));
}

#[test]
fn a_standby_does_not_slip_in_between() {
    let room = Room::new();
    let port = free_port();
    let first = serve(&room, port, &[], &["--after", "300"]);
    let start = serving(&room, port, &[], &["--after", "300"]);
    let log = room.path().join("standby");
    let mut standby = room.forerun();
    standby.args(["--foreground", "--on-conflict", "standby"]).args(start.get_args().skip(1));
    standby.stderr(std::fs::File::create(&log).expect("a file")).stdout(Stdio::null());
    let mut standby = Killed(in_own_session(&mut standby).spawn().expect("spawned"));
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("it stands by", || said().contains("standby: "));
    for _ in 0..3 {
        room.run(&["restart", "web"]).expect_code(0);
    }
    let now = recorded(&room).expect("a pid");
    assert!(now != first && now != standby.pid() && alive(now) && accepts(port));
    assert!(standby.is_well() && !said().contains("standby is over"), "{}", said());
}

/// A server of forerun.toml, with more in the file.
#[track_caller]
fn with_file(room: &Room, port: u16, more: &str) -> i32 {
    file(room, port, more);
    pid(&room.run(&["--detach", "--json"]).expect_code(0))
}

#[test]
fn what_can_be_known_is_tried_before_anything_is_stopped() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let another = taken.local_addr().expect("an address").port();
    for (more, code, what) in [
        ("[[require]]\ncheck = 'cmd:not-installed-yet'".to_owned(), 78, "requirement 'cmd:not-installed-yet'"),
        ("wait-timeout = '100ms'\nwait = ['file:never']".to_owned(), 69, "/never' not ready after"),
        ("env-file = 'none.env'".to_owned(), 78, "none.env"),
        ("log = '/dev/null/log'".to_owned(), 73, "cannot open the log"),
        ("cwd = 'gone'".to_owned(), 78, "cannot change to the directory"),
    ] {
        for words in [&["restart"][..], &["--detach", "--replace"]] {
            let room = Room::new();
            let port = free_port();
            let before = with_file(&room, port, "");
            file(&room, port, &more);
            let refused = room.run(words).expect_code(code);
            // A slow machine says before that it waits.
            let last = refused.stderr.lines().last().unwrap_or_default();
            assert!(last.contains(what), "{words:?}: {}", refused.stderr);
            let says = refused.stderr.ends_with(&format!("; 'web' goes on as before, pid {before}\n"));
            assert!(says, "{words:?}: {}", refused.stderr);
            file(&room, port, "");
            assert!(alive(before) && accepts(port));
            assert!(room.run(&["status"]).expect_code(0).stdout.starts_with("web is running, healthy"));
        }
    }
    // The port that it is to have from now on is somebody else's.
    let room = Room::new();
    let port = free_port();
    let before = with_file(&room, port, "");
    file(&room, another, "");
    room.run(&["restart"]).expect_code(75).expect_line(&[&format!("port '{another}' is held by"), "goes on as before"]);
    assert!(alive(before) && accepts(port));
}

#[test]
fn what_was_tried_before_the_stop_is_not_tried_again_after_it() {
    let room = Room::new();
    let port = free_port();
    let more = format!(
        "[[require]]\ncheck = 'exec:echo >> tried; test -e fixed'\nfix = 'echo >> fixed'\n\
         [[require]]\ncheck = 'free:{port}'\n[[wait]]\ncheck = 'exec:echo >> waited'\n"
    );
    let first = with_file(&room, port, &more);
    for name in ["tried", "fixed", "waited"] {
        std::fs::remove_file(room.path().join(name)).expect("it was there");
    }
    let second = pid(&room.run(&["restart", "--json"]).expect_code(0));
    let lines = |name: &str| std::fs::read_to_string(room.path().join(name)).unwrap_or_default().lines().count();
    assert_eq!((lines("tried"), lines("fixed"), lines("waited")), (2, 1, 1));
    assert!(first != second && !alive(first) && accepts(port));
}

#[test]
fn an_interrupted_wait_of_a_restart_leaves_the_server() {
    let room = Room::new();
    let port = free_port();
    let before = with_file(&room, port, "");
    file(&room, port, "wait = ['exec:echo > waits; false']");
    let restarting = begun(room.forerun().arg("restart"));
    process::appears(&room.path().join("waits"));
    crate::send(restarting.id() as i32, libc::SIGINT);
    let ended = collect(restarting);
    assert_eq!(ended.status.code(), Some(130));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains(&format!("interrupted; 'web' goes on as before, pid {before}")), "{said}");
    assert!(alive(before) && accepts(port));
    assert_eq!(room.record("web")["phase"], "running");
}

#[test]
fn a_replacing_start_takes_an_edited_file_for_the_same_service() {
    let room = Room::new();
    let (first, second) = (free_port(), free_port());
    let before = with_file(&room, first, "");
    // Another command and another port, in the same file.
    file(&room, second, "[env]\nNEW = '1'");
    let refused = room.run(&["--detach"]).expect_code(75);
    refused.expect_line(&["another service with another command", "'forerun restart web' starts it as it is now"]);
    let after = pid(&room.run(&["--detach", "--replace", "--json"]).expect_code(0));
    assert!(!alive(before) && !accepts(first) && accepts(second));
    assert_eq!(process::variable(after, "NEW").as_deref(), Some("1"));
    // Another file is another service, also of the same name.
    let other = room.path().join("other.toml");
    std::fs::copy(room.path().join("forerun.toml"), &other).expect("copied");
    let words = ["--detach", "--replace", "--config", "other.toml"];
    room.run(&words).expect_code(75).expect_line(&["another service with another config file"]);
    assert!(alive(after));
}

#[test]
fn a_replacing_start_takes_the_place_of_what_ran_in_the_folder_without_a_file() {
    let room = Room::new();
    let port = free_port();
    let before = serve(&room, port, &[], &[]);
    file(&room, port, "");
    let after = pid(&room.run(&["--detach", "--replace", "--json"]).expect_code(0));
    assert!(!alive(before) && alive(after) && accepts(port));
}

#[test]
fn connections_that_are_still_closing_are_waited_for() {
    let room = Room::new();
    let port = free_port();
    // Each answer of the server leaves its side of the connection in TIME_WAIT.
    let before = serve(&room, port, &[], &["--no-reuse"]);
    assert!(crate::common::answer(port).is_none());
    let log = room.path().join("said");
    let mut restart = room.forerun();
    restart.args(["restart", "web"]).stderr(std::fs::File::create(&log).expect("a file")).stdout(Stdio::null());
    let mut restarting = process::with_plain_signals(&mut restart).spawn().expect("spawned");
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("it waits", || said().contains(&format!("waiting for port '{port}': connections of the server before")));
    assert!(!alive(before) && restarting.try_wait().expect("waited").is_none());
    crate::send(restarting.id() as i32, libc::SIGINT);
    eventually("it ends", || restarting.try_wait().expect("waited").is_some());
    assert_eq!(restarting.wait().expect("waited").code(), Some(130));
    assert!(!said().contains("is held by"), "{}", said());
}
