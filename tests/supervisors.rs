//! Under real supervisors: the bug that forerun is for, and that it is gone with forerun in the script's place.

mod common;
#[path = "supervisors/harness.rs"]
mod harness;

/// Skips a test where the supervisor cannot run.
macro_rules! needs {
    ($kind:expr) => {
        let missing = $kind.missing();
        skip_unless!(missing.is_none(), "{:?}: {}", $kind, missing.unwrap_or_default());
    };
}

#[path = "supervisors/systemd.rs"]
mod systemd;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use common::{Room, eventually, fixture, free_port, holds_within};
use harness::{Kind, Service, Supervisor, lines, script};

const FORERUN: &str = env!("CARGO_BIN_EXE_forerun");

/// The tests that every supervisor has to pass.
macro_rules! under {
    ($($module:ident $kind:expr),*) => {$(
        mod $module {
            use super::*;

            #[test]
            fn a_script_that_leaves_its_server_in_the_background_is_restarted_into_port_conflicts() {
                bootstrap_script($kind);
            }

            #[test]
            fn ten_kills_of_the_server_are_ten_restarts_and_no_conflict() {
                ten_kills($kind);
            }

            #[test]
            fn the_server_finds_what_it_would_find_without_forerun() {
                same_surroundings($kind);
            }
        }
    )*};
}

under!(under_systemd Kind::Systemd, under_runit Kind::Runit, under_s6 Kind::S6, under_supervisord Kind::Supervisord);

/// What a server answers: with `--answer-pid` the pid of who listens.
fn answer(port: u16) -> Option<i32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n")?.1.parse().ok()
}

/// Waits for an answer from another process than `before`.
fn next_answer(port: u16, before: i32) -> i32 {
    let mut pid = before;
    eventually("another server answers", || {
        pid = answer(port).unwrap_or(before);
        pid != before
    });
    pid
}

/// The bug: the script starts the server behind the supervisor's back, finds something healthy and leaves. The
/// supervisor sees its service end and starts the script again, which finds the port taken, and so on.
fn bootstrap_script(kind: Kind) {
    needs!(kind);
    let room = Room::new();
    let port = free_port();
    let log = room.path().join("server.log");
    let text = format!(
        "#!/bin/bash\nsetsid nohup {} serve {port} --answer-pid </dev/null >>{} 2>&1 &\n\
         until (: <>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.02; done\n",
        fixture().display(),
        log.display(),
    );
    let start = room.path().join("start.sh");
    script(&start, &text);
    let mut web = Service::new("web", start.display().to_string());
    if kind == Kind::Systemd {
        // Without it systemd kills the server each time that the script ends: restarts without end.
        web.more = "KillMode=process";
    }
    let supervisor = Supervisor::boot(kind, &room, &[web]);
    let counts = || (supervisor.restarts(&room, "web"), lines(&log, "cannot bind port"));
    eventually("restarts and port conflicts", || {
        let (restarts, conflicts) = counts();
        restarts >= 3 && conflicts >= 3
    });
    let server = answer(port).expect("the first server is there all the time");
    assert_ne!(supervisor.pid("web"), Some(server), "the supervisor knows the server");
    let (restarts, conflicts) = counts();
    eprintln!("{kind:?}, start.sh: {restarts} restarts, {conflicts} port conflicts");
}

/// The same with forerun: the server is the process that the supervisor started.
fn ten_kills(kind: Kind) {
    needs!(kind);
    let room = Room::new();
    let port = free_port();
    let awaited = TcpListener::bind("127.0.0.1:0").expect("a port");
    let command = format!(
        "{FORERUN} --name web --wait tcp:{} --health http://127.0.0.1:{port}/ -- {} serve {port} --answer-pid",
        awaited.local_addr().expect("its address"),
        fixture().display(),
    );
    let supervisor = Supervisor::boot(kind, &room, &[Service::new("web", command)]);
    // On a busy machine the server answers before its supervisor has written down that it started it.
    let knows = |server: i32| {
        eventually("the supervisor's pid is the server's", || supervisor.pid("web") == Some(server));
    };
    let mut server = next_answer(port, 0);
    for _ in 0..10 {
        knows(server);
        supervisor.kill(server);
        server = next_answer(port, server);
    }
    knows(server);
    let log = room.path().join("log");
    let restarts = supervisor.restarts(&room, "web");
    let conflicts = lines(&log, "cannot bind port") + lines(&log, "is held by");
    assert_eq!((restarts, conflicts), (10, 0), "{}", fs::read_to_string(&log).unwrap_or_default());
    assert_eq!(lines(&log, "listening"), 11);
    eprintln!("{kind:?}, forerun: {restarts} restarts, {conflicts} port conflicts");
}

