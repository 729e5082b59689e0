//! Under fire: forerun is killed, its system calls fail, its limits are low, its records are damaged and its pids are
//! somebody else's. Afterwards there is one server or none, nothing is left over, and no bystander was touched.
//!
//! Of the matrices a sample is run; FORERUN_TEST_WHOLE=1 runs all of them.
#![cfg(target_os = "linux")]

mod common;
#[path = "fire/following.rs"]
mod following;
#[cfg(target_arch = "x86_64")]
#[path = "fire/launcher.rs"]
mod launcher;
#[path = "fire/stopping.rs"]
mod stopping;
#[cfg(target_arch = "x86_64")]
#[path = "fire/tracer.rs"]
mod tracer;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use common::process::{self, prepared, with_entry};
use common::{Done, Killed, Room, accepts, alive, collect, done, eventually, fixture, free_port, has, is_root};

/// A service and its place.
struct Web {
    room: Room,
    port: u16,
}

/// What can be done to it, by the words for it.
const START: &str = "start";
const REPLACE: &str = "start --replace";

impl Web {
    fn new() -> Self {
        Web { room: Room::new(), port: free_port() }
    }

    fn arguments(&self, words: &str) -> Vec<OsString> {
        let words: Vec<_> = words.split(' ').collect();
        if words[0] != "start" {
            return [words[0], "web"].iter().chain(&words[1..]).map(OsString::from).collect();
        }
        let url = format!("http://127.0.0.1:{}/", self.port);
        let (fixture, port) = (fixture().display().to_string(), self.port.to_string());
        let options = ["--detach", "--name", "web", "--grace", "2s", "--health", &url];
        let command = ["--", &fixture, "serve", &port];
        options.iter().chain(&words[1..]).chain(&command).map(OsString::from).collect()
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.room.forerun();
        command.args(self.arguments(words));
        command
    }

    #[track_caller]
    fn run(&self, words: &str) -> Done {
        done(&mut self.command(words))
    }

    /// The same below strace, which leaves the server alone.
    fn traced(&self, words: &str, options: &[&str]) -> Command {
        let mut command = self.room.forerun();
        let forerun = command.get_program().to_owned();
        let mut traced = Command::new("strace");
        traced.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        traced.current_dir(self.room.path()).stdin(Stdio::null());
        traced.args(["-f", "-b", "execve", "-qq"]).args(options).arg(forerun).args(self.arguments(words));
        command = traced;
        command
    }

    /// Everything that still runs of what was started here.
    fn left(&self) -> Vec<i32> {
        with_entry(&format!("FORERUN_STATE_DIR={}", self.room.state().display()))
    }

    fn pid(&self) -> i32 {
        self.room.record("web")["process"]["pid"].as_i64().expect("a pid") as i32
    }

    /// A plain start makes one healthy server.
    #[track_caller]
    fn serves(&self, after: &str) {
        let started = self.run(START);
        assert_eq!(started.code, Some(0), "{after}: {}", started.stderr);
        assert!(!started.stderr.contains("internal error"), "{after}: {}", started.stderr);
        let server = self.pid();
        // What a killed forerun forked and never told of ends by itself.
        eventually(&format!("{after}: there is one server"), || self.left() == [server]);
        let status = self.run("status");
        assert_eq!(status.code, Some(0), "{after}: {}{}", status.stdout, status.stderr);
        assert!(accepts(self.port), "{after}");
    }

    /// A stop leaves nothing.
    #[track_caller]
    fn stops(&self, after: &str) {
        let stopped = self.run("stop");
        assert_eq!(stopped.code, Some(0), "{after}: {}", stopped.stderr);
        assert_eq!(self.left(), Vec::<i32>::new(), "{after}");
        assert!(!accepts(self.port), "{after}");
        let known = ["lock", "server.log", "record.json.damaged"];
        let names = std::fs::read_dir(self.room.state().join("web")).expect("a folder").flatten();
        let more: Vec<_> = names.map(|e| e.file_name()).filter(|name| known.iter().all(|k| name != k)).collect();
        assert!(more.is_empty(), "{after}: {more:?}");
    }
}

/// That forerun ended by itself, in one of the ways that it has.
#[track_caller]
fn ended_well(done: &Done, after: &str) {
    let known = [0, 1, 2, 69, 73, 75, 78, 126, 127];
    assert!(done.code.is_some_and(|code| known.contains(&code)), "{after}: {:?} {}", done.status, done.stderr);
    assert!(!done.stderr.contains("internal error") && !done.stderr.contains("panicked"), "{after}: {}", done.stderr);
}

