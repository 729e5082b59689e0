//! Hosts: whose process a record means, where namespaces, containers and machines share a state folder.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use common::{Killed, Room, alive, done, eventually, has, is_root};

/// `unshare OPTIONS -- COMMAND`.
fn unshared(room: &Room, options: &[&str], command: &Command) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(options).arg("--").arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    unshare.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshare.current_dir(room.path());
    unshare
}

fn can_unshare(options: &[&str]) -> bool {
    is_root() && has("unshare") && done(Command::new("unshare").args(options).arg("true")).code == Some(0)
}

fn forerun(room: &Room, words: &[&str]) -> Command {
    let mut command = room.forerun();
    command.args(words);
    command
}

const START: &[&str] = &["--detach", "--name", "web", "--", "sleep", "100"];

/// A start whose record is changed then. Returns the server.
fn started(room: &Room, start: &mut Command, change: impl FnOnce(&mut Value)) -> i32 {
    done(start).expect_code(0);
    let mut record = room.record("web");
    change(&mut record["process"]["host"]);
    room.file("state/web/record.json", &record.to_string());
    record["process"]["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

const TIME: &[&str] = &["--time", "--boottime", "86400", "--fork"];

#[test]
fn a_start_from_another_time_namespace_leaves_the_server_alone() {
    skip_unless!(can_unshare(TIME), "it needs root and time namespaces");
    let room = Room::new();
    let server = started(&room, &mut forerun(&room, START), |_| {});
    let before = room.record("web");
    for words in [START, &["stop", "web"], &["--detach", "--name", "web", "--replace", "--", "sleep", "100"]] {
        let refused = done(&mut unshared(&room, TIME, &forerun(&room, words))).expect_code(75);
        refused.expect_line(&["another time namespace", "record.json"]);
        assert!(alive(server), "{words:?}");
        assert_eq!(room.record("web"), before, "{words:?}");
    }
    common::process::send(server, libc::SIGKILL);
    eventually("it is gone", || !alive(server));
    // No process has the number any more, and that needs no clock.
    done(&mut unshared(&room, TIME, &forerun(&room, START))).expect_code(0);
}

#[test]
fn a_record_of_an_older_forerun_means_the_same_process() {
    let room = Room::new();
    let older = |host: &mut Value| {
        let host = host.as_object_mut().expect("an object");
        assert!(host.remove("time_namespace").is_some());
        host.remove("container");
    };
    let server = started(&room, &mut forerun(&room, START), older);
    let again = done(&mut forerun(&room, START)).expect_code(0);
    assert!(again.stdout.contains(&format!("is already running\n  as    pid {server} ")), "{}", again.stdout);
    done(&mut forerun(&room, &["stop", "web"])).expect_code(0);
    assert!(!alive(server));
    skip_unless!(can_unshare(TIME), "it needs root and time namespaces");
    let server = started(&room, &mut unshared(&room, TIME, &forerun(&room, START)), older);
    // Of that time namespace, so from the machine's own this start time is of another process.
    done(&mut forerun(&room, &["status", "web"])).expect_code(1);
    common::process::send(server, libc::SIGKILL);
}

const CONTAINER: &[&str] = &["--pid", "--uts", "--mount", "--fork", "--kill-child", "--mount-proc"];

/// A start in a container of this hostname, as its pid 1.
fn contained(room: &Room, hostname: &str, options: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let text = "hostname \"$1\"; shift; exec \"$@\"";
    let start = forerun(room, &[&["--foreground", "--name", "web"], options, &["--", "sleep", "100"]].concat());
    shell.args(["-c", text, "sh", hostname]).arg(start.get_program()).args(start.get_args());
    shell.envs(start.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshared(room, CONTAINER, &shell)
}

/// Starts it and waits until it is recorded with this name.
fn lives(room: &Room, hostname: &str, options: &[&str]) -> Killed {
    let log = std::fs::File::create(room.path().join("log")).expect("a log");
    let child = contained(room, hostname, options).stdout(Stdio::null()).stderr(log).spawn();
    let child = Killed(child.expect("spawned"));
    let path = room.state().join("web/record.json");
    let is_there = |path: &Path| {
        let record: Option<Value> = std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        record.is_some_and(|r| r["phase"] == "running" && r["process"]["host"]["container"] == name(hostname))
    };
    eventually("it is recorded", || is_there(&path));
    child
}

fn name(hostname: &str) -> String {
    format!("hostname {hostname}")
}

#[test]
fn another_container_with_the_same_folder_is_unknown_and_its_record_stays() {
    skip_unless!(can_unshare(CONTAINER) && has("hostname"), "it needs root and namespaces");
    let room = Room::new();
    let mut first = lives(&room, "first", &[]);
    let before = room.record("web");
    let refused = done(&mut contained(&room, "second", &["--on-conflict", "fail"])).expect_code(75);
    refused.expect_stderr(&["another container", "record.json", "the server will be pid 1"]);
    // Supervised it stands by, which is what a container is.
    let log = std::fs::File::create(room.path().join("second")).expect("a log");
    let _second = Killed(contained(&room, "second", &[]).stderr(log).spawn().expect("spawned"));
    let said = || std::fs::read_to_string(room.path().join("second")).unwrap_or_default();
    eventually("the second stands by", || said().contains("standby") && said().contains("another container"));
    assert!(first.is_well());
    assert_eq!(room.record("web"), before);
}

#[test]
fn another_life_of_the_container_starts_without_a_word_about_the_first() {
    skip_unless!(can_unshare(CONTAINER) && has("hostname"), "it needs root and namespaces");
    let room = Room::new();
    let end = |mut child: Killed| {
        child.0.kill().expect("killed");
        child.0.wait().expect("waited");
    };
    end(lives(&room, "one", &[]));
    let first = room.record("web");
    // Something has the number of its pid namespace now, so that the next life gets another.
    let _holds = Killed(unshared(&room, CONTAINER, Command::new("sleep").arg("100")).spawn().expect("spawned"));
    let second = lives(&room, "one", &["--on-conflict", "fail"]);
    eventually("it is another record", || room.record("web") != first);
    let log = std::fs::read_to_string(room.path().join("log")).expect("a log");
    assert!(log.lines().all(|line| line.contains("the server will be pid 1")), "{log}");
    end(second);
}

/// Runs forerun where the machine has this id and this boot.
fn on_machine(room: &Room, id: &str, boot: &str, words: &[&str]) -> Command {
    let (id, boot) = (room.file(&format!("id-{id}"), id), room.file(&format!("boot-{boot}"), boot));
    let text = "mount --bind \"$1\" /etc/machine-id && mount --bind \"$2\" /proc/sys/kernel/random/boot_id &&
        shift 2 && exec \"$@\"";
    let start = forerun(room, words);
    let mut shell = Command::new("sh");
    shell.args(["-c", text, "sh"]).args([id, boot]).arg(start.get_program()).args(start.get_args());
    shell.envs(start.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshared(room, &["--mount"], &shell)
}

#[test]
fn another_boot_is_over_on_a_machine_with_an_id_and_unknown_without_one() {
    let works = can_unshare(&["--mount"]) && Path::new("/etc/machine-id").exists();
    skip_unless!(works, "it needs root, mounts and a file for the id");
    for (id, code) in [("4f5d", 0), ("", 75)] {
        let room = Room::new();
        let server = started(&room, &mut on_machine(&room, id, "first", START), |_| {});
        let again = done(&mut on_machine(&room, id, "first", START)).expect_code(0);
        assert!(again.stdout.contains(&format!("is already running\n  as    pid {server} ")), "{}", again.stdout);
        let other = done(&mut on_machine(&room, id, "second", START)).expect_code(code);
        if code == 75 {
            other.expect_line(&["this machine has no id (/etc/machine-id)", "record.json"]);
        }
        assert!(alive(server));
    }
}
