//! Detached: the server gets a session, a log and nothing else of ours; "ready" is only said of it, and a start
//! that fails leaves nothing.

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use common::process::{self, in_own_session, let_a_tick_pass, prepared, send, with_plain_signals};
use common::terminal::Terminal;
use common::{
    Done, Killed, Room, UNEXECUTABLE, accepts, alive, collect, done, done_on_terminal, eventually, fixture, free_port,
    left, unexecutable, witness,
};

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

/// `/bin/sh -c SCRIPT`.
fn script(room: &Room, options: &[&str], text: &str) -> Command {
    detached(room, options, "/bin/sh", &["-c", text])
}

#[track_caller]
fn json(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", done.stdout, done.stderr))
}

/// The pid of the server that a start with `--json` made or found.
#[track_caller]
fn pid(done: &Done) -> i32 {
    json(done)["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

/// The server that a forerun which still waits for it has recorded; before there is one, that is itself.
#[track_caller]
fn recorded(room: &Room, forerun: &Child) -> i32 {
    let path = room.state().join("web/record.json");
    let mut server = None;
    eventually("the server is recorded", || {
        let record = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        server =
            record.and_then(|record| record["process"]["pid"].as_i64()).filter(|&pid| pid != i64::from(forerun.id()));
        server.is_some()
    });
    server.and_then(|pid| pid.try_into().ok()).expect("a pid")
}

/// Kills a server and waits for its end.
#[track_caller]
fn kill(pid: i32) {
    send(pid, libc::SIGKILL);
    eventually("it is gone", || !alive(pid));
}

fn log_of(room: &Room) -> PathBuf {
    room.state().join("web/server.log")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

/// A process that is none of forerun's business.
fn stranger(command: &mut Command) -> Killed {
    let mut child = Killed(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("spawned"));
    assert!(child.is_well());
    child
}

/// One that listens.
fn stranger_on(port: u16) -> Killed {
    let stranger = stranger(Command::new(fixture()).args(["serve", &port.to_string()]));
    eventually("the stranger listens", || accepts(port));
    stranger
}

// What the server gets.

#[test]
fn the_server_has_a_session_of_its_own_and_no_descriptor_but_the_first_three() {
    let room = Room::new();
    let seen = room.path().join("seen");
    let mut command = detached(&room, &["--json"], witness(), &[&seen.display().to_string()]);
    let terminal = Terminal::open();
    let file = tempfile::tempfile().expect("a file");
    let out = room.path().join("out");
    terminal.attach(&mut command).stdout(std::fs::File::create(&out).expect("a file"));
    process::with_copies(&mut command, &file, &[15, 17, 209]);
    let output = collect(command.spawn().expect("spawned"));
    assert!(output.status.success());
    let answer: Value = serde_json::from_slice(&std::fs::read(&out).expect("read")).expect("JSON");
    let pid = answer["pid"].as_i64().expect("a pid") as i32;
    process::appears(&seen);
    for field in [process::GROUP, process::SESSION] {
        assert_eq!(process::stat(pid, field), i64::from(pid));
    }
    assert_eq!(process::stat(pid, process::TERMINAL), 0);
    let log = log_of(&room).canonicalize().expect("a log");
    let expected = [(0, PathBuf::from("/dev/null")), (1, log.clone()), (2, log)];
    assert_eq!(process::descriptors(pid).into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn the_server_has_the_callers_umask_folder_and_limits_and_the_nofile_asked_for() {
    let room = Room::new();
    let seen = room.path().join("seen");
    let mut command = detached(&room, &["--json", "--nofile", "256:300"], witness(), &[&seen.display().to_string()]);
    // SAFETY: an integer.
    prepared(&mut command, || unsafe {
        libc::umask(0o027);
    });
    let pid = pid(&done(&mut command).expect_code(0));
    assert_eq!(process::status(pid, "Umask"), "0027");
    assert_eq!(
        std::fs::read_link(format!("/proc/{pid}/cwd")).expect("a folder"),
        room.path().canonicalize().expect("a path")
    );
    let limits = String::from_utf8_lossy(&process::read(pid, "limits")).into_owned();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["256", "300"]);
}

#[test]
fn every_signal_is_as_it_came() {
    for ignored in [false, true] {
        let prepare = move || {
            let disposition = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
            for signal in [libc::SIGPIPE, libc::SIGHUP, libc::SIGINT] {
                // SAFETY: both are valid dispositions.
                unsafe { libc::signal(signal, disposition) };
            }
        };
        let room = Room::new();
        let files = [room.path().join("with"), room.path().join("without")];
        let file = |at: usize| files[at].display().to_string();
        let mut command = detached(&room, &["--json", "--wait", "exec:true"], witness(), &[&file(0)]);
        let server = pid(&done(prepared(&mut command, prepare)).expect_code(0));
        let mut plain = Command::new(witness());
        let plain = stranger(prepared(plain.arg(file(1)), prepare));
        files.iter().for_each(|file| {
            process::appears(file);
        });
        for key in ["SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd", "Threads"] {
            assert_eq!(process::status(server, key), process::status(plain.pid(), key), "{key}");
        }
        assert_eq!(std::fs::read_to_string(&files[0]).ok(), std::fs::read_to_string(&files[1]).ok());
    }
}

#[test]
fn it_is_all_the_same_whichever_of_the_first_three_are_closed() {
    for closed in 0..8 {
        let room = Room::new();
        let seen = room.path().join("seen");
        let mut command = detached(&room, &[], witness(), &[&seen.display().to_string()]);
        prepared(&mut command, move || {
            for number in (0..3).filter(|number| closed & (1 << number) != 0) {
                // SAFETY: an integer.
                unsafe { libc::close(number) };
            }
        });
        done(&mut command).expect_code(0);
        process::appears(&seen);
        let pid = room.record("web")["process"]["pid"].as_i64().expect("a pid") as i32;
        let log = log_of(&room).canonicalize().expect("a log");
        let expected = [(0, PathBuf::from("/dev/null")), (1, log.clone()), (2, log)];
        assert_eq!(process::descriptors(pid).into_iter().collect::<Vec<_>>(), expected, "{closed:03b}");
    }
}

#[test]
fn the_environment_is_nobody_elses_units() {
    let room = Room::new();
    let seen = room.path().join("seen");
    let mut command = detached(&room, &["--json", "--env", "OWN=1"], witness(), &[&seen.display().to_string()]);
    let gone = [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SYSTEMD_EXEC_PID",
        "FORERUN_UNIT",
        "FORERUN_FOREGROUND",
    ];
    let kept = ["LISTEN_ADDR", "WATCHDOG", "MANAGERPID"];
    gone.iter().chain(&kept).for_each(|name| {
        command.env(name, "1");
    });
    let done = done(&mut command).expect_code(0);
    let pid = pid(&done);
    let value = |name: &str| process::variable(pid, name);
    gone.iter().for_each(|name| assert_eq!(value(name), None, "{name}"));
    kept.iter().for_each(|name| assert_eq!(value(name).as_deref(), Some("1"), "{name}"));
    assert_eq!(value("OWN").as_deref(), Some("1"));
    let cookie = value("FORERUN_INSTANCE").expect("a cookie");
    assert_eq!(room.record("web")["cookie"], cookie.as_str());
    assert!(cookie.strip_prefix("web/").is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit())));
    done.expect_stderr(&["forerun: warning: detaching below systemd"]);
}

#[test]
fn the_record_names_the_server_and_is_private() {
    let room = Room::new();
    let port = free_port();
    // SAFETY: an integer.
    let pid = pid(&done(prepared(&mut serving(&room, port, &["--json"], &[]), || unsafe {
        libc::umask(0);
    }))
    .expect_code(0));
    let record = room.record("web");
    assert_eq!(record["process"]["pid"], pid);
    assert_eq!(record["process"]["start"], process::stat(pid, process::START));
    assert_eq!((&record["phase"], &record["mode"]), (&"running".into(), &"detached".into()));
    assert_eq!((&record["port"], &record["session"]), (&port.into(), &pid.into()));
    let folder = room.state().join("web");
    assert_eq!((mode(&room.state()), mode(&folder)), (0o700, 0o700));
    let mut names: Vec<_> = std::fs::read_dir(&folder).expect("a folder").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "record.json", "server.log"]);
    names.iter().for_each(|name| assert_eq!(mode(&folder.join(name)), 0o600, "{name:?}"));
}

