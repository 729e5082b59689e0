#![forbid(unsafe_code)]
//! What shows who started us: variables, ancestors, terminals.

use std::io::{self, IsTerminal};

use super::evidence::{Evidence, Rank};
use crate::environment::{Environment, NOTIFY_SOCKET};
use crate::sys;

/// Everything that the decision depends on.
#[derive(Clone, Debug, Default)]
pub struct Clues {
    pub environment: Environment,
    pub pid: i32,
    pub session: i32,
    pub parent: Ancestor,
    /// The parent's parent. `None` if the parent cannot be looked at.
    pub grandparent: Option<Ancestor>,
    pub stdin_is_terminal: bool,
    pub stderr_is_terminal: bool,
    pub controlling_terminal: bool,
    /// The last part of our control group's path.
    pub cgroup_leaf: Option<String>,
}

/// A process above us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancestor {
    /// 0 if it is outside our pid namespace.
    pub pid: i32,
    pub session: i32,
    /// What the system calls it. `None` where that cannot be seen.
    pub name: Option<String>,
}

impl Clues {
    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment.filled(name).map(|value| value.to_string_lossy().into_owned())
    }

    pub fn has(&self, name: &str) -> bool {
        self.environment.filled(name).is_some()
    }

    /// Whether any standard stream that is looked at is a terminal, or there is a controlling one.
    pub fn has_terminal(&self) -> bool {
        self.stdin_is_terminal || self.stderr_is_terminal || self.controlling_terminal
    }

    /// Evidence by a process that has one of these names: our parent; or, where no terminal is there, our parent's
    /// parent. That one must have our session, or have given our parent a session of its own, as s6-supervise does:
    /// otherwise what is between is no start script.
    pub fn started_by(&self, is_it: impl Fn(&str) -> bool) -> Option<Evidence> {
        let named = |ancestor: &Ancestor| ancestor.name.clone().filter(|name| is_it(name));
        if let Some(name) = named(&self.parent) {
            return Some(Evidence::new(Rank::Parent, format!("our parent is '{name}'")));
        }
        let name = named(self.grandparent.as_ref().filter(|above| self.is_in_script_of(above))?)?;
        let reason = format!("our parent's parent is '{name}', and there is no terminal");
        Some(Evidence { of_parent: true, ..Evidence::new(Rank::Grandparent, reason) })
    }

    /// Whether our parent can be a start script that `starter` started: in its session or one of its own, and without a
    /// terminal.
    pub fn is_in_script_of(&self, starter: &Ancestor) -> bool {
        let same = self.session == starter.session || self.session == self.parent.pid;
        same && !self.controlling_terminal && !self.stderr_is_terminal
    }

    /// Whether messages to NOTIFY_SOCKET are ours to send. It is another unit's where SYSTEMD_EXEC_PID is neither our
    /// pid nor our parent's.
    pub fn may_notify(&self) -> bool {
        let ours = self.started_by_systemd().is_none_or(|pid| pid == self.pid || pid == self.parent.pid);
        self.has(NOTIFY_SOCKET) && ours
    }

    /// SYSTEMD_EXEC_PID, if it is a number (systemd.exec(5)).
    pub fn started_by_systemd(&self) -> Option<i32> {
        self.variable("SYSTEMD_EXEC_PID")?.parse().ok()
    }

    /// Looks them up for this process.
    pub fn look(environment: &Environment) -> Self {
        let (pid, parent) = (std::process::id() as i32, std::os::unix::process::parent_id() as i32);
        let ancestor = |pid: i32| {
            let name = if pid > 0 { sys::process_name(pid) } else { None };
            let process = if pid > 0 { sys::process(pid) } else { None };
            (Ancestor { pid, session: process.map_or(0, |p| p.session), name }, process.map(|p| p.parent))
        };
        let (parent, above) = ancestor(parent);
        let of_systemd = [NOTIFY_SOCKET, "INVOCATION_ID"].iter().any(|name| environment.filled(name).is_some());
        Clues {
            environment: environment.without_own_socket(),
            pid,
            session: sys::process(pid).map_or(0, |p| p.session),
            grandparent: above.map(|pid| ancestor(pid).0),
            parent,
            stdin_is_terminal: io::stdin().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            controlling_terminal: sys::has_controlling_terminal(),
            // Needed only to prove that systemd's variables belong to another process.
            cgroup_leaf: if of_systemd { sys::cgroup().and_then(|path| leaf(&path)) } else { None },
        }
    }
}

/// The last component of a control group's path.
fn leaf(path: &str) -> Option<String> {
    path.rsplit('/').next().filter(|leaf| !leaf.is_empty()).map(str::to_owned)
}
