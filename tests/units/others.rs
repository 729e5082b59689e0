//! Units under real runit, s6 and supervisord: installed, verified, killed, removed; a mistake does not loop.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Done, Room, answer, done, eventually, fixture, free_port, is_root};
use crate::harness::{Kind, Supervisor};
use crate::{config, skip_unless, unique};

struct Scene {
    // Dropped before the folder.
    supervisor: Supervisor,
    room: Room,
    kind: Kind,
    name: String,
    config: String,
    port: u16,
}

impl Scene {
    /// The server answers.
    #[track_caller]
    fn serves(&self) {
        let status = || self.supervisor.status(&self.name);
        assert!(answer(self.port).is_some(), "it does not answer; {}", status());
    }

    fn new(kind: Kind) -> Self {
        let room = Room::new();
        let supervisor = match kind {
            Kind::Supervisord => {
                fs::create_dir(room.path().join("units")).expect("a folder");
                Supervisor::boot(kind, &room, &[])
            }
            _ => Supervisor::boot(kind, &room, &[]),
        };
        // All units are in folders of the machine.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let (name, port) = (unique(&format!("{kind:?}{count}").to_lowercase()), free_port());
        let config = config(&room, &name, port, "");
        Scene { room, supervisor, kind, name, config, port }
    }

    fn word(&self) -> &'static str {
        match self.kind {
            Kind::Runit => "runit",
            Kind::S6 => "s6",
            _ => "supervisord",
        }
    }

    /// The folder that the supervisor reads.
    fn dir(&self) -> PathBuf {
        if self.kind == Kind::Supervisord {
            self.room.path().join("units")
        } else {
            self.supervisor.folder().to_owned()
        }
    }

    fn unit(&self, words: &[&str]) -> Done {
        let mut command = self.room.forerun();
        command.current_dir(self.supervisor.folder()).args(["unit", self.word(), "--config", &self.config, "--dir"]);
        done(command.arg(self.dir()).args(words))
    }

    fn pid(&self) -> Option<i32> {
        self.supervisor.pid(&self.name)
    }

    /// The folder of the definition, for runit and s6.
    fn folder(&self) -> PathBuf {
        PathBuf::from(if self.kind == Kind::Runit { "/etc/sv" } else { "/etc/s6/sv" }).join(&self.name)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if self.kind != Kind::Supervisord {
            let _ = fs::remove_file(self.supervisor.folder().join(&self.name));
            let _ = Command::new(if self.kind == Kind::Runit { "sv" } else { "s6-svc" })
                .args(if self.kind == Kind::Runit { ["exit"] } else { ["-dx"] })
                .arg(self.folder())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            let _ = fs::remove_dir_all(self.folder());
        }
    }
}

fn installed_verified_killed_removed(kind: Kind) {
    needs!(kind);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(kind);
    let Scene { name, port, .. } = &scene;
    let word = scene.word();
    let done = scene.unit(&["--install", "--now"]).expect_code(0);
    let pid = scene.pid().expect("a pid");
    let says = format!("{name} runs under {word}: pid {pid}, healthy: 'http://127.0.0.1:{port}/' holds\n");
    assert!(done.stdout.ends_with(&says), "{}{}", done.stdout, done.stderr);
    assert_eq!(answer(*port), Some(pid));

    // The second time nothing is written or restarted.
    let again = scene.unit(&["--install", "--now"]).expect_code(0);
    assert!(again.stdout.starts_with("unchanged "), "{}", again.stdout);
    assert_eq!(scene.pid(), Some(pid));

    // The server is killed.
    let mut last = pid;
    for _ in 0..2 {
        scene.supervisor.kill(last);
        eventually("it serves again", || answer(*port).is_some_and(|now| now != last && scene.pid() == Some(now)));
        last = scene.pid().expect("a pid");
    }
    // The service is changed, and the new server has the new text.
    let text = fs::read_to_string(&scene.config).expect("a file");
    fs::write(&scene.config, format!("grace = '4s'\n{text}")).expect("written");
    let changed = scene.unit(&["--nofile", "777:888", "--install", "--now"]).expect_code(0);
    assert!(changed.stdout.starts_with("wrote "), "{}", changed.stdout);
    let now = scene.pid().expect("a pid");
    assert_ne!(now, last);
    let limits = fs::read_to_string(format!("/proc/{now}/limits")).expect("limits");
    assert!(limits.lines().any(|line| line.starts_with("Max open files            777 ")), "{limits}");
    // A start by hand finds the server.
    let mut by_hand = scene.room.forerun();
    let by_hand = crate::common::done(by_hand.args(["--config", &scene.config])).expect_code(0);
    assert!(by_hand.stdout.contains("already running"), "{}", by_hand.stdout);

    scene.unit(&["--uninstall"]).expect_code(0);
    assert_eq!(answer(*port), None);
    assert!(!scene.dir().join(name).exists() && !scene.dir().join(format!("{name}.conf")).exists());
    assert!(kind == Kind::Supervisord || !scene.folder().exists(), "something is left in {}", scene.folder().display());
}

