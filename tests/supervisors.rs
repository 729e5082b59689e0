//! Tests under real supervisors: the bug that forerun solves, and that it is gone once the script executes forerun.

mod common;
#[path = "supervisors/harness.rs"]
mod harness;

/// Skips a test if the supervisor cannot run.
macro_rules! needs {
    ($kind:expr) => {
        let missing = $kind.missing();
        skip_unless!(missing.is_none(), "{:?}: {}", $kind, missing.unwrap_or_default());
    };
}

#[path = "supervisors/ready.rs"]
mod ready;
#[path = "supervisors/sidecar.rs"]
mod sidecar;
#[path = "supervisors/systemd.rs"]
mod systemd;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Room, answer, eventually, fixture, free_port, holds_within};
use harness::{Kind, Service, Supervisor, lines, script};

const FORERUN: common::Forerun = common::Forerun;

/// The tests that every supervisor must pass.
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

            #[test]
            fn a_stranger_on_the_port_is_waited_for_without_a_restart() {
                stranger($kind);
            }

            #[test]
            fn a_detached_instance_is_waited_for_without_a_restart() {
                detached_instance($kind);
            }

            #[test]
            fn stop_and_restart_refuse_and_print_the_commands_that_do_it() {
                refusals($kind);
            }
        }
    )*};
}

under!(under_systemd Kind::Systemd, under_runit Kind::Runit, under_s6 Kind::S6, under_supervisord Kind::Supervisord);

/// Waits for an answer from a process other than `before`.
fn next_answer(port: u16, before: i32) -> i32 {
    let mut pid = before;
    eventually("another server answers", || {
        pid = answer(port).unwrap_or(before);
        pid != before
    });
    pid
}

/// The bug: the script starts the server in the background, finds something healthy and ends. The supervisor sees its
/// service end and starts the script again, which finds the port taken, and so on.
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
        // Otherwise systemd kills the server each time the script ends: restarts without end.
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
    // On a busy machine the server answers before its supervisor has recorded the start.
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

/// A service with health on this port.
fn serving(name: &str, port: u16) -> String {
    format!("--name {name} --health http://127.0.0.1:{port}/ -- {} serve {port} --answer-pid", fixture().display())
}

/// Waits until the service's own process serves.
fn serves(supervisor: &Supervisor, service: &str, port: u16) -> i32 {
    let mut pid = None;
    eventually("the supervisor's process serves", || {
        pid = answer(port);
        pid.is_some() && pid == supervisor.pid(service)
    });
    pid.expect("a pid")
}

/// Waits until forerun stands by for the service.
fn stands_by(room: &Room) {
    eventually("it stands by", || lines(&room.path().join("log"), "forerun: standby: ") > 0);
}

/// Another process holds the port: there is one start, which waits.
fn stranger(kind: Kind) {
    needs!(kind);
    let room = Room::new();
    let port = free_port();
    let holder = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let supervisor =
        Supervisor::boot(kind, &room, &[Service::new("web", format!("{FORERUN} {}", serving("web", port)))]);
    stands_by(&room);
    let standby = supervisor.pid("web");
    // Each of the supervisors restarts within a second or two.
    let restarted = holds_within(Duration::from_secs(4), || supervisor.restarts(&room, "web") > 0);
    assert!(!restarted && supervisor.pid("web") == standby, "{}", supervisor.status("web"));
    drop(holder);
    assert_eq!(Some(serves(&supervisor, "web", port)), standby);
    assert_eq!(supervisor.restarts(&room, "web"), 0);
    let log = fs::read_to_string(room.path().join("log")).expect("a log");
    assert_eq!(log.lines().filter(|line| line.starts_with("forerun: ")).count(), 2, "{log}");
}

