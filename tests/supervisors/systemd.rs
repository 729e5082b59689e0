//! Behaviour under a real systemd that units rely on.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::common::{Room, accepts, eventually, fixture, free_port};
use crate::harness::{Kind, Service, Supervisor, unit};
use crate::{FORERUN, serving, signals, skip_unless};

/// A private systemd without services.
fn boot(room: &Room) -> Supervisor {
    Supervisor::boot(Kind::Systemd, room, &[])
}

/// Adds a service whose output goes to the journal.
fn journalled(systemd: &Supervisor, room: &Room, name: &str, command: &str, more: &str) {
    let text = unit(room, &Service { name, command: command.to_owned(), more });
    let text: String =
        text.lines().filter(|line| !line.starts_with("Standard")).map(|line| format!("{line}\n")).collect();
    systemd.unit(&format!("{name}.service"), &text);
    systemd.systemctl(&["daemon-reload"]);
}

/// The journal of a unit.
fn journal(systemd: &Supervisor, unit: &str) -> Vec<serde_json::Value> {
    let text = systemd.inside(&["journalctl", "-q", "-o", "json", "-u", unit]);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The priority of the first journal line that contains `part`, once there is one.
fn priority(systemd: &Supervisor, unit: &str, part: &str) -> String {
    let mut found = None;
    eventually(&format!("a line with {part:?}"), || {
        let entry =
            journal(systemd, unit).into_iter().find(|e| e["MESSAGE"].as_str().is_some_and(|m| m.contains(part)));
        found = entry;
        found.is_some()
    });
    let entry = found.expect("found");
    assert!(entry["MESSAGE"].as_str().is_some_and(|m| m.starts_with("forerun: ")), "{entry}");
    entry["PRIORITY"].as_str().expect("a priority").to_owned()
}

/// The server that took the place of forerun.
fn server(systemd: &Supervisor, unit: &str, comm: &str) -> i32 {
    let mut pid = 0;
    eventually(&format!("{unit} is {comm}"), || {
        pid = systemd.pid(unit).unwrap_or_default();
        fs::read_to_string(systemd.proc(pid, "comm")).unwrap_or_default().trim_end() == comm
    });
    pid
}

/// Starts a detached instance of a service that also has a unit, in the folder in which the units start.
fn start_detached(systemd: &Supervisor, room: &Room, name: &str, port: u16) -> i32 {
    let service = serving(name, port);
    let words: Vec<_> = service.split(' ').collect();
    systemd.forerun(room, &[&["--detach"], &words[..]].concat()).expect_code(0);
    crate::answer(port).expect("it serves")
}

#[test]
fn a_stop_while_it_waits_is_a_clean_end() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    for kind in ["simple", "notify"] {
        let name = format!("wait-{kind}");
        let command = format!("{FORERUN} --name {name} --wait tcp:127.0.0.1:{} -- /bin/sleep 1000", free_port());
        let ended = room.path().join(format!("{name}.ended"));
        let note = format!("echo $$SERVICE_RESULT $$EXIT_CODE $$EXIT_STATUS >{}", ended.display());
        let more = format!("Type={kind}\nExecStopPost=/bin/sh -c '{note}'");
        journalled(&systemd, &room, &name, &command, &more);
        systemd.systemctl(&["start", "--no-block", &name]);
        eventually("it waits", || {
            room.state().join(&name).join("record.json").exists() && room.record(&name)["phase"] == "starting"
        });
        let begun = Instant::now();
        systemd.systemctl(&["stop", &name]);
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        assert_eq!(systemd.property(&name, "ActiveState"), "inactive");
        assert_eq!(fs::read_to_string(&ended).expect("it has ended"), "success killed TERM\n", "{name}");
        assert!(!room.state().join(&name).join("record.json").exists(), "its record is still there");
    }
}

