//! Self-heal without a supervisor: what a start does with the file of its unit.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::common::{Done, Room, done, is_root};
use crate::{skip_unless, unique};

/// A service that ends at once, and a unit of it.
struct Scene {
    room: Room,
    unit: PathBuf,
    kind: &'static str,
}

const KINDS: [&str; 2] = ["systemd", "launchd"];

impl Scene {
    fn new(kind: &'static str) -> Self {
        let room = Room::new();
        room.file("forerun.toml", &format!("name = '{}'\ncommand = ['/bin/true']\n", unique("heal")));
        let dir = room.path().join("dir");
        let file = if kind == "systemd" {
            format!("{}.service", unique("heal"))
        } else {
            format!("forerun.{}.plist", unique("heal"))
        };
        let scene = Scene { unit: dir.join(file), room, kind };
        scene.install(&[]);
        scene
    }

    fn install(&self, words: &[&str]) {
        let dir = self.unit.parent().expect("a folder");
        let mut command = self.room.forerun();
        command
            .env("PATH", "/usr/bin:/bin:/opt/kept")
            .args(["unit", self.kind, "--system", "--install", "--dir"])
            .arg(dir);
        done(command.args(words)).expect_code(0);
    }

    /// A start as the unit's supervisor would make it.
    fn start(&self) -> Command {
        let mut command = self.room.forerun();
        match self.kind {
            "systemd" => command.env("INVOCATION_ID", "1"),
            _ => command.env("XPC_SERVICE_NAME", "forerun.web").env("LAUNCHD_SOCKET", "/x"),
        };
        // The current PATH, and one that differs from the unit's.
        command
            .env("FORERUN_UNIT", &self.unit)
            .args(["--foreground", "--config"])
            .arg(self.room.path().join("forerun.toml"));
        command
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.unit).expect("a unit")
    }

    /// Makes the unit out of date.
    fn change(&self) {
        let file = self.room.path().join("forerun.toml");
        let text = fs::read_to_string(&file).expect("a file");
        fs::write(file, format!("grace = '44s'\n{text}")).expect("written");
    }

    /// A start that changes nothing and prints `parts`.
    #[track_caller]
    fn leaves(&self, command: &mut Command, parts: &[&str]) {
        let before = fs::symlink_metadata(&self.unit).map(|m| (m.ino(), m.mtime_nsec(), m.len())).ok();
        let said = done(command.arg("-v")).expect_code(0).expect_stderr(parts);
        let after = fs::symlink_metadata(&self.unit).map(|m| (m.ino(), m.mtime_nsec(), m.len())).ok();
        assert_eq!(before, after, "{}", said.stderr);
    }
}

/// The lines that a start printed.
fn said(done: &Done) -> Vec<&str> {
    done.stderr.lines().collect()
}

#[test]
fn a_unit_that_is_out_of_date_is_written_anew_and_keeps_its_path() {
    for kind in KINDS {
        let scene = Scene::new(kind);
        let first = done(&mut scene.start()).expect_code(0);
        assert_eq!(said(&first), [""; 0], "{kind}");
        scene.change();
        let healed = done(&mut scene.start()).expect_code(0);
        let reload = if kind == "systemd" { "systemctl daemon-reload" } else { "launchctl bootout system/forerun." };
        healed.expect_line(&["was out of date; forerun has updated the file; to make it take effect: ", reload]);
        let text = scene.text();
        assert!(text.contains("44") && text.contains("/usr/bin:/bin:/opt/kept"), "{text}");
        assert_eq!(scene.unit.metadata().expect("there").permissions().mode() & 0o7777, 0o644);
        assert_eq!(fs::read_dir(scene.unit.parent().expect("a folder")).expect("a folder").count(), 1);
        // After that it is up to date.
        assert_eq!(said(&done(&mut scene.start()).expect_code(0)), [""; 0], "{kind}");
        assert_eq!(scene.text(), text);
    }
}

/// A unit as an older forerun would have written it: without these lines, and with a digest that matches.
fn older(text: &str, without: &[&str]) -> String {
    let digest = text.split("digest=").nth(1).map(|rest| rest[..32].to_owned()).expect("a digest");
    let kept: String =
        text.split_inclusive('\n').filter(|line| !without.iter().any(|start| line.trim().starts_with(start))).collect();
    let plain = kept.replace(&digest, &"0".repeat(32));
    let hash = Sha256::digest(format!(" {}\n{plain}", plain.len()));
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    kept.replace(&digest, &hex)
}

#[test]
fn an_older_unit_without_limits_of_descriptors_is_out_of_date() {
    let scene = Scene::new("systemd");
    let now = scene.text();
    let old = older(&now, &["LimitNOFILE="]);
    assert!(now.contains("\nLimitNOFILE=8192:524288\n") && !old.contains("\nLimitNOFILE="), "{old}");
    fs::write(&scene.unit, old).expect("written");
    done(&mut scene.start()).expect_code(0).expect_line(&["was out of date; forerun has updated the file"]);
    assert_eq!(scene.text(), now);
}

#[test]
fn hardening_stays() {
    let scene = Scene::new("systemd");
    scene.install(&["--harden"]);
    scene.change();
    done(&mut scene.start()).expect_code(0).expect_line(&["forerun has updated the file"]);
    assert!(scene.text().contains("NoNewPrivileges=yes\n") && scene.text().contains("44s"));
}

