//! The text of units, read back by the programs that read units.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Killed, Room, done, eventually, free_port, has, witness};
use crate::harness::{Kind, Supervisor, script};
use crate::{KINDS, config, skip_unless, unique, unit, words_of};

/// Words that break quoting, and random ones. The message of a failed test contains the seed.
fn hostile_words(text_only: bool) -> (u64, Vec<OsString>) {
    let mut seed = random();
    let shown = seed;
    let mut next = || {
        // Knuth's MMIX generator: the next number for each seed.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let fixed = [
        "",
        " ",
        "  a  ",
        "a b",
        "'",
        "\"",
        "it's \"so\"",
        "\\",
        "a\\",
        "\\n",
        "$HOME",
        "${HOME}",
        "$$",
        "50%",
        "%n %%",
        "%(here)s",
        ";",
        " ;",
        "a ; b",
        "a # b",
        "#",
        "\u{a0}; x",
        "\n",
        "a\nb",
        " \n ",
        "\n\n;\n#",
        "a\n  b\n",
        "\t",
        "a\tb",
        "é",
        "日本語",
        "\u{1f600}",
        "-x",
        "--",
        "--foreground",
        "*",
        "~",
        "`id`",
        "$(id)",
        "!",
        "<&>",
        "]]>",
        "-->",
        "=",
        "a=b",
        "@",
        "+",
        ":",
        "\u{feff}",
        "\u{fdd0}\u{fffe}\u{1ffff}",
    ];
    let mut words: Vec<OsString> = fixed.iter().map(OsString::from).collect();
    if !text_only {
        let bytes: [&[u8]; 5] = [b"\xff", b"a\xffb'\n", b"\r", b"\x01\x1b[0m\x7f", b"\xc3"];
        words.extend(bytes.iter().map(|b| OsString::from_vec(b.to_vec())));
    }
    let pieces = [
        "a", " ", "'", "\"", "\\", "$", "%", "\n", "\t", ";", "#", "é", "{", "}", "(", ")", "s", "n", "x41", "0",
        "\u{2003}",
    ];
    for _ in 0..60 {
        let count = next() % 12;
        words.push((0..count).map(|_| pieces[next() % pieces.len()]).collect::<String>().into());
    }
    (shown, words)
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    let mut file = std::fs::File::open("/dev/urandom").expect("/dev/urandom");
    std::io::Read::read_exact(&mut file, &mut bytes).expect("random bytes");
    u64::from_ne_bytes(bytes)
}

/// A unit that runs a witness with these words.
fn unit_of_witness(room: &Room, kind: &str, name: &str, words: &[OsString]) -> String {
    let mut command = room.forerun();
    command.args(["unit", kind, "--name", name, "--"]).arg(witness()).arg(room.path().join("up")).args(words);
    done(&mut command).expect_code(0).stdout
}

/// What the witness must have received.
#[track_caller]
fn expect_words(seed: u64, found: &[OsString], words: &[OsString]) {
    assert_eq!(found.len(), words.len() + 2, "seed {seed}: {found:?}");
    for (found, word) in found[2..].iter().zip(words) {
        assert_eq!(found, word, "seed {seed}");
    }
}

#[test]
fn arguments_come_through_sh() {
    for kind in ["runit", "s6"] {
        for text_only in [true, false] {
            let room = Room::new();
            let (seed, words) = hostile_words(text_only);
            let run = room.executable("run", &unit_of_witness(&room, kind, "web", &words));
            let server = Killed(Command::new(run).env_clear().stdout(Stdio::null()).spawn().expect("spawned"));
            eventually("it runs", || room.path().join("up").exists());
            expect_words(seed, &words_of(format!("/proc/{}/cmdline", server.pid()).as_ref()), &words);
        }
    }
}

#[test]
fn arguments_come_through_systemd() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = Supervisor::boot(Kind::Systemd, &room, &[]);
    let (seed, words) = hostile_words(false);
    systemd.unit("web.service", &unit_of_witness(&room, "systemd", "web", &words));
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["start", "web"]);
    eventually("it runs", || room.path().join("up").exists());
    let pid = systemd.pid("web").expect("a pid");
    expect_words(seed, &words_of(&systemd.proc(pid, "cmdline")), &words);
    assert_eq!(systemd.inside(&["journalctl", "-q", "--no-pager", "-b", "-p", "warning", "-o", "cat", "_PID=1"]), "");
}

