#![forbid(unsafe_code)]
//! Identifies the process that a record means: by pid, start time, boot, machine and pid namespace, never by a command
//! line.

use serde::{Deserialize, Serialize};

use crate::sys::{self, Host, Process, Seen};

/// One process of one boot of one machine. Pids are reused; this is not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    pub start: u64,
    pub host: Host,
}

impl From<&Identity> for Seen {
    fn from(identity: &Identity) -> Self {
        Seen { pid: identity.pid, start: identity.start }
    }
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
            Ok(now) => self.judge(here, now, sys::is_pid_namespace_in_use),
            Err(_) => Life::Unknown("no descriptor or memory is left to look at it"),
        }
    }

    /// The process, if it still exists (it may be a zombie). Callers look here before they signal it.
    pub fn verified(&self) -> Option<Process> {
        sys::process(self.pid).filter(|p| p.start == self.start)
    }

    /// The process, if it still runs. A zombie does not.
    pub fn running(&self) -> Option<Process> {
        self.verified().filter(|process| !process.zombie)
    }

    /// `is_in_use`: whether a process that we see is in a pid namespace.
    fn judge(&self, here: &Host, now: Option<Process>, is_in_use: impl FnOnce(&str) -> bool) -> Life {
        let there = &self.host;
        let both_are_containers = there.is_container() && here.is_container();
        // An old record does not name its container. It is taken for the one that is here, as it was then.
        let may_be_same = there.container.is_empty() || there.container == here.container;
        if there.machine != here.machine {
            return Life::Unknown("it was recorded on another machine");
        }
        if there.boot.is_empty() || here.boot.is_empty() {
            return Life::Unknown("the boot in which it was recorded is unknown");
        }
        if there.boot != here.boot {
            let is_this_very_one = there.container == here.container && sys::is_unique_container(&here.container);
            return match here.machine.is_empty() {
                _ if both_are_containers && !may_be_same => Life::Unknown(ANOTHER_CONTAINER),
                true if !is_this_very_one => {
                    Life::Unknown("it was recorded in another boot, and this machine has no id (/etc/machine-id)")
                }
                _ => Life::Dead,
            };
        }
        if there.pid_namespace != here.pid_namespace {
            return match both_are_containers {
                // A restarted container finds its own last record. Its pid namespace is gone, unless somebody made one
                // below ours: that one we see.
                true if may_be_same && !is_in_use(&there.pid_namespace) => Life::Dead,
                true if !may_be_same => Life::Unknown(ANOTHER_CONTAINER),
                _ => Life::Unknown("it was recorded in another pid namespace"),
            };
        }
        let Some(process) = now.filter(|now| !now.zombie) else { return Life::Dead };
        let is_it = process.start == self.start;
        match there.has_clock_of(here) {
            // An old record does not say where it was written: then it was most likely here.
            same if is_it && (same || there.time_namespace.is_empty()) => Life::Alive,
            true => Life::Dead,
            false => Life::Unknown("it was recorded in another time namespace"),
        }
    }
}

const ANOTHER_CONTAINER: &str = "it was recorded in another container";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_dead_only_if_it_is_certainly_gone() {
        let here = host("p", "");
        let identity = Identity { pid: 9, start: 5, host: here.clone() };
        let judge = |host: &Host, now| identity.judge(host, now, |_| unreachable!());
        assert_eq!(judge(&here, process(5, false)), Life::Alive);
        assert_eq!(judge(&here, process(5, true)), Life::Dead);
        assert_eq!(judge(&here, process(6, false)), Life::Dead);
        assert_eq!(judge(&here, None), Life::Dead);
        let with = |f: fn(&mut Host)| {
            let mut host = here.clone();
            f(&mut host);
            judge(&host, None)
        };
        assert_eq!(with(|h| h.boot = "c".into()), Life::Dead);
        assert!(matches!(with(|h| h.machine = "n".into()), Life::Unknown(_)));
        assert!(matches!(with(|h| h.pid_namespace = "pid:[4026531836]".into()), Life::Unknown(_)));
        assert!(matches!(with(|h| h.boot = "".into()), Life::Unknown(_)));
    }

    fn process(start: u64, zombie: bool) -> Option<Process> {
        Some(Process { pid: 9, parent: 1, group: 9, session: 9, start, zombie, ..Process::default() })
    }

    fn host(pid_namespace: &str, container: &str) -> Host {
        let [machine, boot, time_namespace] = ["m", "b", "t"].map(str::to_owned);
        Host { machine, boot, pid_namespace: pid_namespace.into(), time_namespace, container: container.into() }
    }

    #[test]
    fn start_times_of_another_time_namespace_prove_nothing() {
        let there = Identity { pid: 9, start: 5, host: host("p", "") };
        let here = Host { time_namespace: "u".into(), ..host("p", "") };
        let judge = |identity: &Identity, now| identity.judge(&here, now, |_| unreachable!());
        assert!(matches!(judge(&there, process(5, false)), Life::Unknown(_)));
        assert!(matches!(judge(&there, process(6, false)), Life::Unknown(_)));
        // No process has the number, whatever its start time.
        assert_eq!(judge(&there, None), Life::Dead);
        // A record of an older forerun, below which the server runs.
        let old = Identity { host: Host { time_namespace: String::new(), ..there.host }, ..there };
        assert_eq!(judge(&old, process(5, false)), Life::Alive);
        assert!(matches!(judge(&old, process(6, false)), Life::Unknown(_)));
        let outermost = Host { time_namespace: "time:[4026531834]".into(), ..here.clone() };
        assert_eq!(old.judge(&outermost, process(6, false), |_| unreachable!()), Life::Dead);
        assert!(old.host.is_same_as(&outermost) && !old.host.is_same_as(&here));
    }

    #[test]
    fn another_life_of_a_container_is_dead_and_another_container_is_unknown() {
        let life = |there: &str, here: &Host, in_use: bool| {
            let there = Identity { pid: 9, start: 5, host: host("p", there) };
            there.judge(here, process(5, false), |_| in_use)
        };
        let here = host("q", "folder /a");
        assert_eq!(life("folder /a", &here, false), Life::Dead);
        assert!(matches!(life("folder /b", &here, false), Life::Unknown(why) if why.contains("container")));
        // A pid namespace below that of the container, which still runs.
        assert!(matches!(life("folder /a", &here, true), Life::Unknown(_)));
        // An old record has no name.
        assert_eq!(life("", &here, false), Life::Dead);
        let after_boot = Host { boot: "c".into(), ..here.clone() };
        assert_eq!(life("folder /a", &after_boot, false), Life::Dead);
        assert!(matches!(life("folder /b", &after_boot, false), Life::Unknown(_)));
    }

    #[test]
    fn without_a_machine_id_another_boot_is_of_any_machine() {
        let no_id = |boot: &str, container: &str| {
            let (machine, boot) = (String::new(), boot.to_owned());
            Host { machine, boot, ..host("p", container) }
        };
        let life = |container: &str, boot: &str| {
            let there = Identity { pid: 9, start: 5, host: no_id("b", container) };
            there.judge(&no_id(boot, container), process(5, false), |_| unreachable!())
        };
        assert_eq!(life("", "b"), Life::Alive);
        assert!(matches!(life("", "c"), Life::Unknown(why) if why.contains("/etc/machine-id")));
        assert!(matches!(life("hostname web", "c"), Life::Unknown(_)));
        assert_eq!(life("pod 1b4e28ba web", "c"), Life::Dead);
    }
}
