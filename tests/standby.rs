//! Standby: a start by a supervisor whose name or port is held waits until the holder ends, and then takes over.

mod common;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::process::{self, in_own_session, send, variable, with_plain_signals};
use common::terminal::Terminal;
use common::{
    DEADLINE, Manager, Room, accepts, alive, answer, done, eventually, fixture, free_port, has, holds_within, is_root,
    left, witness,
};

const FORERUN: common::Forerun = common::Forerun;

/// The longest time from the holder's end to the standby's exec.
const SOON: Duration = Duration::from_millis(100);

/// A forerun that stands by, and its output. Killed when dropped.
struct Forerun {
    child: Child,
    said: PathBuf,
}

impl Forerun {
    fn start(room: &Room, command: &mut Command) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let said = room.path().join(format!("said-{}", COUNT.fetch_add(1, Ordering::SeqCst)));
        let stderr = std::fs::File::create(&said).expect("a file");
        with_plain_signals(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        Forerun { child: command.spawn().expect("spawned"), said }
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.said).expect("UTF-8")
    }

    /// The complete lines so far.
    fn lines(&self) -> Vec<String> {
        let text = self.text();
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| line.trim_end().to_owned()).collect()
    }

    /// Waits until it prints that it stands by. That is the only line so far, and is returned.
    #[track_caller]
    fn stands_by(&mut self) -> String {
        let there = holds_within(DEADLINE, || !self.lines().is_empty() || !self.runs());
        assert!(there && self.runs(), "it does not stand by: {:?}: {}", self.child.try_wait(), self.text());
        let lines = self.lines();
        assert!(lines.len() == 1 && lines[0].starts_with("forerun: standby: "), "{lines:?}");
        lines[0].clone()
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().expect("waited").is_none()
    }

    fn program(&self) -> PathBuf {
        std::fs::read_link(format!("/proc/{}/exe", self.pid())).unwrap_or_default()
    }

    /// Waits until it has become its server.
    #[track_caller]
    fn becomes(&mut self, program: &Path) {
        let there = holds_within(DEADLINE, || self.program() == common::is(program) || !self.runs());
        assert!(there && self.runs(), "{:?}: {}", self.child.try_wait(), self.text());
    }

    #[track_caller]
    fn end(&mut self, signal: i32) -> ExitStatus {
        send(self.pid(), signal);
        self.ended()
    }

    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().expect("waited");
            status.is_some()
        });
        status.expect("a status")
    }

    /// Waits until it has exited with this code.
    #[track_caller]
    fn exits(&mut self, code: i32) {
        let status = self.ended();
        assert_eq!(status.code(), Some(code), "{status}: {}", self.text());
    }
}

impl Drop for Forerun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server on a port, as a command line. It is the same for each start of one service.
fn service(port: u16) -> Vec<String> {
    let health = format!("http://127.0.0.1:{port}/");
    let program = fixture().display().to_string();
    ["--name", "web", "--health", &health, "--", &program, "serve", &port.to_string(), "--answer-pid"]
        .map(str::to_owned)
        .to_vec()
}

/// A start of the service in the foreground, without a terminal and without a supervisor.
fn by_hand(room: &Room, port: u16, options: &[&str]) -> Command {
    let mut command = room.forerun();
    command.args(options).args(service(port));
    in_own_session(&mut command);
    command
}

/// A start of the service under a supervisor.
fn supervised(room: &Room, port: u16, options: &[&str]) -> Command {
    let mut command = by_hand(room, port, options);
    command.env("INVOCATION_ID", "0123");
    command
}

/// The same, with a service manager to notify.
fn notified(room: &Room, port: u16, options: &[&str], manager: &Manager) -> Command {
    let mut command = supervised(room, port, options);
    command.env("NOTIFY_SOCKET", &manager.path);
    command
}

/// A start under a supervisor that guards a port and becomes the witness of a file.
fn guarding(room: &Room, port: u16, options: &[&str]) -> (Command, PathBuf) {
    guarding_as("web", room, port, options)
}

fn guarding_as(name: &str, room: &Room, port: u16, options: &[&str]) -> (Command, PathBuf) {
    let file = room.path().join(format!("seen-{name}"));
    let mut command = room.forerun();
    command.args(["--name", name, "--port", &port.to_string()]).args(options).arg("--").arg(witness()).arg(&file);
    command.env("INVOCATION_ID", "0123");
    in_own_session(&mut command);
    (command, file)
}

/// Starts a healthy detached instance of the service and returns its pid.
#[track_caller]
fn detached(room: &Room, port: u16) -> i32 {
    done(room.forerun().arg("--detach").args(service(port))).expect_code(0);
    recorded(room)
}

/// The pid of the server in the record.
#[track_caller]
fn recorded(room: &Room) -> i32 {
    room.record("web")["process"]["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

#[track_caller]
fn kill(pid: i32) {
    send(pid, libc::SIGKILL);
    eventually("it is gone", || !alive(pid));
}

/// A process that is not ours and listens on the port.
fn stranger(port: u16) -> common::Killed {
    let mut command = Command::new(fixture());
    let child = command.args(["serve", &port.to_string()]).stdout(Stdio::null()).spawn().expect("spawned");
    eventually("the stranger listens", || accepts(port));
    common::Killed(child)
}

/// A bound socket that does not listen. Nobody can see whose it is.
fn bound(port: u16) -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("bound");
    socket
}

/// Waits for a message that has all of `parts`, and returns the messages before it.
#[track_caller]
fn message(manager: &Manager, parts: &[&str]) -> Vec<String> {
    let begun = Instant::now();
    let mut seen = Vec::new();
    while begun.elapsed() < DEADLINE {
        let Some(message) = manager.message(Duration::from_secs(1)) else { continue };
        let found = parts.iter().all(|part| message.contains(part));
        seen.push(message);
        if found {
            return seen;
        }
    }
    panic!("no message with {parts:?} in {seen:?}");
}

/// All messages that arrive within a time.
fn messages(manager: &Manager, time: Duration) -> Vec<String> {
    let begun = Instant::now();
    let mut seen = Vec::new();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        seen.extend(manager.message(left));
    }
    seen
}

