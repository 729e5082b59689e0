//! Readiness that means it: what the server says itself, a line of its log, another service, a check of its own for the
//! watchdog; and what proves nothing is refused.

mod common;

use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::process::{self, appears, in_own_session, variable, with_copies};
use common::{Done, Killed, Manager, Room, Web, collect, done, eventually, fixture, free_port, has, left};

/// A server that does one step after another.
const SPEAKER: &str = r#"
import array, os, socket, subprocess, sys, time
address = os.environ.get('NOTIFY_SOCKET', '')
to = '\0' + address[1:] if address.startswith('@') else address
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for step in sys.argv[1:]:
    kind, _, value = step.partition('=')
    if kind == 'say':
        s.sendto(value.encode().decode('unicode_escape').encode('latin1'), to)
    elif kind == 'long':
        s.sendto(b'READY=1\n' + b'x' * 100000, to)
    elif kind == 'pass':
        (r, w), number = os.pipe(), int(value)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [w] * number))
        s.sendmsg([b'BARRIER=1'], [rights], 0, to)
        os.close(w)
        os.read(r, 1)
    elif kind == 'flood':
        for _ in range(int(value)):
            try:
                s.sendto(b'WATCHDOG=1', to)
            except OSError:
                pass
    elif kind == 'wait':
        while not os.path.exists(value):
            time.sleep(0.002)
    elif kind == 'touch':
        with open(value + '.new', 'w') as f:
            f.write(address)
        os.rename(value + '.new', value)
    elif kind == 'run':
        subprocess.run(value, shell=True, check=True)
    elif kind == 'print':
        print(value, flush=True)
time.sleep(600)
"#;

/// A room with a server that does what it is told.
struct Scene {
    room: Room,
}

impl Scene {
    fn new() -> Self {
        let room = Room::new();
        room.file("speaker.py", SPEAKER);
        Scene { room }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn word(&self, kind: &str, name: &str) -> String {
        format!("{kind}={}", self.path(name).display())
    }

    fn command(&self, options: &[&str], steps: &[&str]) -> Command {
        let mut command = self.room.forerun();
        command.args(options).args(["--name", "web", "--", "python3", "speaker.py"]).args(steps);
        command
    }

    /// A detached start that is ready by READY=1, at most after so long.
    fn notified(&self, limit: &str, steps: &[&str]) -> Command {
        self.command(&["--detach", "--health", "notify:", "--health-timeout", limit], steps)
    }

    fn socket(&self) -> PathBuf {
        self.room.state().join("web/forerun.notify")
    }
}

fn begin(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned")
}

#[track_caller]
fn end(child: Child) -> Done {
    let output = collect(child);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Done {
        status: output.status,
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        took: Duration::ZERO,
    }
}

#[test]
fn a_server_is_ready_when_it_says_so_and_not_before() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let go = scene.word("wait", "go");
    let heard = scene.word("touch", "heard");
    let steps = ["say=STATUS=loading model", "pass=1", &heard, &go, "say=A=b\nREADY=1\nSTATUS=up"];
    let mut forerun = begin(&mut scene.notified("100s", &steps));
    // What it said so far has been read: its barrier is gone.
    let address = appears(&scene.path("heard"));
    assert_eq!(address, scene.socket().display().to_string());
    let status = std::fs::metadata(scene.socket()).expect("a socket");
    assert!(status.file_type().is_socket() && status.permissions().mode() & 0o777 == 0o600, "{status:?}");
    assert!(forerun.try_wait().expect("waited").is_none());
    assert!(scene.room.run(&["status", "web"]).expect_code(1).stdout.contains("starting"));
    scene.room.file("go", "");
    let ready = end(forerun).expect_code(0);
    assert!(ready.stdout.starts_with("web is ready"), "{}", ready.stdout);
    assert!(!scene.socket().exists(), "a socket is left over");
    scene.room.run(&["status", "web"]).expect_code(0);
    // It runs, and nobody needs to say it again.
    done(&mut scene.notified("100s", &steps)).expect_code(0);
    scene.room.run(&["stop", "web"]).expect_code(0);
}

