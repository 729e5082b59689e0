//! Foreground: the server finds what forerun was given, and nothing of forerun.
//!
//! The server is the `witness`, started with forerun and, to compare with, without.

mod common;

use std::ffi::{OsStr, OsString, c_int};
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use common::process::{self, in_own_session, prepared, send, with_copies, with_entries, with_plain_signals};
use common::terminal::Terminal;
use common::{
    Room, UNEXECUTABLE, accepts, alive, collect, eventually, fixture, free_port, holds_within, unexecutable, witness,
};

/// What a server of this test file leaves to be looked at. Killed when dropped.
struct Running {
    child: Child,
    pid: i32,
    /// What the witness saw from the inside.
    seen: String,
}

impl Running {
    /// Starts a command that ends up as a witness of `file`, and waits for it.
    #[track_caller]
    fn start(command: &mut Command, file: &Path) -> Self {
        let mut child = command.spawn().expect("spawned");
        let mut ended = None;
        let there = holds_within(common::DEADLINE, || {
            ended = child.try_wait().expect("waited");
            ended.is_some() || file.exists()
        });
        if ended.is_some() || !there {
            let _ = child.kill();
            let mut said = String::new();
            let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut said));
            panic!("it did not get to {}: {ended:?}\n{said}", file.display());
        }
        let seen = std::fs::read_to_string(file).expect("UTF-8");
        Running { pid: child.id() as i32, child, seen }
    }

    fn end(&mut self, signal: c_int) -> ExitStatus {
        send(self.pid, signal);
        self.child.wait().expect("waited")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `forerun --foreground OPTIONS -- witness FILE`, and the file.
fn in_foreground(room: &Room, options: &[&str]) -> (Command, PathBuf) {
    let file = room.path().join("seen");
    let _ = std::fs::remove_file(&file);
    let mut command = room.forerun();
    command.args(["--foreground", "--name", "web"]).args(options).arg("--").arg(witness()).arg(&file);
    quiet(&mut command);
    (command, file)
}

/// The same without forerun.
fn without(room: &Room) -> (Command, PathBuf) {
    let file = room.path().join("seen-without");
    let mut command = Command::new(witness());
    command.arg(&file).env_clear().current_dir(room.path());
    quiet(&mut command);
    (command, file)
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped())
}

/// Waits of every kind that hold at once.
fn waits(listener: &TcpListener) -> Vec<String> {
    let address = listener.local_addr().expect("an address");
    let mut options = Vec::new();
    for check in ["dir:/", "cmd:sh", "exec:true", "exec:sleep 0.1; exit 0", "fds:10", &format!("tcp:{address}")] {
        for kind in ["--require", "--wait"] {
            options.extend([kind.to_owned(), check.to_owned()]);
        }
    }
    options
}

/// The server with forerun, with forerun after waits, and without, each prepared in the same way.
fn alike(prepare: impl Fn() + Clone + Send + Sync + 'static, look: impl Fn(&Running) -> Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let waits = waits(&listener);
    let waits: Vec<_> = waits.iter().map(String::as_str).collect();
    let room = Room::new();
    let (mut command, file) = without(&room);
    let expected = look(&Running::start(prepared(&mut command, prepare.clone()), &file));
    for options in [&[][..], &waits] {
        let (mut command, file) = in_foreground(&room, options);
        let server = Running::start(prepared(&mut command, prepare.clone()), &file);
        assert_eq!(look(&server), expected, "with {options:?}");
    }
}

fn set_signal(signal: c_int, disposition: libc::sighandler_t) {
    // SAFETY: only the default and SIG_IGN are ever handed in.
    unsafe { libc::signal(signal, disposition) };
}

/// Blocks a signal, and sends it where it is to be found pending.
fn block(signal: c_int, pending: bool) {
    // SAFETY: the set is ours; the process is this one.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        if pending {
            libc::kill(libc::getpid(), signal);
        }
    }
}

fn signals(server: &Running) -> Vec<String> {
    let keys = ["SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"];
    keys.iter().map(|key| format!("{key} {}", process::status(server.pid, key))).collect()
}

#[test]
fn every_signal_is_as_it_came_when_sigpipe_was_default() {
    alike(|| set_signal(libc::SIGPIPE, libc::SIG_DFL), signals);
}

#[test]
fn every_signal_is_as_it_came_when_sigpipe_was_ignored() {
    alike(|| set_signal(libc::SIGPIPE, libc::SIG_IGN), signals);
}

#[test]
fn every_signal_is_as_it_came_below_nohup() {
    alike(|| set_signal(libc::SIGHUP, libc::SIG_IGN), signals);
}

