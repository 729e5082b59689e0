//! What a person sees: each report on a terminal of 40, 80 and 120 columns, with colors and without, and what TAB
//! offers. The texts are in tests/screen; FORERUN_TEST_BLESS=1 writes them anew: look at them before they are committed.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use common::process::send;
use common::terminal::Terminal;
use common::{Done, Killed, Room, alive, done, eventually, free_port, has};

const WIDTHS: [u16; 3] = [40, 80, 120];
const WEB: &str = "kitchen-webui";

/// Four services: one is well, one is not, one has no check, and one was killed. Their names are so long that the
/// same columns fit whatever number of digits the pids have.
struct Scene {
    room: Room,
    ports: [u16; 3],
}

impl Scene {
    fn new() -> Self {
        let scene = Scene { room: Room::of_known_length(), ports: [free_port(), free_port(), free_port()] };
        let [web, api, nobody] = scene.ports.map(|port| port.to_string());
        scene.room.fixture_called("server");
        let site = scene.site();
        std::fs::create_dir(&site).expect("a folder");
        let start = "#!/bin/sh\ncd /srv\nforerun --name api &\n";
        scene.room.file("site/start.sh", start);
        scene.room.file(
            "site/forerun.toml",
            &format!(
                "name = \"api\"\ncommand = [\"../server\", \"serve\", \"{api}\", \"--sick\", \"sick\"]\n\
                 [limits]\nnofile = \"200:300\"\n[health]\ncheck = \"http://127.0.0.1:{api}/health\"\n"
            ),
        );
        scene.room.file(
            "site/check.toml",
            &format!(
                "name = \"shop\"\ncommand = [\"../server\", \"serve\", \"{nobody}\", \"--body\", \"open until eight\"]\n\
                 env = {{ SHOP_LANGUAGE = \"de\" }}\n\
                 [[require]]\ncheck = \"cmd:sh\"\n\
                 [[require]]\ncheck = \"exec:echo no module named yaml >&2; exit 1\"\nfix = \"pip install pyyaml\"\n\
                 hint = \"install what it needs: pip install -r requirements.txt\"\n\
                 [[wait]]\ncheck = \"tcp:127.0.0.1:{nobody}\"\ntimeout = \"100ms\"\n\
                 [health]\ncheck = \"http://127.0.0.1:{nobody}/health?deep=1\"\n"
            ),
        );
        let url = format!("http://127.0.0.1:{web}/health");
        let serve = ["./server", "serve", &web, "--workers", "2"];
        scene.start(WEB, &["--health", &url], &serve);
        scene.start("database-migrations-2", &["--port", "0"], &["sleep", "300"]);
        scene.start("old", &["--port", "0"], &["sleep", "300"]);
        let api = |command: &mut Command| done(command.args(["--detach", "--close-fds"])).expect_code(0);
        api(scene.room.forerun().current_dir(&site));
        scene.room.file("site/sick", "");
        let old = scene.pid("old");
        send(old, libc::SIGKILL);
        eventually("it is gone", || !alive(old));
        scene
    }

    fn site(&self) -> PathBuf {
        self.room.path().join("site")
    }

    fn start(&self, name: &str, options: &[&str], command: &[&str]) {
        let options = [&["--detach", "--name", name, "--nofile", "200:300", "--close-fds"], options].concat();
        self.room.run(&[&options, &["--"][..], command].concat()).expect_code(0);
    }

    fn pid(&self, name: &str) -> i32 {
        self.room.record(name)["process"]["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a pid")
    }