#[test]
fn a_child_of_the_server_may_say_it() {
    skip_unless!(has("systemd-notify") && has("python3"), "no systemd-notify or no python3");
    let scene = Scene::new();
    done(&mut scene.notified("100s", &["run=systemd-notify --ready --status=up"])).expect_code(0);
    scene.room.run(&["stop", "web"]).expect_code(0);
    skip_unless!(has("node"), "no node");
    let node = "require('child_process').execFileSync('systemd-notify', ['--ready']); setTimeout(() => {}, 600000)";
    let mut command = scene.room.forerun();
    command.args(["--detach", "--health", "notify:", "--name", "node", "--", "node", "-e", node]);
    done(&mut command).expect_code(0);
    scene.room.run(&["stop", "node"]).expect_code(0);
}

#[test]
fn a_server_that_does_not_say_it_is_stopped_and_its_status_is_the_reason() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let told = done(&mut scene.notified("8s", &["say=STATUS=loading model"])).expect_code(1);
    let told =
        told.expect_stderr(&["'notify:' not ready after", "has not said READY=1; its status is 'loading model'"]);
    assert!(!told.stderr.contains("no answer"), "{}", told.stderr);
    assert!(left(&scene.room).is_empty() && !scene.socket().exists());
    let stops = done(&mut scene.notified("8s", &["say=STOPPING=1\nREADY=0"])).expect_code(1);
    stops.expect_stderr(&["has not said READY=1; it says that it is stopping"]);
    // One that ends is not waited for.
    let mut command = scene.room.forerun();
    command.args(["--detach", "--health", "notify:", "--health-timeout", "100s", "--name", "web", "--", "false"]);
    done(&mut command).expect_code(1).expect_stderr(&["exited with status 1 before it was ready"]);
    assert!(!scene.socket().exists());
}

#[test]
fn what_a_stranger_says_does_not_count() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let go = scene.word("wait", "go");
    let up = scene.word("touch", "up");
    let mut forerun = begin(&mut scene.notified("8s", &[&up, &go]));
    appears(&scene.path("up"));
    let stranger = UnixDatagram::unbound().expect("a socket");
    stranger.send_to(b"READY=1", scene.socket()).expect("sent");
    let told = end_or_kill(&mut forerun);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    let who = format!("a message of pid {} did not count", std::process::id());
    assert!(told.stderr.contains(&who), "{}", told.stderr);
}

fn end_or_kill(child: &mut Child) -> Done {
    let child = std::mem::replace(child, Command::new("true").spawn().expect("spawned"));
    end(child)
}

#[test]
fn hostile_messages_are_read_past_and_what_they_bring_is_closed() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let heard = scene.word("touch", "heard");
    let go = scene.word("wait", "go");
    let steps = [
        "long=",
        "say=\\xff\\x00\\n\\n=",
        "say=READY=1 ",
        "say=",
        "pass=253",
        "pass=253",
        "pass=1",
        "flood=2000",
        "pass=3",
        &heard,
        &go,
        "say=READY=1",
    ];
    let mut forerun = begin(&mut scene.notified("100s", &steps));
    appears(&scene.path("heard"));
    assert!(forerun.try_wait().expect("waited").is_none());
    let open = process::descriptors(forerun.id() as i32).len();
    assert!(open < 40, "{open} descriptors are open");
    scene.room.file("go", "");
    end(forerun).expect_code(0);
    scene.room.run(&["stop", "web"]).expect_code(0);
}

#[test]
fn a_folder_that_is_too_deep_for_a_socket_is_no_obstacle() {
    skip_unless!(has("python3") && cfg!(target_os = "linux"), "no python3, or no abstract sockets");
    let scene = Scene::new();
    let deep = scene.path(&"deep/".repeat(30));
    let up = scene.word("touch", "up");
    done(scene.notified("100s", &[&up, "say=READY=1"]).env("FORERUN_STATE_DIR", &deep)).expect_code(0);
    assert!(appears(&scene.path("up")).starts_with("@forerun/web/"));
    done(scene.room.forerun().args(["stop", "web"]).env("FORERUN_STATE_DIR", &deep)).expect_code(0);
}

#[test]
fn a_forerun_below_the_server_sees_no_service_manager() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let plan = format!(
        "run={} --name below --dry-run --json -- true >{}",
        env!("CARGO_BIN_EXE_forerun"),
        scene.path("plan").display()
    );
    done(&mut scene.notified("100s", &[&plan, "say=READY=1"])).expect_code(0);
    let plan = std::fs::read_to_string(scene.path("plan")).expect("a plan");
    assert!(plan.contains("\"mode\": \"detached\"") || plan.contains("\"mode\":\"detached\""), "{plan}");
    scene.room.run(&["stop", "web"]).expect_code(0);
}