fn a_mistake_does_not_loop(kind: Kind) {
    needs!(kind);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(kind);
    scene.unit(&["--install", "--now"]).expect_code(0);
    let text = fs::read_to_string(&scene.config).expect("a file");
    fs::write(&scene.config, text.replace("[health]", "[healht]")).expect("written");
    scene.supervisor.kill(scene.pid().expect("a pid"));
    let down = match kind {
        Kind::Runit => &["down: "][..],
        Kind::S6 => &["down (exitcode 78)"],
        // Where forerun took longer than startsecs to say 78, it has started, and ended as expected.
        _ => &["FATAL", "EXITED"],
    };
    eventually("it has given up", || {
        let status = scene.supervisor.status(&scene.name);
        down.iter().any(|down| status.contains(down)) && !status.contains("want up")
    });
    // The error says how to start it again.
    fs::write(&scene.config, text).expect("written");
    scene.unit(&["--install", "--now"]).expect_code(0);
    scene.serves();
    scene.unit(&["--uninstall"]).expect_code(0);
}

macro_rules! under {
    ($($module:ident $kind:expr),*) => {$(
        mod $module {
            use super::*;

            #[test]
            fn it_is_installed_verified_killed_and_removed() {
                installed_verified_killed_removed($kind);
            }

            #[test]
            fn a_mistake_in_the_configuration_does_not_loop() {
                a_mistake_does_not_loop($kind);
            }

            #[test]
            fn what_a_wrapper_started_is_stopped_with_it() {
                what_a_wrapper_started_is_stopped($kind);
            }

            #[test]
            fn what_runs_is_what_was_installed_last() {
                installed_last($kind);
            }

            #[test]
            fn installations_at_once_are_one() {
                installations_at_once($kind);
            }
        }
    )*};
}

under!(runit Kind::Runit, s6 Kind::S6, supervisord Kind::Supervisord);

/// As `npm start`: the wrapper ends of SIGTERM, and does not hand it on to the server.
fn what_a_wrapper_started_is_stopped(kind: Kind) {
    needs!(kind);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(kind);
    let text = fs::read_to_string(&scene.config).expect("a file");
    let server = format!("'{}' serve {} --answer-pid & wait", fixture().display(), scene.port);
    let wrapper = format!("name = '{}'\ncommand = ['/bin/sh', '-c', \"{server}\"]\n[health]", scene.name);
    fs::write(&scene.config, wrapper + text.split("[health]").nth(1).expect("a check")).expect("written");
    scene.unit(&["--install", "--now"]).expect_code(0);
    let folder = scene.dir().join(&scene.name);
    let folder = folder.to_str().expect("UTF-8");
    let conf = scene.supervisor.folder().join("conf");
    let stop = match kind {
        Kind::Runit => vec!["sv", "stop", folder],
        Kind::S6 => vec!["s6-svc", "-wD", "-T", "20000", "-d", folder],
        _ => vec!["supervisorctl", "-c", conf.to_str().expect("UTF-8"), "stop", &scene.name],
    };
    scene.supervisor.done_inside(&stop).expect_code(0);
    eventually("nothing serves", || answer(scene.port).is_none());
    scene.unit(&["--uninstall"]).expect_code(0);
}

#[test]
fn sv_check_asks_the_health_check() {
    needs!(Kind::Runit);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(Kind::Runit);
    let text = fs::read_to_string(&scene.config).expect("a file");
    let sick = scene.room.path().join("sick");
    let with_sick = format!("'--answer-pid', '--sick', '{}'", sick.display());
    fs::write(&scene.config, text.replace("'--answer-pid'", &with_sick)).expect("written");
    scene.unit(&["--install", "--now"]).expect_code(0);
    let folder = scene.dir().join(&scene.name);
    let check = || scene.supervisor.done_inside(&["sv", "-w", "1", "check", folder.to_str().expect("UTF-8")]).code;
    assert_eq!(check(), Some(0));
    fs::write(&sick, "").expect("written");
    assert_ne!(check(), Some(0), "a server that is not well");
    fs::remove_file(&sick).expect("removed");
    assert_eq!(check(), Some(0));
    scene.unit(&["--uninstall"]).expect_code(0);
}

