#![forbid(unsafe_code)]
//! Runs many checks at once, each to its own deadline.
//!
//! Every check has a thread. The main thread waits for them, for signals, and for one descriptor of the caller. A check
//! whose attempt waits long for an answer gets another thread, which tries beside it: the first answer may be slow, and a
//! request can be lost. At its deadline a check whose thread hangs is given up (a name server, a dead NFS mount). If all
//! checks hold, all threads have been joined. If not, forerun ends, and waits only for commands.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::context::Context;
use super::in_flight::InFlight;
pub use super::job::{Job, Progress, Work};
use super::pace::patience;
use super::worker::{Shared, Slot, Worker, lock};
use crate::error::Error;
use crate::sys::{Cancel, Events, SelfPipe, Woken};

/// Room for a TLS handshake in a debug build.
const STACK: usize = 512 * 1024;
/// A check that does not return is given up this long after its deadline. By then an attempt whose time is over has said why.
const SLACK: Duration = Duration::from_millis(50);
/// How many attempts of one check wait for an answer at the same time.
const MOST: usize = 16;

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
    shared: Arc<Mutex<Vec<Shared>>>,
    threads: Vec<Vec<Thread>>,
    cancel: Option<Cancel>,
    token: Arc<OwnedFd>,
    context: Arc<Context>,
    pipe: Arc<SelfPipe>,
    started: Instant,
}

struct Thread {
    handle: JoinHandle<()>,
    in_flight: InFlight,
}

impl Run {
    /// Starts all jobs.
    ///
    /// # Errors
    /// When the system has no threads or descriptors left.
    pub fn start(jobs: Vec<Job>, context: &Arc<Context>, pipe: &Arc<SelfPipe>) -> Result<Self, Error> {
        let exhausted =
            |e: io::Error| Error::Exhausted(format!("cannot run the checks: {e}; raise the limits or try again"));
        let cancel = Cancel::new().map_err(exhausted)?;
        let token = Arc::new(cancel.token().map_err(exhausted)?);
        let mut run = Run {
            shared: Arc::new(Mutex::new(jobs.iter().map(|_| Shared::default()).collect())),
            threads: jobs.iter().map(|_| Vec::with_capacity(1)).collect(),
            cancel: Some(cancel),
            token,
            context: Arc::clone(context),
            pipe: Arc::clone(pipe),
            started: Instant::now(),
            jobs,
        };
        for index in 0..run.jobs.len() {
            run.start_thread(index).map_err(exhausted)?;
        }
        Ok(run)
    }

    /// Starts one more thread of a job.
    fn start_thread(&mut self, index: usize) -> io::Result<()> {
        let number = self.threads[index].len();
        let in_flight = InFlight::default();
        let worker = Worker {
            job: self.jobs[index].clone(),
            context: Arc::clone(&self.context),
            started: self.started,
            token: Arc::clone(&self.token),
            slot: Slot { index, number, all: Arc::clone(&self.shared), pipe: Arc::clone(&self.pipe) },
            in_flight: in_flight.clone(),
        };
        {
            let shared = &mut lock(&self.shared)[index];
            (shared.youngest, shared.attempt_begun) = (number, self.started.elapsed());
        }
        match std::thread::Builder::new().stack_size(STACK).spawn(move || worker.work()) {
            Ok(handle) => self.threads[index].push(Thread { handle, in_flight }),
            Err(e) => {
                lock(&self.shared)[index].youngest = number.saturating_sub(1);
                return Err(e);
            }
        }
        Ok(())
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
            let beside = self.try_beside_slow(waited);
            let progress = self.progress();
            observer.look(&self.jobs, &progress, waited);
            let Some(next) = next else { return Ok(Ended::All) };
            if events.wait(other, next.min(beside).min(observer.interval())) == Woken::Other {
                return Ok(Ended::Other);
            }
        }
    }

    /// The progress of all jobs.
    pub fn progress(&self) -> Vec<Progress> {
        lock(&self.shared).iter().map(|shared| shared.progress.clone()).collect()
    }

    /// Gives up jobs that are late and hang. Returns the time until the next one is late, or `None` if all are done.
    fn give_up_late(&self, waited: Duration) -> Option<Duration> {
        let mut next = None;
        let jobs = self.jobs.iter().zip(&self.threads);
        for ((job, threads), Shared { progress, .. }) in jobs.zip(lock(&self.shared).iter_mut()) {
            // A command ends at its deadline by itself, and must be reaped.
            if progress.outcome.is_some() {
                continue;
            }
            let late = job.deadline.max(progress.begun.unwrap_or_default()) + SLACK;
            if waited >= late && progress.begun.is_some() && !job.has_children() {
                if progress.reason.is_empty() {
                    progress.reason = threads.first().map(|thread| thread.in_flight.silence()).unwrap_or_default();
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

    /// Begins another attempt beside each that has waited long for an answer. Returns the time until one may have.
    fn try_beside_slow(&mut self, waited: Duration) -> Duration {
        let mut next = Duration::MAX;
        for index in 0..self.jobs.len() {
            let begun = {
                let shared = &lock(&self.shared)[index];
                if shared.progress.outcome.is_some() { None } else { Some(shared.attempt_begun) }
            };
            let is_wait = matches!(self.jobs[index].work, Work::Until(_)) && !self.jobs[index].has_children();
            let Some(begun) = begun.filter(|_| is_wait && self.threads[index].len() < MOST) else { continue };
            let left = (begun + patience(begun)).saturating_sub(waited);
            let waits = || self.threads[index].last().is_some_and(|thread| thread.in_flight.waits());
            if left.is_zero() && waits() {
                // Where the system has no threads left, the slow attempt goes on alone.
                let _ = self.start_thread(index);
            }
            next = next.min(left.max(Duration::from_millis(100)));
        }
        next
    }
}

impl Drop for Run {
    /// No thread is left if all jobs held, and no child in any case.
    fn drop(&mut self) {
        self.cancel = None;
        let progress = self.progress();
        for ((job, progress), threads) in self.jobs.iter().zip(progress).zip(&mut self.threads) {
            if progress.holds() || job.has_children() {
                threads.iter().for_each(|thread| thread.in_flight.end());
                threads.drain(..).for_each(|thread| drop(thread.handle.join()));
            }
        }
    }
}