/// A start in the foreground that nobody but the test supervises. Its output goes to `log`.
fn foreground(scene: &Scene, options: &[&str], steps: &[&str]) -> Command {
    let mut command = scene.command(&[&["--foreground"], options].concat(), steps);
    let log = std::fs::File::options().create(true).append(true).open(scene.path("log")).expect("a log");
    command.stdout(Stdio::null()).stderr(log);
    in_own_session(&mut command);
    command
}

#[test]
fn in_the_foreground_the_sidecar_listens_and_tells_the_supervisor() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let (mut read, write) = std::io::pipe().expect("a pipe");
    let (go, up, flooded) = (scene.word("wait", "go"), scene.word("touch", "up"), scene.word("touch", "flooded"));
    let steps = [&*up, &go, "say=READY=1", "flood=3000", &flooded];
    let options = ["--health", "notify:", "--ready-fd", "9", "--watch"];
    let mut command = foreground(&scene, &options, &steps);
    let server = Killed(with_copies(&mut command, &write, &[9]).spawn().expect("spawned"));
    drop((command, write));
    assert_eq!(appears(&scene.path("up")), scene.socket().display().to_string());
    assert_eq!(variable(server.pid(), "FORERUN_INSTANCE").map(|cookie| cookie.starts_with("web/")), Some(true));
    assert!(scene.room.run(&["status", "web"]).expect_code(1).stdout.contains("starting"));
    scene.room.file("go", "");
    let mut said = [0; 8];
    assert_eq!(std::io::Read::read(&mut read, &mut said).expect("read"), 1);
    // The socket is gone: a server that goes on to talk does not stand still because nobody listens.
    appears(&scene.path("flooded"));
    eventually("the socket is gone", || !scene.socket().exists());
    eventually("it is healthy", || scene.room.run(&["status", "web"]).code == Some(0));
}

#[test]
fn what_a_server_says_after_its_health_timeout_is_heard_too() {
    skip_unless!(has("systemd-notify") && has("python3"), "no systemd-notify or no python3");
    let scene = Scene::new();
    let go = scene.word("wait", "go");
    let options = ["--health", "notify:", "--health-timeout", "200ms"];
    let _server = Killed(foreground(&scene, &options, &[&go, "run=systemd-notify --ready"]).spawn().expect("spawned"));
    let log = || std::fs::read_to_string(scene.path("log")).unwrap_or_default();
    eventually("it is late", || log().contains("raise --health-timeout"));
    assert!(log().contains("it has not said READY=1"), "{}", log());
    scene.room.file("go", "");
    eventually("it is healthy", || scene.room.run(&["status", "web"]).code == Some(0));
}

#[test]
fn a_socket_is_not_left_over_when_the_server_ends_before_it_is_ready() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let up = scene.word("touch", "up");
    let server = Killed(foreground(&scene, &["--health", "notify:"], &[&up]).spawn().expect("spawned"));
    appears(&scene.path("up"));
    assert!(scene.socket().exists());
    drop(server);
    eventually("nothing is left", || !scene.socket().exists() && left(&scene.room).is_empty());
}

#[test]
fn a_service_manager_hears_the_server_itself() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let manager = Manager::new(&scene.room);
    let up = scene.word("touch", "up");
    let mut command = foreground(&scene, &["--health", "notify:"], &["say=READY=1\nSTATUS=of the server", &up]);
    let server = Killed(command.env("NOTIFY_SOCKET", &manager.path).spawn().expect("spawned"));
    assert_eq!(appears(&scene.path("up")), manager.path.display().to_string());
    let mut messages = String::new();
    while let Some(message) = manager.message(Duration::from_millis(50)) {
        messages += &message;
    }
    assert!(messages.ends_with("READY=1\nSTATUS=of the server"), "{messages}");
    assert_eq!(left(&scene.room), [server.pid()], "no sidecar");
    scene.room.run(&["status", "web"]).expect_code(0);
    let both = ["--foreground", "--notify", "sidecar", "--health", "notify:", "--", "true"];
    scene.room.run(&both).expect_code(2).expect_line(&["contradict each other"]);
}

