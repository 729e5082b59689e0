//! The sidecar: it reports readiness, feeds the watchdog and warns of leaks. It is small, it is not the server's child,
//! and it ends with the server.

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::process::{
    self, PARENT, SESSION, children, descriptors, in_own_session, prepared, send, stat, strings, variable, with_copies,
};
use common::{Killed, Manager, Room, alive, answer, done, eventually, fixture, free_port, holds_within, left};

const SECOND: Duration = Duration::from_secs(1);

/// A service in a test room of its own.
struct Scene {
    room: Room,
    port: u16,
}

impl Scene {
    fn new() -> Self {
        Scene { room: Room::new(), port: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn health(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Writes forerun.toml with a health check and these keys in `[watch]`.
    fn watch(&self, keys: &str) {
        let text = format!("name = 'web'\n[health]\ncheck = '{}'\n[watch]\ninterval = '50ms'\n{keys}\n", self.health());
        self.room.file("forerun.toml", &text);
    }

    /// A start in the foreground without a terminal, as a supervisor makes it. Its stderr goes to `log`.
    fn command(&self, args: &[&str], fixture_args: &[&str]) -> Command {
        let mut command = self.room.forerun();
        command.args(["--foreground", "--name", "web"]).args(args).arg("--").arg(fixture());
        command.args(["serve", &self.port.to_string(), "--answer-pid"]).args(fixture_args);
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        in_own_session(&mut command);
        command
    }

    /// Runs the command and returns once the server answers.
    fn serve(&self, command: &mut Command) -> Killed {
        let child = Killed(command.spawn().expect("spawned"));
        eventually("it serves", || answer(self.port) == Some(child.pid()));
        child
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The number of log lines that contain all of `parts`.
    fn lines(&self, parts: &[&str]) -> usize {
        self.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    #[track_caller]
    fn says(&self, parts: &[&str]) {
        let said = holds_within(common::DEADLINE, || self.lines(parts) > 0);
        assert!(said, "no line with {parts:?} in:\n{}", self.log());
    }

    /// The sidecars of this room, without the children that make their attempts.
    fn sidecars(&self) -> Vec<i32> {
        let is_one = |pid: &i32| {
            let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            bytes.starts_with(b"forerun\0sidecar\0")
        };
        let all: Vec<_> = left(&self.room).into_iter().filter(is_one).collect();
        all.iter().copied().filter(|&pid| !all.contains(&parent(pid))).collect()
    }

    /// The only sidecar, once there is one.
    #[track_caller]
    fn sidecar(&self) -> i32 {
        eventually("there is one sidecar", || self.sidecars().len() == 1);
        self.sidecars()[0]
    }

    /// Makes a fixture with `--leak` do something, and waits until it is done.
    #[track_caller]
    fn leak(&self, what: &str) {
        let file = self.path("leak");
        std::fs::write(self.path("leak.new"), what).expect("written");
        std::fs::rename(self.path("leak.new"), &file).expect("renamed");
        eventually("the server did it", || !file.exists());
    }

    fn leak_option(&self) -> String {
        self.path("leak").display().to_string()
    }
}

fn parent(pid: i32) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// The next message that has this line.
#[track_caller]
fn message(manager: &Manager, line: &str) -> String {
    let begun = Instant::now();
    while begun.elapsed() < common::DEADLINE {
        let Some(message) = manager.message(SECOND) else { continue };
        if message.lines().any(|l| l == line || (line.starts_with("STATUS=") && l.starts_with(line))) {
            return message;
        }
    }
    panic!("no message with {line}");
}

/// Whether a message that has this line arrives within `limit`.
fn hears(manager: &Manager, line: &str, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if manager.message(left).is_some_and(|message| message.lines().any(|l| l == line)) {
            return true;
        }
    }
    false
}

#[test]
fn readiness_is_reported_when_the_server_is_healthy_and_then_the_sidecar_ends() {
    let scene = Scene::new();
    let (manager, go) = (Manager::new(&scene.room), scene.path("go"));
    let mut command = scene.command(&["--health", &scene.health()], &["--when", go.to_str().expect("UTF-8")]);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_PID", "1").env("WATCHDOG_USEC", "1000000");
    let child = Killed(command.spawn().expect("spawned"));
    assert_eq!(manager.message(common::DEADLINE).as_deref(), Some("NOTIFYACCESS=all\n"));
    let starting = message(&manager, "STATUS=");
    assert!(starting.starts_with("STATUS=starting: waiting for 'http"), "{starting}");
    assert!(starting.contains("\nEXTEND_TIMEOUT_USEC=1"), "{starting}");
    // The watchdog belongs to another process.
    assert!(!starting.contains("WATCHDOG"), "{starting}");
    scene.sidecar();
    assert!(!hears(&manager, "READY=1", SECOND / 2));
    std::fs::write(go, "").expect("written");
    let ready = message(&manager, "READY=1");
    assert!(ready.contains("\nSTATUS=healthy: 'http"), "{ready}");
    assert_eq!(manager.message(common::DEADLINE).as_deref(), Some("BARRIER=1"));
    eventually("the sidecar is gone", || scene.sidecars().is_empty());
    let pid = child.pid();
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        assert_eq!(variable(pid, name), None, "{name}");
    }
    assert_eq!((children(pid), answer(scene.port)), (vec![], Some(pid)));
}

#[test]
fn only_the_chosen_speaker_reports_readiness() {
    for (args, has_health) in [(&["--notify", "server"][..], true), (&[], false), (&["--notify", "auto"], false)] {
        let scene = Scene::new();
        let (manager, health) = (Manager::new(&scene.room), scene.health());
        let with_health = [args, &["--health", &health]].concat();
        let mut command = scene.command(if has_health { &with_health } else { args }, &[]);
        command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "1000000");
        let child = scene.serve(&mut command);
        assert_eq!(variable(child.pid(), "NOTIFY_SOCKET"), manager.path.to_str().map(str::to_owned));
        assert_eq!(variable(child.pid(), "WATCHDOG_USEC").as_deref(), Some("1000000"));
        assert_eq!((manager.message(SECOND / 5), scene.sidecars()), (None, vec![]));
    }
}

#[test]
fn the_socket_of_another_unit_is_left_alone() {
    let scene = Scene::new();
    let manager = Manager::new(&scene.room);
    let mut command = scene.command(&["--health", &scene.health()], &[]);
    command.env("NOTIFY_SOCKET", &manager.path).env("SYSTEMD_EXEC_PID", "1");
    let _child = scene.serve(&mut command);
    assert_eq!((manager.message(SECOND / 5), scene.sidecars()), (None, vec![]));
}

#[test]
fn options_for_the_sidecar_need_a_health_check() {
    let room = Room::new();
    for args in [&["--notify", "sidecar"][..], &["--ready-fd", "3"]] {
        let args = [&["--foreground"], args, &["--", "true"]].concat();
        room.run(&args).expect_code(2).expect_line(&["needs a health check", args[1], "--health"]);
    }
    for (number, part) in [("2", "no descriptor for readiness"), ("x", "--ready-fd")] {
        let args = ["--foreground", "--health", "tcp:localhost:1", "--ready-fd", number, "--", "true"];
        room.run(&args).expect_code(2).expect_line(&[part]);
    }
    let args = ["--foreground", "--health", "tcp:localhost:1", "--ready-fd", "77", "--", "true"];
    room.run(&args).expect_code(78).expect_line(&["'77' of --ready-fd", "is not open"]);
    room.run(&["sidecar", "web", "1"])
        .expect_code(2)
        .expect_line(&["'sidecar' is internal: forerun starts it", "--watch"]);
}

#[test]
fn the_watchdog_is_fed_while_it_is_healthy_and_only_then() {
    let scene = Scene::new();
    let (manager, sick) = (Manager::new(&scene.room), scene.path("sick"));
    let mut command = scene.command(&["--health", &scene.health()], &["--sick", sick.to_str().expect("UTF-8")]);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "600000");
    let _child = scene.serve(&mut command);
    message(&manager, "READY=1");
    for _ in 0..4 {
        let begun = Instant::now();
        message(&manager, "WATCHDOG=1");
        assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    }
    std::fs::write(&sick, "").expect("written");
    message(&manager, "STATUS=not healthy: ");
    scene.says(&["'web' is not healthy: 'http", "status 500, 3 attempts in a row; the watchdog is no longer fed"]);
    assert!(!hears(&manager, "WATCHDOG=1", SECOND));
    std::fs::remove_file(&sick).expect("removed");
    message(&manager, "WATCHDOG=1");
    scene.says(&["'web' is healthy again after"]);
}

#[test]
fn a_newline_on_the_ready_descriptor_says_that_it_is_healthy() {
    let scene = Scene::new();
    let go = scene.path("go");
    let (read, write) = std::io::pipe().expect("a pipe");
    let health = scene.health();
    let args = ["--health", &health, "--ready-fd", "9"];
    let mut command = scene.command(&args, &["--when", go.to_str().expect("UTF-8")]);
    with_copies(&mut command, &write, &[9]);
    let child = Killed(command.spawn().expect("spawned"));
    drop((write, command));
    let sidecar = scene.sidecar();
    assert!(descriptors(sidecar).contains_key(&9));
    eventually("the server is executed", || process::read(child.pid(), "comm").starts_with(b"fixture"));
    assert!(!descriptors(child.pid()).contains_key(&9));
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut { read }, &mut text);
        let _ = said.send(text);
    });
    assert!(heard.recv_timeout(SECOND / 2).is_err(), "it was said too early");
    std::fs::write(go, "").expect("written");
    assert_eq!(heard.recv_timeout(common::DEADLINE).as_deref(), Ok("\n"));
    eventually("the sidecar is gone", || scene.sidecars().is_empty());
    assert!(alive(child.pid()));
}

