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

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::environment::{COOKIE, Environment};
use crate::sys::{self, Process, Seen};

#[cfg(test)]
pub(super) mod tests;

/// A member that was seen when the server became ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Noted {
    #[serde(flatten)]
    pub process: Seen,
    /// Its stack, if that identifies what it executes, or 0.
    pub stack: u64,
    /// It listened on the service's port.
    pub listened: bool,
    /// It had left for a session of its own.
    pub left: bool,
}

/// What the proof begins with.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    pub main: Seen,
    /// The session of main.
    pub session: i32,
    /// The start time of the launch. Nothing that began before it is of the instance, but main.
    pub launched: u64,
    pub cookie: String,
    /// The children that main's process had before the launch.
    pub before: Vec<Seen>,
    /// The launcher of a detached start that is still going on. Its children descend from main, whatever they did.
    pub launcher: Option<Seen>,
    /// The stack of main, if that identifies what main executes, or 0.
    pub stack: u64,
    pub noted: Vec<Noted>,
    /// The sockets that main itself opened and listened on, by their numbers.
    pub sockets: Vec<u64>,
    /// The first main led its session.
    pub led_session: bool,
    /// The process group of main.
    pub process_group: i32,
    /// The sidecar.
    pub sidecar: Option<Seen>,
    /// The control group that forerun made for the instance.
    pub group: Option<String>,
}

impl Origin {
    /// What a record tells.
    pub fn of(record: &Record) -> Self {
        let ready = record.ready.as_ref();
        Origin {
            main: (&record.process).into(),
            session: record.session,
            launched: record.launched,
            cookie: record.cookie.clone(),
            before: record.before.clone(),
            launcher: None,
            stack: ready.map_or(0, |ready| ready.stack),
            noted: ready.map(|ready| ready.noted.clone()).unwrap_or_default(),
            sockets: ready.map(|ready| ready.sockets.clone()).unwrap_or_default(),
            led_session: record.first == record.session,
            process_group: record.group,
            sidecar: record.sidecar.as_ref().map(Seen::from),
            group: record.own_group.clone(),
        }
    }

    /// Whether a process is where only a descendant of main can be. Main may hand its socket to anybody, so that the
    /// socket alone proves nothing. Nobody gets into a session that main led but by descent. Into another one somebody
    /// may, but not into main's process group, and without a parent in that session.
    pub fn is_where_main_was(&self, p: &Process, parent: Option<&Process>) -> bool {
        let is_orphan = parent.is_none_or(|parent| parent.session != self.session);
        p.session == self.session && (self.led_session || p.group == self.process_group && is_orphan)
    }
}

/// Questions about a single process.
pub trait Look {
    /// Whether its environment is whole and shows this cookie.
    fn shows(&self, process: &Process, cookie: &str) -> bool;
    /// Whether it shows that it is of another instance, by a whole environment or by a control group of forerun's.
    fn is_of_another(&self, process: &Process, origin: &Origin) -> bool;
    /// Its stack, if that identifies what it executes, or 0.
    fn stack(&self, process: &Process) -> u64;
    /// Whether it holds one of these sockets.
    fn holds(&self, process: &Process, sockets: &[u64]) -> bool;
    /// Whether it is in this control group.
    fn is_in_group(&self, process: &Process, group: &str) -> bool;
}

/// Asks the system. Each process is looked into once, even for many instances, because what it tells does not change.
#[derive(Default)]
pub struct Sight {
    cookies: RefCell<HashMap<Seen, Option<OsString>>>,
    random: RefCell<HashMap<Seen, bool>>,
    groups: RefCell<HashMap<Seen, Option<String>>>,
}

impl Sight {
    /// The cookie that a process shows.
    fn cookie(&self, process: &Process) -> Option<OsString> {
        let mut seen = self.cookies.borrow_mut();
        ask(&mut seen, process, |pid| sys::environment_of(pid).and_then(shown)).flatten()
    }

    fn group(&self, process: &Process) -> Option<String> {
        ask(&mut self.groups.borrow_mut(), process, sys::cgroup_of).flatten()
    }
}

impl Look for Sight {
    fn shows(&self, process: &Process, cookie: &str) -> bool {
        self.cookie(process).is_some_and(|shown| shown == cookie)
    }

    fn is_of_another(&self, process: &Process, origin: &Origin) -> bool {
        let group = self.group(process).filter(|path| sys::is_own_group(path));
        self.cookie(process).is_some_and(|shown| shown != *origin.cookie)
            || group.is_some_and(|path| Some(path) != origin.group)
    }

    fn stack(&self, process: &Process) -> u64 {
        let mut random = self.random.borrow_mut();
        let is_random = process.stack != 0 && ask(&mut random, process, sys::has_random_stack).unwrap_or(false);
        if is_random { process.stack } else { 0 }
    }

    fn holds(&self, process: &Process, sockets: &[u64]) -> bool {
        sys::sockets_of(process.pid).iter().any(|socket| sockets.contains(socket))
    }

    fn is_in_group(&self, process: &Process, group: &str) -> bool {
        self.group(process).is_some_and(|path| path == group)
    }
}

/// The answer about a process, which is kept unless it could not be looked at this time.
fn ask<T: Clone>(known: &mut HashMap<Seen, T>, process: &Process, look: impl FnOnce(i32) -> T) -> Option<T> {
    match known.get(&process.into()) {
        Some(answer) => Some(answer.clone()),
        None => {
            let answer = sys::whole(|| look(process.pid)).ok()?;
            known.insert(process.into(), answer.clone());
            Some(answer)
        }
    }
}

/// The cookie of an environment. One that a server overwrote consists of empty entries or a title, and shows nothing.
fn shown(entries: Vec<OsString>) -> Option<OsString> {
    let is_whole = entries.iter().all(|entry| entry.as_bytes().contains(&b'='));
    is_whole.then(|| Environment::new(entries).get(COOKIE).map(ToOwned::to_owned)).flatten()
}

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

/// What ties a process to the instance.
#[derive(Clone, Copy, Default)]
struct Tie {
    belongs: bool,
    /// It did not leave for a session of its own.
    is_with_main: bool,
}

/// Everything that the proof looks at.
struct Proof<'a, L> {
    origin: &'a Origin,
    table: &'a [Process],
    look: &'a L,
}

impl<L: Look> Proof<'_, L> {
    /// The tie of each process of the table.
    fn ties(&self) -> Vec<Tie> {
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
        let may_adopt = parent.pid == 1 || is_main && !self.origin.before.is_empty();
        self.is_later(p) && p.start >= parent.start && !may_adopt
    }
}
