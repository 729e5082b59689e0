//! Env-files by their table, and references in forerun.toml and in CHECKs (docs/env-files.md). The built binary reads
//! them, and a program that it becomes shows its environment.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Done, Room, done, fixture, free_port, has};
use serde_json::Value;

type Variables = BTreeMap<String, String>;

/// A row of the table.
struct Row {
    id: String,
    file: Vec<u8>,
    environment: Vec<(String, String)>,
    /// The variables and the lines that are warned of, or the line of the error.
    expected: Result<(Variables, BTreeSet<u64>), u64>,
}

/// A string, or a list of strings, bytes, and strings so many times.
fn bytes(value: &Value) -> Vec<u8> {
    let part = |part: &Value| match part {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Number(byte) => vec![byte.as_u64().expect("a byte") as u8],
        pair => pair[0].as_str().expect("text").repeat(pair[1].as_u64().expect("a count") as usize).into_bytes(),
    };
    value.as_array().map_or_else(|| part(value), |parts| parts.iter().flat_map(part).collect())
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

fn rows() -> Vec<Row> {
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/env-file/table.tsv"));
    let table = table.expect("the table");
    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let row = |line: &str| {
        let cells: Vec<_> = line.split('\t').collect();
        let json = |cell: &str| serde_json::from_str::<Value>(cell).expect("JSON");
        let mut expected = json(cells[2]).as_object().expect("an object").clone();
        let pairs = expected.remove("$env").unwrap_or_default();
        let pairs = pairs.as_object().cloned().unwrap_or_default();
        let text = |value: Value| value.as_str().expect("text").to_owned();
        let warned = expected.remove("$warn").unwrap_or_default();
        let warned = warned.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let error = expected.remove("error").map(|line| text(line)[5..].parse().expect("line N"));
        Row {
            id: cells[0].to_owned(),
            file: bytes(&json(cells[1])),
            environment: pairs.into_iter().map(|(name, value)| (name, text(value))).collect(),
            expected: error.map_or_else(
                || Ok((expected.iter().map(|(name, value)| (name.clone(), utf8(bytes(value)))).collect(), warned)),
                Err,
            ),
        }
    };
    lines.map(row).collect()
}

/// What a program gets that is started with these env-files, and what forerun says.
fn read(room: &Room, files: &[&str], environment: &[(String, String)]) -> (Variables, Done) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forerun"));
    command.env_clear().env("FORERUN_STATE_DIR", room.state()).current_dir(room.path());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.args(["--foreground", "--name", "t", "--port", "0"]);
    files.iter().for_each(|file| {
        command.args(["--env-file", file]);
    });
    let done = done(command.args(["--", "/usr/bin/env", "-0"]));
    let pairs = done.stdout.split('\0').filter_map(|pair| pair.split_once('='));
    let is_given = |name: &str| name.starts_with("FORERUN_") || environment.iter().any(|(given, _)| given == name);
    (pairs.filter(|(name, _)| !is_given(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), done)
}

/// The lines that are named in what forerun says.
fn said(stderr: &str) -> BTreeSet<u64> {
    let after = stderr.split("line ").skip(1);
    after.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).collect()
}

#[test]
fn each_row_of_the_table_gives_its_variables_and_nothing_else() {
    let room = Room::new();
    let rows = rows();
    assert!(rows.len() > 80, "{}", rows.len());
    for Row { id, file, environment, expected } in rows {
        fs::write(room.path().join("t.env"), &file).expect("written");
        let (mut variables, done) = read(&room, &["t.env"], &environment);
        let stderr = done.stderr.replace("t.env", "").replace("forerun", "");
        assert!(!stderr.contains("s3cr3t"), "{id}: {stderr}");
        match expected {
            Err(line) => {
                assert_eq!((done.code, variables.len()), (Some(78), 0), "{id}: {stderr}");
                assert!(said(&stderr).contains(&line), "{id}: {stderr}");
            }
            Ok((mut expected, warned)) => {
                assert_eq!(done.code, Some(0), "{id}: {stderr}");
                assert_eq!(said(&stderr), warned, "{id}: {stderr}");
                for (name, value) in &expected {
                    assert!(value.len() < 4 || !stderr.contains(value), "{id}: {name:?} is printed: {stderr}");
                }
                for (name, value) in &environment {
                    if let Some(expected) = expected.remove(name) {
                        assert_eq!(expected, *value, "{id}");
                    }
                }
                variables.retain(|name, _| name != "_");
                assert!(variables == expected, "{id}: {:.300}", format!("{variables:?}"));
            }
        }
    }
}

