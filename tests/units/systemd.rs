//! Units under a real systemd: installed, verified, killed, kept up to date, consulted, removed.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::common::{DEADLINE, Done, Forerun, Room, answer, done, eventually, fixture, free_port, holds_within};
use crate::harness::{Kind, Supervisor, script};
use crate::{config, skip_unless, unique};

/// A private systemd, and a service.
struct Scene {
    // Dropped before the folder.
    systemd: Supervisor,
    room: Room,
    name: String,
    config: String,
    port: u16,
}

impl Scene {
    fn new() -> Self {
        // A hardened unit has its own /tmp.
        let room = Room::outside_tmp();
        let systemd = Supervisor::boot(Kind::Systemd, &room, &[]);
        let (name, port) = (unique("web"), free_port());
        let config = config(&room, &name, port, "");
        Scene { room, systemd, name, config, port }
    }

    fn unit(&self, words: &[&str]) -> Done {
        self.systemd.forerun(&self.room, &[&["unit", "systemd", "--config", &self.config], words].concat())
    }

    /// A start by hand.
    fn start(&self, words: &[&str]) -> Done {
        // A process that comes in through nsenter seems to be in a container and has no terminal.
        let state = format!("FORERUN_STATE_DIR={}", self.room.state().display());
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let all = [
            "env",
            "-i",
            path,
            &state,
            "FORERUN_FOREGROUND=0",
            env!("CARGO_BIN_EXE_forerun"),
            "--config",
            &self.config,
        ];
        self.systemd.done_inside(&[&all[..], words].concat())
    }

    fn property(&self, name: &str) -> String {
        self.systemd.property(&self.name, name)
    }

    fn journal(&self) -> String {
        self.systemd.inside(&["journalctl", "-q", "-o", "cat", "-u", &self.name])
    }

    fn file(&self) -> String {
        let path = format!("/etc/systemd/system/{}.service", self.name);
        self.systemd.inside(&["cat", &path])
    }

    /// Changes forerun.toml.
    fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.config).expect("a file");
        assert!(text.contains(from), "{text}");
        fs::write(&self.config, text.replace(from, to)).expect("written");
    }

    /// The soft limit of the server's descriptors.
    fn limit(&self) -> String {
        let pid = self.systemd.pid(&self.name).expect("a pid");
        let limits = fs::read_to_string(self.systemd.proc(pid, "limits")).expect("limits");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
        line.split_whitespace().nth(3).expect("a number").to_owned()
    }
}

#[test]
fn it_is_installed_verified_killed_and_removed() {
    needs!(Kind::Systemd);
    for harden in [false, true] {
        let scene = Scene::new();
        let Scene { systemd, name, port, .. } = &scene;
        let mut words = vec!["--install", "--now"];
        words.extend(harden.then_some("--harden"));
        let installed = scene.unit(&words).expect_code(0);
        let pid = systemd.pid(name).expect("a pid");
        let says = format!("{name} runs under systemd: pid {pid}, healthy: 'http://127.0.0.1:{port}/' holds\n");
        assert!(installed.stdout.ends_with(&says), "{}", installed.stdout);
        assert_eq!(answer(*port), Some(pid));
        assert_eq!(["UnitFileState", "NotifyAccess", "NRestarts"].map(|p| scene.property(p)), ["enabled", "all", "0"]);
        assert_eq!(scene.limit(), "8192");
        // A hardened unit has its own /tmp, so its files must be elsewhere.
        let elsewhere = !std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).starts_with("/tmp");
        assert_eq!(scene.file().contains("PrivateTmp=yes"), harden && elsewhere);

        // The second time nothing is written or restarted.
        scene.unit(&words).expect_code(0);
        assert_eq!(systemd.pid(name), Some(pid));

        for kills in 1..=3 {
            let pid = systemd.pid(name).expect("a pid");
            systemd.kill(pid);
            eventually("it serves again", || {
                answer(*port).is_some_and(|now| now != pid && systemd.pid(name) == Some(now))
            });
            eventually("it is counted", || scene.property("NRestarts") == kills.to_string());
        }
        systemd.systemctl(&["stop", name]);
        assert_eq!((scene.property("ActiveState"), answer(*port)), ("inactive".to_owned(), None));
        systemd.systemctl(&["start", name]);
        assert!(answer(*port).is_some());

        scene.unit(&["--uninstall"]).expect_code(0);
        assert_eq!(answer(*port), None);
        assert_eq!(systemd.property(name, "LoadState"), "not-found");
        let left = systemd.inside(&["find", "/etc/systemd/system", "-name", &format!("*{name}*")]);
        assert_eq!(left, "");
    }
}

