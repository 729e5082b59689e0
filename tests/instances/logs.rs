//! logs: the end of a log to the byte, and what comes after it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::common::process::{in_own_session, send, with_plain_signals};
use crate::common::{DEADLINE, Room, alive, collect, done, eventually, free_port, holds_within};
use crate::{Killed, detached, in_foreground, kill, left, serve, serving};

/// A service whose log is this.
#[track_caller]
fn with_log(room: &Room, text: &[u8]) -> PathBuf {
    done(&mut detached(room, &[], "sleep", &["300"])).expect_code(0);
    let path = room.state().join("web/server.log");
    std::fs::write(&path, text).expect("written");
    path
}

/// What `logs` with these options shows, to the byte.
#[track_caller]
fn shown(room: &Room, options: &[&str]) -> Vec<u8> {
    let mut command = room.forerun();
    let child = command.args(["logs", "web"]).args(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let output = collect(child.expect("spawned"));
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{options:?}");
    output.stdout
}

fn lines(range: std::ops::Range<usize>) -> Vec<u8> {
    range.flat_map(|at| format!("line {at}\n").into_bytes()).collect()
}

fn append(path: &PathBuf, text: &[u8]) {
    let file = OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(text)).expect("appended");
}

#[test]
fn the_last_lines_are_shown_as_many_as_are_asked_for() {
    let room = Room::new();
    with_log(&room, &lines(0..200));
    assert_eq!(shown(&room, &[]), lines(150..200));
    for (count, first) in [("0", 200), ("1", 199), ("50", 150), ("199", 1), ("200", 0), ("201", 0), ("100000000", 0)] {
        assert_eq!(shown(&room, &["-n", count]), lines(first..200), "{count}");
    }
    assert_eq!(shown(&room, &[&format!("-n{}", usize::MAX)]), lines(0..200));
}

#[test]
fn a_last_line_without_an_end_is_a_line() {
    let room = Room::new();
    let path = with_log(&room, b"a\nb\nc");
    assert_eq!(shown(&room, &["-n", "1"]), b"c");
    assert_eq!(shown(&room, &["-n", "2"]), b"b\nc");
    std::fs::write(&path, "alone").expect("written");
    assert_eq!(shown(&room, &["-n", "1"]), b"alone");
    assert_eq!(shown(&room, &["-n", "0"]), b"");
    std::fs::write(&path, "").expect("written");
    assert_eq!(shown(&room, &[]), b"");
}

#[test]
fn bytes_of_any_kind_are_shown_as_they_are() {
    let room = Room::new();
    let all: Vec<u8> = (0..=255).cycle().take(700_000).collect();
    let path = with_log(&room, &all);
    assert_eq!(shown(&room, &["-n", "100000"]), all);
    // 255 bytes come after the last end of a line, and no end.
    let last = all.iter().rposition(|&byte| byte == b'\n').expect("a line") + 1;
    assert_eq!(shown(&room, &["-n", "1"]), all[last..]);
    // A line longer than any block that is read.
    let long = [&b"first\n"[..], &vec![b'x'; 300_000], b"\nlast\n"].concat();
    std::fs::write(&path, &long).expect("written");
    assert_eq!(shown(&room, &["-n", "2"]), long[6..]);
}

#[test]
fn how_many_lines_is_a_number() {
    let room = Room::new();
    with_log(&room, b"");
    for count in ["-1", "x", "", "1.5", "99999999999999999999999"] {
        room.run(&["logs", "web", "-n", count]).expect_code(2);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let room = Room::new();
    with_log(&room, &lines(0..200_000));
    let text = "{ \"$0\" logs web -n 200000; echo $? > code; } | head -n 1";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", text, env!("CARGO_BIN_EXE_forerun")]).env("FORERUN_STATE_DIR", room.state());
    let seen = done(shell.current_dir(room.path())).expect_code(0);
    assert_eq!((seen.stdout.as_str(), seen.stderr.as_str()), ("line 0\n", ""));
    assert_eq!(std::fs::read_to_string(room.path().join("code")).expect("read"), "0\n");
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let room = Room::new();
    with_log(&room, &lines(0..10));
    let mut command = room.forerun();
    let full = OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let child = command.args(["logs", "web"]).stdout(full).stderr(Stdio::piped()).spawn().expect("spawned");
    let output = collect(child);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(73), 1), "{said}");
}