#[test]
fn a_line_of_the_log_of_this_start_makes_a_detached_server_ready() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let log = scene.path("web.log").display().to_string();
    let go = scene.word("wait", "go");
    let options = ["--detach", "--log", &log, "--health", "log:^listening on [0-9]+$", "--health-timeout"];
    let start = |limit: &str, steps: &[&str]| scene.command(&[&options, &[limit][..]].concat(), steps);
    let booted = scene.word("touch", "booted");
    let mut forerun =
        begin(&mut start("100s", &["print=will be listening on 99 soon", &booted, &go, "print=listening on 99"]));
    appears(&scene.path("booted"));
    assert!(forerun.try_wait().expect("waited").is_none());
    scene.room.file("go", "");
    end(forerun).expect_code(0);
    scene.room.run(&["status", "web"]).expect_code(0);
    scene.room.run(&["stop", "web"]).expect_code(0);
    // What an earlier start wrote is not of this one.
    let told = done(&mut start("8s", &["print=booting"])).expect_code(1);
    told.expect_stderr(&["no line of its log matches; the last is 'booting'"]);
    assert!(left(&scene.room).is_empty());
}

#[test]
fn a_log_that_nobody_can_read_again_is_refused() {
    let room = Room::new();
    let detached = ["--detach", "--log", "/dev/null", "--health", "log:ready", "--", "sleep", "600"];
    room.run(&detached).expect_code(78).expect_stderr(&["the log '/dev/null' is no file that can be read"]);
    let foreground = ["--foreground", "--health", "log:ready", "--", "true"];
    room.run(&foreground).expect_code(78).expect_line(&["'log:ready'", "is its supervisor's", "http://", "notify:"]);
    let unit = ["unit", "systemd", "--health", "log:ready", "--", "true"];
    room.run(&unit).expect_code(78).expect_line(&["is its supervisor's"]);
}

#[test]
fn what_cannot_be_that_is_refused_before_anything_is_tried() {
    let room = Room::new();
    for (option, check) in [("--require", "notify:"), ("--wait", "log:x"), ("--health", "service:db")] {
        room.run(&[option, check, "--", "true"]).expect_code(2).expect_line(&[check, "it can only be"]);
    }
    for (check, part) in [
        ("log:(", "not a regular expression"),
        ("log:", "nothing after 'log:'"),
        ("notify:x", "nothing comes after the colon"),
        ("service:a/b", "no service is called 'a/b'"),
        ("service:..", "no service is called '..'"),
        ("service:", "nothing after 'service:'"),
    ] {
        room.run(&["--wait", check, "--", "true"]).expect_code(2).expect_line(&[part]);
    }
    for (text, part) in [
        ("[[wait]]\ncheck = 'notify:'", "line 2: invalid check 'notify:'"),
        ("[health]\ncheck = 'service:db'", "line 2: invalid check 'service:db'"),
        ("require = ['log:x']", "line 1: invalid check 'log:x'"),
        ("wait = ['service:web']", "'service:web': it is this service itself"),
        ("[watch]\ncheck = 'log:x'", "line 2: invalid check 'log:x': it holds for ever"),
        ("[watch]\ncheck = { check = 'tcp:a:1', timeout = '1s' }", "line 2: 'timeout' is not for the check of [watch]"),
        ("[watch.check]\ncheck = 'tcp:a:1'\nhold = '1s'", "line 3: 'hold' is not for the check of [watch]"),
        ("[watch]\ncheck = 5", "line 2: check is a check"),
    ] {
        let file = format!("{text}\n");
        room.file("forerun.toml", &if text.contains("service:web") { format!("name = 'web'\n{file}") } else { file });
        room.run(&["check"]).expect_code(78).expect_line(&[part]);
    }
}

/// Runs forerun with this socket as systemd would: descriptor 3, and LISTEN_PID is its own pid.
fn activated(room: &Room, socket: &impl std::os::fd::AsRawFd, options: &[&str]) -> Done {
    let mut shell = room.forerun();
    let program = shell.get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", "export LISTEN_PID=${PID-$$}; exec \"$0\" \"$@\""]).arg(program);
    command.args(["--foreground", "--name", "web", "--dry-run"]).args(options).args(["--", "true"]);
    command.env_clear().current_dir(room.path()).stdin(Stdio::null());
    command.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("LISTEN_FDS", "1");
    if options.contains(&"exec:not-ours") {
        command.env("PID", "1");
    }
    shell = command;
    done(with_copies(&mut shell, socket, &[3]))
}