#[test]
fn a_unit_that_does_not_serve_is_never_reported_as_a_success() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let fixture = fixture().display().to_string();
    let dead = |words: &[&str]| {
        scene.systemd.forerun(&scene.room, &[&["unit", "systemd", "--install", "--now", "--force"], words].concat())
    };
    let not = "is installed but does not serve under systemd: ";
    // The server has no check. It ends at once, is restarted, and ends again.
    let text = dead(&["--cwd", "/", "--name", "ends", "--config", "/dev/null", "--", "/bin/true"]).expect_code(1);
    text.expect_stderr(&[not, "journalctl -n 20 -u ends.service"]);
    // The command does not exist: exit code 78, after which systemd does not restart.
    let text = dead(&["--name", "absent", "--config", "/dev/null", "--", "/nonexistent/server"]).expect_code(1);
    text.expect_stderr(&["forerun: "]);
    eventually("it has failed", || scene.systemd.property("absent", "ActiveState") == "failed");
    assert_eq!(["NRestarts", "ExecMainStatus"].map(|p| scene.systemd.property("absent", p)), ["0", "78"]);
    let doctor = ["doctor", "--name", "absent", "--config", "/dev/null", "--", "/nonexistent/server"];
    let doctor = scene.systemd.forerun(&scene.room, &doctor).expect_code(1).stdout;
    assert!(doctor.contains("exit code 78, a mistake in the configuration"), "{doctor}");
    // Another process holds the port. The server stands by, for ever if nothing waits for it.
    let holder = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = holder.local_addr().expect("an address").port().to_string();
    let text = dead(&[
        "--name",
        "waits",
        "--health-timeout",
        "1s",
        "--port",
        &port,
        "--config",
        "/dev/null",
        "--",
        &fixture,
        "serve",
        &port,
    ]);
    text.expect_code(1).expect_stderr(&[not, "standby: port ", "stop it, or choose another port"]);
    // The server never becomes healthy.
    scene.change("\n[health]\n", "\n[health]\nstatus = '204'\ntimeout = '1s'\n");
    scene.unit(&["--install", "--now"]).expect_code(1).expect_stderr(&[not, &scene.name]);
}

#[test]
fn a_mistake_in_the_configuration_does_not_loop() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    scene.unit(&["--install", "--now"]).expect_code(0);
    scene.change("[health]", "[healht]");
    let pid = scene.systemd.pid(&scene.name).expect("a pid");
    scene.systemd.kill(pid);
    eventually("it has given up", || scene.property("ActiveState") == "failed");
    assert_eq!(["NRestarts", "ExecMainStatus"].map(|p| scene.property(p)), ["1", "78"]);
    assert!(scene.journal().contains("unknown key 'healht'; did you mean 'health'"), "{}", scene.journal());
}