/// A `logs -f` that runs, and what it has shown.
struct Following {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Following {
    fn start(room: &Room, options: &[&str]) -> Self {
        let mut command = room.forerun();
        command.args(["logs", "web", "-f"]).args(options).stdout(Stdio::piped());
        let mut child = with_plain_signals(&mut command).spawn().expect("spawned");
        let (shown, mut pipe) = (Arc::new(Mutex::new(Vec::new())), child.stdout.take().expect("a pipe"));
        let copy = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 65536];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                copy.lock().expect("unpoisoned").extend_from_slice(&bytes[..count]);
            }
        });
        Following { child, shown }
    }

    /// It shows this, all in all.
    #[track_caller]
    fn shows(&self, all: &[u8]) {
        let mut seen = Vec::new();
        let equal = holds_within(DEADLINE, || {
            seen = self.shown.lock().expect("unpoisoned").clone();
            seen.len() >= all.len()
        });
        let end = |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(200)..]).into_owned();
        assert!(equal && seen == all, "{} bytes, not {}: {}, not {}", seen.len(), all.len(), end(&seen), end(all));
    }

    /// Ends it, and says what it showed after all.
    #[track_caller]
    fn end(mut self, signal: i32) -> (Option<i32>, Vec<u8>) {
        send(self.child.id() as i32, signal);
        let mut code = None;
        eventually("it ends", || {
            code = self.child.try_wait().expect("waited").map(|status| status.code());
            code.is_some()
        });
        let shown = self.shown.lock().expect("unpoisoned").clone();
        (code.flatten(), shown)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_appended_follows() {
    let room = Room::new();
    let path = with_log(&room, &lines(0..10));
    let following = Following::start(&room, &["-n", "2"]);
    following.shows(&lines(8..10));
    append(&path, b"half");
    following.shows(&[lines(8..10), b"half".to_vec()].concat());
    append(&path, b" and half\n\xff\x00\n");
    following.shows(&[lines(8..10), b"half and half\n\xff\x00\n".to_vec()].concat());
}

#[test]
fn nothing_is_shown_twice_and_nothing_is_left_out_while_it_grows() {
    let room = Room::new();
    let text = "echo > up; i=0; while :; do i=$((i+1)); echo \"line $i\"; done";
    crate::script(&room, &[], text);
    let following = Following::start(&room, &["-n", "1"]);
    let so_far = || following.shown.lock().expect("unpoisoned").clone();
    eventually("much is shown", || so_far().len() > 200_000);
    room.run(&["stop", "web"]).expect_code(0);
    let log = std::fs::read(room.state().join("web/server.log")).expect("read");
    eventually("the end is shown", || so_far().ends_with(&log[log.len() - 20..]));
    let all = so_far();
    assert!(log.ends_with(&all) && all.starts_with(b"line "), "{} of {}", all.len(), log.len());
}

#[test]
fn it_ends_by_a_signal_with_its_code() {
    let room = Room::new();
    with_log(&room, &lines(0..3));
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGINT, 130), (libc::SIGHUP, 129)] {
        let following = Following::start(&room, &[]);
        following.shows(&lines(0..3));
        // What it showed is there before its handlers are.
        let pid = following.child.id() as i32;
        let caught = || u64::from_str_radix(&crate::process::status(pid, "SigCgt"), 16).expect("a mask");
        eventually("it catches the signal", || caught() & (1 << (signal - 1)) != 0);
        assert_eq!(following.end(signal), (Some(code), lines(0..3)), "{signal}");
    }
}

#[test]
fn a_log_that_is_emptied_is_followed_from_its_beginning() {
    let room = Room::new();
    let path = with_log(&room, &lines(0..10));
    let following = Following::start(&room, &[]);
    following.shows(&lines(0..10));
    // Emptied and written to again before anybody looks.
    std::fs::write(&path, b"new\n").expect("written");
    following.shows(&[lines(0..10), b"new\n".to_vec()].concat());
    append(&path, b"newer\n");
    following.shows(&[lines(0..10), b"new\nnewer\n".to_vec()].concat());
}