#[test]
fn a_stop_while_it_stands_by_is_a_clean_end() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("its address").port();
    let port = free_port();
    let detached = start_detached(&systemd, &room, "ready", port);
    for (name, more, command) in [
        ("simple", "", format!("--name simple --port {taken} -- /bin/sleep 1000")),
        ("notify", "Type=notify", format!("--name notify --port {taken} -- /bin/sleep 1000")),
        ("ready", "Type=notify", serving("ready", port)),
    ] {
        let ended = room.path().join(format!("{name}.ended"));
        let note = format!("echo $$SERVICE_RESULT $$EXIT_CODE $$EXIT_STATUS >{}", ended.display());
        let more = format!("{more}\nExecStopPost=/bin/sh -c '{note}'");
        journalled(&systemd, &room, name, &format!("{FORERUN} {command}"), &more);
        systemd.systemctl(&["start", "--no-block", name]);
        assert_eq!(priority(&systemd, name, "standby: "), "6");
        let before = if name == "notify" { "activating" } else { "active" };
        eventually("systemd knows", || systemd.property(name, "ActiveState") == before);
        let begun = Instant::now();
        systemd.systemctl(&["stop", name]);
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        assert_eq!(["ActiveState", "Result"].map(|p| systemd.property(name, p)), ["inactive", "success"], "{name}");
        assert_eq!(fs::read_to_string(&ended).expect("it has ended"), "success killed TERM\n", "{name}");
    }
    assert_eq!(crate::answer(port), Some(detached));
}

#[test]
fn a_stranger_on_the_port_fails_the_start_after_the_wait_timeout() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("its address").port();
    let command = format!("{FORERUN} --name web --port {port} --wait-timeout 3s -- /bin/sleep 1000");
    journalled(&systemd, &room, "web", &command, "Type=notify\nTimeoutStartSec=1\nRestart=no");
    let begun = Instant::now();
    let start = systemd.done_inside(&["systemctl", "start", "web"]);
    let took = begun.elapsed();
    assert_eq!(start.code, Some(1), "{}", start.stderr);
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(10), "{took:?}");
    let state = ["ActiveState", "Result", "ExecMainStatus"].map(|p| systemd.property("web", p));
    assert_eq!(state, ["failed", "exit-code", "75"]);
    assert_eq!(priority(&systemd, "web", "standby: port "), "6");
    assert_eq!(priority(&systemd, "web", "gave up standing by after 3"), "3");
}

#[test]
fn a_unit_started_beside_a_detached_instance_stands_by_and_names_it() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    for (name, more) in [
        ("notify", "Type=notify\nNotifyAccess=all\nTimeoutStartSec=3"),
        ("simple", "Type=simple\nNotifyAccess=all"),
        ("silent", "Type=simple"),
    ] {
        let port = free_port();
        let holder = start_detached(&systemd, &room, name, port);
        journalled(&systemd, &room, name, &format!("{FORERUN} {}", serving(name, port)), more);
        systemd.systemctl(&["start", name]);
        assert_eq!(priority(&systemd, name, "standby: "), "6");
        let standby = systemd.pid(name).expect("it runs");
        if name != "silent" {
            let who = format!("standby: the name '{name}' is held by pid {holder} ({} serve", fixture().display());
            let what_to_do = format!(", detached; stop it: forerun stop {name}");
            eventually("the status says so", || {
                let status = systemd.property(name, "StatusText");
                status.starts_with(&who) && status.ends_with(&what_to_do)
            });
        }
        let state = ["ActiveState", "SubState", "NRestarts"].map(|p| systemd.property(name, p));
        assert_eq!(state, ["active", "running", "0"], "{name}");
        systemd.forerun(&room, &["stop", name]).expect_code(0);
        assert_eq!(crate::serves(&systemd, name, port), standby);
        assert_eq!(systemd.property(name, "NRestarts"), "0", "{name}");
        if name != "silent" {
            eventually("the status is the server's", || {
                systemd.property(name, "StatusText").starts_with("healthy: 'http")
            });
        }
        let lines = journal(&systemd, name);
        let ours = lines.iter().filter(|e| e["MESSAGE"].as_str().is_some_and(|m| m.starts_with("forerun: ")));
        assert_eq!(ours.count(), 2, "{lines:?}");
    }
}

