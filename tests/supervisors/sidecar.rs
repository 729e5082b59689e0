//! The sidecar under real supervisors: readiness, watchdog, leaks. It never gets in the way.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::common::{Room, answer, eventually, fixture, free_port, holds_within};
use crate::harness::{Kind, Service, Supervisor, script, unit};
use crate::{FORERUN, serves, skip_unless};

/// A unit whose systemd accepts messages from the sidecar, in all versions.
const NOTIFY: &str = "Type=notify\nNotifyAccess=all";

/// A private systemd, and a service in it that logs to the journal.
struct Scene {
    room: Room,
    systemd: Supervisor,
    port: u16,
}

impl Scene {
    fn new() -> Self {
        let room = Room::new();
        let systemd = Supervisor::boot(Kind::Systemd, &room, &[]);
        Scene { room, systemd, port: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    /// Writes the unit 'web', which runs the fixture.
    fn unit(&self, more: &str, args: &str, fixture_args: &str) {
        let port = self.port;
        let health =
            if args.contains("--health ") { String::new() } else { format!("--health http://127.0.0.1:{port}/") };
        let command = format!(
            "{FORERUN} --name web {health} {args} -- {} serve {port} --answer-pid {fixture_args}",
            fixture().display()
        );
        let text = unit(&self.room, &Service { name: "web", command, more });
        let text: String =
            text.lines().filter(|line| !line.starts_with("Standard")).map(|line| format!("{line}\n")).collect();
        self.systemd.unit("web.service", &text);
        self.systemd.systemctl(&["daemon-reload"]);
    }

    /// Writes forerun.toml with this `[watch]`, for `--config`.
    fn config(&self, watch: &str) -> String {
        let text = format!("name = 'web'\n[watch]\n{watch}\n");
        self.room.file("forerun.toml", &text).display().to_string()
    }

    #[track_caller]
    fn start(&self) {
        self.systemd.systemctl(&["start", "web"]);
    }

    fn property(&self, name: &str) -> String {
        self.systemd.property("web", name)
    }

    fn journal(&self) -> String {
        self.systemd.inside(&["journalctl", "-q", "-o", "cat", "-u", "web"])
    }

    #[track_caller]
    fn says(&self, part: &str) {
        let said = holds_within(crate::common::DEADLINE, || self.journal().contains(part));
        assert!(said, "no {part:?} in:\n{}", self.journal());
    }

    /// The unit's processes: pid, parent, command.
    fn members(&self) -> Vec<(i32, i32, String)> {
        let pids = self.systemd.inside(&["cat", "/sys/fs/cgroup/system.slice/web.service/cgroup.procs"]);
        let member = |pid: &str| {
            let pid = pid.parse().ok()?;
            let stat = fs::read_to_string(self.systemd.proc(pid, "stat")).ok()?;
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            let command = fs::read(self.systemd.proc(pid, "cmdline")).ok()?;
            Some((pid, parent, String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned()))
        };
        pids.lines().filter_map(member).filter(|(.., command)| !command.is_empty()).collect()
    }

    /// The commands of the unit's processes.
    fn processes(&self) -> Vec<String> {
        self.members().into_iter().map(|(.., command)| command).collect()
    }

    /// The number of sidecars, without the children that make their attempts.
    fn sidecars(&self) -> usize {
        let mut all = self.members();
        all.retain(|(.., command)| command.starts_with("forerun sidecar web "));
        all.iter().filter(|(_, parent, _)| !all.iter().any(|(pid, ..)| pid == parent)).count()
    }

    /// The pid of the server, once it serves.
    #[track_caller]
    fn serves(&self) -> i32 {
        serves(&self.systemd, "web", self.port)
    }

    fn restarts(&self) -> u32 {
        self.property("NRestarts").parse().expect("a number")
    }
}

#[test]
fn a_start_blocks_until_health_holds_and_not_longer() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let go = scene.path("go");
    scene.unit(NOTIFY, "", &format!("--when {}", go.display()));
    scene.systemd.systemctl(&["start", "--no-block", "web"]);
    eventually("the status says what is waited for", || {
        scene.property("StatusText").starts_with("starting: waiting for 'http")
    });
    assert_eq!(scene.property("ActiveState"), "activating");
    fs::write(&go, "").expect("written");
    let begun = Instant::now();
    scene.start();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let pid = scene.serves();
    assert!(scene.property("StatusText").starts_with("healthy: 'http"), "{}", scene.property("StatusText"));
    eventually("the sidecar is gone", || scene.processes().len() == 1);
    let environment = fs::read(scene.systemd.proc(pid, "environ")).expect("an environment");
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("NOTIFY_SOCKET=") && environment.contains("FORERUN_INSTANCE=web/"), "{environment}");
}