#[test]
fn a_socket_that_somebody_else_holds_proves_nothing() {
    let room = Room::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let wild = TcpListener::bind("0.0.0.0:0").expect("bound");
    let wild_port = wild.local_addr().expect("an address").port();
    for (socket, health) in [
        (&listener, format!("tcp:127.0.0.1:{port}")),
        (&listener, format!("tcp:localhost:{port}")),
        (&listener, format!("tcp:0.0.0.0:{port}")),
        (&listener, format!("tcp:[::ffff:127.0.0.1]:{port}")),
        (&wild, format!("tcp:127.0.0.1:{wild_port}")),
        (&wild, format!("tcp:[::1]:{wild_port}")),
    ] {
        let refused = activated(&room, socket, &["--health", &health]).expect_code(78);
        refused.expect_line(&[&health, "(LISTEN_FDS)", "'http://", "or notify:"]);
    }
    for (socket, health) in [
        (&listener, format!("http://127.0.0.1:{port}/")),
        (&listener, format!("tcp:127.0.0.1:{wild_port}")),
        (&listener, format!("tcp:127.0.0.2:{port}")),
        (&listener, "notify:".to_owned()),
    ] {
        activated(&room, socket, &["--health", &health]).expect_code(0);
    }
    // What somebody else was passed is not ours.
    let health = format!("tcp:127.0.0.1:{port}");
    activated(&room, &listener, &["--health", &health, "--require", "exec:not-ours"]).expect_code(0);
    let watch = format!("[health]\ncheck = 'http://127.0.0.1:{port}/'\n[watch]\ncheck = 'tcp:127.0.0.1:{port}'\n");
    room.file("forerun.toml", &watch);
    activated(&room, &listener, &[]).expect_code(78).expect_line(&[&health]);
}

#[test]
fn so_does_a_unix_socket() {
    let room = Room::new();
    let listener = UnixListener::bind(room.path().join("web.sock")).expect("bound");
    std::os::unix::fs::symlink("web.sock", room.path().join("link.sock")).expect("a symlink");
    for path in ["web.sock", "./web.sock", "link.sock"] {
        let refused = activated(&room, &listener, &["--health", &format!("unix:{path}")]).expect_code(78);
        refused.expect_line(&["(LISTEN_FDS)", "'http+unix:"]);
    }
    activated(&room, &listener, &["--health", "unix:other.sock"]).expect_code(0);
    activated(&room, &listener, &["--health", "http+unix:web.sock:/"]).expect_code(0);
}

#[test]
fn another_service_holds_when_it_runs_and_is_healthy() {
    let room = Room::new();
    let check = |limit: &str| room.run(&["check", "--wait", "service:db", "--wait-timeout", limit, "--name", "web"]);
    let never = check("100ms").expect_code(69);
    assert!(never.stdout.contains("no service is called so here"), "{}", never.stdout);
    let port = free_port();
    // Its health has a secret of its own, which is sent and never printed.
    let text = format!("[health]\ncheck = 'http://127.0.0.1:{port}/'\nheaders = {{ X-Key = 's3cr3t' }}\n");
    let config = room.file("db.toml", &text).display().to_string();
    let sick = room.path().join("sick").display().to_string();
    let serve = ["serve", &port.to_string(), "--sick", &sick].map(str::to_owned);
    let mut start = room.forerun();
    start.args(["--detach", "--name", "db", "--config", &config, "--"]).arg(fixture()).args(serve);
    done(&mut start).expect_code(0);
    let held = check("60s").expect_code(0);
    room.run(&["check", "--require", "service:db", "--name", "web"]).expect_code(0);
    room.file("sick", "");
    let fails = check("100ms").expect_code(69);
    assert!(fails.stdout.contains("it is not healthy") && fails.stdout.contains("status 500"), "{}", fails.stdout);
    assert!(!(fails.stdout + &held.stdout).contains("s3cr3t"));
    std::fs::remove_file(&sick).expect("removed");
    room.run(&["stop", "db"]).expect_code(0);
    let ended = check("100ms").expect_code(69);
    assert!(ended.stdout.contains("it is not running"), "{}", ended.stdout);
    let required = room.run(&["--name", "web", "--require", "service:db", "--", "true"]).expect_code(78);
    required.expect_stderr(&["requirement 'service:db' does not hold: it is not running"]);
}

