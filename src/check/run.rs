#![forbid(unsafe_code)]
//! Runs many checks at once, each to its own deadline.
//!
//! Every check has a thread. The main thread waits for them, for signals, and for one descriptor of the caller. At its
//! deadline it gives up a check whose thread hangs (a name server, a dead NFS mount). If all checks hold, all threads
//! have been joined. If not, forerun ends, and waits only for commands.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::context::Context;
use super::exec;
use super::probe::{Probe, Prober};
use super::reason::Reason;
use crate::error::Error;
use crate::sys::{self, Cancel, Events, SelfPipe, Woken};

/// Room for a TLS handshake in a debug build.
const STACK: usize = 512 * 1024;
/// How long one attempt may take at first.
const PATIENCE: Duration = Duration::from_secs(1);
/// A check that does not return is given up this long after its deadline.
const SLACK: Duration = Duration::from_millis(10);

/// One check or command to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name in messages.
    pub label: String,
    pub work: Work,
    pub deadline: Duration,
}

#[derive(Clone, Debug)]
pub enum Work {
    /// One attempt.
    Once(Probe),
    /// Attempts until one holds.
    Until(Probe),
    /// The fix of a requirement.
    Fix(OsString),
}

impl Job {
    /// A check that must hold now.
    pub fn require(probe: Probe) -> Self {
        Job { label: probe.check.to_string(), work: Work::Once(probe), deadline: exec::TIMEOUT }
    }

    /// A check that may still become true.
    pub fn wait(probe: Probe) -> Self {
        Job { label: probe.check.to_string(), deadline: probe.timeout, work: Work::Until(probe) }
    }
}

/// The progress of a job.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When the first attempt began. On a busy machine that can be after a short deadline.
    pub begun: Option<Duration>,
    pub attempts: u32,
    /// The reason that the last attempt gave.
    pub reason: String,
    /// Whether it held, and how long that took.
    pub outcome: Option<(bool, Duration)>,
}

impl Progress {
    pub fn holds(&self) -> bool {
        matches!(self.outcome, Some((true, _)))
    }

    /// How long it took, once it is done.
    pub fn took(&self) -> Duration {
        self.outcome.map(|(_, took)| took).unwrap_or_default()
    }
}

/// Watches the progress of jobs.
pub trait Observer {
    /// The longest time between two calls of `look`, which is also called whenever a job ends.
    fn interval(&self) -> Duration;
    fn look(&mut self, jobs: &[Job], progress: &[Progress], waited: Duration);
}

/// Why [`Run::wait`] returned.
#[derive(PartialEq, Eq, Debug)]
pub enum Ended {
    /// Every job is done.
    All,
    /// The caller's descriptor is readable.
    Other,
}

/// Running jobs.
pub struct Run {
    jobs: Vec<Job>,
    progress: Arc<Mutex<Vec<Progress>>>,
    threads: Vec<Option<JoinHandle<()>>>,
    cancel: Option<Cancel>,
    started: Instant,
}

impl Run {
    /// Starts all jobs.
    ///
    /// # Errors
    /// When the system has no threads or descriptors left.
    pub fn start(jobs: Vec<Job>, context: &Arc<Context>, pipe: &Arc<SelfPipe>) -> Result<Self, Error> {
        let exhausted =
            |e: std::io::Error| Error::Exhausted(format!("cannot run the checks: {e}; raise the limits or try again"));
        let cancel = Cancel::new().map_err(exhausted)?;
        let progress = Arc::new(Mutex::new(vec![Progress::default(); jobs.len()]));
        let started = Instant::now();
        let mut run = Run { threads: Vec::with_capacity(jobs.len()), cancel: None, progress, started, jobs };
        let token = Arc::new(cancel.token().map_err(exhausted)?);
        run.cancel = Some(cancel);
        for (index, job) in run.jobs.iter().enumerate() {
            let worker = Worker {
                job: job.clone(),
                context: Arc::clone(context),
                started,
                token: Arc::clone(&token),
                slot: Slot { index, all: Arc::clone(&run.progress), pipe: Arc::clone(pipe) },
            };
            let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || worker.work());
            run.threads.push(Some(thread.map_err(exhausted)?));
        }
        Ok(run)
    }

    /// Waits until every job is done, a signal arrives, or `other` is readable.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn wait(
        &mut self,
        other: Option<BorrowedFd>,
        events: &Events,
        observer: &mut dyn Observer,
    ) -> Result<Ended, Error> {
        loop {
            if let Some(signal) = events.signal() {
                return Err(Error::Interrupted(signal));
            }
            let waited = self.started.elapsed();
            let next = self.give_up_late(waited);
            let progress = self.progress();
            observer.look(&self.jobs, &progress, waited);
            let Some(next) = next else { return Ok(Ended::All) };
            if events.wait(other, next.min(observer.interval())) == Woken::Other {
                return Ok(Ended::Other);
            }
        }
    }

    /// The progress of all jobs.
    pub fn progress(&self) -> Vec<Progress> {
        lock(&self.progress).clone()
    }

    /// Gives up jobs that are late and hang. Returns the time until the next one is late, or `None` if all are done.
    fn give_up_late(&self, waited: Duration) -> Option<Duration> {
        let mut next = None;
        for (job, progress) in self.jobs.iter().zip(lock(&self.progress).iter_mut()) {
            // A command ends at its deadline by itself, and must be reaped.
            if progress.outcome.is_some() {
                continue;
            }
            let late = job.deadline.max(progress.begun.unwrap_or_default()) + SLACK;
            if waited >= late && progress.begun.is_some() && !job.has_children() {
                if progress.reason.is_empty() {
                    progress.reason = "no answer".to_owned();
                }
                progress.attempts = progress.attempts.max(1);
                progress.outcome = Some((false, waited));
            } else {
                let left = late.saturating_sub(waited).max(Duration::from_millis(1));
                next = Some(next.map_or(left, |n: Duration| n.min(left)));
            }
        }
        next
    }
}

