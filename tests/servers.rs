//! Real servers, in both modes: nginx, redis, PostgreSQL and Python's. What is not installed is skipped.

mod common;

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use common::process::{in_own_session, pids, send};
use common::{Done, Room, accepts, alive, collect, done, eventually, find, free_port, holds_within, is_root, text};

/// A server and how forerun is told of it.
struct Server {
    room: Room,
    port: u16,
    options: Vec<String>,
    command: Vec<String>,
    /// What the main process is called once it runs.
    comm: &'static str,
}

impl Server {
    fn forerun(&self, options: &[&str]) -> Command {
        let mut command = self.room.forerun();
        command.args(["--name", "server", "--port", &self.port.to_string()]).args(&self.options).args(options);
        command.arg("--").args(&self.command);
        command
    }

    #[track_caller]
    fn detach(&self, options: &[&str]) -> i32 {
        let done = done(&mut self.forerun(&[&["--detach", "--json"], options].concat())).expect_code(0);
        assert!(accepts(self.port));
        answer(&done)["pid"].as_i64().expect("a pid") as i32
    }

    fn stop(&self) -> Command {
        let mut command = self.room.forerun();
        command.args(["stop", "server"]);
        command
    }

    /// Its processes. Not by their environment, which most of these overwrite: by the folder that they run in.
    fn processes(&self) -> Vec<i32> {
        let ours = |pid: &i32| {
            let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            folder.starts_with(self.room.path()) && alive(*pid)
        };
        pids().into_iter().filter(ours).collect()
    }

    #[track_caller]
    fn assert_gone(&self) {
        eventually("all of it is gone", || self.processes().is_empty());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.processes().into_iter().for_each(|pid| send(pid, libc::SIGKILL));
        holds_within(common::DEADLINE, || self.processes().is_empty());
    }
}

#[track_caller]
fn answer(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).expect("JSON")
}

