//! The command line and the file: what is wrong with them is said on one line, with the right exit code,
//! before anything is tried.

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use common::{Done, Room, collect, done, free_port, is_root};

/// Everything in it is in the design's example.
const EXAMPLE: &str = r#"
name = "webui"                      # default: the directory's name
command = ["python3", "server.py"]  # a string is split into words, without a shell; for a shell write ["/bin/sh", "-c", "..."]
cwd = "."
env-file = ".env"                   # parsed, never executed; what the environment already has wins
port = 8787                         # default: the port of a loopback health URL; 0: none is guarded
url = "http://localhost:8787"       # what to print and open; default: from health or port
on-conflict = "standby"

[env]                               # beats the environment and env-file; --env beats this
PYTHONUNBUFFERED = "1"

[[require]]
check = "cmd:python3"

[[require]]
check = "exec:python3 -c 'import yaml'"
fix   = "python3 -m pip install pyyaml"   # run once a start when the check fails, then checked again
fix-timeout = "5m"
hint  = "install the dependencies: pip install -r requirements.txt"

[[wait]]
check = "http://127.0.0.1:9200/_cluster/health"
timeout = "30s"
status = "200"                      # or "200-399", "200,401"
body = "green"                      # text that the body must contain
headers = { Authorization = "Basic c2VjcmV0" }
insecure = false

[health]                            # the same keys
check = "http://127.0.0.1:8787/health"
timeout = "25s"

[limits]
nofile = "8192:16384"

[watch]
interval = "10s"
unhealthy-after = 3
grace = "30s"
on-unhealthy = "restart"            # or "warn" (the default)
max-fds = "80%"                     # of the server's soft limit, or a count
max-ptys = 64
max-processes = 200
on-leak = "warn"                    # or "restart"
"#;

fn with_file(room: &Room, text: &str, args: &[&str]) -> Done {
    room.file("forerun.toml", text);
    room.run(args)
}

fn plan_of(room: &Room, args: &[&str]) -> serde_json::Value {
    let plan = room.run(&[&["--dry-run", "--json"], args].concat()).expect_code(0);
    serde_json::from_str(&plan.stdout).expect("JSON")
}

#[test]
fn help_and_version_go_to_stdout() {
    let room = Room::new();
    let help = room.run(&["--help"]).expect_code(0);
    assert!(help.stdout.contains("Usage: forerun [OPTIONS] [-- COMMAND [ARG]...]") && help.stderr.is_empty());
    assert!(help.stdout.lines().count() <= 84, "more than two screens");
    let version = room.run(&["--version"]).expect_code(0);
    assert_eq!(version.stdout, format!("forerun {}\n", env!("CARGO_PKG_VERSION")));
    assert!(room.run(&["check", "--help"]).expect_code(0).stdout.contains("Example:"));
}

#[test]
fn a_command_line_without_sense_exits_2_with_one_line() {
    let room = Room::new();
    for (args, part) in [
        (&["--foreground"][..], "no command"),
        (&["--forground", "--", "true"], "unknown option '--forground'; did you mean '--foreground'?"),
        (&["--wait", "tpc:db:5432", "--", "true"], "invalid check 'tpc:db:5432': unknown kind 'tpc'"),
        (&["--foreground", "--detach", "--", "true"], "cannot be used with"),
        (&["--", ""], "the command's name is empty"),
        (&["true"], "type: forerun -- true"),
        (&["--wait"], "'--wait <CHECK>'"),
        (&["--port", "[x]", "--", "true"], "'[x]' for '--port <N>': not a port; a port is a number"),
        (&["--ready-fd", "x", "--", "true"], "not a whole number"),
        (&["logs", "-n", "99999999999999999999999"], "the number is too large"),
        (&["completions", "zz"], "; it is one of bash, zsh, fish"),
        (&["--insecure", "--", "true"], "'--insecure' needs a health URL"),
        (&["--health", "tcp:localhost:1", "--health-body", "x", "--", "true"], "'--health-body' needs a health URL"),
    ] {
        room.run(args).expect_code(2).expect_line(&["forerun: ", part]);
    }
}

