#![forbid(unsafe_code)]
//! The thread of a job. A wait has several while attempts wait for slow answers: the youngest begins the next attempt, and
//! an older one ends with its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::context::Context;
use super::exec;
use super::in_flight::InFlight;
use super::job::{Job, Progress, Work};
use super::pace::{Limits, patience};
use super::probe::{Probe, Prober};
use super::reason::Reason;
use crate::sys::{self, SelfPipe};
use crate::text::elapsed;

/// The work of one thread.
#[derive(Clone)]
pub struct Worker {
    pub job: Job,
    pub context: Arc<Context>,
    pub started: Instant,
    pub token: Arc<OwnedFd>,
    pub slot: Slot,
    pub in_flight: InFlight,
}

impl Worker {
    pub fn work(self) {
        let cancel = self.token.as_fd();
        self.slot.begin(self.started.elapsed());
        match &self.job.work {
            Work::Once(probe) => {
                let limit = probe.pace.attempt_limit(probe.check.has_children(), self.job.deadline);
                let limits = Limits { whole: limit, connect: limit };
                let result = Prober::new(probe, self.in_flight.clone()).attempt(&self.context, limits, cancel);
                self.slot.tried(result.map_err(|reason| Some(reason.to_string())), self.started, true);
            }
            Work::Fix(script) => {
                let result = exec::fix(script, &self.context, self.job.deadline, cancel);
                self.slot.tried(result.map_err(Some), self.started, true);
            }
            Work::Until(probe) => self.until(probe, cancel),
        }
    }

    fn until(&self, probe: &Probe, cancel: BorrowedFd) {
        let deadline = self.job.deadline;
        let mut prober = Prober::new(probe, self.in_flight.clone());
        let mut last: Option<Reason> = None;
        let mut held_since: Option<Duration> = None;
        loop {
            let begun = self.started.elapsed();
            self.slot.attempt_begins(begun);
            let whole = probe.pace.attempt_limit(probe.check.has_children(), deadline.saturating_sub(begun));
            let limits = Limits { whole, connect: patience(begun).min(whole) };
            let result = prober.attempt(&self.context, limits, cancel);
            let waited = self.started.elapsed();
            let is_final = matches!(result, Err(Reason::Final(_)));
            if is_final {
                self.slot.give_up();
            }
            let late = is_final || waited >= deadline;
            let result = match result {
                Ok(()) => {
                    let held = waited - *held_since.get_or_insert(waited);
                    if held >= probe.pace.hold { Ok(()) } else { Err(Some(not_long_enough(held, probe))) }
                }
                Err(reason) => {
                    held_since = None;
                    let words = (last.as_ref() != Some(&reason)).then(|| reason.to_string());
                    last = Some(reason);
                    Err(words)
                }
            };
            if self.slot.tried(result, self.started, late) {
                return;
            }
            let left = held_since.map_or(Duration::MAX, |since| (since + probe.pace.hold).saturating_sub(waited));
            let pause = probe.pace.pause(waited).min(left).min(deadline.saturating_sub(waited));
            let cancelled = sys::wait_readable([Some(cancel)], pause)[0];
            if cancelled {
                return;
            }
            if self.started.elapsed() >= deadline {
                self.slot.end(self.started.elapsed());
                return;
            }
        }
    }
}

fn not_long_enough(held: Duration, probe: &Probe) -> String {
    format!("it has held for {} of the {} that it must", elapsed(held), elapsed(probe.pace.hold))
}

/// The place where the threads of a job report their progress.
#[derive(Clone)]
pub struct Slot {
    pub index: usize,
    /// Which thread of the job this is, from 0 on.
    pub number: usize,
    pub all: Arc<Mutex<Vec<Shared>>>,
    pub pipe: Arc<SelfPipe>,
}

/// What the threads of a job share.
#[derive(Default)]
pub struct Shared {
    pub progress: Progress,
    /// The youngest thread of a job.
    pub youngest: usize,
    /// When the attempt of that thread began.
    pub attempt_begun: Duration,
}

impl Slot {
    fn begin(&self, waited: Duration) {
        lock(&self.all)[self.index].progress.begun.get_or_insert(waited);
    }

    fn attempt_begins(&self, waited: Duration) {
        let shared = &mut lock(&self.all)[self.index];
        if shared.youngest == self.number {
            shared.attempt_begun = waited;
        }
    }

    /// Notes that no other attempt can help.
    fn give_up(&self) {
        lock(&self.all)[self.index].progress.is_final = true;
    }

    /// Notes an attempt. Without a reason it failed as the last one did. An attempt that the deadline cut short (`last`)
    /// says nothing new. Returns true if nothing is left to do.
    fn tried(&self, result: Result<(), Option<String>>, started: Instant, last: bool) -> bool {
        let holds = result.is_ok();
        {
            let Shared { progress, youngest, .. } = &mut lock(&self.all)[self.index];
            progress.attempts += 1;
            match result {
                Ok(()) => progress.reason.clear(),
                Err(Some(reason)) if !last || progress.reason.is_empty() => progress.reason = reason,
                Err(_) => {}
            }
            if progress.outcome.is_some() || (*youngest != self.number && !holds) {
                return true;
            }
            if !(holds || last) {
                return false;
            }
            progress.outcome = Some((holds, started.elapsed()));
        }
        self.pipe.ring();
        true
    }

    fn end(&self, waited: Duration) {
        lock(&self.all)[self.index].progress.outcome.get_or_insert((false, waited));
        self.pipe.ring();
    }
}

/// The list is complete at every moment, even after a thread has panicked.
pub fn lock(all: &Mutex<Vec<Shared>>) -> MutexGuard<'_, Vec<Shared>> {
    all.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
