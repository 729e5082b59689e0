#![forbid(unsafe_code)]
//! Standby: a supervised start whose name or port is held waits until the holder ends. No exit code would help, because
//! a supervisor that restarts its job would start it into the same conflict again.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::holder::{self, Conflict, ConflictKind};
use super::launch::Launch;
use super::progress::ProgressLine;
use super::standing::standing;
use crate::check::run::{Ended, Job, Observer, Progress, Run};
use crate::error::Error;
use crate::instance::family::Origin;
use crate::instance::identity::Identity;
use crate::instance::record::Record;
use crate::line::say;
use crate::sys::{ExitWatch, Woken};
use crate::text::elapsed;

/// How often to bind the port if its holder cannot be seen. Short enough to take over within 100 ms.
const UNSEEN: Duration = Duration::from_millis(60);
/// How often to bind the port if its holder can be seen. It may close the port and go on running.
const SEEN: Duration = Duration::from_secs(1);
/// How often to look up the holder. Its end is noticed at once in any case.
const AGAIN: Duration = Duration::from_secs(10);
/// How often to repeat the health check of a running instance while the supervisor waits for our start.
const UNHEALTHY: Duration = Duration::from_secs(1);
/// How often the line in the log is repeated.
const REMINDER: Duration = Duration::from_secs(60 * 60);

/// A start that stands by.
pub struct Standby {
    begun: Instant,
    /// The holder that was named last, and when.
    said: Option<(Instant, Who)>,
    /// The supervisor was told that the service is ready, so our start is over.
    ready: bool,
}

/// The holder: its process, because its title may change, or else the text that describes it.
#[derive(PartialEq)]
enum Who {
    Process(Identity),
    Words(String),
}

impl Standby {
    pub fn new() -> Self {
        Standby { begun: Instant::now(), said: None, ready: false }
    }

    /// Waits until the holder may have ended.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Conflict`] when the supervisor waits for our start and no instance becomes
    /// healthy in time.
    pub fn wait(&mut self, launch: &mut Launch, conflict: Conflict) -> Result<(), Error> {
        self.tell(&conflict);
        let status = format!("standby: {}", conflict.message);
        let watch = conflict.awaited.as_ref().map(|identity| ExitWatch::new(identity.pid));
        // The pid may belong to another process since the holder was looked up.
        if conflict.awaited.as_ref().is_some_and(|identity| identity.running().is_none()) {
            return Ok(());
        }
        let ends = watch.as_ref().and_then(ExitWatch::descriptor);
        let is_ours = matches!(conflict.kind, ConflictKind::Instance(_));
        let start_is_waited_for = launch.progress_line.notifies() && !self.ready;
        if start_is_waited_for {
            launch.progress_line.status(&status);
            if let ConflictKind::Instance(record) = &conflict.kind {
                match is_healthy(launch, record, &status, ends)? {
                    Some(healthy) => self.ready = healthy,
                    None => return Ok(()),
                }
            }
        }
        let mut longest = AGAIN;
        if start_is_waited_for && !self.ready {
            let waited = self.begun.elapsed();
            let left = launch.given.service.wait_timeout.saturating_sub(waited);
            if left.is_zero() {
                let message = format!("gave up standing by after {}: {}", elapsed(waited), conflict.message);
                return Err(Error::Conflict(message));
            }
            longest = left.min(if is_ours { UNHEALTHY } else { AGAIN });
        }
        let often = match conflict.kind {
            ConflictKind::Stranger | ConflictKind::Closing if ends.is_none() => UNSEEN,
            ConflictKind::Stranger => SEEN,
            _ => longest,
        };
        let until = Instant::now() + longest;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let patience = self.notify(launch, &status);
            let woken = launch.events.wait(ends, left.min(often).min(patience));
            if let Some(signal) = launch.events.signal() {
                return Err(Error::Interrupted(signal));
            }
            // Binding is cheap. Searching for the holder of the port is not.
            let is_of_port = matches!(conflict.kind, ConflictKind::Stranger | ConflictKind::Closing);
            let is_free = is_of_port && !holder::is_port_held(launch.given.service);
            if is_free || woken == Woken::Other || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Tells the service manager that we stand by. Returns the time until the next message is due.
    fn notify(&self, launch: &mut Launch, status: &str) -> Duration {
        if self.ready {
            return launch.progress_line.stands_by(status);
        }
        launch.progress_line.status(status);
        launch.progress_line.patience()
    }

    /// Prints that the standby is over.
    pub fn end(&self) {
        say(&format!("standby is over after {}: name and port are free; starting", elapsed(self.begun.elapsed())));
    }

    /// Prints a line at the beginning, when the holder changes, and as a reminder.
    fn tell(&mut self, conflict: &Conflict) {
        let who = match &conflict.awaited {
            Some(process) => Who::Process(process.clone()),
            None => Who::Words(conflict.message.clone()),
        };
        let known = self.said.as_ref().is_some_and(|(at, said)| *said == who && at.elapsed() < REMINDER);
        if !known {
            say(&format!("standby: {}", conflict.message));
            self.said = Some((Instant::now(), who));
        }
    }
}

/// Whether the running instance is healthy: one attempt. Without a health check and a port, it is healthy because it
/// runs. `None` if it ended meanwhile.
fn is_healthy(
    launch: &mut Launch,
    record: &Record,
    status: &str,
    ends: Option<BorrowedFd>,
) -> Result<Option<bool>, Error> {
    let Some(probe) = standing(launch.given.service) else { return Ok(Some(true)) };
    let mut run = Run::start(vec![Job::require(probe)], &launch.context, launch.events.pipe())?;
    let mut observer = Repeats { progress_line: &mut launch.progress_line, status };
    Ok(match run.wait(ends, &launch.events, &mut observer)? {
        Ended::All => {
            Some(run.progress()[0].holds() && holder::stranger(launch.given.service, &Origin::of(record)).is_none())
        }
        Ended::Other => None,
    })
}

/// Repeats the standby status during an attempt, because we still stand by.
struct Repeats<'a> {
    progress_line: &'a mut ProgressLine,
    status: &'a str,
}

impl Observer for Repeats<'_> {
    fn interval(&self) -> Duration {
        UNHEALTHY.min(self.progress_line.patience())
    }

    fn look(&mut self, _: &[Job], _: &[Progress], _: Duration) {
        self.progress_line.status(self.status);
    }
}
