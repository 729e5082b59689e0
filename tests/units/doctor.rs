//! `forerun doctor`: what it finds, and how it ends.

use std::net::TcpListener;

use crate::common::{Room, done, eventually, fixture, free_port, signal};
use crate::harness::{Kind, Supervisor, script};
use crate::{config, skip_unless, unique};

/// The findings of a topic: level and message.
fn findings(json: &str, topic: &str) -> Vec<(String, String)> {
    let found: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let list = found["findings"].as_array().expect("a list").clone();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    list.iter().filter(|f| f["topic"] == topic).map(|f| (text(&f["level"]), text(&f["message"]))).collect()
}

#[test]
fn a_good_setup_has_no_problem() {
    let room = Room::new();
    config(&room, &unique("well"), free_port(), "[limits]\nnofile = 2048");
    script(&room.path().join("start.sh"), "#!/bin/sh\nexec forerun \"$@\"\n");
    let well = room.run(&["doctor"]).expect_code(0);
    assert_eq!(well.stderr, "");
    assert!(well.stdout.ends_with("\n0 problems, 0 warnings\n"), "{}", well.stdout);
    for topic in ["mode", "limits", "ptys", "state", "service", "start.sh", "instance", "port", "unit", "sidecar"] {
        assert!(
            well.stdout.lines().any(|line| line.starts_with(&format!("ok       {topic} "))),
            "{topic}: {}",
            well.stdout
        );
    }
    assert!(!room.state().exists(), "it made the state folder");
    // A script that leaves a server in the background does not start it through forerun.
    script(&room.path().join("start.sh"), "#!/bin/sh\nnohup python3 server.py >log 2>&1 &\n");
    let nohup = room.run(&["doctor"]).expect_code(0).stdout;
    assert!(nohup.contains("starts a server in the background, line 2") && nohup.contains("exec forerun"), "{nohup}");
    assert!(well.stdout.contains("only instances in this folder are seen (FORERUN_STATE_DIR)"), "{}", well.stdout);
    // doctor also works without a service.
    let empty = Room::new();
    assert!(empty.run(&["doctor"]).stdout.contains("no service here"));
}

#[test]
fn each_problem_is_shown_with_its_fix() {
    let room = Room::new();
    let holder = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = holder.local_addr().expect("an address").port();
    config(&room, "ill", port, "[limits]\nnofile = 64");
    script(&room.path().join("start.sh"), "#!/bin/sh\n# a comment\nforerun --config forerun.toml\n");
    std::fs::write(room.state(), "").expect("a file");
    let ill = room.run(&["doctor"]).expect_code(1);
    assert_eq!(ill.stderr, "");
    let pid = std::process::id();
    for part in [
        "start.sh",
        "without 'exec', line 3",
        "mend it: write 'exec' before forerun in line 3",
        &format!("{port} is held by pid {pid}"),
        &format!("mend it: stop it (through its supervisor, or kill {pid}); or choose another port"),
        "state",
        "is not a folder",
        "mend it: name a folder that can be written to: export FORERUN_STATE_DIR=",
        "the server gets 64:",
        "2 problems, 2 warnings\n",
    ] {
        assert!(ill.stdout.contains(part), "no {part:?} in\n{}", ill.stdout);
    }
}

