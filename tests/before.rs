//! `[[before]]`: steps that run before the server, one after another, never two at once, and that end with their start.

mod common;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::process::{self, send};
use common::terminal::Terminal;
use common::{Done, Killed, Manager, Room, alive, collect, done, eventually, fixture, free_port, has, left};

/// forerun.toml with these steps: what is before the first table, and the tables.
fn config(room: &Room, top: &str, tables: &str) {
    let server = format!("command = ['{}', 'describe', 'server']\nname = 'web'\nport = 0", fixture().display());
    room.file("forerun.toml", &format!("{server}\n{top}\n{tables}\n"));
}

fn read(room: &Room, name: &str) -> String {
    std::fs::read_to_string(room.path().join(name)).unwrap_or_default()
}

fn is_there(room: &Room, name: &str) -> bool {
    room.path().join(name).exists()
}

/// A step that runs until it is killed, with a child, and the pids of both.
const HANGS: &str = r#"[[before]]
run = '''
sleep 3600 &
echo $! >child.new; mv child.new child
echo $$ >step.new; mv step.new step
echo working >&2
wait
'''
"#;

/// The pids of a step that hangs, once it does.
fn hanging(room: &Room) -> [i32; 2] {
    eventually("the step runs", || is_there(room, "step"));
    ["step", "child"].map(|name| read(room, name).trim().parse().expect("a pid"))
}

/// Waits until a step is gone, with all that it started, and its keeper.
#[track_caller]
fn is_gone(room: &Room, pids: [i32; 2]) {
    eventually("the step is gone", || pids.iter().all(|&pid| !Path::new(&format!("/proc/{pid}")).exists()));
    eventually("nothing is left", || left(room).is_empty());
    assert!(!is_there(room, "server"), "the server was started");
}

fn spawned(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned")
}