/// Two services with one server: one has forerun before it.
fn same_surroundings(kind: Kind) {
    needs!(kind);
    let room = Room::new();
    let services =
        [Service::new("plain", "/bin/sleep 1000"), Service::new("web", format!("{FORERUN} -- /bin/sleep 1000"))];
    let supervisor = Supervisor::boot(kind, &room, &services);
    let pid_of = |service: &str| {
        let mut pid = None;
        eventually("the server runs", || {
            pid = supervisor.pid(service);
            let comm = pid.map(|pid| fs::read_to_string(supervisor.proc(pid, "comm")).unwrap_or_default());
            comm.as_deref() == Some("sleep\n")
        });
        pid.expect("a pid")
    };
    let (plain, web) = (pid_of("plain"), pid_of("web"));
    // A program that is still being loaded has its libraries open, for a moment.
    let both = || (Surroundings::of(&supervisor, web), Surroundings::of(&supervisor, plain));
    let mut seen = both();
    holds_within(Duration::from_secs(5), || {
        seen = both();
        seen.0 == seen.1
    });
    let (web, plain) = seen;
    assert_eq!(web, plain);
    let ignored: &[i32] = match kind {
        Kind::Systemd => &[libc::SIGPIPE],
        Kind::Supervisord => &[libc::SIGPIPE, libc::SIGXFSZ],
        Kind::Runit | Kind::S6 => &[],
    };
    assert_eq!(plain.ignored, ignored);
}

/// What a supervisor gives to a process.
#[derive(PartialEq, Debug)]
struct Surroundings {
    parent: String,
    leads: (bool, bool),
    descriptors: Vec<String>,
    ignored: Vec<i32>,
    others: Vec<String>,
}

impl Surroundings {
    fn of(supervisor: &Supervisor, pid: i32) -> Self {
        let read = |pid: i32, file: &str| fs::read_to_string(supervisor.proc(pid, file)).expect("readable");
        let (stat, status) = (read(pid, "stat"), read(pid, "status"));
        let fields: Vec<i32> = stat
            .rsplit(") ")
            .next()
            .unwrap_or("")
            .split(' ')
            .skip(1)
            .take(3)
            .map(|f| f.parse().expect("a number"))
            .collect();
        let mut descriptors: Vec<_> = fs::read_dir(supervisor.proc(pid, "fd"))
            .expect("readable")
            .flatten()
            .map(|fd| {
                format!(
                    "{} {}",
                    fd.file_name().to_string_lossy(),
                    kind_of(&fs::read_link(fd.path()).unwrap_or_default())
                )
            })
            .collect();
        descriptors.sort();
        let field = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        let others = ["SigBlk", "SigCgt", "SigPnd", "ShdPnd", "Umask", "Groups", "Threads", "Seccomp", "NoNewPrivs"];
        Surroundings {
            parent: read(fields[0], "comm"),
            leads: (fields[1] == pid, fields[2] == pid),
            descriptors,
            ignored: signals(&field("SigIgn")),
            others: others.map(field).into_iter().chain([read(pid, "limits")]).collect(),
        }
    }
}

/// Numbers of pipes and sockets differ between two processes.
fn kind_of(target: &Path) -> String {
    target.to_string_lossy().split(":[").next().unwrap_or_default().to_owned()
}

/// The signals of a line of /proc/PID/status; those from 32 on are the C library's business.
pub fn signals(line: &str) -> Vec<i32> {
    let mask = line.split_whitespace().nth(1).and_then(|mask| u64::from_str_radix(mask, 16).ok()).expect("a mask");
    (1..32).filter(|signal| mask & 1 << (signal - 1) != 0).collect()
}

/// A permanent failure says so with one code, which each supervisor has its own way to stop at.
fn permanent_failure(kind: Kind, room: &Room, more: &str) -> Supervisor {
    let command = format!("{FORERUN} --name web -- no-such-command-anywhere");
    Supervisor::boot(kind, room, &[Service { name: "web", command, more }])
}

#[test]
fn a_finish_of_s6_sees_78_and_ends_the_loop() {
    needs!(Kind::S6);
    let room = Room::new();
    let finish = format!("echo \"finish $1\" >>{}; [ \"$1\" != 78 ] || exit 125", room.path().join("log").display());
    let supervisor = permanent_failure(Kind::S6, &room, &finish);
    eventually("it stays down", || {
        supervisor.inside(&["s6-svstat", "-o", "up,wantedup", &web(&room)]) == "false false"
    });
    assert_eq!((supervisor.restarts(&room, "web"), lines(&room.path().join("log"), "finish 78")), (0, 1));
}

#[test]
fn a_finish_of_runit_sees_78_and_ends_the_loop() {
    needs!(Kind::Runit);
    let room = Room::new();
    let finish =
        format!("echo \"finish $1\" >>{}; [ \"$1\" != 78 ] || exec sv down .", room.path().join("log").display());
    let supervisor = permanent_failure(Kind::Runit, &room, &finish);
    let finished = || lines(&room.path().join("log"), "finish 78");
    eventually("it stays down", || {
        let status = supervisor.status("web");
        finished() > 0 && status.starts_with("down: ") && !status.contains("want up")
    });
    assert_eq!((supervisor.restarts(&room, "web"), finished()), (0, 1));
}

#[test]
fn supervisord_stops_at_78_where_it_is_an_expected_exit_code() {
    needs!(Kind::Supervisord);
    let room = Room::new();
    let supervisor = permanent_failure(Kind::Supervisord, &room, "autorestart=unexpected\nexitcodes=0,78");
    eventually("it has ended", || supervisor.status("web").contains("EXITED"));
    let log = room.path().join("supervisor/log");
    assert_eq!((supervisor.restarts(&room, "web"), lines(&log, "exit status 78; expected")), (0, 1));
}

fn web(room: &Room) -> String {
    room.path().join("supervisor/web").display().to_string()
}