/// Errors, not warnings, nor the lines of a log, nor what was done before.
fn errors(done: &Done) -> Vec<&str> {
    let others = ["warning: ", "stopped pid ", "stopping what "];
    let is_error = |line: &&str| {
        line.strip_prefix("forerun: ").is_some_and(|said| others.iter().all(|other| !said.starts_with(other)))
    };
    done.stderr.lines().filter(is_error).collect()
}

// Killed.

fn is_killed_at_any_moment(words: &str) {
    let web = Web::new();
    let runs = words != START;
    let begin = || {
        if runs {
            web.run(START).expect_code(0);
        }
        web.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawned")
    };
    let begun = Instant::now();
    let mut whole = begin();
    assert!(whole.wait().expect("waited").success());
    let length = begun.elapsed().min(Duration::from_millis(60));
    const MOMENTS: u32 = 10;
    for moment in 0..=MOMENTS {
        let mut forerun = begin();
        let begun = Instant::now();
        // Spinning, for the accuracy that a sleep does not have.
        while begun.elapsed() < length * moment / MOMENTS {
            std::hint::spin_loop();
        }
        let _ = forerun.kill();
        forerun.wait().expect("waited");
        let after = format!("{words} killed after {:?}", length * moment / MOMENTS);
        web.serves(&after);
        web.stops(&after);
    }
}

#[test]
fn a_start_that_is_killed_at_any_moment_leaves_the_next_one_its_place() {
    is_killed_at_any_moment(START);
}

#[test]
fn a_replacement_that_is_killed_at_any_moment_leaves_the_next_start_its_place() {
    is_killed_at_any_moment(REPLACE);
}

#[test]
fn a_stop_that_is_killed_at_any_moment_leaves_the_next_start_its_place() {
    is_killed_at_any_moment("stop");
}

#[test]
fn a_restart_that_is_killed_at_any_moment_leaves_the_next_start_its_place() {
    is_killed_at_any_moment("restart");
}

// System calls.

/// Those of forerun itself, by name: from which number on, once it is loaded, to which one. The server's are not among
/// them. What the C library makes of its own accord is left out: it aborts, or never gives up, and nobody can help it.
fn system_calls(words: &str) -> BTreeMap<String, (usize, usize)> {
    let web = Web::new();
    if words != START {
        web.run(START).expect_code(0);
    }
    system_calls_of(&web, words, &[0])
}

/// The same of a service that is there, where forerun ends with one of these codes.
fn system_calls_of(web: &Web, words: &str, codes: &[i32]) -> BTreeMap<String, (usize, usize)> {
    const OF_THE_C_LIBRARY: [&str; 18] = [
        "arch_prctl",
        "brk",
        "close",
        "execve",
        "exit",
        "exit_group",
        "futex",
        "getrandom",
        "madvise",
        "mmap",
        "mprotect",
        "munmap",
        "restart_syscall",
        "rseq",
        "rt_sigreturn",
        "set_robust_list",
        "set_tid_address",
        "sigaltstack",
    ];
    let file = web.room.path().join("trace");
    let whole = done(&mut web.traced(words, &["-o", file.to_str().expect("UTF-8")]));
    assert!(whole.code.is_some_and(|code| codes.contains(&code)), "{words}: {:?} {}", whole.code, whole.stderr);
    let text = std::fs::read_to_string(file).expect("a trace");
    let calls = text.lines().filter_map(|line| {
        let (pid, call) = line.split_once(' ')?;
        let (name, _) = call.trim_start().split_once('(')?;
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_').then_some((pid, name, line))
    });
    let mut counts: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
    let (mut main, mut is_loaded) = (None, false);
    for (pid, name, line) in calls {
        is_loaded |= line.contains("fcntl(0, F_GETFD)");
        let is_main = *main.get_or_insert(pid) == pid;
        // Numbers are counted for each thread.
        let (loading, all) = counts.entry((pid.to_owned(), name.to_owned())).or_default();
        *loading += usize::from(is_main && !is_loaded);
        *all += 1;
    }
    let mut ranges: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for ((_, name), (loading, all)) in counts {
        let (first, last) = ranges.entry(name).or_insert((usize::MAX, 0));
        let mine = if all > loading { (loading + 1, all) } else { continue };
        // The main thread's come first where it has made some while it was loaded: a fault there is the loader's.
        *first = if *last == 0 { mine.0 } else { (*first).max(mine.0) };
        *last = (*last).max(mine.1);
    }
    ranges.retain(|name, (from, to)| from <= to && !OF_THE_C_LIBRARY.contains(&name.as_str()));
    assert!(ranges.len() > 10, "{text}");
    ranges
}