#[test]
fn every_signal_is_as_it_came_when_many_were_ignored() {
    alike(
        || {
            let many = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR1, libc::SIGXFSZ];
            many.iter().for_each(|&signal| set_signal(signal, libc::SIG_IGN));
        },
        signals,
    );
}

#[test]
fn every_signal_is_as_it_came_when_sigterm_was_blocked() {
    alike(|| block(libc::SIGTERM, false), signals);
}

#[test]
fn a_signal_that_was_pending_reaches_the_server() {
    alike(
        || {
            block(libc::SIGTERM, true);
            block(libc::SIGPIPE, true);
            block(libc::SIGUSR2, true);
        },
        signals,
    );
}

#[test]
fn every_signal_is_as_it_came_when_the_end_of_a_child_was_blocked() {
    alike(|| block(libc::SIGCHLD, false), signals);
    alike(|| block(libc::SIGCHLD, true), signals);
}

#[test]
fn commands_are_judged_rightly_when_the_end_of_a_child_is_ignored() {
    let room = Room::new();
    let (mut command, _) = in_foreground(&room, &["--require", "exec:echo no >&2; exit 3"]);
    prepared(&mut command, || set_signal(libc::SIGCHLD, libc::SIG_IGN));
    common::done(&mut command).expect_code(78).expect_line(&["does not hold: no"]);
}

#[test]
fn limits_umask_niceness_and_all_else_are_as_they_came() {
    let prepare = || {
        let limit = |soft, hard| libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: integers, structs of ours and literals.
        unsafe {
            libc::umask(0o027);
            libc::nice(5);
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit(300, 400));
            libc::setrlimit(libc::RLIMIT_CORE, &limit(0, 4096));
            libc::setrlimit(libc::RLIMIT_STACK, &limit(4 << 20, 16 << 20));
            let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            libc::write(file, c"300".as_ptr().cast(), 3);
            libc::prctl(libc::PR_SET_TIMERSLACK, 123_456, 0, 0, 0);
            libc::chdir(c"/".as_ptr());
        }
    };
    alike(prepare, |server| {
        let pid = server.pid;
        let status = [
            "Umask",
            "PPid",
            "Uid",
            "Gid",
            "Groups",
            "Threads",
            "CapInh",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
            "Seccomp",
            "Cpus_allowed",
            "Mems_allowed",
        ];
        let mut all: Vec<_> = status.iter().map(|key| format!("{key} {}", process::status(pid, key))).collect();
        // Group, session, terminal, its foreground group, nice, timers, real-time priority, policy.
        all.extend([5, 6, 7, 8, 19, 21, 40, 41].map(|field| format!("{field} {}", process::stat(pid, field))));
        for file in ["limits", "oom_score_adj", "timerslack_ns", "personality", "coredump_filter", "comm"] {
            let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            all.push(format!("{file} {text}"));
        }
        for link in ["cwd", "root", "ns/pid", "ns/mnt", "ns/net"] {
            all.push(format!("{link} {:?}", std::fs::read_link(format!("/proc/{pid}/{link}"))));
        }
        all.push(server.seen.clone());
        all.push(format!("children {:?}", process::children(pid)));
        all
    });
}

#[test]
fn descriptors_are_those_inherited_whichever_of_the_first_three_are_closed() {
    let file = tempfile::tempfile().expect("a file");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (file, listener) = (process::out_of_the_way(&file), process::out_of_the_way(&listener));
    let (file_number, listener_number) = (file.as_raw_fd(), listener.as_raw_fd());
    for closed in 0..8 {
        let prepare = move || {
            // SAFETY: integers; the first two are open, the others may be.
            unsafe {
                libc::dup2(file_number, 17);
                libc::dup2(listener_number, 9);
                (0..3).filter(|number| closed & (1 << number) != 0).for_each(|number| {
                    libc::close(number);
                });
            }
        };
        alike(prepare, |server| {
            // The pipe that stderr is differs from one start to the next.
            let kind = |path: &Path| path.to_string_lossy().split('[').next().unwrap_or_default().to_owned();
            process::descriptors(server.pid).iter().map(|(number, path)| format!("{number} {}", kind(path))).collect()
        });
    }
}

#[test]
fn the_server_has_the_pid_parent_group_session_and_terminal_of_forerun() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["--wait", "exec:true"]);
    let terminal = Terminal::open();
    let server = Running::start(terminal.attach(&mut command), &file);
    let pid = i64::from(server.pid);
    assert_eq!(process::stat(server.pid, process::PARENT), i64::from(std::process::id()));
    assert_eq!(process::stat(server.pid, process::GROUP), pid);
    assert_eq!(process::stat(server.pid, process::SESSION), pid);
    assert_ne!(process::stat(server.pid, process::TERMINAL), 0);
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/exe")).expect("a program"), common::is(&witness()));

    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &[]);
    let server = Running::start(command.process_group(0), &file);
    assert_eq!(process::stat(server.pid, process::GROUP), i64::from(server.pid));
    assert_eq!(process::stat(server.pid, process::SESSION), process::stat(std::process::id() as i32, process::SESSION));
}

