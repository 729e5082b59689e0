#![forbid(unsafe_code)]
//! Stops an instance: the stop signal to main, SIGTERM to the rest once main has ended or half of the grace is over, and
//! SIGKILL after the grace, to each of its processes and to nothing else.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use super::family::{Family, find, lineage};
use super::identity::Identity;
use super::origin::Origin;
use super::record::{Phase, Record, Stopper};
use super::sight::Sight;
use super::state::Folder;
use crate::sys::{self, Events, ExitWatch, Host, Process, Seen};

/// How often the process table is read while the processes end.
const TICK: Duration = Duration::from_millis(20);
/// How long to wait after SIGKILL for a process that the kernel does not release (a dead disk).
const AFTER_KILL: Duration = Duration::from_secs(5);

/// What a further signal to forerun means during a stop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// The grace is over. Used where forerun must not leave behind what it started.
    EndsTheGrace,
    /// forerun leaves. The processes were told to end and do so by themselves.
    EndsTheWait,
}

/// The parameters of a stop.
pub struct Stop<'a> {
    pub origin: &'a Origin,
    /// Only these processes and what descends from them. Everything of the instance, if there are none.
    pub only: Option<Vec<Process>>,
    /// The stop signal for main.
    pub signal: i32,
    pub grace: Duration,
    /// Also stop members that left for a session of their own.
    pub all: bool,
    pub signalled: Signalled,
    /// Where it is written down that the instance is told to end.
    pub mark: Option<Mark<'a>>,
    /// What is done before main gets its signal, while it lives.
    pub prepare: Option<&'a dyn Fn()>,
    pub events: &'a Events,
}

/// The result of a stop.
#[derive(Default)]
pub struct Stopped {
    /// The number of processes of the instance.
    pub count: usize,
    /// Processes that still run: those that even SIGKILL does not end, those left when a signal ended the wait, or all
    /// of them when main could not be signalled.
    pub left: Vec<Process>,
    /// Why a process could not be signalled.
    pub refused: Option<io::Error>,
    /// Members that left for a session of their own, and were left alone.
    pub escaped: Vec<Process>,
}

/// The mark in the record of an instance that is told to end. It is made just before the first signal. If a forerun is
/// killed in between, its identity tells that nobody was told.
pub struct Mark<'a> {
    folder: &'a Folder,
    record: &'a Record,
    us: Option<Identity>,
}

impl<'a> Mark<'a> {
    pub fn new(folder: &'a Folder, record: &'a Record, here: &Host) -> Self {
        let us = sys::process(std::process::id() as i32).map(|us| Identity::new(&us, here));
        Mark { folder, record, us }
    }

    fn make(&self, told: bool) {
        let told = told || self.record.was_told_to_end();
        let stopper = self.us.clone().map(|process| Stopper { process, told });
        Record { phase: Phase::Stopping, starter: None, stopper, ..self.record.clone() }.write_or_warn(self.folder);
    }

    fn take_back(&self) {
        self.record.write_or_warn(self.folder);
    }
}

impl Stop<'_> {
    /// Stops the instance. Calls `meanwhile` again and again as long as a process is left.
    ///
    /// # Errors
    /// When the process table cannot be read: a process that is not seen may still be there.
    pub fn run(&self, mut meanwhile: impl FnMut()) -> io::Result<Stopped> {
        let signals_before = self.events.count();
        let table = sys::processes()?;
        let mut course = Course::new(self, &table, signals_before);
        let lives = table.iter().any(|p| self.is_main(p) && !p.zombie);
        self.prepare.filter(|_| lives).into_iter().for_each(|prepare| prepare());
        let watch = lives.then(|| ExitWatch::new(self.origin.main.pid));
        course.started = Instant::now();
        loop {
            let _ = sys::wait_for(self.origin.main.pid);
            let Some(seen) = course.look(sys::processes()?) else { continue };
            if course.is_over(&seen.left) {
                return Ok(course.stopped(seen));
            }
            if course.signal(&seen.left) == Next::MainGoesOn {
                return Ok(course.stopped(seen));
            }
            meanwhile();
            let ended = watch.as_ref().filter(|_| self.is_main(&seen.left[0])).and_then(ExitWatch::descriptor);
            self.events.wait(ended, TICK);
        }
    }

    fn is_main(&self, process: &Process) -> bool {
        key(process) == self.origin.main
    }

    /// A signal that came before this stop counts too. Even then every process is told to end, once.
    fn is_interrupted(&self) -> bool {
        self.signalled == Signalled::EndsTheWait && self.events.signal().is_some()
    }

    /// The ancestors of ours that end last: the server's own processes, as a worker that runs `forerun restart` for a
    /// deployment. A shell between it and us is none. It learns how the stop ended, and ends by itself.
    fn last(&self, family: &Family) -> Vec<Process> {
        let is_fork_of_main =
            |p: &Process| p.forked && p.stack != 0 && family.members.iter().any(|q| q.stack == p.stack);
        let serves = |p: &Process| p.session == self.origin.session && !sys::listens_on(&[p.pid]).is_empty();
        family.callers.iter().filter(|p| is_fork_of_main(p) || serves(p)).copied().collect()
    }
}

/// How far a stop has come.
struct Course<'a> {
    stop: &'a Stop<'a>,
    signals_before: i32,
    sight: Sight,
    /// Ourselves and our ancestors when the stop began.
    callers: Vec<i32>,
    /// Those of them that end last. For the same reason as `known`, an ancestor of ours stays one.
    last: Vec<Process>,
    /// A member stays a member once it was seen. If its parent dies first, nothing else shows where it belongs.
    known: HashSet<Seen>,
    told: HashSet<Seen>,
    killed: HashSet<Seen>,
    seen_empty: bool,
    started: Instant,
    kill_from: Option<Instant>,
    refused: Option<io::Error>,
}

