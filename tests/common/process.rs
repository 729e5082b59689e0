//! What /proc says of a process, and how a child is prepared before it executes anything.

use std::collections::BTreeMap;
use std::ffi::{CString, c_int};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::eventually;

/// A file of /proc/PID, which must be there.
#[track_caller]
pub fn read(pid: i32, file: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_else(|e| panic!("/proc/{pid}/{file}: {e}"))
}

/// A line of /proc/PID/status.
#[track_caller]
pub fn status(pid: i32, key: &str) -> String {
    let text = String::from_utf8_lossy(&read(pid, "status")).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in the status of {pid}")).trim().to_owned()
}

/// A field of /proc/PID/stat, counted from 1 as in proc_pid_stat(5), the third or a later one.
#[track_caller]
pub fn stat(pid: i32, field: usize) -> i64 {
    let text = String::from_utf8_lossy(&read(pid, "stat")).into_owned();
    let rest = text.rsplit(')').next().expect("a state");
    rest.split_whitespace().nth(field - 3).expect("a field").parse().expect("a number")
}

/// Fields of /proc/PID/stat.
pub const PARENT: usize = 4;
pub const GROUP: usize = 5;
pub const SESSION: usize = 6;
pub const TERMINAL: usize = 7;
pub const NICE: usize = 19;
pub const START: usize = 22;

/// Strings that end in NUL bytes: `cmdline` or `environ`.
#[track_caller]
pub fn strings(pid: i32, file: &str) -> Vec<Vec<u8>> {
    let bytes = read(pid, file);
    let mut list: Vec<_> = bytes.split(|&b| b == 0).map(<[u8]>::to_vec).collect();
    list.pop();
    list
}

/// The value of a variable that a process was started with.
#[track_caller]
pub fn variable(pid: i32, name: &str) -> Option<String> {
    let prefix = format!("{name}=");
    let entries = strings(pid, "environ");
    let value = entries.iter().find_map(|entry| entry.strip_prefix(prefix.as_bytes()));
    value.map(|value| String::from_utf8_lossy(value).into_owned())
}

/// The open descriptors and what they are.
#[track_caller]
pub fn descriptors(pid: i32) -> BTreeMap<RawFd, PathBuf> {
    let folder = format!("/proc/{pid}/fd");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder}: {e}")).flatten();
    let number = |name: std::ffi::OsString| name.to_str().and_then(|n| n.parse().ok()).expect("a number");
    entries.map(|e| (number(e.file_name()), std::fs::read_link(e.path()).unwrap_or_default())).collect()
}

/// All processes.
pub fn pids() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// The children of a process, zombies too.
pub fn children(parent: i32) -> Vec<i32> {
    let is_child = |pid: &i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        text.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()) == Some(parent)
    };
    pids().into_iter().filter(is_child).collect()
}

/// The processes that were started with this entry in their environment. Not the zombies, which have none.
pub fn with_entry(entry: &str) -> Vec<i32> {
    let shows = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&b| b == 0).any(|e| e == entry.as_bytes())
    };
    pids().into_iter().filter(shows).collect()
}

/// Sends a signal to a process that this test started and has not reaped.
pub fn send(pid: i32, signal: c_int) {
    assert!(pid > 1);
    // SAFETY: takes two integers, and the number is that of a process of ours.
    unsafe { libc::kill(pid, signal) };
}

/// Waits for a file that appears as a whole (it is renamed to its name), and reads it.
#[track_caller]
pub fn appears(path: &Path) -> String {
    eventually(&format!("{} is there", path.display()), || path.exists());
    std::fs::read_to_string(path).expect("UTF-8")
}

/// Waits until a process that is started now is certainly younger than `pid`: start times are clock ticks.
pub fn let_a_tick_pass(pid: i32) {
    let start = stat(pid, START);
    // SAFETY: takes and returns integers.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    eventually("a clock tick", || {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("the uptime");
        let seconds: f64 = uptime.split(' ').next().and_then(|s| s.parse().ok()).expect("seconds");
        seconds * ticks >= start as f64 + 2.0
    });
}

/// Runs `prepare` in the child, between fork and exec. It may only do what is async-signal-safe.
pub fn prepared(command: &mut Command, prepare: impl Fn() + Send + Sync + 'static) -> &mut Command {
    // SAFETY: the callers' closures call the kernel and nothing else.
    unsafe {
        command.pre_exec(move || {
            prepare();
            Ok(())
        })
    }
}

/// Gives the signals that end forerun their default disposition, whatever runs the tests ignores.
pub fn with_plain_signals(command: &mut Command) -> &mut Command {
    prepared(command, || {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            // SAFETY: the default is a valid disposition.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    })
}

/// A copy of a descriptor whose number is none that a child wants: onto itself, dup2 leaves it close-on-exec.
#[track_caller]
pub fn out_of_the_way(from: &impl AsRawFd) -> OwnedFd {
    // SAFETY: integers; the first is open.
    let copy = unsafe { libc::fcntl(from.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 500) };
    assert!(copy >= 0, "no descriptor from 500 on: {}", io::Error::last_os_error());
    // SAFETY: a new descriptor, which nobody else has.
    unsafe { OwnedFd::from_raw_fd(copy) }
}

/// Gives the child a copy of a descriptor on these numbers.
pub fn with_copies<'a>(command: &'a mut Command, from: &impl AsRawFd, numbers: &[RawFd]) -> &'a mut Command {
    let (copy, numbers) = (out_of_the_way(from), numbers.to_owned());
    prepared(command, move || {
        for &to in &numbers {
            // SAFETY: integers; the copy is open, and what else has the number is not needed after the exec.
            unsafe { libc::dup2(copy.as_raw_fd(), to) };
        }
    })
}

/// A session of its own, without a terminal.
pub fn in_own_session(command: &mut Command) -> &mut Command {
    prepared(command, || {
        // SAFETY: takes nothing.
        unsafe { libc::setsid() };
    })
}

/// Executes with these very entries, where `Command` would sort them and drop what is no pair.
pub fn with_entries<'a>(command: &'a mut Command, entries: &[&[u8]]) -> &'a mut Command {
    let strings = |list: &[&[u8]]| -> Vec<CString> { list.iter().map(|s| CString::new(*s).expect("no NUL")).collect() };
    let program = command.get_program().to_owned();
    let args: Vec<_> = std::iter::once(program.as_os_str()).chain(command.get_args()).collect();
    let args: Vec<_> = args.iter().map(|a| a.as_encoded_bytes()).collect();
    let (args, entries) = (strings(&args), strings(entries));
    // SAFETY: nothing is allocated that was not in the closure before but two small arrays, and glibc's and
    // musl's allocators are usable after fork; execve gets strings and arrays that end as it wants them.
    unsafe {
        command.pre_exec(move || {
            let array =
                |list: &[CString]| -> Vec<_> { list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect() };
            libc::execve(args[0].as_ptr(), array(&args).as_ptr(), array(&entries).as_ptr());
            Err(io::Error::last_os_error())
        })
    }
}