#[test]
fn a_unit_heals_on_disk_and_takes_effect_after_a_reload() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, name, port, .. } = &scene;
    // Any unit of this name that runs is seen.
    let spy = room.path().join("spy");
    fs::create_dir(&spy).expect("a folder");
    let asked = room.path().join("asked");
    script(&spy.join("systemctl"), &format!("#!/bin/sh\necho \"$*\" >>{}\n", asked.display()));
    let path = format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", spy.display());
    let state = format!("FORERUN_STATE_DIR={}", room.state().display());
    let install = [
        "env",
        "-i",
        &path,
        &state,
        env!("CARGO_BIN_EXE_forerun"),
        "unit",
        "systemd",
        "--config",
        &scene.config,
        "--install",
    ];
    systemd.done_inside(&install).expect_code(0);
    fs::remove_file(&asked).expect("it was asked whether the unit runs");
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["start", name]);
    let before = scene.file();
    scene.change("command", "grace = '21s'\ncommand");
    scene.change("[health]", "[limits]\nnofile = '3000:4000'\n[health]");
    systemd.systemctl(&["restart", name]);
    let healed = scene.file();
    assert!(healed.contains("LimitNOFILE=3000:4000") && healed.contains("TimeoutStopSec=21s"), "{healed}");
    assert_ne!(before, healed);
    let line = "was out of date; forerun has updated the file; to make it take effect: systemctl daemon-reload";
    eventually("it is told", || scene.journal().contains(line));
    // forerun does not call systemd from inside, so systemd still has the old text.
    assert_eq!([scene.property("NeedDaemonReload"), scene.property("TimeoutStopUSec")], ["yes", "10s"]);
    // forerun itself has set the limits of the file, below the old hard limit.
    assert_eq!(scene.limit(), "3000");
    // Another restart changes nothing.
    systemd.systemctl(&["restart", name]);
    assert_eq!((scene.file(), scene.journal().matches(line).count()), (healed.clone(), 1));
    assert!(!asked.exists(), "systemctl was run from inside: {}", fs::read_to_string(asked).expect("a file"));
    // daemon-reload from outside makes the new text effective.
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["restart", name]);
    assert_eq!([scene.property("NeedDaemonReload"), scene.property("TimeoutStopUSec")], ["no", "21s"]);
    assert_eq!((scene.property("LimitNOFILE"), scene.limit()), ("4000".to_owned(), "3000".to_owned()));
    assert!(answer(*port).is_some());
    // `--install --now` also reloads if only systemd has an older text.
    scene.change("'21s'", "'22s'");
    systemd.systemctl(&["restart", name]);
    assert_eq!(scene.property("TimeoutStopUSec"), "21s");
    let pid = systemd.pid(name);
    scene.unit(&["--install", "--now"]).expect_code(0);
    assert_eq!(scene.property("TimeoutStopUSec"), "22s");
    assert_ne!(systemd.pid(name), pid);
}

#[test]
fn a_unit_that_runs_as_somebody_stays_theirs() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, name, .. } = &scene;
    let path = format!("/etc/systemd/system/{name}.service");
    // The unit was made by nobody and put in place by root.
    let words = format!("{} unit systemd --system --config {} >{path}.new", Forerun, scene.config);
    let as_nobody = format!("setpriv --reuid=65534 --clear-groups {}", words);
    systemd.inside(&["sh", "-c", &as_nobody]);
    systemd.inside(&["mv", &format!("{path}.new"), &path]);
    let text = scene.file();
    assert!(text.contains("\nUser=nobody\n"), "{text}");
    let state = |text: &str| text.contains("was written by forerun and is up to date");
    let doctor = systemd.forerun(room, &["doctor", "--config", &scene.config]);
    assert!(state(&doctor.stdout), "{}", doctor.stdout);
    scene.change("command", "grace = '21s'\ncommand");
    let path = |text: &str| text.lines().find(|line| line.starts_with("Environment=PATH=")).map(str::to_owned);
    let state = format!("FORERUN_STATE_DIR={}", room.state().display());
    let root =
        ["env", "-i", "PATH=/opt/of-root:/usr/bin:/bin", &state, env!("CARGO_BIN_EXE_forerun"), "unit", "systemd"];
    systemd.done_inside(&[&root[..], &["--config", &scene.config, "--install"]].concat()).expect_code(0);
    let anew = scene.file();
    assert!(anew.contains("\nUser=nobody\n") && anew.contains("21s"), "{anew}");
    assert_eq!(path(&anew), path(&text));
}

