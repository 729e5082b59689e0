//! Bad surroundings: dispositions, limits, files and processes that nobody meant for forerun.

mod common;

use std::os::unix::net::UnixDatagram;

use common::process::{self, prepared};
use common::{Room, eventually};

/// Starts with a signal ignored, as `trap '' CHLD` in a start script makes it.
fn ignoring(room: &Room, signal: libc::c_int) -> std::process::Command {
    let mut command = room.forerun();
    prepared(&mut command, move || {
        // SAFETY: SIG_IGN is a valid disposition.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    });
    command
}

#[test]
fn a_status_is_had_where_sigchld_came_ignored() {
    let room = Room::new();
    let mut command = ignoring(&room, libc::SIGCHLD);
    common::done(command.args(["--foreground", "--require", "exec:exit 3", "--", "true"]))
        .expect_code(78)
        .expect_line(&["requirement 'exec:exit 3' does not hold: exited with status 3"]);
    let mut command = ignoring(&room, libc::SIGCHLD);
    common::done(command.args(["--detach", "--", "sh", "-c", "exit 3"]))
        .expect_code(1)
        .expect_stderr(&["exited with status 3"]);
    let script = room.file("script", "#!/nonexistent\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let mut command = ignoring(&room, libc::SIGCHLD);
    common::done(command.args(["--detach", "--", "./script"])).expect_code(127).expect_line(&["'./script'"]);
}

#[test]
fn a_child_that_was_there_before_is_no_zombie_where_sigchld_came_ignored() {
    let room = Room::new();
    let script = "trap '' CHLD; sh -c : & exec \"$0\" --foreground --require 'exec:sleep 0.1' -- \
                  sh -c 'for f in /proc/[0-9]*/stat; do read -r stat 2>/dev/null <$f && echo \"$stat\"; done | grep \" Z $$ \"'";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_forerun")]).env("FORERUN_STATE_DIR", room.state());
    common::done(shell.current_dir(room.path())).expect_code(1);
}

#[test]
fn a_limit_of_file_sizes_does_not_end_forerun() {
    let room = Room::new();
    let none = |command: &mut std::process::Command| {
        prepared(command, || {
            let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the struct is ours.
            unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
        });
    };
    let mut command = room.forerun();
    none(&mut command);
    let done = common::done(command.args(["--foreground", "--", "echo", "served"])).expect_code(0);
    assert_eq!(done.stdout, "served\n");
    done.expect_line(&["warning: cannot write the record", "File too large"]);
    let mut command = room.forerun();
    none(&mut command);
    common::done(command.args(["--detach", "--", "sleep", "9"])).expect_code(73).expect_line(&["File too large"]);
}

#[test]
fn children_of_the_script_that_executed_forerun_are_not_stopped_with_the_server() {
    let room = Room::new();
    for (helper, options) in [
        ("sleep 300", "--health exec:false --health-timeout 100ms"),
        ("setsid sleep 300", "--health exec:false --health-timeout 100ms"),
        ("setsid sleep 300", "--replace"),
    ] {
        if options == "--replace" {
            room.run(&["--name", "web", "--detach", "--", "sleep", "300"]).expect_code(0);
        }
        // Older than the server by more than a clock tick, in which start times are counted.
        let script = format!(
            "{helper} >&- 2>&- & echo $! >helper; sleep 0.02; exec \"$0\" --name web --detach {options} -- sleep 300"
        );
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_forerun")]).env("FORERUN_STATE_DIR", room.state());
        let done = common::done(shell.current_dir(room.path()).stdin(std::process::Stdio::null()));
        let helper = std::fs::read_to_string(room.path().join("helper")).expect("a pid").trim().parse().expect("a pid");
        assert!(common::alive(helper), "{options}: {}", done.stderr);
        process::send(helper, libc::SIGKILL);
    }
}

#[test]
fn a_large_environment_makes_no_second_server() {
    let room = Room::new();
    let start = || {
        let mut command = room.forerun();
        command.envs((0..12).map(|n| (format!("LARGE{n}"), "x".repeat(100_000))));
        common::done(command.args(["--name", "web", "--detach", "--", "sleep", "300"])).expect_code(0)
    };
    start();
    assert!(start().stdout.contains("web is already running"));
}

#[test]
fn a_config_and_an_env_file_may_be_pipes_and_are_not_waited_for_without_end() {
    let room = Room::new();
    let script = "printf 'command = \"env\"' | \"$0\" --foreground --config /dev/stdin";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_forerun")]).env("FORERUN_STATE_DIR", room.state());
    common::done(&mut shell).expect_code(0);
    room.run(&["--foreground", "--env-file", "/dev/zero", "--", "true"])
        .expect_code(78)
        .expect_line(&["cannot use the env-file '/dev/zero': it is larger than 1 MiB"]);
    let fifo = room.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    let started = ["--config", "--env-file"].map(|option| {
        let mut command = room.forerun();
        command.args(["--foreground", option]).arg(&fifo).args(["--", "true"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().expect("spawned")
    });
    for child in started {
        let ended = common::collect(child);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(78) && said.contains("fifo': nothing came from it for"), "{said}");
    }
}

#[test]
fn a_duration_beyond_the_clock_is_refused() {
    let room = Room::new();
    room.run(&["--foreground", "--wait-timeout", "500000000000y", "--", "true"])
        .expect_code(2)
        .expect_line(&["'500000000000y'", "too long; a duration is at most ten years"]);
    room.file("forerun.toml", "[[require]]\ncheck = 'exec:false'\nfix = 'true'\nfix-timeout = '500000000000y'\n");
    room.run(&["--foreground", "--", "true"]).expect_code(78).expect_line(&["line 4: '500000000000y' is too long"]);
}

#[test]
fn few_descriptors_are_not_taken_for_a_fault_of_the_command() {
    let room = Room::new();
    for limit in 4..20 {
        let mut command = room.forerun();
        prepared(&mut command, move || {
            let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
            // SAFETY: the struct is ours.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        });
        let done = common::done(command.args(["--detach", "--name", &format!("web{limit}"), "--", "sleep", "300"]));
        assert!(matches!(done.code, Some(0 | 69 | 73)), "{limit}: {:?} {}", done.code, done.stderr);
    }
}

#[test]
fn a_lock_that_cannot_be_let_go_of_is_no_panic() {
    skip_unless!(common::has("strace"), "there is no strace");
    let room = Room::new();
    let mut command = std::process::Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", "inject=flock:error=EIO:when=2", env!("CARGO_BIN_EXE_forerun")]);
    command.args(["--detach", "--name", "web", "--", "sleep", "300"]).env("FORERUN_STATE_DIR", room.state());
    common::done(command.stdin(std::process::Stdio::null())).expect_code(0).expect_stderr(&[]);
}

#[test]
fn nothing_is_written_to_a_file_in_the_place_of_a_closed_stderr() {
    skip_unless!(common::is_root() && common::has("unshare"), "only root has a /dev of its own");
    let room = Room::new();
    let script =
        "mount -t tmpfs none /dev && exec \"$0\" --foreground --name web --require file:/none -- true <&- >&- 2>&-";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_forerun")]).env("FORERUN_STATE_DIR", room.state());
    common::done(&mut command).expect_code(78);
    assert_eq!(std::fs::read(room.state().join("web/lock")).expect("a lock"), b"");
}

#[test]
fn a_stuck_service_manager_does_not_hold_up_a_start() {
    let room = Room::new();
    let path = room.path().join("notify");
    let _nobody_reads = UnixDatagram::bind(&path).expect("bound");
    let full = UnixDatagram::unbound().expect("a socket");
    full.set_nonblocking(true).expect("non-blocking");
    while full.send_to(b"x", &path).is_ok() {}
    let mut command = room.forerun();
    command.env("NOTIFY_SOCKET", &path);
    let options = ["--foreground", "--wait-timeout", "200ms", "--wait", "exec:false", "--", "true"];
    let done = common::done(command.args(options)).expect_code(69);
    assert!(done.took < std::time::Duration::from_secs(10), "{:?}", done.took);
}

#[test]
#[cfg(target_os = "linux")]
fn an_abstract_notification_socket_is_spoken_to() {
    use std::os::linux::net::SocketAddrExt;
    let room = Room::new();
    let name = format!("forerun-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("an address");
    let socket = UnixDatagram::bind_addr(&address).expect("bound");
    socket.set_read_timeout(Some(common::DEADLINE)).expect("a time-out");
    let mut command = room.forerun();
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    // A check that is over at once leaves nothing to tell.
    common::done(command.args(["--foreground", "--require", "exec:sleep 0.5", "--", "true"])).expect_code(0);
    let mut message = [0; 4096];
    let length = socket.recv(&mut message).expect("a message");
    assert!(message[..length].starts_with(b"STATUS="), "{}", message[..length].escape_ascii());
}

#[test]
fn a_restarted_container_is_not_kept_out_by_its_own_last_record() {
    skip_unless!(common::is_root() && common::has("unshare"), "it needs root and unshare");
    let room = Room::new();
    let run = || {
        let mut command = std::process::Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", env!("CARGO_BIN_EXE_forerun")]);
        command.args(["--name", "web", "--", "true"]).env("FORERUN_STATE_DIR", room.state()).current_dir(room.path());
        common::done(&mut command).expect_code(0)
    };
    // The kernel may give a new namespace the number of the last one, which is gone. It must not matter.
    let mut namespaces = std::collections::HashSet::new();
    eventually("two lives in different namespaces", || {
        let said = run().stderr;
        assert!(said.lines().count() == 1 && said.contains("the server will be pid 1"), "{said}");
        namespaces.insert(room.record("web")["process"]["host"]["pid_namespace"].to_string());
        namespaces.len() > 1
    });
}

#[test]
fn a_record_of_a_newer_forerun_is_left_alone() {
    let room = Room::new();
    let record = "{\"version\":2,\"pids\":[1]}";
    std::fs::create_dir_all(room.state().join("web")).expect("a folder");
    room.file("state/web/record.json", record);
    room.run(&["--detach", "--name", "web", "--", "true"]).expect_code(73).expect_line(&["a newer forerun"]);
    let left = std::fs::read_to_string(room.state().join("web/record.json")).expect("still there");
    assert_eq!(left, record);
}

#[test]
fn a_file_that_cannot_be_opened_for_want_of_descriptors_is_tried_again_by_a_supervisor() {
    skip_unless!(common::has("strace"), "there is no strace");
    let room = Room::new();
    let file = room.file("forerun.toml", "command = 'true'\n");
    for (error, code) in [("EMFILE", 69), ("ENFILE", 69), ("EACCES", 78)] {
        let mut command = std::process::Command::new("strace");
        command.args(["-o", "/dev/null", "-e", "trace=openat", "-e", &format!("inject=openat:error={error}"), "-P"]);
        command.arg(&file).args([env!("CARGO_BIN_EXE_forerun"), "--foreground"]).current_dir(room.path());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("INVOCATION_ID", "1");
        common::done(command.env("FORERUN_STATE_DIR", room.state())).expect_code(code).expect_line(&["cannot read '"]);
    }
}

/// What a program sees that a test starts.
const SEEN: &str =
    "grep -E '^(SigIgn|SigBlk)' /proc/self/status; umask; ls -x /proc/self/fd; env | grep -c -E 'COLOR|LANG'";

#[test]
fn what_a_test_starts_begins_plainly() {
    let mut shell = std::process::Command::new("sh");
    let seen = common::done(shell.args(["-c", SEEN]).stdin(std::process::Stdio::null())).stdout;
    let words: Vec<_> = seen.split_whitespace().collect();
    // The last of the descriptors is the folder that is listed.
    assert_eq!(words[4..], ["0022", "0", "1", "2", "3", "0"], "{seen}");
    for mask in [words[1], words[3]] {
        // Those from 32 on are the C library's business.
        assert_eq!(u64::from_str_radix(mask, 16).expect("a mask") & 0x7fff_ffff, 0, "{seen}");
    }
}

#[test]
fn it_does_so_whoever_runs_the_tests() {
    let mut tests = std::process::Command::new(std::env::current_exe().expect("our own path"));
    tests.args(["--exact", "what_a_test_starts_begins_plainly"]).env("NO_COLOR", "1").env("LANG", "de_DE.UTF-8");
    let null = std::fs::File::open("/dev/null").expect("a device");
    process::with_copies(&mut tests, &null, &[3, 4, 5, 6, 7, 8, 9]);
    prepared(&mut tests, || {
        // SAFETY: integers, and a disposition that is valid.
        unsafe {
            libc::umask(0o077);
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGCHLD, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_IGN);
            }
            let mut set = std::mem::zeroed();
            libc::sigfillset(&mut set);
            libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        }
    });
    let done = common::done(&mut tests).expect_code(0);
    assert!(done.stdout.contains("1 passed"), "{}", done.stdout);
}