fn text(child: Child) -> (Option<i32>, String) {
    let output = collect(child);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Starts in the foreground, ends the server once it is there, and returns what was said.
fn in_foreground(room: &Room, command: &mut Command) -> String {
    let child = spawned(command.arg("--foreground"));
    eventually("the server runs", || is_there(room, "server"));
    send(child.id() as i32, libc::SIGTERM);
    text(child).1
}

#[test]
fn steps_run_in_their_order_after_the_waits_and_before_the_server() {
    for mode in ["--detach", "--foreground"] {
        let room = Room::new();
        let tables = "[[before]]\nrun = 'test -e ready && ! test -e server && echo one >>order; echo said one'\n\
            [[before]]\nrun = 'sleep 0.1; echo two >>order; echo said two >&2'\n[[before]]\nrun = 'echo three >>order'";
        config(&room, "wait = ['file:ready']", tables);
        let child = spawned(room.forerun().arg(mode));
        let folder = room.path().to_owned();
        eventually("it waits", || is_there(&room, "state/web/record.json"));
        assert!(!is_there(&room, "order"));
        std::fs::write(folder.join("ready"), "").expect("written");
        eventually("the server runs", || is_there(&room, "server"));
        assert_eq!(read(&room, "order"), "one\ntwo\nthree\n", "{mode}");
        match mode {
            "--detach" => {
                assert_eq!(text(child).0, Some(0));
                let log = room.run(&["logs"]).expect_code(0).stdout;
                assert_eq!(log, "said one\nsaid two\n");
                room.run(&["stop"]).expect_code(0);
            }
            _ => {
                send(child.id() as i32, libc::SIGTERM);
                let said = text(child).1;
                let lines: Vec<_> = said.lines().filter(|line| line.starts_with("said")).collect();
                assert_eq!(lines, ["said one", "said two"]);
                assert!(
                    said.contains("forerun: running step 2 of 3: 'sleep 0.1; echo two >>order; echo said two >&2'")
                );
            }
        }
    }
}

#[test]
fn a_short_form_is_a_step_too() {
    for before in ["'echo a >>order'", "['echo a >>order', { run = 'echo b >>order' }]", "[]"] {
        let room = Room::new();
        config(&room, &format!("before = {before}"), "");
        room.run(&["--detach"]).expect_code(0);
        let expected = if before == "[]" {
            ""
        } else if before.contains("echo b") {
            "a\nb\n"
        } else {
            "a\n"
        };
        assert_eq!(read(&room, "order"), expected);
        room.run(&["stop"]).expect_code(0);
    }
}

#[test]
fn a_step_has_the_variables_and_the_folder_of_the_server_and_the_limits_that_came() {
    let room = Room::new();
    std::fs::create_dir(room.path().join("app")).expect("a folder");
    room.file(".env", "FROM_FILE=one\nBOTH=file\n");
    let tables = "[env]\nBOTH = 'table'\n[limits]\nnofile = '128:256'\n[[before]]\n\
        run = 'env >../env; ulimit -Sn >../limit; pwd >../cwd; readlink /proc/self/fd/0 >../stdin; ls /proc/self/fd >../fds'";
    config(&room, "cwd = 'app'\nenv-file = '.env'", tables);
    let manager = Manager::new(&room);
    let mut command = room.forerun();
    command
        .env("NOTIFY_SOCKET", &manager.path)
        .env("LISTEN_FDS", "1")
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDNAMES", "x");
    command.env("WATCHDOG_USEC", "60000000").env("WATCHDOG_PID", "1").env("FORERUN_UNIT", "/u");
    let child = spawned(command.arg("--foreground"));
    eventually("the server runs", || is_there(&room, "app/server"));
    let server = read(&room, "app/server");
    let pid = child.id() as i32;
    assert!(server.contains("nofile 128:256") && server.contains(&format!("pid {pid}\n")), "{server}");
    assert_eq!(process::children(pid), [0; 0], "a child is left");
    let open: Vec<_> = process::descriptors(pid).into_keys().collect();
    assert_eq!(open, [0, 1, 2]);
    send(pid, libc::SIGTERM);
    let _ = collect(child);
    let environment = read(&room, "env");
    let has = |entry: &str| environment.lines().any(|line| line == entry);
    assert!(has("FROM_FILE=one") && has("BOTH=table"), "{environment}");
    for name in
        ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID", "FORERUN_UNIT"]
    {
        assert!(!environment.lines().any(|line| line.starts_with(&format!("{name}="))), "{environment}");
    }
    assert_ne!(read(&room, "limit").trim(), "128");
    let app = room.path().join("app").canonicalize().expect("a path");
    assert_eq!(read(&room, "cwd").trim(), app.display().to_string());
    assert_eq!(read(&room, "stdin").trim(), "/dev/null");
    // One more is that of the folder which `ls` reads.
    assert_eq!(read(&room, "fds"), "0\n1\n2\n3\n");
}

#[test]
fn a_step_that_fails_ends_the_start_and_says_its_last_line() {
    let room = Room::new();
    for (run, permanent, code, why) in [
        ("echo out; echo first >&2; echo why >&2; exit 4", false, 69, "why (it exited with status 4)"),
        ("echo why >&2; echo out; exit 4", true, 78, "why (it exited with status 4)"),
        ("exit 4", false, 69, "it exited with status 4"),
        ("kill -9 $$", false, 69, "it was killed by SIGKILL"),
        ("exec /nonexistent", false, 69, "not found (it exited with status 127)"),
        ("test \"$TOKEN\" = x", false, 69, "it exited with status 1"),
    ] {
        let tables = format!(
            "[env]\nTOKEN = 'hunter2'\n[[before]]\nrun = '''{run}'''\npermanent = {permanent}\n[[before]]\nrun = 'touch next'"
        );
        config(&room, "", &tables);
        for mode in ["--detach", "--foreground"] {
            let Done { stderr, .. } = room.run(&[mode]).expect_code(code);
            let line = stderr.lines().last().expect("a line");
            let begins = format!("forerun: step '{run}' of [[before]] failed: ");
            assert!(line.starts_with(&begins) && line.contains(why), "{line}");
            let ends =
                if permanent { "; mend it and start again" } else { "; mend it; the next start runs the steps again" };
            assert!(line.ends_with(ends), "{line}");
            assert_eq!(line.contains("its output is in the log '"), mode == "--detach", "{line}");
            assert!(!stderr.contains("hunter2"), "{stderr}");
            assert!(!is_there(&room, "next") && !is_there(&room, "server"), "{mode} {run}");
            assert!(!is_there(&room, "state/web/record.json"));
        }
    }
    assert!(read(&room, "state/web/server.log").contains("out\n"));
}

#[test]
fn a_step_that_takes_too_long_is_killed_with_its_group() {
    for mode in ["--detach", "--foreground"] {
        let room = Room::new();
        config(&room, "", &format!("{HANGS}timeout = '1s'"));
        let child = spawned(room.forerun().arg(mode));
        let pids = hanging(&room);
        let (code, said) = text(child);
        // Nothing is left as soon as forerun has ended.
        assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "{mode}");
        assert_eq!(code, Some(69), "{said}");
        let why = "step 'sleep 3600 & ...' of [[before]] failed: it did not end within 1s, and was killed with its process group; \
                   it said last: working; ";
        assert!(said.contains(why), "{said}");
        is_gone(&room, pids);
    }
}