#[test]
fn a_folder_that_nobody_scans_is_reported() {
    skip_unless!(is_root(), "it needs root, to write where services belong");
    for (word, program, folder) in [("runit", "sv", "/etc/sv"), ("s6", "s6-svc", "/etc/s6/sv")] {
        skip_unless!(crate::common::has(program), "no {program}");
        let room = Room::new();
        let name = unique(&format!("unscanned-{word}"));
        let config = config(&room, &name, free_port(), "");
        let unit = |words: &[&str]| {
            let mut command = room.forerun();
            done(command.args(["unit", word, "--config", &config, "--dir"]).arg(room.path()).args(words))
        };
        unit(&["--install", "--now"]).expect_code(1);
        unit(&["--uninstall"]).expect_code(0);
        assert!(!PathBuf::from(folder).join(&name).exists() && room.path().join(&name).symlink_metadata().is_err());
    }
}

#[test]
fn a_half_removed_unit_is_removed_completely() {
    for kind in [Kind::Runit, Kind::S6] {
        needs!(kind);
        skip_unless!(is_root(), "it needs root, to write where services belong");
        let scene = Scene::new(kind);
        scene.unit(&["--install", "--now"]).expect_code(0);
        // What a killed uninstall leaves: the link is gone, and its target still runs.
        fs::remove_file(scene.dir().join(&scene.name)).expect("a link");
        scene.serves();
        scene.unit(&["--uninstall"]).expect_code(0);
        assert_eq!(answer(scene.port), None);
        assert!(!scene.folder().exists());
        // What a killed install leaves: files of ours, and no script that runs.
        scene.unit(&["--install"]).expect_code(0);
        fs::remove_file(scene.folder().join("run")).expect("a script");
        fs::write(scene.folder().join(".run.forerun-2147483646"), "").expect("written");
        scene.unit(&["--install", "--now"]).expect_code(0);
        scene.serves();
        // The scanned folder need not be named again.
        let config = &scene.config;
        let mut uninstall = scene.room.forerun();
        done(uninstall.args(["unit", scene.word(), "--config", config, "--uninstall"])).expect_code(0);
        assert_eq!(answer(scene.port), None);
        assert!(!scene.folder().exists() && scene.dir().join(&scene.name).symlink_metadata().is_err());
    }
}

#[test]
fn a_start_by_hand_asks_the_folder_that_the_unit_names() {
    for kind in [Kind::Runit, Kind::S6] {
        needs!(kind);
        skip_unless!(is_root(), "it needs root, to write where services belong");
        let scene = Scene::new(kind);
        scene.unit(&["--install", "--now"]).expect_code(0);
        let link = scene.dir().join(&scene.name).display().to_string();
        let down = if kind == Kind::Runit { ["sv", "down", &link] } else { ["s6-svc", "-d", &link] };
        scene.supervisor.done_inside(&down).expect_code(0);
        // It must not be in ./finish any more either.
        eventually("it is down", || scene.supervisor.status(&scene.name).starts_with("down"));
        let mut by_hand = scene.room.forerun();
        let told = done(by_hand.args(["--config", &scene.config])).expect_code(75);
        told.expect_stderr(&[&format!("of {}, which is enabled but does not run: ", scene.word()), &link]);
        let mut doctor = scene.room.forerun();
        let seen = done(doctor.args(["doctor", "--config", &scene.config])).expect_code(1);
        assert!(seen.stdout.contains("does not run it: down") && seen.stdout.contains(&link), "{}", seen.stdout);
        scene.unit(&["--uninstall"]).expect_code(0);
    }
}