#[test]
fn arguments_come_through_supervisord() {
    needs!(Kind::Supervisord);
    for text_only in [true, false] {
        let room = Room::new();
        let (seed, words) = hostile_words(text_only);
        let text = unit_of_witness(&room, "supervisord", "web", &words);
        let supervisord = Supervisor::boot_with(&room, &text);
        eventually("it runs", || room.path().join("up").exists());
        let pid = supervisord.pid("web").expect("a pid");
        expect_words(seed, &words_of(&supervisord.proc(pid, "cmdline")), &words);
    }
}

/// Reads a plist with Python's plistlib and runs its ProgramArguments with its EnvironmentVariables, as launchd would.
const LAUNCH: &str = "\
import os, plistlib, sys
job = plistlib.load(open(sys.argv[1], 'rb'))
os.execve(job['ProgramArguments'][0], job['ProgramArguments'], job['EnvironmentVariables'])";

#[test]
fn arguments_come_through_a_plist() {
    skip_unless!(has("python3"), "no python3");
    for text_only in [true, false] {
        let room = Room::new();
        let (seed, words) = hostile_words(text_only);
        let plist = room.file("web.plist", &unit_of_witness(&room, "launchd", "web", &words));
        let mut launch = Command::new("python3");
        let server = Killed(launch.args(["-c", LAUNCH]).arg(plist).spawn().expect("spawned"));
        eventually("it runs", || room.path().join("up").exists());
        expect_words(seed, &words_of(format!("/proc/{}/cmdline", server.pid()).as_ref()), &words);
    }
}

#[test]
fn a_path_with_a_blank_and_a_percent_sign_comes_through() {
    needs!(Kind::Supervisord);
    needs!(Kind::Systemd);
    skip_unless!(has("python3"), "no python3");
    let room = Room::new();
    std::fs::create_dir(room.path().join("state % 1")).expect("a folder");
    let path = "/usr/bin:/bin:/opt/my 50% bin:/opt/日本";
    for kind in KINDS {
        let mut command = room.forerun();
        command.env("PATH", path).env("FORERUN_STATE_DIR", room.path().join("state % 1"));
        let name = format!("web-{kind}");
        command.args(["unit", kind, "--name", &name, "--"]).arg(witness()).arg(room.path().join("up"));
        let text = done(&mut command).expect_code(0).stdout;
        let _ = std::fs::remove_file(room.path().join("up"));
        let environ = match kind {
            "systemd" => {
                let systemd = Supervisor::boot(Kind::Systemd, &room, &[]);
                systemd.unit("web.service", &text);
                systemd.systemctl(&["daemon-reload"]);
                systemd.systemctl(&["start", "web"]);
                eventually("it runs", || room.path().join("up").exists());
                let environ = words_of(&systemd.proc(systemd.pid("web").expect("a pid"), "environ"));
                drop(systemd);
                std::fs::remove_dir_all(room.path().join("supervisor")).expect("removed");
                environ
            }
            "supervisord" => {
                let supervisord = Supervisor::boot_with(&room, &text);
                eventually("it runs", || room.path().join("up").exists());
                let environ = words_of(&supervisord.proc(supervisord.pid(&name).expect("a pid"), "environ"));
                // The unit does not show how the keeper knows what else must end.
                supervisord.obey(&format!("supervisorctl stop {name}"));
                environ
            }
            _ => {
                let file = room.path().join(kind);
                script(&file, &text);
                let mut command = match kind {
                    "launchd" => Command::new("python3"),
                    _ => Command::new("sh"),
                };
                if kind == "launchd" {
                    command.args(["-c", LAUNCH]);
                }
                let server =
                    Killed(command.arg(&file).env_clear().env("PATH", "/usr/bin:/bin").spawn().expect("spawned"));
                eventually("it runs", || room.path().join("up").exists());
                words_of(format!("/proc/{}/environ", server.pid()).as_ref())
            }
        };
        assert!(environ.contains(&format!("PATH={path}").into()), "{kind}: {environ:?}");
        let state = format!("FORERUN_STATE_DIR={}", room.path().join("state % 1").display());
        assert!(environ.contains(&state.into()), "{kind}: {environ:?}");
        assert!(!environ.iter().any(|e| e.to_string_lossy().starts_with("FORERUN_UNIT=")), "{kind}: {environ:?}");
    }
}