fn comm(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

// What is promised of each.

fn is_ready_detached_and_ends_when_told(server: &Server) {
    let pid = server.detach(&[]);
    assert_eq!(comm(pid), server.comm);
    assert_eq!(server.detach(&[]), pid);
    send(pid, libc::SIGTERM);
    server.assert_gone();
}

fn is_replaced_with_all_its_workers(server: &Server) {
    let first = server.detach(&[]);
    let before = server.processes();
    assert!(before.contains(&first));
    let second = server.detach(&["--replace"]);
    assert_ne!(first, second);
    assert!(!before.iter().any(|pid| alive(*pid)), "{before:?}");
    assert_eq!(comm(second), server.comm);
}

fn is_the_process_that_was_started_in_the_foreground(server: &Server) {
    let mut command = server.forerun(&["--foreground", "--wait", "exec:true"]);
    let mut child: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawned");
    let pid = child.id() as i32;
    let up = holds_within(common::DEADLINE, || accepts(server.port) || child.try_wait().expect("waited").is_some());
    assert!(up && comm(pid) == server.comm, "{}", comm(pid));
    // forerun takes a detached start of it for the same service.
    let again = done(&mut server.forerun(&["--detach", "--json"])).expect_code(0);
    assert_eq!(answer(&again)["pid"], pid);
    send(pid, libc::SIGTERM);
    let _ = collect(child);
    server.assert_gone();
}

/// Kills a process and waits until its number is free: a zombie still answers to it.
#[track_caller]
fn kill(pid: i32) {
    send(pid, libc::SIGKILL);
    eventually("it is gone", || !Path::new(&format!("/proc/{pid}")).exists());
}

/// After a SIGKILL of main: `remains` is what is found, told, and cleared by the next start, and by a stop.
fn is_cleared_when_main_was_killed(server: &Server, remain: bool) {
    let mut main = server.detach(&[]);
    for next in ["start", "stop"] {
        let before = server.processes();
        kill(main);
        if remain {
            assert!(accepts(server.port), "the workers hold the port");
            let status = done(server.room.forerun().args(["status", "server"])).expect_code(1);
            let left = format!("left    {} processes of it; to stop it: forerun stop server", before.len() - 1);
            assert!(status.stdout.contains(&left), "{}", status.stdout);
        } else {
            server.assert_gone();
        }
        let command = if next == "start" { &mut server.forerun(&["--detach", "--json"]) } else { &mut server.stop() };
        let done = done(command).expect_code(0);
        assert!(before.iter().all(|pid| !alive(*pid)), "{next}: {before:?}");
        if next == "start" {
            assert_eq!(
                done.stderr.contains(&format!("stopping what pid {main} left behind")),
                remain,
                "{}",
                done.stderr
            );
            main = answer(&done)["pid"].as_i64().expect("a pid") as i32;
            assert!(accepts(server.port) && alive(main));
        } else {
            let said = if remain { "server was not running; stopped " } else { "server is not running" };
            assert!(done.stdout.starts_with(said), "{}", done.stdout);
            assert!(!accepts(server.port));
        }
    }
}

fn is_cleared_in_the_foreground(server: &Server) {
    let start = || -> common::Killed {
        let mut command = server.forerun(&["--foreground"]);
        let child = in_own_session(&mut command).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        common::Killed(child.expect("spawned"))
    };
    let serves = |child: &common::Killed| {
        let recorded = || server.room.record("server")["process"]["pid"] == child.0.id();
        let status = || done(server.room.forerun().args(["status", "server"])).code == Some(0);
        eventually("it serves", || accepts(server.port) && recorded() && status());
    };
    let first = start();
    serves(&first);
    let before = server.processes();
    drop(first);
    let second = start();
    serves(&second);
    assert!(before.iter().all(|pid| !alive(*pid)), "{before:?}");
    // By hand, so it obeys.
    let stopped = done(&mut server.stop()).expect_code(0);
    assert!(stopped.stdout.starts_with(&format!("stopped server: pid {} and ", second.0.id())), "{}", stopped.stdout);
    assert_eq!(server.processes(), Vec::<i32>::new());
}

fn is_stopped_with_its_workers(server: &Server) {
    let main = server.detach(&[]);
    let stopped = done(&mut server.stop()).expect_code(0);
    let workers = stopped.stdout.strip_prefix(&format!("stopped server: pid {main} and ")).unwrap_or_default();
    let workers: usize = workers.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default();
    assert!(workers > 1, "{}", stopped.stdout);
    assert_eq!(server.processes(), Vec::<i32>::new());
    assert!(!accepts(server.port));
}

// nginx.

fn nginx(daemon: &str) -> Option<Server> {
    let (room, port) = (Room::new(), free_port());
    let here = text(room.path());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/{kind};"))
        .concat();
    // As root the workers would be of another user, who may not enter this folder.
    let user = if is_root() { "user root;" } else { "" };
    let configuration = format!(
        "{user} daemon {daemon}; worker_processes 2; pid {here}/nginx.pid; error_log {here}/error.log;
         events {{}} http {{ access_log off; {temporary}
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 'hello'; }} }} }}"
    );
    let configuration = text(&room.file("nginx.conf", &configuration));
    let options =
        ["--health", &format!("http://127.0.0.1:{port}/"), "--health-body", "hello"].map(str::to_owned).into();
    let program = text(&find("nginx")?);
    let command = [&program, "-p", &here, "-e", "stderr", "-c", &configuration].map(str::to_owned).into();
    Some(Server { room, port, options, command, comm: "nginx" })
}

#[test]
fn nginx_is_ready_detached_and_ends_when_told() {
    let server = nginx("off");
    skip_unless!(server.is_some(), "nginx is not installed");
    server.iter().for_each(is_ready_detached_and_ends_when_told);
}

#[test]
fn nginx_is_replaced_with_all_its_workers() {
    let server = nginx("off");
    skip_unless!(server.is_some(), "nginx is not installed");
    server.iter().for_each(is_replaced_with_all_its_workers);
}

