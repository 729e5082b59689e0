#![forbid(unsafe_code)]
//! Stopping an instance: SIGTERM, the grace, SIGKILL, to each of its processes and to nothing else.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::members::{Marks, Sight, find, spared};
use crate::sys::{self, Caught, ExitWatch, Process, Wake};

/// How often the table of processes is read while they end.
const TICK: Duration = Duration::from_millis(20);
/// How long after SIGKILL a process is waited for that the kernel does not let go of (a dead disk).
const AFTER_KILL: Duration = Duration::from_secs(5);

/// What a further signal to forerun does to a stop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// The grace is over: what we started must not be left behind.
    EndsTheGrace,
    /// We leave; what was told to end ends by itself.
    EndsTheWait,
}

/// How to stop.
pub struct Stop<'a> {
    pub marks: &'a Marks,
    pub grace: Duration,
    /// What left into a session of its own goes too.
    pub all: bool,
    pub signalled: Signalled,
    pub wake: &'a Arc<Wake>,
    pub signals: &'a Caught,
}

/// What came of it.
#[derive(Default)]
pub struct Stopped {
    /// How many processes there were.
    pub count: usize,
    /// What still runs: nothing, but for what even SIGKILL does not end, or where a signal ended the wait.
    pub left: Vec<Process>,
    /// Why something of it could not be signalled.
    pub refused: Option<io::Error>,
    /// What shows the cookie, left into a session of its own, and was left alone.
    pub escaped: Vec<Process>,
}

impl Stop<'_> {
    /// Stops the instance. `meanwhile` is called as long as something is left.
    ///
    /// # Errors
    /// When processes cannot be looked at: who is not seen may still be there.
    pub fn run(&self, mut meanwhile: impl FnMut()) -> io::Result<Stopped> {
        let signals_before = self.signals.count();
        let started = Instant::now();
        let mut sight = Sight::default();
        let mut seen_empty = false;
        let (mut terminated, mut killed) = (HashSet::new(), HashSet::new());
        // Once seen, a member stays one: when its parent dies first, nothing else says so.
        let mut known = HashSet::new();
        // Once an ancestor of ours, always one, for the same reason.
        let us = std::process::id() as i32;
        let spared = spared(&sys::processes()?, us, &self.marks.main);
        let (mut kill_from, mut refused) = (None, None);
        loop {
            let _ = sys::wait_for(self.marks.main.pid);
            let table = sys::processes()?;
            let mut found = find(self.marks, &table, us, &spared, &sight);
            if self.all {
                found.members.append(&mut found.escaped);
            }
            known.extend(found.members.iter().map(|p| (p.pid, p.start)));
            let left: Vec<_> = table.into_iter().filter(|p| !p.zombie && known.contains(&(p.pid, p.start))).collect();
            // The table is not read in a moment, and an environment is not there while its process executes another
            // program: what the last member started as it ended is seen by a look that begins after that.
            if left.is_empty() && !seen_empty {
                (seen_empty, sight) = (true, Sight::default());
                continue;
            }
            seen_empty = left.is_empty();
            let hurried = self.signalled == Signalled::EndsTheGrace && self.signals.count() > signals_before;
            // By one that came before this, too: everything is told to end all the same, once.
            let interrupted = self.signalled == Signalled::EndsTheWait && self.signals.signal().is_some();
            let given_up = kill_from.is_some_and(|at: Instant| at.elapsed() > AFTER_KILL);
            let leave = interrupted && !terminated.is_empty();
            if left.is_empty() || given_up || leave {
                return Ok(Stopped { count: known.len(), left, refused, escaped: found.escaped });
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

/// Signals one process: the watch is opened first, then the process is looked at again.
///
/// # Errors
/// Those of kill(2), and when it cannot be looked at. That it has ended is none.
pub fn send(process: Process, signal: i32) -> io::Result<()> {
    let watch = ExitWatch::new(process.pid);
    if sys::look_up(process.pid)?.is_none_or(|now| now.start != process.start) {
        return Ok(());
    }
    watch.signal(signal).or_else(|e| if e.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(e) })
}