// Which starts stand by, and behind which holders.

#[test]
fn every_supervised_start_stands_by_behind_a_detached_instance() {
    let room = Room::new();
    let port = free_port();
    let holder = detached(&room, port);
    let runsv = room.fixture_called("runsv");
    let start = |options: &[&str], variables: &[(&str, &str)]| {
        let mut command = by_hand(&room, port, options);
        command.envs(variables.iter().copied());
        command
    };
    let mut child_of_runsv = Command::new(runsv);
    child_of_runsv.args(["run", env!("CARGO_BIN_EXE_forerun")]).args(service(port)).current_dir(room.path());
    child_of_runsv.env_clear().env("FORERUN_STATE_DIR", room.state()).env("PATH", "/usr/bin:/bin");
    for (what, mut command) in [
        ("launchd's socket", start(&[], &[("LAUNCHD_SOCKET", "/x")])),
        ("NOTIFY_SOCKET", start(&[], &[("NOTIFY_SOCKET", "/nonexistent")])),
        ("INVOCATION_ID", start(&[], &[("INVOCATION_ID", "0123")])),
        ("launchd", start(&[], &[("XPC_SERVICE_NAME", "org.example.web"), ("LAUNCHD_SOCKET", "/x")])),
        ("supervisord", start(&[], &[("SUPERVISOR_ENABLED", "1")])),
        ("runit", child_of_runsv),
        ("--foreground without a terminal", start(&["--foreground"], &[])),
        ("--foreground below a supervisor", start(&["--foreground"], &[("INVOCATION_ID", "0123")])),
    ] {
        eprintln!("{what}");
        let mut standby = Forerun::start(&room, &mut command);
        let line = standby.stands_by();
        let who = format!("the name 'web' is held by pid {holder} ({}", fixture().display());
        assert!(line.contains(&who) && line.ends_with(", detached; stop it: forerun stop web"), "{what}: {line}");
        // Under runsv the process that was started is the parent.
        for pid in left(&room).into_iter().filter(|&pid| pid != holder) {
            send(pid, libc::SIGTERM);
        }
        standby.ended();
    }
    assert_eq!(answer(port), Some(holder));
}

#[test]
fn a_supervised_start_stands_by_behind_a_supervised_instance_and_names_its_supervisor() {
    let room = Room::new();
    let port = free_port();
    let mut holder = by_hand(&room, port, &[]);
    holder.env("SUPERVISOR_ENABLED", "1").env("SUPERVISOR_PROCESS_NAME", "web").env("SUPERVISOR_GROUP_NAME", "sites");
    let holder = Forerun::start(&room, &mut holder);
    eventually("it serves", || answer(port) == Some(holder.pid()));
    let mut standby = Forerun::start(&room, &mut supervised(&room, port, &[]));
    let line = standby.stands_by();
    let pid = holder.pid();
    assert!(line.contains(&format!("held by pid {pid} (")), "{line}");
    assert!(line.ends_with("under supervisord (sites:web); stop it: supervisorctl stop sites:web"), "{line}");
}

#[test]
fn a_supervised_start_stands_by_behind_a_stranger_on_any_address_and_takes_over_when_it_leaves() {
    for address in ["127.0.0.1", "::1", "0.0.0.0", "::"] {
        let room = Room::new();
        let port = free_port();
        let listener = TcpListener::bind((address.parse::<IpAddr>().expect("an address"), port)).expect("bound");
        let (mut command, file) = guarding(&room, port, &[]);
        let mut standby = Forerun::start(&room, &mut command);
        let line = standby.stands_by();
        let who = format!("port '{port}' is held by pid {} (", std::process::id());
        assert!(line.contains(&who) && line.ends_with("; stop it, or choose another port"), "{address}: {line}");
        assert!(!file.exists());
        drop(listener);
        process::appears(&file);
        standby.becomes(&witness());
    }
}

#[test]
fn a_supervised_start_stands_by_behind_a_socket_that_does_not_listen() {
    let room = Room::new();
    let port = free_port();
    let holder = bound(port);
    let (mut command, file) = guarding(&room, port, &[]);
    let mut standby = Forerun::start(&room, &mut command);
    let line = standby.stands_by();
    assert!(line.contains(&format!("port '{port}' is held by a socket that is bound and does not listen")), "{line}");
    drop(holder);
    process::appears(&file);
    assert_eq!(recorded(&room), standby.pid());
}

/// The start that guards the port, as another user who cannot see the holder.
fn as_nobody(room: &Room, port: u16, options: &[&str]) -> (Command, PathBuf) {
    let folder = room.path().join("nobody's");
    let _ = std::fs::create_dir(&folder);
    std::fs::set_permissions(room.path(), PermissionsExt::from_mode(0o755)).expect("readable");
    chown(&folder, Some(65534), Some(65534)).expect("given away");
    // This user may not be able to read the build folder.
    for (program, name) in [(PathBuf::from(env!("CARGO_BIN_EXE_forerun")), "forerun"), (witness(), "witness")] {
        if !folder.join(name).exists() {
            done(Command::new("cp").arg(program).arg(folder.join(name))).expect_code(0);
        }
    }
    let file = folder.join("seen");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(folder.join("forerun"));
    command.args(["--name", "web", "--port", &port.to_string()]).args(options).arg("--");
    command.arg(folder.join("witness")).arg(&file).current_dir(&folder);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("INVOCATION_ID", "0123");
    command.env("FORERUN_STATE_DIR", folder.join("state"));
    in_own_session(&mut command);
    (command, file)
}

#[test]
fn a_supervised_start_stands_by_behind_a_process_that_it_may_not_look_into() {
    skip_unless!(is_root() && has("setpriv"), "it needs root, and setpriv (util-linux)");
    let room = Room::new();
    let port = free_port();
    let mut holder = stranger(port);
    let (mut command, file) = as_nobody(&room, port, &[]);
    let mut standby = Forerun::start(&room, &mut command);
    let line = standby.stands_by();
    assert!(line.contains(&format!("port '{port}' is held by a process that we may not look into")), "{line}");
    assert!(!file.exists());
    holder.0.kill().expect("killed");
    process::appears(&file);
}

