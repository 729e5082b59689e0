//! status: what it says of one instance and of all, and that it changes nothing.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::common::process::{self, prepared};
use crate::common::{Done, Room, alive, done, eventually, fixture, free_port, has, is_root};
use crate::skip_unless;
use crate::{
    Killed, begun, detached, in_foreground, in_own_session, json, kill, number, pid_in, recorded, script, serve,
    serving,
};

/// `status web --json`, and its exit code.
#[track_caller]
fn status(room: &Room, code: i32) -> Value {
    json(&room.run(&["status", "web", "--json"]).expect_code(code))
}

/// The value of a line of `status web`.
fn value<'a>(done: &'a Done, key: &str) -> Option<&'a str> {
    let line = done.stdout.lines().find_map(|line| line.strip_prefix(&format!("  {key}"))?.strip_prefix(' '));
    line.map(str::trim)
}

/// `N of M`, as it is when nothing happens.
fn descriptors(pid: i32) -> (u64, u64) {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a folder").count() as u64;
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    (open, line.split_whitespace().nth(3).and_then(|n| n.parse().ok()).expect("a number"))
}

/// Waits until the server has closed the connection of the check that it was started with.
fn is_at_rest(pid: i32) {
    let sockets =
        || process::descriptors(pid).values().filter(|link| link.to_string_lossy().starts_with("socket:")).count();
    eventually("only the listening socket is open", || sockets() == 1);
}

#[test]
fn every_fact_has_its_line() {
    let room = Room::new();
    let port = free_port();
    let pid = serve(&room, port, &["--nofile", "200:300"], &["--workers", "2"]);
    is_at_rest(pid);
    let done = room.run(&["status", "web"]).expect_code(0);
    assert_eq!(done.stderr, "");
    assert_eq!(done.stdout.lines().next(), Some("web is running, healthy"));
    let line = |key| value(&done, key).unwrap_or_else(|| panic!("no {key}: {}", done.stdout));
    assert_eq!(line("health"), format!("http://127.0.0.1:{port}/health holds"));
    assert_eq!(line("url"), format!("http://127.0.0.1:{port}"));
    assert_eq!(line("pid"), format!("{pid}, 2 workers"));
    assert_eq!(line("mode"), "detached");
    assert!(line("uptime").ends_with('s'), "{}", done.stdout);
    assert_eq!(line("fds"), format!("{} of 200", descriptors(pid).0));
    assert_eq!(line("log"), room.state().join("web/server.log").display().to_string());
    assert_eq!(line("stop"), "forerun stop web");
    assert_eq!(done.stdout.lines().count(), 9, "{}", done.stdout);
}

#[test]
fn json_has_every_fact() {
    let room = Room::new();
    let port = free_port();
    let pid = serve(&room, port, &["--nofile", "200:300"], &["--workers", "2"]);
    is_at_rest(pid);
    let mut is = status(&room, 0);
    let uptime = is["uptime_seconds"].take();
    assert!(uptime.as_f64().is_some_and(|seconds| (0.0..100.0).contains(&seconds)), "{uptime}");
    let url = format!("http://127.0.0.1:{port}");
    let expected = serde_json::json!({
        "schema": 1, "name": "web", "user": null, "state": "running", "reason": null, "running": true, "healthy": true,
        "health": { "check": format!("{url}/health"), "ok": true, "reason": null },
        "pid": pid, "mode": "detached", "supervisor": null, "unit": null, "uptime_seconds": null,
        "url": url, "port": port, "port_held_by": null, "log": room.state().join("web/server.log").to_str(),
        "fds": { "open": descriptors(pid).0, "limit": 200 }, "workers": 2,
        "was_pid": null, "ended": null, "served_by": [], "goes_on": [], "sidecar": null, "left_alone": [], "stop": "forerun stop web",
    });
    assert_eq!(is, expected);
}