#[test]
fn a_sidecar_is_nobodys_child_and_has_nothing_of_the_servers() {
    let scene = Scene::new();
    scene.watch("");
    let (read, write) = std::io::pipe().expect("a pipe");
    let mut command = scene.command(&[], &[]);
    prepared(with_copies(&mut command, &write, &[9]), || {
        // SAFETY: integers, and a disposition that is valid. A supervisor may start forerun in this state.
        unsafe {
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
            let mut set = std::mem::zeroed();
            libc::sigfillset(&mut set);
            libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        }
    });
    let child = scene.serve(&mut command);
    drop((read, write));
    let sidecar = scene.sidecar();
    let (pid, args) = (child.pid().to_string(), strings(sidecar, "cmdline"));
    assert_eq!(args, [&b"forerun"[..], b"sidecar", b"web", pid.as_bytes()]);
    assert_eq!(process::read(sidecar, "comm"), b"forerun\n");
    assert_eq!(stat(sidecar, SESSION), i64::from(sidecar));
    assert_ne!(stat(sidecar, PARENT), i64::from(child.pid()));
    assert_eq!(children(child.pid()), [0; 0]);
    assert_eq!(variable(sidecar, "FORERUN_INSTANCE"), None);
    assert_eq!(std::fs::read_link(format!("/proc/{sidecar}/cwd")).expect("a folder"), PathBuf::from("/"));
    for key in ["SigBlk", "SigIgn"] {
        let set = u64::from_str_radix(&process::status(sidecar, key), 16).expect("a set");
        // The C library owns 32 and 33 and lets nobody change them.
        assert_eq!(set & !(0b11 << 31), 0, "{key}: {set:x}");
    }
    let all = descriptors(sidecar);
    let of = |number| all.get(&number).map(|path| path.display().to_string());
    assert_eq!([of(0), of(1)], ["/dev/null", "/dev/null"].map(|p| Some(p.to_owned())));
    assert_eq!(of(2), scene.path("log").to_str().map(str::to_owned));
    assert_eq!(of(9), None);
    let limits = String::from_utf8(process::read(sidecar, "limits")).expect("UTF-8");
    let nofile = limits.lines().find(|l| l.starts_with("Max open files")).expect("a limit");
    assert_eq!(nofile.split_whitespace().nth(3), Some("64"), "{nofile}");
    let smaps = String::from_utf8(process::read(sidecar, "smaps_rollup")).expect("UTF-8");
    let anonymous = smaps.lines().find_map(|l| l.strip_prefix("Anonymous:")).expect("a size");
    let anonymous: u64 = anonymous.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(anonymous <= 512, "{anonymous} KiB");
    // On SIGTERM the sidecar leaves at once, and the server does not notice.
    send(sidecar, libc::SIGTERM);
    eventually("it has left", || !alive(sidecar));
    assert_eq!(answer(scene.port), Some(child.pid()));
}