#[test]
fn a_mistake_is_told_with_its_line_and_column() {
    let room = Room::new();
    for (file, line) in [
        (
            "A=1\r\n# c\r\n\r\nDB_PASS='s3cr3t\r\n",
            "cannot use the env-file 'F': line 4, column 9: nothing closes the quote of DB_PASS; a value with an \
             apostrophe goes in double quotes",
        ),
        (
            "\u{feff}A=1\n  s3cr3t line\n",
            "cannot use the env-file 'F': line 2, column 3: there is no \"=\" here; a value of several lines goes in quotes",
        ),
        ("MY KEY=s3cr3t", "line 1, column 4: this cannot be in a name; "),
        ("KEY: s3cr3t=", "line 1, column 4: there is no \"=\" here, but a \":\"; write NAME=VALUE"),
        ("A=\"\u{e9}\n\n\" s3cr3t", "line 3, column 3: this is after the closing quote of A, which opens in line 1; "),
        ("A=\u{e9}${B:?set B}", "line 1, column 4: A needs B, which is not set; set B"),
        ("B=\nA=${B:?}", "line 2, column 3: A needs B, which is empty; set it"),
        ("A=x\n=s3cr3t", "line 2, column 1: there is no name before the \"=\"; "),
        ("A=1\nB=s3cr3t\0", "line 2, column 9: this byte is NUL, which no variable can have; "),
    ] {
        let path = room.file("F", file);
        let (variables, done) = read(&room, &["F"], &[]);
        let stderr = done.expect_code(78).stderr.replace(path.to_str().expect("UTF-8"), "F");
        assert!(variables.is_empty() && stderr.contains(line) && !stderr.contains("s3cr3t"), "{file}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn what_is_odd_is_warned_of_once_a_kind_and_value() {
    let room = Room::new();
    for (file, warned) in [
        (
            "\n\nDB_PASS=abc$x5 $y\n",
            &[
                "line 3, column 12: the \"$\" in DB_PASS begins the name of nothing that is set, and stays; single quotes say that it is meant",
            ][..],
        ),
        ("A=${B} ${B}\n", &["line 1, column 3: B in A is not set, and nothing is in its place; "]),
        ("A=x$$ $$\nB='$$ \\$ ${'\n", &["line 1, column 4: the \"$$\" in A stays as it is; "]),
        ("A=${ ${B\n", &["line 1, column 3: the \"${\" in A begins no reference, and stays; "]),
        ("A=a\\$b\n", &["line 1, column 4: the backslash before a \"$\" in A stays; "]),
        ("A= #fff\nB= # c\nC= #\n", &["line 1, column 4: the \"#\" begins a comment, and A is empty; "]),
        ("A=`id`\n", &["line 1, column 3: the backticks of A are no quotes, and stay; "]),
        (
            "A='x\nexport B=y'\nC=\"-\nabc==\n-\"\n",
            &["line 1, column 3: the quotes of A have another assignment in them; "],
        ),
        ("H=/x:$H\n", &["line 1, column 6: H refers to itself, and the environment has it and wins; "]),
        ("A=1\nA\n t0ken # c\n", &["line 3, column 2: there is no \"=\" here, and nothing sets this name; "]),
        (
            "A=$x \"\\$\" $$ ${y} ${\n",
            &[
                "column 3: the \"$\"",
                "column 7: the backslash",
                "column 11: the \"$$\"",
                "column 14: y in",
                "column 19: the \"${\"",
            ],
        ),
    ] {
        room.file("F", file);
        let (_, done) = read(&room, &["F"], &[("H".to_owned(), "/h".to_owned())]);
        let stderr = done.expect_code(0).stderr;
        assert_eq!(stderr.lines().count(), warned.len(), "{file}: {stderr}");
        for (line, part) in stderr.lines().zip(warned) {
            assert!(line.starts_with("forerun: warning: in the env-file '") && line.contains(part), "{file}: {stderr}");
        }
        assert!(!stderr.contains("t0ken") && !stderr.contains("x5"), "{stderr}");
    }
}

/// Bytes that a parser with a look ahead for each would need hours for.
#[test]
fn hostile_files_take_no_time() {
    let room = Room::new();
    let many = |text: &str| text.repeat((1 << 20) / text.len() - 8);
    for (text, is_used) in [
        (format!("A={}", many("${")), false),
        (format!("A={}", many("$A")), false),
        (format!("A=\"{}", many("\\\"")), false),
        (format!("A='{}", many("\"")), false),
        (many("\""), false),
        (many("{"), false),
        (format!("A={}", many("${A:-")), false),
        (many("A='x\n"), false),
        (many("#"), true),
        (many("\n"), true),
        (many("A=1\n"), true),
        (many("A=$x\n"), true),
        (many("A=$$ #\n"), true),
        (format!("A= {}", many(" #x")), true),
        (format!("B={}\n{}", "x".repeat(100_000), "A=$B\n".repeat(180_000)), false),
        (format!("B={}\n{}", "x".repeat(131_069), "A=$B\n".repeat(50)), true),
    ] {
        room.file("F", &text);
        let begun = Instant::now();
        let (_, done) = read(&room, &["F"], &[]);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(20), "{:.30}: {took:?}", text);
        assert_eq!(done.code, Some(if is_used { 0 } else { 78 }), "{:.30}: {:.300}", text, done.stderr);
    }
    room.file("F", &many("A=$x\n"));
    let said = read(&room, &["F"], &[]).1.expect_stderr(&[" more of these; mend the first ones"]).stderr;
    assert_eq!(said.lines().count(), 101);
    for (length, code) in [(131_069, 0), (131_070, 78)] {
        room.file("F", &format!("A={}", "x".repeat(length)));
        read(&room, &["F"], &[]).1.expect_code(code);
    }
    for (depth, code) in [(32, 0), (33, 78)] {
        room.file("F", &format!("A={}x{}", "${X:-".repeat(depth), "}".repeat(depth)));
        read(&room, &["F"], &[]).1.expect_code(code);
    }
}

/// A file that bash and forerun must read alike.
#[test]
fn bash_reads_the_same() {
    skip_unless!(has("bash"), "no bash");
    let room = Room::new();
    let file = "A=1\nexport B=two\n# c\n  C='single $A \\n # x'  # c\nD=\"double $A ${A} \\\" \\\\ \\$A\"\nE=${NOPE:-d} \nF=${A:+yes}\n\
        G=\nH=a#b\nI=\"lines\nof text\"\nJ=x=y==\nK=${NOPE-${A}}\n";
    room.file("F", file);
    let (ours, read) = read(&room, &["F"], &[]);
    read.expect_code(0);
    let mut bash = Command::new("bash");
    bash.env_clear().current_dir(room.path()).args(["-c", "set -a; . ./F; exec /usr/bin/env -0"]);
    let theirs = done(&mut bash).expect_code(0).stdout;
    for (name, value) in &ours {
        let pair = format!("{name}={value}");
        assert!(theirs.split('\0').any(|theirs| theirs == pair), "{pair}");
    }
    assert_eq!(ours.len(), 11);
}

/// What another reader makes of a file: a program that prints `NAME=VALUE` with a NUL behind each.
fn reads_the_same(file: &str, program: &str, args: &[&str]) {
    let room = Room::new();
    room.file("F", file);
    let (ours, read) = read(&room, &["F"], &[]);
    read.expect_code(0);
    let mut other = Command::new(program);
    let theirs = done(other.current_dir(room.path()).args(args)).expect_code(0).stdout;
    let mut theirs: Vec<_> = theirs.split_terminator('\0').collect();
    let mut ours: Vec<_> = ours.iter().map(|(name, value)| format!("{name}={value}")).collect();
    theirs.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, theirs);
}

