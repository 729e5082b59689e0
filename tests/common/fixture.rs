//! A tiny server for the tests, which run on machines with nothing but Rust.
//!
//!     fixture serve PORT [OPTION]...   answers HTTP on 127.0.0.1:PORT until it is killed
//!         --after MS       listens only then
//!         --when FILE      listens only when FILE is there
//!         --sick FILE      answers with status 500 while FILE is there
//!         --status N       answers with this status (200)
//!         --body TEXT      and this body ("ok")
//!         --answer-pid     or its own pid
//!         --workers N      forks N workers that sleep
//!         --in-sessions    these in sessions of their own
//!         --prefork N      forks N workers once it listens: they hold the port too
//!         --overwrite      overwrites its environment first, as servers do that show their state in `ps`
//!         --escape FILE    leaves a process of its own session behind, whose parent is gone; its pid is in FILE
//!         --escape-listening FILE   the same once it listens, as a fork of the server: that process holds the port too
//!         --log-requests   writes two lines for each request to stdout, as http.server of Python does
//!         --lines N        writes N lines of 1 KiB to stdout first
//!         --run FILE       runs the shell script FILE as soon as it is there, on a terminal that it serves
//!         --run-in PLACE   or in: session, group, here (none of its own), worker (a forked one, which holds the port too)
//!         --kills N        when it gets SIGTERM it sends signal N to the group of that script before it ends
//!         --background     puts itself into the background first, as old daemons do
//!         --no-reuse       binds without SO_REUSEADDR
//!         --ignore-term    ignores SIGTERM
//!         --leak FILE      does what FILE says as soon as it is there, and removes it, over and over; a line each:
//!                          files N PATH, ptys N, workers N, zombies N (which nobody reaps), close (the files and ptys)
//!     fixture describe FILE [ms]       writes what it was started with to FILE, then sleeps (300 s)
//!     fixture run COMMAND [ARG]...     runs it as a child, with its exit code: a parent of any name
//!
//! `serve` prints "listening <unix nanoseconds>" to stdout when it listens.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime};

pub fn main() {
    let args: Vec<_> = std::env::args_os().collect();
    let words: Vec<_> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    match words.get(1).map(String::as_str) {
        Some("serve") => serve(&words[2..]),
        Some("describe") => describe(&words[2], words.get(3).and_then(|w| w.parse().ok()).unwrap_or(300_000)),
        Some("run") => {
            let status = Command::new(&args[2]).args(&args[3..]).status().expect("run");
            std::process::exit(status.code().unwrap_or(99));
        }
        _ => std::process::exit(64),
    }
}

