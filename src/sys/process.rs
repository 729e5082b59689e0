//! Processes: what one looks like, where it runs, what it listens on, and how children end.

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getsid};

use super::os;

/// One process, as the system's table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// When it was started: clock ticks (Linux) or microseconds (macOS). Only ever compared.
    pub start: u64,
    /// Dead, but its parent has not asked for its status yet.
    pub zombie: bool,
}

/// What a pid is only meaningful together with.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Host {
    pub machine: String,
    pub boot: String,
    pub pid_namespace: String,
}

/// The inode of the machine's own pid namespace (PROC_PID_INIT_INO of include/linux/proc_ns.h).
const OUTERMOST: &str = "pid:[4026531836]";

impl Host {
    /// In a pid namespace below the machine's own: a container.
    pub fn is_container(&self) -> bool {
        !self.pid_namespace.is_empty() && self.pid_namespace != OUTERMOST
    }
}

/// A TCP socket that listens.
pub struct Listener {
    pub address: IpAddr,
    /// The processes that hold it, as far as we may see.
    pub owners: Vec<i32>,
}

/// The process with this pid, if there is one that we can see, and be it that we can look at none.
pub fn process(pid: i32) -> Option<Process> {
    os::look_up(pid).ok().flatten()
}

/// The processes of a session or of a process group, without a look into each: cheap where there are none.
///
/// # Errors
/// As [`processes`].
pub fn in_session_or_group(session: i32, group: Option<i32>) -> io::Result<Vec<i32>> {
    let is_in = |&pid: &i32| {
        let number = Some(Pid::from_raw(pid));
        getsid(number).is_ok_and(|s| s.as_raw() == session)
            || (group.is_some() && getpgid(number).is_ok_and(|g| Some(g.as_raw()) == group))
    };
    Ok(os::pids()?.into_iter().filter(is_in).collect())
}

/// The process that holds the most pseudo-terminals, of those that we may look into, and how many.
pub fn most_ptys() -> Option<(i32, u64)> {
    let held = |pid: i32| os::pty_masters(pid).ok().filter(|&count| count > 0).map(|count| (pid, count));
    os::pids().ok()?.into_iter().filter_map(held).max_by_key(|(_, count)| *count)
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Running,
    Exited(i32),
    Killed { signal: i32, core: bool },
}

impl std::fmt::Display for Waited {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match *self {
            Waited::Running => f.write_str("is still running"),
            Waited::Exited(status) => write!(f, "exited with status {status}"),
            Waited::Killed { signal, core } => {
                match Signal::try_from(signal) {
                    Ok(signal) => write!(f, "was killed by {signal}")?,
                    Err(_) => write!(f, "was killed by signal {signal}")?,
                }
                f.write_str(if core { " (core dumped)" } else { "" })
            }
        }
    }
}

/// Asks for the status of a child. Never blocks.
///
/// # Errors
/// `ECHILD` when it is not our child, or was reaped.
pub fn wait_for(child: i32) -> io::Result<Waited> {
    match waitpid(Pid::from_raw(child), Some(WaitPidFlag::WNOHANG))? {
        WaitStatus::Exited(_, status) => Ok(Waited::Exited(status)),
        WaitStatus::Signaled(_, signal, core) => Ok(Waited::Killed { signal: signal as i32, core }),
        _ => Ok(Waited::Running),
    }
}

/// Kills a process group that we made, whose leader is an unreaped child of ours.
pub fn kill_group(group: i32) {
    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
}

/// Reaps the members of a killed group that are our children. As pid 1 those that lost their parent are.
pub fn reap_group(group: i32) {
    loop {
        match waitpid(Pid::from_raw(-group), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}