#[test]
fn a_step_ends_with_its_start_however_that_ends() {
    for mode in ["--detach", "--foreground"] {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGKILL] {
            let room = Room::new();
            config(&room, "", HANGS);
            let child = spawned(room.forerun().arg(mode));
            let pids = hanging(&room);
            send(child.id() as i32, signal);
            let _ = collect(child);
            is_gone(&room, pids);
            // The next start finds nothing in its way.
            config(&room, "before = 'touch again'", "");
            room.run(&["--detach"]).expect_code(0);
            assert!(is_there(&room, "again"));
            room.run(&["stop"]).expect_code(0);
        }
    }
}

#[test]
fn a_step_ends_with_the_whole_group_of_forerun() {
    let room = Room::new();
    config(&room, "", HANGS);
    let child = spawned(room.forerun().arg("--foreground").process_group(0));
    let pids = hanging(&room);
    // SAFETY: two integers; the group is of a child of ours that was not reaped.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
    let _ = collect(child);
    is_gone(&room, pids);
}

#[test]
fn the_shell_of_a_step_ends_even_with_its_keeper() {
    let room = Room::new();
    config(&room, "before = 'echo $PPID >keeper.new; mv keeper.new keeper; exec sleep 3600'", "");
    let child = spawned(room.forerun().arg("--foreground"));
    eventually("the step runs", || is_there(&room, "keeper"));
    let keeper: i32 = read(&room, "keeper").trim().parse().expect("a pid");
    assert_eq!(process::stat(keeper, process::PARENT), i64::from(child.id()));
    send(keeper, libc::SIGKILL);
    let (code, said) = text(child);
    assert_eq!(code, Some(69), "{said}");
    eventually("nothing is left", || left(&room).is_empty());
}

#[test]
fn a_step_ends_when_its_terminal_is_closed() {
    let room = Room::new();
    config(&room, "", HANGS);
    let terminal = Terminal::open();
    let mut command = room.forerun();
    terminal.attach(command.arg("--detach"));
    let mut child = Killed(command.spawn().expect("spawned"));
    drop(command);
    let pids = hanging(&room);
    drop(terminal);
    eventually("forerun ends", || !child.is_well());
    is_gone(&room, pids);
}

#[test]
fn a_stop_ends_the_start_and_its_step() {
    let room = Room::new();
    config(&room, "", HANGS);
    let child = spawned(room.forerun().arg("--foreground"));
    let pids = hanging(&room);
    assert_eq!(room.record("web")["phase"], "starting");
    room.run(&["stop"]).expect_code(0);
    let _ = collect(child);
    is_gone(&room, pids);
}