#[test]
fn it_ends_with_the_server_and_ends_what_the_server_left_behind() {
    for (ignores, signal) in [(false, libc::SIGKILL), (true, libc::SIGKILL), (false, libc::SIGTERM)] {
        let scene = Scene::new();
        scene.watch("");
        let ignore: &[&str] = if ignores { &["--ignore-term"] } else { &[] };
        let mut command = scene.command(&["--grace", "200ms"], &[&["--workers", "3"], ignore].concat());
        let child = scene.serve(&mut command);
        let sidecar = scene.sidecar();
        // What listens is known from the look at readiness on.
        eventually("it is ready", || !scene.room.record("web")["ready"].is_null());
        let workers = children(child.pid());
        assert_eq!(workers.len(), 3);
        send(child.pid(), signal);
        let ended = holds_within(common::DEADLINE, || left(&scene.room).iter().all(|&pid| pid == child.pid()));
        assert!(ended, "{signal}: {:?}: {}", left(&scene.room), scene.log());
        // A process that ends loses its environment a moment before it is gone.
        eventually("all are gone", || !alive(sidecar) && !workers.iter().any(|&pid| alive(pid)));
        scene.says(&["stopped 3 processes of 'web', pid"]);
    }
}

#[test]
fn the_end_of_a_sidecar_does_not_end_the_server() {
    let scene = Scene::new();
    scene.watch("");
    let child = scene.serve(&mut scene.command(&[], &[]));
    let sidecar = scene.sidecar();
    send(sidecar, libc::SIGKILL);
    eventually("it is gone", || scene.sidecars().is_empty());
    assert_eq!(answer(scene.port), Some(child.pid()));
    assert_eq!(children(child.pid()), [0; 0]);
}

