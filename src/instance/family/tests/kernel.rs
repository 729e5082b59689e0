//! A small kernel: processes that fork, execute, change session, end, and come to another parent. It keeps what the real
//! one forgets: whether a process descends from main since the launch, whatever happened in between.

use super::super::{Look, Origin, find};
use crate::instance::origin::Noted;
use crate::sys::{Process, Seen};

/// So few that pids, sessions and groups come again and again.
const PIDS: i32 = 32;
/// What every program gets that was executed without random addresses.
const FIXED_STACK: u64 = 0x7fff_ffff;

/// The cookie in an environment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cookie {
    No,
    Ours,
    /// That of an earlier instance, or of another service.
    Other,
}

#[derive(Clone, Debug)]
pub struct Task {
    pub process: Process,
    /// Who forked it.
    pub origin: Seen,
    pub cookie: Cookie,
    /// It overwrote its environment.
    pub overwritten: bool,
    /// Another user's: neither its stack, nor its environment, nor its sockets can be seen.
    pub hidden: bool,
    /// Its addresses are random.
    pub random: bool,
    pub subreaper: bool,
    /// The listening socket that it holds, or 0.
    pub socket: u64,
    /// It is in the control group of the instance.
    pub in_group: bool,
    /// It descends from main since the launch, or is main.
    pub is_ours: bool,
}

#[derive(Default)]
pub struct Kernel {
    pub tasks: Vec<Task>,
    pub tick: u64,
    pub last_pid: i32,
    pub last_number: u64,
}

impl Kernel {
    /// A number that nothing else has.
    pub fn number(&mut self) -> u64 {
        self.last_number += 1;
        0x1_0000_0000 + self.last_number
    }

    pub fn at(&self, pid: i32) -> Option<usize> {
        // A loop, because the tests are not optimised.
        let mut at = 0;
        while at < self.tasks.len() {
            if self.tasks[at].process.pid == pid {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    pub fn find(&self, seen: Seen) -> Option<&Task> {
        self.at(seen.pid).map(|at| &self.tasks[at]).filter(|t| t.process.start == seen.start)
    }

    /// The processes as the process table shows them.
    pub fn table(&self) -> Vec<Process> {
        let shown =
            |t: &Task| Process { stack: if t.hidden || t.process.zombie { 0 } else { t.process.stack }, ..t.process };
        self.tasks.iter().map(shown).collect()
    }

    /// What is known after the look at readiness. A socket that was handed to main proves nothing.
    pub fn looked(&self, origin: &Origin, is_activated: bool) -> Origin {
        let found = find(origin, &self.table(), &[], self);
        let image = |seen: Seen| self.find(seen).filter(|t| t.random && !t.hidden).map_or(0, |t| t.process.stack);
        let parent = |child: &&Process| found.all().find(|p| p.pid == child.parent);
        let is_main = |p: &Process| Seen::from(p) == origin.main;
        let descends = |p| std::iter::successors(Some(p), parent).take(self.tasks.len()).any(is_main);
        let noted = found.all().filter(|p| !is_main(p)).map(|p| Noted {
            process: p.into(),
            stack: image(p.into()),
            listened: self.find(p.into()).is_some_and(|t| t.socket != 0),
            left: found.left.contains(p) || p.session != origin.session && !descends(p),
        });
        let main = self.find(origin.main).filter(|t| !t.hidden && t.socket != 0 && !is_activated);
        Origin {
            noted: noted.collect(),
            stack: image(origin.main),
            sockets: main.map(|t| t.socket).into_iter().collect(),
            led_session: origin.session == origin.main.pid,
            process_group: self.find(origin.main).map_or(0, |t| t.process.group),
            ..origin.clone()
        }
    }

    /// The next pid that no process, session and group has. None comes twice within a tick.
    fn pid(&mut self) -> i32 {
        loop {
            if self.last_pid == PIDS {
                (self.last_pid, self.tick) = (1, self.tick + 1);
            }
            self.last_pid += 1;
            let pid = self.last_pid;
            let has = |t: &Task| [t.process.pid, t.process.session, t.process.group].contains(&pid);
            if !self.tasks.iter().any(has) {
                return pid;
            }
        }
    }

    /// A process that nobody here forked: init, or what was brought into a container (`docker exec`).
    pub fn appear(&mut self) -> usize {
        let pid = if self.tasks.is_empty() { 1 } else { self.pid() };
        let process = Process {
            pid,
            parent: 0,
            group: pid,
            session: pid,
            start: self.tick,
            zombie: false,
            forked: false,
            terminal: false,
            stack: self.number(),
        };
        let task = Task {
            process,
            origin: Seen::default(),
            cookie: Cookie::No,
            overwritten: false,
            hidden: false,
            random: true,
            subreaper: pid == 1,
            socket: 0,
            in_group: false,
            is_ours: false,
        };
        self.last_pid = self.last_pid.max(1);
        self.tasks.push(task);
        self.tasks.len() - 1
    }

    pub fn fork(&mut self, of: usize) -> usize {
        let pid = self.pid();
        let parent = &self.tasks[of];
        let process = Process { pid, parent: parent.process.pid, start: self.tick, forked: true, ..parent.process };
        let child = Task { process, origin: (&parent.process).into(), subreaper: false, ..parent.clone() };
        self.tasks.push(child);
        self.tasks.len() - 1
    }

    pub fn exec(&mut self, at: usize) {
        let stack = self.number();
        let task = &mut self.tasks[at];
        (task.process.forked, task.overwritten) = (false, false);
        task.process.stack = if task.random { stack } else { FIXED_STACK };
    }

    pub fn setsid(&mut self, at: usize) {
        let process = &mut self.tasks[at].process;
        (process.session, process.group, process.terminal) = (process.pid, process.pid, false);
    }

    /// Ends a process. Its children come to the nearest subreaper above it, or to init.
    pub fn exit(&mut self, at: usize, is_reaped: bool) {
        let gone = self.tasks[at].process.pid;
        let mut to = self.tasks[at].process.parent;
        let to = loop {
            match self.at(to).map(|at| &self.tasks[at]) {
                Some(t) if t.subreaper && !t.process.zombie => break to,
                Some(t) => to = t.process.parent,
                None => break 1,
            }
        };
        for task in self.tasks.iter_mut().filter(|t| t.process.parent == gone) {
            task.process.parent = to;
        }
        self.tasks[at].process.zombie = true;
        if is_reaped {
            self.tasks.swap_remove(at);
        }
    }
}

impl Look for Kernel {
    fn shows(&self, process: &Process, cookie: &str) -> bool {
        let shown = self.find(process.into()).filter(|t| !t.hidden && !t.overwritten && !t.process.zombie);
        shown.is_some_and(|t| {
            t.cookie == Cookie::Ours && cookie == "ours" || t.cookie == Cookie::Other && cookie == "other"
        })
    }

    fn is_of_another(&self, process: &Process, origin: &Origin) -> bool {
        ["ours", "other"].iter().any(|other| *other != origin.cookie && self.shows(process, other))
    }

    fn stack(&self, process: &Process) -> u64 {
        self.find(process.into()).filter(|t| t.random).map_or(0, |_| process.stack)
    }

    fn holds(&self, process: &Process, sockets: &[u64]) -> bool {
        self.find(process.into()).is_some_and(|t| !t.hidden && sockets.contains(&t.socket))
    }

    fn is_in_group(&self, process: &Process, _group: &str) -> bool {
        self.find(process.into()).is_some_and(|t| t.in_group)
    }
}