#[test]
fn the_unit_of_another_service_in_the_environment_changes_nothing() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, .. } = &scene;
    scene.unit(&["--install"]).expect_code(0);
    let before = scene.file();
    scene.change("command", "grace = '21s'\ncommand");
    let theirs = format!("/etc/systemd/system/{}.service", scene.name);
    let port = free_port();
    let service = format!(
        "[Service]\nType=exec\nEnvironment=FORERUN_STATE_DIR={} FORERUN_UNIT={theirs}\nExecStart={} --name other -v -- {} serve {port} --answer-pid\n",
        room.state().display(),
        Forerun,
        fixture().display(),
    );
    systemd.unit("other.service", &service);
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["start", "other"]);
    eventually("it serves", || answer(port).is_some());
    assert_eq!(scene.file(), before);
    let journal = systemd.inside(&["journalctl", "-q", "-o", "cat", "-u", "other"]);
    assert!(journal.contains("is not updated: it is the unit of another service"), "{journal}");
}

#[test]
fn a_start_by_hand_asks_the_unit_first() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, name, port, .. } = &scene;
    // The unit is installed but not enabled: systemd will not start it.
    scene.unit(&["--install"]).expect_code(0);
    systemd.systemctl(&["daemon-reload"]);
    scene.start(&[]).expect_code(0);
    systemd.forerun(room, &["stop", name]).expect_code(0);
    // The unit is enabled.
    systemd.systemctl(&["enable", name]);
    let told = scene.start(&[]).expect_code(75);
    let start = format!("start it there: systemctl start {name}.service; or give --detach");
    told.expect_stderr(&[
        &format!("'{name}' is the unit '/etc/systemd/system/{name}.service' of systemd"),
        "is enabled",
        &start,
    ]);
    scene.start(&["--detach"]).expect_code(0);
    assert!(answer(*port).is_some());
    scene.start(&[]).expect_code(0);
    systemd.forerun(room, &["stop", name]).expect_code(0);
    // The unit runs.
    systemd.systemctl(&["start", name]);
    let running = scene.start(&[]).expect_code(0);
    assert!(running.stdout.contains(&format!("under systemd ({name}.service)")), "{}", running.stdout);
    // The unit runs, and this start spells the command differently.
    let restart = format!("restart it there: systemctl restart {name}.service; or give --detach");
    let other = scene.start(&["--", "/bin/sleep", "1000"]).expect_code(75);
    other.expect_stderr(&["already runs as pid ", " under systemd as the unit '", &restart]);
    // The unit is between two restarts, enabled or not: it will be back.
    systemd.systemctl(&["disable", name]);
    systemd.inside(&["mkdir", "-p", &format!("/run/systemd/system/{name}.service.d")]);
    systemd.unit(&format!("{name}.service.d/slow.conf"), "[Service]\nRestartSec=1h\n");
    systemd.systemctl(&["daemon-reload"]);
    let pid = systemd.pid(name).expect("a pid");
    systemd.kill(pid);
    eventually("it is in back-off", || scene.property("SubState") == "auto-restart");
    scene.start(&[]).expect_code(75).expect_stderr(&["is being started or stopped: activating (auto-restart)", &start]);
    // A unit of another config file with this name is not the unit of this service.
    let text = fs::read_to_string(&scene.config).expect("a file");
    let elsewhere = Scene { config: room.file("copy.toml", &text).display().to_string(), ..scene };
    let other = elsewhere.start(&[]);
    assert!(!other.stderr.contains("is the unit"), "{}", other.stderr);
}

