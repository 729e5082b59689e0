//! Whom forerun trusts: files that others can change, links that others made, and whom a unit runs its service as.
//! Nearly all of it is about root, and needs it.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Done, Room, alive, done, eventually, has, is_root, left};
use serde_json::Value;

/// A user who owns nothing, and a group of which another user is a member.
const NOBODY: u32 = 65534;
const DAEMON: u32 = 1;

macro_rules! needs_root {
    () => {
        skip_unless!(is_root(), "root is needed to make files of other users");
    };
}

/// A service whose server says that it was started, and lives on.
fn service(room: &Room, more: &str) -> PathBuf {
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::create_dir_all(room.path().join("app")).expect("a folder");
    let text = format!(
        "name = 'web'\nport = 0\ncommand = ['sh', '-c', 'echo from the server; : >../ran; sleep 600']\n{more}\n"
    );
    room.file("app/forerun.toml", &text)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

fn give(path: &Path, user: u32) {
    lchown(path, Some(user), None).expect("given away");
}

fn forerun(room: &Room, words: &[&str]) -> Done {
    let config = room.path().join("app/forerun.toml");
    let (verbs, rest): (&[&str], &[&str]) = match words.first() {
        Some(word) if !word.starts_with('-') => words.split_at(1),
        _ => (&[], words),
    };
    done(room.forerun().args(verbs).arg("--config").arg(config).args(rest))
}

fn ran(room: &Room) -> bool {
    room.path().join("ran").exists()
}

fn json(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", done.stdout, done.stderr))
}

#[test]
fn root_does_not_start_what_anybody_can_change() {
    needs_root!();
    type Change = fn(&Path);
    let cases: [(&str, Change, &[&str]); 9] = [
        ("the file", |app| mode(&app.join("forerun.toml"), 0o666), &["it (mode 0666)", "chmod o-w"]),
        ("its folder", |app| mode(app, 0o777), &["its folder", "app' (mode 0777)", "chmod o-w"]),
        ("a folder above", |app| mode(app.parent().expect("a folder"), 0o757), &["its folder", "(mode 0757)"]),
        ("the env-file", |app| mode(&app.join("env"), 0o602), &["the env-file", "it (mode 0602)"]),
        (
            "a group with others",
            |app| {
                chown(app.join("forerun.toml"), None, Some(DAEMON)).expect("given away");
                mode(&app.join("forerun.toml"), 0o664);
            },
            &["its group can write it (mode 0664)", "chmod g-w"],
        ),
        (
            "of another user, in a sticky folder",
            |app| {
                mode(app, 0o1777);
                give(&app.join("forerun.toml"), NOBODY);
            },
            &["belongs to 'nobody'", "(mode 1777)", "where anybody can put a file"],
        ),
        (
            "a link of another user, in a sticky folder",
            |app| {
                mode(app, 0o1777);
                fs::rename(app.join("forerun.toml"), app.join("real")).expect("renamed");
                symlink("real", app.join("forerun.toml")).expect("a link");
                give(&app.join("forerun.toml"), NOBODY);
            },
            &["belongs to 'nobody'", "(mode 1777)"],
        ),
        (
            "the target of root's link",
            |app| {
                fs::rename(app.join("forerun.toml"), app.join("real")).expect("renamed");
                symlink("real", app.join("forerun.toml")).expect("a link");
                mode(&app.join("real"), 0o646);
            },
            &["real' (mode 0646)"],
        ),
        (
            "the folder of root's link",
            |app| {
                let other = app.with_file_name("other");
                fs::create_dir(&other).expect("a folder");
                fs::rename(app.join("forerun.toml"), other.join("forerun.toml")).expect("renamed");
                symlink(other.join("forerun.toml"), app.join("forerun.toml")).expect("a link");
                mode(app, 0o777);
            },
            &["its folder", "app' (mode 0777)"],
        ),
    ];
    for (what, change, said) in cases {
        let room = Room::new();
        service(&room, "env-file = 'env'");
        room.file("app/env", "A=b\n");
        change(&room.path().join("app"));
        for words in [&["--detach"][..], &["--foreground"], &["check"], &["unit", "systemd", "--system", "--install"]] {
            // The service of a unit that root makes of another user's file has only that user's rights.
            if words[0] == "unit" && what == "of another user, in a sticky folder" {
                continue;
            }
            let dir = room.path().display().to_string();
            let words = if words[0] == "unit" { [words, &["--dir", &dir]].concat() } else { words.to_vec() };
            let done = forerun(&room, &words);
            assert_eq!(done.code, Some(78), "{what} {words:?}: {}", done.stderr);
            done.expect_line(said).expect_stderr(&["root does not use the"]);
        }
        assert!(!ran(&room), "{what}");
        assert!(!room.path().join("web.service").exists(), "{what}");
        // What only looks says it.
        let plan = forerun(&room, &["--dry-run", "--detach"]).expect_code(0);
        assert!(said.iter().all(|part| plan.stdout.contains(part)), "{}", plan.stdout);
        let plan = json(&forerun(&room, &["--dry-run", "--detach", "--json"]).expect_code(0));
        assert_eq!(plan["refused"].as_array().map(Vec::len), Some(1), "{plan}");
        let doctor = json(&forerun(&room, &["doctor", "--json"]));
        let findings = doctor["findings"].as_array().expect("a list");
        assert!(findings.iter().any(|f| f["topic"] == "trust" && f["level"] == "problem"), "{what}: {doctor}");
    }
}

#[test]
fn what_only_root_can_change_starts_without_a_word() {
    needs_root!();
    let room = Room::new();
    let file = service(&room, "env-file = 'env'");
    room.file("app/env", "A=b\n");
    // A sticky folder, a group without others, and devices count for nothing.
    mode(&room.path().join("app"), 0o1777);
    mode(&file, 0o664);
    let started = forerun(&room, &["--detach", "--log", "/dev/null", "--env-file", "/dev/null"]).expect_code(0);
    assert_eq!(started.stderr, "");
    forerun(&room, &["check"]).expect_code(0).expect_stderr(&[]);
    let doctor = json(&forerun(&room, &["doctor", "--json"]));
    assert!(doctor["findings"].as_array().expect("a list").iter().all(|f| f["topic"] != "trust"), "{doctor}");
}

#[test]
fn what_belongs_to_another_user_is_started_with_a_warning() {
    needs_root!();
    let room = Room::new();
    let file = service(&room, "");
    give(&file, NOBODY);
    let words = ["warning:", "forerun.toml' belongs to 'nobody'", "chown root"];
    forerun(&room, &["check"]).expect_code(0).expect_line(&words);
    forerun(&room, &["--detach"]).expect_code(0).expect_line(&words);
    let plan = forerun(&room, &["--dry-run"]).expect_code(0);
    assert!(plan.stdout.contains("belongs to 'nobody'"), "{}", plan.stdout);
    let doctor = json(&forerun(&room, &["doctor", "--json"]));
    let findings = doctor["findings"].as_array().expect("a list");
    assert!(findings.iter().any(|f| f["topic"] == "trust" && f["level"] == "warning"), "{doctor}");
    // A restart looks as well, before it stops anything.
    let pid = room.record("web")["process"]["pid"].as_i64().expect("a pid") as i32;
    mode(&file, 0o666);
    forerun(&room, &["restart", "web"]).expect_code(78).expect_line(&["(mode 0666)"]);
    assert!(alive(pid));
}

#[test]
fn a_container_has_users_of_its_own_and_modes_all_the_same() {
    needs_root!();
    let ours = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let can = has("unshare") && done(Command::new("unshare").args(ours).arg("true")).code == Some(0);
    skip_unless!(can, "no pid namespaces");
    let room = Room::new();
    let file = service(&room, "");
    give(&file, NOBODY);
    let inside = |words: &[&str]| {
        let forerun = room.forerun();
        let mut command = Command::new("unshare");
        command.args(ours).arg(forerun.get_program()).args(words).arg("--config").arg(&file).current_dir(room.path());
        command.env("FORERUN_STATE_DIR", room.state());
        done(&mut command)
    };
    assert_eq!(inside(&["check"]).expect_code(0).stderr, "");
    mode(&file, 0o666);
    inside(&["check"]).expect_code(78).expect_line(&["(mode 0666)"]);
}

#[test]
fn others_than_root_have_only_their_own_to_lose() {
    needs_root!();
    skip_unless!(has("setpriv"), "no setpriv");
    let room = Room::new();
    let file = service(&room, "");
    mode(&file, 0o666);
    let forerun = room.path().join("forerun");
    fs::copy(room.forerun().get_program(), &forerun).expect("copied");
    let check = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&forerun);
        done(command.args(["check", "--config"]).arg(&file).current_dir("/"))
    };
    assert_eq!(check().expect_code(0).stderr, "");
}