#[test]
fn leaking_descriptors_are_reported_once_and_again_when_they_double() {
    let scene = Scene::new();
    let (manager, leak) = (Manager::new(&scene.room), scene.leak_option());
    let file = scene.room.file("state.db", "").display().to_string();
    scene.watch("max-fds = 30");
    let mut command = scene.command(&[], &["--leak", &leak]);
    command.env("NOTIFY_SOCKET", &manager.path);
    let child = scene.serve(&mut command);
    message(&manager, "READY=1");
    scene.leak(&format!("files 30 {file}"));
    let part = ": 30 state.db, ";
    scene.says(&["warning: 'web' leaks: ", " descriptors", part]);
    let status = message(&manager, "STATUS=");
    assert!(status.contains(" descriptors") && status.contains(part), "{status}");
    let crossed = || scene.lines(&["leaks: "]);
    scene.leak(&format!("files 5 {file}"));
    assert!(!holds_within(SECOND / 2, || crossed() > 1), "{}", scene.log());
    scene.leak(&format!("files 60 {file}"));
    scene.says(&[": 95 state.db, ", " more than at first"]);
    scene.leak("close");
    scene.says(&["'web' is within its limits again"]);
    assert_eq!(crossed(), 2, "{}", scene.log());
    assert_eq!(answer(scene.port), Some(child.pid()));
}