#[test]
fn python_dotenv_reads_the_same() {
    let python = "/usr/bin/python3";
    let works = Command::new(python).args(["-c", "import dotenv"]).stderr(std::process::Stdio::null()).status();
    skip_unless!(works.is_ok_and(|status| status.success()), "no python3-dotenv");
    let file = "A=1\nexport B=two words\n# it's\nC='single $A # x' # don't\nD=\"double ${A} \\\" x\"\nE=${NOPE:-d}\nG=\nH=a#b\n\
                I=\"lines\nof text\"\nJ=x=y==\nK={\"a\":1}\nB=three\nL=it's\nM=$2y$10$abc\nN=pa$word\nO=C:\\x\n";
    let script = "import dotenv; [print(k, v, sep='=', end='\\0') for k, v in dotenv.dotenv_values('F').items()]";
    reads_the_same(file, python, &["-c", script]);
}

#[test]
#[ignore = "the node of Debian 12 has no reader of env-files: tests/README.md"]
fn node_reads_the_same() {
    let file = "A=1\nexport B=two words\n# it's\nC='single $A # x' # don't\nD=\"double x\"\nG=\nI=\"lines\nof text\"\nJ=x=y==\n\
                K={\"a\":1}\nB=three\nM=$2y$10$abc\nN=pa$word\nO=C:\\x\n";
    let script = "for (const [k, v] of Object.entries(require('util').parseEnv(require('fs').readFileSync('F', 'utf8')))) \
                  process.stdout.write(`${k}=${v}\\0`)";
    reads_the_same(file, "node", &["-e", script]);
}