#[test]
fn a_script_that_is_no_file_is_not_waited_for() {
    let room = Room::new();
    config(&room, &unique("pipe"), free_port(), "cwd = 'sub'\n[limits]\nnofile = 2048");
    std::fs::create_dir(room.path().join("sub")).expect("a folder");
    nix::unistd::mkfifo(&room.path().join("sub/start.sh"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    // doctor also looks for the script beside forerun.toml.
    std::fs::write(room.path().join("start.sh"), b"#!/bin/sh\n# \xe9\ncd sub && forerun\n").expect("written");
    let ill = room.run(&["doctor"]).expect_code(0);
    assert!(ill.stdout.contains("without 'exec', line 3"), "{}", ill.stdout);
}

#[test]
fn a_broken_file_and_a_missing_command_are_problems() {
    let room = Room::new();
    room.file("forerun.toml", "command = 'x'\nprot = 1\n");
    let broken = room.run(&["doctor", "--json"]).expect_code(1).stdout;
    assert!(findings(&broken, "config")[0].1.contains("line 2: unknown key 'prot'"), "{broken}");
    let missing =
        room.run(&["doctor", "--json", "--config", "/dev/null", "--", "nothing-of-this-name"]).expect_code(1).stdout;
    assert_eq!(findings(&missing, "service")[0].0, "problem", "{missing}");
    let mut command = room.forerun();
    let odd = done(command.env("FORERUN_FOREGROUND", "maybe").args(["doctor", "--json", "--config", "/dev/null"]))
        .expect_code(1);
    assert!(findings(&odd.stdout, "mode")[0].1.contains("'maybe'"), "{}", odd.stdout);
}

#[test]
fn a_stale_record_and_leftover_processes_are_reported() {
    let room = Room::new();
    let port = free_port();
    let fixture = fixture().display().to_string();
    let command =
        ["--name", "web", "--port", &port.to_string(), "--", &fixture, "serve", &port.to_string(), "--workers", "2"];
    let looked = |level: &str, part: &str| {
        let code = if level == "problem" { 1 } else { 0 };
        let found = room.run(&[&["doctor", "--json"], &command[..]].concat()).expect_code(code).stdout;
        let instance = findings(&found, "instance");
        assert!(instance[0].0 == level && instance[0].1.contains(part), "{found}");
        found
    };
    looked("ok", "no instance is recorded");
    room.run(&[&["--detach"], &command[..]].concat()).expect_code(0);
    let found = looked("ok", "runs");
    assert!(findings(&found, "port")[0].1.contains("is the instance's"), "{found}");
    let pid = room.record("web")["process"]["pid"].as_u64().expect("a pid") as u32;
    signal(pid, 9);
    eventually("it is dead", || !crate::common::alive(pid as i32));
    looked("problem", &format!("pid {pid} is gone and left 2 running"));
    room.run(&["stop", "web"]);
    std::fs::write(room.state().join("web/record.json"), "{").expect("written");
    looked("problem", "remove it");
}

#[test]
fn under_systemd_it_proves_the_mode_and_checks_notify_access() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = Supervisor::boot(Kind::Systemd, &room, &[]);
    let name = unique("doc");
    let file = config(&room, &name, free_port(), "");
    systemd.forerun(&room, &["unit", "systemd", "--config", &file, "--install", "--now"]).expect_code(0);
    let doctor = |code: i32| systemd.forerun(&room, &["doctor", "--json", "--config", &file]).expect_code(code).stdout;
    let well = doctor(0);
    let pid = systemd.pid(&name).expect("a pid");
    assert_eq!(findings(&well, "systemd"), [("ok".to_owned(), format!("runs it as pid {pid}"))], "{well}");
    assert!(findings(&well, "unit")[0].1.contains("was written by forerun and is up to date"), "{well}");
    assert!(findings(&well, "sidecar")[0].1.contains("accepts its messages"), "{well}");

    // With another state folder doctor still knows that the port belongs to the unit.
    let plain = ["env", "-i", "PATH=/usr/bin:/bin", "FORERUN_STATE_DIR=/run/none", env!("CARGO_BIN_EXE_forerun")];
    let other = systemd.done_inside(&[&plain[..], &["doctor", "--json", "--config", &file]].concat()).expect_code(0);
    assert!(findings(&other.stdout, "port")[0].1.contains("is the instance's"), "{}", other.stdout);
    assert!(
        findings(&other.stdout, "unit")[0].1.contains("was written by forerun and is up to date"),
        "{}",
        other.stdout
    );

    // Without a service doctor looks at all units. Other tests may have some here.
    let everywhere = |level: &str, part: &str| {
        let all = systemd.forerun(&room, &["doctor", "--json", "--config", "/dev/null"]).stdout;
        let part = format!("{name}.service' {part}");
        assert!(findings(&all, "unit").iter().any(|f| f.0 == level && f.1.contains(&part)), "{all}");
        assert!(findings(&all, "systemd").contains(&("ok".to_owned(), format!("runs it as pid {pid}"))), "{all}");
    };
    everywhere("ok", "was written by forerun and is up to date");
    std::fs::rename(&file, room.path().join("away")).expect("renamed");
    everywhere("problem", "does not describe a service: cannot read");
    std::fs::rename(room.path().join("away"), &file).expect("renamed");

    // The unit is stale, older in systemd than on disk, disabled, and stopped.
    std::fs::write(&file, format!("grace = '33s'\n{}", std::fs::read_to_string(&file).expect("a file")))
        .expect("written");
    assert!(findings(&doctor(0), "unit")[0].1.contains("is out of date"));
    systemd.systemctl(&["restart", &name]);
    let older = doctor(0);
    assert!(findings(&older, "systemd").iter().any(|f| f.0 == "warning" && f.1.contains("older text")), "{older}");
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["stop", &name]);
    let stopped = doctor(1);
    assert_eq!(findings(&stopped, "systemd")[0], ("problem".to_owned(), "does not run it: inactive (dead)".to_owned()));
    systemd.systemctl(&["disable", &name]);
    assert!(findings(&doctor(0), "systemd")[0].1.contains("does not start it at boot or login"));

    // A unit written by hand that ignores the sidecar, and a script that does not exec.
    let forerun = crate::common::Forerun;
    let state = format!("Environment=FORERUN_STATE_DIR={}", room.state().display());
    let service = format!("[Service]\nType=notify\n{state}\nExecStart={forerun} --config {file}\nNotifyAccess=main\n");
    systemd.systemctl(&["start", &name]);
    systemd.systemctl(&["stop", &name]);
    systemd.unit("hand.service", &service);
    let out = room.path().join("doctor.json");
    let run = format!("{forerun} doctor --json --name x -- true >{}", out.display());
    for (unit, command) in [("direct.service", format!("exec {run}")), ("script.service", format!("{run}; true"))] {
        systemd.unit(
            unit,
            &format!("[Service]\nType=oneshot\n{state}\nSuccessExitStatus=1\nExecStart=/bin/sh -c '{command}'\n"),
        );
    }
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["start", "direct"]);
    let direct = std::fs::read_to_string(&out).expect("written");
    assert!(findings(&direct, "mode")[0].1.contains("the proof: SYSTEMD_EXEC_PID is our own pid"), "{direct}");
    systemd.systemctl(&["start", "script"]);
    let scripted = std::fs::read_to_string(&out).expect("written");
    assert!(findings(&scripted, "start.sh")[0].1.contains("systemd started our parent"), "{scripted}");
    let _ = systemd.done_inside(&["systemctl", "start", "--no-block", "hand"]);
    eventually("it runs", || {
        systemd.pid("hand").is_some_and(|pid| {
            findings(&doctor_any(&systemd, &room, &file), "sidecar")
                .iter()
                .any(|f| f.0 == "problem" && f.1.contains("'hand.service'"))
                && pid > 0
        })
    });
}

fn doctor_any(systemd: &Supervisor, room: &Room, file: &str) -> String {
    systemd.forerun(room, &["doctor", "--json", "--config", file]).stdout
}