// The log.

#[test]
fn output_of_both_kinds_is_appended_to_the_log() {
    let room = Room::new();
    // It has said everything by the time that it is healthy.
    let start = |options: &[&str], words: &str| {
        let text = format!("echo {words}; echo err >&2; touch said; exec sleep 100");
        let options = [&["--json", "--health", "exec:test -e said"], options].concat();
        kill(pid(&done(&mut script(&room, &options, &text)).expect_code(0)));
        std::fs::remove_file(room.path().join("said")).expect("removed");
    };
    start(&[], "out");
    start(&[], "again");
    assert_eq!(std::fs::read_to_string(log_of(&room)).expect("UTF-8"), "out\nerr\nagain\nerr\n");
    let own = room.path().join("own.log");
    std::fs::write(&own, "before\n").expect("written");
    start(&["--log", "own.log"], "new");
    assert_eq!(std::fs::read_to_string(&own).expect("UTF-8"), "before\nnew\nerr\n");
}

#[test]
fn a_log_of_more_than_10_mib_is_rotated_and_three_are_kept() {
    let room = Room::new();
    std::fs::create_dir_all(room.state().join("web")).expect("folders");
    let log = log_of(&room);
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", log.display()));
    let large = |begin: &str, size: u64| {
        std::fs::write(&log, begin).expect("written");
        std::fs::File::options().write(true).open(&log).and_then(|f| f.set_len(size)).expect("sized");
    };
    let begins = |path: &Path, text: &str| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(text.as_bytes()));
    for number in 1..=3 {
        std::fs::write(numbered(number), format!("old {number}")).expect("written");
    }
    large("exactly", 10 << 20);
    let start = || {
        let health = ["--json", "--health", "exec:grep -q new state/web/server.log"];
        kill(pid(&done(&mut script(&room, &health, "echo new; exec sleep 100")).expect_code(0)));
    };
    start();
    assert!(begins(&log, "exactly") && begins(&numbered(1), "old 1"));
    large("beyond", (10 << 20) + 1);
    start();
    assert_eq!(std::fs::read_to_string(&log).expect("UTF-8"), "new\n");
    assert_eq!(mode(&log), 0o600);
    assert!(begins(&numbered(1), "beyond") && begins(&numbered(2), "old 1") && begins(&numbered(3), "old 2"));
    assert!(!numbered(4).exists());
}