#[test]
fn a_unit_of_a_user_needs_no_root_and_mentions_lingering() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, name, port, config } = &scene;
    let dir = room.path().join("config/systemd/user");
    fs::create_dir_all(&dir).expect("a folder");
    let home = room.path().join("config").display().to_string();
    let manager = format!(
        "[Service]\nType=notify\nDelegate=yes\nEnvironment=XDG_RUNTIME_DIR=/run/user/0 XDG_CONFIG_HOME={home}\n\
         ExecStartPre=/bin/mkdir -p /run/user/0\nExecStart=/lib/systemd/systemd --user\n"
    );
    systemd.unit("manager.service", &manager);
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["start", "manager"]);
    let state = format!("FORERUN_STATE_DIR={}", room.state().display());
    let xdg = format!("XDG_CONFIG_HOME={home}");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let dir = dir.display().to_string();
    let unit = |words: &[&str]| {
        let all = [
            "env",
            "-i",
            path,
            &state,
            &xdg,
            env!("CARGO_BIN_EXE_forerun"),
            "unit",
            "systemd",
            "--user",
            "--config",
            config,
            "--dir",
            &dir,
        ];
        systemd.done_inside(&[&all[..], words].concat())
    };
    let installed = unit(&["--install", "--now"]).expect_code(0);
    installed.expect_stderr(&["forerun: systemctl --user daemon-reload\n", "loginctl enable-linger"]);
    let pid = answer(*port).expect("it serves");
    let user = ["env", "-i", path, "XDG_RUNTIME_DIR=/run/user/0", "systemctl", "--user", "show", "--value", "-p"];
    assert_eq!(systemd.inside(&[&user[..], &["MainPID", name]].concat()), pid.to_string());
    systemd.kill(pid);
    eventually("it serves again", || answer(*port).is_some_and(|now| now != pid));
    // The user's manager reports the same.
    let done = systemd.forerun(room, &["stop", name]).expect_code(75);
    assert!(done.stderr.contains(&format!("systemctl --user stop {name}.service")), "{}", done.stderr);
    unit(&["--uninstall"]).expect_code(0);
    assert!(holds_within(DEADLINE, || answer(*port).is_none()));
    assert_eq!(fs::read_dir(&dir).expect("a folder").count(), 0);
}

/// Restarts the unit and returns its file.
fn healed(scene: &Scene) -> String {
    let said = scene.journal().matches("forerun has updated the file").count();
    scene.systemd.systemctl(&["restart", &scene.name]);
    let healed = scene.file();
    if healed.contains("44s") {
        eventually("it is told", || scene.journal().matches("forerun has updated the file").count() > said);
    }
    healed
}

#[test]
fn a_unit_heals_with_its_own_flags_and_not_with_those_of_this_start() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, name, .. } = &scene;
    scene.unit(&["--install", "--now"]).expect_code(0);
    // Somebody installs a new text, and systemd starts the old one once more.
    scene.unit(&["--env", "NEW=1", "--install"]).expect_code(0);
    let new = scene.file();
    systemd.systemctl(&["restart", name]);
    assert!(new.contains("NEW=1"), "{new}");
    assert_eq!(scene.file(), new);
    // The settings of a drop-in stay in the drop-in.
    let drop_in = format!("/etc/systemd/system/{name}.service.d");
    systemd.inside(&["mkdir", "-p", &drop_in]);
    let text = format!(
        "[Service]\nExecStart=\nExecStart={} --foreground --config {} --env DROP=1\nEnvironment=FORERUN_STATE_DIR={}\n",
        Forerun,
        scene.config,
        room.path().join("elsewhere").display()
    );
    let file = room.file("x.conf", &text);
    systemd.inside(&["cp", file.to_str().expect("UTF-8"), &drop_in]);
    systemd.systemctl(&["daemon-reload"]);
    scene.change("command", "grace = '44s'\ncommand");
    let healed = healed(&scene);
    assert!(healed.contains("44s") && healed.contains("NEW=1"), "{healed}");
    assert!(!healed.contains("DROP") && !healed.contains("elsewhere"), "{healed}");
}