#[test]
fn sd_notify_messages_from_inside_the_server_are_ignored() {
    needs!(Kind::Systemd);
    for (who, heard) in [("sidecar", false), ("server", true)] {
        let scene = Scene::new();
        let (nested, said) = (scene.path("nested"), scene.path("said"));
        let ready = if heard { "systemd-notify --ready; " } else { "" };
        let text = format!("{ready}systemd-notify --status=nested; touch {}\n", said.display());
        fs::write(&nested, text).expect("written");
        let options = format!("--run {} --run-in here", nested.display());
        scene.unit(NOTIFY, &format!("--notify {who}"), &options);
        scene.start();
        eventually("the server's program has spoken", || said.exists());
        let status = scene.property("StatusText");
        assert_eq!(status == "nested", heard, "{status}");
    }
}

#[test]
fn a_unit_that_ignores_the_sidecar_is_named_with_the_fix() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    scene.unit("Type=notify\nTimeoutStartSec=20", "", "");
    scene.systemd.systemctl(&["start", "--no-block", "web"]);
    scene.serves();
    let begun = Instant::now();
    let answered = || {
        scene.journal().contains("'web.service' has NotifyAccess=main; set NotifyAccess=all in it")
            // Since systemd 254 the sidecar's own NOTIFYACCESS=all is enough.
            || scene.property("ActiveState") == "active"
    };
    eventually("the journal says it, or systemd listens", answered);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn a_start_may_take_the_health_timeout_and_no_longer() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let more = format!("{NOTIFY}\nTimeoutStartSec=1\nWatchdogSec=1\nRestart=no");
    scene.unit(&more, "--health-timeout 20s", "--after 3000");
    scene.start();
    assert_eq!((scene.property("ActiveState").as_str(), scene.restarts()), ("active", 0));
    scene.systemd.systemctl(&["stop", "web"]);
    scene.unit(&more, "--health-timeout 3s", "--status 503");
    let begun = Instant::now();
    let start = scene.systemd.done_inside(&["systemctl", "start", "web"]);
    let took = begun.elapsed();
    assert_eq!(start.code, Some(1), "{}", start.stderr);
    assert!(took > Duration::from_millis(2500) && took < Duration::from_secs(20), "{took:?}");
    scene.says("s after its start; systemd ends it at the start timeout of the unit");
    scene.says("status 503, ");
    scene.says("if it needs longer to start, raise --health-timeout");
}

#[test]
fn a_wait_longer_than_the_start_timeout_survives_and_readiness_comes() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let wait = format!("--wait tcp:127.0.0.1:{}", free_port());
    let port = wait.rsplit(':').next().and_then(|p| p.parse::<u16>().ok()).expect("a port");
    scene.unit(&format!("{NOTIFY}\nTimeoutStartSec=1\nWatchdogSec=1"), &wait, "");
    scene.systemd.systemctl(&["start", "--no-block", "web"]);
    let begun = Instant::now();
    eventually("the start would be over", || begun.elapsed() > Duration::from_secs(3));
    assert_eq!((scene.property("ActiveState").as_str(), scene.restarts()), ("activating", 0));
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("bound");
    eventually("it is ready", || scene.property("ActiveState") == "active");
    assert_eq!(scene.restarts(), 0);
}

