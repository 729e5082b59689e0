//! Requirements, waits and fixes: each kind of check, what is said of one that fails, and what is left of it.

mod common;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{
    Done, Killed, Manager, Room, Web, accepts, alive, collect, done, eventually, free_port, has, is_root, signal,
};

/// Runs `forerun check` with one requirement.
#[track_caller]
fn require(room: &Room, check: &str) -> Done {
    room.run(&["check", "--require", check])
}

#[track_caller]
fn holds(room: &Room, check: &str) {
    let out = require(room, check).expect_code(0);
    assert!(out.stdout.starts_with("ok ") && out.stderr.is_empty(), "{}{}", out.stdout, out.stderr);
}

/// Asserts that a check fails with this reason.
#[track_caller]
fn fails(room: &Room, check: &str, reason: &str) {
    let out = require(room, check).expect_code(78);
    assert!(out.stdout.starts_with("FAILED ") && out.stdout.contains(reason), "no {reason:?} in: {}", out.stdout);
    assert_eq!(out.stdout.lines().count(), 1, "{}", out.stdout);
}

/// Starts `true` in the foreground below what the file says.
#[track_caller]
fn start_with(room: &Room, file: &str) -> Done {
    room.file("forerun.toml", file);
    room.run(&["--foreground", "--", "true"])
}