#[test]
fn who_may_read_a_unit_stays_as_it_was() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    scene.unit(&["--env", "SECRET=x", "--install", "--now"]).expect_code(0);
    let path = format!("/etc/systemd/system/{}.service", scene.name);
    scene.systemd.inside(&["chmod", "600", &path]);
    scene.systemd.inside(&["chgrp", "nogroup", &path]);
    scene.change("command", "grace = '44s'\ncommand");
    assert!(healed(&scene).contains("44s"));
    assert_eq!(scene.systemd.inside(&["stat", "-c", "%a %G", &path]), "600 nogroup");
}

#[test]
fn a_unit_that_is_linked_is_seen() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, name, .. } = &scene;
    let dir = room.path().join("units");
    fs::create_dir(&dir).expect("a folder");
    let dir = dir.display().to_string();
    scene.unit(&["--dir", &dir, "--install", "--now"]).expect_code(0);
    systemd.systemctl(&["stop", name]);
    scene.start(&[]).expect_code(75).expect_stderr(&["of systemd, which is enabled but does not run"]);
    let doctor = systemd.forerun(room, &["doctor", "--config", &scene.config]).expect_code(1);
    assert!(
        doctor.stdout.contains(&format!("{dir}/{name}.service' was written by forerun and is up to date")),
        "{}",
        doctor.stdout
    );
    scene.unit(&["--dir", &dir, "--uninstall"]).expect_code(0);
    assert_eq!(fs::read_dir(&dir).expect("a folder").count(), 0);
    // A unit that is only linked is not enabled.
    scene.unit(&["--dir", &dir, "--install"]).expect_code(0);
    systemd.systemctl(&["link", &format!("{dir}/{name}.service")]);
    scene.start(&[]).expect_code(0);
}

#[test]
fn a_unit_that_systemd_cannot_read_is_not_written() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, name, .. } = &scene;
    let named =
        |name: &str| systemd.forerun(room, &["unit", "systemd", "--name", name, "--install", "--", "sleep", "1"]);
    named("@web").expect_code(78).expect_line(&["'@web' has no template before the '@'"]);
    let long = "x".repeat(120_000);
    let words = ["unit", "systemd", "--name", "long", "--install", "--", "sleep"];
    let many = [&words[..], &[&long[..]; 9]].concat();
    systemd.forerun(room, &many).expect_code(78).expect_line(&["long.service' would be larger than 1 MiB"]);
    // A template that belongs to somebody else.
    systemd.unit("theirs@.service", "[Service]\nExecStart=/bin/true\n");
    named("theirs@1").expect_code(75).expect_line(&["theirs@.service' is already a unit of this name"]);

    scene.unit(&["--install"]).expect_code(0);
    scene.start(&["--detach"]).expect_code(0);
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["enable", name]);
    systemd.systemctl(&["start", "--no-block", name]);
    eventually("it stands by", || scene.property("StatusText").starts_with("standby: "));
    let doctor = systemd.forerun(room, &["doctor", "--config", &scene.config]).expect_code(0);
    assert!(
        doctor.stdout.contains("forerun: standby: the name ")
            && doctor.stdout.contains(&format!("mend it: stop it: forerun stop {name}")),
        "{}",
        doctor.stdout
    );
}

#[test]
fn a_systemctl_that_does_not_answer_holds_up_no_start_for_good() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, .. } = &scene;
    scene.unit(&["--install"]).expect_code(0);
    let deaf = room.path().join("deaf");
    fs::create_dir(&deaf).expect("a folder");
    script(&deaf.join("systemctl"), "#!/bin/sh\nsleep 1000\n");
    let path = format!("PATH={}:/usr/bin:/bin", deaf.display());
    let state = format!("FORERUN_STATE_DIR={}", room.state().display());
    let forerun = env!("CARGO_BIN_EXE_forerun");
    let start = ["env", "-i", &path, &state, "FORERUN_FOREGROUND=0", forerun, "--config", &scene.config];
    systemd.done_inside(&start).expect_code(0);
    systemd.forerun(room, &["stop", &scene.name]).expect_code(0);
}