#[test]
fn the_uptime_grows() {
    let room = Room::new();
    serve(&room, free_port(), &[], &[]);
    let uptime = || status(&room, 0)["uptime_seconds"].as_f64().expect("seconds");
    let first = uptime();
    eventually("a second has gone by", || uptime() >= first + 1.0);
}

#[test]
fn what_does_not_run_exits_1() {
    let room = Room::new();
    for words in [&["status", "web"][..], &["status", "web", "--json"]] {
        let done = room.run(words).expect_code(1).expect_line(&["no service is called 'web'"]);
        assert_eq!(done.stdout, "");
    }
    let done = room.run(&["status"]).expect_code(1);
    assert_eq!(done.stdout, format!("no instance is running (instances in '{}')\n", room.state().display()));
    assert_eq!(json(&room.run(&["status", "--json"]).expect_code(1)), serde_json::json!([]));
    assert!(!room.state().exists());
    serve(&room, free_port(), &[], &[]);
    room.run(&["stop", "web"]).expect_code(0);
    let done = room.run(&["status", "web"]).expect_code(1);
    assert_eq!(done.stdout, format!("web is not running (instances in '{}')\n", room.state().display()));
    assert_eq!(
        status(&room, 1),
        serde_json::json!({ "schema": 1, "name": "web", "state": "not running", "running": false })
    );
    room.run(&["status"]).expect_code(1);
}

#[test]
fn what_is_not_healthy_exits_1_and_says_why() {
    let room = Room::new();
    let port = free_port();
    let sick = room.path().join("sick");
    let pid = serve(&room, port, &[], &["--sick", sick.to_str().expect("UTF-8")]);
    std::fs::write(&sick, "").expect("written");
    let done = room.run(&["status", "web"]).expect_code(1);
    assert_eq!(done.stdout.lines().next(), Some("web is running, not healthy"));
    let health = value(&done, "health").expect("a line");
    assert!(health.starts_with(&format!("http://127.0.0.1:{port}/health does not hold: ")) && health.contains("500"));
    let is = status(&room, 1);
    assert_eq!((&is["running"], &is["healthy"], number(&is["pid"])), (&true.into(), &false.into(), pid));
    assert!(is["health"]["reason"].as_str().is_some_and(|why| why.contains("500")), "{is}");
    std::fs::remove_file(&sick).expect("removed");
    assert_eq!(status(&room, 0)["healthy"], true);
}

#[test]
fn a_server_that_hangs_is_not_waited_for_without_end() {
    let room = Room::new();
    let pid = serve(&room, free_port(), &[], &[]);
    crate::suspend(pid);
    let is = room.run(&["status", "web", "--json"]).expect_code(1);
    crate::send(pid, libc::SIGCONT);
    assert_eq!((&json(&is)["running"], &json(&is)["healthy"]), (&true.into(), &false.into()));
    assert!(is.took < Duration::from_secs(15), "{:?}", is.took);
}

#[test]
fn without_a_check_it_is_healthy_as_long_as_it_runs() {
    let room = Room::new();
    done(&mut detached(&room, &[], "sleep", &["300"])).expect_code(0);
    let is = status(&room, 0);
    assert_eq!((&is["healthy"], &is["health"], &is["url"]), (&true.into(), &Value::Null, &Value::Null));
    let done = room.run(&["status", "web"]).expect_code(0);
    assert_eq!(done.stdout.lines().next(), Some("web is running"));
    assert_eq!(value(&done, "url"), None);
}

#[test]
fn what_is_starting_is_said_to_and_exits_1() {
    let room = Room::new();
    let never = room.path().join("never").display().to_string();
    let mut starting = Killed(begun(&mut serving(&room, free_port(), &[], &["--when", &never])));
    eventually("the server is recorded", || recorded(&room).is_some_and(|pid| pid != starting.pid()));
    assert_eq!(room.run(&["status", "web"]).expect_code(1).stdout.lines().next(), Some("web is starting"));
    let is = status(&room, 1);
    assert_eq!((&is["state"], &is["running"], &is["healthy"]), (&"starting".into(), &false.into(), &Value::Null));
    assert!(starting.is_well());
}

