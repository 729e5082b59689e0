//! Real servers, and how each of them hands over, or is hurt.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::client::Asks;
use crate::common::process::send;
use crate::common::{Killed, Room, done, fixture, holds_within, is_root};
use crate::scene::{Place, SOON, Scene, Server};

/// What is there afterwards.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Then {
    /// The process that was there before serves.
    Same,
    /// Another one serves. The one before has ended, well.
    Successor,
    /// It has served from the start, and what was started has ended.
    Daemon,
    /// Nothing that should be there, but perhaps something that should not.
    Hurt,
}

pub struct Case {
    pub name: &'static str,
    pub then: Then,
    /// None where it cannot run here.
    pub server: fn(&Room, u16) -> Option<Server>,
    /// Returns once the server itself is done.
    pub act: fn(&Scene, i32),
    /// Whether no request may be lost.
    pub seamless: bool,
}

const fn case(name: &'static str, server: fn(&Room, u16) -> Option<Server>, act: fn(&Scene, i32), then: Then) -> Case {
    Case { name, then, server, act, seamless: false }
}

const fn seamless(case: Case) -> Case {
    Case { seamless: true, ..case }
}

pub const CASES: [Case; 18] = [
    seamless(case("nginx (USR2, WINCH, QUIT)", nginx, nginx_upgrade, Then::Successor)),
    seamless(case("gunicorn (USR2, TERM)", gunicorn, gunicorn_upgrade, Then::Successor)),
    seamless(case("unicorn (USR2, QUIT)", unicorn, unicorn_upgrade, Then::Successor)),
    case("puma (USR1, phased)", puma, puma_phased, Then::Same),
    case("puma (USR2)", puma, puma_restart, Then::Same),
    case("HAProxy -W (USR2)", haproxy, haproxy_reload, Then::Same),
    case("php-fpm (daemonize)", php_fpm_daemon, nothing, Then::Daemon),
    case("php-fpm (USR2)", php_fpm, php_fpm_reload, Then::Same),
    case("PostgreSQL (pg_ctl start)", pg_ctl, nothing, Then::Daemon),
    case("PostgreSQL (postmaster killed)", postgres, postmaster_killed, Then::Hurt),
    case("self-update (spawn and exit)", spawns, updates, Then::Successor),
    case("self-update (execv)", executes, updates, Then::Same),
    case("npm start (npm killed)", npm, killed, Then::Hurt),
    case("npm start (npm gets TERM)", npm, terminated, Then::Hurt),
    case("uvicorn --reload (an edit)", uvicorn_reload, edited, Then::Same),
    case("uvicorn --workers (main killed)", uvicorn_workers, killed, Then::Hurt),
    case("nginx (master killed)", nginx, killed, Then::Hurt),
    case("gunicorn (master killed)", gunicorn, killed, Then::Hurt),
];

fn nothing(_: &Scene, _: i32) {}

#[track_caller]
fn soon(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(SOON, condition), "the server never did it: {what}");
}

/// Waits until a process is gone: a zombie still answers to its number, as if it ran.
#[track_caller]
fn ends(pid: i32) {
    soon("it ends, and is reaped", || !Path::new(&format!("/proc/{pid}")).exists());
}

fn killed(_: &Scene, main: i32) {
    send(main, libc::SIGKILL);
    ends(main);
}

fn terminated(_: &Scene, main: i32) {
    send(main, libc::SIGTERM);
    ends(main);
}

/// A program on the PATH, or where systems keep those that users do not call.
pub fn find(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.map(|version| version.path().join("bin"));
    let folders = versions.chain(std::env::split_paths(&path)).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(program)).find(|path| path.is_file())?;
    Some(found.to_str()?.to_owned())
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn http(port: u16) -> Vec<String> {
    words(&["--health", &format!("http://127.0.0.1:{port}/"), "--grace", "5s"])
}

fn tcp(port: u16) -> Vec<String> {
    words(&["--health", &format!("tcp:127.0.0.1:{port}"), "--grace", "5s"])
}

