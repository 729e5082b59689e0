//! What all tests share: a scrubbed environment, deadlines instead of sleeps, and skips that are seen.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod process;
mod start;
pub mod terminal;

use std::ffi::OsStr;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longer than anything here should take on a loaded machine with two cores.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A folder of its own for each test, which is removed with what was started in it.
pub struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("forerun-test.").tempdir().expect("a temporary folder");
        Room { folder }
    }

    /// One whose path has the same length in every run.
    pub fn of_known_length() -> Self {
        Room { folder: tempfile::Builder::new().prefix("room.").rand_bytes(6).tempdir_in("/tmp").expect("a folder") }
    }

    /// One that is not below /tmp, which some services have to themselves.
    pub fn outside_tmp() -> Self {
        let mut builder = tempfile::Builder::new();
        let folder =
            builder.prefix("forerun-test.").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
        Room { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Env-files that together are more than any execve takes, though none of them is.
    pub fn large_files(&self) -> Vec<String> {
        let names: Vec<_> = (0..8).map(|file| format!("large{file}")).collect();
        for name in &names {
            let variables: Vec<_> = (0..9).map(|n| format!("{name}_{n}='{}'\n", "x".repeat(100_000))).collect();
            self.file(name, &variables.concat());
        }
        names
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// The built binary with nothing of the caller's environment, in this folder, without a terminal for stdin.
    pub fn forerun(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forerun"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("FORERUN_STATE_DIR", self.state()).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs forerun to its end.
    pub fn run(&self, args: &[impl AsRef<OsStr>]) -> Done {
        done(self.forerun().args(args))
    }

    /// A program of this text. Another process writes it: a descriptor of ours that a fork of another test
    /// has for a moment would make it "text file busy".
    pub fn executable(&self, name: &str, text: &str) -> PathBuf {
        let (text, path) = (self.file(&format!("{name}.text"), text), self.path().join(name));
        done(Command::new("cp").args([&text, &path])).expect_code(0);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        path
    }

    /// The fixture under another name, which is what a process that runs it is called.
    pub fn fixture_called(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::os::unix::fs::symlink(fixture(), &path).expect("a symlink");
        path
    }

    /// What a start would do, as JSON.
    #[track_caller]
    pub fn plan(&self, command: &mut Command) -> serde_json::Value {
        let plan = done(command.args(["--dry-run", "--json", "--", "true"])).expect_code(0);
        serde_json::from_str(&plan.stdout).expect("JSON")
    }

    /// The record of a service, as JSON text.
    pub fn record(&self, name: &str) -> serde_json::Value {
        let text = std::fs::read(self.state().join(name).join("record.json")).expect("a record");
        serde_json::from_slice(&text).expect("JSON")
    }
}

impl Drop for Room {
    /// Kills what carries a cookie and our state folder: servers that a failed test left.
    fn drop(&mut self) {
        let ours = format!("FORERUN_STATE_DIR={}", self.state().display());
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.split(|&b| b == 0).any(|e| e == ours.as_bytes()) {
                // SAFETY: the process has the name of this test's folder in its environment.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
    }
}

/// What a finished command left.
pub struct Done {
    pub status: ExitStatus,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Done {
    /// Asserts on the exit code, and shows everything where it is another.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{:?}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr);
        self
    }

    /// Asserts that stderr is one line and has all of `parts`.
    #[track_caller]
    pub fn expect_line(self, parts: &[&str]) -> Self {
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.expect_stderr(parts)
    }

    #[track_caller]
    pub fn expect_stderr(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in: {}", self.stderr);
        }
        self
    }
}

/// Runs a command to its end, with a deadline.
#[track_caller]
pub fn done(command: &mut Command) -> Done {
    let begun = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    let Output { status, stdout, stderr } = collect(child);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Done { status, code: status.code(), stdout: text(stdout), stderr: text(stderr), took: begun.elapsed() }
}

/// Waits for a child and what it prints. A child that does not end is killed, and fails the test.
#[track_caller]
pub fn collect(mut child: Child) -> Output {
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let stdout = read(child.stdout.take().map(|p| Box::new(p) as Box<dyn Read + Send>));
    let stderr = read(child.stderr.take().map(|p| Box::new(p) as Box<dyn Read + Send>));
    let mut status = None;
    let ended = holds_within(DEADLINE, || {
        status = child.try_wait().expect("waited");
        status.is_some()
    });
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        panic!("it did not end; stderr: {}", String::from_utf8_lossy(&stderr.join().expect("joined")));
    }
    let status = status.expect("a status");
    Output { status, stdout: stdout.join().expect("joined"), stderr: stderr.join().expect("joined") }
}

/// Polls until `condition` holds, at most for `limit`.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Polls until `condition` holds; fails the test where it does not.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(DEADLINE, condition), "never: {what}");
}

/// A TCP port that is free now, and that no other test gets, of this process or another.
pub fn free_port() -> u16 {
    static MINE: Mutex<Option<Ports>> = Mutex::new(None);
    let mut mine = MINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    loop {
        while let Some(port) = mine.as_mut().and_then(|ports| ports.range.next()) {
            // std's listeners would take one with connections in TIME_WAIT, which not every server does. Not every
            // machine has IPv6.
            let in_use = |address: std::net::IpAddr| {
                let socket = socket2::Socket::new(
                    socket2::Domain::for_address((address, port).into()),
                    socket2::Type::STREAM,
                    None,
                );
                let bound = socket.and_then(|socket| socket.bind(&std::net::SocketAddr::from((address, port)).into()));
                bound.is_err_and(|e| e.kind() == ErrorKind::AddrInUse)
            };
            if !in_use(std::net::Ipv4Addr::UNSPECIFIED.into()) && !in_use(std::net::Ipv6Addr::UNSPECIFIED.into()) {
                return port;
            }
        }
        // Those before stay ours: their tests may run yet.
        std::mem::forget(mine.replace(Ports::take()));
    }
}

/// Ports that are this process's until it ends.
struct Ports {
    range: std::ops::Range<u16>,
    _held: UnixDatagram,
}

impl Ports {
    /// Below the ephemeral range, so that no client gets one of them. Who has the abstract address has the ports: it
    /// is seen just where they are, whoever runs the tests, and is free again when its process ends in any way.
    fn take() -> Self {
        let mut bytes = [0; 2];
        std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes)).expect("random bytes");
        let block = |at: u16| 10_000 + (at % 1000) * 20;
        (0..1000)
            .map(|at| block(u16::from_ne_bytes(bytes) % 1000 + at))
            .find_map(|first| {
                let address =
                    SocketAddr::from_abstract_name(format!("forerun-test-ports-{first}")).expect("an address");
                Some(Ports { range: first..first + 20, _held: UnixDatagram::bind_addr(&address).ok()? })
            })
            .expect("no free ports")
    }
}

