#![forbid(unsafe_code)]
//! Decides which processes belong to an instance: by proof, never by the lack of disproof.
//!
//! A process belongs to it if it is main; if it descends from main through living parents, and neither began before the
//! launch nor descends from a child that main's process had before; if its environment is whole and shows the cookie;
//! if it is a forked image of main or of another member; if it was noted as a member and still is the same process; if
//! it holds the very socket that main listened on, where only what main forked can be, once main has ended; or if it is
//! in a control group that forerun made for the instance. Nothing else makes a member: no session, no group, no
//! program's name, no cookie of an earlier instance, and no environment that cannot be read.
//!
//! A member that left for a session of its own (a tmux server that was started from a web terminal) belongs to a
//! person. forerun itself, its ancestors and the sidecar are never among those that a stop begins with.

use std::collections::HashMap;
use std::io;

use super::proof::Proof;
use crate::sys::{self, Process, Seen};

pub use super::origin::Origin;
pub use super::sight::{Look, Sight};

#[cfg(test)]
pub(super) mod tests;

/// The processes of an instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// Those that are with main: in its session, below it, or images of it.
    pub members: Vec<Process>,
    /// Members that left for a session of their own.
    pub left: Vec<Process>,
    /// Members that are ancestors of this very forerun: it was called from within.
    pub callers: Vec<Process>,
}

impl Family {
    /// All members, wherever they are.
    pub fn all(&self) -> impl Iterator<Item = &Process> {
        self.members.iter().chain(&self.callers).chain(&self.left)
    }

    /// Whether a process is of the instance, wherever it is.
    pub fn has(&self, pid: i32) -> bool {
        self.all().any(|p| p.pid == pid)
    }
}

/// Finds the processes of an instance as they are now.
///
/// # Errors
/// When the process table cannot be read.
pub fn look(origin: &Origin) -> io::Result<Family> {
    Ok(look_at(origin, &sys::processes()?, &Sight::default()))
}

/// Like [`look`], with a process table that was read already and what was seen of its processes so far.
pub fn look_at(origin: &Origin, table: &[Process], sight: &Sight) -> Family {
    let us = std::process::id() as i32;
    find(origin, table, &lineage(table, us), sight)
}

/// A process and its ancestors, by pid, the process itself first.
pub fn lineage(table: &[Process], of: i32) -> Vec<i32> {
    let parents: HashMap<i32, i32> = table.iter().map(|p| (p.pid, p.parent)).collect();
    let mut line = Vec::new();
    let mut next = Some(of);
    while let Some(pid) = next.filter(|pid| *pid > 0 && !line.contains(pid)) {
        line.push(pid);
        next = parents.get(&pid).copied();
    }
    line
}

/// Finds the processes of an instance in `table`. `us` is forerun and its ancestors.
pub fn find(origin: &Origin, table: &[Process], us: &[i32], look: &impl Look) -> Family {
    let ties = Proof { origin, table, look }.ties();
    let is_main = |p: &Process| Seen::from(p) == origin.main;
    let is_never = |p: &Process| p.zombie || origin.sidecar == Some(p.into()) || us.first() == Some(&p.pid);
    let mut found = Family::default();
    for (process, tie) in table.iter().zip(ties).filter(|(p, tie)| tie.belongs && !is_never(p)) {
        let list = match process {
            p if us.contains(&p.pid) && !is_main(p) => &mut found.callers,
            _ if tie.is_with_main => &mut found.members,
            _ => &mut found.left,
        };
        list.push(*process);
    }
    found
}