/// A person started the service in a terminal, and then its supervisor starts it.
fn detached_instance(kind: Kind) {
    needs!(kind);
    let room = Room::new();
    let port = free_port();
    let service = serving("web", port);
    // The file appears once the detached instance is there.
    let go = room.path().join("go");
    let command = format!("{FORERUN} {service}");
    let start = room.path().join("start.sh");
    script(&start, &format!("#!/bin/sh\nuntil [ -e {} ]; do sleep 0.02; done\nexec {command}\n", go.display()));
    let supervisor = Supervisor::boot(kind, &room, &[Service::new("web", start.display().to_string())]);
    // In another working directory the instance would belong to another service.
    let mut standby = 0;
    eventually("the script runs", || {
        standby = supervisor.pid("web").unwrap_or_default();
        fs::read_to_string(supervisor.proc(standby, "comm")).unwrap_or_default() == "start.sh\n"
    });
    let cwd = fs::read_link(supervisor.proc(standby, "cwd")).expect("a folder").display().to_string();
    let words: Vec<_> = service.split(' ').collect();
    supervisor.forerun(&room, &[&["--detach", "--cwd", &cwd], &words[..]].concat()).expect_code(0);
    let holder = answer(port).expect("it serves");
    fs::write(&go, "").expect("written");
    stands_by(&room);
    let restarted = holds_within(Duration::from_secs(3), || supervisor.restarts(&room, "web") > 0);
    assert!(!restarted && answer(port) == Some(holder), "{}", supervisor.status("web"));
    let stopped = supervisor.forerun(&room, &["stop", "web"]).expect_code(0);
    assert!(stopped.stdout.starts_with(&format!("stopped web: pid {holder}, after ")), "{}", stopped.stdout);
    assert_eq!(serves(&supervisor, "web", port), standby);
    assert_eq!(supervisor.restarts(&room, "web"), 0);
}

/// Only the supervisor stops and restarts a service that it runs.
fn refusals(kind: Kind) {
    needs!(kind);
    let room = Room::new();
    let port = free_port();
    let supervisor =
        Supervisor::boot(kind, &room, &[Service::new("web", format!("{FORERUN} {}", serving("web", port)))]);
    let first = serves(&supervisor, "web", port);
    let folder = web(&room);
    let (name, unit, stop, restart) = match kind {
        Kind::Systemd => ("systemd", "web.service", "systemctl stop web.service", "systemctl restart web.service"),
        Kind::Runit => ("runit", folder.as_str(), &*format!("sv stop {folder}"), &*format!("sv restart {folder}")),
        Kind::S6 => ("s6", folder.as_str(), &*format!("s6-svc -d {folder}"), &*format!("s6-svc -r {folder}")),
        Kind::Supervisord => ("supervisord", "web", "supervisorctl stop web", "supervisorctl restart web"),
    };
    let refuses = |verb: &str, command: &str| {
        let done = supervisor.forerun(&room, &[verb, "web"]).expect_code(75);
        let line =
            format!("forerun: 'web' is run by {name} ({unit}), which would start it again; {verb} it: {command}");
        assert_eq!(done.stderr.trim_end(), line);
    };
    refuses("restart", restart);
    refuses("stop", stop);
    let status = supervisor.forerun(&room, &["status", "web"]).expect_code(0);
    assert!(status.stdout.contains(&format!("{name} ({unit})")), "{}", status.stdout);
    let status = supervisor.forerun(&room, &["status", "web", "--json"]).expect_code(0);
    let json: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert_eq!((json["supervisor"].as_str(), json["unit"].as_str()), (Some(name), Some(unit)), "{json}");
    assert_eq!((json["pid"].as_i64(), json["mode"].as_str()), (Some(first.into()), Some("foreground")), "{json}");
    assert_eq!(answer(port), Some(first));

    supervisor.obey(restart);
    let second = next_answer(port, first);
    assert_eq!(serves(&supervisor, "web", port), second);
    supervisor.obey(stop);
    eventually("nobody serves", || answer(port).is_none());
    let returned = holds_within(Duration::from_secs(3), || answer(port).is_some());
    assert!(!returned, "{}", supervisor.status("web"));
    // What is over can be forgotten, whoever ran it.
    let stopped = supervisor.forerun(&room, &["stop", "web"]).expect_code(0);
    assert_eq!(stopped.stdout, "web is not running\n");
}

/// Counts that grow if anything is left over.
#[derive(PartialEq, Debug)]
struct Usage {
    processes: usize,
    descriptors: usize,
    terminals: usize,
    files: Vec<PathBuf>,
}