    /// What a command shows on a terminal.
    fn shown(&self, folder: &Path, args: &[&str], columns: u16, variables: &[(&str, &str)]) -> String {
        let terminal = Terminal::open();
        terminal.resize(columns);
        let mut command = self.room.forerun();
        command.args(args).current_dir(folder).env("LANG", "C.UTF-8").env("TERM", "xterm");
        command.envs(variables.iter().copied());
        let (code, shown) = terminal.run(command);
        assert!(matches!(code, Some(0 | 1 | 78)), "{code:?}: {shown}");
        let widest = plain(&shown).lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= columns.into(), "{widest} columns of {columns}:\n{shown}");
        shown
    }

    /// The text as it would be with other pids, ports and times, and in another folder.
    fn normal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let room = self.room.path().to_str().expect("UTF-8");
        let (head, random) = room.split_at(room.len() - 6);
        for kept in (0..=6).rev() {
            // The folder's name may be cut anywhere.
            let other = "folder";
            text = text.replace(&format!("{head}{}…", &random[..kept]), &format!("{head}{}…", &other[..kept]));
            let tail = format!("…{}/", &random[kept..]);
            text = text.replace(&tail, &format!("…{}/", &other[kept..]));
        }
        text = text.replace(room, &format!("{head}folder"));
        for (at, port) in self.ports.iter().enumerate() {
            text = text.replace(&port.to_string(), &format!("1878{at}"));
        }
        for name in [WEB, "api", "database-migrations-2", "old"] {
            text = text.replace(&format!("pid {}", self.pid(name)), "pid 48127");
        }
        let text = column(&column(&text, "PID", "48127"), "UPTIME", "2m 3s");
        text.lines().map(|line| value(&time(line)) + "\n").collect()
    }

    /// Compares what a command shows at all widths with the file of that name.
    fn compare(&self, name: &str, folder: &Path, args: &[&str]) {
        let at = |columns| {
            let ruler = format!("{:=<width$}|\n", format!("== {columns} columns "), width = usize::from(columns));
            ruler + &self.normal(&usual(&self.shown(folder, args, columns, &[("NO_COLOR", "1")])))
        };
        compare(name, &WIDTHS.map(at).concat());
    }
}

/// Gives each cell below `title` another value, in a column as wide as that value needs.
fn column(text: &str, title: &str, value: &str) -> String {
    let Some(header) = text.lines().find(|line| line.starts_with("NAME") && line.contains(title)) else {
        return text.to_owned();
    };
    let start = header.find(title).expect("a title");
    let width = header[start + title.len()..].find(|c| c != ' ').map_or(title.len(), |gap| title.len() + gap);
    let mut is_in = false;
    let line = |line: &str| {
        is_in = (is_in || line == header) && !line.is_empty();
        let (Some(before), Some(cell)) = (line.get(..start), line.get(start..)) else { return format!("{line}\n") };
        if !is_in {
            return format!("{line}\n");
        }
        let (cell, after) = cell.split_at(width.min(cell.len()));
        let cell = if cell.starts_with(|c: char| c.is_ascii_digit()) { value } else { cell.trim_end() };
        let shown = format!("{before}{cell:<width$}{after}", width = value.len().max(title.len()) + 2);
        format!("{}\n", shown.trim_end())
    };
    text.lines().map(line).collect()
}

/// Another duration at the end of the line of a check, where there is one.
fn time(line: &str) -> String {
    let (before, last) = line.rsplit_once(' ').unwrap_or(("", line));
    let is_time = last.starts_with(|c: char| c.is_ascii_digit()) && last.ends_with('s');
    let is_check = ["ok ", "FAILED "].iter().any(|word| plain(line).starts_with(word));
    let before = before.trim_end();
    match (is_time && is_check, before.ends_with(',')) {
        (true, true) => format!("{before} 9ms"),
        (true, false) => format!("{before}{:>width$}", "9ms", width = line.len() - before.len()),
        _ => line.to_owned(),
    }
}

/// Another value behind the keys of pid and uptime.
fn value(line: &str) -> String {
    let Some((key, value)) = line.trim_start().split_once("  ").filter(|_| line.starts_with("  ")) else {
        return line.to_owned();
    };
    let (value, before) = (value.trim_start(), &line[..line.len() - value.trim_start().len()]);
    match key {
        "pid" => format!("{before}48127{}", value.trim_start_matches(|c: char| c.is_ascii_digit())),
        "uptime" => format!("{before}2m 3s"),
        _ => line.to_owned(),
    }
}

/// Without what differs between machines: doctor's look at their limits, pools, folders and supervisors, and the sum.
fn usual(shown: &str) -> String {
    let mut keeps = true;
    let mut line = |line: &&str| {
        let line = plain(line);
        let mut words = line.split_whitespace();
        if !line.starts_with(' ') && matches!(words.next(), Some("ok" | "warning" | "problem")) {
            keeps = !matches!(words.next(), Some("limits" | "ptys" | "state" | "unit"));
        }
        keeps && !line.contains(" problem, ") && !line.contains(" problems, ")
    };
    shown.lines().filter(|l| line(l)).map(|line| format!("{line}\n")).collect()
}