fn installed_last(kind: Kind) {
    needs!(kind);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(kind);
    scene.unit(&["--install", "--now"]).expect_code(0);
    let before = scene.pid().expect("a pid");
    // The unit is written first and started later.
    let words = |more: &[&'static str]| [&["--nofile", "555:777"][..], more].concat();
    scene.unit(&words(&["--install"])).expect_code(0);
    let later = scene.unit(&words(&["--install", "--now"])).expect_code(0);
    assert!(later.stdout.starts_with("unchanged "), "{}", later.stdout);
    let now = scene.pid().expect("a pid");
    let limits = fs::read_to_string(format!("/proc/{now}/limits")).expect("limits");
    assert!(now != before && limits.contains("Max open files            555 "), "{kind:?}: {limits}");
    // The same if only forerun.toml changed.
    let text = fs::read_to_string(&scene.config).expect("a file");
    fs::write(&scene.config, text.replace("'--answer-pid'", "'--answer-pid', '--ignore-term'")).expect("written");
    scene.unit(&words(&["--install", "--now"])).expect_code(0);
    assert!(scene.pid().is_some_and(|pid| pid != now));
    // A server that ignores SIGTERM is killed after the grace, whoever stops it.
    let deaf = scene.pid().expect("a pid");
    let text = fs::read_to_string(&scene.config).expect("a file");
    fs::write(&scene.config, format!("grace = '1s'\n{text}")).expect("written");
    scene.unit(&words(&["--install", "--now"])).expect_code(0);
    assert!(scene.pid().is_some_and(|pid| pid != deaf));
    scene.unit(&["--uninstall"]).expect_code(0);
    assert_eq!(answer(scene.port), None, "{kind:?}");
}

#[test]
fn s6_is_told_of_readiness_only_where_somebody_tells_it() {
    needs!(Kind::S6);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(Kind::S6);
    scene.unit(&["--install"]).expect_code(0);
    assert!(scene.folder().join("notification-fd").exists());
    let text = fs::read_to_string(&scene.config).expect("a file");
    fs::write(&scene.config, text.split("[health]").next().expect("text")).expect("written");
    scene.unit(&["--install"]).expect_code(0);
    assert!(!scene.folder().join("notification-fd").exists());
    scene.unit(&["--uninstall"]).expect_code(0);
    assert!(!scene.folder().exists());
}

#[test]
fn supervisord_is_queried_about_one_program_which_it_may_not_know() {
    needs!(Kind::Supervisord);
    let scene = Scene::new(Kind::Supervisord);
    let named = |name: &str, words: &[&str]| {
        let mut command = scene.room.forerun();
        command.current_dir(scene.supervisor.folder()).args(["unit", "supervisord", "--name", name, "--dir"]);
        done(command.arg(scene.dir()).args(words))
    };
    for words in [&["--uninstall"][..], &["--install", "--now", "--config", "/dev/null", "--", "sleep", "1000"]] {
        named("all", words).expect_code(78).expect_line(&["'all' means every program", "--name"]);
    }
    // The program was never loaded.
    scene.unit(&["--install"]).expect_code(0);
    scene.unit(&["--uninstall"]).expect_code(0);
    // A folder that the format of supervisord cannot contain.
    for state in ["/tmp/a ;b", "/tmp/a\nb", "/tmp/%(here)s", "/tmp/a\"b"] {
        let mut command = scene.room.forerun();
        command.env("FORERUN_STATE_DIR", state).args(["unit", "supervisord", "--name", "web", "--", "x"]);
        done(&mut command).expect_code(78).expect_line(&["cannot contain FORERUN_STATE_DIR="]);
    }
}

fn installations_at_once(kind: Kind) {
    needs!(kind);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(kind);
    // Each asks supervisorctl several times, which is a Python program: ten of them are not answered in time where
    // the machine has other work.
    let count = if kind == Kind::Supervisord { 4 } else { 10 };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..count).map(|_| scope.spawn(|| scene.unit(&["--install", "--now"]))).collect();
        for one in all {
            one.join().expect("no panic").expect_code(0);
        }
    });
    assert_eq!(answer(scene.port), scene.pid());
    scene.unit(&["--uninstall"]).expect_code(0);
}

#[test]
fn a_fix_and_a_check_are_the_services_own() {
    needs!(Kind::Runit);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(Kind::Runit);
    let text = fs::read_to_string(&scene.config).expect("a file");
    // The service does not get the variables of the shell that installs it.
    let exec =
        text.split("[health]").next().expect("text").to_owned() + "[health]\ncheck = 'exec:test -z \"$ONLY_HERE\"'\n";
    fs::write(&scene.config, exec).expect("written");
    let mut command = scene.room.forerun();
    command.env("ONLY_HERE", "1").args(["unit", "runit", "--config", &scene.config, "--dir"]).arg(scene.dir());
    done(command.args(["--install", "--now"])).expect_code(0);
    scene.unit(&["--uninstall"]).expect_code(0);
    // While a fix runs, the service does not serve yet.
    let fixed = scene.room.path().join("fixed");
    let fix = format!(
        "[[require]]\ncheck = 'file:{}'\nfix = 'sleep 12; touch {0}'\nfix-timeout = '1m'\n[health]",
        fixed.display()
    );
    fs::write(&scene.config, text.replace("[health]", &fix)).expect("written");
    scene.unit(&["--install", "--now"]).expect_code(0);
    scene.unit(&["--uninstall"]).expect_code(0);
}