#[test]
fn the_key_that_interrupts_reaches_the_server_on_its_terminal() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["--wait", "exec:true"]);
    let mut terminal = Terminal::open();
    let mut server = Running::start(terminal.attach(with_plain_signals(&mut command)), &file);
    terminal.type_in(b"\x03");
    assert_eq!(server.child.wait().expect("waited").signal(), Some(libc::SIGINT));
}

#[test]
fn arguments_arrive_to_the_byte() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &[]);
    let hard =
        [&b""[..], b"a b", b"line\nline", b"\xff\xfe", b"--foreground", b"--", b"$HOME `id` 'x' \"y\"", b"\x01", b""];
    let server = Running::start(command.args(hard.iter().map(|a| OsStr::from_bytes(a))), &file);
    let program = witness();
    let mut expected = vec![program.as_os_str().as_bytes(), file.as_os_str().as_bytes()];
    expected.extend(hard);
    assert_eq!(process::strings(server.pid, "cmdline"), expected);
}

#[test]
fn a_command_found_on_the_path_keeps_the_name_that_it_was_called_by() {
    let room = Room::new();
    std::os::unix::fs::symlink(witness(), room.path().join("as-called")).expect("a link");
    let file = room.path().join("seen");
    let mut command = room.forerun();
    command.args(["--foreground", "--name", "web", "--", "as-called"]).arg(&file).env("PATH", room.path());
    let server = Running::start(quiet(&mut command), &file);
    assert_eq!(process::strings(server.pid, "cmdline")[0], b"as-called");
}

#[test]
fn neither_child_nor_thread_is_left_of_many_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let waits = waits(&listener);
    let mut options: Vec<_> = waits.iter().map(String::as_str).collect();
    for _ in 0..10 {
        options.extend(["--wait", "exec:sleep 0.05", "--require", "exec:true & true"]);
    }
    // It fails a few times before it holds.
    let room = Room::new();
    options.extend(["--wait", "exec:test -e second || { touch second; exit 1; }"]);
    let (mut command, file) = in_foreground(&room, &options);
    let server = Running::start(&mut command, &file);
    assert_eq!(process::children(server.pid), Vec::<i32>::new());
    assert_eq!(process::status(server.pid, "Threads"), "1");
}

/// `/bin/sh -c SCRIPT`, where `exec "$0" "$@"` is the command.
fn from_a_shell(room: &Room, script: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(script).arg(command.get_program()).args(command.get_args()).current_dir(room.path());
    shell.env_clear().env("FORERUN_STATE_DIR", room.state()).env("PATH", "/usr/bin:/bin");
    quiet(&mut shell);
    shell
}

#[test]
fn a_child_that_the_caller_had_is_still_the_servers() {
    let room = Room::new();
    let (command, file) = in_foreground(&room, &["--wait", "exec:true"]);
    let mut shell = from_a_shell(&room, r#"sleep 100 & echo $! > child; exec "$0" "$@""#, &command);
    let server = Running::start(&mut shell, &file);
    let child: i32 = std::fs::read_to_string(room.path().join("child")).expect("a pid").trim().parse().expect("a pid");
    assert!(alive(child));
    assert_eq!(process::children(server.pid), [child]);
}

/// Forks a child of what is then executed, which leaves a file and ends.
fn with_a_child_that_ends() {
    // SAFETY: the child calls the kernel and nothing else.
    unsafe {
        if libc::fork() == 0 {
            libc::poll(std::ptr::null_mut(), 0, 100);
            libc::close(libc::open(c"ended".as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o600));
            libc::_exit(0);
        }
    }
}

#[test]
fn a_child_of_the_callers_that_ended_is_left_for_the_server_to_ask_after() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["--wait", "exec:test -e ended && sleep 0.1"]);
    let server = Running::start(prepared(&mut command, with_a_child_that_ends), &file);
    assert_eq!(process::children(server.pid).len(), 1);
}

#[test]
fn a_child_of_the_callers_that_ended_is_gone_where_nobody_asks() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["--wait", "exec:test -e ended && sleep 0.1"]);
    prepared(&mut command, || set_signal(libc::SIGCHLD, libc::SIG_IGN));
    let server = Running::start(prepared(&mut command, with_a_child_that_ends), &file);
    eventually("it is gone", || process::children(server.pid).is_empty());
}