/// A text without its colors.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[track_caller]
fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screen").join(name).with_extension("txt");
    if std::env::var_os("FORERUN_TEST_BLESS").is_some() {
        std::fs::write(&path, text).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{name} is shown otherwise; was:\n{kept}\nis:\n{text}\nif it is better: FORERUN_TEST_BLESS=1"
    );
}

#[test]
fn every_report_fits_its_terminal() {
    let scene = Scene::new();
    let site = scene.site();
    scene.compare("status", scene.room.path(), &["status"]);
    scene.compare("status-of-one", scene.room.path(), &["status", "api"]);
    scene.compare("doctor", &site, &["doctor"]);
    scene.compare("fds", scene.room.path(), &["fds", WEB]);
    scene.compare("check", &site, &["check", "--config", "check.toml", "--no-progress"]);
    scene.compare("dry-run", &site, &["--dry-run", "--config", "check.toml"]);
    let at_80 = |folder, args: &[&str]| scene.shown(folder, args, 80, &[]);
    let texts = [
        at_80(scene.room.path(), &["status", "api"]),
        at_80(&site, &["doctor"]),
        at_80(&site, &["check", "--config", "check.toml", "--no-progress"]),
    ];
    // An escape is no text.
    compare("color", &texts.map(|text| scene.normal(&usual(&text))).concat().replace('\u{1b}', "\\e"));
    let table = at_80(scene.room.path(), &["status"]);
    for painted in ["[32mrunning", "[2mnot running", "[32mhealthy", "[31munhealthy"] {
        assert!(table.contains(&format!("\u{1b}{painted}\u{1b}[0m  ")), "no {painted}: {table}");
    }
}

/// Whether something is in color.
fn is_colored(text: &str) -> bool {
    text.contains('\u{1b}')
}

#[test]
fn colors_are_for_terminals_and_for_who_asks() {
    let room = Room::new();
    let check = ["check", "--no-progress", "--require", "cmd:nothing-of-this-name"];
    let piped = |args: &[&str], variables: &[(&str, &str)]| -> Done {
        done(room.forerun().args(args).envs(variables.iter().copied()))
    };
    let always = [&["--color", "always"], &check[..]].concat();
    for args in [always.clone(), [&check[..], &["--color=always"]].concat()] {
        assert!(is_colored(&piped(&args, &[("NO_COLOR", "1")]).expect_code(78).stdout), "{args:?}");
    }
    assert!(is_colored(&piped(&check, &[("CLICOLOR_FORCE", "1")]).stdout));
    for variables in [&[][..], &[("CLICOLOR_FORCE", "0")], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]] {
        assert!(!is_colored(&piped(&check, variables).stdout), "{variables:?}");
    }
    assert!(!is_colored(&piped(&[&always[..], &["--json"]].concat(), &[]).stdout));
    room.file("forerun.toml", "command = [\"true\"]\n[watch]\non-unhealthy = \"restart\"\n");
    // The lines on stderr have their own: errors, warnings, and what cannot be parsed.
    for (args, prefix) in [
        (&["--color", "always", "fds", "nothing-of-this-name"][..], "\u{1b}[31mforerun:\u{1b}[0m "),
        (&["--color", "always", "--no-such-flag"], "\u{1b}[31mforerun:\u{1b}[0m "),
        (&["--color", "always", "--foreground"], "forerun: \u{1b}[33mwarning:\u{1b}[0m "),
    ] {
        let stderr = piped(args, &[]).stderr;
        assert!(stderr.contains(prefix), "{args:?}: {stderr}");
    }
    let on_terminal = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = room.forerun();
        command.args(args).envs(variables.iter().copied());
        is_colored(&Terminal::open().run(command).1)
    };
    assert!(on_terminal(&[("TERM", "xterm")], &check));
    let progress = ["check", "--require", "cmd:sh"];
    let marks = |color: &str| {
        let mut command = room.forerun();
        command.args(progress).args(["--color", color]).env("TERM", "xterm").env("LANG", "C.UTF-8");
        Terminal::open().run(command).1
    };
    assert!(marks("auto").contains("\u{1b}[32m✓\u{1b}[0m cmd:sh"));
    assert!(marks("never").contains("✓ cmd:sh"));
    for variables in [&[("TERM", "dumb")][..], &[], &[("TERM", "xterm"), ("NO_COLOR", "1")]] {
        assert!(!on_terminal(variables, &check), "{variables:?}");
    }
    assert!(!on_terminal(&[("TERM", "xterm")], &[&check[..], &["--color", "never"]].concat()));
    room.run(&["--color", "sometimes", "status"]).expect_code(2).expect_line(&["'sometimes'", "auto, always, never"]);
    for command in
        ["check", "status", "stop", "restart", "logs", "fds", "unit", "doctor", "man", "schema", "completions"]
    {
        let help = room.run(&[command, "--color", "never", "--help"]).expect_code(0).stdout;
        assert!(help.contains("--color <WHEN>"), "{command}");
    }
}