#[test]
fn a_watchdog_ends_neither_a_standby_nor_a_wait() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let stranger = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = stranger.local_addr().expect("its address").port();
    let ports = [free_port(), free_port()];
    let wait = format!("--wait tcp:127.0.0.1:{} -- /bin/sleep 1000", free_port());
    let units = [
        ("notify", "Type=notify", serving("notify", ports[0])),
        ("simple", "Type=simple", serving("simple", ports[1])),
        ("stranger", "Type=simple", format!("--name stranger --port {taken} -- /bin/sleep 1000")),
        ("stranger-notify", "Type=notify", format!("--name stranger-notify --port {taken} -- /bin/sleep 1000")),
        ("wait", "Type=simple", format!("--name wait {wait}")),
        ("wait-notify", "Type=notify", format!("--name wait-notify {wait}")),
    ];
    start_detached(&systemd, &room, "notify", ports[0]);
    start_detached(&systemd, &room, "simple", ports[1]);
    for (name, more, command) in &units {
        journalled(&systemd, &room, name, &format!("{FORERUN} {command}"), &format!("{more}\nWatchdogSec=1s"));
        systemd.systemctl(&["start", "--no-block", name]);
        let part = if name.starts_with("wait") { "waiting for " } else { "standby: " };
        assert_eq!(priority(&systemd, name, part), "6");
    }
    let pids = units.each_ref().map(|(name, ..)| systemd.pid(name));
    let begun = Instant::now();
    // If forerun sent nothing, the start would end after one second, and again after the next.
    eventually("several periods are over", || begun.elapsed() > Duration::from_millis(4500));
    for ((name, ..), pid) in units.iter().zip(pids) {
        let state = ["Result", "NRestarts"].map(|p| systemd.property(name, p));
        assert_eq!((state, systemd.pid(name)), (["success".to_owned(), "0".to_owned()], pid), "{name}");
    }
}

#[test]
fn a_watchdog_ends_a_standby_that_hangs() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let port = free_port();
    start_detached(&systemd, &room, "web", port);
    journalled(&systemd, &room, "web", &format!("{FORERUN} {}", serving("web", port)), "Type=notify\nWatchdogSec=1s");
    systemd.systemctl(&["start", "web"]);
    let standby = systemd.pid("web").expect("it runs").to_string();
    assert_eq!(systemd.inside(&["kill", "-STOP", &standby]), "");
    eventually("it is started anew", || systemd.property("web", "NRestarts") != "0");
}

#[test]
fn logs_of_a_unit_are_its_journal() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let port = free_port();
    journalled(&systemd, &room, "web", &format!("{FORERUN} {}", serving("web", port)), "");
    systemd.systemctl(&["start", "web"]);
    crate::serves(&systemd, "web", port);
    eventually("the journal has it", || !journal(&systemd, "web").is_empty());
    let mut logs = None;
    eventually("its output is shown", || {
        let done = systemd.forerun(&room, &["logs", "web", "-n", "20"]).expect_code(0);
        let shown = done.stdout.contains(": listening ");
        logs = Some(done);
        shown
    });
    let said = logs.expect("shown").stderr;
    assert_eq!(said, "forerun: its output is in the journal: journalctl -u web.service -n 20 --no-pager\n");
}

#[test]
fn a_permanent_failure_is_78_and_no_loop() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let text = room.file("no-program", "neither a program nor executable");
    let toml = room.file("bad.toml", "comand = \"sleep\"\n");
    for (name, rest) in [
        ("requirement", "--require cmd:no-such-command-anywhere -- /bin/sleep 1000".to_owned()),
        ("not-found", "-- no-such-command-anywhere".to_owned()),
        ("not-executable", format!("-- {}", text.display())),
        ("flag", "--forground -- /bin/sleep 1000".to_owned()),
        ("check", "--wait tpc:db:5432 -- /bin/sleep 1000".to_owned()),
        ("file", format!("--config {}", toml.display())),
    ] {
        let more = "RestartPreventExitStatus=78";
        journalled(&systemd, &room, name, &format!("{FORERUN} --name {name} {rest}"), more);
        systemd.systemctl(&["start", "--no-block", name]);
        eventually("it has failed", || systemd.property(name, "ActiveState") == "failed");
        let state = ["Result", "ExecMainStatus", "NRestarts"];
        assert_eq!(state.map(|p| systemd.property(name, p)), ["exit-code", "78", "0"], "{name}");
        assert_eq!(priority(&systemd, name, "forerun: "), "3", "{name}");
    }
}

