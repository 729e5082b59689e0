//! What is looked at once main has ended: a look that fails proves nothing. Nobody is taken for the server, or ended,
//! and the record stays whole, because of what could not be seen.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::{START, Web, ended_well, numbers, path_of_record, sample, system_calls_of};
use crate::common::process::{self, send};
use crate::common::{Killed, accepts, alive, answer, collect, done, eventually, fixture, has};
use crate::skip_unless;

/// A service whose main process has ended, and what has the port since.
struct Left {
    web: Web,
    main: i32,
    next: i32,
    /// The record as it was when main ended.
    record: String,
}

/// Main runs a script that serves as soon as the port is free.
fn served(options: &[&str]) -> (Web, i32) {
    let web = Web::new();
    let (fixture, port) = (fixture().display().to_string(), web.port.to_string());
    let url = format!("http://127.0.0.1:{port}/");
    let mut command = web.room.forerun();
    command.args(["--detach", "--name", "web", "--grace", "2s", "--health", &url]).args(options);
    command.args(["--", &fixture, "serve", &port, "--answer-pid", "--kills", "0"]);
    done(command.args(["--run", "next", "--run-in", "here"])).expect_code(0);
    let main = web.pid();
    assert_eq!(answer(web.port), Some(main));
    let next = format!("while ! '{fixture}' serve {port} --answer-pid; do sleep 0.01; done\n");
    web.room.file("next.part", &next);
    process::let_a_tick_pass(main);
    (web, main)
}

fn hand_over(web: &Web, main: i32, signal: i32) -> i32 {
    std::fs::rename(web.room.path().join("next.part"), web.room.path().join("next")).expect("renamed");
    eventually("the script runs", || !process::children(main).is_empty());
    send(main, signal);
    let mut next = None;
    eventually("the next one serves", || {
        next = answer(web.port).filter(|pid| *pid != main);
        next.is_some()
    });
    next.expect("a pid")
}

impl Left {
    fn after(signal: i32) -> Self {
        let (web, main) = served(&[]);
        let record = std::fs::read_to_string(path_of_record(&web)).expect("a record");
        let next = hand_over(&web, main, signal);
        eventually("main is gone", || !alive(main));
        Left { web, main, next, record }
    }

    fn restore(&self) {
        std::fs::write(path_of_record(&self.web), &self.record).expect("written");
    }

    fn now(&self) -> Value {
        self.web.room.record("web")
    }

    /// A call of each kind fails, in turn, while forerun does `words`.
    fn is_looked_at_in_vain(&self, words: &str, count: usize, check: impl Fn(&Value, &str)) {
        self.restore();
        let before = self.now();
        // Once, or from there on.
        const FAULTS: [(&str, &str); 4] = [("EMFILE", ""), ("ENOMEM", "+"), ("ENFILE", "+"), ("EINTR", "")];
        let of_looks = ["openat", "read", "getdents64", "readlink", "ioctl", "open_by_handle_at", "pidfd_open"];
        let of_looks = of_looks.iter().chain(&["recvfrom", "sendto", "statx", "newfstatat", "readlinkat", "fstat"]);
        let calls = system_calls_of(&self.web, words, &[0, 1, 69, 75, 78]);
        let ranges = of_looks.filter_map(|name| Some((*name, *calls.get(*name)?)));
        let all = ranges.flat_map(|(name, range)| {
            numbers(range).into_iter().flat_map(move |number| FAULTS.map(|fault| (name, number, fault)))
        });
        for (name, number, (error, on)) in sample(all.collect(), count) {
            self.restore();
            let inject = format!("inject={name}:error={error}:when={number}{on}");
            let after = format!("{words} with {inject}");
            let hit = done(&mut self.web.traced(words, &["-o", "/dev/null", "-e", &inject]));
            ended_well(&hit, &after);
            assert!(alive(self.next) && answer(self.web.port) == Some(self.next), "{after}: {}", hit.stderr);
            let now = self.now();
            assert_eq!(now["environment"], before["environment"], "{after}: {}{}", hit.stdout, hit.stderr);
            check(&now, &after);
        }
        self.restore();
    }
}