/// The socket on all of these descriptors, and nothing on the others but on the first three.
fn with_descriptors<'a>(command: &'a mut Command, socket: &TcpListener, numbers: &[i32]) -> &'a mut Command {
    prepared(command, || {
        (3..500).for_each(|number| {
            // SAFETY: integers; it need not be open.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        });
    });
    with_copies(command, socket, numbers)
}

/// Executes forerun with activation sockets, as systemd does: LISTEN_PID is its own pid.
fn activated(room: &Room, options: &[&str], sockets: &TcpListener, others: &[i32]) -> Running {
    let (command, file) = in_foreground(room, options);
    let mut shell = from_a_shell(room, r#"export LISTEN_PID=$$; exec "$0" "$@""#, &command);
    shell.envs([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "web:admin")]);
    let numbers: Vec<_> = [3, 4].iter().chain(others).copied().collect();
    with_descriptors(&mut shell, sockets, &numbers);
    Running::start(&mut shell, &file)
}

#[test]
fn activation_sockets_pass_and_their_variables_stay_true() {
    let room = Room::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    // The guarded port is held, by ourselves: it is not probed.
    let port = listener.local_addr().expect("an address").port().to_string();
    let server = activated(&room, &["--port", &port], &listener, &[9]);
    let variable = |name| process::variable(server.pid, name);
    assert_eq!(variable("LISTEN_PID"), Some(server.pid.to_string()));
    assert_eq!(variable("LISTEN_FDS").as_deref(), Some("2"));
    assert_eq!(variable("LISTEN_FDNAMES").as_deref(), Some("web:admin"));
    assert_eq!(process::descriptors(server.pid).into_keys().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 9]);
}

#[test]
fn close_fds_keeps_the_first_three_and_the_activation_sockets() {
    let room = Room::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let server = activated(&room, &["--close-fds", "--wait", "exec:true"], &listener, &[5, 9, 200]);
    assert_eq!(process::descriptors(server.pid).into_keys().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn close_fds_closes_activation_sockets_that_are_somebody_elses() {
    let room = Room::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (mut command, file) = in_foreground(&room, &["--close-fds"]);
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let server = Running::start(with_descriptors(&mut command, &listener, &[3, 7]), &file);
    assert_eq!(process::descriptors(server.pid).into_keys().collect::<Vec<_>>(), [0, 1, 2]);
}

/// A low hard limit that not even root may raise.
fn limited() {
    let limit = libc::rlimit { rlim_cur: 256, rlim_max: 512 };
    const CAP_SYS_RESOURCE: libc::c_ulong = 24;
    // SAFETY: a struct of ours, and integers. Without privileges there is nothing to drop.
    unsafe {
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0);
    }
}

fn nofile(server: &Running) -> String {
    let limits = String::from_utf8_lossy(&process::read(server.pid, "limits")).into_owned();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    line.split_whitespace().take(2).collect::<Vec<_>>().join(":")
}

#[test]
fn nofile_is_set_as_asked() {
    let room = Room::new();
    for (asked, got) in [("300", "300:512"), ("300:400", "300:400"), ("512:512", "512:512")] {
        let (mut command, file) = in_foreground(&room, &["--nofile", asked]);
        let mut server = Running::start(prepared(&mut command, limited), &file);
        assert_eq!(nofile(&server), got);
        server.end(libc::SIGKILL);
        let mut said = String::new();
        server.child.stderr.take().expect("stderr").read_to_string(&mut said).expect("UTF-8");
        assert_eq!(said, "");
    }
}

#[test]
fn nofile_is_clamped_to_what_is_allowed_with_a_warning() {
    let room = Room::new();
    for asked in ["4096", "4096:8192", "600:700"] {
        let (mut command, file) = in_foreground(&room, &["--nofile", asked]);
        let mut server = Running::start(prepared(&mut command, limited), &file);
        assert_eq!(nofile(&server), "512:512");
        server.end(libc::SIGKILL);
        let mut said = String::new();
        server.child.stderr.take().expect("stderr").read_to_string(&mut said).expect("UTF-8");
        assert!(said.starts_with("forerun: warning: --nofile") && said.contains("512:512"), "{said}");
    }
}

#[test]
fn nothing_is_ever_written_to_stdout() {
    let room = Room::new();
    std::fs::write(room.path().join("forerun.toml"), "[watch]\ninterval = \"10s\"\n").expect("written");
    for options in [
        &["-vv", "--json", "--wait", "exec:echo out; true"][..],
        &["-vv", "--json", "--wait", "exec:echo out; false", "--wait-timeout", "50ms"],
        &["--json", "--require", "exec:echo out; false"],
        &["--open", "--nofile", "99999999999:99999999999"],
    ] {
        let (mut command, file) = in_foreground(&room, options);
        let out = room.path().join("out");
        command.stdout(std::fs::File::create(&out).expect("a file"));
        let mut child = command.spawn().expect("spawned");
        eventually("started or failed", || file.exists() || child.try_wait().expect("waited").is_some());
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(std::fs::read_to_string(&out).expect("UTF-8"), "", "{options:?}");
    }
}

/// A cookie of the service: its name and 16 hex digits.
#[track_caller]
fn assert_cookie(entry: &[u8], name: &str) {
    let entry = String::from_utf8_lossy(entry);
    let digits = entry.strip_prefix(&format!("FORERUN_INSTANCE={name}/"));
    assert!(digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit())), "{entry}");
}