#[test]
fn a_wait_outlasts_the_start_timeout_and_says_what_for() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let port = free_port();
    let wait = format!("{FORERUN} --wait tcp:127.0.0.1:{port}");
    let ready = "/bin/sh -c 'systemd-notify --ready; exec sleep 1000'";
    let notify = "Type=notify\nNotifyAccess=all\nTimeoutStartSec=1";
    journalled(&systemd, &room, "notify", &format!("{wait} --name notify -- {ready}"), notify);
    journalled(&systemd, &room, "simple", &format!("{wait} --name simple -- /bin/sleep 1000"), "TimeoutStartSec=1");
    let begun = Instant::now();
    systemd.systemctl(&["start", "--no-block", "notify", "simple"]);
    let mut status = String::new();
    eventually("it has waited for longer than TimeoutStartSec", || {
        assert_eq!(systemd.property("notify", "NRestarts"), "0");
        status = systemd.property("notify", "StatusText");
        begun.elapsed() > Duration::from_millis(2500)
    });
    assert!(status.starts_with(&format!("waiting for tcp:127.0.0.1:{port} (")), "{status}");
    assert_eq!(systemd.property("notify", "ActiveState"), "activating");
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    eventually("the unit is active", || systemd.property("notify", "ActiveState") == "active");
    for name in ["notify", "simple"] {
        server(&systemd, name, "sleep");
        assert_eq!(systemd.property(name, "NRestarts"), "0");
    }
}

#[test]
fn the_notification_socket_of_another_process_is_left_alone() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let inner = format!("{FORERUN} --name web --wait tcp:127.0.0.1:{} -- /bin/sleep 1000; true", free_port());
    let inner = room.file("inner.sh", &inner);
    // A shell of a shell of the unit: systemd knows neither forerun nor its parent.
    let outer = room.file("outer.sh", &format!("/bin/sh {}; true", inner.display()));
    let command = format!("/bin/sh {}", outer.display());
    journalled(&systemd, &room, "web", &command, "NotifyAccess=all");
    systemd.systemctl(&["start", "web"]);
    assert_eq!(priority(&systemd, "web", "waiting for 'tcp:"), "6");
    assert_eq!(systemd.property("web", "StatusText"), "");
}

#[test]
fn sigpipe_is_to_the_server_what_the_unit_says() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    for (name, more, ignored) in [("ignored", "", true), ("default", "IgnoreSIGPIPE=no", false)] {
        journalled(&systemd, &room, name, &format!("{FORERUN} --name {name} -- /bin/sleep 1000"), more);
        systemd.systemctl(&["start", name]);
        let status = fs::read_to_string(systemd.proc(server(&systemd, name, "sleep"), "status")).expect("readable");
        let line = status.lines().find(|line| line.starts_with("SigIgn:")).expect("a mask");
        assert_eq!(signals(line).contains(&libc::SIGPIPE), ignored, "{name}: {line}");
    }
}

#[test]
fn an_activated_server_gets_its_socket_and_is_who_it_is_for() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    for (name, flags) in [("web", ""), ("closing", "--close-fds")] {
        let port = free_port();
        let file = room.path().join(format!("{name}.description"));
        // systemd holds the port for us.
        let command = format!(
            "{FORERUN} --name {name} {flags} --health http://127.0.0.1:{port}/ -- {} describe {}",
            fixture().display(),
            file.display()
        );
        journalled(&systemd, &room, name, &command, "");
        let socket = format!("[Socket]\nListenStream=127.0.0.1:{port}\nFileDescriptorName=front\n");
        systemd.unit(&format!("{name}.socket"), &socket);
        systemd.systemctl(&["daemon-reload"]);
        systemd.systemctl(&["start", &format!("{name}.socket")]);
        let _client = TcpStream::connect(("127.0.0.1", port)).expect("systemd listens");
        eventually("the server describes itself", || file.exists());
        let text = fs::read_to_string(&file).expect("readable");
        let pid = systemd.pid(name).expect("it runs");
        for line in [
            format!("pid {pid}"),
            format!("env LISTEN_PID={pid}"),
            "env LISTEN_FDS=1".into(),
            "env LISTEN_FDNAMES=front".into(),
        ] {
            assert!(text.lines().any(|l| l == line), "no {line:?} in:\n{text}");
        }
        let third = fs::read_link(systemd.proc(pid, "fd/3")).expect("descriptor 3 is open");
        assert!(third.to_string_lossy().starts_with("socket:"), "{}", third.display());
    }
}