#[test]
fn later_files_win_and_one_may_be_absent() {
    let room = Room::new();
    room.file("one", "A=1\nB=1\nHOST=one\n");
    room.file("two", "B=2\nURL=http://$HOST/\nE=2\n");
    let environment = [("E".to_owned(), String::new())];
    let (variables, done) = read(&room, &["one", "?none", "two"], &environment);
    done.expect_code(0);
    assert_eq!(["A", "B", "URL"].map(|name| &*variables[name]), ["1", "2", "http://one/"]);
    read(&room, &["one", "none"], &[]).1.expect_code(78).expect_stderr(&["none': No such file"]);
    fs::create_dir(room.path().join("sub")).expect("a folder");
    room.file("sub/.env", "A=sub\n");
    room.file("sub/forerun.toml", "env-file = ['../one', '?${WHERE:-none}', '.env']\ncommand = ['env']\n");
    let said = room.run(&["--foreground", "--config", "sub/forerun.toml"]).expect_code(0).stdout;
    assert!(said.contains("\nA=sub\n") && said.contains("\nB=1\n"), "{said}");
    room.file("sub/forerun.toml", "env-file = '${NOPE}'\ncommand = ['env']\n");
    room.run(&["--foreground", "--config", "sub/forerun.toml"])
        .expect_code(78)
        .expect_stderr(&["line 1: env-file: NOPE is not set"]);
}

#[test]
fn references_are_replaced_in_every_string() {
    let room = Room::new();
    room.file(
        "vars",
        "DIR=a b's \"x\" $(touch hacked)\nPORT=9123\nSECRET=s3cr3tvalue\nON=true\nNAME=svc-x\nAGAIN='${SECRET}'\nTEN=10s\n",
    );
    fs::create_dir(room.path().join("a b's \"x\" $(touch hacked)")).expect("a folder");
    let file = r#"
name = "${NAME}"
command = "sh -c 'printf \"<%s>\" \"$@\"; : $HOME $$; x=1; printf %s $${x}' sh ${DIR} --token=${SECRET} ${AGAIN} $$HOME"
env-file = "vars"
port = "${PORT:-8787}"
close-fds = "${ON}"
grace = "${TEN}"
on-conflict = "${OC-fail}"
require = ["dir:${DIR}", "exec:test -d ${DIR} && test -d '${DIR}' && test -d \"${DIR}\" && test ${SECRET} = $SECRET"]
[env]
A = "x-${SECRET}-$${SECRET}"
DIR = "other"
[watch]
max-ptys = "${PTYS:-7}"
"#;
    room.file("forerun.toml", file);
    let plan = room.plan(room.forerun().arg("--detach"));
    assert_eq!((&plan["name"], &plan["port"]), (&"svc-x".into(), &9123.into()));
    assert_eq!(plan["require"][0], "dir:${DIR}");
    let plan = room.run(&["--dry-run"]).expect_code(0).stdout;
    assert!(plan.contains("--token=${SECRET}") && !plan.contains("s3cr3t"), "{plan}");
    room.run(&["check", "--json"]).expect_code(0);
    let out = room.run(&["--foreground"]).expect_code(0).stdout;
    assert_eq!(out, "<a b's \"x\" $(touch hacked)><--token=s3cr3tvalue><${SECRET}><$$HOME>1");
    room.file("forerun.toml", &file.replace("\"sh -c", "\"env # sh -c"));
    let out = room.run(&["--foreground"]).expect_code(0).stdout;
    assert!(out.contains("\nA=x-s3cr3tvalue-${SECRET}\n") && out.contains("\nDIR=other\n"), "{out}");
    assert!(!out.contains("FORERUN_REF"), "{out}");
    assert!(!room.path().join("hacked").exists());
}