#[test]
fn a_start_that_is_not_supervised_exits_75_at_once() {
    let room = Room::new();
    let port = free_port();
    let holder = detached(&room, port);
    let held = format!("forerun: the name 'web' is held by pid {holder} (");
    let terminal = Terminal::open();
    let mut command = room.forerun();
    command.arg("--foreground").args(service(port));
    terminal.watch();
    let mut child = terminal.attach(&mut command).spawn().expect("spawned");
    assert_eq!(child.wait().expect("waited").code(), Some(75), "{}", terminal.shown());
    terminal.shows(&held);
    // A start that asks for the foreground without being supervised.
    let mut forced = by_hand(&room, port, &[]);
    done(forced.env("FORERUN_FOREGROUND", "1")).expect_code(75).expect_line(&[&held, "stop it: forerun stop web"]);
    assert_eq!(answer(port), Some(holder));
}

#[test]
fn on_conflict_says_who_stands_by_in_the_file_and_on_the_command_line() {
    let room = Room::new();
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("bound");
    let toml = |value: &str| room.file("forerun.toml", &format!("name = \"web\"\non-conflict = \"{value}\"\n"));
    let foreground = |options: &[&str]| {
        let mut command = by_hand(&room, port, options);
        command.env("FORERUN_FOREGROUND", "1");
        command
    };
    let fails = |mut command: Command| {
        let done = done(&mut command).expect_code(75).expect_line(&[&format!("port '{port}' is held by")]);
        assert!(!done.stderr.starts_with("forerun: standby"), "{}", done.stderr);
    };
    let waits = |mut command: Command| {
        Forerun::start(&room, &mut command).stands_by();
    };
    fails(foreground(&[]));
    waits(foreground(&["--on-conflict", "standby"]));
    waits(supervised(&room, port, &[]));
    fails(supervised(&room, port, &["--on-conflict", "fail"]));
    toml("fail");
    fails(supervised(&room, port, &[]));
    waits(supervised(&room, port, &["--on-conflict", "standby"]));
    toml("standby");
    waits(foreground(&[]));
    fails(foreground(&["--on-conflict", "fail"]));
    drop(listener);
}

#[test]
fn a_standby_that_was_asked_for_by_hand_on_a_terminal_takes_over() {
    let room = Room::new();
    let port = free_port();
    let holder = detached(&room, port);
    let terminal = Terminal::open();
    let mut command = room.forerun();
    command.args(["--foreground", "--on-conflict", "standby"]).args(service(port));
    terminal.watch();
    let child = terminal.attach(with_plain_signals(&mut command)).spawn().expect("spawned");
    let child = common::Killed(child);
    terminal.shows(&format!("forerun: standby: the name 'web' is held by pid {holder} ("));
    kill(holder);
    eventually("it serves", || answer(port) == Some(child.0.id() as i32));
}

// Taking over.

/// Measures ten times how long after the end of the holder the standby has executed its server. `next` makes a holder
/// and a standby behind it. `end` ends the holder and returns the time.
fn takeovers<H>(what: &str, program: &Path, mut next: impl FnMut() -> (H, Forerun), end: impl Fn(&mut H) -> Instant) {
    let mut ten = || {
        let mut took: Vec<Duration> = (0..10)
            .map(|_| {
                let (mut holder, mut standby) = next();
                standby.stands_by();
                let ended = end(&mut holder);
                loop {
                    if standby.program() == common::is(program) {
                        break;
                    }
                    assert!(ended.elapsed() < DEADLINE && standby.runs(), "{}", standby.text());
                    std::thread::sleep(Duration::from_micros(200));
                }
                ended.elapsed()
            })
            .collect();
        took.sort();
        eprintln!("{what}: takeovers took {took:?}");
        took[5] <= SOON
    };
    // What is late of its own accord is so each time; a machine that is busy is so for a while.
    assert!((0..5).any(|_| ten()), "{what}: later than {SOON:?}");
}

/// Takes over from one instance after another.
fn takeovers_of_instances(what: &str, end: impl Fn(i32, &Room) -> Instant) {
    let room = Room::new();
    let port = free_port();
    let next = || {
        // The holder has no supervisor that is recognised, because `forerun stop` would refuse then.
        let holder = detached(&room, port);
        (holder, Forerun::start(&room, &mut by_hand(&room, port, &["--foreground"])))
    };
    takeovers(what, &fixture(), next, |&mut holder| end(holder, &room));
}

fn signalled(pid: i32, signal: i32) -> Instant {
    let at = Instant::now();
    send(pid, signal);
    at
}

#[test]
fn a_holder_that_is_killed_is_followed_within_100_ms() {
    takeovers_of_instances("SIGKILL", |holder, _| signalled(holder, libc::SIGKILL));
}

#[test]
fn a_holder_that_is_terminated_is_followed_within_100_ms() {
    takeovers_of_instances("SIGTERM", |holder, _| signalled(holder, libc::SIGTERM));
}

#[test]
fn a_holder_that_is_stopped_is_followed_within_100_ms() {
    takeovers_of_instances("forerun stop", |holder, room| {
        let mut stop = room.forerun();
        let mut stop = stop.args(["stop", "web"]).stdout(Stdio::null()).spawn().expect("spawned");
        eventually("the holder ends", || !alive(holder));
        let at = Instant::now();
        assert!(stop.wait().expect("waited").success());
        at
    });
}

#[test]
fn a_stranger_that_ends_is_followed_within_100_ms() {
    let room = Room::new();
    let port = free_port();
    let next = || (stranger(port), Forerun::start(&room, &mut guarding(&room, port, &[]).0));
    takeovers("a stranger", &witness(), next, |holder| signalled(holder.0.id() as i32, libc::SIGKILL));
}