#[test]
fn what_was_told_to_end_is_stopping() {
    let room = Room::new();
    serve(&room, free_port(), &[], &["--ignore-term"]);
    let stopping = Killed(begun(room.forerun().args(["stop", "web", "--grace", "10m"])));
    eventually("it is told to end", || room.record("web")["phase"] == "stopping");
    assert_eq!(status(&room, 1)["state"], "stopping");
    drop(stopping);
}

#[test]
fn a_dead_main_with_processes_left_is_not_running_and_they_are_counted() {
    let room = Room::new();
    let pid = serve(&room, free_port(), &[], &["--prefork", "2"]);
    kill(pid);
    let done = room.run(&["status", "web"]).expect_code(1);
    assert_eq!(done.stdout.lines().next(), Some("web is not running"));
    // Not every kernel keeps how it ended.
    let was = value(&done, "was").unwrap_or_default().replace(", which was killed by SIGKILL", "");
    assert_eq!(was, format!("pid {pid}, detached"));
    assert!(
        value(&done, "left").is_some_and(|left| left == "2 processes of it; to stop it: forerun stop web"),
        "{}",
        done.stdout
    );
    let is = status(&room, 1);
    assert_eq!((number(&is["workers"]), &is["running"], &is["uptime_seconds"]), (2, &false.into(), &Value::Null));
}

#[test]
fn what_left_into_a_session_of_its_own_is_named() {
    let room = Room::new();
    let file = room.path().join("escaped");
    serve(&room, free_port(), &[], &["--escape", file.to_str().expect("UTF-8"), "--workers", "1"]);
    let escaped = pid_in(file);
    let done = room.run(&["status", "web"]).expect_code(0);
    assert!(value(&done, "left").is_some_and(|l| l.starts_with(&format!("pid {escaped} ("))), "{}", done.stdout);
    let is = status(&room, 0);
    assert_eq!((number(&is["workers"]), is["left_alone"].as_array().map(Vec::len)), (1, Some(1)));
    // Also once nothing else is there.
    room.run(&["stop", "web"]).expect_code(0);
    let done = room.run(&["status", "web"]).expect_code(1);
    assert!(value(&done, "left").is_some_and(|l| l.starts_with(&format!("pid {escaped} ("))), "{}", done.stdout);
}

#[test]
fn somebody_else_on_the_port_is_named_and_is_not_health() {
    let room = Room::new();
    let port = free_port();
    // The server lets go of its port, and somebody older has it.
    let there = room.path().join("there");
    let mut stranger = Command::new(fixture());
    stranger.args(["serve", &port.to_string(), "--when", there.to_str().expect("UTF-8")]).stdout(Stdio::null());
    let stranger = Killed(in_own_session(&mut stranger).spawn().expect("spawned"));
    crate::process::let_a_tick_pass(stranger.pid());
    let url = format!("http://127.0.0.1:{port}/health");
    let is_up = format!("exec:test -e '{}'", room.path().join("up").display());
    let text = "echo > up; exec sleep 300";
    let start = |health: &str| {
        let mut command = room.forerun();
        command.args(["--detach", "--name", "web", "--port", &port.to_string(), "--health", health, "--json"]);
        done(command.args(["--", "/bin/sh", "-c", text])).expect_code(0)
    };
    let pid = crate::pid(&start(&is_up));
    // As if it had been started with a health URL.
    let mut record = room.record("web");
    let args = [
        "forerun",
        "--detach",
        "--name",
        "web",
        "--port",
        &port.to_string(),
        "--health",
        &url,
        "--",
        "/bin/sh",
        "-c",
        text,
    ];
    record["arguments"] = args.to_vec().into();
    std::fs::write(room.state().join("web/record.json"), record.to_string()).expect("written");
    assert_eq!(status(&room, 1)["port_held_by"], Value::Null);
    std::fs::write(&there, "").expect("written");
    eventually("the stranger listens", || crate::accepts(port));
    let is = status(&room, 1);
    let holder = format!("pid {} (", stranger.pid());
    assert!(is["port_held_by"].as_str().is_some_and(|who| who.starts_with(&holder)), "{is}");
    assert_eq!((&is["running"], &is["healthy"], number(&is["pid"])), (&true.into(), &false.into(), pid));
    let done = room.run(&["status", "web"]).expect_code(1);
    assert!(
        value(&done, "port").is_some_and(|line| line.starts_with(&format!("{port} is held by {holder}"))),
        "{}",
        done.stdout
    );
    // The same of a service that does not run.
    kill(pid);
    let is = status(&room, 1);
    assert!(is["port_held_by"].as_str().is_some_and(|who| who.starts_with(&holder)), "{is}");
}

