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
//!         --background     puts itself into the background first, as old daemons do
//!         --ignore-term    ignores SIGTERM
//!     fixture describe FILE [ms]       writes what it was started with to FILE, then sleeps (300 s)
//!     fixture run COMMAND [ARG]...     runs it as a child, with its exit code: a parent of any name
//!
//! `serve` prints "listening <unix nanoseconds>" to stdout when it listens.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

pub fn main() {
    let args: Vec<_> = std::env::args_os().collect();
    let words: Vec<_> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    match words.get(1).map(String::as_str) {
        Some("serve") => serve(&words[2..]),
        Some("describe") => describe(&words[2], words.get(3).and_then(|w| w.parse().ok()).unwrap_or(300_000)),
        Some("run") => {
            let status = std::process::Command::new(&args[2]).args(&args[3..]).status().expect("run");
            std::process::exit(status.code().unwrap_or(99));
        }
        _ => std::process::exit(64),
    }
}

fn serve(words: &[String]) {
    let port: u16 = words[0].parse().expect("a port");
    let value = |name: &str| words.iter().position(|w| w == name).map(|at| words[at + 1].as_str());
    if words.iter().any(|w| w == "--ignore-term") {
        // SAFETY: SIG_IGN is a valid disposition.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    }
    if words.iter().any(|w| w == "--background") {
        // SAFETY: there is one thread.
        if unsafe { libc::fork() } > 0 {
            std::process::exit(0);
        }
        // SAFETY: setsid takes nothing.
        unsafe { libc::setsid() };
    }
    for _ in 0..value("--workers").map_or(0, |n| n.parse().expect("a count")) {
        // SAFETY: there is one thread.
        if unsafe { libc::fork() } == 0 {
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
    std::thread::sleep(Duration::from_millis(value("--after").map_or(0, |ms| ms.parse().expect("milliseconds"))));
    while value("--when").is_some_and(|file| !Path::new(file).exists()) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let healthy = value("--status").unwrap_or("200");
    let pid = words.iter().any(|w| w == "--answer-pid").then(|| std::process::id().to_string());
    let body = pid.as_deref().or(value("--body")).unwrap_or("ok");
    let listener = match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => listener,
        Err(e) => {
            eprintln!("cannot bind port {port}: {e}");
            std::process::exit(98);
        }
    };
    println!("listening {}", SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_nanos());
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let _ = stream.read(&mut [0; 4096]);
        let is_sick = value("--sick").is_some_and(|file| Path::new(file).exists());
        let status = if is_sick { "500" } else { healthy };
        let answer =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let _ = stream.write_all(answer.as_bytes());
    }
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
    let temporary = format!("{file}.tmp");
    std::fs::write(&temporary, text).expect("written");
    std::fs::rename(&temporary, file).expect("renamed");
    std::thread::sleep(Duration::from_millis(millis));
}