/// A start in the foreground that waits for what never comes, and the pids that its exec: check wrote.
fn start_that_waits(room: &Room, mode: &str) -> (Child, Vec<i32>) {
    let check = "exec:sleep 300 & echo $$ $! > pids.new; mv pids.new pids; wait";
    let mut command = room.forerun();
    command.args([mode, "--wait", check, "--", "true"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Whatever runs the tests may ignore some (nohup, a shell's background).
    let child = common::process::with_plain_signals(&mut command).spawn().expect("spawned");
    eventually("the check runs", || room.path().join("pids").exists());
    (child, pids(room, "pids"))
}

fn pids(room: &Room, file: &str) -> Vec<i32> {
    let text = fs::read_to_string(room.path().join(file)).expect("pids");
    text.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}

#[track_caller]
fn all_gone(pids: &[i32]) {
    for pid in pids {
        eventually("the process is gone", || !alive(*pid));
    }
}

#[test]
fn cmd_holds_for_what_can_be_executed() {
    let room = Room::new();
    let folder = room.path().display().to_string();
    room.file("plain", "");
    room.executable("tool", "#!/bin/sh\n");
    holds(&room, "cmd:sh");
    holds(&room, "cmd:/bin/sh");
    holds(&room, "cmd:./tool");
    fails(&room, "cmd:forerun-test-nowhere", "not found in PATH");
    fails(&room, "cmd:./nowhere", "No such file or directory");
    fails(&room, "cmd:./plain", "Permission denied");
    fails(&room, &format!("cmd:{folder}"), "irectory");
}

#[test]
fn cmd_is_looked_up_on_the_path_that_the_server_gets() {
    let room = Room::new();
    fs::create_dir(room.path().join("bin")).expect("a folder");
    room.executable("bin/forerun-test-tool", "#!/bin/sh\n");
    let path = format!("PATH={}", room.path().join("bin").display());
    room.run(&["check", "--env", &path, "--require", "cmd:forerun-test-tool"]).expect_code(0);
    fails(&room, "cmd:forerun-test-tool", "not found in PATH");
}

#[test]
fn file_and_dir_hold_for_what_can_be_read() {
    let room = Room::new();
    room.file("a b", "");
    holds(&room, "file:a b");
    holds(&room, "dir:.");
    fails(&room, "file:nowhere", "No such file or directory");
    fails(&room, "file:.", "it is a directory");
    fails(&room, "dir:nowhere", "No such file or directory");
    fails(&room, "dir:a b", "Not a directory");
    if !is_root() {
        fs::set_permissions(room.path().join("a b"), fs::Permissions::from_mode(0o000)).expect("mode 0");
        fails(&room, "file:a b", "Permission denied");
    }
}

#[test]
fn file_does_not_wait_for_the_writer_of_a_fifo() {
    let room = Room::new();
    let path = room.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a fifo");
    holds(&room, "file:fifo");
}

#[test]
fn env_holds_for_what_the_server_will_see() {
    let room = Room::new();
    room.file("vars", "FROM_FILE=1\n");
    let run = |name: &str| {
        let mut command = room.forerun();
        command.env("EMPTY", "").env("SET", "1");
        done(command.args(["check", "--env-file", "vars", "--env", "GIVEN=1", "--require", &format!("env:{name}")]))
    };
    for name in ["SET", "FROM_FILE", "GIVEN"] {
        run(name).expect_code(0);
    }
    assert!(run("EMPTY").expect_code(78).stdout.contains("it is empty"));
    assert!(run("UNSET").expect_code(78).stdout.contains("it is not set"));
}

#[test]
fn tcp_holds_where_a_connection_is_accepted() {
    let room = Room::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    for spec in [format!("tcp:127.0.0.1:{port}"), format!("tcp://127.0.0.1:{port}"), format!("tcp:localhost:{port}")] {
        holds(&room, &spec);
    }
    fails(&room, &format!("tcp:127.0.0.1:{}", free_port()), "Connection refused");
    fails(&room, "tcp:forerun-test.invalid:80", "");
}

#[test]
fn tcp_tries_all_addresses_of_a_name() {
    let listener = TcpListener::bind("[::1]:0");
    skip_unless!(listener.is_ok(), "there is no IPv6 here");
    let port = listener.as_ref().expect("bound").local_addr().expect("an address").port();
    let room = Room::new();
    holds(&room, &format!("tcp:[::1]:{port}"));
    holds(&room, &format!("tcp:localhost:{port}"));
    fails(&room, &format!("tcp:[::1]:{}", free_port()), "Connection refused");
}

#[test]
fn unix_holds_where_a_stream_socket_accepts() {
    let room = Room::new();
    let listener = UnixListener::bind(room.path().join("socket")).expect("bound");
    holds(&room, "unix:socket");
    drop(listener);
    // What another test starts has a copy of it until it is executed.
    let socket = room.path().join("socket");
    eventually("we listen no more", || UnixStream::connect(&socket).is_err());
    fails(&room, "unix:socket", "Connection refused");
    fails(&room, "unix:nowhere", "No such file or directory");
    let long = format!("unix:/{}", "x".repeat(200));
    room.run(&["check", "--require", &long]).expect_code(2).expect_line(&["invalid check", "at most 107"]);
}

#[test]
fn fds_counts_under_the_limit_that_the_server_will_have() {
    let room = Room::new();
    let run = |nofile: &str, check: &str| room.run(&["check", "--nofile", nofile, "--require", check]);
    run("100", "fds:50").expect_code(0);
    let few = run("100", "fds:200").expect_code(78);
    assert!(few.stdout.contains("under the limit of 100; raise it with --nofile"), "{}", few.stdout);
    run("300", "fds:200").expect_code(0);
}

#[test]
fn ptys_counts_what_is_free() {
    let room = Room::new();
    holds(&room, "ptys:1");
    fails(&room, "ptys:99999999", "pseudo-terminals are free, of ");
    // Who holds the most is named: nobody has more than this.
    let held: Vec<_> =
        (0..200).map(|_| fs::File::options().read(true).open("/dev/ptmx").expect("a terminal")).collect();
    fails(&room, "ptys:99999999", &format!("; pid {} (", std::process::id()));
    fails(&room, "ptys:99999999", &format!(") holds {}", held.len()));
}

#[test]
fn free_names_the_holder_of_a_port() {
    let room = Room::new();
    let port = free_port();
    holds(&room, &format!("free:{port}"));
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("bound");
    let us = std::env::args().next().expect("our own name");
    let (pid, name) = (std::process::id(), us.rsplit('/').next().expect("a file"));
    for check in [format!("free:{port}"), format!("free:127.0.0.1:{port}")] {
        fails(&room, &check, &format!("held by pid {pid} ("));
        fails(&room, &check, name);
    }
    holds(&room, &format!("free:127.0.0.2:{port}"));
}

#[test]
fn free_sees_a_port_of_ipv6() {
    let port = free_port();
    let listener = TcpListener::bind(("::1", port));
    skip_unless!(listener.is_ok(), "there is no IPv6 here");
    let room = Room::new();
    fails(&room, &format!("free:{port}"), "held by pid");
    fails(&room, &format!("free:[::1]:{port}"), "held by pid");
    holds(&room, &format!("free:127.0.0.1:{port}"));
}

#[test]
fn free_never_listens() {
    let room = Room::new();
    let port = free_port();
    let mut command = room.forerun();
    let wait = format!("free:{port}");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("bound");
    command.args([
        "--foreground",
        "--wait",
        "exec:touch tried; false",
        "--wait",
        &wait,
        "--wait-timeout",
        "2s",
        "--",
        "true",
    ]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("spawned");
    eventually("an attempt", || room.path().join("tried").exists());
    drop(listener);
    // What another test starts has a copy of it until it is executed.
    eventually("we listen no more", || !accepts(port));
    // Wherever forerun is in its attempts, nobody who connects is answered.
    for _ in 0..200 {
        assert!(!accepts(port));
    }
    signal(child.id(), libc::SIGKILL);
    collect(child);
}

#[test]
fn an_exec_check_that_fails_gives_its_last_line_of_stderr() {
    let room = Room::new();
    holds(&room, "exec:echo out; echo err >&2; exit 0");
    fails(&room, "exec:echo first >&2; echo why >&2; echo; echo out; exit 3", "  why\n");
    fails(&room, "exec:printf 'a\\nwhy\\n\\n  \\n' >&2; exit 3", "  why\n");
    fails(&room, "exec:printf 'no\\033[2Jend' >&2; exit 3", "  no\\u{1b}[2Jend\n");
    fails(&room, "exec:exit 3", "  exited with status 3\n");
    fails(&room, "exec:kill -9 $$", "  was killed by SIGKILL");
}

/// Has a command started with SIGCHLD ignored.
fn ignoring_sigchld(command: &mut Command) -> &mut Command {
    let ignore = || {
        // SAFETY: SIG_IGN is a valid disposition.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        Ok(())
    };
    // SAFETY: signal is async-signal-safe.
    unsafe { command.pre_exec(ignore) }
}

#[test]
fn an_exec_check_can_fail_where_sigchld_came_ignored() {
    let room = Room::new();
    let mut command = room.forerun();
    let out = done(ignoring_sigchld(&mut command).args(["check", "--require", "exec:exit 3"])).expect_code(78);
    assert!(out.stdout.contains("exited with status 3"), "{}", out.stdout);
}

#[test]
fn the_server_gets_sigchld_ignored_where_it_came_so() {
    let room = Room::new();
    let mut command = room.forerun();
    ignoring_sigchld(&mut command).args(["--foreground", "--require", "exec:true", "--"]);
    let out = done(command.args(["grep", "^SigIgn:", "/proc/self/status"])).expect_code(0);
    let mask = out.stdout.split_whitespace().nth(1).and_then(|mask| u64::from_str_radix(mask, 16).ok());
    assert!(mask.is_some_and(|mask| mask & (1 << (libc::SIGCHLD - 1)) != 0), "{}", out.stdout);
}

#[test]
fn an_exec_check_that_does_not_end_is_given_up_after_10s() {
    let room = Room::new();
    fails(&room, "exec:sleep 300 & echo $! > pids; echo stuck >&2; wait", "did not end within 10s; it said: stuck");
    all_gone(&pids(&room, "pids"));
}

#[test]
fn an_exec_check_of_a_wait_has_10s_too() {
    let room = Room::new();
    room.run(&["--foreground", "--wait", "exec:echo x >> tries; sleep 1.5", "--", "true"]).expect_code(0);
    assert_eq!(fs::read_to_string(room.path().join("tries")).expect("tries"), "x\n");
}

#[test]
fn an_exec_check_is_killed_with_all_that_it_started() {
    let room = Room::new();
    let check = "exec:trap '' TERM; (sleep 300 & echo $! >> pids; wait) & echo $! $$ >> pids; wait";
    let out = room.run(&["--foreground", "--wait", check, "--wait-timeout", "700ms", "--", "true"]).expect_code(69);
    out.expect_line(&["not ready after", "did not end within"]);
    assert_eq!(pids(&room, "pids").len(), 3);
    all_gone(&pids(&room, "pids"));
}

#[test]
fn an_attempt_of_an_exec_check_that_fails_leaves_nothing_running() {
    let room = Room::new();
    let check = "exec:sleep 300 & echo $! >> pids; echo why >&2; test $(wc -l < pids) -gt 3";
    room.run(&["--foreground", "--wait", check, "--wait-timeout", "20s", "--", "true"]).expect_code(0);
    let mut started = pids(&room, "pids");
    let of_last = started.pop().expect("a pid");
    assert_eq!(started.len(), 3);
    all_gone(&started);
    // What a check that holds started goes on.
    assert!(common::alive(of_last));
    common::process::send(of_last, libc::SIGKILL);
}

#[test]
fn an_exec_check_whose_environment_is_too_large_fails_at_once_and_for_good() {
    let room = Room::new();
    let files = room.large_files();
    for kind in ["--wait", "--require"] {
        let mut command = room.forerun();
        files.iter().for_each(|file| {
            command.args(["--env-file", file]);
        });
        let out = done(command.args(["--foreground", kind, "exec:true", "--", "true"])).expect_code(78);
        let out = out.expect_stderr(&["cannot run /bin/sh: Argument list too long (os error 7)\n"]);
        assert!(out.took < Duration::from_secs(20), "{:?}", out.took);
    }
}

#[test]
fn a_grandchild_that_keeps_stderr_open_does_not_hang_its_check() {
    let room = Room::new();
    let out = require(&room, "exec:sleep 300 & exit 0").expect_code(0);
    assert!(out.took < Duration::from_secs(9), "{:?}", out.took);
    fails(&room, "exec:sleep 300 & echo why >&2; exit 1", "  why\n");
}

#[test]
fn stderr_without_end_is_cut_off_at_the_deadline() {
    let room = Room::new();
    for check in ["exec:while :; do echo no >&2; done", "exec:exec >&2; while :; do printf 'nononono'; done"] {
        let out = room.run(&["--foreground", "--wait", check, "--wait-timeout", "500ms", "--", "true"]).expect_code(69);
        assert!(out.took < Duration::from_secs(9) && out.stderr.len() < 2000, "{:?}: {}", out.took, out.stderr);
        out.expect_line(&["not ready after", "it said: no"]);
    }
}

#[test]
fn commands_of_checks_do_not_see_what_is_the_servers() {
    let room = Room::new();
    let notify = room.path().join("notify").display().to_string();
    let own = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"];
    let file = "[[require]]\ncheck = 'exec:env > seen.check; test -e seen.fix'\nfix = 'env > seen.fix'\n";
    room.file("forerun.toml", file);
    let mut command = room.forerun();
    command.env("NOTIFY_SOCKET", notify).envs(own.map(|name| (name, "1"))).env("OTHER", "1");
    let out = done(command.args(["--foreground", "--env", "GIVEN=1", "--", "env"])).expect_code(0);
    for name in own {
        assert!(out.stdout.contains(&format!("{name}=1\n")), "the server has no {name}");
    }
    for file in ["seen.check", "seen.fix"] {
        let seen = fs::read_to_string(room.path().join(file)).expect("an environment");
        for name in ["NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_"] {
            assert!(!seen.lines().any(|line| line.starts_with(name)), "{file}: {seen}");
        }
        assert!(seen.contains("OTHER=1\n") && seen.contains("GIVEN=1\n"), "{file}: {seen}");
    }
}

#[test]
fn commands_of_checks_keep_the_limits_as_they_came() {
    let room = Room::new();
    let before = done(Command::new("sh").args(["-c", "ulimit -n"])).stdout;
    let args =
        ["--foreground", "--nofile", "64:64", "--require", "exec:ulimit -n > limit", "--", "sh", "-c", "ulimit -n"];
    assert_eq!(room.run(&args).expect_code(0).stdout, "64\n");
    assert_eq!(fs::read_to_string(room.path().join("limit")).expect("a limit"), before);
}

#[test]
fn commands_of_checks_run_where_the_server_does() {
    let room = Room::new();
    fs::create_dir(room.path().join("work")).expect("a folder");
    let check = "exec:pwd > ../where.check; test -e ../where.fix";
    room.file("forerun.toml", &format!("cwd = 'work'\n[[require]]\ncheck = '{check}'\nfix = 'pwd > ../where.fix'\n"));
    let out = room.run(&["--foreground", "--", "pwd"]).expect_code(0);
    for file in ["where.check", "where.fix"] {
        assert_eq!(fs::read_to_string(room.path().join(file)).expect("a folder's name"), out.stdout);
    }
}

#[test]
fn quiet_is_quiet_but_for_errors_and_what_fixes_print() {
    let room = Room::new();
    room.file("forerun.toml", "[[require]]\ncheck = 'file:mended'\nfix = 'echo fixing; touch mended'\n");
    assert_eq!(room.run(&["-q", "--foreground", "--", "true"]).expect_code(0).stderr, "fixing\n");
    room.run(&["-q", "--foreground", "--require", "env:NOWHERE", "--", "true"])
        .expect_code(78)
        .expect_line(&["not set"]);
}

#[test]
fn commands_of_checks_have_no_stdin_to_wait_for() {
    let room = Room::new();
    let mut command = room.forerun();
    command.args(["check", "--require", "exec:cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("spawned");
    let _open = child.stdin.take();
    assert!(collect(child).status.success());
}

#[test]
fn all_requirements_that_do_not_hold_are_named() {
    let room = Room::new();
    let file = "[[require]]\ncheck = 'cmd:sh'\n[[require]]\ncheck = 'env:NOWHERE'\nhint = 'set it'\n\
        [[require]]\ncheck = 'exec:echo why >&2; false'\n";
    let out = start_with(&room, file).expect_code(78);
    let lines: Vec<_> = out.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "forerun: requirement 'env:NOWHERE' does not hold: it is not set; set it",
            "forerun: requirement 'exec:echo why >&2; false' does not hold: why",
        ]
    );
    let supervised = done(room.forerun().args(["--", "true"]).env("INVOCATION_ID", "a"));
    supervised.expect_code(78);
}

#[test]
fn waits_come_after_the_requirements() {
    let room = Room::new();
    let args = ["--foreground", "--wait", "exec:touch waited", "--require", "env:NOWHERE", "--", "true"];
    room.run(&args).expect_code(78);
    assert!(!room.path().join("waited").exists());
}

#[test]
fn a_wait_that_times_out_says_what_it_saw_and_how_often() {
    let room = Room::new();
    let port = free_port();
    let file = format!(
        "[[wait]]\ncheck = 'tcp:127.0.0.1:{port}'\ntimeout = '700ms'\nhint = 'start the database'\n\
        [[wait]]\ncheck = 'file:nowhere'\ntimeout = '800ms'\n"
    );
    let out = start_with(&room, &file).expect_code(69);
    let lines: Vec<_> = out.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", out.stderr);
    for part in [
        &format!("forerun: 'tcp:127.0.0.1:{port}' not ready after "),
        " attempts): Connection refused",
        "; start the database",
    ] {
        assert!(lines[0].contains(part), "no {part:?} in {}", lines[0]);
    }
    assert!(lines[1].contains("nowhere' not ready after ") && lines[1].contains("No such file"), "{}", lines[1]);
    let attempts: u32 = lines[0].split(['(', ' ']).filter_map(|word| word.parse().ok()).next().expect("attempts");
    assert!(attempts > 1, "{}", lines[0]);
    let supervised = done(room.forerun().args(["--", "true"]).env("INVOCATION_ID", "a"));
    supervised.expect_code(69);
}

#[test]
fn a_wait_of_no_time_is_one_attempt() {
    let room = Room::new();
    let out =
        room.run(&["--foreground", "--wait", "file:nowhere", "--wait-timeout", "0s", "--", "true"]).expect_code(69);
    out.expect_line(&["(1 attempt)"]);
    room.run(&["--foreground", "--wait", "env:PATH", "--wait-timeout", "0s", "--", "true"]).expect_code(0);
}

#[test]
fn waits_take_as_long_as_the_slowest_one() {
    let room = Room::new();
    let port = free_port();
    let mut args = vec!["--foreground".to_owned(), "--wait-timeout".to_owned(), "1s".to_owned()];
    for number in 0..10 {
        let check = if number % 2 == 0 { format!("tcp:127.0.0.1:{port}") } else { format!("exec:exit {number}") };
        args.extend(["--wait".to_owned(), check]);
    }
    args.extend(["--".to_owned(), "true".to_owned()]);
    let out = room.run(&args).expect_code(69);
    assert_eq!(out.stderr.lines().filter(|line| line.contains("not ready after")).count(), 10, "{}", out.stderr);
    assert!(out.took >= Duration::from_secs(1) && out.took < Duration::from_secs(5), "{:?}", out.took);
}

#[test]
fn what_becomes_true_ends_its_wait() {
    let room = Room::new();
    let port = free_port();
    let address = format!("tcp:127.0.0.1:{port}");
    let mut command = room.forerun();
    command.args(["--foreground", "--wait", "exec:touch tried; test -e go", "--wait", &address, "--", "echo", "ran"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    eventually("an attempt", || room.path().join("tried").exists());
    room.file("go", "");
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("bound");
    assert_eq!(collect(child).stdout, b"ran\n");
}

#[test]
fn a_connect_that_hangs_never_outlasts_the_deadline() {
    let room = Room::new();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let address: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&address.into()).and_then(|()| socket.listen(0)).expect("listening");
    let address = socket.local_addr().ok().and_then(|a| a.as_socket()).expect("an address");
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
    let held: Vec<_> = std::iter::from_fn(|| connect().ok()).take(8).collect();
    skip_unless!(held.len() < 8, "this kernel lets connections in beyond the backlog");
    for check in [format!("tcp:{address}"), format!("http://{address}/")] {
        let out =
            room.run(&["--foreground", "--wait", &check, "--wait-timeout", "600ms", "--", "true"]).expect_code(69);
        assert!(out.took < Duration::from_secs(5), "{:?}", out.took);
        out.expect_line(&["not ready after", "no answer"]);
    }
}

#[test]
fn an_answer_that_never_comes_never_outlasts_the_deadline() {
    let room = Room::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    for check in [format!("http://{address}/"), format!("https://{address}/")] {
        let out =
            room.run(&["--foreground", "--wait", &check, "--wait-timeout", "500ms", "--", "true"]).expect_code(69);
        assert!(out.took < Duration::from_secs(5), "{:?}", out.took);
        out.expect_line(&["not ready after", "no answer"]);
    }
}

#[test]
fn a_name_that_does_not_resolve_never_outlasts_the_deadline() {
    let room = Room::new();
    for check in ["tcp:forerun-test.invalid:80", "http://forerun-test.invalid/"] {
        let out = room.run(&["--foreground", "--wait", check, "--wait-timeout", "500ms", "--", "true"]).expect_code(69);
        assert!(out.took < Duration::from_secs(5), "{:?}", out.took);
        out.expect_line(&[check, "not ready after"]);
    }
}

#[test]
fn a_fix_runs_once_and_the_check_is_tried_again() {
    let room = Room::new();
    let file = "[[require]]\ncheck = 'exec:echo check >> log; test -e mended'\n\
        fix = 'echo fix >> log; echo loud; touch mended'\n[[require]]\ncheck = 'cmd:sh'\nfix = 'echo never >> log'\n";
    let out = start_with(&room, file).expect_code(0).expect_stderr(&["does not hold", "running its fix", "loud\n"]);
    assert_eq!(out.stdout, "");
    assert_eq!(fs::read_to_string(room.path().join("log")).expect("a log"), "check\nfix\ncheck\n");
}

#[test]
fn a_fix_that_does_not_help_is_not_run_again() {
    let room = Room::new();
    let file = "[[require]]\ncheck = 'exec:echo no >&2; false'\nfix = 'echo fix >> log'\nhint = 'read the manual'\n";
    start_with(&room, file).expect_code(78).expect_stderr(&["no, also after its fix; read the manual"]);
    assert_eq!(fs::read_to_string(room.path().join("log")).expect("a log"), "fix\n");
}

#[test]
fn a_fix_that_fails_is_named() {
    let room = Room::new();
    let file = "[[require]]\ncheck = 'env:NOWHERE'\nfix = 'exit 7'\n";
    let out = start_with(&room, file).expect_code(78);
    out.expect_stderr(&["'env:NOWHERE' does not hold: it is not set; its fix 'exit 7' failed: exited with status 7"]);
}

#[test]
fn fixes_run_one_after_another() {
    let room = Room::new();
    let one = |name: &str| {
        let fix = format!("echo begin >> log; sleep 0.2; touch {name}; echo end >> log");
        format!("[[require]]\ncheck = 'file:{name}'\nfix = '{fix}'\n")
    };
    start_with(&room, &(one("a") + &one("b") + &one("c"))).expect_code(0);
    assert_eq!(fs::read_to_string(room.path().join("log")).expect("a log"), "begin\nend\n".repeat(3));
}

#[test]
fn no_fix_runs_none() {
    let room = Room::new();
    room.file("forerun.toml", "[[require]]\ncheck = 'file:mended'\nfix = 'touch mended'\n");
    room.run(&["--foreground", "--no-fix", "--", "true"]).expect_code(78).expect_line(&["No such file"]);
    let check = room.run(&["check"]).expect_code(78);
    assert!(check.stdout.contains("a start would run its fix"), "{}", check.stdout);
    assert!(!room.path().join("mended").exists());
}

#[test]
fn a_fix_that_does_not_end_is_killed_with_all_that_it_started() {
    let room = Room::new();
    let file =
        "[[require]]\ncheck = 'file:mended'\nfix = 'sleep 300 & echo $$ $! > pids; wait'\nfix-timeout = '500ms'\n";
    start_with(&room, file).expect_code(78).expect_stderr(&["failed: did not end within 500ms"]);
    all_gone(&pids(&room, "pids"));
}

#[test]
fn http_holds_for_200_to_399_and_follows_no_redirect() {
    let room = Room::new();
    for (head, good) in [("200 OK", true), ("204 No", true), ("399 X", true), ("404 No", false), ("500 No", false)] {
        let url = Web::new(head, "").url("/");
        if good { holds(&room, &url) } else { fails(&room, &url, &format!("  status {}\n", &head[..3])) }
    }
    let target = Web::new("500 No", "");
    let redirect = Web::new(&format!("302 Found\r\nLocation: {}", target.url("/")), "");
    holds(&room, &redirect.url("/"));
    assert!(target.requests().is_empty());
    fails(&room, &format!("http://127.0.0.1:{}/", free_port()), "Connection refused");
}

#[test]
fn http_takes_the_statuses_that_are_asked_for() {
    let room = Room::new();
    let web = Web::new("404 Not Found", "");
    for (status, code) in
        [("404", 0), ("200,404", 0), ("400-499", 0), ("200-299, 404", 0), ("200", 69), ("200-399", 69)]
    {
        let file = format!("[[wait]]\ncheck = '{}'\nstatus = '{status}'\ntimeout = '700ms'\n", web.url("/"));
        let out = start_with(&room, &file).expect_code(code);
        assert!(code == 0 || out.stderr.contains(": status 404"), "{}", out.stderr);
    }
}

#[test]
fn http_looks_for_text_in_the_body() {
    let room = Room::new();
    let web = Web::new("200 OK", "status: green");
    let file = |body: &str| format!("[[require]]\ncheck = '{}'\nbody = '{body}'\n", web.url("/"));
    start_with(&room, &file("green")).expect_code(0);
    start_with(&room, &file("yellow"))
        .expect_code(78)
        .expect_line(&["status 200, and the body does not contain 'yellow'"]);
}

#[test]
fn http_does_not_read_a_body_without_end() {
    let room = Room::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n");
            while std::io::Write::write_all(&mut stream, &[b'x'; 65536]).is_ok() {}
        }
    });
    let file = format!("[[require]]\ncheck = 'http://{address}/'\nbody = 'y'\n");
    start_with(&room, &file).expect_code(78).expect_line(&["the body does not contain 'y'"]);
}

#[test]
fn http_sends_the_headers_and_userinfo_becomes_basic_auth() {
    let room = Room::new();
    let web = Web::new("200 OK", "");
    let url = web.url("/path?q=1");
    start_with(&room, &format!("[[require]]\ncheck = '{url}'\nheaders = {{ X-Test = 'a b', Host = 'other' }}\n"))
        .expect_code(0);
    fs::remove_file(room.path().join("forerun.toml")).expect("removed");
    holds(&room, &format!("{}#part", url.replace("http://", "http://user:s3cret@")));
    holds(&room, &url.replace("http://", "http://us%40er:a%2Fb%3A@"));
    let requests = web.requests();
    let lower = |index: usize| requests[index].to_ascii_lowercase();
    assert!(requests.iter().all(|r| r.starts_with("GET /path?q=1 HTTP/1.1\r\n")), "{requests:?}");
    assert!(lower(0).contains("\r\nx-test: a b\r\n") && lower(0).contains("\r\nhost: other\r\n"), "{}", requests[0]);
    assert!(!lower(0).contains("authorization"), "{}", requests[0]);
    assert!(requests[1].contains("Basic dXNlcjpzM2NyZXQ=\r\n"), "{}", requests[1]);
    assert!(requests[2].contains("Basic dXNAZXI6YS9iOg==\r\n"), "{}", requests[2]);
}

#[test]
fn attempts_on_loopback_never_go_through_a_proxy() {
    let room = Room::new();
    let web = Web::new("200 OK", "");
    let closed = format!("http://127.0.0.1:{}", free_port());
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let run = |url: &str| {
        let mut command = room.forerun();
        done(command.envs(names.map(|name| (name, &closed))).args(["check", "--require", url]))
    };
    for host in ["127.0.0.1", "localhost", "app.localhost", "[::ffff:127.0.0.1]"] {
        run(&format!("http://{host}:{}/", web.port)).expect_code(0);
    }
    // Others do: the closed proxy is what refuses.
    assert!(run("http://192.0.2.1/").expect_code(78).stdout.contains("refused"));
}

/// Runs openssl in the room.
#[track_caller]
fn openssl(room: &Room, words: &str) {
    done(Command::new("openssl").args(words.split_whitespace()).current_dir(room.path())).expect_code(0);
}

/// An authority of the room's own, `ca.pem`, and what `openssl ca` needs for certificates with any dates.
fn authority(room: &Room) {
    openssl(room, "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=forerun-test-ca -keyout ca.key -out ca.pem");
    room.file("index.txt", "");
    room.file("serial", "01\n");
    let sections = "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nnew_certs_dir = .\nserial = serial\n\
        default_md = sha256\npolicy = any\nunique_subject = no\n[any]\ncommonName = supplied\n";
    let extensions = "basicConstraints = CA:FALSE\nsubjectAltName = ";
    room.file(
        "ca.cnf",
        &format!(
            "{sections}[here]\n{extensions}DNS:localhost,IP:127.0.0.1\n[there]\n{extensions}DNS:there.example,IP:192.0.2.1\n"
        ),
    );
    openssl(room, "req -newkey rsa:2048 -nodes -subj /CN=forerun-test -keyout key.pem -out request.pem");
}

/// A certificate of the room's authority, valid between two years.
#[track_caller]
fn certificate(room: &Room, file: &str, extensions: &str, from: u16, to: u16) {
    openssl(
        room,
        &format!(
            "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in request.pem -out {file} \
            -extensions {extensions} -startdate {from}0101000000Z -enddate {to}0101000000Z"
        ),
    );
}

/// A certificate that is signed with its own key.
#[track_caller]
fn self_signed(room: &Room, constraints: &str) {
    openssl(
        room,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=forerun-test-self -keyout key.pem -out cert.pem \
            -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,{constraints}"
        ),
    );
}

/// The command of a server with `key.pem` and a certificate of the room.
fn tls_command(certificate: &str, port: u16) -> String {
    format!("openssl s_server -quiet -www -accept {port} -key key.pem -cert {certificate}")
}

/// A running server.
fn tls_server(room: &Room, certificate: &str) -> (Killed, u16) {
    let port = free_port();
    let command = tls_command(certificate, port);
    let mut serve = Command::new("openssl");
    serve.args(command.split(' ').skip(1)).current_dir(room.path());
    serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = Killed(serve.spawn().expect("spawned"));
    eventually("openssl listens", || accepts(port));
    (child, port)
}

/// The reason why a requirement of the file does not hold.
#[track_caller]
fn reason(room: &Room, url: &str, keys: &str) -> String {
    let out = start_with(room, &format!("[[require]]\ncheck = '{url}'\n{keys}\n")).expect_code(78);
    let line = out.stderr.lines().next().unwrap_or_default();
    assert_eq!(out.stderr.lines().count(), 1, "{}", out.stderr);
    let (_, reason) = line.split_once(" does not hold: ").unwrap_or_else(|| panic!("{line}"));
    reason.to_owned()
}

const INSECURE: &str = "accept any certificate with --insecure or 'insecure = true'";
const TRUST: &str =
    "give its authority with 'ca' in forerun.toml, or accept any certificate with --insecure or 'insecure = true'";

#[test]
fn a_self_signed_certificate_needs_insecure_or_its_own_file() {
    skip_unless!(has("openssl"), "needs openssl");
    // `openssl req -x509` makes the first one, which is an authority at the same time.
    for constraints in ["CA:TRUE", "CA:FALSE"] {
        let room = Room::new();
        self_signed(&room, constraints);
        let (_server, port) = tls_server(&room, "cert.pem");
        let url = format!("https://localhost:{port}/");
        let words = format!("the certificate is self-signed, so nobody vouches for it; {TRUST}");
        assert_eq!(reason(&room, &url, ""), words, "{constraints}");
        for keys in ["insecure = true", "ca = 'cert.pem'"] {
            start_with(&room, &format!("[[require]]\ncheck = '{url}'\n{keys}\n")).expect_code(0);
        }
        fs::remove_file(room.path().join("forerun.toml")).expect("removed");
        let port = free_port();
        let (url, command) = (format!("https://localhost:{port}/"), tls_command("cert.pem", port));
        let flags = ["--detach", "--health", &url, "--health-timeout", "2s", "--"];
        let out = room.run(&[&flags[..], &command.split(' ').collect::<Vec<_>>()].concat()).expect_code(1);
        out.expect_stderr(&["not ready after", &words]);
    }
}

#[test]
fn a_certificate_of_ones_own_authority_needs_it() {
    skip_unless!(has("openssl"), "needs openssl");
    let room = Room::new();
    authority(&room);
    certificate(&room, "cert.pem", "here", 2020, 2048);
    let (_server, port) = tls_server(&room, "cert.pem");
    let url = format!("https://localhost:{port}/");
    let words = format!("no authority that is trusted here has signed the certificate; {TRUST}");
    assert_eq!(reason(&room, &url, ""), words);
    // The path is taken from the file's folder.
    fs::create_dir(room.path().join("below")).expect("a folder");
    room.file("forerun.toml", &format!("[[require]]\ncheck = '{url}'\nca = 'ca.pem'\n"));
    let mut below = room.forerun();
    let file = room.path().join("forerun.toml");
    done(below.current_dir(room.path().join("below")).arg("check").arg("--config").arg(&file)).expect_code(0);
    // Only this authority is trusted.
    self_signed(&room, "CA:TRUE");
    assert_eq!(reason(&room, &url, "ca = 'cert.pem'"), words);
}

#[test]
fn a_sidecar_trusts_the_same_authority() {
    skip_unless!(has("openssl"), "needs openssl");
    let room = Room::new();
    authority(&room);
    certificate(&room, "cert.pem", "here", 2020, 2048);
    let (manager, port) = (Manager::new(&room), free_port());
    let health = format!("[health]\ncheck = 'https://localhost:{port}/'\nca = 'ca.pem'\n");
    room.file("forerun.toml", &format!("notify = 'sidecar'\ncommand = '{}'\n{health}", tls_command("cert.pem", port)));
    let mut command = room.forerun();
    command.env("NOTIFY_SOCKET", &manager.path).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Killed(command.spawn().expect("spawned"));
    eventually("the service is ready", || {
        manager.message(common::DEADLINE).is_some_and(|message| message.contains("READY=1"))
    });
}

#[test]
fn a_certificate_for_another_time_or_name_is_named() {
    skip_unless!(has("openssl"), "needs openssl");
    let room = Room::new();
    authority(&room);
    for (extensions, from, to, words) in [
        ("here", 2020, 2021, "the certificate expired on 2021-01-01; renew it, or "),
        ("here", 2047, 2048, "the certificate is not valid before 2047-01-01; look at the clock, or "),
        (
            "there",
            2020,
            2048,
            "the certificate is not for 'localhost', but for 'there.example', '192.0.2.1'; ask for a name that it has, or ",
        ),
    ] {
        certificate(&room, "cert.pem", extensions, from, to);
        let (_server, port) = tls_server(&room, "cert.pem");
        let url = format!("https://localhost:{port}/");
        assert_eq!(reason(&room, &url, "ca = 'ca.pem'"), format!("{words}{INSECURE}"));
        start_with(&room, &format!("[[require]]\ncheck = '{url}'\ninsecure = true\n")).expect_code(0);
    }
}

#[test]
fn an_authority_that_cannot_be_used_is_named_with_its_line() {
    let room = Room::new();
    room.file("empty.pem", "");
    room.file("text.pem", "no certificate\n");
    room.file("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (check, ca, words) in [
        ("https://localhost:1/", "nowhere.pem", "nowhere.pem' as 'ca': No such file or directory"),
        ("https://localhost:1/", "empty.pem", "empty.pem' as 'ca': it has no certificate in PEM"),
        ("https://localhost:1/", "text.pem", "text.pem' as 'ca': it has no certificate in PEM"),
        ("https://localhost:1/", "bad.pem", "bad.pem' as 'ca': it has a certificate that cannot be read"),
        ("http://localhost:1/", "empty.pem", "'ca' needs an https check"),
        ("tcp:localhost:1", "empty.pem", "'ca' needs an https check"),
    ] {
        for table in ["[[require]]", "[[wait]]", "[health]"] {
            let out = start_with(&room, &format!("{table}\ncheck = '{check}'\nca = '{ca}'\n")).expect_code(78);
            out.expect_line(&["forerun.toml': line 3: ", words]);
        }
    }
}

#[test]
fn tls_and_plain_http_are_told_apart() {
    skip_unless!(has("openssl"), "needs openssl");
    let room = Room::new();
    let port = answers(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    fails(
        &room,
        &format!("https://u:s3cret@127.0.0.1:{port}/a?b"),
        &format!("  it answers plain HTTP; write http://127.0.0.1:{port}/a?b\n"),
    );
    let asks = Web::new("400 Bad Request", "Client sent an HTTP request to an HTTPS server.\n");
    fails(&room, &asks.url("/a"), &format!("  it speaks TLS; write https://127.0.0.1:{}/a\n", asks.port));
    self_signed(&room, "CA:FALSE");
    let (_server, port) = tls_server(&room, "cert.pem");
    let words = "it closed the connection without an answer; if it speaks TLS, write https://localhost:";
    fails(&room, &format!("http://localhost:{port}/"), words);
}

/// A server that reads what comes, answers each connection with the same bytes and closes it.
fn answers(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = std::io::Write::write_all(&mut stream, bytes);
        }
    });
    port
}

