#![forbid(unsafe_code)]
//! Decides what the processes are that an instance has once its main process has ended: whether one of them is the
//! server from now on, and which of them are only in the way. It only decides; others look and act.
//!
//! The rules were tried on some fifty servers and ends of servers. What cannot be told apart is kept.

use super::end::End;
use super::family::Family;
use super::origin::{Noted, Origin};
use crate::sys::{Process, Seen};

#[cfg(test)]
mod tests;

/// What a process is to the instance whose main process has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
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
pub fn classify(view: &View) -> Vec<(Process, Relation)> {
    let members: Vec<&Process> = view.family.all().collect();
    let mut relations: Vec<Option<Relation>> =
        members.iter().map(|p| view.is_successor(p).then_some(Relation::Successor)).collect();
    only_one(view, &members, &mut relations);
    let has_successor = relations.contains(&Some(Relation::Successor));
    // Who belongs to a successor: below it, or a living image of it.
    loop {
        let is_its = |p: &Process, relations: &[Option<Relation>]| {
            members.iter().zip(relations).any(|(q, relation)| {
                relation.is_some() && (q.pid == p.parent || p.forked && p.stack != 0 && p.stack == q.stack && !q.forked)
            })
        };
        let next = members.iter().zip(&relations).position(|(p, relation)| relation.is_none() && is_its(p, &relations));
        match next.filter(|_| has_successor) {
            Some(at) => relations[at] = Some(Relation::Successors),
            None => break,
        }
    }
    for (p, relation) in members.iter().zip(&mut relations) {
        *relation = relation.or_else(|| view.is_orphan(p).then_some(Relation::Orphan));
        *relation = relation.or_else(|| view.is_left_by_a_wrapper(p).then_some(Relation::Remains));
    }
    wrapped(view, &members, &mut relations);
    let rest = |p: &Process| if view.listens(p) { Relation::Unclear } else { Relation::Background };
    members.iter().zip(relations).map(|(p, relation)| (**p, relation.unwrap_or_else(|| rest(p)))).collect()
}

/// A server that took over has workers, which may be exec'ed too and hold its socket. The one that the others descend
/// from took over; if there are several, it is the oldest.
fn only_one(view: &View, members: &[&Process], relations: &mut [Option<Relation>]) {
    let all: Vec<usize> = (0..relations.len()).filter(|&at| relations[at].is_some()).collect();
    let is_below = |p: &Process| all.iter().any(|&at| view.descends(p, members[at]));
    let first =
        all.iter().copied().filter(|&at| !is_below(members[at])).min_by_key(|&at| (members[at].start, members[at].pid));
    for at in all {
        if Some(at) != first {
            relations[at] = None;
        }
    }
}

/// What stands between a dead wrapper and its server (`npm`, `sh -c`), and what is below that server.
fn wrapped(view: &View, members: &[&Process], relations: &mut [Option<Relation>]) {
    for at in 0..members.len() {
        if relations[at] != Some(Relation::Remains) || !view.listens(members[at]) {
            continue;
        }
        for other in 0..members.len() {
            let p = members[other];
            let is_between = view.descends(members[at], p) && !view.listens(p);
            if relations[other].is_none() && (is_between || view.descends(p, members[at])) {
                relations[other] = Some(Relation::Remains);
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