/// The system's Python, which has the system's packages, if it has this module.
fn python(module: &str) -> Option<String> {
    let python = "/usr/bin/python3";
    let status = Command::new(python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success()).then(|| python.to_owned())
}

fn here(room: &Room) -> String {
    room.path().to_str().expect("UTF-8").to_owned()
}

// nginx.

fn nginx(room: &Room, port: u16) -> Option<Server> {
    let (here, program) = (here(room), find("nginx")?);
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = kinds.map(|kind| format!("{kind}_temp_path {here}/{kind};")).concat();
    let user = if is_root() { "user root;" } else { "" };
    let configuration = format!(
        "{user} daemon off; worker_processes 2; pid {here}/nginx.pid; error_log {here}/error.log notice;
         events {{}} http {{ access_log off; {temporary}
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 'hello'; }} }} }}"
    );
    room.file("nginx.conf", &configuration);
    let command = words(&[&program, "-p", &here, "-e", "stderr", "-c", &format!("{here}/nginx.conf")]);
    Some(Server { command, options: http(port), asks: Asks::Http, pid_file: None })
}

fn nginx_upgrade(scene: &Scene, main: i32) {
    send(main, libc::SIGUSR2);
    let log = || std::fs::read_to_string(scene.path("error.log")).unwrap_or_default();
    let ignored = || log().contains("changing binary signal is ignored");
    let mut new = None;
    soon("a second master with its workers", || {
        new = scene.children(main).into_iter().find(|&child| scene.children(child).len() == 2);
        new.is_some() || ignored()
    });
    // It takes its first parent for a shell's, and an upgrade for one that nobody could manage.
    if new.is_none() {
        assert_ne!(scene.place, Place::Detached, "nginx ignored USR2");
        return;
    }
    // Without a daemon it pays no heed to WINCH. People send it all the same.
    send(main, libc::SIGWINCH);
    send(main, libc::SIGQUIT);
    ends(main);
}

// gunicorn.

fn gunicorn(room: &Room, port: u16) -> Option<Server> {
    let python = python("gunicorn")?;
    room.file("app.py", "def app(environ, start):\n    start('200 OK', [])\n    return [b'ok']\n");
    let at = format!("127.0.0.1:{port}");
    let command = words(&[&python, "-m", "gunicorn", "-w", "2", "-b", &at, "--graceful-timeout", "5", "app:app"]);
    Some(Server { command, options: http(port), asks: Asks::Http, pid_file: None })
}

/// The second master and its workers.
fn second_master(scene: &Scene, main: i32) {
    send(main, libc::SIGUSR2);
    soon("a second master with its workers", || {
        scene.children(main).into_iter().any(|child| scene.children(child).len() == 2)
    });
}

fn gunicorn_upgrade(scene: &Scene, main: i32) {
    second_master(scene, main);
    // Its workers import the application after they are there.
    soon("all workers have booted", || scene.log().matches("Booting worker").count() >= 4);
    send(main, libc::SIGTERM);
    ends(main);
}

// unicorn and puma.

const RACKUP: &str = "run lambda { |_| [200, { 'content-type' => 'text/plain' }, ['ok']] }\n";

fn unicorn(room: &Room, port: u16) -> Option<Server> {
    room.file("config.ru", RACKUP);
    let configuration = format!(
        "worker_processes 2\nlisten '127.0.0.1:{port}'\npid '{0}/unicorn.pid'\nworking_directory '{0}'\n\
         preload_app true\nafter_fork {{ |_, worker| File.write(\"{0}/booted.#{{Process.pid}}\", '') }}\n",
        here(room)
    );
    let configuration = room.file("unicorn.rb", &configuration);
    let command = words(&[&find("unicorn")?, "-c", configuration.to_str()?, "config.ru"]);
    Some(Server { command, options: http(port), asks: Asks::Http, pid_file: None })
}