#[test]
fn a_holder_that_cannot_be_seen_is_followed_within_100_ms() {
    let room = Room::new();
    let port = free_port();
    let next = || (Some(bound(port)), Forerun::start(&room, &mut guarding(&room, port, &[]).0));
    takeovers("a socket that does not listen", &witness(), next, |holder| {
        drop(holder.take());
        Instant::now()
    });
}

#[test]
fn a_process_that_it_may_not_look_into_is_followed_within_100_ms() {
    skip_unless!(is_root() && has("setpriv"), "it needs root, and setpriv (util-linux)");
    for (what, port) in [("another user's", free_port()), ("another user's, privileged", privileged_port())] {
        let room = Room::new();
        let next = || (stranger(port), Forerun::start(&room, &mut as_nobody(&room, port, &[]).0));
        let program = room.path().join("nobody's/witness");
        takeovers(what, &program, next, |holder| signalled(holder.0.id() as i32, libc::SIGKILL));
    }
}

/// A free port that only root may bind.
fn privileged_port() -> u16 {
    let first = 600 + std::process::id() as u16 % 300;
    let mut ports = first..1024;
    ports.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).expect("a free port below 1024")
}

#[test]
fn the_checks_run_after_the_takeover() {
    let room = Room::new();
    let port = free_port();
    let holder = detached(&room, port);
    let options = ["--require", "exec:touch required; test -e there", "--wait", "exec:touch awaited; test -e go"];
    let mut standby = Forerun::start(&room, &mut supervised(&room, port, &options));
    standby.stands_by();
    // The requirement did not hold so far, but it was not tried.
    assert!(!room.path().join("required").exists());
    room.file("there", "");
    kill(holder);
    eventually("the wait begins", || room.path().join("awaited").exists());
    assert!(room.path().join("required").exists());
    assert_eq!(standby.program(), Path::new(env!("CARGO_BIN_EXE_forerun")));
    let record = room.record("web");
    assert_eq!((record["phase"].as_str(), recorded(&room)), (Some("starting"), standby.pid()));
    room.file("go", "");
    eventually("it serves", || answer(port) == Some(standby.pid()));
}

#[test]
fn a_requirement_that_does_not_hold_after_the_takeover_exits_78() {
    let room = Room::new();
    let port = free_port();
    let holder = detached(&room, port);
    let there = room.file("there", "");
    let mut standby = Forerun::start(&room, &mut supervised(&room, port, &["--require", "file:there"]));
    standby.stands_by();
    std::fs::remove_file(there).expect("removed");
    kill(holder);
    standby.exits(78);
    // The record of the holder still identifies what the holder may have left.
    assert_eq!(recorded(&room), holder);
}

#[test]
fn what_the_holder_leaves_behind_is_cleared_and_the_record_is_of_the_new_server() {
    let room = Room::new();
    let port = free_port();
    let text = format!("{} serve {port} --answer-pid & echo $! > worker; wait", fixture().display());
    let args = ["--name", "web", "--port", &port.to_string(), "--", "/bin/sh", "-c", &text];
    done(room.forerun().arg("--detach").args(args)).expect_code(0);
    let first = room.record("web");
    let (main, worker) = (recorded(&room), answer(port).expect("it serves"));
    assert_ne!(main, worker);
    let mut command = room.forerun();
    command.args(args).env("INVOCATION_ID", "0123");
    let mut standby = Forerun::start(&room, in_own_session(&mut command));
    standby.stands_by();
    kill(main);
    standby.becomes(&std::fs::canonicalize("/bin/sh").expect("a shell"));
    assert!(!alive(worker));
    let cleared = format!("forerun: stopping what pid {main} left behind: pid {worker} (");
    assert!(standby.lines()[1].starts_with(&cleared), "{}", standby.text());
    eventually("the new server serves", || answer(port).is_some());
    let second = room.record("web");
    assert_eq!((second["phase"].as_str(), second["mode"].as_str()), (Some("running"), Some("foreground")));
    assert_eq!(recorded(&room), standby.pid());
    assert_ne!(second["cookie"], first["cookie"]);
    assert_eq!(variable(standby.pid(), "FORERUN_INSTANCE").as_deref(), second["cookie"].as_str());
}

// At rest.

/// Processor time that a process has used, in clock ticks of 10 ms.
fn ticks(pid: i32) -> i64 {
    process::stat(pid, 14) + process::stat(pid, 15)
}

#[test]
fn a_standby_uses_no_processor_time() {
    let (held, dead, guarded) = (Room::new(), Room::new(), Room::new());
    let ports = [free_port(), free_port(), free_port()];
    detached(&held, ports[0]);
    let _visible = stranger(ports[1]);
    let _unseen = bound(ports[2]);
    let manager = Manager::new(&held);
    // What is left of an instance is searched once, not again and again.
    let leaves_a_record = |room: &Room| {
        let port = free_port().to_string();
        let args = ["--detach", "--name", "web", "--port", &port, "--"];
        done(room.forerun().args(args).arg(fixture()).args(["serve", &port])).expect_code(0);
        kill(recorded(room));
    };
    leaves_a_record(&dead);
    let mut commands = vec![
        ("an instance", supervised(&held, ports[0], &[])),
        ("an instance, with NOTIFY_SOCKET", notified(&held, ports[0], &[], &manager)),
        ("a stranger", guarding(&guarded, ports[1], &[]).0),
        ("a stranger, with NOTIFY_SOCKET", guarding(&guarded, ports[1], &[]).0),
        ("an unseen one", guarding(&guarded, ports[2], &[]).0),
        ("an unseen one, with NOTIFY_SOCKET", guarding(&guarded, ports[2], &[]).0),
        ("a stranger after a dead instance", guarding(&dead, ports[1], &[]).0),
        ("an unseen one after a dead instance", guarding(&dead, ports[2], &[]).0),
    ];
    for (what, command) in &mut commands {
        if what.ends_with("NOTIFY_SOCKET") {
            command.env("NOTIFY_SOCKET", &manager.path);
        }
    }
    let mut strangers = Vec::new();
    if is_root() && has("setpriv") {
        commands.push(("another user's", as_nobody(&guarded, ports[1], &[]).0));
        let port = privileged_port();
        strangers.push(stranger(port));
        commands.push(("another user's, privileged", as_nobody(&guarded, port, &[]).0));
    }
    let mut standbys: Vec<_> = commands
        .iter_mut()
        .map(|(what, command)| (*what, Forerun::start(if what.contains("dead") { &dead } else { &held }, command)))
        .collect();
    standbys.iter_mut().for_each(|(_, standby)| drop(standby.stands_by()));
    // Nobody reads the messages to the manager. A full queue must not block either.
    let mut used = standbys.iter().map(|(what, _)| (*what, i64::MAX)).collect::<Vec<_>>();
    // A steady use shows in each of ten periods. A busy machine may add something to one of them.
    for _ in 0..10 {
        let before: Vec<_> = standbys.iter().map(|(_, standby)| ticks(standby.pid())).collect();
        std::thread::sleep(Duration::from_secs(5));
        for ((least, (_, standby)), before) in used.iter_mut().zip(&standbys).zip(before) {
            least.1 = least.1.min(ticks(standby.pid()) - before);
        }
        eprintln!("processor time in 5 s, in ticks of 10 ms: {used:?}");
        if used.iter().all(|(_, ticks)| *ticks <= 2) {
            break;
        }
    }
    standbys.iter_mut().for_each(|(_, standby)| drop(standby.stands_by()));
    assert!(used.iter().all(|(_, ticks)| *ticks <= 2), "{used:?}");
}

