//! Processes as they are seen: plain values. `processes` has the questions.

use std::net::IpAddr;

use nix::sys::signal::Signal;

/// An entry of the process table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// Start time in clock ticks (Linux) or microseconds (macOS). Only ever compared.
    pub start: u64,
    /// The process has ended, but its parent has not reaped it yet.
    pub zombie: bool,
    /// It was forked and has executed no program since (PF_FORKNOEXEC; P_EXEC on macOS). Everybody may see this.
    #[serde(default)]
    pub forked: bool,
    /// It has a controlling terminal.
    #[serde(default)]
    pub terminal: bool,
    /// Where its stack begins (Linux): the same for all forks of one executed program, and another for each execution.
    /// 0 where we may not see it.
    #[serde(default)]
    pub stack: u64,
}

/// One process, which no other can be taken for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    pub pid: i32,
    pub start: u64,
}

impl From<&Process> for Seen {
    fn from(process: &Process) -> Self {
        Seen { pid: process.pid, start: process.start }
    }
}

/// The scope in which a pid and a start time identify a process. What does not exist or is not known is empty.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Host {
    pub machine: String,
    pub boot: String,
    pub pid_namespace: String,
    /// Start times are shifted for a reader in another one. Old records have neither this nor the container.
    #[serde(default)]
    pub time_namespace: String,
    /// What names the container across its restarts, if this is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
}

/// The inodes of the machine's own namespaces (PROC_PID_INIT_INO and PROC_TIME_INIT_INO of include/linux/proc_ns.h).
const OUTERMOST: &str = "pid:[4026531836]";
const OUTERMOST_TIME: &str = "time:[4026531834]";

impl Host {
    /// Whether this is a pid namespace below the machine's own: a container.
    pub fn is_container(&self) -> bool {
        !self.pid_namespace.is_empty() && self.pid_namespace != OUTERMOST
    }

    /// Whether a pid and a start time mean the same in both.
    pub fn is_same_as(&self, other: &Self) -> bool {
        (&self.machine, &self.boot, &self.pid_namespace) == (&other.machine, &other.boot, &other.pid_namespace)
            && self.has_clock_of(other)
    }

    /// Whether start times are the same in both. An old record is taken for one of the machine's own time namespace.
    pub fn has_clock_of(&self, other: &Self) -> bool {
        self.clock() == other.clock()
    }

    fn clock(&self) -> &str {
        if self.time_namespace.is_empty() { OUTERMOST_TIME } else { &self.time_namespace }
    }
}

/// A TCP socket that listens.
pub struct Listener {
    pub address: IpAddr,
    /// The processes that hold it, as far as we may see them.
    pub owners: Vec<i32>,
}

/// What a process does when it gets a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    Handles,
    Ignores,
    /// What the system does by default, which for most signals is to end it.
    Default,
}

/// The state of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Waited {
    Running,
    Exited(i32),
    Killed {
        signal: i32,
        core: bool,
    },
    /// It has ended, and nobody saw how.
    Unseen,
}

impl Waited {
    /// What a status of waitpid(2) says of a child that has ended. (The type of nix knows no real-time signals.)
    pub fn of(status: i32) -> Self {
        match libc::WIFSIGNALED(status) {
            true => Waited::Killed { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) },
            false => Waited::Exited(libc::WEXITSTATUS(status)),
        }
    }
}

impl std::fmt::Display for Waited {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match *self {
            Waited::Running => f.write_str("is still running"),
            Waited::Unseen => f.write_str("ended"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_is_read_as_wait_does() {
        assert_eq!(Waited::of(0x700), Waited::Exited(7));
        assert_eq!(Waited::of(9), Waited::Killed { signal: 9, core: false });
        assert_eq!(Waited::of(0x8b), Waited::Killed { signal: 11, core: true });
    }
}