#[test]
fn the_environment_is_what_came_in_and_the_services_and_the_cookie() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["--env", "NEW=1=2", "--env", "B=nine", "--env", "A=once"]);
    let state = format!("FORERUN_STATE_DIR={}", room.state().display());
    let came = [
        &b"ZULU=1"[..],
        b"B=2",
        b"no pair",
        b"TWICE=1",
        b"=odd",
        b"TWICE=2",
        b"NEWER=\xff\n",
        b"EMPTY=",
        b"FORERUN_UNIT=/a.service",
        state.as_bytes(),
        b"A=2",
        b"FORERUN_FOREGROUND=0",
        b"A=3",
        b"LISTEN_ADDR=x",
        b"FORERUN_LOG=",
        b"",
    ];
    let server = Running::start(with_entries(&mut command, &came), &file);
    let mut found = process::strings(server.pid, "environ");
    assert_cookie(&found.pop().expect("a cookie"), "web");
    let expected = [
        &b"ZULU=1"[..],
        b"B=nine",
        b"no pair",
        b"TWICE=1",
        b"=odd",
        b"TWICE=2",
        b"NEWER=\xff\n",
        b"EMPTY=",
        state.as_bytes(),
        b"A=once",
        b"LISTEN_ADDR=x",
        b"FORERUN_LOG=",
        b"",
        b"NEW=1=2",
    ];
    let text = |list: &[&[u8]]| list.iter().map(|e| String::from_utf8_lossy(e).into_owned()).collect::<Vec<_>>();
    assert_eq!(text(&found.iter().map(Vec::as_slice).collect::<Vec<_>>()), text(&expected));
    assert_eq!(found, expected);
}

#[test]
fn an_empty_environment_gets_the_cookie_alone() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &[]);
    // Without FORERUN_STATE_DIR the record would go to this user's home: forerun is told where in another way.
    let home = room.state();
    let server = Running::start(
        with_entries(&mut command, &[format!("FORERUN_STATE_DIR={}", home.display()).as_bytes()]),
        &file,
    );
    let found = process::strings(server.pid, "environ");
    assert_eq!(found.len(), 2);
    assert_cookie(&found[1], "web");
}

#[test]
fn the_record_names_the_server_and_is_private() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["--port", "0", "--wait", "exec:true"]);
    // SAFETY: takes an integer.
    let server = Running::start(
        prepared(&mut command, || unsafe {
            libc::umask(0);
        }),
        &file,
    );
    let record = room.record("web");
    assert_eq!(record["process"]["pid"], server.pid);
    assert_eq!(record["process"]["start"], process::stat(server.pid, process::START));
    assert_eq!(
        (&record["name"], &record["phase"], &record["mode"]),
        (&"web".into(), &"running".into(), &"foreground".into())
    );
    assert_cookie(format!("FORERUN_INSTANCE={}", record["cookie"].as_str().expect("text")).as_bytes(), "web");
    assert_eq!(process::variable(server.pid, "FORERUN_INSTANCE").as_deref(), record["cookie"].as_str());
    let folder = room.state().join("web");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!((mode(&room.state()), mode(&folder)), (0o700, 0o700));
    for file in ["record.json", "lock"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

#[test]
fn neither_lock_nor_temporary_file_is_left_after_the_exec() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["--wait", "exec:true"]);
    let server = Running::start(&mut command, &file);
    let folder = room.state().join("web");
    let mut names: Vec<_> = std::fs::read_dir(&folder).expect("a folder").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "record.json"]);
    let lock = std::fs::File::open(folder.join("lock")).expect("a lock");
    // SAFETY: an open descriptor.
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }, 0);
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    assert!(!locks.lines().any(|line| line.split_whitespace().nth(4) == Some(&server.pid.to_string())), "{locks}");
}