#[test]
fn what_a_server_speaks_in_the_place_of_http_is_named() {
    let room = Room::new();
    let not_valid = "its answer is not valid HTTP/1.1; use tcp:127.0.0.1:";
    let closed = "it closed the connection without an answer; if it speaks TLS, write https://127.0.0.1:";
    for (bytes, words) in [
        // A SETTINGS frame of gRPC, and a GOAWAY.
        (
            &b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0"[..],
            "it speaks only HTTP/2, and this check is HTTP/1.1; use tcp:127.0.0.1:",
        ),
        (
            b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01",
            "it speaks only HTTP/2, and this check is HTTP/1.1; use tcp:127.0.0.1:",
        ),
        (b"\x15\x03\x01\0\x02\x02\x46", "it speaks TLS; write https://127.0.0.1:"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it does not speak HTTP (it says 'SSH-2.0-OpenSSH_9.2'); use tcp:127.0.0.1:"),
        (
            b"220 mail.example ESMTP\r\n",
            "it does not speak HTTP (it says '220 mail.example ESMTP'); use tcp:127.0.0.1:",
        ),
        (b"-ERR unknown command\r\n", "it does not speak HTTP (it says '-ERR unknown command'); use tcp:127.0.0.1:"),
        (b"\x4a\0\0\0\x0a5.7", "it does not speak HTTP; use tcp:127.0.0.1:"),
        (b"HTTP/1.1 abc\r\n\r\n", not_valid),
        (b"", closed),
    ] {
        fails(&room, &format!("http://127.0.0.1:{}/", answers(bytes)), &format!("  {words}"));
    }
    for (bytes, words) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "it does not speak TLS; write http://127.0.0.1:"),
        (b"", "it closed the connection in the TLS handshake; if it speaks plain HTTP, write http://127.0.0.1:"),
        (b"\x15\x03\x01\0\x02\x02\x28", "it refused the TLS handshake; use tcp:127.0.0.1:"),
    ] {
        fails(&room, &format!("https://127.0.0.1:{}/", answers(bytes)), &format!("  {words}"));
    }
}