#[test]
fn a_line_is_said_when_it_begins_when_the_holder_is_another_and_when_it_ends() {
    let room = Room::new();
    let port = free_port();
    let first = detached(&room, port);
    let mut standby = Forerun::start(&room, &mut supervised(&room, port, &[]));
    standby.stands_by();
    done(room.forerun().args(["restart", "web"])).expect_code(0);
    let second = recorded(&room);
    assert_ne!(first, second);
    eventually("it names the new holder", || standby.lines().len() > 1);
    // The standby looks at the port several times, once a second.
    std::thread::sleep(Duration::from_millis(2500));
    kill(second);
    eventually("it serves", || answer(port) == Some(standby.pid()));
    let mut lines = standby.lines();
    // A restart on a busy machine takes more than a second.
    lines.retain(|line| line != "forerun: waiting for another start or stop of 'web'");
    let held = |pid: i32| format!("forerun: standby: the name 'web' is held by pid {pid} (");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with(&held(first)) && lines[1].starts_with(&held(second)), "{lines:?}");
    assert!(lines[2].starts_with("forerun: standby is over after ") && lines[2].ends_with("; starting"), "{lines:?}");
}

#[test]
fn a_holder_that_changes_its_title_is_the_same_holder() {
    let room = Room::new();
    let text = "#!/bin/sh\nsleep 0.2\nexec \"$0\" $(($1 + 1))\n";
    let program = room.executable("counts", text).display().to_string();
    let args = ["--name", "web", "--", &program, "1"];
    done(room.forerun().arg("--detach").args(args)).expect_code(0);
    let mut command = room.forerun();
    command.args(args).env("INVOCATION_ID", "0123");
    let mut standby = Forerun::start(&room, in_own_session(&mut command));
    standby.stands_by();
    let title = || process::strings(recorded(&room), "cmdline");
    let before = title();
    std::thread::sleep(Duration::from_millis(2500));
    assert_ne!(title(), before);
    standby.stands_by();
}

#[test]
fn a_warning_about_the_name_is_not_repeated_while_it_stands_by() {
    let room = Room::new();
    let port = free_port();
    let _holder = stranger(port);
    // A newer forerun wrote it. It stays, and it is not a reason to fail.
    std::fs::create_dir_all(room.state().join("web")).expect("a folder");
    std::fs::write(room.state().join("web/record.json"), r#"{"version": 99}"#).expect("written");
    let mut standby = Forerun::start(&room, &mut guarding(&room, port, &[]).0);
    eventually("it stands by", || standby.text().contains("forerun: standby: "));
    std::thread::sleep(Duration::from_millis(2500));
    let lines = standby.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("written by a newer forerun") && standby.runs(), "{lines:?}");
}

// The messages to the service manager.

#[test]
fn a_healthy_instance_of_ours_makes_it_ready() {
    let room = Room::new();
    let port = free_port();
    let holder = detached(&room, port);
    let manager = Manager::new(&room);
    let _standby = Forerun::start(&room, &mut notified(&room, port, &["--wait-timeout", "1s"], &manager));
    let seen = message(&manager, &["READY=1\n"]);
    let status = format!("STATUS=standby: the name 'web' is held by pid {holder} ({}", fixture().display());
    for message in &seen {
        assert!(message.contains(&status) && message.contains("; stop it: forerun stop web\n"), "{seen:?}");
    }
    assert!(seen[0].contains("EXTEND_TIMEOUT_USEC="), "{seen:?}");
    // Readiness is reported once, and then the start timeout no longer counts.
    assert_eq!(messages(&manager, Duration::from_millis(1500)), Vec::<String>::new());
}

#[test]
fn an_instance_that_is_not_healthy_makes_it_ready_once_it_is() {
    let room = Room::new();
    let port = free_port();
    let with_sick = |command: &mut Command| {
        command.args(["--sick", "sick"]);
    };
    let mut holder = room.forerun();
    holder.arg("--detach").args(service(port));
    with_sick(&mut holder);
    done(&mut holder).expect_code(0);
    let sick = room.file("sick", "");
    let manager = Manager::new(&room);
    let mut command = notified(&room, port, &[], &manager);
    with_sick(&mut command);
    let mut standby = Forerun::start(&room, &mut command);
    let line = standby.stands_by();
    message(&manager, &["STATUS=standby: ", "EXTEND_TIMEOUT_USEC="]);
    let seen = messages(&manager, Duration::from_millis(2500));
    assert!(!seen.iter().any(|message| message.contains("READY=1")), "{seen:?}");
    std::fs::remove_file(sick).expect("removed");
    message(&manager, &["READY=1\n", &line["forerun: ".len()..]]);
}