#[test]
fn a_held_port_exits_75_and_names_who_holds_it() {
    let room = Room::new();
    let port = free_port();
    let mut stranger = Command::new(fixture());
    let mut stranger = stranger.args(["serve", &port.to_string()]).stdout(Stdio::null()).spawn().expect("spawned");
    eventually("the stranger listens", || accepts(port));
    for options in [
        vec!["--port".to_owned(), port.to_string()],
        vec!["--health".to_owned(), format!("http://127.0.0.1:{port}/health")],
        vec!["--health".to_owned(), format!("http://localhost:{port}/health")],
    ] {
        let options: Vec<_> = ["--on-conflict", "fail"].into_iter().chain(options.iter().map(String::as_str)).collect();
        let (mut command, file) = in_foreground(&room, &options);
        let done = common::done(&mut command).expect_code(75);
        let program: String = fixture().display().to_string().chars().take(60).collect();
        done.expect_line(&[&format!("port '{port}' is held by pid {} ({program}", stranger.id())]);
        assert!(!file.exists());
    }
    let _ = stranger.kill();
    let _ = stranger.wait();
}

#[test]
fn a_second_start_of_a_name_that_lives_exits_75() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &[]);
    let first = Running::start(&mut command, &file);
    let (mut again, _) = in_foreground(&room, &["--on-conflict", "fail"]);
    let done = common::done(&mut again).expect_code(75);
    done.expect_line(&["the name 'web' is held by", &format!("pid {}", first.pid)]);
    assert!(alive(first.pid));
    assert_eq!(room.record("web")["process"]["pid"], first.pid);
}

#[test]
fn twenty_starts_at_once_make_one_server() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["--on-conflict", "fail"]);
    let started: Vec<_> = (0..20).map(|_| command.spawn().expect("spawned")).collect();
    process::appears(&file);
    let server = room.record("web")["process"]["pid"].as_i64().expect("a pid");
    // The server is killed last: another would take its place.
    let (server, others): (Vec<_>, Vec<_>) = started.into_iter().partition(|child| i64::from(child.id()) == server);
    for other in others {
        assert_eq!(collect(other).status.code(), Some(75));
    }
    for mut server in server {
        assert!(server.try_wait().expect("waited").is_none());
        let _ = server.kill();
        let _ = server.wait();
    }
}

/// A start of another service of the name of one that lives: the command that differs, and who lives.
fn other_service(room: &Room) -> (Running, Command) {
    let (mut command, file) = in_foreground(room, &[]);
    let first = Running::start(&mut command, &file);
    let mut other = room.forerun();
    other.args(["--foreground", "--name", "web", "--"]).arg(fixture()).arg("other");
    (first, other)
}

#[test]
fn another_service_of_the_name_exits_78_when_supervised() {
    let room = Room::new();
    let (first, mut other) = other_service(&room);
    let done = common::done(in_own_session(&mut other)).expect_code(78);
    done.expect_line(&[&format!("pid {}", first.pid), "witness", "fixture other", "--name", "another command"]);
}

#[test]
fn another_service_of_the_name_exits_75_in_a_terminal() {
    let room = Room::new();
    let (first, mut other) = other_service(&room);
    let terminal = Terminal::open();
    let child = terminal.attach(&mut other).stderr(Stdio::piped()).spawn().expect("spawned");
    let output = collect(child);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{said}");
    for part in [&format!("pid {}", first.pid), "witness", "fixture other", "--name"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
}

#[test]
fn a_server_that_starts_itself_again_keeps_its_cookie() {
    let room = Room::new();
    let (command, file) = in_foreground(&room, &[]);
    let mut outer = room.forerun();
    let script = r#"printf %s "$FORERUN_INSTANCE" > first; exec "$0" "$@""#;
    outer.args(["--foreground", "--name", "web", "--", "/bin/sh", "-c", script]);
    outer.arg(command.get_program()).args(command.get_args());
    let server = Running::start(quiet(&mut outer), &file);
    let first = std::fs::read_to_string(room.path().join("first")).expect("a cookie");
    assert_cookie(format!("FORERUN_INSTANCE={first}").as_bytes(), "web");
    assert_eq!(process::variable(server.pid, "FORERUN_INSTANCE"), Some(first.clone()));
    assert_eq!(room.record("web")["cookie"], first.as_str());
    assert_eq!(room.record("web")["process"]["pid"], server.pid);
}

#[test]
fn a_server_below_another_gets_a_cookie_of_its_own() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &[]);
    command.env("FORERUN_INSTANCE", "outer/0123456789abcdef");
    let server = Running::start(&mut command, &file);
    let cookie = process::variable(server.pid, "FORERUN_INSTANCE").expect("a cookie");
    assert_cookie(format!("FORERUN_INSTANCE={cookie}").as_bytes(), "web");
}