/// Some of a call that is made often, as that which reads the table of processes.
fn numbers((from, to): (usize, usize)) -> Vec<usize> {
    const OFTEN: usize = 40;
    (from..=to).step_by(((to - from + 1) / OFTEN).max(1)).collect()
}

/// All of them, or as many as a test has the time for, spread over the names and the numbers.
fn sample<T: Clone>(all: Vec<T>, count: usize) -> Vec<T> {
    if std::env::var_os("FORERUN_TEST_WHOLE").is_some() {
        return all;
    }
    // No multiple of how many errors there are: each has its turn.
    let step = (all.len() / count).max(1);
    let step = if step % 5 == 0 { step + 1 } else { step };
    all.into_iter().step_by(step).collect()
}

fn is_killed_at_each_system_call(words: &str) {
    skip_unless!(has("strace"), "there is no strace");
    let calls = system_calls(words).into_iter();
    let all = calls.flat_map(|(name, range)| numbers(range).into_iter().map(move |number| (name.clone(), number)));
    let web = Web::new();
    for (name, number) in sample(all.collect(), 11) {
        if words != START {
            web.run(START).expect_code(0);
        }
        let inject = format!("inject={name}:signal=KILL:when={number}");
        let after = format!("{words} with {inject}");
        done(&mut web.traced(words, &["-o", "/dev/null", "-e", &inject]));
        web.serves(&after);
        web.stops(&after);
    }
}

#[test]
fn a_start_that_is_killed_at_a_system_call_leaves_the_next_one_its_place() {
    is_killed_at_each_system_call(START);
}

#[test]
fn a_replacement_that_is_killed_at_a_system_call_leaves_the_next_start_its_place() {
    is_killed_at_each_system_call(REPLACE);
}

#[test]
fn a_stop_that_is_killed_at_a_system_call_leaves_the_next_start_its_place() {
    is_killed_at_each_system_call("stop");
}

#[test]
fn a_restart_that_is_killed_at_a_system_call_leaves_the_next_start_its_place() {
    is_killed_at_each_system_call("restart");
}

/// A folder that cannot be told makes another service of it, and a machine-id that is not ours to read another machine.
/// The last one is asserted on by a library of systemd's that reads the user database.
fn tells_who_we_are(call: &str, error: &str) -> bool {
    matches!(call, "getcwd" | "rt_sigprocmask") || (error == "EACCES" && matches!(call, "openat" | "read" | "readlink"))
}

/// Each system call fails in turn.
fn survives_faults(words: &str) {
    skip_unless!(has("strace"), "there is no strace");
    let calls = system_calls(words).into_iter();
    const ERRORS: [&str; 5] = ["EMFILE", "ENOSPC", "EACCES", "EINTR", "ENOMEM"];
    let all = calls.flat_map(|(name, range)| {
        numbers(range).into_iter().flat_map(move |number| ERRORS.map(|error| (name.clone(), number, error)))
    });
    let all = all.filter(|(name, _, error)| !tells_who_we_are(name, error));
    let web = Web::new();
    let changes_nothing = matches!(words, "status" | "logs");
    for (name, number, error) in sample(all.collect(), 11) {
        if words != START {
            web.run(START).expect_code(0);
        }
        let inject = format!("inject={name}:error={error}:when={number}");
        let after = format!("{words} with {inject}");
        let hit = done(&mut web.traced(words, &["-o", "/dev/null", "-e", &inject]));
        ended_well(&hit, &after);
        if hit.code != Some(0) && !words.starts_with("status") {
            assert_eq!(errors(&hit).len(), 1, "{after}: {:?} {}", hit.code, hit.stderr);
        }
        web.serves(&after);
        if !changes_nothing {
            web.stops(&after);
        }
    }
    web.serves("all faults");
    web.stops("all faults");
}

#[test]
fn a_start_survives_faults() {
    survives_faults(START);
}

#[test]
fn a_replacement_survives_faults() {
    survives_faults(REPLACE);
}

#[test]
fn a_stop_survives_faults() {
    survives_faults("stop");
}

#[test]
fn a_restart_survives_faults() {
    survives_faults("restart");
}

#[test]
fn a_status_survives_faults() {
    survives_faults("status");
}

#[test]
fn logs_survive_faults() {
    survives_faults("logs");
}

