//! The process table (proc_pid_stat(5)).

use std::fs;
use std::io;
use std::time::Duration;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use procfs::FromRead;
use procfs::process::Stat;

use super::super::process::{Process, Waited};
use super::super::procfs::numbers;
use super::super::whole::note;
use super::proc::{read, unless_exhausted};

/// The flag of a process that was forked and has executed nothing since (PF_FORKNOEXEC of include/linux/sched.h).
const FORKNOEXEC: u32 = 0x40;

/// The process with this pid, if it exists and we may see it.
///
/// # Errors
/// When descriptors or memory are used up.
pub fn look_up(pid: i32) -> io::Result<Option<Process>> {
    let bytes = unless_exhausted(read(&format!("/proc/{pid}/stat")))?;
    let stat = bytes.and_then(|bytes| Stat::from_read(&bytes[..]).ok());
    Ok(stat.map(|stat| Process {
        pid: stat.pid,
        parent: stat.ppid,
        group: stat.pgrp,
        session: stat.session,
        start: stat.starttime,
        // If only the first thread has ended (pthread_exit(3)), the others go on and the process is no zombie.
        zombie: matches!(stat.state, 'Z' | 'X') && stat.num_threads <= 1,
        forked: stat.flags & FORKNOEXEC != 0,
        terminal: stat.tty_nr != 0,
        stack: stat.startstack,
    }))
}

/// How a process ended that its parent has not reaped yet.
pub fn end_of_zombie(pid: i32) -> Option<Waited> {
    let stat = Stat::from_read(&read(&format!("/proc/{pid}/stat")).ok()?[..]).ok()?;
    // The kernel shows 0 to those who may not know.
    let us = nix::unistd::geteuid();
    let may_know = us.is_root() || user_of(pid) == Some(us.as_raw());
    let code = stat.exit_code.filter(|_| may_know && stat.state == 'Z' && stat.num_threads <= 1)?;
    Some(Waited::of(code))
}

/// How long ago a process with this start time was started. Time in which the machine slept counts.
pub fn age(start: u64) -> Option<Duration> {
    // SAFETY: takes an integer and returns one.
    let ticks = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|&t| t > 0)?;
    let started = Duration::from_millis(start.checked_mul(1000)? / ticks);
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    Some(Duration::from(now).saturating_sub(started))
}

/// The start time that a process would have that started now.
pub fn start_now() -> Option<u64> {
    // SAFETY: takes an integer and returns one.
    let ticks = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
    let now = Duration::from(nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?);
    Some(now.as_secs() * ticks + u64::from(now.subsec_nanos()) * ticks / 1_000_000_000)
}

/// The user that a process runs as.
pub fn user_of(pid: i32) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    note(fs::metadata(format!("/proc/{pid}"))).ok().map(|folder| folder.uid())
}

/// The pids of all processes that we can see.
///
/// # Errors
/// When the process table cannot be read completely.
pub fn pids() -> io::Result<Vec<i32>> {
    // std would allocate each name. Every start after a killed one waits for this function.
    let mut proc = Dir::open("/proc", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut pids = Vec::with_capacity(256);
    for entry in proc.iter() {
        pids.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(pids)
}

/// The children of this process.
///
/// # Errors
/// As [`processes`].
pub fn children() -> io::Result<Vec<Process>> {
    let us = std::process::id();
    match read(&format!("/proc/self/task/{us}/children")) {
        Ok(bytes) => numbers(&bytes).filter_map(|pid| look_up(pid).transpose()).collect(),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => Ok(processes()?.into_iter().filter(|p| p.parent == us as i32).collect()),
    }
}

/// All processes that we can see.
///
/// # Errors
/// When the process table cannot be read: a process that is not in it may still exist.
pub fn processes() -> io::Result<Vec<Process>> {
    let all: Vec<Process> =
        pids()?.into_iter().filter_map(|pid| look_up(pid).transpose()).collect::<io::Result<_>>()?;
    // A table without this very process is not the table: nothing may be concluded from who is not in it.
    match all.iter().any(|process| process.pid == std::process::id() as i32) {
        true => Ok(all),
        false => Err(io::Error::other("/proc does not list this process")),
    }
}