#[test]
fn an_address_for_all_of_the_machine_is_guarded_as_loopback_is() {
    let room = Room::new();
    for check in ["http://0.0.0.0:8788/health", "http://[::]:8788/"] {
        let plan = plan_of(&room, &["--health", check, "--", "true"]);
        assert_eq!(
            (plan["port"].as_u64(), plan["url"].as_str()),
            (Some(8788), Some("http://localhost:8788")),
            "{plan}"
        );
    }
    let plan = plan_of(&room, &["--health", "http://example.com:8788/", "--", "true"]);
    assert!(plan["port"].is_null() && plan["url"] == "http://example.com:8788", "{plan}");
}

#[test]
fn help_is_a_word_too() {
    let room = Room::new();
    let said = |words: &[&str]| room.run(words).expect_code(0).stdout;
    assert_eq!(said(&["help"]), said(&["--help"]));
    for command in
        ["check", "status", "stop", "restart", "reload", "logs", "fds", "forget", "unit", "doctor", "completions"]
    {
        let help = said(&["help", command]);
        assert_eq!(help, said(&[command, "--help"]), "{command}");
        assert!(help.contains("Example"), "{help}");
    }
    room.run(&["help", "stauts"]).expect_code(2).expect_line(&["did you mean 'forerun status'?"]);
}

#[test]
fn a_supervisor_sees_78_for_a_command_line_without_sense() {
    let room = Room::new();
    for args in [&["--forground"][..], &["--name", "a/b", "--", "true"], &["--foreground"]] {
        for (name, value) in [("INVOCATION_ID", "a"), ("NOTIFY_SOCKET", "/nowhere"), ("SUPERVISOR_ENABLED", "1")] {
            done(room.forerun().args(args).env(name, value)).expect_code(78).expect_line(&["forerun: "]);
        }
    }
    let bad_word =
        done(room.forerun().args(["--", "true"]).env("INVOCATION_ID", "a").env("FORERUN_FOREGROUND", "maybe"));
    bad_word.expect_code(78).expect_line(&["invalid FORERUN_FOREGROUND 'maybe'"]);
}

#[test]
fn everything_is_validated_before_the_first_attempt_of_anything() {
    let room = Room::new();
    room.file("bad.toml", "prot = 1\n");
    room.file(
        "late.toml",
        "[[require]]\ncheck = \"exec:touch tried\"\nfix = \"touch tried\"\n[[wait]]\ncheck = \"tcp:x\"\n",
    );
    room.file("bad.env", "A='unclosed\n");
    for (code, bad) in [
        (2, &["--wait", "tcp:localhost"][..]),
        (2, &["--require", "fds:many"]),
        (2, &["--health", "ftp://localhost/"]),
        (2, &["--wait-timeout", "5"]),
        (2, &["--wait-timeout", "-1s"]),
        (2, &["--health-timeout", "soon"]),
        (2, &["--grace", ""]),
        (2, &["--nofile", "16:8"]),
        (2, &["--port", "65536"]),
        (2, &["--env", "=x"]),
        (2, &["--env", "novalue"]),
        (2, &["--name", "../x"]),
        (2, &["--on-conflict", "kill"]),
        (78, &["--config", "bad.toml"]),
        (78, &["--config", "late.toml"]),
        (78, &["--config", "nowhere.toml"]),
        (78, &["--env-file", "bad.env"]),
        (78, &["--env-file", "nowhere.env"]),
        (78, &["--cwd", "nowhere"]),
    ] {
        let start = ["--foreground", "--require", "exec:touch tried", "--wait", "exec:touch tried"];
        let args = [&start, bad, &["--", "touch", "started"]].concat();
        room.run(&args).expect_code(code).expect_line(&["forerun: "]);
        for file in ["tried", "started"] {
            assert!(!room.path().join(file).exists(), "{bad:?}: {file}");
        }
    }
}

#[test]
fn a_duration_that_no_clock_can_add_is_refused() {
    let room = Room::new();
    let most = "18446744073709551615s 999ms";
    for flag in ["--wait-timeout", "--health-timeout", "--grace"] {
        let args = ["--foreground", "--wait", "http://127.0.0.1:1/", flag, most, "--", "true"];
        room.run(&args).expect_code(2).expect_line(&[flag, "duration"]);
    }
    let file = format!("command = 'true'\n[[require]]\ncheck = 'exec:false'\nfix = 'true'\nfix-timeout = '{most}'\n");
    with_file(&room, &file, &["--foreground"]).expect_code(78).expect_line(&["line 5", "duration"]);
}