#[test]
fn nginx_is_the_process_that_was_started_in_the_foreground() {
    let server = nginx("off");
    skip_unless!(server.is_some(), "nginx is not installed");
    server.iter().for_each(is_the_process_that_was_started_in_the_foreground);
}

#[test]
fn nginx_that_puts_itself_into_the_background_is_followed_with_a_hint() {
    let server = nginx("on");
    skip_unless!(server.is_some(), "nginx is not installed");
    for server in server.iter() {
        let done = done(&mut server.forerun(&["--detach"])).expect_code(0);
        done.expect_stderr(&["put itself into the background", "daemon off"]);
        assert!(!server.processes().is_empty());
        server.room.run(&["stop", "server"]).expect_code(0);
        assert_eq!(server.processes(), Vec::<i32>::new());
    }
}

#[test]
fn a_second_nginx_on_the_port_is_told_of_the_first() {
    let servers = (nginx("off"), nginx("off"));
    skip_unless!(servers.0.is_some(), "nginx is not installed");
    if let (Some(first), Some(mut second)) = servers {
        let pid = first.detach(&[]);
        second.port = first.port;
        let done = done(&mut second.forerun(&["--detach"])).expect_code(75);
        // Its listening socket is shared with the workers.
        let holders = first.processes();
        assert!(
            holders.iter().any(|pid| done.stderr.contains(&format!("pid {pid} ("))) && alive(pid),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn nginx_is_stopped_with_its_workers() {
    let server = nginx("off");
    skip_unless!(server.is_some(), "nginx is not installed");
    server.iter().for_each(is_stopped_with_its_workers);
}

#[test]
fn nginx_workers_that_keep_the_port_are_cleared() {
    let server = nginx("off");
    skip_unless!(server.is_some(), "nginx is not installed");
    server.iter().for_each(|server| is_cleared_when_main_was_killed(server, true));
}

#[test]
fn nginx_workers_that_keep_the_port_are_cleared_in_the_foreground() {
    let server = nginx("off");
    skip_unless!(server.is_some(), "nginx is not installed");
    server.iter().for_each(is_cleared_in_the_foreground);
}

#[test]
fn an_nginx_worker_that_hears_nothing_is_killed_after_the_grace() {
    let server = nginx("off");
    skip_unless!(server.is_some(), "nginx is not installed");
    for server in server.iter() {
        let main = server.detach(&[]);
        let workers: Vec<_> = server.processes().into_iter().filter(|pid| *pid != main).collect();
        send(workers[0], libc::SIGSTOP);
        kill(main);
        server.detach(&["--grace", "300ms"]);
        assert!(workers.iter().all(|pid| !alive(*pid)), "{workers:?}");
    }
}

// redis.

fn redis() -> Option<Server> {
    let (room, port) = (Room::new(), free_port());
    let (program, client) = (text(&find("redis-server")?), text(&find("redis-cli")?));
    let health = format!("exec:'{client}' -p {port} ping | grep -q PONG");
    let here = text(room.path());
    let arguments =
        ["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir", &here, "--save", "", "--daemonize", "no"];
    let command = [&[program.as_str()], &arguments[..]].concat().into_iter().map(str::to_owned).collect();
    Some(Server { room, port, options: vec!["--health".to_owned(), health], command, comm: "redis-server" })
}

#[test]
fn redis_is_ready_detached_and_ends_when_told() {
    let server = redis();
    skip_unless!(server.is_some(), "redis is not installed");
    server.iter().for_each(is_ready_detached_and_ends_when_told);
}

#[test]
fn redis_is_replaced_with_all_its_workers() {
    let server = redis();
    skip_unless!(server.is_some(), "redis is not installed");
    server.iter().for_each(is_replaced_with_all_its_workers);
}

#[test]
fn redis_is_the_process_that_was_started_in_the_foreground() {
    let server = redis();
    skip_unless!(server.is_some(), "redis is not installed");
    server.iter().for_each(is_the_process_that_was_started_in_the_foreground);
}

// PostgreSQL.

/// Words that make a command the user's whom PostgreSQL's package brings, before it: PostgreSQL refuses root.
fn as_user(user: u32, group: u32) -> Option<Vec<String>> {
    let (reuid, regid) = (format!("--reuid={user}"), format!("--regid={group}"));
    Some(vec![text(&find("setpriv")?), reuid, regid, "--clear-groups".to_owned(), "--".to_owned()])
}

fn postgres() -> Option<Server> {
    let (room, port) = (Room::new(), free_port());
    let (initdb, program, client) = (find("initdb")?, find("postgres")?, find("pg_isready")?);
    let user = if is_root() { Some(nix::unistd::User::from_name("postgres").ok()??) } else { None };
    let owner = user.map(|user| (user.uid.as_raw(), user.gid.as_raw()));
    let prefix = match owner {
        Some((user, group)) => as_user(user, group)?,
        None => Vec::new(),
    };
    let data = room.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    if let Some((user, group)) = owner {
        std::fs::set_permissions(room.path(), std::fs::Permissions::from_mode(0o711)).expect("set");
        chown(&data, Some(user), Some(group)).expect("owned");
    }
    let here = text(&data);
    let words = |program: &Path, arguments: &[&str]| -> Vec<String> {
        let own = [&[text(program)][..], &arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>()].concat();
        [prefix.clone(), own].concat()
    };
    let setup =
        words(&initdb, &["-D", &here, "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8"]);
    done(Command::new(&setup[0]).args(&setup[1..]).current_dir(&data)).expect_code(0);
    let sockets = format!("unix_socket_directories={here}");
    let arguments = ["-D", &here, "-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", &sockets, "-F"];
    let health = format!("exec:'{}' -q -h 127.0.0.1 -p {port}", text(&client));
    let command = words(&program, &arguments);
    Some(Server { room, port, options: vec!["--health".to_owned(), health], command, comm: "postgres" })
}

#[test]
fn postgresql_is_ready_detached_and_ends_when_told() {
    let server = postgres();
    skip_unless!(server.is_some(), "PostgreSQL is not installed");
    server.iter().for_each(is_ready_detached_and_ends_when_told);
}

#[test]
fn postgresql_is_replaced_with_all_its_workers() {
    let server = postgres();
    skip_unless!(server.is_some(), "PostgreSQL is not installed");
    server.iter().for_each(is_replaced_with_all_its_workers);
}

#[test]
fn postgresql_is_the_process_that_was_started_in_the_foreground() {
    let server = postgres();
    skip_unless!(server.is_some(), "PostgreSQL is not installed");
    server.iter().for_each(is_the_process_that_was_started_in_the_foreground);
}

#[test]
fn postgresql_is_stopped_with_its_workers_and_starts_again_when_main_was_killed() {
    let server = postgres();
    skip_unless!(server.is_some(), "PostgreSQL is not installed");
    for server in server.iter() {
        is_stopped_with_its_workers(server);
        // They see that it is gone, and end by themselves: nothing is left to be cleared.
        is_cleared_when_main_was_killed(server, false);
        // One that hears nothing. It is in a session of its own: while main lives, it is found as its child.
        let main = server.detach(&[]);
        let worker = server.processes().into_iter().find(|pid| *pid != main).expect("a worker");
        send(worker, libc::SIGSTOP);
        done(server.stop().args(["--grace", "300ms"])).expect_code(0);
        assert_eq!(server.processes(), Vec::<i32>::new());
    }
}

#[test]
fn a_server_is_started_when_the_postgresql_that_it_waits_for_answers() {
    let database = postgres();
    skip_unless!(database.is_some(), "PostgreSQL is not installed");
    for database in database.iter() {
        let room = Room::new();
        let wait = format!("tcp:127.0.0.1:{}", database.port);
        let mut waiting = room.forerun();
        waiting.args(["--detach", "--name", "web", "--wait", &wait, "--", "/bin/sh", "-c", "exec sleep 100"]);
        let child = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
        eventually("the wait begins", || room.state().join("web/record.json").exists());
        database.detach(&[]);
        let output = collect(child);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

// tmux, from inside a server.

/// A server whose child starts a tmux server: that is a person's, and left alone, unless all is to end.
#[test]
fn a_tmux_server_from_inside_is_left_alone_and_named_until_all_is_to_end() {
    skip_unless!(find("tmux").is_some(), "tmux is not installed");
    let (room, port) = (Room::new(), free_port());
    let socket = text(&room.path().join("tmux"));
    let command = format!(
        "tmux -S '{socket}' -f /dev/null has-session 2>/dev/null || tmux -S '{socket}' -f /dev/null new-session -d 'exec sleep 300'
         exec '{}' serve {port}",
        common::fixture().display()
    );
    let forerun = |options: &[&str]| {
        let mut forerun = room.forerun();
        let url = format!("http://127.0.0.1:{port}/");
        forerun.args(["--detach", "--json", "--name", "web", "--health", &url]).args(options);
        done(forerun.args(["--", "/bin/sh", "-c", &command])).expect_code(0)
    };
    let server = |done: &Done| answer(done)["pid"].as_i64().expect("a pid") as i32;
    let first = server(&forerun(&[]));
    let find_tmux = || -> i32 {
        let said =
            Command::new("tmux").args(["-S", &socket, "display-message", "-p", "#{pid}"]).output().expect("tmux");
        String::from_utf8_lossy(&said.stdout).trim().parse().expect("a pid")
    };
    let tmux = find_tmux();
    let is_well = |what: &str| assert!(alive(tmux), "{what}");
    // A SIGKILL of main, and a start.
    kill(first);
    is_well("main was killed");
    let second = server(&forerun(&[]));
    is_well("a start");
    assert!(second != first && accepts(port));
    // A replacement, and a stop.
    forerun(&["--replace"]);
    is_well("a replacement");
    // It was started by the first instance; this one's own is another.
    done(room.forerun().args(["stop", "web"])).expect_code(0);
    is_well("a stop");
    send(tmux, libc::SIGKILL);
    eventually("it is gone", || !alive(tmux));
    // One of this very instance.
    forerun(&[]);
    let tmux = find_tmux();
    let stopped = done(room.forerun().args(["stop", "web"])).expect_code(0);
    let said = stopped.stderr;
    assert!(said.contains("left alone") && said.contains(&format!("pid {tmux} (")) && said.contains("--all"), "{said}");
    assert!(alive(tmux) && !accepts(port));
    done(room.forerun().args(["stop", "web", "--all"])).expect_code(0);
    eventually("all is gone", || !alive(tmux));
}

// Python.

fn python() -> Option<Server> {
    let (room, port) = (Room::new(), free_port());
    room.file("index.html", "hello");
    // Not a version manager's script in its place: that has another name while it starts.
    let found = find("python3")?;
    let program = Command::new(found).args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
    let program = String::from_utf8(program.stdout).ok()?.trim().to_owned();
    let options =
        ["--health", &format!("http://127.0.0.1:{port}/"), "--health-body", "hello"].map(str::to_owned).into();
    let linked = room.path().join("python3");
    std::os::unix::fs::symlink(program, &linked).ok()?;
    let command =
        [&text(&linked), "-m", "http.server", &port.to_string(), "--bind", "127.0.0.1"].map(str::to_owned).into();
    Some(Server { room, port, options, command, comm: "python3" })
}

#[test]
fn python_is_ready_detached_and_ends_when_told() {
    let server = python();
    skip_unless!(server.is_some(), "python3 is not installed");
    server.iter().for_each(is_ready_detached_and_ends_when_told);
}

#[test]
fn python_is_replaced_with_all_its_workers() {
    let server = python();
    skip_unless!(server.is_some(), "python3 is not installed");
    server.iter().for_each(is_replaced_with_all_its_workers);
}

#[test]
fn python_is_the_process_that_was_started_in_the_foreground() {
    let server = python();
    skip_unless!(server.is_some(), "python3 is not installed");
    server.iter().for_each(is_the_process_that_was_started_in_the_foreground);
}