#[test]
fn a_log_that_cannot_be_opened_exits_73_and_starts_nothing() {
    let room = Room::new();
    nix::unistd::mkfifo(&room.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    for log in ["no-folder/log", ".", "fifo"] {
        let done = done(&mut script(&room, &["--log", log], "touch started; exec sleep 100")).expect_code(73);
        done.expect_line(&["cannot open the log", "--log"]);
    }
    assert!(!room.path().join("started").exists());
    assert!(!room.state().join("web/record.json").exists());
}

#[test]
fn a_state_folder_that_cannot_be_had_exits_73_and_starts_nothing() {
    let room = Room::new();
    let blocked = room.file("blocked", "");
    for folder in [blocked.clone(), blocked.join("below"), PathBuf::from("/proc/nothing")] {
        let mut command = script(&room, &[], "touch started; exec sleep 100");
        done(command.env("FORERUN_STATE_DIR", folder))
            .expect_code(73)
            .expect_line(&["state folder", "FORERUN_STATE_DIR"]);
    }
    assert!(!room.path().join("started").exists());
}

#[test]
fn a_state_folder_that_cannot_be_written_exits_73() {
    let room = Room::new();
    std::fs::create_dir(room.state()).expect("a folder");
    std::fs::set_permissions(room.state(), std::fs::Permissions::from_mode(0o500)).expect("set");
    let mut command = script(&room, &[], "touch started; exec sleep 100");
    // Root may write everywhere by these two privileges; without privileges there is nothing to drop.
    prepared(&mut command, || {
        const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
        const CAP_DAC_READ_SEARCH: libc::c_ulong = 2;
        for privilege in [CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH] {
            // SAFETY: integers.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, privilege, 0, 0, 0) };
        }
    });
    done(&mut command).expect_code(73).expect_line(&["cannot use the state folder", "Permission denied"]);
    assert!(!room.path().join("started").exists());
}

// Coming back.

#[test]
fn a_shells_substitution_and_its_pipes_come_back() {
    let room = Room::new();
    let command = serving(&room, free_port(), &[], &[]);
    let text = r#"x=$("$0" "$@" 2>&1) && printf '%s\n' "$x" > substituted && "$0" "$@" 2>&1 | cat > piped"#;
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(text).arg(command.get_program()).args(command.get_args()).current_dir(room.path());
    shell.env("FORERUN_STATE_DIR", room.state());
    done(&mut shell).expect_code(0);
    let read = |name: &str| std::fs::read_to_string(room.path().join(name)).expect("UTF-8");
    assert!(read("substituted").starts_with("web is ready at http://127.0.0.1:"), "{}", read("substituted"));
    assert!(read("piped").starts_with("web is already running at"), "{}", read("piped"));
}

#[test]
fn the_ready_lines_say_name_url_pid_seconds_log_and_how_to_stop_it() {
    let room = Room::new();
    let port = free_port();
    let done = done(&mut serving(&room, port, &[], &[])).expect_code(0);
    let pid = room.record("web")["process"]["pid"].to_string();
    let lines: Vec<_> = done.stdout.lines().collect();
    assert_eq!(lines[0], format!("web is ready at http://127.0.0.1:{port}"));
    assert!(lines[1].starts_with(&format!("  pid   {pid}, after ")) && lines[1].ends_with('s'), "{}", lines[1]);
    assert_eq!(lines[2], format!("  log   {}", log_of(&room).display()));
    assert_eq!(lines[3], "  stop  forerun stop web");
    assert_eq!(done.stderr, "");
    // As it says.
    send(pid.parse().expect("a pid"), libc::SIGTERM);
    eventually("it is stopped", || left(&room).is_empty());
}

#[test]
fn json_says_the_same() {
    let room = Room::new();
    let port = free_port();
    let answer = json(&done(&mut serving(&room, port, &["--json"], &[])).expect_code(0));
    let pid = answer["pid"].as_i64().expect("a pid") as i32;
    assert!(alive(pid));
    assert_eq!((&answer["name"], &answer["already_running"]), (&"web".into(), &false.into()));
    assert_eq!(answer["url"], format!("http://127.0.0.1:{port}"));
    assert_eq!(answer["stop"], "forerun stop web");
    assert_eq!(answer["log"].as_str().map(Path::new), Some(log_of(&room).as_path()));
    assert!(answer["seconds"].as_f64().is_some_and(|s| s > 0.0));
}

#[test]
fn a_terminal_that_nobody_marks_as_supervised_detaches() {
    let room = Room::new();
    let port = free_port();
    let mut command = room.forerun();
    command.args(["--port", &port.to_string(), "--"]).arg(fixture()).args(["serve", &port.to_string()]);
    let terminal = Terminal::open();
    let child = terminal.attach(&mut command).spawn().expect("spawned");
    terminal.watch();
    assert!(collect(child).status.success());
    terminal.shows(&format!("is ready at http://localhost:{port}"));
}

#[test]
fn the_server_survives_the_end_of_its_terminal() {
    let room = Room::new();
    let port = free_port();
    let command = serving(&room, port, &["--json"], &[]);
    let mut shell = Command::new("/bin/sh");
    let text = r#""$0" "$@" > answer.tmp 2>&1; mv answer.tmp answer; while :; do sleep 1; done"#;
    shell.arg("-c").arg(text).arg(command.get_program()).args(command.get_args()).current_dir(room.path());
    shell.env("FORERUN_STATE_DIR", room.state());
    let terminal = Terminal::open();
    let mut shell = terminal.attach(with_plain_signals(&mut shell)).spawn().expect("spawned");
    let answer: Value = serde_json::from_str(&process::appears(&room.path().join("answer"))).expect("JSON");
    drop(terminal);
    // The hang-up ends the shell, and would have ended whatever else is of its session.
    shell.wait().expect("waited");
    assert!(alive(answer["pid"].as_i64().expect("a pid") as i32) && accepts(port));
}

// What cannot be executed.

#[test]
fn a_command_that_cannot_be_executed_exits_126_or_127_and_leaves_nothing() {
    let room = Room::new();
    unexecutable(&room);
    for (command, code, part) in UNEXECUTABLE {
        done(&mut detached(&room, &[], command, &[])).expect_code(code).expect_line(&[part]);
        assert!(!room.state().join("web/record.json").exists(), "{command}");
    }
}

// Ready.

#[test]
fn a_server_is_ready_when_its_health_holds() {
    let room = Room::new();
    let port = free_port();
    done(&mut serving(&room, port, &["--health-body", "fine"], &["--after", "200", "--body", "all fine"]))
        .expect_code(0);
    assert!(accepts(port));
}

#[test]
fn a_server_without_health_is_ready_when_its_port_listens() {
    let room = Room::new();
    let port = free_port().to_string();
    done(&mut detached(&room, &["--port", &port], fixture(), &["serve", &port, "--after", "200"])).expect_code(0);
    assert!(accepts(port.parse().expect("a port")));
}

#[test]
fn a_server_without_health_and_port_is_ready_when_it_has_lived_for_300_ms() {
    let room = Room::new();
    let done = done(&mut script(&room, &["--json"], "exec sleep 100")).expect_code(0);
    let seconds = json(&done)["seconds"].as_f64().expect("seconds");
    assert!((0.3..5.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_stranger_on_the_port_is_named_and_exits_75() {
    let room = Room::new();
    let port = free_port();
    let mut stranger = stranger_on(port);
    let done = done(&mut serving(&room, port, &[], &[])).expect_code(75);
    let program: String = fixture().display().to_string().chars().take(60).collect();
    done.expect_line(&[&format!("port '{port}' is held by pid {} ({program}", stranger.pid())]);
    assert!(stranger.is_well() && left(&room).is_empty());
    assert!(!room.state().join("web/record.json").exists());
}

/// A stranger that was there before our server takes the port once that runs.
fn overtaken(readiness: &str) {
    let room = Room::new();
    let port = free_port();
    let seen = room.path().join("seen").display().to_string();
    let mut stranger = stranger(Command::new(fixture()).args(["serve", &port.to_string(), "--when", &seen]));
    let_a_tick_pass(stranger.pid());
    let value = if readiness == "--health" { format!("http://127.0.0.1:{port}/") } else { port.to_string() };
    let done = done(&mut detached(&room, &[readiness, &value], witness(), &[&seen])).expect_code(75);
    done.expect_line(&[&format!("port '{port}' is held by pid {}", stranger.pid()), "not by the server 'web'"]);
    assert!(stranger.is_well() && left(&room).is_empty());
    assert!(!room.state().join("web/record.json").exists());
}

#[test]
fn health_that_a_stranger_answers_is_never_ready() {
    overtaken("--health");
}

#[test]
fn a_port_that_a_stranger_listens_on_is_never_ready() {
    overtaken("--port");
}

/// A process that is younger than the server, and not of it, takes the port. What the start printed, and the server's
/// pid.
fn overtaken_by_a_younger_one(room: &Room, program: &Path) -> (std::process::Output, i32, Killed) {
    let port = free_port();
    let seen = room.path().join("seen");
    let health = format!("http://127.0.0.1:{port}/");
    let mut command = detached(room, &["--health", &health], witness(), &[&seen.display().to_string()]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    process::appears(&seen);
    let server = recorded(room, &child);
    let_a_tick_pass(server);
    let other = stranger(Command::new(program).args(["serve", &port.to_string()]));
    (collect(child), server, other)
}

#[test]
fn a_younger_process_that_takes_the_port_is_a_stranger_and_never_ready() {
    let room = Room::new();
    let (output, server, mut stranger) = overtaken_by_a_younger_one(&room, &fixture());
    let said = String::from_utf8_lossy(&output.stderr);
    let named = format!("is held by pid {} (", stranger.pid());
    assert!(said.contains(&named) && said.contains("not by the server 'web'"), "{said}");
    assert_eq!(output.status.code(), Some(75));
    assert!(stranger.is_well() && !alive(server));
}

#[test]
fn the_proxy_of_a_container_runtime_listens_for_the_server() {
    let room = Room::new();
    let proxy = room.path().join("docker-proxy");
    std::fs::copy(fixture(), &proxy).expect("copied");
    let (output, server, _proxy) = overtaken_by_a_younger_one(&room, &proxy);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(alive(server));
}

#[test]
fn a_worker_may_hold_the_port() {
    let room = Room::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/");
    let text = format!("'{}' serve {port} & wait", fixture().display());
    done(&mut script(&room, &["--health", &url], &text)).expect_code(0);
}

// Not ready.

#[test]
fn an_early_death_is_reported_at_once_with_the_last_lines_of_this_run() {
    let room = Room::new();
    std::fs::create_dir_all(room.state().join("web")).expect("folders");
    std::fs::write(log_of(&room), "an old run\n").expect("written");
    let url = format!("http://127.0.0.1:{}/", free_port());
    let text = "i=1; while [ $i -le 30 ]; do echo line $i; i=$((i+1)); done; echo last words >&2; exit 3";
    let done = done(&mut script(&room, &["--health", &url], text)).expect_code(1);
    assert!(done.took < Duration::from_secs(10), "{:?}", done.took);
    let lines: Vec<_> = done.stderr.lines().collect();
    assert!(lines[0].starts_with("forerun: the server 'web' exited with status 3 before it was ready"), "{}", lines[0]);
    assert_eq!(lines.len(), 21, "{}", done.stderr);
    assert_eq!((lines[1], lines[20]), ("  | line 12", "  | last words"));
    assert_eq!(done.stdout, "");
    assert!(left(&room).is_empty() && !room.state().join("web/record.json").exists());
}

#[test]
fn lines_about_our_own_requests_do_not_push_out_what_the_server_said() {
    let room = Room::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/health");
    let options = ["--health", &url, "--health-timeout", "3s"];
    let text = format!(
        "echo warning: no database configured; exec '{}' serve {port} --status 404 --log-requests",
        fixture().display()
    );
    let done = done(&mut script(&room, &options, &text)).expect_code(1).expect_stderr(&["status 404"]);
    assert!(done.stderr.contains("\n  | warning: no database configured\n"), "{}", done.stderr);
    let folded = done.stderr.lines().filter(|line| line.contains("lines like this)")).count();
    assert!(folded == 2 && done.stderr.lines().count() < 9, "{}", done.stderr);
}

#[test]
fn colors_of_a_log_reach_a_terminal_and_nothing_else() {
    let room = Room::new();
    let text = "printf '\\033[33mwatching\\033[0m \\033]0;title\\007\\033[2J!\\n'; exit 3";
    let options = ["--health", "exec:false"];
    let plain = done(&mut script(&room, &options, text)).expect_code(1).stderr;
    assert!(plain.ends_with("\n  | watching !\n"), "{plain:?}");
    for (flag, shown) in [("auto", true), ("never", false)] {
        let mut command = script(&room, &["--health", "exec:false", "--color", flag], text);
        let seen = done_on_terminal(command.env("TERM", "xterm")).stderr;
        assert_eq!(seen.contains("\u{1b}[33mwatching\u{1b}[0m !"), shown, "{seen:?}");
        assert!(!seen.contains("\u{1b}]0;") && !seen.contains("[2J"), "{seen:?}");
    }
}

#[test]
fn a_server_that_listens_elsewhere_is_told_where() {
    let room = Room::new();
    let (asked, other) = (free_port(), free_port());
    let serve = |args: &[&str], check: &str| {
        let options = ["--health", check, "--health-timeout", "1s"];
        done(&mut detached(&room, &options, fixture(), args)).expect_code(1).stderr
    };
    let elsewhere = other.to_string();
    let url = format!("http://127.0.0.1:{asked}/");
    let said = serve(&["serve", &elsewhere], &url);
    assert!(said.contains(&format!("; it listens on 127.0.0.1:{other}; its log")), "{said}");
    // On the right port, of another address.
    let said = serve(&["serve", &asked.to_string()], &format!("tcp:[::1]:{asked}"));
    assert!(said.contains(&format!("; it listens on 127.0.0.1:{asked}; its log")), "{said}");
    let said = serve(&["serve", &elsewhere, "--when", "never"], &url);
    assert!(said.contains("; it listens on no TCP port; it wrote nothing"), "{said}");
    // It is asked where it listens, and answers wrongly.
    let said = serve(&["serve", &elsewhere, "--status", "500"], &format!("http://127.0.0.1:{other}/"));
    assert!(!said.contains("it listens"), "{said}");
}

#[test]
fn a_command_that_cannot_be_executed_is_answered_with_what_to_type() {
    let room = Room::new();
    room.file("server.py", "");
    room.executable("run.sh", "#!/bin/sh\r\nexec sleep 100\r\n");
    room.executable("orphan", "#!/nowhere/interpreter\n");
    for (words, code, part) in [
        (&["sleep 100"][..], 127, "the command is one word: leave its quotes away, or write sh -c 'sleep 100'"),
        (
            &["cd", "x", "&&", "y"],
            127,
            "'cd' is a word of the shell; write sh -c 'cd ...'; or give the folder with --cwd",
        ),
        (&["FOO=1", "cmd"], 127, "a variable is given with --env: forerun --env 'FOO=1' -- cmd"),
        (&["server.py"], 127, "the file is here: write ./server.py"),
        (&["./server.py"], 126, "make it executable: chmod +x ./server.py"),
        (
            &["./run.sh"],
            127,
            "its first line ends with a carriage return (CRLF, as Windows writes), so '/bin/sh' is not",
        ),
        (&["./orphan"], 127, "its first line names the interpreter '/nowhere/interpreter', which is not there"),
    ] {
        for mode in ["--detach", "--foreground"] {
            let done = done(room.forerun().args([mode, "--port", "0", "--"]).args(words)).expect_code(code);
            done.expect_line(&["forerun: cannot execute '", part]);
        }
    }
}

#[test]
fn an_early_death_without_a_word_names_only_this_run() {
    let room = Room::new();
    std::fs::create_dir_all(room.state().join("web")).expect("folders");
    std::fs::write(log_of(&room), "an old run\n").expect("written");
    let done = done(&mut script(&room, &[], "exit 0")).expect_code(1);
    done.expect_line(&["exited with status 0 before it was ready", "wrote nothing to its log"]);
}

#[test]
fn an_early_death_by_a_signal_names_the_signal() {
    let room = Room::new();
    let url = format!("http://127.0.0.1:{}/", free_port());
    let done = done(&mut script(&room, &["--health", &url], "echo now; kill -9 $$")).expect_code(1);
    assert!(done.took < Duration::from_secs(10), "{:?}", done.took);
    done.expect_stderr(&["was killed by SIGKILL", "  | now"]);
}

#[test]
fn a_workers_death_is_not_the_servers() {
    let room = Room::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/");
    let text = format!("(exit 7) & (exit 8) & exec '{}' serve {port} --after 100", fixture().display());
    done(&mut script(&room, &["--health", &url], &text)).expect_code(0);
}

#[test]
fn a_server_that_does_not_get_healthy_is_stopped_with_its_workers() {
    let room = Room::new();
    let port = free_port();
    let options = ["--health-timeout", "400ms"];
    let done = done(&mut serving(&room, port, &options, &["--status", "500", "--workers", "3"])).expect_code(1);
    assert_eq!(left(&room), Vec::<i32>::new());
    assert!(!room.state().join("web/record.json").exists());
    done.expect_stderr(&["the server 'web' is not healthy and was stopped", "status 500", "  | listening"]);
}

#[test]
fn a_server_that_puts_itself_into_the_background_is_followed_with_a_hint() {
    let room = Room::new();
    let port = free_port();
    let args = ["--background", "--workers", "2"];
    let done = done(&mut serving(&room, port, &["--json"], &args)).expect_code(0);
    let server = json(&done)["pid"].as_i64().expect("a pid") as i32;
    done.expect_stderr(&["put itself into the background", &format!("pid {server} serves"), "daemon off"]);
    assert!(alive(server) && left(&room).len() == 3);
    let again = crate::done(&mut serving(&room, port, &["--json"], &args)).expect_code(0);
    assert_eq!(json(&again)["pid"], server);
    room.run(&["stop", "web"]).expect_code(0);
    assert_eq!(left(&room), Vec::<i32>::new());
}

#[test]
fn a_server_that_goes_into_the_background_and_serves_elsewhere_is_stopped() {
    let room = Room::new();
    let url = format!("http://127.0.0.1:{}/", free_port());
    let args = ["serve", "0", "--background", "--workers", "2"];
    let options = ["--health", &url, "--health-timeout", "1s"];
    let done = done(&mut detached(&room, &options, fixture(), &args)).expect_code(1);
    assert_eq!(left(&room), Vec::<i32>::new());
    done.expect_stderr(&["is not healthy and was stopped", "it listens on "]);
}

#[test]
fn what_ignores_sigterm_is_killed_after_the_grace() {
    for args in [&["--ignore-term", "--workers", "2"][..], &["--ignore-term", "--background", "--workers", "2"]] {
        let room = Room::new();
        let options = ["--health-timeout", "300ms", "--grace", "300ms"];
        let all = [args, &["--status", "503"]].concat();
        let done = done(&mut serving(&room, free_port(), &options, &all)).expect_code(1);
        assert_eq!(left(&room), Vec::<i32>::new(), "{args:?}");
        assert!((Duration::from_millis(300)..Duration::from_secs(9)).contains(&done.took), "{:?}", done.took);
    }
}

#[test]
fn a_double_forked_daemon_in_a_session_of_its_own_is_stopped() {
    let room = Room::new();
    let url = format!("http://127.0.0.1:{}/", free_port());
    let text = format!(
        "'{}' serve 0 --background & '{0}' serve 0 --background; echo $$ > up; exec sleep 100",
        fixture().display()
    );
    done(&mut script(&room, &["--health", &url, "--health-timeout", "500ms"], &text)).expect_code(1);
    assert!(room.path().join("up").exists());
    assert_eq!(left(&room), Vec::<i32>::new());
}

#[test]
fn a_child_that_the_caller_had_is_not_stopped_with_the_server() {
    let room = Room::new();
    let port = free_port();
    let failing = serving(&room, port, &["--health-timeout", "300ms"], &["--status", "500"]);
    // One below the shell that becomes forerun, and one whose own parent ends while forerun waits.
    let text = r#"sleep 100 & echo $! > child; (sleep 0.1; sleep 100 & echo $! > orphan) & exec "$0" "$@""#;
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(text).arg(failing.get_program()).args(failing.get_args()).current_dir(room.path());
    shell.env("FORERUN_STATE_DIR", room.state()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut shell = shell.spawn().expect("spawned");
    assert_eq!(shell.wait().expect("waited").code(), Some(1));
    for name in ["child", "orphan"] {
        let pid = std::fs::read_to_string(room.path().join(name)).expect("a pid").trim().parse().expect("a pid");
        assert!(alive(pid), "{name}");
        send(pid, libc::SIGKILL);
    }
}

// Interrupted.

/// Starts a server that never gets healthy, sends `signal` to forerun while that waits, and says what it did.
fn interrupted(signal: i32) {
    let room = Room::new();
    let url = format!("http://127.0.0.1:{}/", free_port());
    let text = format!("'{}' serve 0 --background; sleep 100 & echo $$ > up; wait", fixture().display());
    let mut command = script(&room, &["--health", &url], &text);
    with_plain_signals(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("spawned");
    eventually("the server runs", || room.path().join("up").exists());
    send(child.id() as i32, signal);
    let output = collect(child);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(128 + signal), "{said}");
    assert_eq!(said, "forerun: interrupted; stopping 'web'\n");
    assert_eq!(left(&room), Vec::<i32>::new());
    assert!(output.stdout.is_empty() && !room.state().join("web/record.json").exists());
}

#[test]
fn sigterm_stops_what_was_started_and_exits_143() {
    interrupted(libc::SIGTERM);
}

#[test]
fn sigint_stops_what_was_started_and_exits_130() {
    interrupted(libc::SIGINT);
}

#[test]
fn a_hangup_stops_what_was_started_and_exits_129() {
    interrupted(libc::SIGHUP);
}

#[test]
fn the_key_that_interrupts_stops_what_was_started() {
    let room = Room::new();
    let seen = room.path().join("seen");
    let url = format!("http://127.0.0.1:{}/", free_port());
    let mut command = detached(&room, &["--health", &url], witness(), &[&seen.display().to_string()]);
    let mut terminal = Terminal::open();
    let child = terminal.attach(with_plain_signals(&mut command)).spawn().expect("spawned");
    terminal.watch();
    process::appears(&seen);
    terminal.type_in(b"\x03");
    assert_eq!(collect(child).status.code(), Some(130));
    assert_eq!(left(&room), Vec::<i32>::new());
}

#[test]
fn a_second_signal_ends_the_grace() {
    let room = Room::new();
    let url = format!("http://127.0.0.1:{}/", free_port());
    let mut command =
        script(&room, &["--health", &url, "--grace", "10m"], "trap '' TERM; echo > up; while :; do sleep 1; done");
    let child = with_plain_signals(&mut command).stderr(Stdio::piped()).spawn().expect("spawned");
    eventually("the server runs", || room.path().join("up").exists());
    send(child.id() as i32, libc::SIGINT);
    let mut child = child;
    eventually("it ends", || {
        send(child.id() as i32, libc::SIGINT);
        child.try_wait().expect("waited").is_some_and(|status| status.code() == Some(130))
    });
    assert_eq!(left(&room), Vec::<i32>::new());
}

// What runs already.

#[test]
fn a_start_of_what_runs_says_so_and_exits_0() {
    let room = Room::new();
    let port = free_port();
    let first = pid(&done(&mut serving(&room, port, &["--json"], &[])).expect_code(0));
    let again = done(&mut serving(&room, port, &[], &[])).expect_code(0);
    assert!(
        again.stdout.starts_with(&format!("web is already running at http://127.0.0.1:{port}\n")),
        "{}",
        again.stdout
    );
    assert!(again.stdout.contains(&format!("pid {first} (detached)")), "{}", again.stdout);
    let again = json(&done(&mut serving(&room, port, &["--json"], &[])).expect_code(0));
    assert_eq!((&again["pid"], &again["already_running"]), (&first.into(), &true.into()));
}

#[test]
fn a_start_of_what_runs_in_the_foreground_says_so_and_exits_0() {
    let room = Room::new();
    let seen = room.path().join("seen");
    let mut command = room.forerun();
    command.args(["--foreground", "--name", "web", "--"]).arg(witness()).arg(&seen);
    let server = stranger(in_own_session(&mut command));
    process::appears(&seen);
    let again = done(&mut detached(&room, &["--json"], witness(), &[&seen.display().to_string()])).expect_code(0);
    assert_eq!(pid(&again), server.pid());
}

#[test]
fn a_start_of_what_runs_under_a_supervisor_names_it_and_replaces_nothing() {
    let room = Room::new();
    let seen = room.path().join("seen");
    let mut command = room.forerun();
    command.env("INVOCATION_ID", "0123").args(["--name", "web", "--"]).arg(witness()).arg(&seen);
    let mut server = stranger(in_own_session(&mut command));
    process::appears(&seen);
    let args = [&*seen.display().to_string()];
    let again = done(&mut detached(&room, &[], witness(), &args)).expect_code(0);
    let line = format!("pid {} under systemd", server.pid());
    assert!(again.stdout.contains(&line) && !again.stdout.contains("stop  "), "{}", again.stdout);
    done(&mut detached(&room, &["--replace"], witness(), &args)).expect_code(75).expect_line(&[
        &format!("pid {} (", server.pid()),
        "under systemd",
        "through systemd",
    ]);
    assert!(server.is_well());
}

#[test]
fn a_start_of_what_runs_and_is_sick_exits_1_and_leaves_it_alone() {
    let room = Room::new();
    let port = free_port();
    let sick = room.path().join("sick");
    let args = ["--sick", &sick.display().to_string()];
    let start = |options: &[&str]| {
        done(&mut serving(&room, port, &[&["--json", "--health-timeout", "1s"], options].concat(), &args))
    };
    let first = pid(&start(&[]).expect_code(0));
    room.file("sick", "");
    start(&[]).expect_code(1).expect_stderr(&[&format!("already running as pid {first}"), "not healthy", "status 500"]);
    assert!(alive(first));
    std::fs::remove_file(&sick).expect("removed");
    assert_eq!(pid(&start(&[]).expect_code(0)), first);
}

#[test]
fn replace_stops_what_runs_and_starts_anew() {
    let room = Room::new();
    let port = free_port();
    let first = pid(&done(&mut serving(&room, port, &["--json"], &["--workers", "2"])).expect_code(0));
    let args = ["--json", "--replace", "--grace", "300ms"];
    let second = pid(&done(&mut serving(&room, port, &args, &["--workers", "2"])).expect_code(0));
    assert_ne!(first, second);
    assert!(!alive(first) && alive(second));
    // The server and its workers, once.
    assert_eq!(left(&room).len(), 3);
    assert_eq!(room.record("web")["process"]["pid"], second);
}

#[test]
fn replace_of_what_does_not_run_is_a_start() {
    let room = Room::new();
    done(&mut serving(&room, free_port(), &["--replace"], &[])).expect_code(0);
}

#[test]
fn replace_leaves_children_that_the_caller_had() {
    let room = Room::new();
    let port = free_port();
    // Its command must be the same both times.
    done(&mut serving(&room, port, &[], &[])).expect_code(0);
    let replacing = serving(&room, port, &["--replace"], &[]);
    let mut shell = Command::new("/bin/sh");
    let text = r#"sleep 100 & echo $! > child; exec "$0" "$@""#;
    shell.arg("-c").arg(text).arg(replacing.get_program()).args(replacing.get_args()).current_dir(room.path());
    shell.env("FORERUN_STATE_DIR", room.state()).stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(shell.status().expect("run").code(), Some(0));
    let child = std::fs::read_to_string(room.path().join("child")).expect("a pid").trim().parse().expect("a pid");
    assert!(alive(child));
    send(child, libc::SIGKILL);
}

#[test]
fn another_service_of_the_name_exits_75_and_both_are_named() {
    let room = Room::new();
    let first = pid(&done(&mut script(&room, &["--json"], "exec sleep 100")).expect_code(0));
    for options in [&[][..], &["--replace"]] {
        let done = done(&mut script(&room, options, "exec sleep 101")).expect_code(75);
        done.expect_line(&[&format!("pid {first}"), "exec sleep 100", "exec sleep 101", "another command", "--name"]);
    }
    assert!(alive(first));
}

/// Starts the same service many times at once: one server, and nobody fails.
fn at_once(count: usize) {
    let room = Room::new();
    let port = free_port();
    let start = || {
        let mut command = serving(&room, port, &["--json"], &["--after", "100"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned")
    };
    let children: Vec<_> = (0..count).map(|_| start()).collect();
    let mut pids = Vec::new();
    let mut started = 0;
    for child in children {
        let output = collect(child);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        started += usize::from(answer["already_running"] == false);
        pids.push(answer["pid"].as_i64().expect("a pid"));
    }
    pids.dedup();
    assert_eq!((pids.len(), started, left(&room).len()), (1, 1, 1));
}

#[test]
fn twenty_starts_at_once_make_one_server() {
    at_once(20);
}

#[test]
fn a_hundred_starts_at_once_make_one_server() {
    at_once(100);
}

#[test]
fn starts_at_once_of_what_fails_all_fail_and_leave_nothing() {
    let room = Room::new();
    let start = || script(&room, &[], "exit 5").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    let children: Vec<_> = (0..8).map(|_| start()).collect();
    for child in children {
        assert_eq!(collect(child).status.code(), Some(1));
    }
    assert!(left(&room).is_empty() && !room.state().join("web/record.json").exists());
}

#[test]
fn a_server_whose_forerun_was_killed_while_it_waited_is_found_again() {
    let room = Room::new();
    let port = free_port();
    let go = room.path().join("go");
    let args = ["--when", &go.display().to_string()];
    let mut first = stranger(&mut serving(&room, port, &[], &args));
    let server = recorded(&room, &first.0);
    // Recorded a moment before it executes: killed between the two, forerun leaves nothing.
    let executable = PathBuf::from(format!("/proc/{server}/exe"));
    eventually("the server executes", || {
        std::fs::read_link(&executable).is_ok_and(|exe| exe == common::is(&fixture()))
    });
    first.0.kill().expect("killed");
    room.file("go", "");
    let again = json(&done(&mut serving(&room, port, &["--json"], &args)).expect_code(0));
    assert_eq!((&again["pid"], &again["already_running"]), (&server.into(), &true.into()));
    assert_eq!(left(&room).len(), 1);
}

#[test]
fn a_forerun_that_was_killed_before_its_server_ran_is_in_nobodys_way() {
    let room = Room::new();
    let port = free_port();
    let mut first = stranger(&mut serving(&room, port, &["--wait", "exec:touch tried; exit 1"], &[]));
    eventually("the wait begins", || room.path().join("tried").exists());
    assert_eq!(room.record("web")["process"]["pid"], first.pid());
    first.0.kill().expect("killed");
    first.0.wait().expect("waited");
    let again = json(&done(&mut serving(&room, port, &["--json"], &[])).expect_code(0));
    assert_eq!(again["already_running"], false);
}

#[test]
fn a_forerun_that_is_killed_at_any_moment_leaves_one_server_at_most() {
    for round in 0..40 {
        let room = Room::new();
        let start = || detached(&room, &["--json", "--health", "exec:true"], "sleep", &["100"]);
        let mut first = start().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawned");
        // Spinning, for the accuracy that a sleep does not have: from 0 to 14 ms.
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_micros(350 * round) {
            std::hint::spin_loop();
        }
        let _ = first.kill();
        first.wait().expect("waited");
        let server = pid(&done(&mut start()).expect_code(0));
        // What the killed one forked and never told of ends by itself.
        eventually("there is one server", || left(&room) == [server]);
    }
}

#[test]
fn commands_and_deaths_are_judged_rightly_when_the_end_of_a_child_is_ignored() {
    let ignored = |mut command: Command| {
        // SAFETY: a valid disposition.
        done(prepared(&mut command, || unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        }))
    };
    let room = Room::new();
    ignored(script(&room, &["--require", "exec:exit 3"], "exec sleep 100")).expect_code(78);
    let done = ignored(script(&room, &[], "exit 4")).expect_code(1);
    done.expect_stderr(&["exited with status 4"]);
}

// The browser.

#[test]
fn open_runs_xdg_open_with_the_url() {
    let room = Room::new();
    let port = free_port();
    let bin = room.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let text = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$*\" > '{0}.tmp'\nmv '{0}.tmp' '{0}'\n",
        room.path().join("opened").display()
    );
    let opener = room.file("bin/xdg-open", &text);
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).expect("set");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    done(serving(&room, port, &["--open"], &[]).env("PATH", &path)).expect_code(0);
    assert_eq!(process::appears(&room.path().join("opened")), format!("http://127.0.0.1:{port}\n"));
    // Again for what runs.
    std::fs::remove_file(room.path().join("opened")).expect("removed");
    done(serving(&room, port, &["--open"], &[]).env("PATH", &path)).expect_code(0);
    process::appears(&room.path().join("opened"));
}

#[test]
fn a_browser_that_cannot_be_opened_is_a_warning() {
    let room = Room::new();
    let empty = room.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let done = done(serving(&room, free_port(), &["--open"], &[]).env("PATH", &empty)).expect_code(0);
    done.expect_stderr(&["forerun: warning: cannot open 'http://127.0.0.1:"]);
}

// Records that cannot be trusted.

#[test]
fn a_damaged_record_is_set_aside_with_a_warning() {
    for damage in ["", "{", "null", "[]", "\u{0}\u{1}", "{\"version\":1}", &"x".repeat(2 << 20)] {
        let room = Room::new();
        std::fs::create_dir_all(room.state().join("web")).expect("folders");
        let path = room.state().join("web/record.json");
        std::fs::write(&path, damage).expect("written");
        let done = done(&mut serving(&room, free_port(), &["--json"], &[])).expect_code(0);
        assert_eq!(room.record("web")["process"]["pid"], pid(&done));
        assert_eq!(std::fs::read_to_string(path.with_file_name("record.json.damaged")).expect("UTF-8"), damage);
        done.expect_line(&["forerun: warning: the record", "cannot be trusted", "set aside"]);
    }
}

/// Starts a server, ends it, and leaves its record with one change.
fn with_record(room: &Room, port: u16, change: impl FnOnce(&mut Value)) {
    let server = pid(&done(&mut serving(room, port, &["--json"], &[])).expect_code(0));
    kill(server);
    let mut record = room.record("web");
    change(&mut record);
    std::fs::write(room.state().join("web/record.json"), record.to_string()).expect("written");
}

#[test]
fn the_record_of_a_recycled_pid_is_of_nobody_and_the_bystander_is_left_alone() {
    for options in [&["--json"][..], &["--json", "--replace"]] {
        let room = Room::new();
        let port = free_port();
        let seen = room.path().join("seen");
        let mut bystander = stranger(Command::new(witness()).arg(&seen).env_clear());
        process::appears(&seen);
        let number = bystander.pid();
        with_record(&room, port, |record| {
            record["process"]["pid"] = number.into();
            record["process"]["start"] = (process::stat(number, process::START) + 1).into();
            record["session"] = number.into();
            record["group"] = number.into();
        });
        let started = pid(&done(&mut serving(&room, port, options, &[])).expect_code(0));
        assert!(started != number && bystander.is_well());
    }
}

#[test]
fn a_record_of_another_boot_is_of_nobody_where_the_machine_has_an_id() {
    let room = Room::new();
    let port = free_port();
    let mut bystander = stranger(Command::new("sleep").arg("100"));
    let number = bystander.pid();
    with_record(&room, port, |record| {
        record["process"]["pid"] = number.into();
        record["process"]["start"] = process::stat(number, process::START).into();
        record["process"]["host"]["boot"] = "another".into();
    });
    let code = if common::has_machine_id() { 0 } else { 75 };
    done(&mut serving(&room, port, &["--replace"], &[])).expect_code(code);
    assert!(bystander.is_well());
}

#[test]
fn a_record_of_another_machine_is_not_touched_and_exits_75() {
    let room = Room::new();
    let port = free_port();
    with_record(&room, port, |record| record["process"]["host"]["machine"] = "another".into());
    let before = room.record("web");
    for options in [&[][..], &["--replace"]] {
        done(&mut serving(&room, port, options, &[])).expect_code(75).expect_line(&["another machine"]);
    }
    assert_eq!(room.record("web"), before);
}

// Links.

#[test]
fn a_link_for_the_record_is_set_aside_and_not_followed() {
    let room = Room::new();
    let target = room.file("target", "precious");
    std::fs::create_dir_all(room.state().join("web")).expect("folders");
    let record = room.state().join("web/record.json");
    symlink(&target, &record).expect("a link");
    symlink(&target, room.state().join("web/record.json.new")).expect("a link");
    done(&mut serving(&room, free_port(), &[], &[])).expect_code(0).expect_line(&["warning: the record", "set aside"]);
    assert_eq!(std::fs::read_to_string(&target).expect("UTF-8"), "precious");
    assert!(std::fs::symlink_metadata(&record).expect("there").is_file());
}

#[test]
fn a_link_for_the_lock_the_log_or_the_folder_exits_73_and_is_not_followed() {
    for name in ["lock", "server.log", ""] {
        let room = Room::new();
        let folder = room.state().join("web");
        let target = room.path().join("target");
        if name.is_empty() {
            std::fs::create_dir(&target).expect("a folder");
            std::fs::create_dir(room.state()).expect("a folder");
            symlink(&target, &folder).expect("a link");
        } else {
            std::fs::write(&target, "precious").expect("written");
            std::fs::create_dir_all(&folder).expect("folders");
            symlink(&target, folder.join(name)).expect("a link");
        }
        done(&mut script(&room, &[], "touch started; exec sleep 100")).expect_code(73);
        assert!(!room.path().join("started").exists(), "{name}");
        match name {
            "" => assert_eq!(std::fs::read_dir(&target).expect("a folder").count(), 0),
            _ => assert_eq!(std::fs::read_to_string(&target).expect("UTF-8"), "precious"),
        }
    }
}

#[test]
fn a_state_folder_that_others_may_read_is_made_private() {
    let room = Room::new();
    let folder = room.state().join("web");
    std::fs::create_dir_all(&folder).expect("folders");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).expect("set");
    done(&mut script(&room, &[], "exec sleep 100")).expect_code(0);
    assert_eq!(mode(&folder), 0o700);
}

// Progress.

/// What a terminal shows of a start with a wait that holds after a moment.
fn shown(options: &[&str], variables: &[(&str, &str)]) -> String {
    let room = Room::new();
    let port = free_port();
    let mut command = serving(&room, port, options, &[]);
    let wait = "exec:test -e second || { touch second; sleep 0.3; exit 1; }";
    let mut all = room.forerun();
    all.args(["--wait", wait]).args(command.get_args()).envs(variables.iter().copied()).env("TERM", "xterm");
    command = all;
    let terminal = Terminal::open();
    let child = terminal.attach(&mut command).spawn().expect("spawned");
    // Both are read until the far end is closed.
    drop(command);
    terminal.watch();
    assert!(collect(child).status.success());
    if !options.contains(&"-q") {
        terminal.shows("  stop  forerun stop ");
    }
    terminal.shown()
}

#[test]
fn a_terminal_shows_a_line_for_each_check() {
    let shown = shown(&[], &[("NO_COLOR", "1")]);
    assert!(shown.contains("ok exec:test -e second") && shown.contains("ok http://127.0.0.1:"), "{shown}");
    // What follows begins a line of its own.
    assert!(shown.contains("\nweb is ready"), "{shown:?}");
    let shown = self::shown(&[], &[("LANG", "C.UTF-8")]);
    assert!(shown.contains("\u{1b}[32m✓\u{1b}[0m exec:test -e second"), "{shown}");
}

#[test]
fn no_progress_shows_no_line_for_a_check() {
    for option in ["--no-progress", "-q"] {
        let shown = shown(&[option], &[]);
        assert!(!shown.contains("exec:") && !shown.contains('\u{1b}'), "{shown:?}");
        assert_eq!(shown.is_empty(), option == "-q", "{shown:?}");
    }
}

#[test]
fn no_color_shows_no_colour() {
    let shown = shown(&[], &[("NO_COLOR", "1"), ("LANG", "C.UTF-8"), ("COLORTERM", "truecolor")]);
    let colours = shown
        .split("\u{1b}[")
        .skip(1)
        .filter(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'));
    assert_eq!(colours.count(), 0, "{shown:?}");
}

#[test]
fn without_a_terminal_there_are_no_escapes() {
    let room = Room::new();
    let done =
        done(&mut serving(&room, free_port(), &["--wait", "exec:test -e x || { touch x; sleep 1.2; exit 1; }"], &[]));
    assert!(!done.stderr.contains('\u{1b}') && !done.stderr.contains('\r'), "{:?}", done.stderr);
    let done = done.expect_code(0);
    done.expect_stderr(&["forerun: waiting for 'exec:test -e x", "holds after"]);
}

#[test]
fn arguments_arrive_to_the_byte() {
    let room = Room::new();
    let seen = room.path().join("seen");
    let hard = [&b""[..], b"a b", b"line\nline", b"\xff\xfe", b"--detach", b"--", b"$HOME `id`", b""];
    let mut command = detached(&room, &["--json"], witness(), &[&seen.display().to_string()]);
    command.args(hard.iter().map(|a| OsStr::from_bytes(a)));
    let pid = pid(&done(&mut command).expect_code(0));
    assert_eq!(process::strings(pid, "cmdline")[2..], hard);
}
