#![forbid(unsafe_code)]
//! Stops an instance: the stop signal to main, SIGTERM to the rest once main has ended or half of the grace is over, and
//! SIGKILL after the grace, to each of its processes and to nothing else.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::family::{Family, find, lineage};
use super::identity::Identity;
use super::origin::Origin;
use super::record::{Phase, Record, Stopper};
use super::sight::Sight;
use super::state::Folder;
use crate::sys::{self, Caught, ExitWatch, Host, Process, Seen, Wake};

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
    pub wake: &'a Arc<Wake>,
    pub signals: &'a Caught,
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
        let signals_before = self.signals.count();
        let mut sight = Sight::default();
        let mut seen_empty = false;
        let (mut told, mut killed) = (HashSet::new(), HashSet::new());
        // A member stays a member once it was seen. If its parent dies first, nothing else shows where it belongs.
        let mut known = HashSet::new();
        // For the same reason, an ancestor of ours stays one.
        let us = std::process::id() as i32;
        let table = sys::processes()?;
        let callers = lineage(&table, us);
        let mut last = self.last(&find(self.origin, &table, &callers, &sight));
        let is_main = |p: &Process| key(p) == self.origin.main;
        let lives = table.iter().any(|p| is_main(p) && !p.zombie);
        self.prepare.filter(|_| lives).into_iter().for_each(|prepare| prepare());
        let watch = lives.then(|| ExitWatch::new(self.origin.main.pid));
        let mut started = Instant::now();
        let (mut kill_from, mut refused) = (None, None);
        loop {
            let _ = sys::wait_for(self.origin.main.pid);
            let table = sys::processes()?;
            let mut found = find(self.origin, &table, &callers, &sight);
            if self.all {
                found.members.append(&mut found.left);
            }
            if let Some(only) = &self.only {
                let left = &mut found.left;
                found.members.extend(left.iter().filter(|p| only.iter().any(|q| key(q) == key(p))).copied());
                found.members.retain(|p| {
                    let is_one = |q: &Process| key(q) == key(p) || q.pid == p.parent;
                    only.iter().any(is_one) || known.iter().any(|seen: &Seen| seen.pid == p.parent)
                });
            }
            known.extend(found.members.iter().map(key));
            let mut left: Vec<_> = table.into_iter().filter(|p| !p.zombie && known.contains(&key(p))).collect();
            // Reading the table takes time, and a process has no environment while it executes another program. A
            // second look, which begins later, sees what the last member started as it ended.
            if left.is_empty() && !seen_empty {
                (seen_empty, sight) = (true, Sight::default());
                continue;
            }
            // The ancestors have a grace of their own.
            if left.is_empty() && !last.is_empty() {
                known.extend(last.drain(..).map(|p| key(&p)));
                (started, kill_from) = (Instant::now(), None);
                continue;
            }
            seen_empty = left.is_empty();
            left.sort_by_key(|p| !is_main(p));
            let hurried = self.signalled == Signalled::EndsTheGrace && self.signals.count() > signals_before;
            // A signal that came before this stop counts too. Even then every process is told to end, once.
            let interrupted = self.signalled == Signalled::EndsTheWait && self.signals.signal().is_some();
            let given_up = kill_from.is_some_and(|at: Instant| at.elapsed() > AFTER_KILL);
            let leave = interrupted && left.iter().all(|p| told.contains(&key(p)));
            if left.is_empty() || given_up || leave {
                return Ok(Stopped { count: known.len(), left, refused, escaped: found.left });
            }
            if kill_from.is_none() && !told.is_empty() && (hurried || started.elapsed() >= self.grace) {
                kill_from = Some(Instant::now());
            }
            // Main ends its own workers, and lets them finish their work.
            let main_alone =
                is_main(&left[0]) && !interrupted && kill_from.is_none() && started.elapsed() < self.grace / 2;
            for process in left.iter().take(if main_alone { 1 } else { left.len() }) {
                let (signal, done) = match kill_from {
                    Some(_) => (libc::SIGKILL, &mut killed),
                    None if is_main(process) => (self.signal, &mut told),
                    None => (libc::SIGTERM, &mut told),
                };
                if !done.insert(key(process)) {
                    continue;
                }
                let is_first = kill_from.is_none() && done.len() == 1;
                let mark = self.mark.as_ref().filter(|_| is_first);
                mark.inspect(|mark| mark.make(false));
                match send(*process, signal) {
                    Ok(()) => drop(mark.inspect(|mark| mark.make(true))),
                    // It goes on as before, and so does all that it has.
                    Err(e) if is_first && is_main(process) => {
                        mark.inspect(|mark| mark.take_back());
                        return Ok(Stopped { count: known.len(), refused: Some(e), left, escaped: found.left });
                    }
                    Err(e) => refused = Some(e),
                }
            }
            meanwhile();
            let ended = watch.as_ref().filter(|_| is_main(&left[0])).and_then(ExitWatch::descriptor);
            self.wake.wait(ended, TICK);
        }
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
