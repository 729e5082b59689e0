//! Files of units: written, compared, left alone, forced, removed. No supervisor has to run for that.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::common::{Done, Room, done, free_port};
use crate::harness::script;
use crate::{config, unique};

/// A folder of units, and a service.
struct Scene {
    room: Room,
    config: String,
    dir: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let room = Room::new();
        let config = config(&room, &unique("file"), free_port(), "");
        let dir = room.path().join("units.d");
        fs::create_dir(&dir).expect("a folder");
        Scene { room, config, dir }
    }

    fn unit(&self, kind: &str) -> PathBuf {
        let name = unique("file");
        self.dir.join(match kind {
            "systemd" => format!("{name}.service"),
            "launchd" => format!("forerun.{name}.plist"),
            _ => format!("{name}.conf"),
        })
    }

    /// Runs `forerun unit KIND` without any supervisor's program on PATH.
    fn run(&self, kind: &str, words: &[&str]) -> Done {
        let mut command = self.room.forerun();
        command.env("PATH", "/nonexistent").args(["unit", kind, "--config", &self.config, "--dir"]).arg(&self.dir);
        done(command.args(words))
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

const KINDS: [&str; 3] = ["systemd", "launchd", "supervisord"];

#[test]
fn a_unit_is_written_once_and_removed() {
    let scene = Scene::new();
    for kind in KINDS {
        let unit = scene.unit(kind);
        let first = scene
            .run(kind, &["--install"])
            .expect_code(0)
            .expect_stderr(&["is not on PATH: no supervisor on this machine reads this unit"]);
        assert!(first.stdout.starts_with(&format!("wrote {}\nto start it", unit.display())), "{}", first.stdout);
        assert_eq!(fs::read_to_string(&unit).expect("there"), scene.run(kind, &[]).stdout, "{kind}");
        let status = unit.metadata().expect("there");
        assert_eq!(status.permissions().mode() & 0o7777, 0o644);
        let again = scene.run(kind, &["--install"]).expect_code(0);
        assert!(again.stdout.starts_with(&format!("unchanged {}\n", unit.display())), "{}", again.stdout);
        assert_eq!(unit.metadata().expect("there").ino(), status.ino(), "it was written again");
        scene.run(kind, &["--diff"]).expect_code(0).expect_line(&["is up to date"]);
        let removed = scene.run(kind, &["--uninstall"]).expect_code(0);
        assert_eq!(removed.stdout, format!("removed {}\n", unit.display()));
        assert!(scene.left().is_empty(), "{:?}", scene.left());
        let none = scene.run(kind, &["--uninstall"]).expect_code(0);
        assert_eq!(none.stdout, format!("no unit is installed at {}\n", unit.display()));
    }
}

#[test]
fn a_unit_that_is_out_of_date_is_replaced() {
    let scene = Scene::new();
    for kind in KINDS {
        scene.run(kind, &["--install"]).expect_code(0);
        let stale = scene.run(kind, &["--grace", "3s", "--diff"]).expect_code(0).expect_line(&["is out of date"]);
        assert!(stale.stdout.contains("\n+") && stale.stdout.contains("\n-"), "{}", stale.stdout);
        scene.run(kind, &["--grace", "3s", "--install"]).expect_code(0);
        scene.run(kind, &["--grace", "3s", "--diff"]).expect_code(0).expect_line(&["is up to date"]);
        assert_eq!(scene.run(kind, &["--grace", "3s", "--diff"]).stdout, "");
        scene.run(kind, &["--uninstall"]).expect_code(0);
    }
}

#[test]
fn what_was_edited_or_is_not_ours_is_shown_and_left_alone_without_force() {
    let scene = Scene::new();
    let other = scene.room.run(&["unit", "systemd", "--name", "other", "--", "x"]).expect_code(0).stdout;
    let unlike = fs::read_to_string(&scene.config).expect("a file");
    let elsewhere = Room::new();
    let theirs = elsewhere.file("forerun.toml", &unlike).display().to_string();
    for kind in KINDS {
        let unit = scene.unit(kind);
        let ours = scene.run(kind, &[]).stdout;
        let of_another_file = scene.room.run(&["unit", kind, "--config", &theirs]).expect_code(0).stdout;
        for (text, why) in [
            (format!("{ours}\n# edited\n"), "it was edited"),
            (ours.replacen("exec", "Exec", 1) + "x", "it was edited"),
            ("[Service]\nExecStart=/bin/true\n".to_owned(), "forerun did not write it"),
            (String::new(), "forerun did not write it"),
            (other.clone(), "it is the unit of another service, 'other'"),
            (of_another_file, "another service of this name, whose config file is"),
        ] {
            fs::write(&unit, &text).expect("written");
            let left = scene.run(kind, &["--install"]).expect_code(75);
            let left = left.expect_line(&[" is left alone: ", why, "; --force replaces it"]);
            assert!(left.stdout.starts_with("--- "), "{}", left.stdout);
            scene.run(kind, &["--diff"]).expect_code(0);
            scene.run(kind, &["--uninstall"]).expect_code(75).expect_line(&[why, "; --force removes it"]);
            assert_eq!(fs::read_to_string(&unit).expect("there"), text, "{kind}");

            scene.run(kind, &["--install", "--force"]).expect_code(0).expect_stderr(&["the old file is kept as "]);
            assert_eq!(fs::read_to_string(&unit).expect("there"), ours);
            let old = PathBuf::from(format!("{}.old", unit.display()));
            assert_eq!(fs::read_to_string(&old).expect("there"), text);
            scene.run(kind, &["--uninstall"]).expect_code(0);
            fs::remove_file(old).expect("removed");
        }
        assert!(scene.left().is_empty(), "{:?}", scene.left());
    }
}

#[test]
fn what_is_no_file_is_left_alone() {
    let scene = Scene::new();
    let target = scene.room.file("target", "precious\n");
    for kind in KINDS {
        let unit = scene.unit(kind);
        std::os::unix::fs::symlink(&target, &unit).expect("a symlink");
        scene.run(kind, &["--install"]).expect_code(75).expect_line(&["is left alone: it is a symlink"]);
        scene.run(kind, &["--install", "--force"]).expect_code(0);
        assert!(unit.symlink_metadata().expect("there").is_file());
        assert_eq!(fs::read_to_string(&target).expect("there"), "precious\n");
        fs::remove_file(&unit).expect("removed");
        nix::unistd::mkfifo(&unit, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        scene.run(kind, &["--install"]).expect_code(75).expect_line(&["is left alone: it is not a regular file"]);
        fs::remove_file(&unit).expect("removed");
        fs::create_dir(&unit).expect("a folder");
        scene.run(kind, &["--install"]).expect_code(75).expect_line(&["is left alone: it is not a regular file"]);
        scene.run(kind, &["--install", "--force"]).expect_code(73).expect_line(&["cannot write"]);
        fs::remove_dir(&unit).expect("still there, and empty");
        fs::write(&unit, b"\xff\xfe").expect("written");
        scene.run(kind, &["--install"]).expect_code(75).expect_line(&["is left alone: it is not UTF-8"]);
        fs::File::create(&unit).and_then(|file| file.set_len(2 << 20)).expect("large");
        scene.run(kind, &["--install"]).expect_code(75).expect_line(&["is left alone: it is larger than 1 MiB"]);
        fs::remove_file(&unit).expect("removed");
        let _ = fs::remove_file(format!("{}.old", unit.display()));
    }
    assert!(scene.left().is_empty(), "{:?}", scene.left());
}

#[test]
fn a_folder_that_cannot_be_written_is_one_line_and_nothing_is_left() {
    let scene = Scene::new();
    let file = scene.room.file("plain", "");
    for kind in KINDS {
        let mut command = scene.room.forerun();
        command.args(["unit", kind, "--config", &scene.config, "--install", "--dir"]).arg(file.join("x"));
        done(&mut command).expect_code(75).expect_line(&["Not a directory"]);
        let mut command = scene.room.forerun();
        command.args(["unit", kind, "--config", &scene.config, "--install", "--dir", "/proc/forerun"]);
        done(&mut command).expect_code(73).expect_line(&["cannot write '/proc/forerun/"]);
        scene
            .run(kind, &["--install", "--now"])
            .expect_code(127)
            .expect_line(&["it is not on PATH; no file was written"]);
    }
    assert!(scene.left().is_empty(), "{:?}", scene.left());
}

#[test]
fn a_start_that_fails_says_that_the_unit_was_written() {
    let room = Room::new();
    script(&room.path().join("systemctl"), "#!/bin/sh\necho 'no bus' >&2\nexit 1\n");
    let mut command = room.forerun();
    command.env("PATH", format!("{}:/usr/bin:/bin", room.path().display()));
    command.args(["unit", "systemd", "--name", "web", "--install", "--now", "--dir"]).arg(room.path());
    let failed = done(command.args(["--", "/bin/sleep", "9"])).expect_code(1);
    failed.expect_line(&["no bus; the unit was written: '", "/web.service'"]);
    assert!(room.path().join("web.service").exists());
}

#[test]
fn what_a_forerun_that_was_killed_left_behind_is_swept() {
    let scene = Scene::new();
    let name = unique("file");
    let dead = scene.dir.join(format!(".{name}.service.forerun-999999999"));
    let alive = scene.dir.join(format!(".{name}.service.forerun-1"));
    let others = scene.dir.join(format!(".{name}.service.forerun-x"));
    for path in [&dead, &alive, &others] {
        fs::write(path, "").expect("written");
    }
    scene.run("systemd", &["--install"]).expect_code(0);
    assert!(!dead.exists() && alive.exists() && others.exists(), "{:?}", scene.left());
}

#[test]
fn a_service_folder_is_written_as_a_whole() {
    crate::skip_unless!(crate::common::is_root(), "it needs root");
    let scene = Scene::new();
    for (kind, folder) in [("runit", "/etc/sv"), ("s6", "/etc/s6/sv")] {
        let unit = PathBuf::from(folder).join(unique("file"));
        let wrote = scene.run(kind, &["--install"]).expect_code(0);
        assert!(wrote.stdout.starts_with(&format!("wrote {}\n", unit.display())), "{}", wrote.stdout);
        assert!(
            wrote.stdout.contains(&format!("ln -s {} {}", unit.display(), scene.dir.display())),
            "{}",
            wrote.stdout
        );
        let mode = |name: &str| unit.join(name).metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode("run"), mode("finish")), (0o755, 0o755));
        scene.run(kind, &["--install"]).expect_code(0);
        // If one of its files was edited, the unit was edited. A file that somebody added stays.
        fs::write(unit.join("finish"), "#!/bin/sh\nexit 0\n").expect("written");
        fs::create_dir(unit.join("data")).expect("a folder");
        let left = scene.run(kind, &["--install"]).expect_code(75).expect_line(&["it was edited"]);
        assert!(left.stdout.contains("finish"), "{}", left.stdout);
        scene.run(kind, &["--install", "--force"]).expect_code(0);
        for name in ["finish.old", "run.old", "log/run.old"] {
            fs::remove_file(unit.join(name)).expect("kept");
        }
        for name in ["check", "notification-fd", "timeout-kill", "timeout-finish"] {
            let _ = fs::remove_file(unit.join(format!("{name}.old")));
        }
        scene.run(kind, &["--uninstall"]).expect_code(0);
        let left: Vec<_> = fs::read_dir(&unit).expect("there").flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["data"]);
        fs::remove_dir_all(&unit).expect("removed");
    }
}