#[test]
fn leaking_terminals_and_processes_are_reported() {
    let scene = Scene::new();
    scene.watch("max-ptys = 3\nmax-processes = 5");
    let _child = scene.serve(&mut scene.command(&[], &["--leak", &scene.leak_option()]));
    scene.sidecar();
    scene.leak("ptys 4");
    scene.says(&["'web' leaks: 4 pseudo-terminals (limit 3)"]);
    scene.leak("zombies 5\nworkers 2");
    scene.says(&["'web' leaks: ", " processes (limit 5): ", "not reaped"]);
}

#[test]
fn a_leak_that_lasts_ends_a_supervised_server_and_no_other() {
    for supervised in [true, false] {
        let scene = Scene::new();
        let file = scene.room.file("state.db", "").display().to_string();
        scene.watch("max-fds = 30\ngrace = '300ms'\non-leak = 'restart'");
        let leak = scene.leak_option();
        let pid = match supervised {
            true => {
                let mut child = scene.serve(&mut scene.command(&[], &["--leak", &leak]));
                scene.sidecar();
                scene.leak(&format!("files 40 {file}"));
                eventually("it is ended", || !child.is_well());
                scene.says(&["ending 'web', pid", "it has leaked for 300ms; its supervisor starts it again"]);
                continue;
            }
            false => {
                let port = scene.port.to_string();
                let fixture = fixture().display().to_string();
                let args = ["--detach", "--", &fixture, "serve", &port, "--answer-pid", "--leak", &leak];
                scene.room.run(&args).expect_code(0);
                answer(scene.port).expect("it serves")
            }
        };
        let log = || std::fs::read_to_string(scene.room.state().join("web/server.log")).unwrap_or_default();
        scene.leak(&format!("files 40 {file}"));
        eventually("it is told in the log", || log().contains("warning: 'web' leaks: "));
        assert!(!holds_within(SECOND, || answer(scene.port) != Some(pid)), "{}", log());
        let status = scene.room.run(&["status", "web"]).expect_code(0).stdout;
        assert!(status.contains("watched by the sidecar, pid ") && !status.contains("worker"), "{status}");
        scene.room.run(&["stop", "web"]).expect_code(0);
        eventually("nothing is left", || left(&scene.room).is_empty());
    }
}

#[test]
fn recovery_within_the_grace_cancels_and_time_asleep_does_not_count() {
    let scene = Scene::new();
    let file = scene.room.file("state.db", "").display().to_string();
    scene.watch("max-fds = 30\ngrace = '3s'\non-leak = 'restart'");
    let mut child = scene.serve(&mut scene.command(&[], &["--leak", &scene.leak_option()]));
    let sidecar = scene.sidecar();
    scene.leak(&format!("files 40 {file}"));
    scene.says(&["forerun ends it in 3s unless that recovers"]);
    // The machine seems to sleep: the sidecar cannot observe the leak for the whole grace.
    send(sidecar, libc::SIGSTOP);
    let begun = Instant::now();
    eventually("the grace is over", || begun.elapsed() > Duration::from_secs(4));
    send(sidecar, libc::SIGCONT);
    assert!(!holds_within(SECOND / 2, || !child.is_well()), "{}", scene.log());
    scene.leak("close");
    scene.says(&["'web' is within its limits again"]);
    assert!(!holds_within(Duration::from_secs(3), || !child.is_well()), "{}", scene.log());
}

