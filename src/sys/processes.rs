//! Questions about processes, signals to them, and the ends of children.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::os;
use super::process::{Process, Reaction, Waited};

/// The process with this pid. `None` also if the process table cannot be read; use [`look_up`](super::look_up) to tell
/// the two apart.
pub fn process(pid: i32) -> Option<Process> {
    os::look_up(pid).ok().flatten()
}

/// What a process does with a signal. `None` if that cannot be seen.
pub fn reaction(pid: i32, signal: i32) -> Option<Reaction> {
    let (ignored, handled) = os::signal_masks(pid)?;
    let has = |mask: u64| mask >> (signal - 1) & 1 == 1;
    Some(match (has(ignored), has(handled)) {
        (true, _) => Reaction::Ignores,
        (false, true) => Reaction::Handles,
        (false, false) => Reaction::Default,
    })
}

/// Sends a signal by number. The caller must have looked at the process just before: the number may be another's.
///
/// # Errors
/// Those of kill(2).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes two integers; the pid is positive: never a group, never everybody.
    match unsafe { libc::kill(pid.max(1), signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The process that holds the most pseudo-terminals, among those that we may look into, and how many it holds.
pub fn most_ptys() -> Option<(i32, u64)> {
    let held = |pid: i32| os::pty_masters(pid).ok().filter(|&count| count > 0).map(|count| (pid, count));
    os::pids().ok()?.into_iter().filter_map(held).max_by_key(|(_, count)| *count)
}

/// Queries the state of a child, and reaps it if it has ended. Never blocks.
///
/// # Errors
/// `ECHILD` when the process is not our child, or was reaped already.
pub fn wait_for(child: i32) -> io::Result<Waited> {
    let mut status = 0;
    // SAFETY: `status` is ours and outlives the call.
    match unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Waited::Running),
        _ => Ok(Waited::of(status)),
    }
}

/// The state of a child, which stays unreaped. Never blocks.
///
/// # Errors
/// As [`wait_for`].
pub fn look_at_child(child: i32) -> io::Result<Waited> {
    // SAFETY: all of it is integers and pointers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is ours and outlives the call; the system fills it in, or leaves the pid zero.
    let (asked, pid, status) = unsafe {
        let asked = libc::waitid(libc::P_PID, child as libc::id_t, &mut info, how);
        (asked, info.si_pid(), info.si_status())
    };
    match info.si_code {
        _ if asked != 0 => Err(io::Error::last_os_error()),
        _ if pid == 0 => Ok(Waited::Running),
        libc::CLD_EXITED => Ok(Waited::Exited(status)),
        code => Ok(Waited::Killed { signal: status, core: code == libc::CLD_DUMPED }),
    }
}

/// Kills a process group that we made and whose leader is an unreaped child of ours.
pub fn kill_group(group: i32) {
    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
}

/// Reaps members of a killed group that are our children. As pid 1 we also get members that lost their parent.
pub fn reap_group(group: i32) {
    loop {
        match waitpid(Pid::from_raw(-group), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}