#[test]
fn a_stop_that_cannot_see_all_processes_does_not_take_them_for_gone() {
    skip_unless!(has("strace"), "there is no strace");
    let web = Web::new();
    for words in ["stop", "restart", REPLACE] {
        web.run(START).expect_code(0);
        let server = web.pid();
        let fails = "inject=getdents64:error=ENOMEM:when=1+";
        let hit = done(&mut web.traced(words, &["-o", "/dev/null", "-e", fails])).expect_code(69);
        assert_eq!(errors(&hit).len(), 1, "{words}: {}", hit.stderr);
        hit.expect_stderr(&["cannot look at the system's processes", "try again"]);
        assert!(alive(server), "{words}");
        // It is known that it was to end.
        web.run("stop").expect_code(0);
        assert!(!alive(server), "{words}");
    }
    web.stops("unseen processes");
}

#[test]
fn a_start_that_cannot_read_which_machine_it_is_on_starts_nothing() {
    skip_unless!(has("strace"), "there is no strace");
    let web = Web::new();
    for (call, file) in [("openat", "/etc/machine-id"), ("openat", "/proc/sys/kernel/random/boot_id")] {
        let fails = format!("inject={call}:error=EMFILE");
        let hit = done(&mut web.traced(START, &["-o", "/dev/null", "-P", file, "-e", &fails]));
        hit.expect_code(69).expect_line(&["Too many open files", "raise the limits"]);
        assert!(web.left().is_empty());
    }
    web.serves("an unknown machine");
    web.stops("an unknown machine");
}

// Many at once.

#[test]
fn stops_starts_and_restarts_at_once_make_one_server_at_most() {
    let web = Web::new();
    let operations = ["stop", START, "restart", START, REPLACE, "status", "stop", START, "logs"];
    let begun = Instant::now();
    let mut running: Vec<_> = Vec::new();
    let mut count = 0;
    while begun.elapsed() < Duration::from_millis(1500) || count < 60 {
        let words = operations[count * 5 % operations.len()];
        let child = web.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
        running.push((words, child));
        count += 1;
        if running.len() >= 20 {
            check(running.remove(0));
        }
    }
    running.into_iter().for_each(check);
    let all = web.left();
    assert!(all.len() <= 1, "{all:?}");
    web.serves("the storm");
    web.stops("the storm");

    #[track_caller]
    fn check((words, child): (&str, std::process::Child)) {
        let output = collect(child);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // A start that a stop ends dies of it; what a stop takes under a start's eyes is not ready.
        let known = [0, 1, 73, 143];
        assert!(output.status.code().is_some_and(|code| known.contains(&code)), "{words}: {:?} {said}", output.status);
        assert!(!said.contains("internal error") && !said.contains("panicked"), "{words}: {said}");
    }
}

#[test]
fn fifty_stops_at_once_stop_it_once_and_all_succeed() {
    let web = Web::new();
    web.run(START).expect_code(0);
    let stop = || web.command("stop").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    let children: Vec<_> = (0..50).map(|_| stop()).collect();
    let outputs: Vec<_> = children.into_iter().map(collect).collect();
    for output in &outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let stopped = outputs.iter().filter(|o| o.stdout.starts_with(b"stopped web: pid ")).count();
    assert_eq!(stopped, 1);
    web.stops("fifty stops");
}

// Little to live on.

const COMMANDS: [&str; 4] = ["status", "logs", "restart", "stop"];

#[test]
fn few_descriptors_are_an_error_or_none() {
    let web = Web::new();
    for limit in [3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16] {
        for words in COMMANDS {
            web.run(START).expect_code(0);
            let mut command = web.command(words);
            prepared(&mut command, move || {
                let limit = libc::rlimit { rlim_cur: limit, rlim_max: 4096 };
                // SAFETY: the struct is ours.
                unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
            });
            let hit = done(&mut command);
            let after = format!("{words} with {limit} descriptors");
            // Below that the loader finds no file, before anything of forerun runs.
            if limit > 3 {
                ended_well(&hit, &after);
            }
        }
    }
    web.serves("few descriptors");
    web.stops("few descriptors");
}

#[test]
fn closed_standard_descriptors_and_an_empty_environment_change_nothing() {
    let web = Web::new();
    for closed in 0..8 {
        for words in COMMANDS {
            web.run(START).expect_code(0);
            let before = web.pid();
            let mut command = web.command(words);
            command.env_clear().env("FORERUN_STATE_DIR", web.room.state());
            prepared(&mut command, move || {
                for number in (0..3).filter(|number| closed & (1 << number) != 0) {
                    // SAFETY: an integer.
                    unsafe { libc::close(number) };
                }
            });
            let after = format!("{words} with {closed:03b} closed");
            let hit = done(&mut command);
            assert_eq!(hit.code, Some(0), "{after}: {}", hit.stderr);
            assert_eq!(alive(before), matches!(words, "status" | "logs"), "{after}");
        }
    }
    web.stops("closed descriptors");
}