#[test]
fn an_unhealthy_server_is_ended_after_the_grace_with_a_reason() {
    let scene = Scene::new();
    let sick = scene.path("sick");
    scene.watch("unhealthy-after = 2\ngrace = '300ms'\non-unhealthy = 'restart'");
    let options = ["--sick", sick.to_str().expect("UTF-8")];
    let mut child = scene.serve(&mut scene.command(&[], &options));
    scene.sidecar();
    eventually("it was healthy", || scene.room.state().join("web/record.json").exists());
    assert!(!holds_within(SECOND, || !child.is_well()));
    std::fs::write(&sick, "").expect("written");
    eventually("it is ended", || !child.is_well());
    scene.says(&["status 500, 2 attempts in a row; forerun ends it in 300ms unless it recovers"]);
    scene.says(&["ending 'web', pid", "it has not been healthy for 300ms (status 500)"]);
}

#[test]
fn the_command_before_a_stop_runs_before_an_unhealthy_server_is_ended() {
    let scene = Scene::new();
    let sick = scene.path("sick");
    let before = "kill -0 $(cat pid) && echo ${FORERUN_INSTANCE-none} > before; echo is drained >&2; exit 3";
    let keys = "unhealthy-after = 1\ngrace = '1ms'\non-unhealthy = 'restart'";
    scene.watch(&format!("{keys}\n[stop]\nbefore = '{before}'"));
    let options = ["--sick", sick.to_str().expect("UTF-8")];
    let mut child = scene.serve(&mut scene.command(&[], &options));
    scene.sidecar();
    scene.room.file("pid", &child.pid().to_string());
    eventually("it was healthy", || scene.room.state().join("web/record.json").exists());
    assert!(!holds_within(SECOND, || !child.is_well()));
    std::fs::write(&sick, "").expect("written");
    eventually("it is ended", || !child.is_well());
    scene.says(&["before the stop of 'web': "]);
    scene.says(&["is drained"]);
    scene.says(&["the command before the stop of 'web' failed: exited with status 3; stopping it all the same"]);
    assert_eq!(std::fs::read_to_string(scene.room.path().join("before")).expect("it ran"), "none\n");
}

#[test]
fn quiet_never_silences_a_sidecar() {
    let scene = Scene::new();
    let file = scene.room.file("state.db", "").display().to_string();
    scene.watch("max-fds = 30\ngrace = '300ms'\non-leak = 'restart'");
    let mut child = scene.serve(&mut scene.command(&["-q"], &["--leak", &scene.leak_option()]));
    scene.sidecar();
    scene.leak(&format!("files 40 {file}"));
    scene.says(&["warning: 'web' leaks: "]);
    scene.says(&["warning: ending 'web', pid"]);
    eventually("it is ended", || !child.is_well());
    scene.says(&["stopped 1 process of 'web', pid"]);
}

#[test]
fn a_server_that_was_never_healthy_is_never_ended() {
    let scene = Scene::new();
    scene.watch("unhealthy-after = 1\ngrace = '1ms'\non-unhealthy = 'restart'");
    let mut child = scene.serve(&mut scene.command(&["--health-timeout", "300ms"], &["--status", "503"]));
    scene.says(&[
        "'web' is not healthy: 'http",
        "status 503, ",
        " after its start; checking again every 50ms; if it needs longer to start, raise --health-timeout",
    ]);
    assert!(!holds_within(SECOND, || !child.is_well()), "{}", scene.log());
    assert_eq!(scene.lines(&["is not healthy"]), 1, "{}", scene.log());
}

#[test]
fn refused_silent_wrong_status_and_wrong_body_have_different_reasons() {
    let scene = Scene::new();
    let sick = scene.path("sick");
    scene.watch("unhealthy-after = 1");
    let options = ["--sick", sick.to_str().expect("UTF-8")];
    let child = scene.serve(&mut scene.command(&[], &options));
    scene.sidecar();
    eventually("it was healthy", || scene.lines(&["not healthy"]) == 0 && scene.sidecars().len() == 1);
    assert!(!holds_within(SECOND / 2, || scene.lines(&["not healthy"]) > 0), "{}", scene.log());
    std::fs::write(&sick, "").expect("written");
    scene.says(&["is not healthy", "status 500"]);
    std::fs::remove_file(&sick).expect("removed");
    scene.says(&["healthy again"]);
    send(child.pid(), libc::SIGSTOP);
    scene.says(&["is not healthy", "no answer within 50ms"]);
    send(child.pid(), libc::SIGCONT);
    let other = Scene::new();
    other.watch("");
    let health = other.health();
    let args = ["--health-body", "elsewhere", "--health-timeout", "300ms", "--health", &health];
    let _child = other.serve(&mut other.command(&args, &[]));
    other.says(&["is not healthy", "status 200, and the body does not contain 'elsewhere'"]);
    let nobody = Scene::new();
    let health = format!("http://127.0.0.1:{}/", free_port());
    let port = nobody.port.to_string();
    let args = ["--watch", "--health-timeout", "300ms", "--port", &port, "--health", &health];
    let _child = nobody.serve(&mut nobody.command(&args, &[]));
    nobody.says(&["is not healthy", "Connection refused"]);
}

