//! examples/: the server runs, and the units are what forerun writes.
//!
//! `FORERUN_TEST_BLESS=1 cargo test --test docs units_of_the_examples` writes the units anew.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::User;
use sha2::{Digest, Sha256};

use crate::common::terminal::Terminal;
use crate::common::{Room, accepts, done, free_port, has, is_root};
use crate::place::{rust_environment, rustc_works};
use crate::{repository, skip_unless, text};

/// Where the units of examples/ are: their kind, what `forerun unit` is told, and their main file.
const UNITS: [(&str, &[&str], &str); 5] = [
    ("systemd", &["--system"], "hello.service"),
    ("launchd", &["--user"], "forerun.hello.plist"),
    ("supervisord", &["--system"], "hello.conf"),
    ("runit", &["--system", "--dir", "/etc/service"], "run"),
    ("s6", &["--system", "--dir", "/run/service"], "run"),
];
/// What these units say: forerun in /usr/local/bin, the service in /srv/hello, both used by 'me'.
const PROGRAM: &str = "/usr/local/bin/forerun";
const FOLDER: &str = "/srv/hello";
const USER: (&str, &str) = ("me", "/home/me");
/// A user that is not root, and runs what a test that is root must not.
const NOBODY: u32 = 65534;

/// A copy of examples/ with another port.
fn copy(room: &Room, folder: &str) -> (std::path::PathBuf, u16) {
    let (path, port) = (room.path().join(folder), free_port());
    fs::create_dir_all(&path).expect("a folder");
    for name in ["hello.rs", "start.sh", "forerun.toml"] {
        let there = path.join(name);
        fs::copy(repository("examples").join(name), &there).expect("copied");
        if name == "forerun.toml" {
            fs::write(&there, text("examples/forerun.toml").replace("8787", &port.to_string())).expect("written");
        }
    }
    (path, port)
}

/// forerun with what rustc needs of the caller's environment, and nothing else.
fn with_rust(room: &Room) -> Command {
    let mut command = room.forerun();
    command.envs(rust_environment()).env("HOME", room.path().join("home"));
    command
}

/// What the server answers.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn the_example_is_built_and_started_from_any_folder() {
    skip_unless!(rustc_works(), "no rustc");
    let room = Room::new();
    // A path with a blank, and a current folder that has nothing to do with it.
    let (folder, port) = copy(&room, "my examples");
    let file = folder.join("forerun.toml");
    let started = done(with_rust(&room).current_dir("/").arg("--config").arg(&file)).expect_code(0);
    assert!(started.stdout.starts_with(&format!("hello is ready at http://127.0.0.1:{port}\n")), "{}", started.stdout);
    assert!(get(port, "/").ends_with(&format!("\r\n\r\nhello from pid {}\n", room.record("hello")["process"]["pid"])));
    assert!(get(port, "/health").ends_with("\r\n\r\nok\n"));
    // The second time there is nothing to build, and nobody needs Rust.
    done(room.forerun().args(["stop", "hello"])).expect_code(0);
    assert!(!accepts(port));
    let terminal = Terminal::open();
    let mut again = room.forerun();
    again.env("PATH", "/nowhere").arg("--config").arg(&file);
    let again = done(terminal.control(&mut again)).expect_code(0);
    assert_eq!(again.stderr, "");
    done(room.forerun().args(["stop", "hello"])).expect_code(0);
}