#[test]
fn arguments_that_are_not_utf_8_reach_the_server_to_the_byte() {
    let room = Room::new();
    let odd = OsStr::from_bytes(b"a\xff\xfe b");
    let out = done(room.forerun().args(["--foreground", "--", "printf", "%s"]).arg(odd)).expect_code(0);
    assert_eq!(out.stdout, String::from_utf8_lossy(odd.as_bytes()));
    fs::write(room.path().join(odd), "").expect("a file");
    let mut check = OsString::from("file:");
    check.push(odd);
    done(room.forerun().args(["--foreground", "--require"]).arg(check).args(["--", "true"])).expect_code(0);
}

#[test]
fn arguments_that_are_not_utf_8_are_refused_where_they_mean_nothing() {
    let room = Room::new();
    for (flag, value) in [
        ("--name", &b"a\xff"[..]),
        ("--nofile", b"\xff"),
        ("--port", b"\xff"),
        ("--wait-timeout", b"\xff"),
        ("--wait", b"\xff:a"),
        ("--wait", b"tcp:\xff:1"),
        ("--wait", b"http://\xff/"),
        ("--require", b"env:\xff"),
        ("--health-body", b"\xff"),
    ] {
        let value = OsString::from_vec(value.to_vec());
        done(room.forerun().arg(flag).arg(value).args(["--", "true"])).expect_code(2).expect_line(&["forerun: "]);
    }
}