#[test]
fn a_restart_that_rotates_the_log_is_followed() {
    let room = Room::new();
    let port = free_port();
    // Beyond 10 MiB.
    serve(&room, port, &[], &["--lines", "10300"]);
    let log = room.state().join("web/server.log");
    let mut following = Following::start(&room, &["-n", "1"]);
    let first = std::fs::read(&log).expect("read");
    let begin = first[..first.len() - 1].iter().rposition(|&b| b == b'\n').expect("a line") + 1;
    following.shows(&first[begin..]);
    room.run(&["restart", "web"]).expect_code(0);
    assert_eq!(std::fs::read(room.state().join("web/server.log.1")).expect("read"), first);
    let second = std::fs::read(&log).expect("read");
    assert!(second.len() > 10 << 20);
    following.shows(&[&first[begin..], &second].concat());
    append(&log, b"more\n");
    following.shows(&[&first[begin..], &second, b"more\n"].concat());
    assert!(following.child.try_wait().expect("waited").is_none());
}

#[test]
fn it_goes_on_over_a_stop_and_a_start() {
    let room = Room::new();
    let port = free_port();
    serve(&room, port, &[], &[]);
    let following = Following::start(&room, &[]);
    let log = room.state().join("web/server.log");
    room.run(&["stop", "web"]).expect_code(0);
    serve(&room, port, &[], &[]);
    following.shows(&std::fs::read(log).expect("read"));
}

#[test]
fn a_log_that_is_removed_and_comes_again_is_followed() {
    let room = Room::new();
    let path = with_log(&room, b"old\n");
    let following = Following::start(&room, &[]);
    following.shows(b"old\n");
    std::fs::remove_file(&path).expect("removed");
    let fresh = room.file("fresh", "new\n");
    std::fs::rename(fresh, &path).expect("renamed");
    following.shows(b"old\nnew\n");
}

