#![forbid(unsafe_code)]
//! Identifies the process that a record means: by pid, start time, boot, machine and pid namespace, never by a command
//! line.

use serde::{Deserialize, Serialize};

use crate::sys::{self, Host, Process};

/// One process of one boot of one machine. Pids are reused; this is not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    pub start: u64,
    pub host: Host,
}

/// Whether a recorded process still runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Life {
    Alive,
    Dead,
    /// It cannot be told, for this reason. Such a process is treated as alive and never signalled.
    Unknown(&'static str),
}

impl Identity {
    /// The identity of a process that we see now.
    pub fn new(process: &Process, host: &Host) -> Self {
        Identity { pid: process.pid, start: process.start, host: host.clone() }
    }

    /// Whether the process still runs, as seen from `here`.
    pub fn life(&self, here: &Host) -> Life {
        match sys::look_up(self.pid) {
            Ok(now) => self.judge(here, now),
            Err(_) => Life::Unknown("no descriptor or memory is left to look at it"),
        }
    }

    /// The process, if it still exists (it may be a zombie). Callers look here before they signal it.
    pub fn verified(&self) -> Option<Process> {
        sys::process(self.pid).filter(|p| p.start == self.start)
    }

    fn judge(&self, here: &Host, now: Option<Process>) -> Life {
        if self.host.machine != here.machine {
            return Life::Unknown("it was recorded on another machine");
        }
        if self.host.boot.is_empty() || here.boot.is_empty() {
            return Life::Unknown("the boot in which it was recorded is unknown");
        }
        if self.host.boot != here.boot {
            return Life::Dead;
        }
        if self.host.pid_namespace != here.pid_namespace {
            return Life::Unknown("it was recorded in another pid namespace");
        }
        match now {
            Some(process) if process.start == self.start && !process.zombie => Life::Alive,
            _ => Life::Dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_dead_only_if_it_is_certainly_gone() {
        let here = Host { machine: "m".into(), boot: "b".into(), pid_namespace: "p".into() };
        let identity = Identity { pid: 9, start: 5, host: here.clone() };
        let process = |start, zombie| {
            Some(Process { pid: 9, parent: 1, group: 9, session: 9, start, zombie, ..Process::default() })
        };
        assert_eq!(identity.judge(&here, process(5, false)), Life::Alive);
        assert_eq!(identity.judge(&here, process(5, true)), Life::Dead);
        assert_eq!(identity.judge(&here, process(6, false)), Life::Dead);
        assert_eq!(identity.judge(&here, None), Life::Dead);
        let with = |f: fn(&mut Host)| {
            let mut host = here.clone();
            f(&mut host);
            identity.judge(&host, None)
        };
        assert_eq!(with(|h| h.boot = "c".into()), Life::Dead);
        assert!(matches!(with(|h| h.machine = "n".into()), Life::Unknown(_)));
        assert!(matches!(with(|h| h.pid_namespace = "q".into()), Life::Unknown(_)));
        assert!(matches!(with(|h| h.boot = "".into()), Life::Unknown(_)));
    }
}