#[test]
fn systemd_analyze_has_nothing_to_say() {
    skip_unless!(has("systemd-analyze"), "no systemd-analyze");
    let room = Room::new();
    let stop = "[stop]\nsignal = 'QUIT'\nbefore = 'echo \"a b\" $HOME 50% ; #'\nbefore-timeout = '1m'";
    let file = config(&room, "web", free_port(), &format!("[watch]\non-unhealthy = 'restart'\n{stop}"));
    let plain = ["--name", "plain", "--", "/bin/sleep", "1000"];
    // The machine's own units may be broken, and it would talk about those too.
    let units = room.path().join("units");
    std::fs::create_dir(&units).expect("a folder");
    for target in ["sysinit", "basic", "shutdown"] {
        std::fs::write(units.join(format!("{target}.target")), "[Unit]\nDefaultDependencies=no\n").expect("written");
    }
    let verify = |scope: &str, path: &Path| {
        let mut verify = Command::new("systemd-analyze");
        verify.arg("verify").args((scope == "--user").then_some("--user")).arg(path);
        done(verify.env("XDG_RUNTIME_DIR", room.path()).env("SYSTEMD_UNIT_PATH", &units))
    };
    for scope in ["--system", "--user"] {
        let odd = room.file("odd.service", "[Service]\nExecStart=/bin/true\nOdd=1\n");
        verify(scope, &odd).expect_stderr(&["odd.service:3: Unknown key 'Odd'"]);
        for words in [&["--config", &file][..], &plain[..]] {
            for harden in [false, true] {
                let mut all = vec![scope];
                all.extend(harden.then_some("--harden"));
                all.extend(words);
                let text = unit(&room, "systemd", &all);
                let path = room.file(if words.len() > 2 { "plain.service" } else { "web.service" }, &text);
                let said = verify(scope, &path).expect_code(0);
                assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""), "{text}");
            }
        }
    }
}

/// launchd.plist(5): the types of the keys.
const TYPES: &str = "\
import plistlib, sys
job = plistlib.load(open(sys.argv[1], 'rb'))
types = {
    'Label': str, 'ProgramArguments': [str], 'EnvironmentVariables': {str: str}, 'KeepAlive': bool, 'ThrottleInterval': int,
    'ExitTimeOut': int, 'ProcessType': str, 'StandardOutPath': str, 'StandardErrorPath': str,
    'SoftResourceLimits': {str: int}, 'HardResourceLimits': {str: int}, 'UserName': str,
}
for key, value in job.items():
    kind = types[key]
    if isinstance(kind, list):
        assert type(value) is list and all(type(v) is kind[0] for v in value), key
    elif isinstance(kind, dict):
        [(k, v)] = kind.items()
        assert type(value) is dict and all(type(a) is k and type(b) is v for a, b in value.items()), key
    else:
        assert type(value) is kind, key
assert job['ProcessType'] in ('Background', 'Standard', 'Adaptive', 'Interactive')
assert all(job[k].startswith('/') for k in ('StandardOutPath', 'StandardErrorPath'))
assert job['KeepAlive'] is True and job['ExitTimeOut'] == 3
limits = {'SoftResourceLimits': {'NumberOfFiles': 8192}, 'HardResourceLimits': {'NumberOfFiles': 524288}}
found = {k: v for k, v in job.items() if k.endswith('ResourceLimits')}
assert found == (limits if sys.argv[2] == '--user' else {}), found
assert ('--nofile' in job['ProgramArguments']) == (sys.argv[2] == '--system')
assert not any(folder.startswith('/tmp') for folder in job['EnvironmentVariables']['PATH'].split(':'))
print(*sorted(job))";

#[test]
fn a_plist_has_the_types_of_launchd_plist_5() {
    skip_unless!(has("python3") && has("plistutil"), "no python3 or plistutil");
    let room = Room::new();
    for scope in ["--user", "--system"] {
        let mut command = room.forerun();
        command
            .env("PATH", "/tmp/bin:/usr/bin:/bin")
            .args(["unit", "launchd", scope, "--name", "web", "--grace", "2500ms"]);
        let text = done(command.args(["--", "sleep", "1000"])).expect_code(0).stdout;
        let plist = room.file("web.plist", &text);
        let keys = done(Command::new("python3").args(["-c", TYPES]).arg(&plist).arg(scope)).expect_code(0).stdout;
        // libplist reads the same keys.
        let xml = done(Command::new("plistutil").arg("-i").arg(&plist).args(["-f", "xml"])).expect_code(0).stdout;
        for key in keys.split_whitespace() {
            assert!(xml.contains(&format!("<key>{key}</key>")), "{key}: {xml}");
        }
    }
}