#[test]
fn what_is_not_set_or_gives_nonsense_is_told_without_a_value() {
    let room = Room::new();
    let secret = ("S", "s3cr3t:value");
    for (toml, part) in [
        ("body = '${NOPE}'", "line 3: body: NOPE is not set; set it, or write ${NOPE:-default}"),
        ("body = '${NOPE:?say it}'", "line 3: body: NOPE is not set; say it"),
        ("body = '${a!b}'", "line 3: body: a '${' begins no reference"),
        ("timeout = '${S}'", "line 3: '${S}' is not a duration"),
        ("status = '${S}x'", "line 3: '${S}x' is not a status"),
        ("insecure = '${S}'", "line 3: insecure is true or false"),
        ("ca = '${S}.pem'", "line 3: 'ca' needs an https check"),
        ("headers = { A = '${S}\\u0001' }", "line 3"),
    ] {
        room.file(
            "forerun.toml",
            &format!("[health]\ncheck = 'http://127.0.0.1:1/'\n{}\n", toml.replace("\\u0001'", "\u{e9}'")),
        );
        let mut command = room.forerun();
        let done = done(command.env(secret.0, secret.1).args(["--dry-run", "--", "true"]));
        assert!(!done.stderr.contains("s3cr3t"), "{toml}: {}", done.stderr);
        if toml.contains("headers") {
            continue;
        }
        done.expect_code(78).expect_stderr(&[part]);
    }
    for (key, toml) in [
        ("run", "[[before]]\nrun = 'f=1; echo ${f}'"),
        ("run", "before = 'f=1; echo ${f}'\n"),
        ("before", "[stop]\nbefore = 'f=1; echo ${f}'"),
        ("check", "[[require]]\ncheck = 'exec:f=1; echo ${f}'"),
        ("fix", "[[require]]\ncheck = 'env:A'\nfix = 'f=1; echo ${f}'"),
    ] {
        room.file("forerun.toml", toml);
        let done = room.run(&["--dry-run", "--", "true"]).expect_code(78);
        done.expect_stderr(&[&format!("{key}: f is not set; set it, or write $f or $${{f}} if it is for the shell\n")]);
    }
    std::fs::remove_file(room.path().join("forerun.toml")).expect("removed");
    for (check, code, part) in [
        ("exec:echo ${f}", 2, "f is not set; set it, or write $f or $${f} if it is for the shell"),
        ("tcp:${NO_HOST}:1", 2, "invalid check 'tcp:${NO_HOST}:1': NO_HOST is not set; set it, or write"),
        ("tcp:${S}", 2, "invalid check 'tcp:${S}': what its references give makes it none; write tcp:HOST:PORT"),
        ("fds:${N:-abc}", 2, "invalid check 'fds:${N:-abc}': what its references give makes it none; write fds:NUMBER"),
        ("${S}", 2, "invalid check '${S}': what its references give makes it none"),
        ("tcp:${a b}:1", 2, "invalid check 'tcp:${a b}:1': a '${' begins no reference"),
        ("${E}", 2, "no variable is a command"),
        ("exec:echo \\${P}", 2, "a backslash is before '${P}'; write '$${P}' for the shell's own, or leave it out"),
        (
            "exec:echo \"$(case x in x) echo '${P}';; esac)\"",
            2,
            "'${P}' stands behind a 'case' in $(...), where it cannot be put in quotes; begin the script with \"P=${P};\" and write \"$P\" here",
        ),
        ("http://127.0.0.1:1/${P} body=${S} timeout=200ms", 69, "'http://127.0.0.1:1/${P}' not ready"),
        ("tcp:${P}.invalid:1", 69, "'tcp:${P}.invalid:1' not ready"),
        ("file:${P}", 69, "'file:${P}' not ready"),
        ("unix:${P}/${P}", 69, "'unix:${P}/${P}' not ready"),
        ("exec:echo ${P} >&2; false", 69, "'exec:echo ${P} >&2; false' not ready"),
    ] {
        room.file("forerun.toml", "");
        let mut command = room.forerun();
        command.env(secret.0, secret.1).env("P", "s3cr3tpart").env("E", "exec:touch hacked");
        command.args(["--foreground", "--no-progress", "--wait-timeout", "200ms", "--wait", check, "--", "true"]);
        let done = done(&mut command).expect_code(code).expect_stderr(&[part]);
        assert!(!done.stderr.contains("s3cr3t"), "{check}: {}", done.stderr);
    }
    assert!(!room.path().join("hacked").exists());
}