#[test]
fn a_health_check_that_hangs_is_not_talked_about_and_holds_nothing_up() {
    let room = Room::new();
    let port = free_port();
    let health = "exec:test ! -e hangs || { touch asked; sleep 100; }";
    let program = fixture().display().to_string();
    let port = port.to_string();
    let args = ["--name", "web", "--port", &port, "--health", health, "--", &program, "serve", &port];
    done(room.forerun().arg("--detach").args(args)).expect_code(0);
    room.file("hangs", "");
    let manager = Manager::new(&room);
    let mut command = room.forerun();
    command.args(args).env("NOTIFY_SOCKET", &manager.path);
    let mut standby = Forerun::start(&room, in_own_session(&mut command));
    standby.stands_by();
    eventually("it is asked", || room.path().join("asked").exists());
    let seen = messages(&manager, Duration::from_millis(2500));
    assert!(seen.iter().all(|m| m.contains("STATUS=standby: ") && !m.contains("READY=1")), "{seen:?}");
    standby.stands_by();
    let begun = Instant::now();
    kill(recorded(&room));
    standby.becomes(&fixture());
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
}

#[test]
fn a_stranger_is_waited_for_with_the_start_timeout_extended_until_the_wait_timeout() {
    let room = Room::new();
    let port = free_port();
    let holder = stranger(port);
    let manager = Manager::new(&room);
    let begun = Instant::now();
    let mut standby = Forerun::start(&room, &mut notified(&room, port, &["--wait-timeout", "6s"], &manager));
    let line = standby.stands_by();
    standby.exits(75);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(6) && took < Duration::from_secs(12), "{took:?}");
    let lines = standby.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("forerun: gave up standing by after 6"), "{lines:?}");
    assert!(lines[1].contains(&format!("port '{port}' is held by pid {}", holder.0.id())), "{lines:?}");
    let seen = messages(&manager, Duration::from_millis(10));
    assert!(seen.len() >= 2, "it asks again: {seen:?}");
    let status = format!("STATUS={}\n", &line["forerun: ".len()..]);
    let is_asking =
        |m: &String| m.contains(&status) && m.contains("EXTEND_TIMEOUT_USEC=15000000") && !m.contains("READY");
    assert!(seen.iter().all(is_asking), "{seen:?}");
}

#[test]
fn without_anybody_to_notify_it_stands_by_for_longer_than_the_wait_timeout() {
    let room = Room::new();
    let port = free_port();
    let mut holder = stranger(port);
    let manager = Manager::new(&room);
    let (mut command, file) = guarding(&room, port, &["--wait-timeout", "500ms"]);
    // The socket belongs to another unit: nothing waits for our start, and nothing is sent.
    let mut elsewhere = guarding_as("other", &room, port, &["--wait-timeout", "500ms"]).0;
    elsewhere.env("NOTIFY_SOCKET", &manager.path).env("SYSTEMD_EXEC_PID", holder.0.id().to_string());
    let mut standbys = [Forerun::start(&room, &mut command), Forerun::start(&room, &mut elsewhere)];
    standbys.iter_mut().for_each(|standby| drop(standby.stands_by()));
    assert_eq!(messages(&manager, Duration::from_millis(1600)), Vec::<String>::new());
    standbys.iter_mut().for_each(|standby| drop(standby.stands_by()));
    holder.0.kill().expect("killed");
    process::appears(&file);
    standbys.iter_mut().for_each(|standby| standby.becomes(&witness()));
    assert_eq!(messages(&manager, Duration::from_millis(10)), Vec::<String>::new());
}

#[test]
fn a_manager_that_started_another_process_gets_no_messages() {
    let room = Room::new();
    let port = free_port();
    let holder = detached(&room, port);
    let manager = Manager::new(&room);
    let mut command = notified(&room, port, &[], &manager);
    let mut standby = Forerun::start(&room, command.env("SYSTEMD_EXEC_PID", "1"));
    standby.stands_by();
    assert_eq!(messages(&manager, Duration::from_millis(1500)), Vec::<String>::new());
    kill(holder);
    eventually("it serves", || answer(port) == Some(standby.pid()));
    assert_eq!(messages(&manager, Duration::from_millis(10)), Vec::<String>::new());
}

#[test]
fn the_watchdog_hears_of_a_standby_that_is_ready_at_half_its_period() {
    let room = Room::new();
    let port = free_port();
    detached(&room, port);
    let manager = Manager::new(&room);
    let mut command = notified(&room, port, &[], &manager);
    let _standby = Forerun::start(&room, command.env("WATCHDOG_USEC", "600000"));
    message(&manager, &["READY=1\n", "WATCHDOG=1\n"]);
    let mut last = Instant::now();
    let mut gaps: Vec<_> = (0..9)
        .map(|_| {
            message(&manager, &["WATCHDOG=1\n"]);
            std::mem::replace(&mut last, Instant::now()).elapsed()
        })
        .collect();
    gaps.sort();
    assert!(gaps[4] <= Duration::from_millis(330), "{gaps:?}");
    assert!(gaps[8] < Duration::from_millis(600), "{gaps:?}");
}

#[test]
fn a_lock_that_others_had_meanwhile_does_not_stay_in_the_status() {
    let room = Room::new();
    let port = free_port();
    detached(&room, port);
    let manager = Manager::new(&room);
    let _standby = Forerun::start(&room, &mut notified(&room, port, &[], &manager));
    message(&manager, &["READY=1\n", "STATUS=standby: "]);
    let lock = std::fs::File::options().write(true).open(room.state().join("web/lock")).expect("a lock");
    let lock = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).expect("locked");
    message(&manager, &["STATUS=waiting for another start or stop"]);
    drop(lock);
    message(&manager, &["STATUS=standby: the name 'web' is held by"]);
}

// How it ends.