#[test]
fn a_process_that_put_itself_into_the_background_is_named() {
    needs!(Kind::Runit);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(Kind::Runit);
    let text = fs::read_to_string(&scene.config).expect("a file");
    let text = text.replace("'--answer-pid'", "'--answer-pid', '--background'") + "timeout = '1s'\n";
    fs::write(&scene.config, text).expect("written");
    scene.unit(&["--install", "--now"]).expect_code(1);
    eventually("it serves", || answer(scene.port).is_some());
    let removed = scene.unit(&["--uninstall"]).expect_code(0);
    if answer(scene.port).is_some() {
        removed.expect_stderr(&[
            "it left 1 process behind, the first is ",
            &format!("to end them: forerun stop {} --all", scene.name),
        ]);
        done(scene.room.forerun().args(["stop", &scene.name, "--all"])).expect_code(0);
    }
    assert_eq!(answer(scene.port), None);
}

#[test]
fn another_scanned_folder_releases_the_unit_and_foreign_files_stay() {
    for kind in [Kind::Runit, Kind::S6] {
        needs!(kind);
        skip_unless!(is_root(), "it needs root, to write where services belong");
        let scene = Scene::new(kind);
        let other = Room::new();
        let second = Supervisor::boot(kind, &other, &[]);
        scene.unit(&["--install", "--now"]).expect_code(0);
        let mut moved = scene.room.forerun();
        moved.args(["unit", scene.word(), "--config", &scene.config, "--install", "--now", "--dir"]);
        done(moved.arg(second.folder())).expect_code(0);
        assert!(scene.dir().join(&scene.name).symlink_metadata().is_err());
        assert_eq!(answer(scene.port), second.pid(&scene.name));
        fs::create_dir(scene.folder().join("data")).expect("a folder");
        let mut uninstall = scene.room.forerun();
        let removed = done(uninstall.args(["unit", scene.word(), "--config", &scene.config, "--uninstall"]));
        assert!(removed.expect_code(0).stdout.contains("; other files are in it, so it stays"));
        assert_eq!(answer(scene.port), None);
        // The process is not taken for a stranger.
        scene.unit(&["--install"]).expect_code(0);
        fs::remove_dir(scene.folder().join("data")).expect("removed");
        scene.unit(&["--uninstall"]).expect_code(0);
    }
}

#[test]
fn an_installation_that_is_killed_between_two_files_goes_on() {
    needs!(Kind::S6);
    skip_unless!(is_root() && crate::common::has("strace"), "it needs root and strace");
    let scene = Scene::new(Kind::S6);
    scene.unit(&["--install"]).expect_code(0);
    for at in 1..=6 {
        let mut killed = Command::new("strace");
        let inject = format!("inject=rename:signal=KILL:when={at}");
        killed.args(["-f", "-o", "/dev/null", "-e", "trace=rename", "-e", &inject, env!("CARGO_BIN_EXE_forerun")]);
        killed.env_clear().env("PATH", "/usr/bin:/bin").env("FORERUN_STATE_DIR", scene.room.state());
        let grace = format!("{at}s");
        killed.args(["unit", "s6", "--grace", &grace, "--config", &scene.config, "--install", "--dir"]);
        let status = killed.arg(scene.dir()).stderr(Stdio::null()).status().expect("strace");
        assert!(!status.success(), "it was not killed at {at}");
        scene.unit(&["--grace", &grace, "--install"]).expect_code(0);
        let left: Vec<_> = fs::read_dir(scene.folder()).expect("a folder").flatten().map(|e| e.file_name()).collect();
        assert_eq!(left.len(), 6, "{left:?}");
    }
    scene.unit(&["--uninstall"]).expect_code(0);
}

#[test]
fn flags_that_forerun_adds_are_not_kept_as_flags_of_the_user() {
    needs!(Kind::S6);
    skip_unless!(is_root(), "it needs root, to write where services belong");
    let scene = Scene::new(Kind::S6);
    scene.unit(&["--install"]).expect_code(0);
    let run = || fs::read_to_string(scene.folder().join("run")).expect("a script");
    assert!(run().contains(" --nofile 8192 --ready-fd 3"), "{}", run());
    let text = fs::read_to_string(&scene.config).expect("a file");
    let without = text.split("[health]").next().expect("text").to_owned() + "[limits]\nnofile = '4000'\n";
    fs::write(&scene.config, without).expect("written");
    let mut doctor = scene.room.forerun();
    let seen = done(doctor.args(["doctor", "--json", "--config", &scene.config])).stdout;
    assert!(seen.contains("is out of date: forerun would write another text today"), "{seen}");
    scene.unit(&["--install"]).expect_code(0);
    assert!(!run().contains("--nofile") && !run().contains("--ready-fd"), "{}", run());
    scene.unit(&["--uninstall"]).expect_code(0);
}