/// What one look at the process table showed.
struct Remaining {
    /// Those that still run, main first.
    left: Vec<Process>,
    /// Members that left for a session of their own, and are left alone.
    escaped: Vec<Process>,
}

/// What follows from a round of signals.
#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    /// Main could not be signalled. It goes on as before, and so does all that it has.
    MainGoesOn,
}

impl<'a> Course<'a> {
    fn new(stop: &'a Stop<'a>, table: &[Process], signals_before: i32) -> Self {
        let sight = Sight::default();
        let callers = lineage(table, std::process::id() as i32);
        let last = stop.last(&find(stop.origin, table, &callers, &sight));
        let [known, told, killed] = [(); 3].map(|()| HashSet::new());
        let (seen_empty, kill_from, refused) = (false, None, None);
        let started = Instant::now();
        Course {
            stop,
            signals_before,
            sight,
            callers,
            last,
            known,
            told,
            killed,
            seen_empty,
            started,
            kill_from,
            refused,
        }
    }

    /// Looks who is left. `None` if nobody seems to be, and a further look must tell.
    fn look(&mut self, table: Vec<Process>) -> Option<Remaining> {
        let stop = self.stop;
        let mut found = find(stop.origin, &table, &self.callers, &self.sight);
        if stop.all {
            found.members.append(&mut found.left);
        }
        if let Some(only) = &stop.only {
            let left = &mut found.left;
            found.members.extend(left.iter().filter(|p| only.iter().any(|q| key(q) == key(p))).copied());
            found.members.retain(|p| {
                let is_one = |q: &Process| key(q) == key(p) || q.pid == p.parent;
                only.iter().any(is_one) || self.known.iter().any(|seen| seen.pid == p.parent)
            });
        }
        self.known.extend(found.members.iter().map(key));
        let mut left: Vec<_> = table.into_iter().filter(|p| !p.zombie && self.known.contains(&key(p))).collect();
        // Reading the table takes time, and a process has no environment while it executes another program. A
        // second look, which begins later, sees what the last member started as it ended.
        if left.is_empty() && !self.seen_empty {
            (self.seen_empty, self.sight) = (true, Sight::default());
            return None;
        }
        // The ancestors have a grace of their own.
        if left.is_empty() && !self.last.is_empty() {
            self.known.extend(self.last.drain(..).map(|p| key(&p)));
            (self.started, self.kill_from) = (Instant::now(), None);
            return None;
        }
        self.seen_empty = left.is_empty();
        left.sort_by_key(|p| !stop.is_main(p));
        Some(Remaining { left, escaped: found.left })
    }

    /// Whether nothing is left to do: all have ended, or those that are left are waited for no longer.
    fn is_over(&self, left: &[Process]) -> bool {
        let given_up = self.kill_from.is_some_and(|at| at.elapsed() > AFTER_KILL);
        let leave = self.stop.is_interrupted() && left.iter().all(|p| self.told.contains(&key(p)));
        left.is_empty() || given_up || leave
    }

    /// Signals those who were not yet. `left` has somebody.
    fn signal(&mut self, left: &[Process]) -> Next {
        let stop = self.stop;
        let hurried = stop.signalled == Signalled::EndsTheGrace && stop.events.count() > self.signals_before;
        if self.kill_from.is_none() && !self.told.is_empty() && (hurried || self.started.elapsed() >= stop.grace) {
            self.kill_from = Some(Instant::now());
        }
        // Main ends its own workers, and lets them finish their work.
        let main_alone = stop.is_main(&left[0])
            && !stop.is_interrupted()
            && self.kill_from.is_none()
            && self.started.elapsed() < stop.grace / 2;
        for process in left.iter().take(if main_alone { 1 } else { left.len() }) {
            let (signal, done) = match self.kill_from {
                Some(_) => (libc::SIGKILL, &mut self.killed),
                None if stop.is_main(process) => (stop.signal, &mut self.told),
                None => (libc::SIGTERM, &mut self.told),
            };
            if !done.insert(key(process)) {
                continue;
            }
            let is_first = self.kill_from.is_none() && done.len() == 1;
            let mark = stop.mark.as_ref().filter(|_| is_first);
            mark.inspect(|mark| mark.make(false));
            match send(*process, signal) {
                Ok(()) => drop(mark.inspect(|mark| mark.make(true))),
                Err(e) => {
                    self.refused = Some(e);
                    if is_first && stop.is_main(process) {
                        mark.inspect(|mark| mark.take_back());
                        return Next::MainGoesOn;
                    }
                }
            }
        }
        Next::Wait
    }

    fn stopped(self, seen: Remaining) -> Stopped {
        Stopped { count: self.known.len(), left: seen.left, refused: self.refused, escaped: seen.escaped }
    }
}

fn key(process: &Process) -> Seen {
    process.into()
}

/// Signals one process. Opens the watch first, then looks at the process again, so that a reused pid is never
/// signalled.
///
/// # Errors
/// Those of kill(2), and when the process cannot be looked at. A process that has ended is not an error.
pub fn send(process: Process, signal: i32) -> io::Result<()> {
    let watch = ExitWatch::new(process.pid);
    let is_gone = || Ok::<_, io::Error>(sys::look_up(process.pid)?.is_none_or(|now| now.start != process.start));
    if is_gone()? {
        return Ok(());
    }
    let sent = match watch.signal(signal) {
        // A filter of system calls may allow pidfd_open(2) and not pidfd_send_signal(2). It says that with either
        // error, and kill(2) asks for the same right.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) && !is_gone()? => {
            sys::kill(process.pid, signal)
        }
        sent => sent,
    };
    sent.or_else(|e| if e.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(e) })
}