#[test]
fn the_watchdog_restarts_what_is_wedged_and_nothing_else() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let (sick, ended) = (scene.path("sick"), scene.path("ended"));
    let note = format!("ExecStopPost=/bin/sh -c 'echo $$SERVICE_RESULT >>{}'", ended.display());
    scene.unit(
        &format!("{NOTIFY}\nWatchdogSec=1\nTimeoutAbortSec=2\n{note}"),
        "",
        &format!("--sick {}", sick.display()),
    );
    scene.start();
    let mut pid = scene.serves();
    // Load: four connections for each core, again and again.
    let port = scene.port;
    let end = Instant::now() + Duration::from_secs(5);
    let load = || {
        while Instant::now() < end {
            answer(port);
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(load))));
    assert_eq!((scene.serves(), scene.restarts()), (pid, 0), "{}", scene.journal());
    for round in 1..=2 {
        match round {
            1 => assert_eq!(scene.systemd.inside(&["kill", "-STOP", &pid.to_string()]), ""),
            _ => fs::write(&sick, "").expect("written"),
        }
        eventually("it is started again", || scene.restarts() >= round);
        let _ = fs::remove_file(&sick);
        pid = scene.serves();
        eventually("one sidecar", || scene.sidecars() == 1);
    }
    let results = fs::read_to_string(&ended).expect("it has ended");
    assert!(results.lines().all(|result| result == "watchdog") && results.lines().count() >= 2, "{results}");
    scene.says("no answer within 500ms, 3 attempts in a row; the watchdog is no longer fed");
    scene.says("status 500, 3 attempts in a row");
}

#[test]
fn twenty_kills_are_twenty_restarts_each_ready_with_one_sidecar() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    scene.unit(NOTIFY, "--watch", "--workers 2");
    scene.start();
    for round in 0..20 {
        let pid = scene.serves();
        eventually("it is ready", || {
            scene.property("ActiveState") == "active" && scene.property("SubState") == "running"
        });
        assert_eq!(scene.restarts(), round);
        scene.systemd.kill(pid);
        eventually("it is started again", || scene.restarts() > round);
    }
    let pid = scene.serves();
    eventually("the server, its workers and a sidecar", || scene.processes().len() == 4 && scene.sidecars() == 1);
    assert_eq!(scene.restarts(), 20);
    let begun = Instant::now();
    scene.systemd.systemctl(&["stop", "web"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(scene.status(), "inactive success", "pid {pid}: {}", scene.journal());
    assert_eq!(scene.processes(), [""; 0]);
}

impl Scene {
    fn status(&self) -> String {
        self.systemd.status("web")
    }
}

#[test]
fn a_leak_and_a_sickness_are_failures_that_restart_on_failure_heeds() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let (sick, leak) = (scene.path("sick"), scene.path("leak"));
    let config = scene.config(
        "interval = '100ms'\nunhealthy-after = 2\ngrace = '300ms'\non-unhealthy = 'restart'\non-leak = 'restart'\n\
         max-fds = 30",
    );
    let more = format!("{NOTIFY}\nRestart=on-failure");
    let options = format!("--sick {} --leak {}", sick.display(), leak.display());
    scene.unit(&more, &format!("--config {config}"), &options);
    scene.start();
    scene.serves();
    fs::write(&sick, "").expect("written");
    eventually("it is started again", || scene.restarts() == 1);
    fs::remove_file(&sick).expect("removed");
    scene.serves();
    eventually("it is ready", || scene.property("ActiveState") == "active");
    fs::write(scene.path("leak.new"), "files 40 /dev/null\n").expect("written");
    fs::rename(scene.path("leak.new"), &leak).expect("renamed");
    eventually("the status names the leak", || scene.journal().contains("'web' leaks: "));
    eventually("it is started again", || scene.restarts() == 2);
    scene.serves();
    scene.says("it has not been healthy for 300ms (status 500); its supervisor starts it again");
    scene.says("it has leaked for 300ms");
    eventually("one sidecar", || scene.sidecars() == 1);
}

#[test]
fn an_activated_server_keeps_its_socket_and_the_sidecar_has_none() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    scene.unit(NOTIFY, "--watch --health exec:true", "");
    let port = free_port();
    scene.systemd.unit("web.socket", &format!("[Socket]\nListenStream=127.0.0.1:{port}\n"));
    scene.systemd.systemctl(&["daemon-reload"]);
    scene.systemd.systemctl(&["start", "web.socket"]);
    scene.start();
    let pid = scene.serves();
    let environment = fs::read(scene.systemd.proc(pid, "environ")).expect("an environment");
    assert!(String::from_utf8_lossy(&environment).contains(&format!("LISTEN_PID={pid}\0")));
    eventually("one sidecar", || scene.sidecars() == 1);
    let inside = "for p in $(cat /sys/fs/cgroup/system.slice/web.service/cgroup.procs); do \
                  grep -q sidecar /proc/$p/cmdline && readlink /proc/$p/fd/*; done";
    let links = scene.systemd.inside(&["sh", "-c", inside]);
    let sockets = links.lines().filter(|link| link.starts_with("socket:")).count();
    // stderr is the journal.
    assert_eq!(sockets, 1, "{links}");
}

