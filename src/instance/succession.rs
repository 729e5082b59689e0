#![forbid(unsafe_code)]
//! Decides what the processes are that an instance has once its main process has ended: whether one of them is the
//! server from now on, and which of them are only in the way. It only decides; others look and act.
//!
//! The rules were tried on some fifty servers and ends of servers. What cannot be told apart is kept.

use serde::{Deserialize, Serialize};

use super::family::{Family, Noted, Origin};
use crate::sys::{Process, Seen, Waited};

#[cfg(test)]
mod tests;

/// How and when a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    pub how: Waited,
    /// The start time that a process would have had that began then. Unknown if nobody watched.
    pub at: Option<u64>,
}

/// How main ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With status 0.
    Good,
    /// By a signal, or with another status.
    Bad,
    Unknown,
}

impl From<Option<Waited>> for End {
    fn from(how: Option<Waited>) -> Self {
        match how {
            Some(Waited::Exited(0)) => End::Good,
            Some(Waited::Exited(_) | Waited::Killed { .. }) => End::Bad,
            Some(Waited::Running | Waited::Unseen) | None => End::Unknown,
        }
    }
}

/// What a process is to the instance whose main process has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It took over, and is main from now on.
    Successor,
    /// It belongs to the successor.
    Successors,
    /// A worker that nobody leads any more.
    Orphan,
    /// What a wrapper left that was killed, or what stands between the two.
    Remains,
    /// It has the port, and nothing tells whether it took over.
    Unclear,
    /// It has nothing to do with the port: a job, an updater, a terminal.
    Background,
}

/// What the decision rests on.
pub struct View<'a> {
    pub origin: &'a Origin,
    pub family: &'a Family,
    /// All processes.
    pub table: &'a [Process],
    /// The members that hold a socket which listens on the service's port and address.
    pub listening: &'a [i32],
    /// Whether main itself listened when the server became ready. Unknown if nobody looked, or might not.
    pub main_listened: Option<bool>,
    /// Somebody looked when the server became ready, so that who was not noted came later.
    pub was_seen: bool,
    pub end: End,
    /// The start time that a process would have had that began when main ended, if that is known.
    pub ended: Option<u64>,
    /// Main ended while forerun still launched the server.
    pub in_launch: bool,
    /// A supervisor starts the service, and would start it again and again.
    pub supervised: bool,
}

/// What each member is. The order is that of the family.
pub fn classify(view: &View) -> Vec<(Process, Kind)> {
    let members: Vec<&Process> = view.family.all().collect();
    let mut kinds: Vec<Option<Kind>> =
        members.iter().map(|p| view.is_successor(p).then_some(Kind::Successor)).collect();
    only_one(view, &members, &mut kinds);
    let has_successor = kinds.contains(&Some(Kind::Successor));
    // Who belongs to a successor: below it, or a living image of it.
    loop {
        let is_its = |p: &Process, kinds: &[Option<Kind>]| {
            members.iter().zip(kinds).any(|(q, kind)| {
                kind.is_some() && (q.pid == p.parent || p.forked && p.stack != 0 && p.stack == q.stack && !q.forked)
            })
        };
        let next = members.iter().zip(&kinds).position(|(p, kind)| kind.is_none() && is_its(p, &kinds));
        match next.filter(|_| has_successor) {
            Some(at) => kinds[at] = Some(Kind::Successors),
            None => break,
        }
    }
    for (p, kind) in members.iter().zip(&mut kinds) {
        *kind = kind.or_else(|| view.is_orphan(p).then_some(Kind::Orphan));
        *kind = kind.or_else(|| view.is_left_by_a_wrapper(p).then_some(Kind::Remains));
    }
    wrapped(view, &members, &mut kinds);
    let rest = |p: &Process| if view.listens(p) { Kind::Unclear } else { Kind::Background };
    members.iter().zip(kinds).map(|(p, kind)| (**p, kind.unwrap_or_else(|| rest(p)))).collect()
}