#[test]
fn the_requested_start_is_awaited_and_no_other_one_counts() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { room, systemd, name, port, .. } = &scene;
    // A start that waits for a job of another unit is not a failure.
    let go = room.path().join("go");
    let slow =
        format!("[Service]\nType=oneshot\nExecStart=/bin/sh -c 'until [ -e {} ]; do sleep 0.1; done'\n", go.display());
    systemd.unit("slow.service", &slow);
    systemd.inside(&["mkdir", "-p", &format!("/run/systemd/system/{name}.service.d")]);
    systemd.unit(&format!("{name}.service.d/after.conf"), "[Unit]\nWants=slow.service\nAfter=slow.service\n");
    let installed = std::thread::scope(|scope| {
        let install = scope.spawn(|| scene.unit(&["--install", "--now"]));
        eventually("it waits for its turn", || scene.property("Job").parse::<u32>().is_ok_and(|job| job > 0));
        // Longer than a unit without a job may be down.
        let down = std::time::Instant::now();
        eventually("it is patient", || down.elapsed().as_secs() >= 3);
        fs::write(&go, "").expect("written");
        install.join().expect("no panic")
    });
    installed.expect_code(0).expect_stderr(&["its job waits for another unit"]);
    let old = answer(*port).expect("it serves");
    // A server that still starts with an older forerun.toml does not count.
    let wait = room.path().join("wait");
    scene.change("[health]", &format!("[[wait]]\ncheck = 'file:{}'\n[health]", wait.display()));
    systemd.systemctl(&["restart", "--no-block", name]);
    eventually("it waits", || scene.property("StatusText").contains("waiting"));
    // The process clock has ticks of ten milliseconds, so the process seems older than it is.
    let since = std::time::Instant::now();
    eventually("ticks pass", || since.elapsed().as_millis() > 50);
    scene.change("'--answer-pid'", "'--body', 'new'");
    fs::write(&wait, "").expect("written");
    scene.unit(&["--install", "--now"]).expect_code(0);
    assert!(answer(*port).is_none_or(|pid| pid != old));
    let pid = systemd.pid(name).expect("a pid");
    let words = fs::read(systemd.proc(pid, "cmdline")).expect("a command line");
    assert!(String::from_utf8_lossy(&words).contains("new"), "{}", String::from_utf8_lossy(&words));
    // A unit in its pause before the next start is started at once.
    systemd.unit(&format!("{name}.service.d/pause.conf"), "[Service]\nRestartSec=1h\n");
    systemd.systemctl(&["daemon-reload"]);
    systemd.kill(pid);
    eventually("it pauses", || scene.property("SubState") == "auto-restart");
    scene.unit(&["--install", "--now"]).expect_code(0);
}

#[test]
fn a_reload_and_a_stop_are_those_of_the_file() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { systemd, room, name, .. } = &scene;
    let text = "trap 'echo >> hups' HUP; trap 'echo > usr1; exit 138' USR1; echo > up; while :; do sleep 0.05; done";
    let before = "test -e up && ! test -e usr1 && echo > before";
    room.file(
        "forerun.toml",
        &format!(
            "name = '{name}'\nport = 0\nhealth = 'exec:test -e up'\ncommand = ['/bin/sh', '-c', \"{text}\"]\n\
             [stop]\nsignal = 'USR1'\nbefore = '{before}'\n"
        ),
    );
    scene.unit(&["--install", "--now"]).expect_code(0);
    systemd.systemctl(&["reload", name]);
    let lines = |file: &str| fs::read_to_string(room.path().join(file)).unwrap_or_default().lines().count();
    assert_eq!((lines("hups"), scene.property("ActiveState")), (1, "active".to_owned()));
    systemd.systemctl(&["stop", name]);
    assert_eq!((lines("before"), lines("usr1")), (1, 1), "{}", scene.journal());
    // It exits with the code of its signal, which is no failure.
    assert_eq!(["ActiveState", "Result"].map(|p| scene.property(p)), ["inactive", "success"]);
}

