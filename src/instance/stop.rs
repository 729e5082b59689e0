#![forbid(unsafe_code)]
//! Stops an instance: SIGTERM, the grace, SIGKILL, to each of its processes and to nothing else.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::family::{Origin, Sight, find, lineage};
use crate::sys::{self, Caught, ExitWatch, Process, Wake};

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
    pub grace: Duration,
    /// Also stop processes that left into a session of their own.
    pub all: bool,
    pub signalled: Signalled,
    pub wake: &'a Arc<Wake>,
    pub signals: &'a Caught,
}

/// The result of a stop.
#[derive(Default)]
pub struct Stopped {
    /// The number of processes of the instance.
    pub count: usize,
    /// Processes that still run: those that even SIGKILL does not end, or those left when a signal ended the wait.
    pub left: Vec<Process>,
    /// Why a process could not be signalled.
    pub refused: Option<io::Error>,
    /// Processes that show the cookie, left into a session of their own, and were left alone.
    pub escaped: Vec<Process>,
}

impl Stop<'_> {
    /// Stops the instance. Calls `meanwhile` again and again as long as a process is left.
    ///
    /// # Errors
    /// When the process table cannot be read: a process that is not seen may still be there.
    pub fn run(&self, mut meanwhile: impl FnMut()) -> io::Result<Stopped> {
        let signals_before = self.signals.count();
        let started = Instant::now();
        let mut sight = Sight::default();
        let mut seen_empty = false;
        let (mut terminated, mut killed) = (HashSet::new(), HashSet::new());
        // A member stays a member once it was seen. If its parent dies first, nothing else shows where it belongs.
        let mut known = HashSet::new();
        // For the same reason, an ancestor of ours stays one.
        let us = std::process::id() as i32;
        let callers = lineage(&sys::processes()?, us);
        let (mut kill_from, mut refused) = (None, None);
        loop {
            let _ = sys::wait_for(self.origin.main.pid);
            let table = sys::processes()?;
            let mut found = find(self.origin, &table, &callers, &sight);
            if self.all {
                found.members.append(&mut found.left);
            }
            if let Some(only) = &self.only {
                found.members.append(&mut found.left);
                found.members.retain(|p| {
                    let is_one = |q: &Process| (q.pid, q.start) == (p.pid, p.start) || q.pid == p.parent;
                    only.iter().any(is_one) || known.iter().any(|(pid, _)| *pid == p.parent)
                });
            }
            known.extend(found.members.iter().map(|p| (p.pid, p.start)));
            let left: Vec<_> = table.into_iter().filter(|p| !p.zombie && known.contains(&(p.pid, p.start))).collect();
            // Reading the table takes time, and a process has no environment while it executes another program. A
            // second look, which begins later, sees what the last member started as it ended.
            if left.is_empty() && !seen_empty {
                (seen_empty, sight) = (true, Sight::default());
                continue;
            }
            seen_empty = left.is_empty();
            let hurried = self.signalled == Signalled::EndsTheGrace && self.signals.count() > signals_before;
            // A signal that came before this stop counts too. Even then every process is told to end, once.
            let interrupted = self.signalled == Signalled::EndsTheWait && self.signals.signal().is_some();
            let given_up = kill_from.is_some_and(|at: Instant| at.elapsed() > AFTER_KILL);
            let leave = interrupted && !terminated.is_empty();
            if left.is_empty() || given_up || leave {
                return Ok(Stopped { count: known.len(), left, refused, escaped: found.left });
            }
            if kill_from.is_none() && !terminated.is_empty() && (hurried || started.elapsed() >= self.grace) {
                kill_from = Some(Instant::now());
            }
            let (signal, done) =
                if kill_from.is_some() { (libc::SIGKILL, &mut killed) } else { (libc::SIGTERM, &mut terminated) };
            for process in left {
                if done.insert((process.pid, process.start)) {
                    refused = send(process, signal).err().or(refused);
                }
            }
            meanwhile();
            self.wake.wait(None, TICK);
        }
    }
}

/// Signals one process. Opens the watch first, then looks at the process again, so that a reused pid is never
/// signalled.
///
/// # Errors
/// Those of kill(2), and when the process cannot be looked at. A process that has ended is not an error.
pub fn send(process: Process, signal: i32) -> io::Result<()> {
    let watch = ExitWatch::new(process.pid);
    if sys::look_up(process.pid)?.is_none_or(|now| now.start != process.start) {
        return Ok(());
    }
    watch.signal(signal).or_else(|e| if e.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(e) })
}