#[test]
fn readiness_is_never_reported_for_a_stranger() {
    let scene = Scene::new();
    let (manager, go) = (Manager::new(&scene.room), scene.path("go"));
    // A process with the same start time, as the kernel reports it, could belong to the server.
    process::let_a_tick_pass(std::process::id() as i32);
    let mut command = scene.room.forerun();
    command.args(["--foreground", "--name", "web", "--health", &scene.health(), "--health-timeout", "2s"]);
    command
        .args(["--wait", &format!("file:{}", go.display()), "--", "sleep", "1000"])
        .env("NOTIFY_SOCKET", &manager.path);
    command.stdout(Stdio::null()).stderr(std::fs::File::create(scene.path("log")).expect("a log"));
    let _child = Killed(in_own_session(&mut command).spawn().expect("spawned"));
    eventually("it waits", || {
        manager.message(SECOND).is_some_and(|message| message.contains("STATUS=waiting for file:"))
    });
    // The test process is older than the server, and takes the server's port.
    let listener = std::net::TcpListener::bind(("127.0.0.1", scene.port)).expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Read::read(&mut stream, &mut [0; 1024]);
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    std::fs::write(&go, "").expect("written");
    let us = format!("pid {} (", std::process::id());
    scene.says(&["'web' is not healthy: 'http", &us, ") answers, not the server"]);
    assert!(!hears(&manager, "READY=1", Duration::from_secs(3)));
}

#[test]
fn as_pid_1_there_is_none_and_forerun_says_ready_itself() {
    skip_unless!(common::is_root(), "it needs root for a pid namespace");
    let scene = Scene::new();
    let manager = Manager::new(&scene.room);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(env!("CARGO_BIN_EXE_forerun"));
    command.args(["--foreground", "--name", "web", "--health", &scene.health(), "--"]).arg(fixture());
    command.args(["serve", &scene.port.to_string(), "--answer-pid"]);
    command.env("FORERUN_STATE_DIR", scene.room.state()).env("NOTIFY_SOCKET", &manager.path);
    command.env_remove("INVOCATION_ID").stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(scene.path("log")).expect("a log"));
    let _child = Killed(command.spawn().expect("spawned"));
    message(&manager, "READY=1");
    eventually("it serves", || answer(scene.port) == Some(1));
    scene.says(&["cannot start the sidecar: as pid 1 the server would become its parent", "continuing without it"]);
    let server = common::process::with_entry(&format!("NOTIFY_SOCKET={}", manager.path.display()));
    assert!(!server.is_empty(), "the server has lost its socket");
}