#[test]
fn a_supervised_one_names_its_supervisor_and_unit() {
    let room = Room::new();
    let mut forerun = room.forerun();
    forerun.envs([("SUPERVISOR_ENABLED", "1"), ("SUPERVISOR_PROCESS_NAME", "web"), ("SUPERVISOR_GROUP_NAME", "all")]);
    let server = in_foreground(&mut forerun, free_port(), Stdio::null());
    let is = status(&room, 0);
    assert_eq!((&is["supervisor"], &is["unit"]), (&"supervisord".into(), &"all:web".into()));
    assert_eq!((&is["mode"], number(&is["pid"]), number(&is["workers"])), (&"foreground".into(), server.pid(), 2));
    assert_eq!((&is["stop"], &is["log"]), (&"supervisorctl stop all:web".into(), &Value::Null));
    let done = room.run(&["status", "web"]).expect_code(0);
    assert_eq!(value(&done, "under"), Some("supervisord (all:web)"));
    assert_eq!((value(&done, "mode"), value(&done, "log")), (Some("foreground"), None));
    let table = room.run(&["status"]).expect_code(0).stdout;
    assert!(table.contains(" supervisord (all:web) "), "{table}");
}

#[test]
fn several_are_a_table_and_a_list() {
    let room = Room::new();
    let port = free_port();
    let web = serve(&room, port, &[], &["--workers", "1"]);
    let start = |name: &str| {
        let mut command = room.forerun();
        crate::pid(&done(command.args(["--detach", "--json", "--name", name, "--", "sleep", "300"])).expect_code(0))
    };
    let (api, gone) = (start("api"), start("gone"));
    let good = room.run(&["status"]).expect_code(0);
    let lines: Vec<_> = good.stdout.lines().collect();
    let words = |at: usize| lines[at].split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(0), ["NAME", "STATE", "HEALTH", "PID", "UNDER", "UPTIME", "WORKERS", "FDS", "URL"]);
    assert_eq!((words(1)[..5].join(" "), words(2)[0]), (format!("api running - {api} detached"), "gone"));
    assert_eq!(words(3)[..5].join(" "), format!("web running healthy {web} detached"));
    assert_eq!(words(3).last(), Some(&format!("http://127.0.0.1:{port}").as_str()));
    assert_eq!(lines[4..], ["".to_owned(), format!("instances in '{}'", room.state().display())]);
    // Columns begin where their titles do.
    let column = lines[0].find("PID").expect("a title");
    assert!(lines[1][column..].starts_with(&api.to_string()) && lines[3][column..].starts_with(&web.to_string()));
    kill(gone);
    let all = json(&room.run(&["status", "--json"]).expect_code(1));
    let of = |key: &str| all.as_array().expect("a list").iter().map(|is| is[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("name"), ["api", "gone", "web"]);
    assert_eq!(of("running"), [true, false, true]);
    assert!(room.run(&["status"]).expect_code(1).stdout.contains("gone  not running"));
}