#[test]
fn a_proxy_is_named_without_its_password() {
    let room = Room::new();
    let port = free_port();
    let forbids = Web::new("403 Forbidden", "").port;
    for (variable, port, words) in [
        ("http_proxy", port, "Connection refused by the proxy"),
        ("HTTPS_PROXY", port, "Connection refused by the proxy"),
        ("ALL_PROXY", port, "Connection refused by the proxy"),
        ("http_proxy", forbids, "status 403, through the proxy"),
    ] {
        let mut command = room.forerun();
        for other in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(other);
        }
        command.env(variable, format!("http://u:s3cret@127.0.0.1:{port}"));
        let out = done(command.args(["check", "--require", "http://192.0.2.1/"])).expect_code(78);
        let whole = format!("  {words} 127.0.0.1:{port} ({variable}); NO_PROXY leaves a host out\n");
        assert!(out.stdout.ends_with(&whole), "{}", out.stdout);
    }
}

#[test]
fn a_value_that_names_no_proxy_is_told() {
    let room = Room::new();
    let server = Web::new("200 OK", "").port;
    for (value, is_told) in [("::bad::", true), ("socks5://127.0.0.1:9", true), ("", false)] {
        for host in ["127.0.0.1", "192.0.2.1"] {
            let mut command = room.forerun();
            for other in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
                command.env_remove(other);
            }
            let wait = format!("http://{host}:{server}/");
            command.env("http_proxy", value).args(["check", "--wait-timeout", "50ms", "--wait", &wait]);
            let said = done(&mut command).stderr;
            let warned = said.matches("http_proxy is not used: it is not the URL of an HTTP proxy").count();
            assert_eq!(warned, usize::from(is_told && host != "127.0.0.1"), "{value} {host}: {said}");
        }
    }
}