#[test]
fn lines_in_the_journal_have_priorities_and_lines_in_a_file_have_none() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let command = format!("{FORERUN} -v --name web --nofile 2000000000 -- /bin/sleep 1000");
    journalled(&systemd, &room, "web", &command, "");
    systemd.systemctl(&["start", "web"]);
    assert_eq!(priority(&systemd, "web", "warning: --nofile is more"), "4");
    assert_eq!(priority(&systemd, "web", "foreground mode: INVOCATION_ID is set"), "6");

    let command = command.replace("--name web", "--name file");
    systemd.unit("file.service", &unit(&room, &Service::new("file", command)));
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["start", "file"]);
    server(&systemd, "file", "sleep");
    let log = fs::read_to_string(room.path().join("log")).expect("a log");
    assert!(log.lines().count() >= 2 && log.lines().all(|line| line.starts_with("forerun: ")), "{log}");
}

#[test]
fn a_start_script_without_exec_is_told_so() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    for (name, exec) in [("without", ""), ("with", "exec ")] {
        let text = format!("{exec}{FORERUN} -v --name {name} -- /bin/sleep 1000\nexit $?\n");
        let script = room.file(&format!("{name}.sh"), &text);
        journalled(&systemd, &room, name, &format!("/bin/sh {}", script.display()), "");
        systemd.systemctl(&["start", name]);
        assert_eq!(priority(&systemd, name, "foreground mode: "), "6");
        eventually("the record is complete", || {
            room.state().join(name).join("record.json").exists() && room.record(name)["phase"] == "running"
        });
        let main = systemd.pid(name).expect("it runs");
        let warning = format!("systemd started our parent, pid {main} (/bin/sh {})", script.display());
        if exec.is_empty() {
            assert_eq!(priority(&systemd, name, &warning), "4");
            assert_eq!(priority(&systemd, name, "write 'exec' before forerun"), "4");
        } else {
            let all = journal(&systemd, name);
            assert!(!all.iter().any(|e| e["MESSAGE"].as_str().is_some_and(|m| m.contains("parent"))), "{all:?}");
            assert_eq!(server(&systemd, name, "sleep"), main);
        }
    }
}

#[test]
fn a_terminal_below_a_service_is_a_terminal() {
    needs!(Kind::Systemd);
    skip_unless!(crate::common::has("script"), "no script(1) (util-linux, bsdutils)");
    let room = Room::new();
    let systemd = boot(&room);
    let port = free_port();
    let typed = room.file(
        "typed.sh",
        &format!(
            "{FORERUN} --name web --health http://127.0.0.1:{port}/ -- {} serve {port}\necho \"code $?\"\nexec sleep 1000\n",
            fixture().display()
        ),
    );
    let shown = room.path().join("shown");
    let command = format!("/usr/bin/script -qfc '/bin/sh {}; true' {}", typed.display(), shown.display());
    journalled(&systemd, &room, "terminal", &command, "Environment=SHELL=/bin/sh");
    systemd.systemctl(&["start", "terminal"]);
    let mut text = String::new();
    eventually("it ends", || {
        text = fs::read_to_string(&shown).unwrap_or_default();
        text.contains("code ")
    });
    assert!(text.contains("code 0"), "{text}");
    let main = systemd.pid("terminal").expect("it runs");
    let why = format!(
        "forerun: detaching: systemd's variables were inherited from another unit: stdin and stderr are a terminal and SYSTEMD_EXEC_PID is {main}"
    );
    assert!(text.contains(&why), "{text}");
    assert!(text.contains("'terminal.service'"), "it ends with that unit, and must say so: {text}");
    assert_eq!(room.record("web")["mode"], "detached");
}