/// A start with a log of its own, whose server has written to it.
fn start_with_log(room: &Room, log: &Path) -> Done {
    let log = log.display().to_string();
    let script = "echo chosen by a client; sleep 600";
    let words = ["--detach", "--name", "web", "--port", "0", "--log", &log, "--", "sh", "-c", script];
    room.run(&words)
}

#[test]
fn nothing_is_logged_through_a_link_of_another_user() {
    needs_root!();
    let room = Room::new();
    mode(room.path(), 0o755);
    let roots = room.file("roots", "");
    let logs = room.path().join("logs");
    fs::create_dir(&logs).expect("a folder");
    give(&logs, NOBODY);
    let link = |name: &str, target: &Path, owner: u32| {
        let path = logs.join(name);
        let _ = fs::remove_file(&path);
        symlink(target, &path).expect("a link");
        give(&path, owner);
        path
    };
    let new = room.path().join("not-there-yet");
    for (name, target, log) in [
        ("server.log", roots.as_path(), "server.log"),
        ("server.log", new.as_path(), "server.log"),
        ("folder", room.path(), "folder/roots"),
    ] {
        link(name, target, NOBODY);
        let refused = start_with_log(&room, &logs.join(log)).expect_code(78);
        refused.expect_line(&["the symlink", name, "belongs to 'nobody'"]);
    }
    assert_eq!(fs::read_to_string(&roots).expect("read"), "");
    assert!(!new.exists() && left(&room).is_empty());
    // A link of root's is root's own decision.
    let log = link("server.log", &roots, 0);
    start_with_log(&room, &log).expect_code(0);
    eventually("it is written", || fs::read_to_string(&roots).expect("read").contains("chosen"));
    // Nor is a log read through one.
    let secret = room.file("secret", "a secret\n");
    link("server.log", &secret, NOBODY);
    let shown =
        room.run(&["logs", "web"]).expect_code(73).expect_line(&["server.log' is a symlink that belongs to 'nobody'"]);
    assert_eq!(shown.stdout, "");
}