#[test]
fn a_body_that_does_not_end_is_named() {
    let room = Room::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hello\n\n";
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = std::io::Write::write_all(&mut stream, answer);
            open.push(stream);
        }
    });
    let wait = |body: &str| {
        room.run(&["check", "--wait-timeout", "500ms", "--wait", &format!("http://127.0.0.1:{port}/ body={body}")])
    };
    wait("hello").expect_code(0);
    let said = wait("green").expect_code(69).stdout;
    assert!(said.contains("status 200, and the body does not contain 'green' so far"), "{said}");
}

#[test]
fn what_a_kind_without_tls_is_called_is_right() {
    let room = Room::new();
    for (kind, plain) in [("rediss", "redis"), ("grpcs", "grpc"), ("https", "http")] {
        let port = answers(b"");
        let said = room.run(&["check", "--require", &format!("{kind}://127.0.0.1:{port}")]).expect_code(78).stdout;
        assert!(said.contains(&format!("write {plain}://127.0.0.1:{port}")), "{said}");
    }
}

#[test]
fn a_variable_that_no_program_can_be_given_is_told() {
    let room = Room::new();
    let long = "y".repeat(131_072 - 3);
    room.file("forerun.toml", &format!("command = ['true']\n[env]\nA = '{long}'\n"));
    room.run(&["--foreground"]).expect_code(0);
    room.file("forerun.toml", &format!("command = ['true']\n[env]\nA = '{long}y'\n"));
    room.run(&["--foreground"]).expect_code(78).expect_line(&["line 3: the value of 'A' has more than 128 KiB"]);
}