#[test]
fn a_signal_during_a_wait_ends_forerun_by_that_signal() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let room = Room::new();
        let wait = format!("tcp:127.0.0.1:{}", free_port());
        let (mut command, _) = in_foreground(&room, &["--wait", &wait]);
        let mut child = with_plain_signals(&mut command).spawn().expect("spawned");
        eventually("the wait begins", || room.state().join("web/record.json").exists());
        send(child.id() as i32, signal);
        assert_eq!(child.wait().expect("waited").signal(), Some(signal));
        let folder = room.state().join("web");
        let names: Vec<_> = std::fs::read_dir(folder).expect("a folder").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["lock"]);
    }
}

#[test]
fn a_signal_during_a_wait_ends_forerun_by_it_when_the_file_asks_for_the_foreground() {
    let room = Room::new();
    let wait = format!("tcp:127.0.0.1:{}", free_port());
    room.file("forerun.toml", "name = \"web\"\nforeground = true\ncommand = \"true\"\n");
    let mut command = room.forerun();
    let mut child = with_plain_signals(quiet(command.args(["--wait", &wait]))).spawn().expect("spawned");
    eventually("the wait begins", || room.state().join("web/record.json").exists());
    send(child.id() as i32, libc::SIGTERM);
    assert_eq!(child.wait().expect("waited").signal(), Some(libc::SIGTERM));
}

#[test]
fn a_signal_during_a_command_leaves_nothing_of_the_command() {
    let room = Room::new();
    let (mut command, _) =
        in_foreground(&room, &["--wait", "exec:sleep 100 & echo $! $$ > pids.tmp; mv pids.tmp pids; wait"]);
    let mut child = with_plain_signals(&mut command).spawn().expect("spawned");
    let pids = process::appears(&room.path().join("pids"));
    send(child.id() as i32, libc::SIGTERM);
    assert_eq!(child.wait().expect("waited").signal(), Some(libc::SIGTERM));
    for pid in pids.split_whitespace() {
        let pid = pid.parse().expect("a pid");
        eventually("the command ends", || !alive(pid));
    }
}

#[test]
fn what_ignores_hangups_waits_on_through_one() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["--wait", "exec:touch tried; test -e go"]);
    prepared(&mut command, || set_signal(libc::SIGHUP, libc::SIG_IGN));
    let mut child = command.spawn().expect("spawned");
    eventually("the wait begins", || room.path().join("tried").exists());
    send(child.id() as i32, libc::SIGHUP);
    room.file("go", "");
    process::appears(&file);
    let _ = child.kill();
    assert_eq!(child.wait().expect("waited").signal(), Some(libc::SIGKILL));
}

/// Starts forerun over and over and sends SIGTERM a little later each time: it is always the end of it.
fn terminate_at_every_moment(options: &[&str]) {
    let room = Room::new();
    for round in 0..200 {
        let mut command = room.forerun();
        command
            .args(["--foreground", "--name", "web"])
            .args(options)
            .arg("--")
            .arg(witness())
            .arg(room.path().join("seen"));
        let mut child = with_plain_signals(quiet(&mut command)).stderr(Stdio::null()).spawn().expect("spawned");
        // Spinning, for the accuracy that a sleep does not have: from 0 to 5 ms.
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_micros(25 * round) {
            std::hint::spin_loop();
        }
        send(child.id() as i32, libc::SIGTERM);
        let mut status = None;
        let ended = holds_within(Duration::from_secs(10), || {
            status = child.try_wait().expect("waited");
            status.is_some()
        });
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
        }
        assert_eq!(status.and_then(|s| s.signal()), Some(libc::SIGTERM), "round {round}: {status:?}");
    }
}

#[test]
fn a_signal_at_the_last_moment_is_not_lost() {
    terminate_at_every_moment(&[]);
}

#[test]
fn a_signal_at_the_last_moment_of_a_wait_is_not_lost() {
    terminate_at_every_moment(&["--wait", "dir:/", "--nofile", "256"]);
}

#[test]
fn an_explicit_standby_takes_over_when_the_holder_ends() {
    let room = Room::new();
    let port = free_port();
    let mut stranger = Command::new(fixture());
    let mut stranger = stranger.args(["serve", &port.to_string()]).stdout(Stdio::null()).spawn().expect("spawned");
    eventually("the stranger listens", || accepts(port));
    let (mut command, file) = in_foreground(&room, &["--on-conflict", "standby", "--port", &port.to_string()]);
    let said = room.path().join("said");
    let mut child = command.stderr(std::fs::File::create(&said).expect("a file")).spawn().expect("spawned");
    let text = || std::fs::read_to_string(&said).expect("UTF-8");
    eventually("standby is said", || text().contains("standby"));
    assert!(text().contains(&format!("pid {}", stranger.id())), "{}", text());
    assert!(!file.exists());
    let _ = stranger.kill();
    let _ = stranger.wait();
    process::appears(&file);
    assert_eq!(std::fs::read_link(format!("/proc/{}/exe", child.id())).expect("a program"), common::is(&witness()));
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(text().lines().count(), 2, "{}", text());
}