#[test]
fn a_log_with_a_second_name_in_a_folder_of_others_is_not_written() {
    needs_root!();
    let room = Room::new();
    mode(room.path(), 0o755);
    let roots = room.file("roots", "");
    let logs = room.path().join("logs");
    fs::create_dir(&logs).expect("a folder");
    fs::hard_link(&roots, logs.join("server.log")).expect("a second name");
    give(&logs, NOBODY);
    start_with_log(&room, &logs.join("server.log")).expect_code(73).expect_stderr(&["it has another name"]);
    assert_eq!(fs::read_to_string(&roots).expect("read"), "");
    // In a folder of root's own it is root's own link.
    give(&logs, 0);
    start_with_log(&room, &logs.join("server.log")).expect_code(0);
    eventually("it is written", || fs::read_to_string(&roots).expect("read").contains("chosen"));
}

#[test]
fn a_link_that_comes_and_goes_is_never_followed() {
    needs_root!();
    let room = Room::new();
    mode(room.path(), 0o755);
    let (roots, logs) = (room.file("roots", ""), room.path().join("logs"));
    fs::create_dir(&logs).expect("a folder");
    give(&logs, NOBODY);
    let (plain, link, log) = (logs.join("plain"), logs.join("link"), logs.join("server.log"));
    let over = AtomicBool::new(false);
    let (mut began, mut refused, mut others) = (0, 0, Vec::new());
    std::thread::scope(|scope| {
        // Another user's process, which swaps the two for each other as fast as it can.
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                fs::write(&plain, "").expect("written");
                fs::rename(&plain, &log).expect("renamed");
                symlink(&roots, &link).expect("a link");
                give(&link, NOBODY);
                fs::rename(&link, &log).expect("renamed");
                std::thread::yield_now();
            }
        });
        for _ in 0..25 {
            let words = ["--detach", "--name", "web", "--port", "0", "--log"];
            let mut command = room.forerun();
            match done(command.args(words).arg(&log).args(["--", "sh", "-c", "echo chosen by a client; exit 3"])).code {
                // On a busy machine the server may live long enough to count as started.
                Some(0 | 1) => began += 1,
                Some(73 | 78) => refused += 1,
                code => others.push(code),
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(fs::read_to_string(&roots).expect("read"), "", "{began} starts, {refused} refused");
    assert_eq!((began + refused, others), (25, Vec::new()));
}

#[test]
fn a_rotation_stays_in_its_folder() {
    needs_root!();
    let room = Room::new();
    mode(room.path(), 0o755);
    let (roots, logs) = (room.file("roots", "root's\n"), room.path().join("logs"));
    fs::create_dir(&logs).expect("a folder");
    let log = logs.join("server.log");
    fs::File::create(&log).and_then(|file| file.set_len(11 << 20)).expect("a large log");
    symlink(&roots, logs.join("server.log.1")).expect("a link");
    for path in [&logs, &logs.join("server.log.1")] {
        give(path, NOBODY);
    }
    start_with_log(&room, &log).expect_code(0);
    assert_eq!(fs::read_to_string(&roots).expect("read"), "root's\n");
    assert_eq!(fs::metadata(logs.join("server.log.1")).expect("rotated").len(), 11 << 20);
    assert!(logs.join("server.log.2").is_symlink());
    assert_eq!(fs::metadata(&log).expect("new").mode() & 0o777, 0o600);
}

#[test]
fn a_log_behind_links_of_ones_own_is_found() {
    let room = Room::new();
    fs::create_dir_all(room.path().join("releases/2/log")).expect("folders");
    symlink("releases/2", room.path().join("current")).expect("a link");
    symlink("../../1/../2/log/real.log", room.path().join("releases/2/log/server.log")).expect("a link");
    fs::create_dir(room.path().join("releases/1")).expect("a folder");
    // Through the folder, `..` after a link, and a link that is relative to another folder than ours.
    start_with_log(&room, &room.path().join("current/../2/log/server.log")).expect_code(0);
    let real = room.path().join("releases/2/log/real.log");
    eventually("it is written", || fs::read_to_string(&real).is_ok_and(|text| text.contains("chosen")));
    let shown = room.run(&["logs", "web"]).expect_code(0);
    assert!(shown.stdout.contains("chosen"), "{}", shown.stdout);
    room.run(&["stop", "web"]).expect_code(0);
    // A link of /proc has no path.
    let words =
        ["--detach", "--name", "web", "--port", "0", "--log", "/dev/stderr", "--", "sh", "-c", "echo 'by the server'"];
    room.run(&words).expect_code(1).expect_stderr(&["by the server"]);
}

#[test]
fn a_look_runs_nothing_of_somebody_elses_file() {
    needs_root!();
    let room = Room::new();
    let file = service(&room, "[health]\ncheck = 'exec:true'");
    forerun(&room, &["--detach"]).expect_code(0);
    let status = || room.run(&["status", "web", "--json"]);
    assert_eq!(json(&status().expect_code(0))["healthy"], true);
    let evil = room.path().join("evil");
    let text = fs::read_to_string(&file).expect("read").replace("exec:true", &format!("exec:id >{}", evil.display()));
    fs::write(&file, text).expect("written");
    let app = room.path().join("app");
    type Change = fn(&Path);
    let cases: [(Change, &str); 4] = [
        (|app| give(&app.join("forerun.toml"), NOBODY), "not tried: forerun.toml belongs to 'nobody'"),
        (|app| mode(&app.join("forerun.toml"), 0o666), "not tried: others can write forerun.toml (mode 0666)"),
        (|app| give(app, NOBODY), "app' of forerun.toml belongs to 'nobody'"),
        (|app| mode(app, 0o777), "app' of forerun.toml (mode 0777)"),
    ];
    for (change, said) in cases {
        change(&app);
        let looked = json(&status().expect_code(1));
        assert!(looked["health"]["reason"].as_str().is_some_and(|why| why.contains(said)), "{said}: {looked}");
        assert_eq!((&looked["running"], &looked["healthy"]), (&Value::Bool(true), &Value::Null));
        for path in [&app.join("forerun.toml"), &app] {
            give(path, 0);
            mode(path, 0o755);
        }
    }
    // A start that finds the service running only looks, too.
    give(&file, NOBODY);
    let again = forerun(&room, &["--detach", "--json"]).expect_code(0);
    assert_eq!((&json(&again)["already_running"], &json(&again)["checked"]), (&Value::Bool(true), &Value::Bool(false)));
    again.expect_stderr(&["the health of 'web' was not tried: forerun.toml belongs to 'nobody'"]);
    forerun(&room, &["doctor"]);
    assert!(!evil.exists());
    give(&file, 0);
    status().expect_code(0);
    assert!(evil.exists());
}

/// `forerun unit KIND --system` with these words and variables.
fn unit(room: &Room, words: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = room.forerun();
    command.args(["unit", words[0], "--config"]).arg(room.path().join("app/forerun.toml")).args(&words[1..]);
    done(command.envs(variables.iter().copied()))
}

#[test]
fn a_unit_of_the_system_runs_as_whom_its_files_are() {
    needs_root!();
    let room = Room::new();
    let file = service(&room, "");
    let user_of = |done: &Done| done.stdout.lines().find_map(|line| line.strip_prefix("User=").map(str::to_owned));
    let sudo = [("SUDO_USER", "daemon"), ("SUDO_UID", "1")];
    let root = [("SUDO_USER", "root"), ("SUDO_UID", "0")];
    let plain = unit(&room, &["systemd"], &[]).expect_code(0);
    assert_eq!((user_of(&plain), plain.stderr.as_str()), (None, ""));
    assert_eq!(user_of(&unit(&room, &["systemd"], &root)), None);
    let called = unit(&room, &["systemd"], &sudo).expect_code(0);
    assert_eq!(user_of(&called).as_deref(), Some("daemon"));
    called.expect_line(&["'web' will run as 'daemon', who called sudo", "--as USER"]);
    give(&file, NOBODY);
    let owned = unit(&room, &["systemd"], &root).expect_code(0);
    assert_eq!(user_of(&owned).as_deref(), Some("nobody"));
    owned.expect_line(&["will run as 'nobody', who owns its config file"]);
    assert_eq!(user_of(&unit(&room, &["systemd"], &sudo)).as_deref(), Some("daemon"));
    for (user, name) in [("daemon", "daemon"), ("root", "root"), ("0", "root")] {
        assert_eq!(user_of(&unit(&room, &["systemd", "--as", user], &sudo).expect_code(0)).as_deref(), Some(name));
    }
    unit(&room, &["systemd", "--as", "root"], &[]).expect_line(&["warning:", "belongs to 'nobody'"]);
    unit(&room, &["systemd", "--as", "no-such"], &[]).expect_code(2).expect_line(&["no user is called 'no-such'"]);
    unit(&room, &["systemd", "--user", "--as", "daemon"], &[]).expect_code(2);
    // Others say it in their own way.
    for (kind, words) in [
        ("supervisord", "\nuser=daemon\n"),
        ("launchd", "<key>UserName</key>\n\t<string>daemon</string>"),
        ("runit", "\nexec chpst -u daemon "),
        ("s6", "\nexec s6-setuidgid daemon "),
    ] {
        let printed = unit(&room, &[kind, "--as", "daemon"], &[]).expect_code(0);
        assert!(printed.stdout.contains(words), "{}", printed.stdout);
    }
    let of_root = unit(&room, &["runit", "--as", "root"], &[]).expect_code(0);
    assert!(!of_root.stdout.contains("chpst"), "{}", of_root.stdout);
    if has("python3") {
        let plist = room.file("plist", &unit(&room, &["launchd", "--as", "root"], &[]).expect_code(0).stdout);
        let read = "import plistlib, sys; assert plistlib.load(open(sys.argv[1], 'rb'))['UserName'] == 'root'";
        done(Command::new("python3").args(["-c", read]).arg(plist)).expect_code(0);
    }
    // A user whom nobody knows could not be named.
    give(&file, 54321);
    unit(&room, &["systemd"], &[]).expect_code(78).expect_line(&["user 54321", "--as USER"]);
}

#[test]
fn an_installed_unit_keeps_its_user_until_another_is_said() {
    needs_root!();
    let room = Room::new();
    let file = service(&room, "");
    let dir = room.path().display().to_string();
    let install = |words: &[&str], variables: &[(&str, &str)]| {
        unit(&room, &[&["systemd", "--install", "--dir", &dir], words].concat(), variables).expect_code(0);
        let text = fs::read_to_string(room.path().join("web.service")).expect("a unit");
        text.lines().find_map(|line| line.strip_prefix("User=").map(str::to_owned))
    };
    let sudo = [("SUDO_USER", "daemon"), ("SUDO_UID", "1")];
    assert_eq!(install(&[], &[]), None);
    assert_eq!(install(&["--as", "nobody"], &[]).as_deref(), Some("nobody"));
    assert_eq!(install(&[], &[]).as_deref(), Some("nobody"));
    assert_eq!(install(&[], &sudo).as_deref(), Some("nobody"));
    give(&file, DAEMON);
    assert_eq!(install(&[], &[]).as_deref(), Some("nobody"));
    let diff = unit(&room, &["systemd", "--diff", "--dir", &dir, "--as", "daemon"], &[]).expect_code(0);
    assert!(diff.stdout.contains("\n-User=nobody\n+User=daemon\n"), "{}", diff.stdout);
    let same = unit(&room, &["systemd", "--diff", "--dir", &dir], &sudo).expect_code(0);
    assert_eq!(same.stdout, "");
    assert_eq!(install(&["--as", "root"], &[]).as_deref(), Some("root"));
    assert_eq!(install(&[], &sudo).as_deref(), Some("root"));
    // A start from it writes it again when it is out of date, and keeps the user.
    give(&file, 0);
    fs::write(&file, fs::read_to_string(&file).expect("read") + "grace = '21s'\n").expect("written");
    let path = room.path().join("web.service");
    let mut start = room.forerun();
    start.env("FORERUN_UNIT", &path).env("INVOCATION_ID", "x").env("NOTIFY_SOCKET", "/nowhere");
    let mut started = start.args(["--foreground", "--config"]).arg(&file).envs(sudo).spawn().expect("spawned");
    eventually("it is written again", || fs::read_to_string(&path).is_ok_and(|text| text.contains("=21s")));
    started.kill().and_then(|()| started.wait()).expect("ended");
    assert!(fs::read_to_string(&path).expect("read").contains("\nUser=root\n"));
}

#[test]
fn the_scripts_of_runit_and_s6_give_up_roots_rights() {
    needs_root!();
    for (kind, program) in [("runit", "chpst"), ("s6", "s6-setuidgid")] {
        skip_unless!(has(program), "no {program}");
        let room = Room::new();
        mode(room.path(), 0o755);
        // Where the tests are built, nobody may have no way in.
        let forerun = room.path().join("forerun");
        done(Command::new("cp").arg(room.forerun().get_program()).arg(&forerun)).expect_code(0);
        let mut print = Command::new(&forerun);
        print.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir("/");
        let words = ["unit", kind, "--system", "--as", "nobody", "--name", "web", "--cwd", "/", "--port", "0", "--"];
        let script = "id -un; id -ru; echo $HOME; echo $$";
        let printed = done(print.args(words).args(["sh", "-c", script])).expect_code(0);
        let run = room.file("run", printed.stdout.split("\n# ==> ").next().expect("a script"));
        let mut start = Command::new("sh");
        let child = start.arg(&run).env("FORERUN_STATE_DIR", room.state()).stdout(Stdio::piped()).spawn();
        let child = child.expect("spawned");
        let pid = child.id().to_string();
        let said = String::from_utf8(common::collect(child).stdout).expect("text");
        let lines: Vec<_> = said.lines().filter(|line| !line.starts_with("forerun: ")).collect();
        let home = nix::unistd::User::from_name("nobody").expect("a database").expect("nobody").dir;
        assert_eq!(lines, ["nobody", "65534", home.to_str().expect("text"), &pid], "{said}");
    }
}