#[test]
fn many_headers_are_read_and_too_many_are_told() {
    let room = Room::new();
    let headers = |count: usize| format!("X-Header: {}\r\n", "x".repeat(1000)).repeat(count);
    let answer = |count| format!("HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok", headers(count)).leak().as_bytes();
    holds(&room, &format!("http://127.0.0.1:{}/", answers(answer(100))));
    fails(
        &room,
        &format!("http://127.0.0.1:{}/", answers(answer(150))),
        "its answer has more than 128 headers; use tcp:",
    );
}

#[test]
fn check_tries_everything_and_starts_nothing() {
    let room = Room::new();
    room.file("forerun.toml", "command = ['touch', 'started']\n[[require]]\ncheck = 'env:NOWHERE'\nhint = 'set it'\n");
    let args =
        ["check", "--require", "cmd:sh", "--wait", "file:nowhere", "--wait-timeout", "500ms", "--wait", "exec:true"];
    let out = room.run(&args).expect_code(78);
    let lines: Vec<_> =
        out.stdout.lines().map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect();
    let nowhere = room.path().join("nowhere").display().to_string();
    assert_eq!(
        lines,
        [
            "FAILED require env:NOWHERE",
            "ok require cmd:sh",
            &format!("FAILED wait file:{nowhere}"),
            "ok wait exec:true"
        ]
    );
    assert!(out.stdout.contains("it is not set; set it"), "{}", out.stdout);
    for file in ["started", "state"] {
        assert!(!room.path().join(file).exists(), "{file}");
    }
}