fn unicorn_upgrade(scene: &Scene, main: i32) {
    second_master(scene, main);
    send(main, libc::SIGQUIT);
    ends(main);
}

fn puma(room: &Room, port: u16) -> Option<Server> {
    room.file("config.ru", RACKUP);
    let at = format!("tcp://127.0.0.1:{port}");
    let command = words(&[&find("puma")?, "-b", &at, "-w", "2", "-t", "1:2", "config.ru"]);
    Some(Server { command, options: http(port), asks: Asks::Http, pid_file: None })
}

/// Waits until the main process has other children, as many, and none of those before.
fn all_children_change(scene: &Scene, main: i32, tell: i32) {
    let before = scene.children(main);
    send(main, tell);
    soon("all children are others", || {
        let now = scene.children(main);
        now.len() >= before.len() && !now.iter().any(|pid| before.contains(pid)) && scene.serves()
    });
}

fn booted_workers(scene: &Scene, main: i32) {
    soon("two workers", || scene.children(main).len() == 2);
}

fn puma_phased(scene: &Scene, main: i32) {
    booted_workers(scene, main);
    all_children_change(scene, main, libc::SIGUSR1);
}

fn puma_restart(scene: &Scene, main: i32) {
    booted_workers(scene, main);
    all_children_change(scene, main, libc::SIGUSR2);
}

// HAProxy.

fn haproxy(room: &Room, port: u16) -> Option<Server> {
    let configuration = format!(
        "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         frontend web\n bind 127.0.0.1:{port}\n http-request return status 200 content-type text/plain string ok\n"
    );
    let configuration = room.file("haproxy.cfg", &configuration);
    let command = words(&[&find("haproxy")?, "-W", "-db", "-f", configuration.to_str()?]);
    Some(Server { command, options: http(port), asks: Asks::Http, pid_file: None })
}

fn haproxy_reload(scene: &Scene, main: i32) {
    // Its workers serve before it hears signals.
    soon("it is up", || scene.log().contains("Loading success"));
    let before = scene.children(main);
    // It says so a moment before it hears signals, too.
    let mut again = std::time::Instant::now();
    // The old worker ends with its last connection.
    soon("another worker", || {
        if again <= std::time::Instant::now() {
            send(main, libc::SIGUSR2);
            again = std::time::Instant::now() + std::time::Duration::from_secs(4);
        }
        scene.children(main).iter().any(|pid| !before.contains(pid)) && scene.serves()
    });
}

// php-fpm.

fn php_fpm(room: &Room, port: u16) -> Option<Server> {
    php_fpm_that(room, port, "no")
}

fn php_fpm_daemon(room: &Room, port: u16) -> Option<Server> {
    php_fpm_that(room, port, "yes")
}

fn php_fpm_that(room: &Room, port: u16, daemonize: &str) -> Option<Server> {
    let programs = std::fs::read_dir("/usr/sbin").ok()?.flatten();
    let program = programs
        .map(|entry| entry.path())
        .find(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(|name| name.starts_with("php-fpm")))?;
    let user = if is_root() { "user = root\ngroup = root\n" } else { "" };
    let configuration = format!(
        "[global]\npid = {0}/fpm.pid\nerror_log = {0}/fpm.log\ndaemonize = {daemonize}\nprocess_control_timeout = 5s\n\
         [www]\n{user}listen = 127.0.0.1:{port}\npm = static\npm.max_children = 2\nping.path = /ping\n",
        here(room)
    );
    let configuration = room.file("fpm.conf", &configuration);
    let mut command = words(&[program.to_str()?, "-n", "-y", configuration.to_str()?]);
    if is_root() {
        command.push("-R".to_owned());
    }
    Some(Server {
        command,
        options: tcp(port),
        asks: Asks::FastCgi,
        pid_file: (daemonize == "yes").then_some("fpm.pid"),
    })
}

fn php_fpm_reload(scene: &Scene, main: i32) {
    booted_workers(scene, main);
    all_children_change(scene, main, libc::SIGUSR2);
}

// PostgreSQL.