#[test]
fn a_signal_ends_a_standby_by_that_signal_and_leaves_the_holder_alone() {
    let room = Room::new();
    let port = free_port();
    let holder = detached(&room, port);
    let record = || std::fs::read(room.state().join("web/record.json")).expect("a record");
    let names = || -> Vec<_> {
        let entries = std::fs::read_dir(room.state().join("web")).expect("a folder").flatten();
        let mut names: Vec<_> = entries.map(|e| e.file_name()).collect();
        names.sort();
        names
    };
    let before = (record(), names());
    let taken = free_port();
    let _stranger = stranger(taken);
    let manager = Manager::new(&room);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        for mut command in [
            supervised(&room, port, &[]),
            notified(&room, port, &[], &manager),
            guarding_as("other", &room, taken, &[]).0,
        ] {
            let mut standby = Forerun::start(&room, &mut command);
            standby.stands_by();
            let begun = Instant::now();
            let status = standby.end(signal);
            assert_eq!(status.signal(), Some(signal), "{status}: {}", standby.text());
            assert!(begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
            assert_eq!(standby.lines().len(), 1, "{}", standby.text());
        }
        assert_eq!(left(&room), [holder]);
    }
    assert_eq!((record(), names()), before);
    assert_eq!(answer(port), Some(holder));
    assert!(!room.state().join("other/record.json").exists());
}

// Several at once.

fn one_after_another(count: usize) {
    let room = Room::new();
    let port = free_port();
    let mut holder = detached(&room, port);
    let mut serving = None;
    let mut standbys: Vec<_> = (0..count).map(|_| Forerun::start(&room, &mut supervised(&room, port, &[]))).collect();
    while !standbys.is_empty() {
        let names_holder = |standby: &Forerun| {
            standby.lines().last().is_some_and(|line| line.contains(&format!("held by pid {holder} (")))
        };
        eventually("all stand by behind the holder", || standbys.iter().all(names_holder));
        assert!(standbys.iter().all(|standby| standby.program() == Path::new(env!("CARGO_BIN_EXE_forerun"))));
        kill(holder);
        eventually("one of them serves", || answer(port).is_some_and(|pid| pid != holder));
        holder = answer(port).expect("it serves");
        let at = standbys.iter().position(|standby| standby.pid() == holder).expect("one of them");
        assert_eq!(recorded(&room), holder);
        let server = standbys.swap_remove(at);
        assert!(server.lines().last().is_some_and(|line| line.contains("standby is over")), "{}", server.text());
        serving = Some(server);
    }
    assert!(serving.is_some_and(|mut server| server.runs()) && left(&room).is_empty());
}

#[test]
fn of_two_standbys_one_takes_over_and_then_the_other() {
    one_after_another(2);
}

#[test]
fn of_ten_standbys_one_takes_over_and_then_the_next() {
    one_after_another(10);
}

#[test]
fn no_standby_slips_in_while_the_holder_is_restarted_or_replaced() {
    let room = Room::new();
    let port = free_port();
    let mut holder = detached(&room, port);
    let mut standbys: Vec<_> = (0..3).map(|_| Forerun::start(&room, &mut supervised(&room, port, &[]))).collect();
    standbys.iter_mut().for_each(|standby| drop(standby.stands_by()));
    let over = std::sync::atomic::AtomicBool::new(false);
    let served: Vec<i32> = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut served = Vec::new();
            while !over.load(Ordering::SeqCst) {
                served.extend(answer(port));
                served.dedup();
            }
            served
        });
        let mut expected = vec![holder];
        for round in 0..10 {
            let mut command = room.forerun();
            match round % 2 {
                0 => command.args(["restart", "web"]),
                _ => command.args(["--detach", "--replace"]).args(service(port)),
            };
            done(&mut command).expect_code(0);
            assert_ne!(recorded(&room), holder);
            holder = recorded(&room);
            expected.push(holder);
            eventually("the new one is seen to serve", || answer(port) == Some(holder));
        }
        over.store(true, Ordering::SeqCst);
        let served = watching.join().expect("joined");
        assert!(served.iter().all(|pid| expected.contains(pid)), "{served:?} {expected:?}");
        served
    });
    assert!(served.len() > 1, "{served:?}");
    for standby in &mut standbys {
        assert!(standby.runs() && standby.program() == Path::new(env!("CARGO_BIN_EXE_forerun")), "{}", standby.text());
    }
}

// Who holds the name.

#[test]
fn another_service_of_the_same_name_is_78_at_once_below_a_supervisor() {
    let room = Room::new();
    let port = free_port();
    let holder = detached(&room, port);
    let folder = room.path().join("elsewhere");
    std::fs::create_dir(&folder).expect("a folder");
    let toml = room.file("other.toml", "");
    let other_command = |options: &[&str]| {
        let mut command = room.forerun();
        command.args(["--name", "web", "--port", &port.to_string()]).args(options).args(["--", "sleep", "1000"]);
        in_own_session(&mut command);
        command
    };
    let elsewhere = folder.to_str().expect("UTF-8");
    let toml = toml.to_str().expect("UTF-8");
    for (what, options) in [
        ("config file", vec!["--config", toml]),
        ("working directory", vec!["--cwd", elsewhere]),
        ("port", vec!["--port", "1"]),
    ] {
        for conflict in [&[][..], &["--on-conflict", "standby"], &["--on-conflict", "fail"]] {
            let mut command = by_hand(&room, port, &[&options, conflict].concat());
            let part = format!("another service with another {what}: ");
            done(command.env("INVOCATION_ID", "0123")).expect_code(78).expect_line(&[&part, &format!("pid {holder}")]);
        }
    }
    let both = [
        "forerun: the name 'web' is held by another service with another command: ",
        &format!("{} serve {port} --answer-pid' runs as pid {holder} (detached)", fixture().display()),
        "this is 'sleep 1000'; 'forerun restart web' starts it as it is now, or give one of them another --name",
    ];
    for options in [&[][..], &["--on-conflict", "standby"]] {
        done(other_command(options).env("INVOCATION_ID", "0123")).expect_code(78).expect_line(&both);
        // Without a terminal this start counts as supervised too.
        done(&mut other_command(&[options, &["--foreground"]].concat())).expect_code(78).expect_line(&both);
        done(other_command(options).env("FORERUN_FOREGROUND", "1")).expect_code(75).expect_line(&both);
    }
    done(&mut other_command(&["--detach"])).expect_code(75).expect_line(&both);
    assert_eq!((answer(port), recorded(&room)), (Some(holder), holder));
}