#[test]
fn check_tells_a_wait_that_timed_out_from_a_requirement() {
    let room = Room::new();
    room.run(&["check", "--require", "cmd:sh", "--wait", "file:nowhere", "--wait-timeout", "500ms"]).expect_code(69);
    room.run(&["check", "--require", "cmd:sh", "--wait", "exec:true"]).expect_code(0);
    assert_eq!(room.run(&["check"]).expect_code(0).stdout, "nothing to check\n");
}

#[test]
fn check_says_it_in_json() {
    let room = Room::new();
    let args =
        ["check", "--json", "--name", "web", "--require", "cmd:sh", "--wait", "env:NOWHERE", "--wait-timeout", "500ms"];
    let out = room.run(&args).expect_code(69);
    let result: serde_json::Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!((&result["name"], &result["ok"]), (&"web".into(), &false.into()));
    let (first, second) = (&result["checks"][0], &result["checks"][1]);
    assert_eq!((&first["kind"], &first["check"], &first["ok"]), (&"require".into(), &"cmd:sh".into(), &true.into()));
    assert_eq!(
        (&second["kind"], &second["ok"], &second["reason"]),
        (&"wait".into(), &false.into(), &"it is not set".into())
    );
    assert!(second["attempts"].as_u64() > Some(1) && first["attempts"] == 1, "{result}");
}