fn serve(words: &[String]) {
    let port: u16 = words[0].parse().expect("a port");
    let value = |name: &str| words.iter().position(|w| w == name).map(|at| words[at + 1].as_str());
    let number = |name: &str| value(name).map_or(0, |n| n.parse().expect("a number"));
    let has = |name: &str| words.iter().any(|w| w == name);
    if has("--overwrite") {
        overwrite_environment();
    }
    if has("--ignore-term") {
        // SAFETY: SIG_IGN is a valid disposition.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    }
    if has("--background") {
        // SAFETY: there is one thread.
        if unsafe { libc::fork() } > 0 {
            std::process::exit(0);
        }
        // SAFETY: setsid takes nothing.
        unsafe { libc::setsid() };
    }
    fork_workers(number("--workers"), has("--in-sessions"));
    value("--escape").into_iter().for_each(|file| escape(file, true));
    (0..number("--lines")).for_each(|at| println!("{at:01023}"));
    std::thread::sleep(Duration::from_millis(number("--after")));
    while value("--when").is_some_and(|file| !Path::new(file).exists()) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let healthy = value("--status").unwrap_or("200");
    let pid = has("--answer-pid").then(|| std::process::id().to_string());
    let body = pid.as_deref().or(value("--body")).unwrap_or("ok");
    let bound = if has("--no-reuse") { bind_alone(port) } else { TcpListener::bind(("127.0.0.1", port)) };
    let listener = match bound {
        Ok(listener) => listener,
        Err(e) => {
            eprintln!("cannot bind port {port}: {e}");
            std::process::exit(98);
        }
    };
    fork_workers(number("--prefork"), has("--in-sessions"));
    value("--escape-listening").into_iter().for_each(|file| escape(file, false));
    if let Some(script) = value("--run").map(PathBuf::from) {
        let place = value("--run-in").unwrap_or("terminal").to_owned();
        KILLS.store(number("--kills") as i32, Ordering::SeqCst);
        if has("--kills") {
            // SAFETY: the handler is async-signal-safe.
            unsafe { libc::signal(libc::SIGTERM, on_term as *const () as libc::sighandler_t) };
        }
        // SAFETY: there is one thread.
        let is_worker = place == "worker" && unsafe { libc::fork() } == 0;
        if is_worker {
            run_script(&script, "here");
        } else if place != "worker" {
            std::thread::spawn(move || run_script(&script, &place));
        }
    }
    if let Some(file) = value("--leak").map(PathBuf::from) {
        std::thread::spawn(move || leak(&file));
    }
    println!("listening {}", SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_nanos());
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap_or_default();
        let is_sick = value("--sick").is_some_and(|file| Path::new(file).exists());
        let status = if is_sick { "500" } else { healthy };
        if has("--log-requests") {
            let request = String::from_utf8_lossy(&request[..length]);
            let seconds = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
            println!("127.0.0.1 - - [{seconds}] code {status}, message X");
            println!("127.0.0.1 - - [{seconds}] \"{}\" {status} -", request.lines().next().unwrap_or_default());
        }
        let answer =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// std sets SO_REUSEADDR.
fn bind_alone(port: u16) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(16)?;
    Ok(socket.into())
}

fn fork_workers(count: u64, in_sessions: bool) {
    for _ in 0..count {
        // SAFETY: there is one thread.
        if unsafe { libc::fork() } == 0 {
            if in_sessions {
                // SAFETY: setsid takes nothing.
                unsafe { libc::setsid() };
            }
            sleep_on();
        }
    }
}

fn sleep_on() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Opens and forks as told.
fn leak(file: &Path) {
    let mut open = Vec::<OwnedFd>::new();
    loop {
        std::thread::sleep(Duration::from_millis(2));
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let times = 0..words.get(1).map_or(0, |n| n.parse().expect("a number"));
            let device = |path: &str| OwnedFd::from(std::fs::File::options().read(true).open(path).expect("opened"));
            match words[0] {
                "files" => open.extend(times.map(|_| device(words[2]))),
                "ptys" => open.extend(times.map(|_| device("/dev/ptmx"))),
                "workers" => fork_workers(times.end, false),
                "zombies" => times.for_each(|_| {
                    // SAFETY: the child calls nothing but _exit.
                    unsafe {
                        if libc::fork() == 0 {
                            libc::_exit(0);
                        }
                    }
                }),
                _ => open.clear(),
            }
        }
        std::fs::remove_file(file).expect("removed");
    }
}

/// Two forks with a session between them. Returns once the process is there; a program of its own writes the file.
fn escape(file: &str, is_program: bool) {
    // SAFETY: there is one thread.
    let between = unsafe { libc::fork() };
    if between > 0 {
        // SAFETY: a null pointer is for a status that nobody wants.
        unsafe { libc::waitpid(between, std::ptr::null_mut(), 0) };
        return;
    }
    // SAFETY: setsid takes nothing; there is one thread.
    unsafe {
        libc::setsid();
        let left = libc::fork();
        if left > 0 {
            if !is_program {
                write_whole(file, &left.to_string());
            }
            libc::_exit(0);
        }
    }
    if is_program {
        let script = "echo $$ >\"$1.new\" && mv \"$1.new\" \"$1\" && exec sleep 3600";
        let error = Command::new("/bin/sh").args(["-c", script, "sh", file]).exec();
        panic!("{error}");
    }
    sleep_on();
}