#[test]
fn in_a_folder_with_a_file_it_is_of_that_service() {
    let room = Room::new();
    room.file("forerun.toml", "name = 'web'\n");
    assert!(room.run(&["status"]).expect_code(1).stdout.starts_with("web is not running"));
    serve(&room, free_port(), &[], &[]);
    let done = room.run(&["status"]).expect_code(0);
    assert!(done.stdout.starts_with("web is running, healthy\n"), "{}", done.stdout);
}

#[test]
fn a_damaged_record_is_reported_and_stays_where_it_is() {
    let room = Room::new();
    let path = room.state().join("web/record.json");
    serve(&room, free_port(), &[], &[]);
    let whole = std::fs::read(&path).expect("read");
    let foreign = String::from_utf8_lossy(&whole).replace("\"name\":\"web\"", "\"name\":\"other\"").into_bytes();
    for damaged in [&whole[..whole.len() / 2], b"", b"null", b"\xff", &foreign] {
        std::fs::write(&path, damaged).expect("written");
        let said = room.run(&["status", "web"]).expect_code(1);
        assert!(said.stdout.starts_with("web is unknown\n"), "{}", said.stdout);
        assert!(value(&said, "reason").is_some_and(|why| why.contains("cannot be trusted")), "{}", said.stdout);
        let is = status(&room, 1);
        assert_eq!((&is["state"], &is["running"], &is["pid"]), (&"unknown".into(), &false.into(), &Value::Null));
        assert!(room.run(&["status"]).expect_code(1).stdout.contains("unknown"));
        assert_eq!(std::fs::read(&path).expect("read"), damaged);
    }
    assert_eq!(crate::files(&room), ["lock", "record.json", "server.log"]);
}

#[test]
fn a_record_that_is_a_link_is_not_followed() {
    let room = Room::new();
    serve(&room, free_port(), &[], &[]);
    let (path, aside) = (room.state().join("web/record.json"), room.path().join("record"));
    std::fs::rename(&path, &aside).expect("renamed");
    symlink(&aside, &path).expect("a symlink");
    assert_eq!(status(&room, 1)["state"], "unknown");
    assert!(path.is_symlink());
}

#[test]
fn what_is_no_services_folder_is_passed_over() {
    let room = Room::new();
    let pid = serve(&room, free_port(), &[], &[]);
    for name in ["a b", "\u{1b}[31mred", "with\nline", "-x\u{7f}"] {
        std::fs::create_dir(room.state().join(name)).expect("a folder");
        std::fs::copy(room.state().join("web/record.json"), room.state().join(name).join("record.json"))
            .expect("copied");
    }
    std::fs::create_dir(room.state().join(crate::bytes(b"\xff"))).expect("a folder");
    std::fs::create_dir(room.state().join("empty")).expect("a folder");
    let all = json(&room.run(&["status", "--json"]).expect_code(0));
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    assert_eq!(number(&all[0]["pid"]), pid);
    let table = room.run(&["status"]).expect_code(0).stdout;
    assert!(!table.contains('\u{1b}') && table.lines().count() == 4, "{table:?}");
}

#[test]
fn what_is_no_folder_or_a_link_to_one_is_not_looked_into() {
    let room = Room::new();
    serve(&room, free_port(), &[], &[]);
    std::fs::write(room.state().join("file"), "").expect("written");
    symlink(room.state().join("web"), room.state().join("link")).expect("a symlink");
    for name in ["file", "link"] {
        let is = json(&room.run(&["status", name, "--json"]).expect_code(1));
        assert_eq!(is["running"], false, "{name}: {is}");
    }
}

/// Makes forerun one that may write nowhere where the mode says so. Root may by these two privileges; without
/// privileges there is nothing to drop.
fn without_privilege(command: &mut Command) -> &mut Command {
    prepared(command, || {
        const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
        const CAP_DAC_READ_SEARCH: libc::c_ulong = 2;
        for privilege in [CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH] {
            // SAFETY: integers.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, privilege, 0, 0, 0) };
        }
    })
}