#[test]
fn a_unit_says_why_each_line_is_there_and_what_stops_a_mistake_from_looping() {
    let room = Room::new();
    let file = config(&room, "web", free_port(), "grace = '7s'");
    for (kind, parts) in [
        (
            "systemd",
            &[
                "Type=notify",
                "NotifyAccess=all",
                "LimitNOFILE=8192:524288",
                "RestartPreventExitStatus=78",
                "TimeoutStopSec=7s",
                "KillMode=mixed",
                "SuccessExitStatus=143",
                " reload web\n",
            ][..],
        ),
        ("launchd", &["<key>KeepAlive</key>", "no exit code", "<integer>7</integer>"]),
        ("supervisord", &["exitcodes=78", "stopwaitsecs=7", "--nofile 8192", "stopasgroup=true", "\nstdout_logfile=/"]),
        ("runit", &["exec sv down .", "--nofile 8192", "svlogd", "/check <=="]),
        (
            "s6",
            &[
                "exit 125",
                "--ready-fd 3",
                "s6-log",
                "timeout-finish <==\n12000\n",
                "notification-fd <==\n3\n",
                "timeout-kill <==\n7000\n",
            ],
        ),
    ] {
        let text = unit(&room, kind, &["--config", &file]);
        for part in parts {
            assert!(text.contains(part), "{kind}: no {part:?} in\n{text}");
        }
    }
    let watched = room.file(
        "watched.toml",
        "name = 'w'\ncommand = 'x'\nhealth = { check = 'tcp:[::1]:1' }\nwatch = { on-unhealthy = 'restart' }\n",
    );
    for (kind, words) in [
        ("systemd", &["--config", watched.to_str().expect("UTF-8")][..]),
        ("systemd", &["--user", "--harden", "--name", "plain", "--", "sleep", "1"]),
        ("launchd", &["--user", "--name", "plain", "--", "sleep", "1"]),
    ] {
        let text = unit(&room, kind, words);
        let lines: Vec<_> = text.lines().collect();
        let is_setting = |line: &str| {
            if kind == "systemd" {
                !line.starts_with(['#', '[']) && line.contains('=')
            } else {
                line.starts_with("\t<key>")
            }
        };
        let settings = (1..lines.len()).filter(|&at| is_setting(lines[at]));
        assert!(settings.clone().count() > 10, "{text}");
        for at in settings {
            let above = lines[at - 1].trim();
            assert!(above.starts_with("# ") || above.ends_with(" -->"), "{kind}: no reason for {}", lines[at]);
        }
    }
    let room = Room::new();
    let exec = unit(&room, "systemd", &["--system", "--name", "plain", "--", "sleep", "1"]);
    assert!(exec.contains("Type=exec\n") && !exec.contains("Protect"), "{exec}");
    let hard = unit(&room, "systemd", &["--system", "--harden", "--name", "plain", "--", "sleep", "1"]);
    let lines: Vec<_> = hard.lines().collect();
    let from = lines.iter().position(|line| line.contains("--harden")).expect("hardening") + 1;
    let to = lines.iter().rposition(|line| *line == "[Install]").expect("an end") - 1;
    // The folder is in /tmp, which PrivateTmp= would replace.
    assert!(!hard.contains("PrivateTmp") && hard.contains("ProtectSystem=full"), "{hard}");
    for pair in lines[from..to].chunks(2) {
        assert!(pair[0].starts_with("# breaks: ") && pair[1].contains('='), "{pair:?}");
    }
}