// Records.

/// A process of nobody's business, and what it looks like.
struct Bystander {
    child: Killed,
    start: i64,
}

impl Bystander {
    fn new() -> Self {
        let child = Killed(Command::new("sleep").arg("300").stdin(Stdio::null()).spawn().expect("spawned"));
        let start = process::stat(child.0.id() as i32, process::START);
        Bystander { child, start }
    }

    fn pid(&self) -> i32 {
        self.child.0.id() as i32
    }

    fn is_well(&mut self) -> bool {
        self.child.0.try_wait().expect("waited").is_none()
    }
}

/// A record that a start wrote, of a server that is gone.
fn good_record() -> (Web, Value) {
    let web = Web::new();
    web.run(START).expect_code(0);
    let record = web.room.record("web");
    process::send(web.pid(), libc::SIGKILL);
    eventually("it is gone", || web.left().is_empty());
    (web, record)
}

fn path_of_record(web: &Web) -> PathBuf {
    web.room.state().join("web/record.json")
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path).expect("removed"),
        Ok(_) => std::fs::remove_file(path).expect("removed"),
        Err(_) => {}
    }
}

/// status, logs, restart and stop of a record that cannot be trusted: one line that names it, and it stays as it is.
#[track_caller]
fn is_refused(web: &Web, what: &str) {
    for (words, code) in [("status", 1), ("logs", 73), ("restart", 73), ("stop", 73)] {
        let hit = web.run(words);
        assert_eq!(hit.code, Some(code), "{what}, {words}: {}{}", hit.stdout, hit.stderr);
        let said = if words == "status" { &hit.stdout } else { &hit.stderr };
        assert!(said.contains("record.json") && said.contains("cannot be trusted"), "{what}, {words}: {said}");
        assert!(words == "status" || said.lines().count() == 1, "{what}, {words}: {said}");
    }
}

#[test]
fn a_record_that_is_cut_anywhere_is_refused_and_set_aside_by_a_start() {
    let (web, record) = good_record();
    let text = record.to_string().into_bytes();
    let path = path_of_record(&web);
    let ends: Vec<_> = (0..text.len()).collect();
    for end in sample(ends, 24) {
        std::fs::write(&path, &text[..end]).expect("written");
        let hit = web.run("status");
        assert_eq!(hit.code, Some(1), "{end}: {}", hit.stderr);
        assert!(hit.stdout.contains("cannot be trusted"), "{end}: {}", hit.stdout);
        web.run("stop").expect_code(73).expect_line(&["record.json", "cannot be trusted", "remove it"]);
        assert_eq!(std::fs::read(&path).expect("still there"), &text[..end]);
    }
    is_refused(&web, "cut");
    web.run(START).expect_code(0).expect_line(&["warning: the record", "set aside"]);
    web.stops("a cut record");
}

#[test]
fn a_record_of_wrong_values_is_refused() {
    let (web, record) = good_record();
    let path = path_of_record(&web);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut record = record.clone();
        change(&mut record);
        record.to_string()
    };
    let damaged = [
        with(&|r| r["process"]["pid"] = 0.into()),
        with(&|r| r["process"]["pid"] = (-1).into()),
        with(&|r| r["process"]["pid"] = (1_i64 << 40).into()),
        with(&|r| r["process"]["pid"] = "1".into()),
        with(&|r| r["process"]["start"] = (-1).into()),
        with(&|r| r["process"]["start"] = Value::Null),
        with(&|r| r["process"]["host"] = Value::Null),
        with(&|r| r["process"] = Value::Null),
        with(&|r| r["port"] = 65_536.into()),
        with(&|r| r["session"] = 1e300.into()),
        with(&|r| r["cookie"] = "web/".into()),
        with(&|r| r["cookie"] = "other/0123456789abcdef".into()),
        with(&|r| r["name"] = "other".into()),
        with(&|r| r["version"] = 0.into()),
        with(&|r| r["phase"] = "resting".into()),
        with(&|r| r["environment"] = "A=1".into()),
        with(&|r| r["command"] = Value::Null),
        with(&|r| r["grace"] = (-1).into()),
        deep,
        format!("{}\0", record),
        "\0".repeat(4096),
        "1e999999999".to_owned(),
        String::new(),
    ];
    for text in damaged {
        std::fs::write(&path, &text).expect("written");
        is_refused(&web, &text[..text.len().min(400)]);
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), text);
    }
}