/// Words before a command that make it the user's whom PostgreSQL's package brings: PostgreSQL refuses root.
fn as_its_user(room: &Room) -> Option<(Vec<String>, PathBuf)> {
    let data = room.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    if !is_root() {
        return Some((Vec::new(), data));
    }
    let user = nix::unistd::User::from_name("postgres").ok()??;
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    std::fs::set_permissions(room.path(), std::fs::Permissions::from_mode(0o711)).expect("set");
    chown(&data, Some(uid), Some(gid)).expect("owned");
    let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={gid}"));
    Some((words(&[&find("setpriv")?, &uid, &gid, "--clear-groups", "--"]), data))
}

fn database(room: &Room, port: u16, program: &str) -> Option<Server> {
    let (initdb, program, client) = (find("initdb")?, find(program)?, find("pg_isready")?);
    find("psql")?;
    let (prefix, data) = as_its_user(room)?;
    let at = data.to_str()?;
    let setup = [&initdb, "-D", at, "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8"];
    let setup = [prefix.clone(), words(&setup)].concat();
    done(Command::new(&setup[0]).args(&setup[1..]).current_dir(&data)).expect_code(0);
    let settings = format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={at} -F");
    let own = match program.ends_with("pg_ctl") {
        true => words(&[&program, "-D", at, "-l", &format!("{at}/log"), "-o", &settings, "start"]),
        false => [words(&[&program, "-D", at]), words(&settings.split(' ').collect::<Vec<_>>())].concat(),
    };
    let health = format!("exec:{client} -q -h 127.0.0.1 -p {port}");
    let options = words(&["--port", &port.to_string(), "--health", &health, "--grace", "5s"]);
    Some(Server {
        command: [prefix, own].concat(),
        options,
        asks: Asks::Postgres,
        pid_file: program.ends_with("pg_ctl").then_some("data/postmaster.pid"),
    })
}

fn postgres(room: &Room, port: u16) -> Option<Server> {
    database(room, port, "postgres")
}

fn pg_ctl(room: &Room, port: u16) -> Option<Server> {
    database(room, port, "pg_ctl")
}

/// A backend that is busy does not see that its postmaster is gone.
fn postmaster_killed(scene: &Scene, main: i32) {
    let mut client = Command::new(find("psql").expect("psql"));
    client.args(["-h", "127.0.0.1", "-p", &scene.port.to_string(), "-U", "postgres", "-c"]);
    client.arg("DO $$ BEGIN LOOP END LOOP; END $$").current_dir("/");
    let _client = Killed(client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("psql"));
    let busy = || {
        let line = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        scene.children(main).iter().any(|pid| String::from_utf8_lossy(&line(pid)).contains(" DO"))
    };
    soon("a busy backend", busy);
    killed(scene, main);
}

// One that updates itself.

const SELF_UPDATE: &str = r#"
import http.server, os, signal, subprocess, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % os.getpid())
    def log_message(self, *_):
        pass

def leave(new):
    while not os.path.exists("waits.%d" % new):
        time.sleep(0.001)
    os._exit(0)

def update(*_):
    if sys.argv[2] == "spawn":
        new = subprocess.Popen([sys.executable] + sys.argv)
        threading.Thread(target=leave, args=(new.pid,)).start()
    else:
        os.execv(sys.executable, [sys.executable] + sys.argv)

signal.signal(signal.SIGUSR2, update)
# From here on it only waits for the port.
open("waits.%d" % os.getpid(), "w").close()
while True:
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    except OSError:
        time.sleep(0.001)
    else:
        open("booted.%d" % time.monotonic_ns(), "w").close()
        server.serve_forever()
"#;

fn self_update(room: &Room, port: u16, how: &str) -> Option<Server> {
    room.file("self.py", SELF_UPDATE);
    let command = words(&[&python("http.server")?, "self.py", &port.to_string(), how]);
    Some(Server { command, options: http(port), asks: Asks::Http, pid_file: None })
}

