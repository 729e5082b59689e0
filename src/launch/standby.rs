#![forbid(unsafe_code)]
//! Standby: a supervised start whose place is held waits for the holder to end, because no exit code helps: every
//! supervisor that restarts its job would start it into the same conflict again.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::place::{self, Conflict, Kind};
use super::{Launch, readiness};
use crate::check::run::{Desk, Ended, Job, Observer, Progress, Run};
use crate::error::Error;
use crate::instance::identity::Identity;
use crate::instance::members::Marks;
use crate::instance::record::Record;
use crate::report::line::say;
use crate::report::progress::Teller;
use crate::sys::{ExitWatch, Woken};
use crate::text::elapsed;

/// How often the port is bound where its holder cannot be seen: soon enough to take over within 100 ms.
const UNSEEN: Duration = Duration::from_millis(60);
/// How often where it can: it may give up the port and live on.
const SEEN: Duration = Duration::from_secs(1);
/// How often it is looked at who has the place: that a holder ends is seen at once.
const AGAIN: Duration = Duration::from_secs(10);
/// How often an instance that is not healthy yet is asked again, while a start is waited for.
const UNHEALTHY: Duration = Duration::from_secs(1);
/// How often the log is reminded.
const REMINDER: Duration = Duration::from_secs(60 * 60);

/// A standby.
pub struct Standby {
    begun: Instant,
    /// What was said of the holder, and when.
    said: Option<(Instant, Who)>,
    /// The supervisor was told that the service is there: the start is over.
    ready: bool,
}

/// A holder: by its process, whose title may change all the time, or by all that is known of it.
#[derive(PartialEq)]
enum Who {
    Process(Identity),
    Words(String),
}

impl Standby {
    pub fn new() -> Self {
        Standby { begun: Instant::now(), said: None, ready: false }
    }

    /// Waits until the holder of the place may have ended.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Conflict`] where a start is waited for and nothing of ours serves in time.
    pub fn wait(&mut self, launch: &mut Launch, conflict: Conflict) -> Result<(), Error> {
        self.tell(&conflict);
        let status = format!("standby: {}", conflict.message);
        let watch = conflict.awaited.as_ref().map(|identity| ExitWatch::new(identity.pid));
        // Its number may have been somebody else's before the watch began.
        if conflict.awaited.as_ref().is_some_and(|identity| identity.verified().is_none_or(|p| p.zombie)) {
            return Ok(());
        }
        let ends = watch.as_ref().and_then(ExitWatch::descriptor);
        let is_ours = matches!(conflict.kind, Kind::Instance(_));
        let start_is_waited_for = launch.teller.notifies() && !self.ready;
        if start_is_waited_for {
            launch.teller.status(&status);
            if let Kind::Instance(record) = &conflict.kind {
                match is_healthy(launch, record, &status, ends)? {
                    Some(healthy) => self.ready = healthy,
                    None => return Ok(()),
                }
            }
        }
        let mut longest = AGAIN;
        if start_is_waited_for && !self.ready {
            let waited = self.begun.elapsed();
            let left = launch.service.wait_timeout.saturating_sub(waited);
            if left.is_zero() {
                let message = format!("gave up standing by after {}: {}", elapsed(waited), conflict.message);
                return Err(Error::Conflict(message));
            }
            longest = left.min(if is_ours { UNHEALTHY } else { AGAIN });
        }
        let often = match conflict.kind {
            Kind::Stranger if ends.is_none() => UNSEEN,
            Kind::Stranger => SEEN,
            _ => longest,
        };
        let until = Instant::now() + longest;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let patience = self.notify(launch, &status);
            let woken = launch.wake.wait(ends, left.min(often).min(patience));
            if let Some(signal) = launch.signals.signal() {
                return Err(Error::Interrupted(signal));
            }
            // To bind costs next to nothing; to look who has the port does not.
            let is_free = conflict.kind == Kind::Stranger && !place::is_port_held(launch.service);
            if is_free || woken == Woken::Other || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Tells the service manager that we stand by. How long until it must hear again.
    fn notify(&self, launch: &mut Launch, status: &str) -> Duration {
        if self.ready {
            return launch.teller.stands_by(status);
        }
        launch.teller.status(status);
        launch.teller.patience()
    }

    /// Says that the place is free.
    pub fn end(&self) {
        say(&format!("standby is over after {}: the place is free; going on", elapsed(self.begun.elapsed())));
    }

    /// A line when it begins, when the holder is another one, and rarely.
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

/// Whether the instance that runs serves: one attempt. Without a check and a port, that it runs is all there is.
/// Nothing, where it ended meanwhile.
fn is_healthy(
    launch: &mut Launch,
    record: &Record,
    status: &str,
    ends: Option<BorrowedFd>,
) -> Result<Option<bool>, Error> {
    let Some(probe) = readiness(launch.service) else { return Ok(Some(true)) };
    let mut run = Run::start(vec![Job::require(probe)], &launch.context, &launch.wake)?;
    let mut observer = Repeats { teller: &mut launch.teller, status };
    let mut desk = Desk { wake: &launch.wake, signals: &launch.signals, observer: &mut observer };
    Ok(match run.wait(ends, &mut desk)? {
        Ended::All => Some(run.progress()[0].holds() && place::stranger(launch.service, &Marks::of(record)).is_none()),
        Ended::Other => None,
    })
}

/// An attempt that takes its time is nothing to talk about: we still stand by.
struct Repeats<'a> {
    teller: &'a mut Teller,
    status: &'a str,
}

impl Observer for Repeats<'_> {
    fn interval(&self) -> Duration {
        UNHEALTHY.min(self.teller.patience())
    }

    fn look(&mut self, _: &[Job], _: &[Progress], _: Duration) {
        self.teller.status(self.status);
    }
}