#[test]
fn a_server_that_executes_itself_through_forerun_is_no_conflict_though_its_workers_hold_the_port() {
    let room = Room::new();
    let port = free_port();
    let file = room.path().join("seen");
    // This start finds everything that makes a start stand by: a live record of its name, and a held port.
    let again = format!("{FORERUN} --name web --port {port} -- {} {}", witness().display(), file.display());
    let text = format!(
        "#!/bin/sh\n{} serve {port} --answer-pid >listens & echo $FORERUN_INSTANCE >cookie\n\
         until [ -s listens ]; do sleep 0.01; done\nexec {again}\n",
        fixture().display()
    );
    let script = room.executable("start.sh", &text);
    let mut command = room.forerun();
    command.args(["--name", "web", "--port", &port.to_string(), "--"]).arg(script).env("INVOCATION_ID", "0123");
    let mut server = Forerun::start(&room, in_own_session(&mut command));
    process::appears(&file);
    server.becomes(&witness());
    let worker = answer(port).expect("the worker serves");
    let cookie = std::fs::read_to_string(room.path().join("cookie")).expect("a cookie").trim().to_owned();
    assert_eq!(variable(server.pid(), "FORERUN_INSTANCE"), Some(cookie.clone()));
    assert_eq!((recorded(&room), room.record("web")["cookie"].as_str()), (server.pid(), Some(cookie.as_str())));
    assert_eq!(process::children(server.pid()), [worker]);
    assert_eq!(server.text(), "");
}

#[test]
fn a_start_script_that_runs_forerun_twice_is_one_instance() {
    let room = Room::new();
    let port = free_port();
    let service = service(port).iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let inner =
        room.executable("inner.sh", &format!("#!/bin/sh\necho $FORERUN_INSTANCE >cookie\nexec {FORERUN} {service}\n"));
    let outer = format!("#!/bin/sh\nexec {FORERUN} --name web --port {port} -- {}\n", inner.display());
    let outer = room.executable("outer.sh", &outer);
    let mut command = Command::new(outer);
    command.current_dir(room.path()).env_clear().env("PATH", "/usr/bin:/bin");
    command.env("FORERUN_STATE_DIR", room.state()).env("INVOCATION_ID", "0123");
    let server = Forerun::start(&room, in_own_session(&mut command));
    eventually("it serves", || answer(port) == Some(server.pid()));
    let cookie = std::fs::read_to_string(room.path().join("cookie")).expect("a cookie").trim().to_owned();
    assert_eq!(variable(server.pid(), "FORERUN_INSTANCE"), Some(cookie.clone()));
    assert_eq!((recorded(&room), room.record("web")["cookie"].as_str()), (server.pid(), Some(cookie.as_str())));
    assert_eq!(server.text(), "");
}

// What an ended instance leaves behind.

/// A worker with `options` keeps the port when main is killed. A start in the foreground ends the worker and serves.
fn clears(start: &str, options: &[&str]) {
    let room = Room::new();
    let port = free_port();
    let (program, port_text) = (fixture().display().to_string(), port.to_string());
    let text = format!("if mkdir second 2>/dev/null; then {start}; else exec {program} serve {port} --answer-pid; fi");
    let text = text.replace("FIXTURE", &format!("{program} serve {port} --answer-pid"));
    let service = ["--name", "web", "--port", &port_text, "--", "/bin/sh", "-c", &text];
    let options = [options, &service].concat();
    done(room.forerun().arg("--detach").args(&options)).expect_code(0);
    let (main, worker) = (recorded(&room), answer(port).expect("a worker serves"));
    assert_ne!(main, worker);
    kill(main);
    assert!(alive(worker));
    let mut command = room.forerun();
    let mut server = Forerun::start(&room, in_own_session(command.args(&options).env("INVOCATION_ID", "0123")));
    server.becomes(&fixture());
    assert!(!alive(worker));
    let said = format!("forerun: stopping what pid {main} left behind: ");
    assert!(server.text().starts_with(&said) && server.lines().len() == 1, "{}", server.text());
    eventually("it serves", || answer(port) == Some(server.pid()));
    assert_eq!(left(&room), [server.pid()]);
}

#[test]
fn a_worker_that_keeps_the_port_is_ended_by_a_start_in_the_foreground() {
    clears("FIXTURE & wait", &[]);
}

#[test]
fn a_worker_that_ignores_sigterm_is_killed_after_the_grace() {
    clears("FIXTURE --ignore-term & wait", &["--grace", "200ms"]);
}

#[test]
fn what_left_the_session_and_keeps_the_port_is_named_and_waited_for() {
    let (room, port) = (Room::new(), free_port());
    let program = fixture().display().to_string();
    let text = format!("{program} serve {port} --answer-pid --background; sleep 1000 </dev/null & wait");
    let text = format!("if mkdir second 2>/dev/null; then {text}; else exec {program} serve {port} --answer-pid; fi");
    let options = ["--name", "web", "--port", &port.to_string(), "--", "/bin/sh", "-c", &text];
    done(room.forerun().arg("--detach").args(options)).expect_code(0);
    let left = answer(port).expect("it serves");
    kill(recorded(&room));
    let mut command = room.forerun();
    let mut server = Forerun::start(&room, in_own_session(command.args(options).env("INVOCATION_ID", "0123")));
    let said = server.stands_by();
    assert!(said.contains(&format!("is held by pid {left} (")) && said.contains("'web'"), "{said}");
    assert!(alive(left));
    send(left, libc::SIGKILL);
    server.becomes(&fixture());
    eventually("it serves", || answer(port) == Some(server.pid()));
}