#[test]
fn an_edited_unit_is_left_alone_and_reported_once() {
    for kind in KINDS {
        let scene = Scene::new(kind);
        scene.change();
        for edit in ["<!-- # mine -->\n", "<!-- # and more -->\n"] {
            let text = scene.text() + edit;
            fs::write(&scene.unit, &text).expect("written");
            done(&mut scene.start()).expect_code(0).expect_line(&[
                "was edited, so it is not updated",
                &format!("forerun unit {kind} --system --diff --config "),
            ]);
            for _ in 0..2 {
                assert_eq!(said(&done(&mut scene.start()).expect_code(0)), [""; 0], "{kind}");
            }
            assert_eq!(scene.text(), text);
        }
    }
}

#[test]
fn what_is_not_ours_is_left() {
    for kind in KINDS {
        let scene = Scene::new(kind);
        scene.change();
        let text = scene.text();
        // A unit of another service, and one of another config file.
        let other = scene.room.file("other.toml", "name = 'other'\ncommand = ['/bin/true']\n");
        let start = |config: &Path| {
            let mut command = scene.room.forerun();
            command.env(if kind == "systemd" { "INVOCATION_ID" } else { "LAUNCHD_SOCKET" }, "x.y");
            command.env("FORERUN_UNIT", &scene.unit).args(["--foreground", "--config"]).arg(config);
            command
        };
        scene.leaves(&mut start(&other), &["is not updated: it is the unit of another service"]);
        let same_name = format!("name = '{}'\ncommand = ['/bin/true']\n", unique("heal"));
        let copy = scene.room.file("copy.toml", &same_name);
        scene.leaves(
            &mut start(&copy),
            &["is not updated: it is the unit of another service of this name, whose config file is"],
        );
        // Another supervisor started us, or none did.
        let mut command = scene.start();
        scene.leaves(
            command.env_remove("INVOCATION_ID").env_remove("LAUNCHD_SOCKET").env("SUPERVISOR_ENABLED", "1"),
            &["it did not start this forerun"],
        );
        let mut command = scene.start();
        scene.leaves(
            command.env_remove("INVOCATION_ID").env_remove("LAUNCHD_SOCKET"),
            &["it did not start this forerun"],
        );
        if kind == "systemd" {
            let mut command = scene.start();
            scene.leaves(command.env("SYSTEMD_EXEC_PID", "1"), &["it did not start this forerun"]);
        }
        // The file is foreign, missing, a symlink, not a regular file, or too large.
        fs::write(&scene.unit, "[Service]\nExecStart=/bin/true\n").expect("written");
        scene.leaves(&mut scene.start(), &["is not updated: forerun did not write it"]);
        fs::remove_file(&scene.unit).expect("removed");
        scene.leaves(&mut scene.start(), &["is not updated: it is not there"]);
        let real = scene.room.file("real", &text);
        std::os::unix::fs::symlink(&real, &scene.unit).expect("a symlink");
        scene.leaves(&mut scene.start(), &["is not updated: it is a symlink"]);
        assert_eq!(fs::read_to_string(real).expect("there"), text);
        fs::remove_file(&scene.unit).expect("removed");
        nix::unistd::mkfifo(&scene.unit, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        scene.leaves(&mut scene.start(), &["is not updated: it is not a regular file"]);
    }
}

#[test]
fn a_unit_that_cannot_be_written_never_fails_a_start() {
    skip_unless!(is_root(), "it needs root, to give a file to another user");
    for kind in KINDS {
        let scene = Scene::new(kind);
        scene.change();
        let text = scene.text();
        nix::unistd::chown(&scene.unit, Some(65534.into()), None).expect("given away");
        scene.leaves(&mut scene.start(), &["is not updated: it belongs to another user"]);
        nix::unistd::chown(&scene.unit, Some(0.into()), None).expect("taken back");
        // The disk is full, as far as this process can tell.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 0; exec \"$@\"", "sh"]).arg(env!("CARGO_BIN_EXE_forerun")).env_clear();
        command.env(if kind == "systemd" { "INVOCATION_ID" } else { "LAUNCHD_SOCKET" }, "x.y");
        command
            .env("FORERUN_UNIT", &scene.unit)
            .env("PATH", "/usr/bin:/bin")
            .env("FORERUN_STATE_DIR", scene.room.state());
        command.args(["--foreground", "--config"]).arg(scene.room.path().join("forerun.toml"));
        scene.leaves(&mut command, &["cannot be written: File too large"]);
        assert_eq!(scene.text(), text);
        assert_eq!(fs::read_dir(scene.unit.parent().expect("a folder")).expect("a folder").count(), 1);
    }
}

#[test]
fn the_server_and_its_checks_do_not_see_which_unit_it_is() {
    let room = Room::new();
    let mut command = room.forerun();
    command.env("FORERUN_UNIT", "/nonexistent.service").env("INVOCATION_ID", "1");
    command.args([
        "--foreground",
        "--name",
        "web",
        "--require",
        "exec:test -z \"$FORERUN_UNIT\"",
        "--",
        "sh",
        "-c",
        "echo \"[$FORERUN_UNIT]\"",
    ]);
    assert_eq!(done(&mut command).expect_code(0).stdout, "[]\n");
}