#[test]
fn a_pipe_has_no_width_but_columns_can_give_it_one() {
    let room = Room::new();
    let long = "a word ".repeat(40);
    let dry_run = |columns: Option<&str>| {
        let mut command = room.forerun();
        command.args(["--dry-run", "--", "true", &long]).env("LANG", "C.UTF-8");
        columns.map(|columns| command.env("COLUMNS", columns));
        let text = done(&mut command).expect_code(0).stdout;
        text.lines().map(|line| line.chars().count()).max().expect("a line")
    };
    assert!(dry_run(None) > 280 && dry_run(Some("0")) > 280);
    assert!(dry_run(Some("60")) <= 60);
}

/// A room with two services, of which one has ended, and the completions of a shell.
fn completed(shell: &str) -> (Room, PathBuf) {
    let room = Room::new();
    for name in ["webby", "webui"] {
        room.run(&["--detach", "--name", name, "--port", "0", "--", "sleep", "300"]).expect_code(0);
    }
    let script = room.file(shell, &room.run(&["completions", shell]).expect_code(0).stdout);
    (room, script)
}

/// A shell that finds forerun and its services.
fn shell(room: &Room, name: &str) -> Command {
    let mut command = room.forerun();
    let folder = Path::new(command.get_program()).parent().expect("a folder").to_owned();
    let folders = [folder, "/usr/bin".into(), "/bin".into()];
    let environment: Vec<_> = command.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
    command = Command::new(name);
    command.env_clear().envs(environment).env("PATH", std::env::join_paths(folders).expect("a list"));
    command.env("HOME", room.path()).env("TERM", "xterm").current_dir(room.path()).stdin(Stdio::null());
    command
}