#[test]
fn json_says_what_was_done() {
    let scene = Scene::new();
    let wrote = scene.run("systemd", &["--system", "--install", "--json"]).expect_code(0);
    let wrote: serde_json::Value = serde_json::from_str(&wrote.stdout).expect("JSON");
    assert_eq!((&wrote["changed"], &wrote["pid"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(wrote["left_to_do"][0], "systemctl daemon-reload");
    let same = scene.run("systemd", &["--system", "--diff", "--json"]).expect_code(0);
    let same: serde_json::Value = serde_json::from_str(&same.stdout).expect("JSON");
    assert_eq!((&same["state"], &same["diff"]), (&"current".into(), &"".into()));
}

#[test]
fn a_unit_of_the_system_is_not_hidden_without_force() {
    let name = "systemd-journald";
    let theirs = ["/usr/lib/systemd/system", "/lib/systemd/system"]
        .map(|folder| PathBuf::from(folder).join(format!("{name}.service")));
    crate::skip_unless!(theirs.iter().any(|path| path.exists()), "no {name}.service");
    let scene = Scene::new();
    let hides = scene.run("systemd", &["--system", "--name", name, "--install"]).expect_code(75);
    hides.expect_line(&[
        "/lib/systemd/system/systemd-journald.service' is already a unit of this name; give another --name",
    ]);
    assert!(scene.left().is_empty(), "{:?}", scene.left());
    scene.run("systemd", &["--system", "--name", name, "--install", "--force"]).expect_code(0);
    scene.run("systemd", &["--user", "--name", &unique("free"), "--install"]).expect_code(0);
}

#[test]
fn without_the_supervisors_program_a_unit_is_removed_unless_its_server_runs() {
    let scene = Scene::new();
    scene.run("systemd", &["--install"]).expect_code(0);
    // The server as systemd would have started it.
    let mut start = scene.room.forerun();
    start.env("INVOCATION_ID", "1").args(["--foreground", "--config", &scene.config]);
    let server = crate::common::Killed(start.stdout(std::process::Stdio::null()).spawn().expect("spawned"));
    let recorded = || crate::common::left(&scene.room).contains(&server.pid());
    crate::common::eventually("it runs", recorded);
    crate::common::eventually("it is recorded", || {
        scene.room.state().join(unique("file")).join("record.json").exists()
    });
    // The same if systemctl does not answer.
    let program = scene.room.executable("systemctl", "#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n");
    let mut asked = scene.room.forerun();
    asked.env("PATH", program.parent().expect("a folder")).args(["unit", "systemd", "--config", &scene.config]);
    let kept = done(asked.args(["--uninstall", "--dir"]).arg(&scene.dir)).expect_code(1);
    kept.expect_line(&["Failed to connect to bus; pid ", "so only --force removes it"]);
    let kept = scene.run("systemd", &["--uninstall"]).expect_code(127);
    kept.expect_line(&["'systemctl'", &format!("pid {} was started by", server.pid()), "--force"]);
    assert!(scene.unit("systemd").exists());
    scene.run("systemd", &["--uninstall", "--force", "--json"]).expect_code(0);
    assert!(!scene.unit("systemd").exists());
}

#[test]
fn another_shell_loses_nothing_of_what_the_unit_has() {
    let scene = Scene::new();
    for kind in KINDS {
        let install = |path: &str, state: Option<&std::path::Path>| {
            let mut command = scene.room.forerun();
            command.env_remove("FORERUN_STATE_DIR").env("PATH", path);
            command.envs(state.map(|state| ("FORERUN_STATE_DIR", state)));
            command.args(["unit", kind, "--config", &scene.config, "--install", "--dir"]).arg(&scene.dir);
            done(&mut command).expect_code(0);
            fs::read_to_string(scene.unit(kind)).expect("a unit")
        };
        let state = scene.room.path().join("kept");
        install("/usr/bin:/opt/one", Some(&state));
        let text = install("/usr/bin:/opt/two", None);
        assert!(text.contains("/usr/bin:/opt/two:/opt/one"), "{text}");
        assert!(text.contains(&state.display().to_string()), "{text}");
        let _ = fs::remove_dir_all(state);
        let mut uninstall = scene.room.forerun();
        uninstall.env_remove("FORERUN_STATE_DIR").args(["unit", kind, "--config", &scene.config, "--uninstall"]);
        done(uninstall.arg("--dir").arg(&scene.dir)).expect_code(0);
    }
}

#[test]
fn ten_installations_of_ten_kinds_leave_one_of_them() {
    let scene = Scene::new();
    std::thread::scope(|scope| {
        for grace in 1..=10 {
            let scene = &scene;
            scope.spawn(move || scene.run("systemd", &["--install", "--grace", &format!("{grace}s")]).expect_code(0));
        }
    });
    let text = fs::read_to_string(scene.unit("systemd")).expect("a unit");
    assert!((1..=10).any(|grace| text.contains(&format!("TimeoutStopSec={grace}s\n"))), "{text}");
    assert_eq!(scene.left().len(), 1, "{:?}", scene.left());
}