#[test]
fn a_signal_ends_a_standby() {
    let room = Room::new();
    let holder = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = holder.local_addr().expect("an address").port().to_string();
    let (mut command, _) = in_foreground(&room, &["--on-conflict", "standby", "--port", &port]);
    let said = room.path().join("said");
    command.stderr(std::fs::File::create(&said).expect("a file"));
    let mut child = with_plain_signals(&mut command).spawn().expect("spawned");
    eventually("standby is said", || std::fs::read_to_string(&said).expect("UTF-8").contains("standby"));
    send(child.id() as i32, libc::SIGTERM);
    assert_eq!(child.wait().expect("waited").signal(), Some(libc::SIGTERM));
}

#[test]
fn a_command_that_cannot_be_executed_exits_126_or_127_and_leaves_no_record() {
    let room = Room::new();
    unexecutable(&room);
    for (command, code, part) in UNEXECUTABLE.into_iter().chain([("/", 126, "cannot execute '/'")]) {
        let done = room.run(&["--foreground", "--name", "web", "--", command]).expect_code(code);
        done.expect_line(&[part]);
        assert!(!room.state().join("web/record.json").exists(), "{command}");
        // A supervisor that was recognised is told that a restart cannot help.
        let mut supervised = room.forerun();
        supervised.env("INVOCATION_ID", "0123").args(["--foreground", "--name", "web", "--", command]);
        common::done(&mut supervised).expect_code(78);
    }
}

#[test]
fn a_state_folder_that_cannot_be_had_keeps_no_server_from_starting() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &[]);
    let blocked = room.file("blocked", "");
    let mut server = Running::start(command.env("FORERUN_STATE_DIR", &blocked), &file);
    server.end(libc::SIGKILL);
    let mut said = String::new();
    server.child.stderr.take().expect("stderr").read_to_string(&mut said).expect("UTF-8");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("forerun: warning: cannot use the state folder"), "{said}");
}

#[test]
fn a_stderr_that_nobody_reads_keeps_no_server_from_starting() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &["-v"]);
    prepared(&mut command, || set_signal(libc::SIGPIPE, libc::SIG_DFL));
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
    drop(read);
    let server = Running::start(command.stderr(write), &file);
    let ignored = u64::from_str_radix(&process::status(server.pid, "SigIgn"), 16).expect("a mask");
    assert_eq!(ignored & (1 << (libc::SIGPIPE - 1)), 0);
}

#[test]
fn a_limit_of_file_sizes_keeps_no_server_from_starting() {
    let room = Room::new();
    let mut command = room.forerun();
    command.args(["--foreground", "--name", "web", "--", "sleep", "100"]);
    prepared(quiet(&mut command), || {
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a struct of ours, and a valid disposition.
        unsafe {
            libc::setrlimit(libc::RLIMIT_FSIZE, &limit);
            libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
        }
    });
    let mut child = command.spawn().expect("spawned");
    let name = || std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap_or_default();
    let started = holds_within(common::DEADLINE, || name() != "forerun\n");
    assert!(started && name() == "sleep\n", "{:?}", child.try_wait());
    let _ = child.kill();
    let output = collect(child);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("warning: cannot write the record") && said.lines().count() == 1, "{said}");
    assert_eq!(std::fs::read_dir(room.state().join("web")).expect("a folder").count(), 1);
}

#[test]
fn the_record_of_a_server_that_is_gone_is_replaced() {
    let room = Room::new();
    let (mut command, file) = in_foreground(&room, &[]);
    let mut first = Running::start(&mut command, &file);
    first.end(libc::SIGKILL);
    let (mut command, file) = in_foreground(&room, &[]);
    let second = Running::start(&mut command, &file);
    assert_eq!(room.record("web")["process"]["pid"], second.pid);
}

#[test]
fn the_folder_that_the_server_runs_in_is_the_one_asked_for() {
    let room = Room::new();
    let odd = room.path().join(OsString::from_vec(b"folder \xff\n".to_vec()));
    std::fs::create_dir(&odd).expect("a folder");
    let (mut command, file) = in_foreground(&room, &[]);
    let args: Vec<_> = command.get_args().map(OsStr::to_owned).collect();
    command = room.forerun();
    command.arg("--cwd").arg(&odd).args(args);
    let server = Running::start(quiet(&mut command), &file);
    let cwd = std::fs::metadata(format!("/proc/{}/cwd", server.pid)).expect("a folder");
    assert_eq!(cwd.ino(), std::fs::metadata(&odd).expect("a folder").ino());
}