/// A server that took over has workers, which may be exec'ed too and hold its socket. The one that the others descend
/// from took over; if there are several, it is the oldest.
fn only_one(view: &View, members: &[&Process], kinds: &mut [Option<Kind>]) {
    let all: Vec<usize> = (0..kinds.len()).filter(|&at| kinds[at].is_some()).collect();
    let is_below = |p: &Process| all.iter().any(|&at| view.descends(p, members[at]));
    let first =
        all.iter().copied().filter(|&at| !is_below(members[at])).min_by_key(|&at| (members[at].start, members[at].pid));
    for at in all {
        if Some(at) != first {
            kinds[at] = None;
        }
    }
}

/// What stands between a dead wrapper and its server (`npm`, `sh -c`), and what is below that server.
fn wrapped(view: &View, members: &[&Process], kinds: &mut [Option<Kind>]) {
    for at in 0..members.len() {
        if kinds[at] != Some(Kind::Remains) || !view.listens(members[at]) {
            continue;
        }
        for other in 0..members.len() {
            let p = members[other];
            let is_between = view.descends(members[at], p) && !view.listens(p);
            if kinds[other].is_none() && (is_between || view.descends(p, members[at])) {
                kinds[other] = Some(Kind::Remains);
            }
        }
    }
}

impl View<'_> {
    fn listens(&self, p: &Process) -> bool {
        self.listening.contains(&p.pid)
    }

    fn noted(&self, p: &Process) -> Option<&Noted> {
        self.origin.noted.iter().find(|noted| noted.process == Seen::from(p))
    }

    fn is_in_mains_session(&self, p: &Process) -> bool {
        p.session == self.origin.session
    }

    fn is_image_of_main(&self, p: &Process) -> bool {
        p.forked && p.stack != 0 && p.stack == self.origin.stack
    }

    /// It was forked, and no living process of ours has executed what it runs. A stack that we may not see can only be
    /// nobody's if nothing of ours has executed anything.
    fn has_dead_image(&self, p: &Process) -> bool {
        let is_its_image = |q: &Process| !q.forked && (p.stack == 0 || q.stack == 0 || q.stack == p.stack);
        p.forked && !self.family.all().any(is_its_image)
    }

    /// Whether `p` descends from `from` through living parents.
    fn descends(&self, p: &Process, from: &Process) -> bool {
        let mut next = p.parent;
        for _ in 0..self.table.len() {
            match self.table.iter().find(|q| q.pid == next) {
                Some(q) if q.pid == from.pid => return true,
                Some(q) if q.pid > 1 => next = q.parent,
                _ => return false,
            }
        }
        false
    }

    fn is_successor(&self, p: &Process) -> bool {
        if !self.listens(p) || self.end == End::Bad {
            return false;
        }
        // It put itself, or what it executed, into the background while it was launched.
        if self.in_launch {
            return self.is_image_of_main(p) || self.origin.launcher.is_some();
        }
        let took_over = !p.forked && self.main_listened == Some(true) && self.was_seen && self.noted(p).is_none();
        let was_detached_by_main =
            !self.is_of_a_terminal(p) && self.end == End::Good && self.ended.is_some_and(|ended| p.start <= ended);
        took_over && (self.is_in_mains_session(p) || was_detached_by_main)
    }

    /// It is on a terminal, or below a member that is: a person started it there.
    fn is_of_a_terminal(&self, p: &Process) -> bool {
        p.terminal || self.family.all().any(|q| q.terminal && self.descends(p, q))
    }

    fn is_orphan(&self, p: &Process) -> bool {
        let is_in_session = self.is_in_mains_session(p);
        // What has the port in a session of its own, after an end of main in peace, may be main that left its terminal.
        let may_be_main = !is_in_session && self.listens(p) && self.end != End::Bad;
        let is_of_main = self.is_image_of_main(p) && !may_be_main;
        let was_worker = self.has_dead_image(p) && (is_of_main || is_in_session && self.listens(p));
        let listened_beside_main = !p.forked
            && self.main_listened == Some(true)
            && self.noted(p).is_some_and(|noted| noted.listened)
            && self.end == End::Bad;
        was_worker || listened_beside_main
    }

    fn is_left_by_a_wrapper(&self, p: &Process) -> bool {
        let ended_badly = self.end == End::Bad || self.end == End::Unknown && self.supervised;
        !p.forked
            && ended_badly
            && self.main_listened == Some(false)
            && self.noted(p).is_some_and(|noted| noted.listened)
    }
}