#[test]
fn a_record_that_is_no_plain_file_of_ours_is_refused() {
    let (web, record) = good_record();
    let path = path_of_record(&web);
    let target = web.room.file("target", &record.to_string());
    let is_root = is_root();
    let kinds: [(&str, &dyn Fn()); 5] = [
        ("a link", &|| symlink(&target, &path).expect("a link")),
        ("a fifo", &|| nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a fifo")),
        ("a folder", &|| std::fs::create_dir(&path).expect("a folder")),
        ("a large file", &|| {
            let file = std::fs::File::create(&path).expect("a file");
            file.set_len(41 << 20).expect("sized");
        }),
        ("another user's", &|| {
            std::fs::write(&path, record.to_string()).expect("written");
            if is_root {
                std::os::unix::fs::chown(&path, Some(65_534), None).expect("owned");
            } else {
                std::fs::write(&path, "").expect("written");
            }
        }),
    ];
    for (what, make) in kinds {
        remove(&path);
        make();
        is_refused(&web, what);
        assert!(path.symlink_metadata().is_ok(), "{what}");
        let aside = path.with_file_name("record.json.damaged");
        remove(&aside);
        web.run(START).expect_code(0).expect_line(&["warning: the record", "set aside"]);
        assert!(aside.symlink_metadata().is_ok(), "{what}");
        remove(&aside);
        web.stops(what);
    }
    assert_eq!(std::fs::read_to_string(&target).expect("still there"), record.to_string());
}

#[test]
fn what_a_record_names_that_is_not_ours_is_never_signalled() {
    let (web, record) = good_record();
    let mut bystander = Bystander::new();
    let number = bystander.pid();
    let us = std::process::id() as i32;
    let names = |pid: i32, start: i64, change: &dyn Fn(&mut Value)| {
        let mut record = record.clone();
        record["process"]["pid"] = pid.into();
        record["process"]["start"] = start.into();
        record["session"] = pid.into();
        record["group"] = pid.into();
        // Also where it runs the very program.
        record["executable"] = std::fs::read_link(format!("/proc/{number}/exe")).expect("a path").to_str().into();
        change(&mut record);
        record.to_string()
    };
    let start = bystander.start;
    let init = process::stat(1, process::START);
    let elsewhere = ["boot", "machine", "pid_namespace", "time_namespace"];
    let mut records = vec![
        ("a recycled pid", 0, names(number, start - 1, &|_| {})),
        ("a recycled pid, the other way", 0, names(number, start + 1, &|_| {})),
        ("pid 1, of another start", 0, names(1, init + 1, &|_| {})),
        ("the caller, of another start", 0, names(us, process::stat(us, process::START) + 1, &|_| {})),
        ("the largest pid", 0, names(i32::MAX, i64::MAX, &|_| {})),
    ];
    for host in elsewhere {
        let code = if host == "boot" && common::has_machine_id() { 0 } else { 75 };
        let change = move |r: &mut Value| r["process"]["host"][host] = "another".into();
        records.push((host, code, names(number, start, &change)));
    }
    for (what, code, text) in records {
        for words in ["status", "stop", "stop --all", REPLACE] {
            std::fs::write(path_of_record(&web), &text).expect("written");
            let hit = web.run(words);
            let expected = if words == "status" { 1 } else { code };
            assert_eq!(hit.code, Some(expected), "{what}, {words}: {}", hit.stderr);
            assert!(bystander.is_well(), "{what}, {words}");
            if code == 75 {
                assert_eq!(std::fs::read_to_string(path_of_record(&web)).expect("there"), text, "{what}, {words}");
            } else if words == REPLACE {
                web.stops(what);
            }
        }
    }
}

#[test]
fn whatever_is_left_in_the_place_of_the_new_record_is_no_hindrance_or_named() {
    let web = Web::new();
    let target = web.room.file("target", "precious");
    std::fs::create_dir_all(web.room.state().join("web")).expect("folders");
    let path = web.room.state().join("web/record.json.new");
    std::fs::write(&path, "half a rec").expect("written");
    web.serves("half a record");
    web.stops("half a record");
    symlink(&target, &path).expect("a link");
    web.serves("a link");
    web.stops("a link");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    web.serves("a fifo");
    web.stops("a fifo");
    std::fs::create_dir(&path).expect("a folder");
    web.run(START).expect_code(73).expect_line(&["cannot write the record in", "state/web"]);
    assert!(web.left().is_empty());
    assert_eq!(std::fs::read_to_string(&target).expect("there"), "precious");
}

// The folder, the lock and the log.

#[test]
fn a_lock_that_is_no_plain_file_exits_73_and_nothing_is_signalled() {
    let web = Web::new();
    let target = web.room.file("target", "precious");
    let lock = web.room.state().join("web/lock");
    let kinds: [(&str, &dyn Fn()); 3] = [
        ("a link", &|| symlink(&target, &lock).expect("a link")),
        ("a fifo", &|| nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).expect("a fifo")),
        ("a folder", &|| std::fs::create_dir(&lock).expect("a folder")),
    ];
    for (what, make) in kinds {
        web.serves(what);
        let server = web.pid();
        remove(&lock);
        make();
        // A FIFO can be locked: it is as good as a file.
        for words in ["stop", "restart", START].into_iter().filter(|_| what != "a fifo") {
            web.run(words).expect_code(73).expect_line(&[
                "cannot lock the state folder",
                "state/web",
                "FORERUN_STATE_DIR",
            ]);
            assert!(alive(server), "{what}, {words}");
        }
        if what != "a fifo" {
            remove(&lock);
        }
        web.stops(what);
        remove(&lock);
    }
    assert_eq!(std::fs::read_to_string(&target).expect("there"), "precious");
}