#[test]
fn hostile_operands_stay_on_one_line() {
    let room = Room::new();
    let hostile = "x\nforerun: all is well\x1b[2J";
    for args in [
        vec!["--name", hostile, "--", "true"],
        vec!["--wait", hostile, "--", "true"],
        vec!["--config", hostile, "--", "true"],
        vec!["--env-file", hostile, "--", "true"],
        vec!["--cwd", hostile, "--", "true"],
        vec!["--nofile", hostile, "--", "true"],
        vec!["--port", hostile, "--", "true"],
        vec!["--foreground", "--", hostile],
        vec!["--foreground", "--require", "file:/nowhere/\nx", "--", "true"],
        vec![hostile],
    ] {
        let failed = room.run(&args);
        assert!(failed.code != Some(0) && !failed.stderr.contains('\x1b'), "{args:?}: {}", failed.stderr);
        failed.expect_line(&["forerun: "]);
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let room = Room::new();
    let long = "x".repeat(65);
    for name in ["../x", "", ".", "..", "a/b", "a b", "é", &long] {
        let refused = room.run(&["--name", name, "--", "true"]).expect_code(2);
        refused.expect_line(&["invalid name", "expected 1 to 64 of A-Z a-z 0-9 . _ @ -"]);
        let file = format!("\nname = {name:?}\n");
        with_file(&room, &file, &["--", "true"]).expect_code(78).expect_line(&["line 2", "invalid name"]);
        fs::remove_file(room.path().join("forerun.toml")).expect("removed");
    }
    assert!(!room.state().exists(), "a folder was made");
    assert_eq!(plan_of(&room, &["--name", &long[1..], "--", "true"])["name"], long[1..]);
}

#[test]
fn what_is_wrong_in_the_file_is_named_with_its_line() {
    let room = Room::new();
    for (text, parts) in [
        ("name = 'a'\nprot = 1\n", &["line 2", "unknown key 'prot'", "'port'"][..]),
        ("\n\n[healht]\n", &["line 3", "unknown key 'healht'", "'health'"]),
        ("[[wait]]\ncheck = 'tcp:a:1'\ntimeuot = '1s'\n", &["line 3", "'timeuot'", "'timeout'"]),
        ("[limits]\nnofiles = '1'\n", &["line 2", "'nofiles'", "'nofile'"]),
        ("[watch]\nmax-fsd = 1\n", &["line 2", "'max-fsd'", "'max-fds'"]),
        ("port = 99999\n", &["line 1"]),
        ("port = 'http'\n", &["line 1"]),
        ("\ncommand = []\n", &["line 2", "empty"]),
        ("\ncommand = ['']\n", &["line 2", "empty"]),
        ("command = \"a 'b\"\n", &["line 1", "unclosed quote"]),
        ("[[wait]]\ncheck = 'tpc:a:1'\n", &["line 2", "unknown kind 'tpc'"]),
        ("[[wait]]\ncheck = 'tcp:a:1'\ntimeout = '5'\n", &["line 3", "'5' is not a duration"]),
        ("[[wait]]\ncheck = 'tcp:a:1'\nfix = 'true'\n", &["line 3", "'fix' belongs in [[require]]"]),
        ("[[wait]]\ncheck = 'tcp:a:1'\nstatus = '200'\n", &["line 3", "'status' needs an http"]),
        ("[[wait]]\ncheck = 'http://a/'\nstatus = '2xx'\n", &["line 3", "'2xx' is not a status"]),
        ("[[wait]]\ncheck = 'http://a/'\nbody = ''\n", &["line 3", "body"]),
        ("[[wait]]\ncheck = 'http://a/'\nheaders = { 'a b' = 'c' }\n", &["line 3", "header"]),
        ("[[require]]\ncheck = 'cmd:a'\ntimeout = '1s'\n", &["line 3", "[[wait]]"]),
        ("[[require]]\nhint = 'x'\n", &["line 1", "require has no check"]),
        ("[env]\nA = 1\n", &["line 2"]),
        ("[env]\n'A=B' = '1'\n", &["line 2", "'A=B'"]),
        ("[watch]\nmax-fds = '101%'\n", &["line 2", "'101%'"]),
        ("on-conflict = 'kill'\n", &["line 1", "'kill'"]),
        ("foreground = true\ndetach = true\n", &["line 2", "'foreground'", "'detach'"]),
        ("name = 'a'\nname = 'b'\n", &["line 2: duplicate key: 'name' is there twice; leave one out"]),
        ("before = ['a']\n[[before]]\nrun = 'b'\n", &["line 2: duplicate key: 'before' is there twice"]),
        ("[env]\n'A B' = '1'\n'A B' = '2'\n", &["line 3: duplicate key: 'A B' is there twice"]),
        ("[[wait]]\ncheck = 'http://a/'\nstatus = 600\n", &["line 3: '600' is not a status", "100 to 599"]),
        ("name = \n", &["line 1"]),
    ] {
        let refused = with_file(&room, text, &["--dry-run", "--", "true"]).expect_code(78);
        refused.expect_line(&[&["forerun: cannot use '", "forerun.toml'"], parts].concat());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_never_taken_for_none() {
    let room = Room::new();
    let path = room.path().join("forerun.toml");
    fs::write(&path, b"name = '\xff'\n").expect("written");
    room.run(&["--dry-run", "--", "true"]).expect_code(78).expect_line(&["forerun.toml", "not UTF-8"]);
    fs::write(&path, " ".repeat((1 << 20) + 1)).expect("written");
    room.run(&["--dry-run", "--", "true"])
        .expect_code(78)
        .expect_line(&["forerun.toml", "larger than 1 MiB; shorten it"]);
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a folder");
    room.run(&["--dry-run", "--", "true"])
        .expect_code(78)
        .expect_line(&["forerun.toml", "it is a directory; put a file in its place"]);
    let given = ["--env-file", "forerun.toml", "--config", "none.toml", "--dry-run", "--", "true"];
    fs::write(room.path().join("none.toml"), "").expect("written");
    room.run(&given).expect_code(78).expect_line(&["the env-file '", "it is a directory; put a file in its place"]);
    if !is_root() {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("mode 0");
        room.run(&["--dry-run", "--", "true"]).expect_code(78).expect_line(&["forerun.toml"]);
    }
}

#[test]
fn the_example_of_the_design_is_accepted_whole() {
    let room = Room::new();
    room.file(".env", "A=1\n");
    let plan = with_file(&room, EXAMPLE, &["--dry-run"]).expect_code(0);
    for part in ["webui", "python3 server.py", "8787", "http://localhost:8787", "python3 -m pip install pyyaml", "8192"]
    {
        assert!(plan.stdout.contains(part), "no {part:?} in: {}", plan.stdout);
    }
    assert!(!plan.stdout.contains("c2VjcmV0"), "a header: {}", plan.stdout);
}

#[test]
fn flags_beat_the_file() {
    let room = Room::new();
    room.file(".env", "");
    room.file("forerun.toml", EXAMPLE);
    let args = ["--name", "other", "--port", "1234", "--health", "tcp:localhost:99", "--health-timeout", "3s"];
    let plan = plan_of(&room, &[&args[..], &["--nofile", "64:64", "--cwd", "/", "--", "true", "x"]].concat());
    assert_eq!(plan["name"], "other");
    assert_eq!(plan["port"], 1234);
    assert_eq!(plan["health"], serde_json::json!({ "check": "tcp:localhost:99", "timeout_seconds": 3.0 }));
    assert_eq!(plan["nofile"], serde_json::json!([64, 64]));
    assert_eq!(plan["cwd"], "/");
    assert_eq!(plan["command"], serde_json::json!(["true", "x"]));
    assert_eq!(plan_of(&room, &["--port", "0"])["port"], serde_json::Value::Null);
}

#[test]
fn checks_of_the_file_and_of_the_command_line_add_up() {
    let room = Room::new();
    let file = "command = 'true'\n[[require]]\ncheck = 'cmd:sh'\n[[wait]]\ncheck = 'file:/'\n";
    room.file("forerun.toml", file);
    let plan = plan_of(&room, &["--require", "env:PATH", "--wait", "dir:/"]);
    assert_eq!(plan["require"], serde_json::json!(["cmd:sh", "env:PATH"]));
    assert_eq!(plan["wait"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_variable_comes_from_the_nearest_place_that_has_it() {
    let room = Room::new();
    room.file("vars", "A=file\nB=file\nC=file\nD=file\n# E=comment\nexport F='$(touch executed) x'\n");
    room.file("forerun.toml", "env-file = 'vars'\n[env]\nA = 'table'\nB = 'table'\n");
    let mut command = room.forerun();
    command.env("A", "came").env("B", "came").env("C", "came").env("G", "came");
    let out = done(command.args(["--foreground", "--env", "A=flag", "--", "env"])).expect_code(0);
    for line in ["A=flag", "B=table", "C=came", "D=file", "F=$(touch executed) x", "G=came"] {
        assert!(out.stdout.lines().any(|l| l == line), "no {line} in {}", out.stdout);
    }
    assert!(!room.path().join("executed").exists());
}

#[test]
fn relative_paths_of_the_file_start_at_the_file() {
    let room = Room::new();
    let folder = room.path().join("etc");
    fs::create_dir_all(folder.join("work")).expect("a folder");
    fs::write(folder.join("vars"), "A=1\n").expect("written");
    fs::write(folder.join("there"), "").expect("written");
    let file = "command = ['sh', '-c', 'pwd; echo $A']\ncwd = 'work'\nenv-file = 'vars'\n\
        [[require]]\ncheck = 'file:there'\n[[require]]\ncheck = 'dir:work'\n";
    fs::write(folder.join("own.toml"), file).expect("written");
    let out = room.run(&["--foreground", "--config", "etc/own.toml"]).expect_code(0);
    let work = folder.join("work").canonicalize().expect("a path");
    assert_eq!(out.stdout, format!("{}\n1\n", work.display()));
}

#[test]
fn relative_paths_of_the_command_line_start_where_it_was_typed() {
    let room = Room::new();
    fs::create_dir(room.path().join("etc")).expect("a folder");
    room.file("etc/own.toml", "command = 'pwd'\n");
    room.file("vars", "A=1\n");
    let args =
        ["--foreground", "--config", "etc/own.toml", "--require", "file:vars", "--env-file", "vars", "--cwd", "."];
    let out = room.run(&args).expect_code(0);
    assert_eq!(out.stdout, format!("{}\n", room.path().canonicalize().expect("a path").display()));
}

#[test]
fn a_relative_state_folder_is_where_it_was_typed() {
    let room = Room::new();
    let mut command = room.forerun();
    fs::create_dir(room.path().join("work")).expect("a folder");
    let start = command.env("FORERUN_STATE_DIR", "relative").args(["--foreground", "--name", "web", "--cwd", "work"]);
    done(start.args(["--", "true"])).expect_code(0);
    assert!(room.path().join("relative/web").is_dir() && !room.path().join("work/relative").exists());
}

#[test]
fn a_dry_run_of_what_starts_nothing_is_refused() {
    let room = Room::new();
    let refused = room.run(&["--dry-run", "check", "--require", "exec:touch ran"]).expect_code(2);
    refused.expect_line(&["'--dry-run'", "starts nothing"]);
    assert!(!room.path().join("ran").exists());
}

#[test]
fn a_dry_run_shows_everything_and_runs_nothing() {
    let room = Room::new();
    let port = free_port();
    let wait = format!("tcp:127.0.0.1:{port}");
    let file = "[[require]]\ncheck = 'exec:touch ran'\nfix = 'touch fixed'\n";
    room.file("forerun.toml", file);
    let args =
        ["--dry-run", "--wait", &wait, "--wait-timeout", "7s", "--health", "exec:touch ran", "--", "touch", "a b"];
    let plan = room.run(&args).expect_code(0);
    for part in
        ["detached: no supervisor was recognised", "touch 'a b'", "exec:touch ran", "touch fixed", &wait, "at most 7s"]
    {
        assert!(plan.stdout.contains(part), "no {part:?} in: {}", plan.stdout);
    }
    assert!(plan.stderr.is_empty(), "{}", plan.stderr);
    let plan = plan_of(&room, &["--foreground", "--wait", &wait, "--", "touch", "a b"]);
    assert_eq!((&plan["mode"], &plan["reason"]), (&"foreground".into(), &"--foreground was given".into()));
    assert_eq!(plan["command"], serde_json::json!(["touch", "a b"]));
    assert_eq!(plan["wait"][0]["check"], wait.as_str());
    assert_eq!(plan["require"], serde_json::json!(["exec:touch ran"]));
    for file in ["ran", "fixed", "a b", "state"] {
        assert!(!room.path().join(file).exists(), "{file}");
    }
}

#[test]
fn a_command_that_cannot_be_executed_exits_126_or_127() {
    let room = Room::new();
    room.file("plain", "#!/bin/sh\n");
    room.executable("orphan", "#!/nowhere/interpreter\n");
    room.executable("headless", "echo no interpreter is named\n");
    fs::create_dir(room.path().join("folder")).expect("a folder");
    for (command, code, part) in [
        ("./plain", 126, "Permission denied"),
        ("./folder", 126, "irectory"),
        ("./headless", 126, "begins with '#!'"),
        ("./orphan", 127, "names the interpreter '/nowhere/interpreter', which is not there"),
        ("./nowhere", 127, "No such file"),
        ("./plain/x", 127, "Not a directory"),
        ("forerun-test-nowhere", 127, "not found in PATH"),
    ] {
        for mode in ["--foreground", "--detach"] {
            let failed = room.run(&[mode, "--", command]).expect_code(code);
            failed.expect_line(&[&format!("forerun: cannot execute '{command}': "), part]);
        }
        let supervised = done(room.forerun().args(["--", command]).env("INVOCATION_ID", "a"));
        supervised.expect_code(78).expect_line(&["cannot execute"]);
    }
}

#[test]
fn a_file_on_the_path_without_the_x_bit_is_126() {
    let room = Room::new();
    room.file("plain", "");
    let failed = done(room.forerun().args(["--foreground", "--", "plain"]).env("PATH", room.path()));
    failed.expect_code(126).expect_line(&["cannot execute 'plain': Permission denied"]);
}

#[test]
fn a_state_folder_that_cannot_be_had_is_73_detached_and_a_warning_in_foreground() {
    let room = Room::new();
    let file = room.file("occupied", "");
    let start = |mode: &str| done(room.forerun().env("FORERUN_STATE_DIR", &file).args([mode, "--", "echo", "ran"]));
    start("--detach").expect_code(73).expect_line(&["state folder", "occupied", "set FORERUN_STATE_DIR"]);
    let foreground = start("--foreground").expect_code(0);
    assert_eq!(foreground.stdout, "ran\n");
    foreground.expect_line(&["forerun: warning: ", "occupied", "; continuing"]);
    let detach = ["--detach", "--", "true"];
    let supervised = done(room.forerun().args(detach).env("FORERUN_STATE_DIR", &file).env("INVOCATION_ID", "a"));
    supervised.expect_code(78).expect_stderr(&["occupied"]);
}

#[test]
fn a_log_that_cannot_be_had_is_73() {
    let room = Room::new();
    let failed = room.run(&["--detach", "--log", "nowhere/log", "--", "touch", "started"]).expect_code(73);
    failed.expect_line(&["nowhere/log", "No such file"]);
    assert!(!room.path().join("started").exists());
}

#[test]
fn foreground_says_nothing_on_stdout() {
    let room = Room::new();
    let file = "[[require]]\ncheck = 'exec:echo out; test -e mended'\nfix = 'echo fixing; touch mended'\n";
    room.file("forerun.toml", file);
    let args = ["--foreground", "-vvv", "--wait", "exec:echo out", "--json", "--", "echo", "server"];
    let out = room.run(&args).expect_code(0).expect_stderr(&["fixing"]);
    assert_eq!(out.stdout, "server\n");
    let failed = room.run(&["--foreground", "--json", "-v", "--require", "exec:echo out; false", "--", "true"]);
    assert_eq!(failed.expect_code(78).stdout, "");
}

#[test]
fn secrets_are_never_printed() {
    let room = Room::new();
    let port = free_port();
    let url = format!("http://user:s3cret@127.0.0.1:{port}/");
    let file = format!(
        "url = '{url}'\n[[wait]]\ncheck = '{url}'\ntimeout = '1ms'\nheaders = {{ Authorization = 's3cret' }}\n\
        [[require]]\ncheck = 'exec:: curl {url}'\n"
    );
    room.file("forerun.toml", &file);
    let run = |args: &[&str]| {
        let mut command = room.forerun();
        command.env("FORERUN_LOG", "trace").env("http_proxy", "http://user:s3cret@127.0.0.1:1");
        let out = done(command.args(args));
        assert!(!(out.stdout + &out.stderr).contains("s3cret"), "{args:?}");
        out.code
    };
    assert_eq!(run(&["-vvv", "--foreground", "--", "true"]), Some(69));
    assert_eq!(run(&["-vvv", "--detach", "--", "true"]), Some(69));
    assert_eq!(run(&["-vvv", "check"]), Some(69));
    assert_eq!(run(&["-vvv", "check", "--json"]), Some(69));
    assert_eq!(run(&["-vvv", "--dry-run", "--", "true"]), Some(0));
    assert_eq!(run(&["-vvv", "--dry-run", "--json", "--health", &url, "--", "true"]), Some(0));
}

#[test]
fn secrets_are_not_printed_by_errors_about_them() {
    let room = Room::new();
    for url in
        ["http://user:s3cret@host:port/", "htps://user:s3cret@host/", "HTTP://user:s3cret@h", "http://u:s3cret@[/"]
    {
        let refused = room.run(&["--wait", url, "--", "true"]).expect_code(2);
        assert!(!refused.stderr.contains("s3cret"), "{}", refused.stderr);
        let refused = room.run(&[url]).expect_code(2);
        assert!(!refused.stderr.contains("s3cret"), "{}", refused.stderr);
    }
    for headers in
        ["'Authorization: s3cret'", "['s3cret']", "{ A = [\"s3cret\"] }", "{ A = \"s3cret\\n\" }", "{ A = s3cret }"]
    {
        let file = format!("[[wait]]\ncheck = 'http://a/'\nheaders = {headers}\n");
        let refused = with_file(&room, &file, &["--", "true"]).expect_code(78);
        assert!(!refused.stderr.contains("s3cret"), "{}", refused.stderr);
    }
    room.file("vars", "PASSWORD='s3cret\n");
    let refused = room.run(&["--env-file", "vars", "--config", "/dev/null", "--", "true"]).expect_code(78);
    assert!(!refused.stderr.contains("s3cret"), "{}", refused.stderr);
    let refused = room.run(&["--env", "s3cret", "--config", "/dev/null", "--", "true"]).expect_code(2);
    assert!(!refused.stderr.contains("s3cret"), "{}", refused.stderr);
}

#[test]
fn an_empty_environment_is_enough() {
    let room = Room::new();
    let mut bare = room.forerun();
    let plan = done(bare.env_clear().args(["--dry-run", "--require", "cmd:sh", "--", "true"])).expect_code(0);
    assert!(plan.stdout.contains("/true"), "{}", plan.stdout);
    let mut bare = room.forerun();
    bare.env_clear().env("FORERUN_STATE_DIR", room.state());
    done(bare.args(["--foreground", "--require", "cmd:sh", "--wait", "exec:true", "--", "true"])).expect_code(0);
}

#[test]
fn closed_standard_descriptors_change_nothing() {
    let room = Room::new();
    let run = |script: &str| {
        let script = format!("exec \"$0\" \"$@\" {script}");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(room.forerun().get_program()).env_clear().current_dir(room.path());
        shell.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("FORERUN_STATE_DIR", room.state());
        shell
    };
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let start =
            ["--foreground", "--require", "exec:true", "--wait", "exec:echo a; echo b >&2", "--", "touch", "started"];
        done(run(closed).args(start)).expect_code(0);
        fs::remove_file(room.path().join("started")).expect("it was started");
        done(run(closed).args(["--foreground", "--require", "exec:echo why >&2; false", "--", "true"])).expect_code(78);
        done(run(closed).args(["--wait", "tcp:x", "--", "true"])).expect_code(2);
        done(run(closed).args(["check", "--require", "exec:true"])).expect_code(0);
    }
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let room = Room::new();
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").expect("/dev/full"));
    for args in [&["--help"][..], &["--version"], &["--dry-run", "--", "true"], &["check"]] {
        let child = room.forerun().args(args).stdout(full()).stderr(Stdio::piped()).spawn().expect("spawned");
        let out = collect(child);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(73) && stderr.contains("cannot write to stdout"), "{args:?}: {stderr}");
    }
    let args = ["--foreground", "--wait", "exec:true", "--", "touch", "started"];
    let out = collect(room.forerun().args(args).stdout(full()).stderr(Stdio::piped()).spawn().expect("spawned"));
    assert!(out.status.success() && room.path().join("started").exists());
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let room = Room::new();
    let (read, write) = nix::unistd::pipe().expect("a pipe");
    drop(read);
    let child = room.forerun().arg("--help").stdout(write).stderr(Stdio::piped()).spawn().expect("spawned");
    let out = collect(child);
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
}

#[test]
fn the_journal_gets_a_priority_before_each_line() {
    let room = Room::new();
    let mut log = fs::File::create(room.path().join("log")).expect("a file");
    let status = log.metadata().expect("its status");
    let stream =
        format!("{}:{}", std::os::unix::fs::MetadataExt::dev(&status), std::os::unix::fs::MetadataExt::ino(&status));
    let bad = ["--foreground", "--require", "file:/nowhere", "--require", "dir:/nowhere", "--", "true"];
    for (stream, prefix) in [(stream.as_str(), "<3>forerun: "), ("0:0", "forerun: "), ("bad", "forerun: ")] {
        log.set_len(0).expect("emptied");
        std::io::Seek::rewind(&mut log).expect("rewound");
        let mut command = room.forerun();
        command.args(bad).env("JOURNAL_STREAM", stream).stderr(log.try_clone().expect("a descriptor"));
        assert_eq!(command.status().expect("run").code(), Some(78));
        let text = fs::read_to_string(room.path().join("log")).expect("text");
        assert!(text.lines().count() == 2 && text.lines().all(|l| l.starts_with(prefix)), "{text}");
    }
    log.flush().expect("flushed");
}

#[test]
fn the_example_file_is_understood() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/forerun.toml");
    let done = Room::new().run(&["--config", file, "--dry-run"]).expect_code(0);
    assert!(done.stdout.contains("health    http://127.0.0.1:8787/"), "{}", done.stdout);
}