impl Usage {
    /// Processes that were started in this room, supervisors included.
    fn of(room: &Room) -> Self {
        let ours = common::process::with_entry(&format!("FORERUN_STATE_DIR={}", room.state().display()));
        let open: Vec<PathBuf> = ours
            .iter()
            .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok())
            .flat_map(|entries| entries.flatten().filter_map(|e| fs::read_link(e.path()).ok()))
            .collect();
        let is_terminal = |path: &&PathBuf| path.starts_with("/dev/pts") || path.ends_with("ptmx");
        let mut files = Vec::new();
        let mut folders = vec![room.state()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                files.push(entry.path());
                folders.extend(Some(entry.path()).filter(|path| path.is_dir()));
            }
        }
        files.sort();
        let terminals = open.iter().filter(is_terminal).count();
        Usage { processes: ours.len(), descriptors: open.len(), terminals, files }
    }
}

/// Ends the servers of `count` services, each one `rounds` times, by turns with SIGTERM and SIGKILL. Afterwards nothing
/// has grown since the tenth end. (runit and s6 start a service at most once a second, so several at once give more
/// restarts in the same time.)
fn restarts(kind: Kind, count: usize, rounds: usize) {
    needs!(kind);
    let room = Room::new();
    let services: Vec<_> = (0..count).map(|number| (format!("web{number}"), free_port())).collect();
    let commands: Vec<_> = services
        .iter()
        .map(|(name, port)| Service::new(name, format!("{FORERUN} --wait exec:true {}", serving(name, *port))))
        .collect();
    let supervisor = Supervisor::boot(kind, &room, &commands);
    let mut servers: Vec<_> = services.iter().map(|(name, port)| serves(&supervisor, name, *port)).collect();
    let (mut after_the_tenth, mut ends) = (None, 0);
    for round in 0..rounds {
        for &server in &servers {
            common::process::send(server, if round % 2 == 0 { libc::SIGTERM } else { libc::SIGKILL });
            ends += 1;
        }
        for ((_, port), server) in services.iter().zip(&mut servers) {
            *server = next_answer(*port, *server);
        }
        if ends >= 10 && after_the_tenth.is_none() {
            // A connection is closed a moment after its request was answered.
            let mut before = Usage::of(&room);
            eventually("it is quiet", || {
                std::thread::sleep(Duration::from_millis(50));
                let now = Usage::of(&room);
                std::mem::replace(&mut before, now) == before
            });
            after_the_tenth = Some(before);
        }
    }
    let (mut now, before) = (Usage::of(&room), after_the_tenth.expect("ten ends"));
    holds_within(Duration::from_secs(10), || {
        now = Usage::of(&room);
        now == before
    });
    let Usage { processes, descriptors, terminals, files } = &now;
    eprintln!(
        "{kind:?}: after {ends} restarts of {count} services: {processes} processes, {descriptors} descriptors, \
         {terminals} terminals, {} files",
        files.len()
    );
    assert_eq!(now, before, "after {ends} restarts");
    for (number, (name, _)) in services.iter().enumerate() {
        assert_eq!(supervisor.restarts(&room, name), rounds);
        assert_eq!(supervisor.pid(name), Some(servers[number]));
    }
}

#[test]
fn restarts_under_runit_leave_nothing_over() {
    restarts(Kind::Runit, 10, 8);
}

#[test]
fn restarts_under_s6_leave_nothing_over() {
    restarts(Kind::S6, 10, 8);
}

/// Two services with the same server. One of them runs it through forerun.
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
    // A program that is still loading has its libraries open for a moment.
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

/// What a process gets from a supervisor.
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

/// Inodes of pipes and sockets differ between two processes.
fn kind_of(target: &Path) -> String {
    target.to_string_lossy().split(":[").next().unwrap_or_default().to_owned()
}

/// The signals in a line of /proc/PID/status. Those from 32 on belong to the C library.
pub fn signals(line: &str) -> Vec<i32> {
    let mask = line.split_whitespace().nth(1).and_then(|mask| u64::from_str_radix(mask, 16).ok()).expect("a mask");
    (1..32).filter(|signal| mask & 1 << (signal - 1) != 0).collect()
}

/// A permanent failure has one exit code. Each supervisor has its own way to stop at it.
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