#[test]
fn a_state_folder_that_cannot_be_written_is_enough_for_a_status() {
    let room = Room::new();
    let pid = serve(&room, free_port(), &[], &[]);
    let set = |mode| {
        for folder in [room.state(), room.state().join("web")] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).expect("set");
        }
    };
    set(0o500);
    let is = done(without_privilege(room.forerun().args(["status", "web", "--json"])));
    let all = done(without_privilege(room.forerun().args(["status", "--json"])));
    set(0o700);
    assert_eq!(number(&json(&is.expect_code(0))["pid"]), pid);
    assert_eq!(json(&all.expect_code(0)).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_state_folder_that_cannot_be_read_is_an_error_and_not_nothing() {
    let room = Room::new();
    serve(&room, free_port(), &[], &[]);
    let set = |mode| std::fs::set_permissions(room.state(), std::fs::Permissions::from_mode(mode)).expect("set");
    set(0o000);
    let all = done(without_privilege(room.forerun().arg("status")));
    let one = done(without_privilege(room.forerun().args(["status", "web"])));
    set(0o700);
    all.expect_code(73).expect_line(&["cannot read the state folder"]);
    assert!(one.expect_code(1).stdout.starts_with("web is unknown"));
}

#[test]
fn a_status_changes_nothing_but_what_an_ended_instance_knew_of_secrets() {
    let room = Room::new();
    let port = free_port();
    let pid = serve(&room, port, &[], &["--prefork", "1"]);
    kill(pid);
    let look = || {
        let mut record = room.record("web");
        for gone in ["environment", "is_spent", "ended"] {
            record[gone].take();
        }
        record
    };
    let before = (look(), crate::files(&room), crate::left(&room));
    assert_ne!(room.record("web")["environment"], serde_json::json!([]));
    room.run(&["status", "web"]).expect_code(1);
    room.run(&["status"]).expect_code(1);
    assert_eq!((look(), crate::files(&room), crate::left(&room)), before);
    assert_eq!(room.record("web")["environment"], serde_json::json!([]));
}

#[test]
fn a_check_sees_the_environment_of_the_start() {
    let room = Room::new();
    let options = ["--json", "--health", "exec:test \"$ONE\" = started && test -e up"];
    let mut command = detached(&room, &options, "/bin/sh", &["-c", "echo > up; exec sleep 300"]);
    done(command.env("ONE", "started")).expect_code(0);
    let is = done(room.forerun().args(["status", "web", "--json"]).env("ONE", "now").current_dir("/")).expect_code(0);
    assert_eq!(json(&is)["healthy"], true);
}

#[test]
fn a_changed_file_is_no_reason_not_to_say_that_it_runs() {
    let room = Room::new();
    room.file("forerun.toml", "name = 'web'\ncommand = ['sleep', '300']\n");
    let pid = crate::pid(&room.run(&["--detach", "--json"]).expect_code(0));
    room.file("forerun.toml", "nonsense = 1\n");
    let is = json(&done(room.forerun().args(["status", "web", "--json"]).current_dir("/")).expect_code(1));
    assert_eq!((&is["running"], &is["healthy"], number(&is["pid"])), (&true.into(), &Value::Null, pid));
    assert!(is["health"]["reason"].as_str().is_some_and(|why| why.contains("nonsense")), "{is}");
}

#[test]
fn one_that_runs_a_check_of_a_dead_instance_does_not_run_it() {
    let room = Room::new();
    let text = "echo > up; exec sleep 300";
    let pid = script(&room, &[], text);
    kill(pid);
    let mut record = room.record("web");
    record["arguments"] = vec!["forerun", "--name", "web", "--health", "exec:touch ran", "--", "x"].into();
    std::fs::write(room.state().join("web/record.json"), record.to_string()).expect("written");
    status(&room, 1);
    assert!(!room.path().join("ran").exists());
}

/// Runs forerun as `user` where root's home and that of "alice", 12345, are folders of the room.
fn among_users(room: &Room, user: u32, args: &[&str]) -> Done {
    let path = |name: &str| room.path().join(name).display().to_string();
    if !room.path().join("passwd").exists() {
        let accounts = format!(
            "root:x:0:0::{}:/bin/sh\nalice:x:12345:12345::{}:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/sh\n",
            path("root"),
            path("alice")
        );
        room.file("passwd", &accounts);
        for (name, owner) in [("root", 0), ("alice", 12345)] {
            std::fs::create_dir(room.path().join(name)).expect("a folder");
            std::os::unix::fs::chown(room.path().join(name), Some(owner), Some(owner)).expect("owned");
        }
        std::fs::set_permissions(room.path(), std::fs::Permissions::from_mode(0o755)).expect("set");
        // Where the tests are built may be a folder that nobody else may enter.
        done(Command::new("cp").arg(env!("CARGO_BIN_EXE_forerun")).arg(room.path().join("forerun"))).expect_code(0);
        done(Command::new("cp").arg(fixture()).arg(room.path().join("server"))).expect_code(0);
    }
    let id = user.to_string();
    let mut command = Command::new("unshare");
    let text = "mount --bind passwd /etc/passwd && exec setpriv --reuid \"$0\" --regid \"$0\" --clear-groups \"$@\"";
    command.args(["--mount", "/bin/sh", "-c", text, &id]).arg(room.path().join("forerun")).args(args);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(room.path());
    done(command.stdin(Stdio::null()))
}

fn can_have_users() -> bool {
    let mounts = || done(Command::new("unshare").args(["--mount", "mount", "--bind", "/etc/hosts", "/etc/passwd"]));
    is_root() && has("unshare") && has("setpriv") && mounts().code == Some(0)
}

#[test]
fn root_sees_everybodys_and_everybody_else_their_own() {
    skip_unless!(can_have_users(), "needs root, unshare, setpriv and mounts");
    let room = Room::new();
    let _cleared = crate::Cleared(&room);
    let (of_root, of_alice) = (free_port(), free_port());
    let start = |user: u32, port: u16, name: &str| {
        let (server, port) = (room.path().join("server").display().to_string(), port.to_string());
        let args = ["--detach", "--json", "--name", name, "--port", &port, "--", &server, "serve", &port];
        crate::pid(&among_users(&room, user, &args).expect_code(0))
    };
    let (root, alice) = (start(0, of_root, "web"), start(12345, of_alice, "web"));
    let second = start(12345, free_port(), "api");
    let seen = |user: u32, args: &[&str]| among_users(&room, user, args);
    // Root: its own are checked, others' are not.
    let all = json(&seen(0, &["status", "--json"]).expect_code(0));
    let list: Vec<_> =
        all.as_array().expect("a list").iter().map(|is| (is["user"].clone(), number(&is["pid"]))).collect();
    assert_eq!(list, [(Value::Null, root), ("alice".into(), second), ("alice".into(), alice)]);
    let table = seen(0, &["status"]).expect_code(0).stdout;
    assert!(table.starts_with("NAME  USER   STATE") && table.ends_with("instances of all users\n"), "{table}");
    let both = seen(0, &["status", "web"]).expect_code(0).stdout;
    assert!(both.contains(&format!("  pid     {root}\n")) && both.contains(&format!("  pid     {alice}\n")), "{both}");
    assert!(both.contains("  user    alice\n") && both.contains("only its user can check it"), "{both}");
    // Alice: hers alone.
    let own = json(&seen(12345, &["status", "--json"]).expect_code(0));
    assert_eq!(own.as_array().map(|all| all.iter().map(|is| number(&is["pid"])).collect()), Some(vec![second, alice]));
    let table = seen(12345, &["status"]).expect_code(0).stdout;
    assert!(!table.contains("USER") && table.ends_with("your instances; root sees everyone's\n"), "{table}");
    // A stop of root's is of root's.
    seen(0, &["stop", "web"]).expect_code(0);
    assert!(!alive(root) && alive(alice));
    seen(12345, &["stop", "web"]).expect_code(0);
    assert!(!alive(alice) && alive(second));
}