impl Drop for Run {
    /// No thread is left if all jobs held, and no child in any case.
    fn drop(&mut self) {
        self.cancel = None;
        let progress = self.progress();
        for ((job, progress), thread) in self.jobs.iter().zip(progress).zip(&mut self.threads) {
            if let Some(thread) = thread.take().filter(|_| progress.holds() || job.has_children()) {
                let _ = thread.join();
            }
        }
    }
}

impl Job {
    fn has_children(&self) -> bool {
        match &self.work {
            Work::Once(probe) | Work::Until(probe) => probe.check.has_children(),
            Work::Fix(_) => true,
        }
    }
}

/// The work of one thread.
struct Worker {
    job: Job,
    context: Arc<Context>,
    started: Instant,
    token: Arc<OwnedFd>,
    slot: Slot,
}

impl Worker {
    fn work(self) {
        let cancel = self.token.as_fd();
        self.slot.begin(self.started.elapsed());
        match &self.job.work {
            Work::Once(probe) => {
                let result = Prober::new(probe).attempt(&self.context, self.job.deadline, cancel);
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
        let mut prober = Prober::new(probe);
        let mut last: Option<Reason> = None;
        // A command gets all of its time: unlike a packet, it cannot get lost.
        let patience = if self.job.has_children() { exec::TIMEOUT } else { PATIENCE };
        loop {
            let limit = attempt_limit(self.started.elapsed(), deadline, patience);
            let result = prober.attempt(&self.context, limit, cancel);
            let waited = self.started.elapsed();
            let result = result.map_err(|reason| {
                let words = (last.as_ref() != Some(&reason)).then(|| reason.to_string());
                last = Some(reason);
                words
            });
            if self.slot.tried(result, self.started, waited >= deadline) {
                return;
            }
            let cancelled = sys::wait_readable([Some(cancel)], gap(waited).min(deadline - waited))[0];
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

/// The pause before the next attempt: what comes up fast is seen at once, and what takes long costs little.
fn gap(waited: Duration) -> Duration {
    (waited / 50).clamp(Duration::from_millis(1), Duration::from_millis(100))
}

/// The time for one attempt. It grows: a lost packet is sent again soon, and a slow answer is waited for in the end.
fn attempt_limit(waited: Duration, deadline: Duration, patience: Duration) -> Duration {
    (waited / 2).max(patience).min(deadline.saturating_sub(waited)).max(Duration::from_millis(1))
}

/// The place where a thread reports its progress.
struct Slot {
    index: usize,
    all: Arc<Mutex<Vec<Progress>>>,
    pipe: Arc<SelfPipe>,
}

impl Slot {
    fn begin(&self, waited: Duration) {
        lock(&self.all)[self.index].begun = Some(waited);
    }

    /// Notes an attempt. Without a reason it failed as the last one did. Returns true if nothing is left to do.
    fn tried(&self, result: Result<(), Option<String>>, started: Instant, last: bool) -> bool {
        let holds = result.is_ok();
        {
            let progress = &mut lock(&self.all)[self.index];
            progress.attempts += 1;
            match result {
                Ok(()) => progress.reason.clear(),
                Err(Some(reason)) => progress.reason = reason,
                Err(None) => {}
            }
            if progress.outcome.is_some() || !(holds || last) {
                return progress.outcome.is_some();
            }
            progress.outcome = Some((holds, started.elapsed()));
        }
        self.pipe.ring();
        true
    }

    fn end(&self, waited: Duration) {
        lock(&self.all)[self.index].outcome.get_or_insert((false, waited));
        self.pipe.ring();
    }
}

/// The list is complete at every moment, even after a thread has panicked.
fn lock(all: &Mutex<Vec<Progress>>) -> MutexGuard<'_, Vec<Progress>> {
    all.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spaced_at_a_fiftieth_of_the_time_waited() {
        let millis = Duration::from_millis;
        for (waited, expected) in [(0, 1), (49, 1), (500, 10), (5_000, 100), (60_000, 100)] {
            assert_eq!(gap(millis(waited)), millis(expected));
        }
    }

    #[test]
    fn an_attempt_never_outlasts_the_deadline() {
        let seconds = Duration::from_secs;
        for (waited, deadline, expected) in [(0, 60, 1), (10, 60, 5), (58, 60, 2)] {
            assert_eq!(attempt_limit(seconds(waited), seconds(deadline), PATIENCE), seconds(expected));
        }
    }
}