/// What a server answers: with `--answer-pid` the pid of who listens.
pub fn answer(port: u16) -> Option<i32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n")?.1.parse().ok()
}

/// Everything that still runs of what this room started, and shows its environment.
pub fn left(room: &Room) -> Vec<i32> {
    process::with_entry(&format!("FORERUN_STATE_DIR={}", room.state().display()))
}

pub fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The fixture program.
pub fn fixture() -> PathBuf {
    example("fixture")
}

/// The program that changes nothing of what it was started with.
pub fn witness() -> PathBuf {
    example("witness")
}

/// A program of examples/ or of the tests, as cargo built it.
pub fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("our own path");
    let path = tests.ancestors().nth(2).expect("target/debug").join("examples").join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --examples`", path.display());
    plain(path)
}

/// forerun as a word of a unit and of a script.
pub struct Forerun;

impl std::fmt::Display for Forerun {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        plain(env!("CARGO_BIN_EXE_forerun").into()).display().fmt(to)
    }
}

/// A path to the same program that every shell, unit and message has as one word, wherever the tests were built.
fn plain(program: PathBuf) -> PathBuf {
    if is_plain(program.as_os_str()) {
        return program;
    }
    // The folder is for this user and this build, and stays: the next run finds it there.
    let mut hash = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(&program, &mut hash);
    // SAFETY: takes nothing.
    let user = unsafe { libc::geteuid() };
    let name = format!("forerun-test-programs.{user}.{:x}", std::hash::Hasher::finish(&hash));
    let link = std::env::temp_dir().join(name).join(program.file_name().expect("a name"));
    let _ = std::fs::create_dir(link.parent().expect("a folder"));
    let _ = std::os::unix::fs::symlink(&program, &link);
    assert_eq!(std::fs::read_link(&link).ok(), Some(program));
    link
}

/// The file that a path leads to, as /proc/PID/exe has it.
pub fn is(program: &Path) -> PathBuf {
    program.canonicalize().expect("a path")
}

/// Whether it is one word, without quotes, to whoever reads it.
pub fn is_plain(text: &OsStr) -> bool {
    text.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(b))
}

/// A process that still runs (a zombie does not).
pub fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

/// Skips a test, out loud; fails it where FORERUN_TEST_REQUIRE=all (as in CI).
#[macro_export]
macro_rules! skip_unless {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            let why = format!($($why)+);
            assert!(std::env::var_os("FORERUN_TEST_REQUIRE").is_none(), "cannot run here: {why}");
            // The test harness captures eprintln!; this line is seen in any case.
            let line = format!("skipped {}: {why}\n", std::thread::current().name().unwrap_or("a test"));
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
            return;
        }
    };
}

/// Whether a program is on the PATH.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A program on the PATH, or where systems keep those that users do not call.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let further = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(further).chain(versions.map(|version| version.path().join("bin")));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A path of ours, as a word.
pub fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Whether another boot is certainly one of this machine.
pub fn has_machine_id() -> bool {
    std::fs::read_to_string("/etc/machine-id").is_ok_and(|id| !id.trim().is_empty())
}

pub fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Sends a signal to a process that this test started.
pub fn signal(pid: u32, signal: i32) {
    // SAFETY: kill takes two integers; the process is ours and was not reaped yet.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Runs a command to its end in a session whose controlling terminal is its stdin and stderr.
#[track_caller]
pub fn done_on_terminal(command: &mut Command) -> Done {
    let begun = Instant::now();
    let nix::pty::OpenptyResult { master, slave } = nix::pty::openpty(None, None).expect("a pseudo-terminal");
    for end in [&master, &slave] {
        let close = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
        nix::fcntl::fcntl(end, close).expect("close-on-exec");
    }
    command.stdin(slave.try_clone().expect("a descriptor")).stdout(Stdio::piped()).stderr(slave);
    // SAFETY: setsid and ioctl are async-signal-safe; descriptor 0 is the terminal by then.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
            Ok(())
        });
    }
    let child = command.spawn().expect("spawned");
    // The terminal's other end is ours until the command is dropped: without it there is no end to read.
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let shown = std::thread::spawn(move || read_terminal(master));
    let Output { status, stdout, .. } = collect(child);
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let stderr = shown.join().expect("joined");
    Done { status, code: status.code(), stdout, stderr, took: begun.elapsed() }
}

/// What a terminal showed: reading fails once nobody has its other end.
fn read_terminal(master: OwnedFd) -> String {
    let (mut file, mut shown) = (std::fs::File::from(master), Vec::new());
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = file.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8_lossy(&shown).into_owned()
}

/// The service manager's end of NOTIFY_SOCKET.
pub struct Manager {
    socket: UnixDatagram,
    pub path: PathBuf,
}

impl Manager {
    pub fn new(room: &Room) -> Self {
        let path = room.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        Manager { socket, path }
    }

    /// The next message, at most `limit` from now.
    pub fn message(&self, limit: Duration) -> Option<String> {
        let mut bytes = [0; 4096];
        self.socket.set_read_timeout(Some(limit)).expect("a timeout");
        let count = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }
}

/// A tiny HTTP server in the test itself. It gives every request the same answer and remembers them all.
pub struct Web {
    pub port: u16,
    requests: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Web {
    /// `head`: the status line and what headers there are, without the one for the length.
    pub fn new(head: &str, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let requests = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let seen = std::sync::Arc::clone(&requests);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = Vec::new();
                let mut bytes = [0; 1024];
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut bytes) {
                        Ok(count @ 1..) => request.extend_from_slice(&bytes[..count]),
                        _ => break,
                    }
                }
                seen.lock().expect("unpoisoned").push(String::from_utf8_lossy(&request).into_owned());
                let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
            }
        });
        Web { port, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("unpoisoned").clone()
    }
}

/// A child that is killed and reaped in the end.
pub struct Killed(pub Child);

impl Killed {
    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Whether nobody has ended it.
    pub fn is_well(&mut self) -> bool {
        self.0.try_wait().expect("waited").is_none()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Commands that cannot be executed, with the exit code and a part of the reason. [`unexecutable`] makes the files.
pub const UNEXECUTABLE: [(&str, i32, &str); 5] = [
    ("./nothing", 127, "cannot execute './nothing': No such file"),
    ("nothing-of-this-name", 127, "not found in PATH"),
    ("./plain", 126, "cannot execute './plain': Permission denied"),
    ("./text", 126, "Exec format error"),
    ("./script", 127, "interpreter"),
];

/// Files that cannot be executed: without the x bit, without a format, without their interpreter.
pub fn unexecutable(room: &Room) {
    for (name, text) in [("text", "no program\n"), ("script", "#!/nonexistent/sh\n")] {
        let file = room.file(name, text);
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).expect("set");
    }
    room.file("plain", "");
}