#[test]
fn a_reader_of_what_follows_that_goes_away_is_no_failure() {
    let room = Room::new();
    let path = with_log(&room, b"old\n");
    let mut following = Killed(
        with_plain_signals(room.forerun().args(["logs", "web", "-f"])).stdout(Stdio::piped()).spawn().expect("spawned"),
    );
    let mut pipe = following.0.stdout.take().expect("a pipe");
    let mut seen = [0; 4];
    pipe.read_exact(&mut seen).expect("read");
    drop(pipe);
    append(&path, b"new\n");
    let mut code = None;
    eventually("it ends", || {
        code = following.0.try_wait().expect("waited").map(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(0)));
}

#[test]
fn a_log_stays_after_a_stop() {
    let room = Room::new();
    serve(&room, free_port(), &[], &[]);
    room.run(&["stop", "web"]).expect_code(0);
    let log = std::fs::read(room.state().join("web/server.log")).expect("read");
    assert_eq!(shown(&room, &[]), log);
    kill(serve(&room, free_port(), &[], &[]));
    assert!(shown(&room, &[]).starts_with(&log));
}

#[test]
fn a_log_of_ones_own_is_the_one_that_is_shown() {
    let room = Room::new();
    let port = free_port();
    done(serving(&room, port, &["--log", "own.log"], &[]).current_dir(room.path())).expect_code(0);
    let log = std::fs::read(room.path().join("own.log")).expect("read");
    assert!(log.starts_with(b"listening "));
    let seen = done(room.forerun().args(["logs", "web"]).current_dir("/")).expect_code(0);
    assert_eq!(seen.stdout.as_bytes(), log);
}

#[test]
fn where_there_is_no_log_it_is_said_and_nothing_is_made() {
    let room = Room::new();
    room.run(&["logs", "web"]).expect_code(1).expect_line(&["no service is called 'web'"]);
    assert!(!room.state().exists());
    let path = with_log(&room, b"");
    std::fs::remove_file(&path).expect("removed");
    for options in [&["logs", "web"][..], &["logs", "web", "-f"]] {
        room.run(options).expect_code(73).expect_line(&["cannot read the log", "server.log", "No such file"]);
    }
    std::fs::create_dir(&path).expect("a folder");
    room.run(&["logs", "web"]).expect_code(73).expect_line(&["cannot read the log", "no regular file"]);
}

#[test]
fn a_link_in_the_place_of_the_log_is_not_followed() {
    let room = Room::new();
    let path = with_log(&room, b"");
    std::fs::remove_file(&path).expect("removed");
    symlink(room.file("secret", "secret\n"), &path).expect("a symlink");
    for stop in [false, true] {
        if stop {
            room.run(&["stop", "web"]).expect_code(0);
        }
        let refused = room.run(&["logs", "web"]).expect_code(if stop { 1 } else { 73 });
        assert_eq!(refused.stdout, "");
    }
}

#[test]
fn of_one_in_the_foreground_it_is_the_file_that_its_output_went_to() {
    let room = Room::new();
    let output = room.path().join("output");
    let _server =
        in_foreground(room.forerun().arg("--foreground"), free_port(), File::create(&output).expect("a file"));
    append(&output, b"said\n");
    assert_eq!(shown(&room, &[]), b"said\n");
}

#[test]
fn of_one_in_the_foreground_without_a_file_it_is_said_where_to_look() {
    let room = Room::new();
    let _server = in_foreground(room.forerun().arg("--foreground"), free_port(), Stdio::null());
    room.run(&["logs", "web"]).expect_code(73).expect_line(&["'web' has no log file", "foreground"]);
}

#[test]
fn of_a_supervised_one_the_file_is_named_and_shown() {
    let room = Room::new();
    let output = room.path().join("output");
    let mut forerun = room.forerun();
    forerun.envs([("SUPERVISOR_ENABLED", "1"), ("SUPERVISOR_PROCESS_NAME", "web")]);
    let _server = in_foreground(&mut forerun, free_port(), File::create(&output).expect("a file"));
    append(&output, b"said\n");
    let seen = room.run(&["logs", "web", "-n", "1"]).expect_code(0);
    assert_eq!(seen.stdout, "said\n");
    seen.expect_line(&["'web' is run by supervisord (web)", &output.display().to_string()]);
}

#[test]
fn of_a_supervised_one_without_a_file_the_supervisor_is_named() {
    let room = Room::new();
    let mut forerun = room.forerun();
    forerun.envs([("SUPERVISOR_ENABLED", "1"), ("SUPERVISOR_PROCESS_NAME", "web")]);
    let _server = in_foreground(&mut forerun, free_port(), Stdio::null());
    room.run(&["logs", "web"]).expect_code(73).expect_line(&["'web' has no log file", "supervisord (web)"]);
}

#[test]
fn of_a_unit_of_systemds_it_is_the_journal() {
    let room = Room::new();
    let mut forerun = room.forerun();
    let server = in_foreground(forerun.env("INVOCATION_ID", "0123456789abcdef"), free_port(), Stdio::null());
    let journal = "#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done\nexit 7\n";
    std::fs::create_dir(room.path().join("bin")).expect("a folder");
    room.executable("bin/journalctl", journal);
    let path = std::env::join_paths([room.path().join("bin"), "/usr/bin".into(), "/bin".into()]).expect("a path");
    let words = |user: bool, args: &[&str]| {
        let mut record = room.record("web");
        record["cgroup"] = "/system.slice/web.service".into();
        let list = record["environment"].as_array_mut().expect("a list");
        list.retain(|entry| entry != "MANAGERPID=1");
        if user {
            list.push("MANAGERPID=1".into());
        }
        std::fs::write(room.state().join("web/record.json"), record.to_string()).expect("written");
        let seen = done(room.forerun().args(["logs", "web"]).args(args).env("PATH", &path)).expect_code(7);
        let shown = seen.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        seen.expect_line(&["its output is in the journal: journalctl "]);
        shown
    };
    assert_eq!(words(false, &[]), "-u web.service -n 50 --no-pager");
    assert_eq!(words(false, &["-n", "3", "-f"]), "-u web.service -n 3 --no-pager -f");
    assert_eq!(words(true, &["-n", "3"]), "--user-unit web.service -n 3 --no-pager");
    assert!(alive(server.pid()));
    let mut without = room.forerun();
    done(without.args(["logs", "web"]).env("PATH", "/nonexistent")).expect_code(127).expect_stderr(&["journalctl"]);
}

#[test]
fn following_holds_up_nobody() {
    let room = Room::new();
    serve(&room, free_port(), &[], &[]);
    let mut command = room.forerun();
    let mut following =
        Killed(in_own_session(command.args(["logs", "web", "-f"]).stdout(Stdio::null())).spawn().expect("spawned"));
    room.run(&["restart", "web"]).expect_code(0);
    room.run(&["stop", "web"]).expect_code(0);
    assert!(following.is_well());
    assert_eq!(left(&room), [following.pid()]);
}