#[test]
fn a_unit_says_how_the_server_is_stopped_and_what_is_not_done() {
    let room = Room::new();
    let stop = "grace = '7s'\n[stop]\nsignal = 'QUIT'\nreload-signal = 'USR1'\nbefore = 'drain'\nbefore-timeout = '8s'";
    let file = config(&room, "web", free_port(), stop);
    let not_run = "[stop] before is not run: ";
    let not_sent = "[stop] signal is SIGQUIT, but ";
    for (kind, parts, not) in [
        (
            "systemd",
            &[
                "KillSignal=SIGQUIT",
                "SuccessExitStatus=131 SIGQUIT",
                "TimeoutStopSec=8s",
                "# Sends SIGUSR1 ",
                "timeout 8 /bin/sh -c drain",
            ][..],
            &[not_run, not_sent][..],
        ),
        ("launchd", &[not_run, not_sent], &[]),
        ("supervisord", &["stopsignal=QUIT\n", not_run], &[not_sent]),
        ("runit", &[not_run, not_sent], &[]),
        ("s6", &["down-signal <==\n3\n", not_run], &[not_sent]),
    ] {
        let text = unit(&room, kind, &["--config", &file]);
        for part in parts {
            assert!(text.contains(part), "{kind}: no {part:?} in\n{text}");
        }
        for part in not {
            assert!(!text.contains(part), "{kind}: {part:?} in\n{text}");
        }
    }
}

#[test]
fn paths_are_absolute_and_symlinks_stay() {
    let room = Room::new();
    std::fs::create_dir(room.path().join("release")).expect("a folder");
    std::os::unix::fs::symlink("release", room.path().join("current")).expect("a symlink");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_forerun"), room.path().join("forerun")).expect("a symlink");
    room.file("release/forerun.toml", "name = 'web'\ncommand = 'sleep 1000'\n");
    let current = room.path().join("current");
    for (program, path) in [("../forerun", "/usr/bin:/bin".to_owned()), ("forerun", room.path().display().to_string())]
    {
        room.file("release/.env", "A=1\n");
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path).env("PWD", &current).current_dir(&current);
        let text = done(command.args(["unit", "systemd", "--env-file", ".env"])).expect_code(0).stdout;
        let line = text.lines().find(|line| line.starts_with("ExecStart=")).expect("ExecStart").to_owned();
        let here = current.display();
        assert!(line.contains(&format!(" --config {here}/forerun.toml --env-file {here}/.env")), "{line}");
        assert!(line.contains("/forerun --foreground") && !line.contains("target/debug"), "{line}");
    }
}

#[test]
fn impossible_units_are_refused_in_one_line() {
    let room = Room::new();
    for (words, code, part) in [
        (&["--replace", "unit", "systemd", "--", "x"][..], 2, "'--replace' is an option of a start by hand"),
        (&["--detach", "unit", "systemd", "--", "x"], 2, "'--detach'"),
        (&["unit", "upstart", "--", "x"], 2, "'upstart'"),
        (&["unit"], 2, "no kind of unit was given"),
        (&["unit", "systemd", "--now", "--", "x"], 2, "--install"),
        (&["unit", "systemd", "--install", "--diff", "--", "x"], 2, "cannot be used with"),
        (&["unit", "systemd", "--user", "--system", "--", "x"], 2, "cannot be used with"),
        (&["unit", "launchd", "--harden", "--", "x"], 2, "'--harden' works with systemd only"),
        (&["unit", "systemd"], 2, "no command"),
        (&["unit", "systemd", "--name", "web@", "--", "x"], 78, "'web@' is that of a template"),
        (&["unit", "s6", "--name=-web", "--", "x"], 78, "'-web' is not one that supervisors accept"),
        (&["unit", "s6", "--name", ".web", "--", "x"], 78, "'.web' is not one that supervisors accept"),
    ] {
        room.run(words).expect_code(code).expect_line(&["forerun: ", part]);
    }
}

#[test]
fn a_secret_on_the_command_line_is_warned_of() {
    let room = Room::new();
    let said =
        room.run(&["unit", "systemd", "--env", "TOKEN=hunter2", "--health", "http://u:pw@127.0.0.1:1/", "--", "x"]);
    let said = said.expect_code(0).expect_stderr(&["'--env'", "--env-file", "password in a URL"]);
    assert!(!said.stderr.contains("hunter2") && !said.stderr.contains("pw@"), "{}", said.stderr);
}

#[test]
fn the_same_service_makes_the_same_unit() {
    let room = Room::new();
    let file = config(&room, &unique("same"), free_port(), "");
    for kind in KINDS {
        let first = unit(&room, kind, &["--config", &file]);
        assert_eq!(first, unit(&room, kind, &["--config", &file]), "{kind}");
        let json: serde_json::Value =
            serde_json::from_str(&unit(&room, kind, &["--config", &file, "--json"])).expect("JSON");
        let files = json["files"].as_object().expect("files");
        assert!(files.values().any(|text| first.starts_with(text.as_str().expect("text"))), "{json}");
        assert_eq!(json["state"], "missing");
    }
}