#[test]
fn a_start_in_the_background_is_found_and_checked_with_its_own_values() {
    let room = Room::new();
    let port = free_port();
    let file = format!(
        "name = 'own'\nport = '${{PORT}}'\ncommand = ['{}', 'serve', '${{PORT}}']\nhealth = 'http://127.0.0.1:${{PORT}}/'\n\
         [stop]\nbefore = 'echo ${{TOKEN}} > before.txt'\n",
        fixture().display()
    );
    room.file("forerun.toml", &file);
    let mut command = room.forerun();
    done(command.env("PORT", port.to_string()).env("TOKEN", "a  'b'").args(["--detach", "--no-progress"]))
        .expect_code(0);
    // None of these has PORT.
    room.run(&["status"]).expect_code(0);
    let record = room.record("own");
    assert_eq!(record["port"], port);
    assert_eq!(record["ending"]["before"], "echo ${TOKEN} > before.txt");
    room.run(&["restart", "--no-progress"]).expect_code(0);
    room.run(&["stop"]).expect_code(0);
    assert_eq!(fs::read_to_string(room.path().join("before.txt")).expect("it ran"), "a  'b'\n");
}

#[test]
fn a_unit_keeps_what_was_written() {
    let room = Room::new();
    let mut command = room.forerun();
    command.env("DB", "db.internal").env("PORT", "81").env("DIR", "/");
    command.args([
        "--wait",
        "tcp:${DB}:1",
        "--wait",
        "file:${DIR}/x",
        "--wait",
        "file:sub/${DIR}",
        "--port",
        "${PORT}",
    ]);
    command.args(["--env-file", "?own.env", "unit", "systemd", "--", "/bin/true"]);
    let said = "DB is set in this shell, and the unit need not have it; put it into a file: --env-file";
    let unit = done(&mut command).expect_code(0).expect_stderr(&[said]).stdout;
    let here = room.path().canonicalize().expect("a path");
    for part in [
        "\"tcp:$${DB}:1\"",
        "\"file:$${DIR}/x\"",
        &format!("\"file:{}/sub/$${{DIR}}\"", here.display()),
        "\"$${PORT}\"",
        &format!("?{}/own.env", here.display()),
    ] {
        assert!(unit.contains(part), "no {part} in {unit}");
    }
    assert!(!unit.contains("db.internal"), "{unit}");
}

/// A value that is not UTF-8 goes through an env-file as it is.
#[test]
fn a_value_of_the_environment_need_not_be_utf8() {
    let room = Room::new();
    room.file("F", "A=x${B}\n");
    let mut command = room.forerun();
    command.env("B", OsStr::from_bytes(b"caf\xe9")).args(["--foreground", "--env-file", "F", "--", "printenv", "A"]);
    assert_eq!(command.output().expect("forerun").stdout, b"xcaf\xe9\n");
}

#[test]
fn a_command_that_cannot_be_executed_is_named_as_it_was_written() {
    let room = Room::new();
    room.file("forerun.toml", "command = ['/nowhere/${S}']\n");
    for mode in ["--foreground", "--detach"] {
        let mut command = room.forerun();
        let said = done(command.env("S", "s3cr3tVALUE").arg(mode)).expect_code(127);
        assert!(
            said.stderr.contains("cannot execute '/nowhere/${S}'") && !said.stderr.contains("s3cr3t"),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn a_hint_is_shown_as_it_was_written() {
    let room = Room::new();
    room.file("forerun.toml", "require = [{ check = 'env:NOWHERE', hint = 'ask ${S}' }]\n");
    let said = done(room.forerun().env("S", "s3cr3tVALUE").args(["check"])).expect_code(78);
    assert!(said.stdout.contains("ask ${S}") && !said.stdout.contains("s3cr3t"), "{}", said.stdout);
}