/// What is detached in a unit has a control group of its own only where systemd was told that the unit divides its own,
/// and ends with the unit.
#[test]
fn a_detached_instance_in_a_unit_has_a_group_of_its_own_where_that_is_delegated() {
    skip_unless!(Kind::Systemd.missing().is_none(), "no systemd: {:?}", Kind::Systemd.missing());
    let room = Room::new();
    let systemd = Supervisor::boot(Kind::Systemd, &room, &[]);
    for (delegate, ends) in [("no", "stop"), ("yes", "stop"), ("yes", "unit")] {
        let port = free_port();
        let text = format!(
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nDelegate={delegate}\nEnvironment=FORERUN_STATE_DIR={}\n\
             ExecStart={FORERUN} --detach --name inner --health http://127.0.0.1:{port}/ -- {} serve {port}\n",
            room.state().display(),
            fixture().display()
        );
        systemd.unit("outer.service", &text);
        systemd.systemctl(&["daemon-reload"]);
        systemd.systemctl(&["start", "outer"]);
        let record = room.record("inner");
        let list = || systemd.inside(&["ls", "/sys/fs/cgroup/system.slice/outer.service"]);
        match record["own_group"].as_str() {
            Some(group) => {
                assert_eq!(delegate, "yes", "{record}");
                assert!(group.starts_with("/system.slice/outer.service/forerun-inner-"), "{group}");
                let pids = systemd.inside(&["cat", &format!("/sys/fs/cgroup{group}/cgroup.procs")]);
                assert_eq!(pids, record["process"]["pid"].to_string());
            }
            None => assert_eq!(delegate, "no", "{record}"),
        }
        match ends {
            "stop" => drop(systemd.forerun(&room, &["stop", "inner"]).expect_code(0)),
            _ => assert!(list().contains("forerun-inner-"), "{}", list()),
        }
        assert!(ends == "unit" || !list().contains("forerun-inner-"), "{}", list());
        systemd.systemctl(&["stop", "outer"]);
        assert!(!accepts(port));
    }
    // The unit is gone, and the group in the record with it.
    systemd.forerun(&room, &["forget", "inner"]).expect_code(0);
}

#[test]
fn a_step_may_take_longer_than_the_start_timeout_and_its_output_is_in_the_journal() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = boot(&room);
    let (port, runs) = (free_port(), room.path().join("runs"));
    let step = format!("echo said; echo run >>{}; sleep 4", runs.display());
    let text = format!(
        "name = 'web'\ncommand = ['{}', 'serve', '{port}']\nhealth = 'http://127.0.0.1:{port}/'\nbefore = '{step}'\n",
        fixture().display()
    );
    let config = room.file("forerun.toml", &text);
    let command = format!("{FORERUN} --config {}", config.display());
    journalled(&systemd, &room, "web", &command, "Type=notify\nNotifyAccess=all\nTimeoutStartSec=1\nRestart=no");
    systemd.systemctl(&["start", "web"]);
    assert_eq!(["ActiveState", "NRestarts"].map(|p| systemd.property("web", p)), ["active", "0"]);
    assert!(accepts(port));
    assert_eq!(fs::read_to_string(&runs).expect("it ran"), "run\n");
    let lines = journal(&systemd, "web");
    assert!(lines.iter().any(|e| e["MESSAGE"].as_str() == Some("said")), "{lines:?}");
    assert_eq!(priority(&systemd, "web", "running step 1 of 1: "), "6");
    // A stop in the middle of a step ends the step, too.
    systemd.systemctl(&["stop", "web"]);
    systemd.systemctl(&["start", "--no-block", "web"]);
    eventually("the step runs again", || fs::read_to_string(&runs).is_ok_and(|text| text == "run\nrun\n"));
    let begun = Instant::now();
    systemd.systemctl(&["stop", "web"]);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(["ActiveState", "Result"].map(|p| systemd.property("web", p)), ["inactive", "success"]);
}