#[test]
fn a_state_folder_that_cannot_be_used_is_named() {
    let room = Room::new();
    let file = room.file("file", "");
    let folder = room.path().join("folder");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::create_dir(room.path().join("elsewhere")).expect("a folder");
    symlink(room.path().join("elsewhere"), folder.join("web")).expect("a link");
    for (state, what) in [(&file, "a file"), (&folder, "a link for the service's")] {
        for words in ["stop", "restart", "logs"] {
            let hit = done(room.forerun().env("FORERUN_STATE_DIR", state).args([words, "web"]));
            hit.expect_code(73).expect_line(&["cannot use the state folder", "FORERUN_STATE_DIR"]);
        }
        let hit = done(room.forerun().env("FORERUN_STATE_DIR", state).args(["status", "web"])).expect_code(1);
        let said = format!("{}{}", hit.stdout, hit.stderr);
        assert!(said.contains("cannot use the state folder"), "{what}: {said}");
    }
    assert_eq!(std::fs::read_dir(room.path().join("elsewhere")).expect("a folder").count(), 0);
}

#[test]
fn a_full_and_a_read_only_state_folder_are_named_and_start_nothing() {
    skip_unless!(is_root() && has("unshare"), "it needs root and unshare");
    let web = Web::new();
    let start = web.command(START);
    // The whole start below a mount of its own; what is left of it ends with its pid namespace.
    let full = r#"mkdir state && mount -t tmpfs -o size=8k,mode=700 none state && mkdir state/web &&
        dd if=/dev/zero of=state/web/filler bs=4k 2>/dev/null; "$0" "$@"; code=$?; ls state/web; exit $code"#;
    let read_only = r#"mount -t tmpfs -o mode=700 none state && mkdir state/web &&
        mount -o remount,ro state; "$0" "$@"; code=$?; ls state/web; exit $code"#;
    for (script, part) in [(full, "No space left"), (read_only, "Read-only file system")] {
        let mut command = Command::new("unshare");
        // The shell that is pid 1 is neither the caller nor the caller's parent: that would be a container.
        command.args([
            "-m",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            "sh -c 'sh -c \"$@\"; exit $?' sh \"$@\"; exit $?",
            "sh",
        ]);
        command.arg(script).arg(start.get_program()).args(start.get_args()).current_dir(web.room.path());
        command.env("FORERUN_STATE_DIR", web.room.state()).stdin(Stdio::null());
        let hit = done(&mut command).expect_code(73);
        assert!(!accepts(web.port) && !hit.stdout.contains("record.json"), "{}", hit.stdout);
        hit.expect_line(&[part, "state/web"]);
    }
}

#[test]
fn a_log_that_is_no_plain_file_is_named() {
    let web = Web::new();
    let log = web.room.state().join("web/server.log");
    let target = web.room.file("target", "precious");
    let kinds: [(&str, &dyn Fn()); 3] = [
        ("a link", &|| symlink(&target, &log).expect("a link")),
        ("a fifo", &|| nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).expect("a fifo")),
        ("a folder", &|| std::fs::create_dir(&log).expect("a folder")),
    ];
    for (what, make) in kinds {
        web.serves(what);
        remove(&log);
        make();
        if what != "a link" {
            web.run("logs").expect_code(73).expect_line(&["cannot read the log", "server.log"]);
        }
        // It was open before, so the server is none the worse.
        web.stops(what);
        web.run("logs").expect_code(1).expect_line(&["'web' has no log"]);
        web.run(START).expect_code(73).expect_line(&["cannot open the log", "--log"]);
        assert!(web.left().is_empty(), "{what}");
        remove(&log);
    }
    assert_eq!(std::fs::read_to_string(&target).expect("there"), "precious");
}