fn spawns(room: &Room, port: u16) -> Option<Server> {
    self_update(room, port, "spawn")
}

fn executes(room: &Room, port: u16) -> Option<Server> {
    self_update(room, port, "execv")
}

fn updates(scene: &Scene, main: i32) {
    let booted = || {
        let entries = std::fs::read_dir(scene.room.path()).expect("a folder").flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("booted.")).count()
    };
    let before = booted();
    send(main, libc::SIGUSR2);
    soon("it has started again", || booted() > before && scene.serves());
}

// npm.

/// npm's own, or where there is none, a wrapper that does as it: the server is its child.
fn npm(room: &Room, port: u16) -> Option<Server> {
    let command = match (find("npm"), find("node")) {
        (Some(npm), Some(_)) => {
            room.file(
                "package.json",
                r#"{ "name": "web", "version": "1.0.0", "scripts": { "start": "node server.js" } }"#,
            );
            let server = format!("require('http').createServer((_, a) => a.end('ok')).listen({port}, '127.0.0.1')\n");
            room.file("server.js", &server);
            room.file(".npmrc", "update-notifier=false\n");
            words(&[&npm, "start"])
        }
        _ => {
            let npm = room.fixture_called("npm");
            words(&[npm.to_str()?, "run", fixture().to_str()?, "serve", &port.to_string()])
        }
    };
    Some(Server { command, options: http(port), asks: Asks::Http, pid_file: None })
}

// uvicorn.

const ASGI: &str = "async def app(scope, receive, send):
    if scope['type'] == 'http':
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        await send({'type': 'http.response.body', 'body': b'ok'})
";

fn uvicorn(room: &Room, port: u16, how: &[&str]) -> Option<Server> {
    room.file("app.py", ASGI);
    let port_word = port.to_string();
    let program = [&python("uvicorn")?, "-m", "uvicorn", "app:app", "--lifespan", "off", "--port", &port_word];
    let command = words(&[&program[..], how].concat());
    Some(Server { command, options: http(port), asks: Asks::Http, pid_file: None })
}

fn uvicorn_reload(room: &Room, port: u16) -> Option<Server> {
    uvicorn(room, port, &["--reload"])
}

fn uvicorn_workers(room: &Room, port: u16) -> Option<Server> {
    uvicorn(room, port, &["--workers", "2"])
}

fn edited(scene: &Scene, main: i32) {
    let serving = || scene.children(main);
    let before = serving();
    // It looks at the time of the file.
    let file = std::fs::File::options().append(true).open(scene.path("app.py")).expect("the file");
    file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5)).expect("touched");
    soon("another worker", || serving().iter().any(|pid| !before.contains(pid)) && scene.serves());
}

// Celery, which has no port.

pub fn celery(room: &Room) -> Option<Server> {
    std::fs::create_dir(room.path().join("queue")).expect("a folder");
    let tasks = format!(
        "import time\nfrom celery import Celery\n\
         where = {{'data_folder_in': '{0}/queue', 'data_folder_out': '{0}/queue'}}\n\
         app = Celery('tasks', broker='filesystem://', broker_transport_options=where)\n\
         @app.task\ndef work(seconds):\n    open('{0}/started', 'w').close()\n    time.sleep(seconds)\n    \
         open('{0}/finished', 'w').close()\n",
        here(room)
    );
    room.file("tasks.py", &tasks);
    let command = words(&[&python("celery")?, "-m", "celery", "-A", "tasks", "worker", "-c", "1"]);
    Some(Server { command, options: words(&["--port", "0", "--grace", "30s"]), asks: Asks::Nothing, pid_file: None })
}

/// Has a task begun.
pub fn celery_works(scene: &Scene, seconds: u32) {
    let mut task = Command::new("/usr/bin/python3");
    task.args(["-c", &format!("import tasks; tasks.work.delay({seconds})")]).current_dir(scene.room.path());
    done(&mut task).expect_code(0);
    soon("the task has begun", || scene.path("started").exists());
}
