#![forbid(unsafe_code)]
//! What is left of an instance whose main process has ended, and the record of a server that took over.

use super::end::{End, Ended};
use super::family::{Family, look_at};
use super::identity::Identity;
use super::origin::Origin;
use super::ready::Readiness;
use super::record::{Phase, Record};
use super::sight::Sight;
use super::succession::{Relation, View, classify};
use crate::sys::{self, ExitWatch, Process, Seen};

/// What is asked about an instance whose main process has ended.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub origin: &'a Origin,
    pub ready: Option<&'a Readiness>,
    /// How main ended, if somebody saw it.
    pub ended: Option<Ended>,
    /// By this the system may find how main ended.
    pub trace: u64,
    pub table: &'a [Process],
    pub sight: &'a Sight,
    /// A supervisor starts the service now.
    pub supervised: bool,
}

/// What is left.
#[derive(Debug, Default, PartialEq)]
pub struct After {
    /// How main ended, if that is known.
    pub ended: Option<Ended>,
    pub family: Family,
    /// Each member, and what it is.
    pub relations: Vec<(Process, Relation)>,
}

impl After {
    /// Looks at what an instance has left. `listening` are the processes that hold its port.
    pub fn look(asked: &Asked, listening: impl FnOnce(&Family) -> Vec<i32>) -> Self {
        let Asked { origin, table, ready, ended, .. } = *asked;
        let family = look_at(origin, table, asked.sight);
        let listening = match family.all().next() {
            Some(_) => listening(&family),
            None => Vec::new(),
        };
        // The number of a zombie is nobody else's yet.
        let is_main = |p: &&Process| Seen::from(*p) == origin.main && p.zombie;
        let unreaped = || table.iter().find(is_main).and_then(|p| sys::end_of_zombie(p.pid));
        let ended = ended.or_else(|| Some(Ended { how: sys::end_of(asked.trace).or_else(unreaped)?, at: None }));
        let relations = classify(&View {
            origin,
            family: &family,
            table,
            listening: &listening,
            main_listened: ready.and_then(|ready| ready.listened),
            was_seen: ready.is_some(),
            end: End::from(ended.map(|ended| ended.how)),
            ended: ended.and_then(|ended| ended.at),
            in_launch: false,
            supervised: asked.supervised,
        });
        After { ended, family, relations }
    }

    fn of(&self, wanted: &[Relation]) -> Vec<Process> {
        self.relations.iter().filter(|(_, relation)| wanted.contains(relation)).map(|(p, _)| *p).collect()
    }

    /// The process that is the server now.
    pub fn successor(&self) -> Option<Process> {
        self.of(&[Relation::Successor]).first().copied()
    }

    /// What a start ends: workers without a leader, and what a dead wrapper left.
    pub fn in_the_way(&self) -> Vec<Process> {
        self.of(&[Relation::Orphan, Relation::Remains])
    }

    /// What has the port, and may be the server.
    pub fn unclear(&self) -> Vec<Process> {
        self.of(&[Relation::Unclear])
    }

    /// What goes on without the server. What has left for a session of its own is not among it.
    pub fn background(&self) -> Vec<Process> {
        let mut all = self.of(&[Relation::Background]);
        all.retain(|p| !self.family.left.contains(p));
        all
    }
}

/// The record of an instance whose server is `to` from now on, before anybody has looked at it. Of all supervisors only systemd can follow to another
/// main process; the others started one child, which has ended. `is_followed`: the supervisor can.
pub fn handed_over(record: &Record, to: &Process, is_followed: bool) -> Record {
    Record {
        supervisor: record.supervisor.clone().filter(|_| is_followed),
        phase: Phase::Running,
        process: Identity::new(to, &record.process.host),
        was: Some(record.process.pid),
        starter: None,
        // They were not this process's.
        earlier_children: Vec::new(),
        session: to.session,
        group: to.group,
        executable: sys::executable(to.pid).map(|path| path.as_os_str().into()),
        trace: ExitWatch::new(to.pid).trace(),
        ended: None,
        ready: None,
        ..record.clone()
    }
}