#[test]
fn hostile_names_are_usage_errors_and_touch_nothing() {
    let room = Room::new();
    let outside = room.file("record.json", "precious");
    let names = [
        b"../x".to_vec(),
        b"..".to_vec(),
        b".".to_vec(),
        b"".to_vec(),
        b"a/b".to_vec(),
        b"/etc".to_vec(),
        vec![b'x'; 65],
        b"a\nb".to_vec(),
        b"a\xff".to_vec(),
        b"a b".to_vec(),
        b"\x1b[31m".to_vec(),
    ];
    for name in names {
        let name = OsString::from_vec(name);
        for word in ["stop", "status", "restart", "logs"] {
            let hit = done(room.forerun().arg(word).arg("--").arg(&name));
            assert_eq!(hit.code, Some(2), "{word} {name:?}: {}", hit.stderr);
            assert!(
                hit.stderr.lines().count() == 1 && !hit.stderr.contains('\u{1b}'),
                "{word} {name:?}: {:?}",
                hit.stderr
            );
        }
        let hit = done(room.forerun().arg("--detach").arg("--name").arg(&name).args(["--", "true"]));
        assert_eq!(hit.code, Some(2), "start {name:?}: {}", hit.stderr);
    }
    assert!(!room.state().exists());
    assert_eq!(std::fs::read_to_string(outside).expect("there"), "precious");
}

// Recycled pids.

#[test]
fn a_bystander_that_got_the_servers_pid_survives_everything() {
    let can_choose = Path::new("/proc/sys/kernel/ns_last_pid").exists();
    skip_unless!(is_root() && has("unshare") && has("setsid") && can_choose, "it needs root and a pid namespace");
    // Each bystander has the server's number: as a plain process, as a leader of session and group, and as one that
    // runs the server's own program.
    let script = r#"
        web() { "$FORERUN" "$@"; }
        ticks() { cut -d' ' -f1 /proc/uptime | tr -d .; }
        start() { web --detach --name web --port "$PORT" "$@" -- "$FIXTURE" serve "$PORT"; }
        try() {
            start >/dev/null || { echo "no start before $*"; exit 1; }
            pid=$(sed 's/.*"process":{"pid":\([0-9]*\).*/\1/' "$FORERUN_STATE_DIR/web/record.json")
            kill -9 "$pid"
            while [ -e /proc/$pid ]; do sleep 0.01; done
            # Start times are clock ticks: the bystander's is another one than the server's.
            begun=$(ticks); while [ $(($(ticks) - begun)) -lt 3 ]; do sleep 0.01; done
            echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
            case $kind in
                plain) sleep 300 & ;;
                leader) setsid sleep 300 & ;;
                same) setsid "$FIXTURE" describe described & ;;
            esac
            if [ $! != $pid ]; then echo "missed $pid: $!"; exit 3; fi
            while [ "$kind" != plain ] && [ "$(ps -o sid= -p $pid | tr -d ' ')" != $pid ]; do sleep 0.01; done
            "$@" >said 2>&1; code=$?
            kill -0 $pid 2>/dev/null && state=alive || state=dead
            echo "$kind $1 $2 $3: $code $state"
            kill -9 $pid; wait $pid 2>/dev/null
            web stop web >/dev/null 2>&1
        }
        for kind in plain leader same; do
            try web stop web; try web stop web --all; try web status web; try start; try start --replace
            try web restart web
        done; :"#;
    let web = Web::new();
    let mut command = Command::new("unshare");
    // The shell that is pid 1 reaps; the one below it is the caller.
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "sh ./script; exit $?"]);
    web.room.file("script", script);
    command
        .env("FORERUN", web.room.forerun().get_program())
        .env("FIXTURE", fixture())
        .env("PORT", web.port.to_string());
    command.env("FORERUN_STATE_DIR", web.room.state()).current_dir(web.room.path()).stdin(Stdio::null());
    let all = done(&mut command);
    let said = std::fs::read_to_string(web.room.path().join("said")).unwrap_or_default();
    assert_eq!(all.code, Some(0), "{}{}{said}", all.stdout, all.stderr);
    assert_eq!(all.stdout.lines().count(), 18, "{}", all.stdout);
    for line in all.stdout.lines() {
        let code = if line.contains(" web status") { 1 } else { 0 };
        assert!(line.ends_with(&format!(": {code} alive")), "{}{said}", all.stdout);
    }
}