#[test]
fn a_signal_while_waiting_ends_foreground_by_itself_and_leaves_nothing() {
    for number in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let room = Room::new();
        let (child, pids) = start_that_waits(&room, "--foreground");
        signal(child.id(), number);
        let out = collect(child);
        assert_eq!(out.status.signal(), Some(number), "{:?}", out.status);
        all_gone(&pids);
        let service = room.path().file_name().expect("a name").to_owned();
        assert!(!room.state().join(service).join("record.json").exists(), "a record was left");
    }
}

#[test]
fn a_signal_while_waiting_ends_foreground_of_the_file_by_itself_too() {
    let room = Room::new();
    room.file("forerun.toml", "foreground = true\n");
    let (child, pids) = start_that_waits(&room, "--no-progress");
    signal(child.id(), libc::SIGTERM);
    assert_eq!(collect(child).status.signal(), Some(libc::SIGTERM));
    all_gone(&pids);
}

#[test]
fn a_signal_while_waiting_is_an_exit_code_detached() {
    for (number, code) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let room = Room::new();
        let (child, pids) = start_that_waits(&room, "--detach");
        signal(child.id(), number);
        let out = collect(child);
        assert_eq!(out.status.code(), Some(code), "{:?}", out.status);
        assert!(out.stdout.is_empty());
        all_gone(&pids);
    }
}

#[test]
fn a_signal_during_a_fix_ends_the_fix() {
    let room = Room::new();
    let fix = "sleep 300 & echo $$ $! > pids.new; mv pids.new pids; wait";
    room.file("forerun.toml", &format!("[[require]]\ncheck = 'env:NOWHERE'\nfix = '{fix}'\n"));
    let mut command = room.forerun();
    command.args(["--foreground", "--", "true"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("spawned");
    eventually("the fix runs", || room.path().join("pids").exists());
    signal(child.id(), libc::SIGTERM);
    assert_eq!(collect(child).status.signal(), Some(libc::SIGTERM));
    all_gone(&pids(&room, "pids"));
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let room = Room::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(room.forerun().get_program());
    command.args(["--foreground", "--wait", "exec:touch tried; test -e go", "--", "echo", "ran"]);
    command.current_dir(room.path()).env("FORERUN_STATE_DIR", room.state());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    eventually("an attempt", || room.path().join("tried").exists());
    signal(child.id(), libc::SIGHUP);
    room.file("go", "");
    assert_eq!(collect(child).stdout, b"ran\n");
}

#[test]
fn pid_1_exits_128_and_the_signal() {
    let unshare = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let works = is_root() && has("unshare") && done(Command::new("unshare").args(unshare).arg("true")).code == Some(0);
    skip_unless!(works, "needs root and unshare");
    let room = Room::new();
    let mut command = Command::new("unshare");
    command.args(unshare).arg(room.forerun().get_program()).current_dir(room.path());
    command.args(["--foreground", "--wait", "exec:touch tried; sleep 300", "--", "true"]);
    command.env("FORERUN_STATE_DIR", room.state()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Whatever runs the tests may ignore some (nohup, a shell's background).
    let child = common::process::with_plain_signals(&mut command).spawn().expect("spawned");
    eventually("the check runs", || room.path().join("tried").exists());
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).expect("its child");
    signal(children.trim().parse().expect("a pid"), libc::SIGTERM);
    let out = collect(child);
    assert_eq!(out.status.code(), Some(143), "{out:?}");
}

#[test]
fn the_service_manager_hears_of_a_wait_and_is_asked_for_time() {
    let room = Room::new();
    let manager = Manager::new(&room);
    let mut command = room.forerun();
    command.env("NOTIFY_SOCKET", &manager.path);
    let child = command.args(["--wait", "file:go", "--wait", "exec:true", "--", "true"]).stderr(Stdio::piped());
    let child = child.spawn().expect("spawned");
    let message = manager.message(common::DEADLINE).expect("a message");
    let go = room.path().join("go").display().to_string();
    assert!(message.contains(&format!("STATUS=waiting for file:{go}")), "{message}");
    let micros = message.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="));
    assert!(micros.is_some_and(|m| m.parse::<u64>().is_ok_and(|m| m > 1_000_000)), "{message}");
    room.file("go", "");
    assert!(collect(child).status.success());
    while let Some(message) = manager.message(Duration::from_millis(1)) {
        assert!(!message.contains("READY=1"), "forerun is not the server: {message}");
    }
}

#[test]
fn the_service_manager_of_another_unit_hears_nothing() {
    let room = Room::new();
    let manager = Manager::new(&room);
    let mut command = room.forerun();
    command.env("NOTIFY_SOCKET", &manager.path).env("SYSTEMD_EXEC_PID", "1");
    let out = done(command.args(["--wait", "file:nowhere", "--wait-timeout", "700ms", "--", "true"])).expect_code(69);
    assert!(out.stderr.contains("not ready"), "{}", out.stderr);
    assert_eq!(manager.message(Duration::from_millis(1)), None);
}

#[test]
fn the_service_manager_that_started_us_or_our_parent_hears_of_it() {
    for script in ["export SYSTEMD_EXEC_PID=$$; exec \"$@\"", "export SYSTEMD_EXEC_PID=$$; \"$@\"; exit $?"] {
        let room = Room::new();
        let manager = Manager::new(&room);
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(room.forerun().get_program()).current_dir(room.path());
        command.env("NOTIFY_SOCKET", &manager.path).env("FORERUN_STATE_DIR", room.state());
        command.args(["--wait", "file:nowhere", "--wait-timeout", "700ms", "--", "true"]).stdin(Stdio::null());
        done(&mut command).expect_code(69);
        assert!(
            manager.message(Duration::from_millis(1)).is_some_and(|m| m.contains("STATUS=waiting for ")),
            "{script}"
        );
    }
}

#[test]
fn a_check_that_asks_for_a_password_shows_none() {
    let room = Room::new();
    let manager = Manager::new(&room);
    let url = format!("http://user:s3cret@127.0.0.1:{}/", free_port());
    let mut command = room.forerun();
    command.env("NOTIFY_SOCKET", &manager.path).args(["--wait", &url, "--wait-timeout", "700ms", "--", "true"]);
    done(&mut command).expect_code(69);
    let message = manager.message(Duration::from_millis(1)).expect("a message");
    assert!(message.contains("STATUS=waiting for http://127.0.0.1:") && !message.contains("s3cret"), "{message}");
}