#[test]
fn a_server_that_took_over_is_not_lost_by_a_look_that_fails() {
    skip_unless!(has("strace"), "there is no strace");
    let left = Left::after(libc::SIGTERM);
    for words in ["status", START] {
        left.is_looked_at_in_vain(words, 8, |now, after| {
            let pid = now["process"]["pid"].as_i64();
            assert!([left.main, left.next].map(|pid| Some(i64::from(pid))).contains(&pid), "{after}: {pid:?}");
            let status = left.web.run("status").expect_code(0);
            assert!(status.stdout.contains(&format!("{} (was", left.next)), "{after}: {}", status.stdout);
        });
    }
    left.web.run("stop").expect_code(0);
    assert!(!accepts(left.web.port));
}

#[test]
fn what_may_be_a_server_is_neither_taken_for_one_nor_ended_by_a_look_that_fails() {
    skip_unless!(has("strace"), "there is no strace");
    let left = Left::after(libc::SIGKILL);
    left.web.run("status").expect_code(1);
    for words in ["status", START] {
        left.is_looked_at_in_vain(words, 8, |now, after| {
            assert_eq!(now["process"]["pid"], left.main, "{after}");
        });
    }
    left.web.run("stop").expect_code(0);
    assert!(!accepts(left.web.port));
}

#[test]
fn a_sidecar_whose_looks_fail_signals_nothing_of_the_server_that_took_over() {
    skip_unless!(has("strace"), "there is no strace");
    let faults = [
        ("openat", "EMFILE", "1+"),
        ("openat", "ENFILE", "9"),
        ("openat", "ENOMEM", "40"),
        ("read", "ENOMEM", "25"),
        ("getdents64", "ENOMEM", "1"),
        ("open_by_handle_at", "EMFILE", "1+"),
        ("pidfd_open", "EMFILE", "1+"),
        ("ioctl", "ENOMEM", "1+"),
        ("socket", "EMFILE", "1+"),
        ("recvfrom", "ENOMEM", "1+"),
    ];
    for (call, error, when) in sample(faults.to_vec(), 3) {
        let after = format!("{call}, {error}, {when}");
        let (web, main) = served(&["--watch"]);
        let sidecar = web.room.record("web")["sidecar"]["pid"].as_i64().expect("a sidecar") as i32;
        let inject = format!("inject={call}:error={error}:when={when}");
        let log = web.room.path().join("strace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, "-p", &sidecar.to_string()]);
        let strace = strace.stdin(Stdio::null()).stderr(std::fs::File::create(&log).expect("a file"));
        let mut strace = Killed(strace.stdout(Stdio::null()).spawn().expect("spawned"));
        eventually("it is traced", || process::status(sidecar, "TracerPid") != "0");
        let next = hand_over(&web, main, libc::SIGTERM);
        // It has followed, or given up, or still looks: in any case the server lives.
        let decided = || !alive(sidecar) || web.room.record("web")["process"]["pid"] == next;
        let _ = crate::common::holds_within(std::time::Duration::from_secs(2), decided);
        assert!(alive(next) && answer(web.port) == Some(next), "{after}");
        let _ = strace.0.kill();
        let _ = strace.0.wait();
        assert_eq!(answer(web.port), Some(next), "{after}");
        let status = web.run("status").expect_code(0);
        assert!(status.stdout.contains(&format!("{next} (was")), "{after}: {}", status.stdout);
        web.run("stop").expect_code(0);
    }
}

#[test]
fn sockets_that_cannot_be_seen_leave_the_record_whole() {
    skip_unless!(has("strace"), "there is no strace");
    let left = Left::after(libc::SIGTERM);
    // The folder of the descriptors of the one that serves.
    let folder = format!("/proc/{}/fd", left.next);
    for words in ["status", START, "reload"] {
        left.restore();
        let before = left.now();
        let fails = ["-o", "/dev/null", "-P", &folder, "-e", "inject=openat:error=EMFILE"];
        let hit = done(&mut left.web.traced(words, &fails));
        ended_well(&hit, words);
        assert_eq!(left.now(), before, "{words}: {}{}", hit.stdout, hit.stderr);
        assert_eq!(answer(left.web.port), Some(left.next), "{words}");
    }
}

#[test]
fn a_look_that_fails_throughout_says_so() {
    skip_unless!(has("strace"), "there is no strace");
    let left = Left::after(libc::SIGTERM);
    skip_unless!(left.now()["trace"] != 0, "the kernel does not tell how a process ended");
    let fails = ["-o", "/dev/null", "-e", "inject=open_by_handle_at:error=EMFILE"];
    let child = left.web.traced(START, &fails).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    let output = collect(child);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot look at the system's processes: Too many open files"), "{said}");
    assert_eq!(answer(left.web.port), Some(left.next));
}