#[test]
fn a_wait_for_another_service_ends_when_that_is_ready() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let (up, go) = (scene.word("touch", "up"), scene.word("wait", "go"));
    let db = begin(&mut scene.notified("100s", &[&up, &go, "say=READY=1"]));
    appears(&scene.path("up"));
    let early = scene.room.run(&["check", "--name", "app", "--require", "service:web"]).expect_code(78);
    assert!(early.stdout.contains("it is starting"), "{}", early.stdout);
    let waits = ["check", "--name", "app", "--wait", "service:web", "--wait-timeout", "100s"];
    let mut waiting = begin(scene.room.forerun().args(waits));
    assert!(waiting.try_wait().expect("waited").is_none());
    scene.room.file("go", "");
    end(db).expect_code(0);
    end(waiting).expect_code(0);
    scene.room.run(&["stop", "web"]).expect_code(0);
}

#[test]
fn the_watchdog_has_a_check_of_its_own() {
    let room = Room::new();
    let (port, deep) = (free_port(), Web::new("503 No", ""));
    let text = format!(
        "name = 'web'\nhealth = 'http://127.0.0.1:{port}/'\n[watch]\ninterval = '50ms'\nunhealthy-after = 2\ncheck = '{}'\n",
        deep.url("/deep")
    );
    room.file("forerun.toml", &text);
    let plan = done(room.forerun().args(["--dry-run", "--", "true"])).expect_code(0);
    assert!(plan.stdout.contains(&format!("watch     {}", deep.url("/deep"))), "{}", plan.stdout);
    assert_eq!(room.plan(&mut room.forerun())["watch"], deep.url("/deep"));
    let manager = Manager::new(&room);
    let log = room.path().join("log");
    let mut command = room.forerun();
    command.arg("--foreground").args(["--", fixture().to_str().expect("UTF-8"), "serve", &port.to_string()]);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "60000000");
    command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log"));
    let server = Killed(in_own_session(&mut command).spawn().expect("spawned"));
    // It is ready by its health, and unwell by the other check.
    let mut messages = String::new();
    eventually("it is told", || {
        messages.extend(manager.message(Duration::from_millis(50)));
        messages.contains("not healthy: 'http://127.0.0.1")
    });
    let ready = messages.find("READY=1").expect("READY=1");
    assert!(ready < messages.find("not healthy: ").expect("a status"), "{messages}");
    let said = std::fs::read_to_string(&log).expect("a log");
    assert!(said.contains("/deep': status 503, 2 attempts in a row"), "{said}");
    drop(server);
    assert!(deep.requests().iter().all(|request| request.starts_with("GET /deep ")));
}

#[test]
fn a_check_of_the_health_too() {
    let room = Room::new();
    let web = Web::new("200 OK", "all well");
    let check = |more: &[&str]| room.run(&[&["check"], more].concat());
    check(&["--health"]).expect_code(2).expect_line(&["'--health' has no check to try"]);
    let held = check(&["--health", &web.url("/")]).expect_code(0);
    assert!(held.stdout.starts_with("ok      health"), "{}", held.stdout);
    check(&["--health", &web.url("/"), "--health-body", "all well"]).expect_code(0);
    room.file("forerun.toml", &format!("[health]\ncheck = '{}'\nbody = 'other'\ntimeout = '200ms'\n", web.url("/")));
    check(&[]).expect_code(0);
    let fails = check(&["--health"]).expect_code(1);
    assert!(fails.stdout.starts_with("FAILED  health"), "{}", fails.stdout);
    let json = check(&["--health", "--json"]).expect_code(1);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&json["checks"][0]["kind"], &json["ok"]), (&"health".into(), &false.into()));
    // What trying again cannot help comes first.
    check(&["--health", "--require", "env:NO_SUCH"]).expect_code(78);
    check(&["--health", "--wait", "env:NO_SUCH", "--wait-timeout", "50ms"]).expect_code(69);
    check(&["--health", "notify:"]).expect_code(78).expect_line(&["cannot try the health check 'notify:'"]);
}