/// The strings that /proc/PID/environ shows, and the variables of what we start.
fn overwrite_environment() {
    unsafe extern "C" {
        static environ: *const *mut libc::c_char;
    }
    // SAFETY: there is one thread, which reads no variable from here on; the strings are ours to write.
    unsafe {
        let mut entry = environ;
        while !(*entry).is_null() {
            libc::memset((*entry).cast(), i32::from(b'x'), libc::strlen(*entry));
            entry = entry.add(1);
        }
    }
}

/// The signal for the script's process group, and the group.
static KILLS: AtomicI32 = AtomicI32::new(0);
static GROUP: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_term(_: libc::c_int) {
    let (group, signal) = (GROUP.load(Ordering::SeqCst), KILLS.load(Ordering::SeqCst));
    // SAFETY: both are async-signal-safe; the group is of a child of ours that was not reaped.
    unsafe {
        if group > 0 {
            libc::kill(-group, signal);
        }
        libc::_exit(0);
    }
}

/// Runs a script once it is there; its terminal ends with us.
fn run_script(file: &Path, place: &str) {
    while !file.exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut command = Command::new("/bin/sh");
    command.arg(file);
    let mut near = None;
    if place == "terminal" {
        let (mut ends, null) = ([0; 2], std::ptr::null_mut());
        // SAFETY: the numbers are written to variables of ours; null pointers are for what nobody wants.
        let opened = unsafe { libc::openpty(&mut ends[0], &mut ends[1], null, null.cast(), null.cast()) };
        assert_eq!(opened, 0);
        // SAFETY: both are new, and of nobody else.
        let (master, far) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: integers.
        unsafe { libc::fcntl(master.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        let copy = || Stdio::from(far.try_clone().expect("a descriptor"));
        command.stdin(copy()).stdout(copy()).stderr(copy());
        near = Some(std::fs::File::from(master));
    }
    let (own_session, on_terminal) = (place == "terminal" || place == "session", place == "terminal");
    if place == "group" {
        command.process_group(0);
    }
    // SAFETY: both are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            if own_session {
                libc::setsid();
            }
            if on_terminal {
                libc::ioctl(0, libc::TIOCSCTTY, 0);
            }
            Ok(())
        });
    }
    let mut child = command.spawn().expect("spawned");
    drop(command);
    // Its number is that of its group, unless it has none of its own.
    GROUP.store(if place == "here" { 0 } else { child.id() as i32 }, Ordering::SeqCst);
    let mut bytes = [0; 4096];
    while near.as_mut().is_some_and(|near| near.read(&mut bytes).is_ok_and(|count| count > 0)) {}
    let _ = child.wait();
    GROUP.store(0, Ordering::SeqCst);
    // The terminal is served to our end.
    sleep_on();
}

fn write_whole(file: &str, text: &str) {
    let temporary = format!("{file}.tmp");
    std::fs::write(&temporary, text).expect("written");
    std::fs::rename(&temporary, file).expect("renamed");
}

/// One `key value` a line, values escaped as Rust does.
fn describe(file: &str, millis: u64) {
    let mut text = String::new();
    let mut line = |key: &str, value: &[u8]| text += &format!("{key} {}\n", value.escape_ascii());
    line("pid", std::process::id().to_string().as_bytes());
    line("ppid", std::os::unix::process::parent_id().to_string().as_bytes());
    // SAFETY: both take integers.
    let (group, session) = unsafe { (libc::getpgrp(), libc::getsid(0)) };
    line("group", group.to_string().as_bytes());
    line("session", session.to_string().as_bytes());
    for arg in std::env::args_os() {
        line("arg", arg.as_bytes());
    }
    for (name, value) in std::env::vars_os() {
        line("env", &[name.as_bytes(), b"=", value.as_bytes()].concat());
    }
    if let Ok(cwd) = std::env::current_dir() {
        line("cwd", cwd.as_os_str().as_bytes());
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is ours.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    line("nofile", format!("{}:{}", limit.rlim_cur, limit.rlim_max).as_bytes());
    write_whole(file, &text);
    std::thread::sleep(Duration::from_millis(millis));
}
