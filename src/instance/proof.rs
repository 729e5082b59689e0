#![forbid(unsafe_code)]
//! What proves that a process is of an instance, and that it stayed with main. [`family`](super::family) has the rules.

use std::collections::{HashMap, HashSet};

use super::origin::{Noted, Origin};
use super::sight::Look;
use crate::sys::{Process, Seen};

/// What ties a process to the instance.
#[derive(Clone, Copy, Default)]
pub struct Tie {
    pub belongs: bool,
    /// It did not leave for a session of its own.
    pub is_with_main: bool,
}

/// Everything that the proof looks at.
pub struct Proof<'a, L> {
    pub origin: &'a Origin,
    pub table: &'a [Process],
    pub look: &'a L,
}

impl<L: Look> Proof<'_, L> {
    /// The tie of each process of the table.
    pub fn ties(&self) -> Vec<Tie> {
        let Origin { main, launcher, noted, session, .. } = self.origin;
        let by_pid: HashMap<i32, usize> = self.table.iter().enumerate().map(|(at, p)| (p.pid, at)).collect();
        let parents: Vec<Option<usize>> = self.table.iter().map(|p| by_pid.get(&p.parent).copied()).collect();
        let noted: HashMap<Seen, &Noted> = noted.iter().map(|noted| (noted.process, noted)).collect();
        let there = |seen: Seen| by_pid.get(&seen.pid).map(|&at| &self.table[at]).filter(|p| p.start == seen.start);
        let launcher = launcher.and_then(there).map(|launcher| launcher.pid);
        // A start of another instance below this one leaves its server to the launcher, too.
        let came_to_launcher = |p: &Process| {
            let is_child = launcher == Some(p.parent) && Some(p.pid) != launcher;
            is_child && !self.look.is_of_another(p, self.origin)
        };

        let main_lives = there(*main).is_some_and(|p| !p.zombie);
        let may_take_over = !main_lives && !self.origin.sockets.is_empty();
        let has_mains_socket = |at: usize, p: &Process| {
            let parent = parents[at].map(|at| &self.table[at]);
            may_take_over && self.origin.is_where_main_was(p, parent) && self.look.holds(p, &self.origin.sockets)
        };

        // What proves by itself. The launcher is not a member, but its children are.
        let tie = |(at, p): (usize, &Process)| {
            let seen = Seen::from(p);
            let was_noted = noted.get(&seen);
            let belongs = seen == *main
                || was_noted.is_some()
                || came_to_launcher(p)
                || self.is_later(p) && (self.shows(p) || has_mains_socket(at, p));
            let is_with_main =
                seen == *main || was_noted.is_some_and(|noted| !noted.left) || belongs && p.session == *session;
            Tie { belongs, is_with_main }
        };
        let mut ties: Vec<Tie> = self.table.iter().enumerate().map(tie).collect();
        let mut stacks: HashSet<u64> = noted.values().map(|noted| noted.stack).chain([self.origin.stack]).collect();
        stacks.remove(&0);
        // What belongs to a member makes further members, until nothing new is found.
        loop {
            let executed = self.table.iter().zip(&ties).filter(|(p, tie)| tie.belongs && !p.forked);
            stacks.extend(executed.map(|(p, _)| self.look.stack(p)).filter(|stack| *stack != 0));
            let mut is_new = false;
            for (at, p) in self.table.iter().enumerate() {
                let is_image = p.forked && self.is_later(p) && stacks.contains(&p.stack);
                let parent =
                    parents[at].filter(|&parent| ties[parent].belongs && self.descends(p, &self.table[parent]));
                let belongs = ties[at].belongs || is_image || parent.is_some();
                let is_of_main = is_image && p.stack == self.origin.stack;
                // The shell of a web terminal is in a session of its own, and is the server's. What left that session
                // once more is the person's who typed there.
                let is_near = |q: &Process| q.session == p.session || q.session == *session;
                let follows = parent.is_some_and(|at| ties[at].is_with_main && is_near(&self.table[at]));
                let stays = belongs && p.session == *session;
                let is_with_main = ties[at].is_with_main || is_of_main || follows || stays;
                is_new |= (belongs, is_with_main) != (ties[at].belongs, ties[at].is_with_main);
                ties[at] = Tie { belongs, is_with_main };
            }
            if !is_new {
                return ties;
            }
        }
    }

    /// Whether it began at the launch or after it.
    fn is_later(&self, p: &Process) -> bool {
        p.start >= self.origin.launched
    }

    /// Whether it shows the cookie, or is in the instance's own control group.
    fn shows(&self, p: &Process) -> bool {
        let is_in_group = |group: &String| self.look.is_in_group(p, group);
        self.look.shows(p, &self.origin.cookie) || self.origin.group.as_ref().is_some_and(is_in_group)
    }

    /// Whether a child of a member is one too. Pid 1 adopts what others leave, so that a child of it proves nothing. The
    /// same is true of main if its process had children before the launch: nobody can see whether it is a subreaper,
    /// which adopts what those leave.
    fn descends(&self, p: &Process, parent: &Process) -> bool {
        let is_main = Seen::from(parent) == self.origin.main;
        let may_adopt = parent.pid == 1 || is_main && !self.origin.earlier_children.is_empty();
        self.is_later(p) && p.start >= parent.start && !may_adopt
    }
}