#[test]
fn the_start_script_of_the_example_starts_it_too() {
    skip_unless!(rustc_works(), "no rustc");
    let room = Room::new();
    let (folder, port) = copy(&room, "examples");
    let binary = Path::new(env!("CARGO_BIN_EXE_forerun")).parent().expect("a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([binary].into_iter().chain(std::env::split_paths(&path))).expect("a PATH");
    let mut script = Command::new("sh");
    script.env_clear().envs(rust_environment()).env("FORERUN_STATE_DIR", room.state());
    script.env("PATH", path).current_dir("/").stdin(Stdio::null()).arg(folder.join("start.sh"));
    let started = done(&mut script).expect_code(0);
    assert!(started.stdout.contains(&format!("http://127.0.0.1:{port}\n")), "{}", started.stdout);
    assert!(text("examples/start.sh").contains("\nexec forerun"));
    done(room.forerun().args(["stop", "hello"])).expect_code(0);
}

#[test]
fn without_rust_the_example_says_what_to_install() {
    let room = Room::new();
    let (folder, _) = copy(&room, "examples");
    // A PATH that has what a shell needs, and no rustc.
    let mut start = room.forerun();
    start.env("PATH", "/nowhere").arg("--config").arg(folder.join("forerun.toml"));
    let failed = done(&mut start).expect_code(78);
    let last = failed.stderr.lines().last().unwrap_or_default();
    let parts = ["forerun: requirement 'file:", "its fix 'rustc ", "failed: ", "; install Rust: https://rustup.rs"];
    assert!(parts.iter().all(|part| last.contains(part)), "{}", failed.stderr);
}

/// A file of a unit: its name and its text.
type File = (String, String);

/// What `forerun unit` prints, taken apart again: the main file, then each of the others behind a line with its name.
fn files(printed: &str, main: &str) -> Vec<File> {
    let mut files = vec![(main.to_owned(), String::new())];
    for line in printed.split_inclusive('\n') {
        if let Some(path) = line.strip_prefix("# ==> ").and_then(|rest| rest.strip_suffix(" <==\n")) {
            // The blank line before it is not of the file.
            let text = &mut files.last_mut().expect("a file").1;
            text.truncate(text.len() - 1);
            // A file may be in a folder of the unit: `log/run`.
            files.push((path.rsplit("/hello/").next().expect("a name").to_owned(), String::new()));
        } else {
            files.last_mut().expect("a file").1 += line;
        }
    }
    files
}

/// The digest that is in the main file.
fn written(files: &[File]) -> String {
    let (_, rest) = files[0].1.split_once(" digest=").expect("a digest");
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

/// The digest that belongs there, which src/unit/marker.rs says how to make.
fn digest(files: &[File], is_folder: bool) -> String {
    let mut hash = Sha256::new();
    for (index, (name, text)) in files.iter().enumerate() {
        let text = if index == 0 { text.replacen(&written(files), &"0".repeat(32), 1) } else { text.clone() };
        hash.update(format!("{} {}\n", if is_folder { name } else { "" }, text.len()));
        hash.update(text);
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The unit of examples/ as forerun writes it here, with the names of another machine in it.
fn unit(room: &Room, kind: &str, words: &[&str], main: &str) -> Vec<File> {
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).expect("a folder for all");
    let (program, folder) = (room.path().join("forerun"), room.path().join("hello"));
    if !program.exists() {
        done(Command::new("cp").arg(env!("CARGO_BIN_EXE_forerun")).arg(&program)).expect_code(0);
        fs::create_dir(&folder).expect("a folder");
        fs::copy(repository("examples/forerun.toml"), folder.join("forerun.toml")).expect("copied");
    }
    let mut command = Command::new(&program);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir(room.path()).stdin(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let user = User::from_uid(if is_root() { NOBODY.into() } else { nix::unistd::geteuid() }).expect("a database");
    let user = user.expect("a user");
    let printed = done(command.args(["unit", kind, "--config", "hello/forerun.toml"]).args(words)).expect_code(0);
    let mut files = files(&printed.stdout, main);
    let is_folder = files.len() > 1;
    assert_eq!(digest(&files, is_folder), written(&files), "the digest is made in another way: {kind}");
    for (_, text) in &mut files {
        for (here, there) in [
            (program.to_str(), PROGRAM),
            (folder.to_str(), FOLDER),
            (user.dir.to_str().filter(|home| home.len() > 1), USER.1),
        ] {
            // In the marker a path is percent-encoded.
            for here in here.into_iter().flat_map(|here| [here.to_owned(), here.replace('-', "%2D")]) {
                *text = text.replace(&here, there);
            }
        }
        for word in ["user=", "User=", "USER=", "LOGNAME=", "chpst -u ", "s6-setuidgid ", "chown "] {
            *text = text.replace(&format!("{word}{}", user.name), &format!("{word}{}", USER.0));
        }
    }
    let (old, new) = (written(&files), digest(&files, is_folder));
    files[0].1 = files[0].1.replacen(&old, &new, 1);
    files
}

/// The names of all files below a folder.
fn names_in(folder: &Path, before: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let names = entries.map(|entry| (entry.path(), before.to_owned() + entry.file_name().to_str().expect("a name")));
    let below = |(path, name): (std::path::PathBuf, String)| match path.is_dir() {
        true => names_in(&path, &format!("{name}/")),
        false => vec![name],
    };
    names.flat_map(below).collect()
}

#[test]
fn units_of_the_examples_are_what_forerun_writes() {
    let room = Room::new();
    let blesses = std::env::var_os("FORERUN_TEST_BLESS").is_some();
    for (kind, words, main) in UNITS {
        let folder = repository("examples").join(kind);
        let files = unit(&room, kind, words, main);
        if blesses {
            fs::create_dir_all(&folder).expect("a folder");
        }
        for (name, text) in &files {
            let path = folder.join(name);
            if blesses {
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(&path, text).expect("written");
                let is_program = text.starts_with("#!");
                let mode = if is_program { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            }
            let there = fs::read_to_string(&path).unwrap_or_default();
            let how = "FORERUN_TEST_BLESS=1 cargo test --test docs units_of_the_examples";
            assert_eq!(&there, text, "{} is not what forerun writes; write it anew: {how}", path.display());
        }
        let mut names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
        let mut there = names_in(&folder, "");
        names.sort();
        there.sort();
        assert_eq!(names, there, "{kind}");
    }
}

#[test]
fn systemd_analyze_accepts_the_unit_of_the_example() {
    skip_unless!(has("systemd-analyze"), "no systemd-analyze");
    let room = Room::new();
    // It also looks whether the program is there.
    let program = room.path().join("forerun");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_forerun"), &program).expect("a symlink");
    let unit = text("examples/systemd/hello.service").replace(PROGRAM, program.to_str().expect("a path"));
    let path = room.file("forerun-example-hello.service", &unit);
    let said = done(Command::new("systemd-analyze").arg("verify").arg(&path).env("XDG_RUNTIME_DIR", room.path()));
    // It talks about other packages' units too.
    let about_ours: Vec<_> = said.stderr.lines().filter(|line| line.contains("forerun-example-hello")).collect();
    assert!(about_ours.is_empty(), "{about_ours:?}");
    // And it does find what is wrong.
    let path = room.file("forerun-example-hello.service", &unit.replace("Restart=always", "Restart=allways"));
    let said = done(Command::new("systemd-analyze").arg("verify").arg(path).env("XDG_RUNTIME_DIR", room.path()));
    assert!(said.stderr.contains("allways"), "{}", said.stderr);
}

/// launchd.plist(5): the types of the keys.
const TYPES: &str = "\
import plistlib, sys
job = plistlib.load(open(sys.argv[1], 'rb'))
limits = {'NumberOfFiles': 8192}, {'NumberOfFiles': 16384}
assert job['Label'] == 'forerun.hello'
assert job['ProgramArguments'] == [
    '/usr/local/bin/forerun', '--foreground', '--config', '/srv/hello/forerun.toml'], job['ProgramArguments']
assert job['KeepAlive'] is True
assert type(job['ThrottleInterval']) is int and type(job['ExitTimeOut']) is int
assert (job['SoftResourceLimits'], job['HardResourceLimits']) == limits
assert all(type(v) is str for v in job['EnvironmentVariables'].values())";

#[test]
fn the_plist_of_the_example_has_the_types_that_launchd_wants() {
    skip_unless!(has("python3"), "no python3");
    let plist = repository("examples/launchd/forerun.hello.plist");
    done(Command::new("python3").args(["-c", TYPES]).arg(plist)).expect_code(0);
}

#[test]
fn scripts_of_the_examples_are_shell_scripts() {
    for script in ["start.sh", "runit/run", "runit/finish", "s6/run", "s6/finish"] {
        let path = repository("examples").join(script);
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is not executable");
        done(Command::new("sh").arg("-n").arg(&path)).expect_code(0);
    }
}