/// Writes a service whose server is ended once it has been sick, or has leaked, for a moment.
fn watched(room: &Room, port: u16) -> String {
    let text = "name = 'web'\n[watch]\ninterval = '100ms'\nunhealthy-after = 2\ngrace = '200ms'\n\
                on-unhealthy = 'restart'\non-leak = 'restart'\nmax-fds = 30\n";
    let config = room.file("web.toml", text);
    format!(
        "{FORERUN} --config {} --health http://127.0.0.1:{port}/ -- {} serve {port} --answer-pid --sick {} --leak {}",
        config.display(),
        fixture().display(),
        room.path().join("sick").display(),
        room.path().join("leak").display()
    )
}

#[test]
fn supervisors_without_a_watchdog_start_again_what_the_sidecar_ends() {
    for kind in [Kind::Runit, Kind::S6, Kind::Supervisord] {
        needs!(kind);
        let (room, port) = (Room::new(), free_port());
        let supervisor = Supervisor::boot(kind, &room, &[Service::new("web", watched(&room, port))]);
        let log = || fs::read_to_string(room.path().join("log")).unwrap_or_default();
        let sidecars = || {
            let all = crate::common::left(&room);
            let is_one = |pid: &&i32| {
                let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                command.starts_with(b"forerun\0sidecar\0web\0")
            };
            all.iter().filter(is_one).count()
        };
        let first = serves(&supervisor, "web", port);
        eventually("one sidecar", || sidecars() == 1);
        // The sidecar never ends a server that was not healthy yet. By then it had time for several looks.
        assert!(!holds_within(Duration::from_secs(1), || answer(port) != Some(first)), "{kind:?}: {}", log());
        fs::write(room.path().join("sick"), "").expect("written");
        // On a busy machine the last look may have had no answer in its time.
        eventually("it is ended", || log().contains("it has not been healthy for 200ms ("));
        fs::remove_file(room.path().join("sick")).expect("removed");
        eventually("another serves", || answer(port).is_some_and(|pid| pid != first));
        let second = serves(&supervisor, "web", port);
        eventually("one sidecar", || sidecars() == 1);
        fs::write(room.path().join("leak.new"), "files 40 /dev/null\n").expect("written");
        fs::rename(room.path().join("leak.new"), room.path().join("leak")).expect("renamed");
        eventually("it is ended", || log().contains("it has leaked for 200ms"));
        eventually("another serves", || answer(port).is_some_and(|pid| pid != second));
        serves(&supervisor, "web", port);
        eventually("one sidecar", || sidecars() == 1);
    }
}

#[test]
fn s6_knows_when_the_server_is_ready() {
    needs!(Kind::S6);
    let (room, port) = (Room::new(), free_port());
    let supervisor = Supervisor::boot(Kind::S6, &room, &[]);
    let (service, go) = (room.path().join("supervisor/web"), room.path().join("go"));
    fs::create_dir(room.path().join("new")).expect("a folder");
    let command = format!(
        "{FORERUN} --name web --ready-fd 4 --health http://127.0.0.1:{port}/ -- {} serve {port} --answer-pid --when {}",
        fixture().display(),
        go.display()
    );
    script(
        &room.path().join("new/run"),
        &format!("#!/bin/sh\nexec 2>>{}/log\nexec {command}\n", room.path().display()),
    );
    fs::write(room.path().join("new/notification-fd"), "4\n").expect("written");
    fs::rename(room.path().join("new"), &service).expect("renamed");
    let folder = service.to_str().expect("UTF-8");
    supervisor.inside(&["s6-svscanctl", "-a", room.path().join("supervisor").to_str().expect("UTF-8")]);
    eventually("it is up", || supervisor.pid("web").is_some());
    let ready = || supervisor.inside(&["s6-svstat", "-o", "ready", folder]) == "true";
    assert!(!holds_within(Duration::from_secs(1), ready), "it was said too early");
    fs::write(&go, "").expect("written");
    eventually("s6 knows that it is ready", ready);
    assert_eq!(answer(port), supervisor.pid("web"));
}
