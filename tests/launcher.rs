//! The launcher of a detached start: what comes to it is the server's and is reaped, nothing else comes to it, and it
//! ends with forerun.

mod common;

use std::process::{Child, Command, Stdio};

use common::process::{self, children, send, stat, with_plain_signals};
use common::{Done, Room, alive, collect, done, eventually, fixture, free_port, left};

/// A start of `/bin/sh -c TEXT`, whose health is nobody's answer unless something listens on `port`.
fn start(room: &Room, port: u16, text: &str) -> Command {
    let mut command = room.forerun();
    command.args(["--detach", "--name", "web", "--health", &format!("http://127.0.0.1:{port}/")]);
    command.args(["--", "/bin/sh", "-c", text]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A pid that something wrote into a file of the room.
fn pid_in(room: &Room, name: &str) -> i32 {
    process::appears(&room.path().join(name)).trim().parse().expect("a pid")
}

/// The text of a script that serves on `port`.
fn serves(port: u16) -> String {
    format!("exec '{}' serve {port}", fixture().display())
}

/// A start that waits for its server until `go` is there. Returns forerun, the server and the launcher.
fn waiting(room: &Room, port: u16, first: &str) -> (Child, i32, i32) {
    let text = format!("{first}\necho $$ > up.part; mv up.part up; {} --when go", serves(port));
    let forerun = with_plain_signals(&mut start(room, port, &text)).spawn().expect("spawned");
    let server = pid_in(room, "up");
    let launcher = stat(server, 4) as i32;
    assert_eq!(stat(launcher, 4), i64::from(forerun.id()), "the launcher is between forerun and the server");
    (forerun, server, launcher)
}

/// Ends the wait, and returns what forerun said.
fn let_go(room: &Room, forerun: Child) -> Done {
    room.file("go", "");
    let output = collect(forerun);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    Done { status: output.status, code: output.status.code(), stdout, stderr, took: Default::default() }
}

#[test]
fn a_daemon_that_the_caller_starts_meanwhile_is_not_stopped_with_the_server() {
    let room = Room::new();
    // The server fails as soon as the caller's daemon is there, which shows no environment and has lost its parent.
    let fails = "touch up; until [ -e daemon ]; do sleep 0.01; done; exit 3";
    let daemon = format!("'{}' serve 0 --overwrite --escape daemon", fixture().display());
    let text = format!(
        "(until [ -e up ]; do sleep 0.01; done; exec {daemon} >daemon.log 2>&1) & echo $! > parent; exec \"$0\" \"$@\""
    );
    let failing = start(&room, free_port(), fails);
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(text).arg(failing.get_program()).args(failing.get_args()).current_dir(room.path());
    shell.env("FORERUN_STATE_DIR", room.state());
    done(&mut shell).expect_code(1).expect_stderr(&["exited with status 3"]);
    let [parent, daemon] = ["parent", "daemon"].map(|name| pid_in(&room, name));
    let lives = [parent, daemon].map(alive);
    [parent, daemon].into_iter().for_each(|pid| send(pid, libc::SIGKILL));
    assert_eq!(lives, [true, true]);
}

#[test]
fn what_the_server_left_behind_is_stopped_with_it_whatever_it_did() {
    let room = Room::new();
    let hidden = "env -i PATH=\"$PATH\" setsid sh -c 'sleep 100 & echo $! > hidden'; exit 3";
    done(&mut start(&room, free_port(), hidden)).expect_code(1).expect_stderr(&["exited with status 3"]);
    assert!(!alive(pid_in(&room, "hidden")));
}

#[test]
fn a_script_that_waits_until_its_daemon_is_gone_goes_on() {
    let (room, port) = (Room::new(), free_port());
    // The daemon has lost its parent when it is killed.
    let waits = "(sleep 100 & echo $! > daemon); d=$(cat daemon); kill $d; while kill -0 $d; do sleep 0.01; done";
    done(&mut start(&room, port, &format!("{waits}; {}", serves(port)))).expect_code(0);
}

#[test]
fn four_hundred_orphans_leave_no_zombie_while_forerun_waits() {
    let (room, port) = (Room::new(), free_port());
    let orphans = "i=0; while [ $i -lt 400 ]; do (true &); i=$((i + 1)); done";
    let (forerun, server, launcher) = waiting(&room, port, orphans);
    eventually("all are reaped", || children(launcher) == [server]);
    assert_eq!(children(forerun.id() as i32), [launcher]);
    let_go(&room, forerun).expect_code(0);
}

#[test]
fn the_launcher_is_gone_when_forerun_says_ready() {
    let (room, port) = (Room::new(), free_port());
    let (forerun, server, launcher) = waiting(&room, port, "");
    let mut left_then = left(&room);
    left_then.sort_unstable();
    let mut all = vec![forerun.id() as i32, launcher, server];
    all.sort_unstable();
    assert_eq!(left_then, all);
    let_go(&room, forerun).expect_code(0);
    assert_eq!(left(&room), [server]);
    assert_ne!(stat(server, 4), i64::from(launcher));
}

#[test]
fn it_has_no_descriptor_of_the_callers_and_no_signal_but_a_kill_ends_it() {
    let (room, port) = (Room::new(), free_port());
    let (forerun, _, launcher) = waiting(&room, port, "");
    let descriptors = process::descriptors(launcher);
    let (first, own): (Vec<_>, Vec<_>) = descriptors.iter().partition(|(number, _)| **number < 3);
    assert!(first.iter().all(|(_, path)| path.as_os_str() == "/dev/null"), "{descriptors:?}");
    assert!(own.len() == 2 && own.iter().all(|(_, path)| path.to_string_lossy().starts_with("pipe:")));
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP, libc::SIGUSR1] {
        send(launcher, signal);
    }
    assert!(alive(launcher));
    let_go(&room, forerun).expect_code(0);
    assert!(!alive(launcher));
}

#[test]
fn it_ends_with_a_forerun_that_is_killed_and_the_server_lives_on() {
    let (room, port) = (Room::new(), free_port());
    let (mut forerun, server, launcher) = waiting(&room, port, "");
    forerun.kill().expect("killed");
    forerun.wait().expect("waited");
    eventually("the launcher has ended", || left(&room) == [server]);
    assert!(!alive(launcher));
}

#[test]
fn a_start_goes_on_if_somebody_kills_the_launcher() {
    let (room, port) = (Room::new(), free_port());
    let (forerun, server, launcher) = waiting(&room, port, "");
    send(launcher, libc::SIGKILL);
    eventually("the server is somebody else's", || stat(server, 4) != i64::from(launcher));
    let_go(&room, forerun).expect_code(0);
    assert_eq!(left(&room), [server]);
}

#[test]
fn without_the_launcher_an_early_death_is_still_seen() {
    let (room, port) = (Room::new(), free_port());
    let (forerun, server, launcher) = waiting(&room, port, "");
    send(launcher, libc::SIGKILL);
    eventually("the server is somebody else's", || stat(server, 4) != i64::from(launcher));
    send(server, libc::SIGKILL);
    let output = collect(forerun);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // How it ended is known where the kernel tells it of any process, once init has reaped that.
    let ways = ["ended", "was killed by SIGKILL"].map(|how| said.contains(&format!("'web' {how} before it was ready")));
    assert!(ways.contains(&true), "{said}");
    assert_eq!(left(&room), [0; 0]);
}

#[test]
fn a_death_by_a_real_time_signal_is_named() {
    let room = Room::new();
    done(&mut start(&room, free_port(), "kill -40 $$; sleep 100")).expect_code(1).expect_stderr(&["signal 40"]);
}