#[test]
fn a_worker_finishes_its_task_before_the_unit_has_stopped() {
    needs!(Kind::Systemd);
    let python = "/usr/bin/python3";
    let has_celery = done(Command::new(python).args(["-c", "import celery"])).code == Some(0);
    skip_unless!(has_celery, "no celery");
    let scene = Scene::new();
    let Scene { systemd, room, name, .. } = &scene;
    let here = room.path().display();
    fs::create_dir(room.path().join("queue")).expect("a folder");
    let tasks = format!(
        "import time\nfrom celery import Celery\n\
         where = {{'data_folder_in': '{here}/queue', 'data_folder_out': '{here}/queue'}}\n\
         app = Celery('tasks', broker='filesystem://', broker_transport_options=where)\n\
         @app.task\ndef work(seconds):\n    open('{here}/started', 'w').close()\n    time.sleep(seconds)\n    \
         open('{here}/finished', 'w').close()\n",
    );
    room.file("tasks.py", &tasks);
    room.file(
        "forerun.toml",
        &format!(
            "name = '{name}'\nport = 0\ngrace = '60s'\n\
             command = ['{python}', '-m', 'celery', '-A', 'tasks', 'worker', '-c', '1']\n"
        ),
    );
    scene.unit(&["--install", "--now"]).expect_code(0);
    let task = format!("cd '{here}' && {python} -c 'import tasks; tasks.work.delay(3)'");
    systemd.done_inside(&["sh", "-c", &task]).expect_code(0);
    eventually("the task has begun", || room.path().join("started").exists());
    systemd.systemctl(&["stop", name]);
    assert!(room.path().join("finished").exists(), "{}", scene.journal());
    assert_eq!(["ActiveState", "Result"].map(|p| scene.property(p)), ["inactive", "success"]);
}

/// As a JVM does.
#[test]
fn a_server_that_exits_143_of_its_stop_signal_has_not_failed() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { systemd, room, name, .. } = &scene;
    let text = "trap 'exit 143' TERM; echo > up; while :; do sleep 0.05; done";
    let file =
        format!("name = '{name}'\nport = 0\nhealth = 'exec:test -e up'\ncommand = ['/bin/sh', '-c', \"{text}\"]\n");
    room.file("forerun.toml", &file);
    scene.unit(&["--install", "--now"]).expect_code(0);
    systemd.systemctl(&["stop", name]);
    assert_eq!(["ActiveState", "Result"].map(|p| scene.property(p)), ["inactive", "success"]);
}

#[test]
fn root_sees_the_instance_of_a_dynamic_user_in_its_state_folder() {
    needs!(Kind::Systemd);
    let scene = Scene::new();
    let Scene { systemd, name, port, .. } = &scene;
    let (forerun, state) = (env!("CARGO_BIN_EXE_forerun"), format!("/var/lib/{name}"));
    // Such a unit has its own /tmp, and the program may be in the other one.
    let text = format!(
        "[Service]\nType=notify\nNotifyAccess=all\nDynamicUser=yes\nStateDirectory={name}\n\
         BindReadOnlyPaths={forerun}\nEnvironment=FORERUN_STATE_DIR={state}\nExecStart={forerun} --foreground --name {name} \
         --health http://127.0.0.1:{port}/ -- /usr/bin/python3 -m http.server -b 127.0.0.1 -d /usr/share {port}\n"
    );
    let path = format!("/run/systemd/system/{name}.service");
    systemd.inside(&["sh", "-c", "printf %s \"$1\" >\"$2\"", "sh", &text, &path]);
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["start", name]);
    let status = ["env", &format!("FORERUN_STATE_DIR={state}"), forerun, "status", name];
    let said = systemd.done_inside(&status).expect_code(0);
    assert!(said.stdout.contains(&format!("{name} is running")), "{}", said.stdout);
    systemd.systemctl(&["stop", name]);
    systemd.done_inside(&status).expect_code(1);
}