#[test]
fn bash_offers_names_where_a_name_can_be() {
    skip_unless!(has("bash"), "no bash");
    let (room, script) = completed("bash");
    let offered = |words: &[&str]| {
        let quoted: String = words.iter().map(|word| format!(" '{word}'")).collect();
        let (last, before) = (words.len(), words.len().saturating_sub(1));
        let text = format!(
            r#". {}; COMP_WORDS=(forerun{quoted}); COMP_CWORD={last}
            f=$(complete -p forerun); f=${{f#*-F }}; ${{f% *}} forerun "${{COMP_WORDS[{last}]}}" "${{COMP_WORDS[{before}]}}"
            echo "${{COMPREPLY[@]}}""#,
            script.display()
        );
        let done = done(shell(&room, "bash").args(["--norc", "-c", &text])).expect_code(0);
        assert_eq!(done.stderr, "", "{words:?}");
        done.stdout.trim().to_owned()
    };
    for command in ["status", "stop", "restart", "logs", "fds", "forget"] {
        assert_eq!(offered(&[command, ""]), "webby webui", "{command}");
    }
    assert_eq!(offered(&["--color", "never", "stop", "webu"]), "webui");
    assert_eq!(offered(&["stop", "x"]), "");
    assert!(offered(&["stop", "--"]).contains("--grace"));
    assert_eq!(offered(&["stop", "--color", ""]), "auto always never");
    assert!(!offered(&["unit", ""]).contains("webui") && !offered(&["--", "stop", "w"]).contains("webui"));
}

#[test]
fn fish_offers_names_where_a_name_can_be() {
    skip_unless!(has("fish"), "no fish");
    let (room, script) = completed("fish");
    let offered = |line: &str| {
        let text = format!("source {}; complete -C '{line}'", script.display());
        done(shell(&room, "fish").args(["--no-config", "-c", &text])).expect_code(0).stdout
    };
    for command in ["status", "stop", "restart", "logs", "fds", "forget"] {
        assert_eq!(offered(&format!("forerun {command} we")), "webby\nwebui\n");
    }
    assert!(!offered("forerun unit we").contains("webui"));
}

#[test]
fn zsh_offers_names_where_a_name_can_be() {
    skip_unless!(has("zsh"), "no zsh");
    let (room, script) = completed("zsh");
    let mut terminal = Terminal::open();
    terminal.resize(80);
    let mut command = shell(&room, "zsh");
    command.args(["-f", "-i"]).env("PS1", "first> ");
    let mut child = terminal.attach(&mut command).spawn().map(Killed).expect("spawned");
    terminal.watch();
    terminal.shows("first> ");
    let load = format!("autoload -U compinit; compinit -D -u; . {}; PS1='nex''t> '\n", script.display());
    terminal.type_in(load.as_bytes());
    terminal.shows("next> ");
    terminal.type_in(b"forerun stop \t\t");
    terminal.shows("webby");
    terminal.shows("webui");
    assert!(child.is_well());
}

#[test]
fn the_names_are_quick_and_silent() {
    let (room, _) = completed("bash");
    let names = ["completions", "--names"];
    room.run(&["stop", "webby"]).expect_code(0);
    // Its log can still be read.
    let done = room.run(&names).expect_code(0);
    assert_eq!((&*done.stdout, &*done.stderr), ("webby\nwebui\n", ""));
    let nowhere = done_in(room.forerun().env("FORERUN_STATE_DIR", "/dev/null"), &names);
    assert_eq!((&*nowhere.stdout, &*nowhere.stderr), ("", ""));
    room.run(&["completions", "bash", "--names"]).expect_code(2);
    let help = room.run(&["completions", "--help"]).expect_code(0).stdout;
    assert!(help.contains("--names"), "{help}");
}

fn done_in(command: &mut Command, args: &[&str]) -> Done {
    done(command.args(args)).expect_code(0)
}

#[test]
fn many_instances_are_looked_at_with_one_look_at_the_processes() {
    skip_unless!(has("strace"), "no strace");
    let room = Room::new();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = holder.local_addr().expect("an address").port();
    room.run(&["--detach", "--name", "a", "--port", "0", "--", "sleep", "300"]).expect_code(0);
    let mut others: Vec<_> = (0..60).map(|_| sleeper()).collect();
    let ours: Vec<_> = others.iter().map(Killed::pid).collect();
    // Records of what has ended: half of them with a port that somebody else has by now.
    let record = |at: u16| {
        let (mut record, name) = (room.record("a"), format!("r{at}"));
        let cookie =
            record["cookie"].as_str().and_then(|cookie| cookie.split_once('/')).expect("a cookie").1.to_owned();
        record["cookie"] = format!("{name}/{cookie}").into();
        record["process"]["start"] = 1.into();
        record["port"] = if at % 2 == 0 { port.into() } else { Value::Null };
        record["name"] = name.clone().into();
        std::fs::create_dir(room.state().join(&name)).expect("a folder");
        std::fs::write(room.state().join(name).join("record.json"), record.to_string()).expect("written");
    };
    let opens = || {
        let trace = room.path().join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=openat", "-o"]).arg(&trace);
        command.arg(room.forerun().get_program()).arg("status").env("FORERUN_STATE_DIR", room.state());
        let shown = done(command.current_dir(room.path())).expect_code(1).stdout;
        let trace = std::fs::read_to_string(trace).expect("a trace");
        // What it looks into of the processes that are there all the time. Others come and go meanwhile.
        let is_of = |line: &str| ours.iter().any(|pid| line.contains(&format!("\"/proc/{pid}/")));
        (shown, trace.lines().filter(|line| is_of(line)).count())
    };
    (0..3).for_each(record);
    let (shown, few) = opens();
    assert!(shown.contains("r2 ") && !shown.contains("r3 "), "{shown}");
    (3..30).for_each(record);
    let (shown, many) = opens();
    assert!(shown.contains("r29 "), "{shown}");
    assert!(others.iter_mut().all(Killed::is_well));
    // 27 more looks at 60 processes would be 1620 more.
    assert!(few > 60 && many <= few, "{few} files for 3 records, {many} for 30");
    drop(holder);
}

fn sleeper() -> Killed {
    Killed(Command::new("sleep").arg("300").stdin(Stdio::null()).spawn().expect("spawned"))
}