#[test]
fn a_server_that_runs_its_start_script_again_keeps_its_sidecar() {
    let scene = Scene::new();
    scene.watch("");
    let (again, script) = (scene.path("again"), scene.path("server"));
    let port = scene.port.to_string();
    // The first time it waits for the file. The second time it is the server.
    let text = format!(
        "#!/bin/sh\nif [ ! -e {again} ]; then touch {again}; exec {forerun} --foreground -- {script}; fi\n\
         exec {fixture} serve {port} --answer-pid\n",
        again = again.display(),
        forerun = common::Forerun,
        script = script.display(),
        fixture = fixture().display()
    );
    scene.room.executable("server", &text);
    let mut command = scene.room.forerun();
    command.args(["--foreground", "--"]).arg(&script).stdout(Stdio::null());
    command.stderr(std::fs::File::create(scene.path("log")).expect("a log"));
    let child = Killed(in_own_session(&mut command).spawn().expect("spawned"));
    eventually("it serves", || answer(scene.port) == Some(child.pid()));
    let sidecar = scene.sidecar();
    assert_eq!(scene.room.record("web")["sidecar"]["pid"], sidecar);
    eventually("it is the only one", || scene.sidecars() == [sidecar]);
}

#[test]
fn it_starts_with_next_to_nothing() {
    for prepare in ["ulimit -n 12", "exec <&- >&- 2>&-", "ulimit -c 0; cd /"] {
        let scene = Scene::new();
        let script = format!(
            "{prepare}; exec env -i FORERUN_STATE_DIR={} {} --foreground --name web --watch --health {} -- {} serve {} \
             --answer-pid",
            scene.room.state().display(),
            common::Forerun,
            scene.health(),
            fixture().display(),
            scene.port
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = Killed(in_own_session(&mut command).spawn().expect("spawned"));
        eventually("it serves", || answer(scene.port) == Some(child.pid()));
        let sidecar = scene.sidecar();
        send(child.pid(), libc::SIGTERM);
        eventually("it is gone", || !alive(sidecar));
    }
}

#[test]
fn in_a_time_namespace_it_works_as_elsewhere() {
    let works = Command::new("unshare").args(["-T", "--boottime", "1000000", "true"]).stderr(Stdio::null()).status();
    skip_unless!(works.is_ok_and(|s| s.success()), "time namespaces are not permitted");
    let scene = Scene::new();
    let file = scene.room.file("state.db", "").display().to_string();
    scene.watch("max-fds = 30\ngrace = '1s'\non-leak = 'restart'");
    let inner = scene.command(&[], &["--leak", &scene.leak_option()]);
    let mut command = Command::new("unshare");
    command.args(["-T", "--boottime", "1000000", "--"]).arg(inner.get_program()).args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(scene.room.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(scene.path("log")).expect("a log"));
    let mut child = Killed(in_own_session(&mut command).spawn().expect("spawned"));
    eventually("it serves", || answer(scene.port) == Some(child.pid()));
    scene.sidecar();
    assert!(!holds_within(SECOND, || !child.is_well()), "{}", scene.log());
    let begun = Instant::now();
    scene.leak(&format!("files 40 {file}"));
    eventually("it is ended", || !child.is_well());
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn an_invalid_watch_table_is_an_error_with_its_line() {
    let room = Room::new();
    for (text, part) in [
        ("[watch]\ninterval = '0s'", "line 2: an 'interval' is at least 10ms"),
        ("[watch]\nunhealthy-after = 0", "line 2: 'unhealthy-after' counts attempts"),
        ("[watch]\nmax-fds = '0%'", "line 2: '0%' is neither"),
        ("[watch]\non-leak = 'kill'", "line 2: on-leak is \"restart\" or \"warn\", not 'kill'"),
        ("[watch]\nmax-ptys = -1", "line 2: max-ptys is a whole number: 64"),
        ("notify = 'me'", "line 1: notify is \"auto\", \"sidecar\" or \"server\", not 'me'"),
        ("ready-fd = 1", "line 1: 1 is no descriptor for readiness"),
    ] {
        room.file("forerun.toml", &format!("{text}\n"));
        room.run(&["--foreground", "--", "true"]).expect_code(78).expect_line(&[part]);
    }
    room.file("forerun.toml", "[watch]\non-unhealthy = 'restart'\n");
    let said = done(room.forerun().args(["--dry-run", "--", "true"])).expect_code(0);
    said.expect_line(&["'on-unhealthy' has no effect without a health check"]);
}