/// A step that notes when another is in it, and how often it was run. Its lock goes with its processes.
fn exclusive(end: &str) -> String {
    format!("[[before]]\nrun = '''\nexec 9>guard\nflock -n 9 || echo two >>overlaps\necho run >>runs\n{end}\n'''")
}

#[test]
fn of_twenty_starts_at_once_one_runs_the_steps() {
    skip_unless!(has("flock"), "no flock");
    let room = Room::new();
    config(&room, "", &exclusive("sleep 0.2"));
    let all: Vec<_> = (0..20).map(|_| spawned(room.forerun().arg("--detach"))).collect();
    for child in all {
        let (code, said) = text(child);
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!((read(&room, "runs").as_str(), read(&room, "overlaps").as_str()), ("run\n", ""));
    room.run(&["stop"]).expect_code(0);
}

/// Starts 20 at once, of which each runs the step and fails.
fn twenty_that_fail(room: &Room, prepare: impl Fn(&mut Command)) {
    config(room, "", &exclusive("sleep 0.03; exit 1"));
    let start = |at: usize| {
        let mut command = room.forerun();
        command.arg(if at % 2 == 0 { "--foreground" } else { "--detach" });
        prepare(&mut command);
        spawned(&mut command)
    };
    let all: Vec<_> = (0..20).map(start).collect();
    for child in all {
        let (code, said) = text(child);
        assert_eq!(code, Some(69), "{said}");
    }
    assert_eq!((read(room, "runs").lines().count(), read(room, "overlaps").as_str()), (20, ""));
}

#[test]
fn steps_of_twenty_starts_at_once_run_one_after_another() {
    skip_unless!(has("flock"), "no flock");
    twenty_that_fail(&Room::new(), |_| {});
}

#[test]
fn steps_run_one_after_another_without_a_state_folder_too() {
    skip_unless!(has("flock"), "no flock");
    let room = Room::new();
    let file = room.file("no-folder", "");
    config(&room, "", &exclusive("sleep 0.03; exit 1"));
    let start = || spawned(room.forerun().env("FORERUN_STATE_DIR", file.join("x")).arg("--foreground"));
    for child in (0..20).map(|_| start()).collect::<Vec<_>>() {
        let (code, said) = text(child);
        assert_eq!(code, Some(69), "{said}");
    }
    assert_eq!((read(&room, "runs").lines().count(), read(&room, "overlaps").as_str()), (20, ""));
}

#[test]
fn a_start_that_is_killed_leaves_no_step_beside_that_of_the_next() {
    skip_unless!(has("flock"), "no flock");
    let room = Room::new();
    // The child of the step keeps the guard, too.
    config(&room, "", &exclusive("sleep 3600 & sleep 3600"));
    let mut waiting: Vec<_> = (0..8).map(|_| spawned(room.forerun().arg("--foreground"))).collect();
    for count in 1..=8 {
        eventually("the next step runs", || read(&room, "runs").lines().count() >= count);
        // Whoever runs a step has the keeper as its child.
        let at =
            waiting.iter().position(|child| !process::children(child.id() as i32).is_empty()).expect("one of them");
        let child = waiting.swap_remove(at);
        send(child.id() as i32, libc::SIGKILL);
        let _ = collect(child);
    }
    eventually("nothing is left", || left(&room).is_empty());
    assert_eq!((read(&room, "runs").lines().count(), read(&room, "overlaps").as_str()), (8, ""));
}

#[test]
fn a_standby_runs_the_steps_once_it_takes_over() {
    let room = Room::new();
    config(&room, "before = 'echo $KIND >>runs'", "");
    room.run(&["--detach", "--env", "KIND=detached"]).expect_code(0);
    let mut command = room.forerun();
    command.args(["--foreground", "--on-conflict", "standby", "--env", "KIND=standby"]);
    let said = room.path().join("said");
    let stderr = std::fs::File::create(&said).expect("a file");
    let child = Killed(command.stdout(Stdio::null()).stderr(stderr).spawn().expect("spawned"));
    eventually("it stands by", || std::fs::read_to_string(&said).is_ok_and(|text| text.contains("standby: ")));
    assert_eq!(read(&room, "runs"), "detached\n");
    std::fs::remove_file(room.path().join("server")).expect("removed");
    room.run(&["stop"]).expect_code(0);
    eventually("it has taken over", || is_there(&room, "server"));
    assert_eq!(read(&room, "runs"), "detached\nstandby\n");
    assert!(read(&room, "server").contains(&format!("pid {}\n", child.pid())));
}

#[test]
fn a_restart_runs_the_steps_again_once_the_server_has_ended() {
    let room = Room::new();
    // A zombie has no command line.
    let run = "test -e pid && test -n \"$(cat /proc/$(cat pid)/cmdline 2>/dev/null | tr -d \\\\000)\" && echo running >>runs || echo free >>runs";
    config(&room, &format!("before = '{run}'"), "");
    room.run(&["--detach"]).expect_code(0);
    let pid = |room: &Room| room.record("web")["process"]["pid"].as_i64().expect("a pid") as i32;
    room.file("pid", &pid(&room).to_string());
    room.run(&["restart"]).expect_code(0);
    assert_eq!(read(&room, "runs"), "free\nfree\n");
    let server = pid(&room);
    config(&room, "before = 'exit 1'", "");
    let failed = room.run(&["restart"]).expect_code(69);
    failed.expect_stderr(&[
        "step 'exit 1' of [[before]] failed: it exited with status 1; the server that ran before was stopped; ",
    ]);
    assert!(!alive(server));
    // What can be known before is tried before: the server runs on.
    config(&room, "before = 'echo'", "");
    room.run(&["--detach"]).expect_code(0);
    let server = pid(&room);
    config(&room, "before = 'touch ran'\nrequire = ['file:nothing']", "");
    room.run(&["restart"]).expect_code(78);
    assert!(alive(server) && !is_there(&room, "ran"));
    room.run(&["stop"]).expect_code(0);
}

#[test]
fn a_dry_run_and_a_check_show_the_steps_and_run_none() {
    let room = Room::new();
    config(
        &room,
        "",
        "[[before]]\nrun = 'touch one'\n[[before]]\nrun = 'touch two'\ntimeout = '90s'\npermanent = true",
    );
    let plan = room.run(&["--dry-run"]).expect_code(0).stdout;
    assert!(
        plan.contains("before    touch one  at most 10m\nbefore    touch two  at most 1m 30s, permanent\n"),
        "{plan}"
    );
    let json = room.run(&["--dry-run", "--json"]).expect_code(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let expected = serde_json::json!([
        { "run": "touch one", "timeout_seconds": 600.0, "permanent": false },
        { "run": "touch two", "timeout_seconds": 90.0, "permanent": true },
    ]);
    assert_eq!(json["before"], expected);
    let check = room.run(&["check"]).expect_code(0);
    check.expect_line(&["forerun: the 2 steps of [[before]] were not run; a start runs them"]);
    assert!(!is_there(&room, "one") && !is_there(&room, "two"));
}

#[test]
fn the_start_timeout_is_extended_while_a_step_runs() {
    let room = Room::new();
    config(&room, "before = 'sleep 6'", "");
    let manager = Manager::new(&room);
    let mut command = room.forerun();
    let child = spawned(command.env("NOTIFY_SOCKET", &manager.path).arg("--foreground"));
    let mut extended = 0;
    while !is_there(&room, "server") {
        let Some(message) = manager.message(Duration::from_millis(100)) else { continue };
        if message.contains("STATUS=running step 1 of 1: sleep 6") && message.contains("EXTEND_TIMEOUT_USEC=15000000") {
            extended += 1;
        }
    }
    // At once, and every five seconds.
    assert!(extended >= 2, "{extended}");
    send(child.id() as i32, libc::SIGTERM);
    let _ = collect(child);
}

#[test]
fn a_log_that_takes_nothing_costs_no_step() {
    let room = Room::new();
    config(&room, "log = '/dev/full'", "[[before]]\nrun = 'echo lost >&2'\n[[before]]\nrun = 'echo why >&2; exit 3'");
    let failed = room.run(&["--detach"]).expect_code(69);
    failed.expect_stderr(&["step 'echo why >&2; exit 3' of [[before]] failed: why (it exited with status 3)"]);
    config(&room, "log = 'nowhere/server.log'\nbefore = 'touch ran'", "");
    room.run(&["--detach"]).expect_code(73);
    assert!(!is_there(&room, "ran"));
}

#[test]
fn nobody_who_reads_its_output_slowly_holds_up_the_end_of_a_start() {
    let room = Room::new();
    config(&room, "before = 'touch runs; yes >&2'", "");
    // Nobody reads from this pipe as long as the step runs.
    let mut command = room.forerun();
    let child = command.arg("--foreground").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("spawned");
    eventually("the step runs", || is_there(&room, "runs"));
    let keeper = process::children(child.id() as i32);
    eventually("its output is stuck", || {
        keeper.iter().all(|&pid| String::from_utf8_lossy(&process::read(pid, "wchan")).contains("poll"))
    });
    let mut child = Killed(child);
    send(child.pid(), libc::SIGTERM);
    eventually("it ends", || !child.is_well());
    eventually("nothing is left", || left(&room).is_empty());
}

#[test]
fn a_long_output_is_whole_and_what_a_step_leaves_running_runs_on() {
    let room = Room::new();
    let run = "seq 1 20000 >&2; sleep 3600 >/dev/null 2>&1 & echo $! >left";
    config(&room, &format!("before = '{run}'"), "");
    in_foreground(&room, room.forerun().env("TRIED", "once"));
    let pid = read(&room, "left").trim().parse().expect("a pid");
    assert!(alive(pid));
    std::fs::remove_file(room.path().join("server")).expect("removed");
    room.run(&["--detach"]).expect_code(0);
    let log = read(&room, "state/web/server.log");
    let numbers: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert!(log == numbers, "{} of {} bytes", log.len(), numbers.len());
    room.run(&["stop"]).expect_code(0);
}

#[test]
fn a_server_that_fails_after_a_step_is_shown_with_its_own_lines() {
    let room = Room::new();
    let port = free_port();
    let text =
        format!("name = 'web'\nport = {port}\ncommand = ['sh', '-c', 'echo mine; exit 1']\nbefore = 'echo step'");
    room.file("forerun.toml", &text);
    let failed = room.run(&["--detach"]).expect_code(1);
    assert!(failed.stderr.ends_with("ends with\n  | mine\n"), "{}", failed.stderr);
    assert_eq!(read(&room, "state/web/server.log"), "step\nmine\n");
    assert!(done(room.forerun().arg("status")).code == Some(1));
}

/// What leaves the process group of a step, and waits there for a script.
const LEAVERS: [&str; 3] = ["timeout 3600 sh -c", "setsid -w sh -c", "timeout 3600 setsid -w timeout 3600 sh -c"];

#[test]
#[cfg(target_os = "linux")]
fn what_leaves_the_group_of_a_step_ends_with_it_too() {
    skip_unless!(has("timeout") && has("setsid") && has("flock"), "no timeout, setsid or flock");
    // The last command of a shell would take its place.
    let script = "exec 9>guard; flock -n 9 || echo two >>overlaps; echo $$ >>runs; sleep 3600; echo after >>overlaps";
    for leaver in LEAVERS {
        for (end, keys) in [("true", "timeout = '1s'"), ("", "timeout = '1s'"), ("true", "")] {
            let room = Room::new();
            config(&room, "", &format!("[[before]]\nrun = '''\n{leaver} '{script}'\n{end}\n'''\n{keys}"));
            for count in 1..=3 {
                let child = spawned(room.forerun().arg("--detach"));
                eventually("the step runs", || read(&room, "runs").lines().count() >= count);
                if keys.is_empty() {
                    send(child.id() as i32, libc::SIGKILL);
                }
                let (code, said) = text(child);
                assert_eq!(code, Some(69).filter(|_| !keys.is_empty()), "{leaver}: {said}");
            }
            eventually("nothing is left", || left(&room).is_empty());
            assert_eq!(read(&room, "overlaps"), "", "{leaver} {keys}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_step_put_into_the_background_ends_with_it_only_if_it_fails() {
    skip_unless!(has("setsid"), "no setsid");
    for (end, code) in [("exit 3", 69), ("exit 0", 0)] {
        let room = Room::new();
        let run = format!(
            "setsid sh -c 'echo $$ >pid.new; mv pid.new pid; exec sleep 3600 2>/dev/null' &\nwhile ! test -e pid; do sleep 0.01; done\n{end}"
        );
        config(&room, "", &format!("[[before]]\nrun = '''\n{run}\n'''"));
        room.run(&["--detach"]).expect_code(code);
        let pid: i32 = read(&room, "pid").trim().parse().expect("a pid");
        assert_eq!(alive(pid), code == 0);
        if code == 0 {
            send(pid, libc::SIGKILL);
            room.run(&["stop"]).expect_code(0);
        }
    }
}

#[test]
fn a_step_that_fails_shows_no_value_of_a_reference() {
    for mode in ["--detach", "--foreground"] {
        let room = Room::new();
        room.file(".env", "TOK=s3cr3tTOKEN\n");
        for (end, keys) in [("exit 3", ""), ("sleep 3600", "timeout = '1s'")] {
            config(&room, "env-file = '.env'", &format!("[[before]]\nrun = 'echo no ${{TOK}} >&2; {end}'\n{keys}"));
            let out = room.run(&[mode]).expect_code(69);
            let message = out.stderr.lines().find(|line| line.contains("[[before]] failed")).unwrap_or_default();
            assert!(message.contains("no ${TOK}") && !message.contains("s3cr3t"), "{}", out.stderr);
        }
    }
}

#[test]
fn a_step_whose_environment_is_too_large_fails_for_good() {
    for mode in ["--detach", "--foreground"] {
        let room = Room::new();
        let files = format!("env-file = {:?}", room.large_files());
        config(&room, &files, "[[before]]\nrun = 'echo run'");
        let out = room.run(&[mode]).expect_code(78);
        let message = "step 'echo run' of [[before]] failed: cannot run /bin/sh: Argument list too long (os error 7)";
        let line = out.stderr.lines().find(|line| line.contains("[[before]] failed")).unwrap_or_default();
        assert!(line.starts_with(&format!("forerun: {message}")), "{}", out.stderr);
    }
}

#[test]
fn a_folder_that_is_gone_is_named_when_a_step_needs_it() {
    let room = Room::new();
    std::fs::create_dir(room.path().join("gone")).expect("created");
    config(&room, "cwd = 'gone'", "[[before]]\nrun = 'rmdir ../gone'\n[[before]]\nrun = 'true'");
    let out = room.run(&["--foreground"]).expect_code(69);
    assert!(
        out.stderr.contains("'true' of [[before]] failed: cannot enter its folder: No such file"),
        "{}",
        out.stderr
    );
}

#[test]
fn a_signal_that_all_of_a_start_get_is_no_failure_of_its_step() {
    let room = Room::new();
    // As systemd sends it: nobody knows whom it reaches first.
    config(&room, "before = 'echo >begun; trap \"exit 143\" TERM; while :; do sleep 0.01; done'", "");
    for _ in 0..5 {
        let _ = std::fs::remove_file(room.path().join("begun"));
        let mut child = Killed(room.forerun().arg("--foreground").stderr(Stdio::null()).spawn().expect("spawned"));
        eventually("the step runs", || is_there(&room, "begun"));
        let is_step =
            |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.starts_with(b"sh\0-c\0"));
        let step = left(&room).into_iter().find(is_step).expect("a step");
        send(step, libc::SIGTERM);
        send(child.pid(), libc::SIGTERM);
        assert_eq!(child.0.wait().expect("waited").signal(), Some(libc::SIGTERM));
    }
}
