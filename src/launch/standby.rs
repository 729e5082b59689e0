#![forbid(unsafe_code)]
//! Standby: a supervised start whose place is held waits for the holder to end, because no exit code helps: every
//! supervisor that restarts its job would start it into the same conflict again.

use std::time::{Duration, Instant};

use super::place::{Conflict, Kind};
use super::{Launch, readiness};
use crate::check::run::Job;
use crate::error::Error;
use crate::report::line::say;
use crate::sys::ExitWatch;
use crate::text::elapsed;

/// How often the port is looked at where its holder cannot be seen: soon enough to take over within 100 ms.
const UNSEEN: Duration = Duration::from_millis(80);
/// How often where it can: it may give up the port and live on.
const SEEN: Duration = Duration::from_secs(1);
/// How often the name is looked at: that its holder ends is seen at once.
const NAMED: Duration = Duration::from_secs(10);
/// How often an instance that is not healthy yet is asked again, while a start is waited for.
const UNHEALTHY: Duration = Duration::from_secs(1);
/// How often the log is reminded.
const REMINDER: Duration = Duration::from_secs(60 * 60);

/// A standby.
pub struct Standby {
    begun: Instant,
    said: Option<(Instant, String)>,
    /// The supervisor was told that the service is there: the start is over.
    ready: bool,
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
        self.tell(&conflict.message);
        let status = format!("standby: {}", conflict.message);
        let start_is_waited_for = launch.teller.notifies() && !self.ready;
        if start_is_waited_for {
            launch.teller.status(&status);
            if matches!(conflict.kind, Kind::Instance(_)) && is_healthy(launch)? {
                self.ready = true;
            }
        }
        let watch = conflict.awaited.as_ref().map(|identity| ExitWatch::new(identity.pid));
        // Its number may have been somebody else's before the watch began.
        if conflict.awaited.as_ref().is_some_and(|identity| identity.verified().is_none_or(|p| p.zombie)) {
            return Ok(());
        }
        let ends = watch.as_ref().and_then(ExitWatch::descriptor);
        let mut longest = match conflict.kind {
            Kind::Stranger if ends.is_none() => UNSEEN,
            Kind::Stranger => SEEN,
            _ => NAMED,
        };
        if self.ready {
            longest = longest.min(launch.teller.stands_by(&status));
        } else if start_is_waited_for {
            let waited = self.begun.elapsed();
            let left = launch.service.wait_timeout.saturating_sub(waited);
            if left.is_zero() {
                let message = format!("gave up standing by after {}: {}", elapsed(waited), conflict.message);
                return Err(Error::Conflict(message));
            }
            longest = longest.min(left).min(UNHEALTHY);
        }
        launch.wake.wait(ends, longest);
        launch.signals.signal().map_or(Ok(()), |signal| Err(Error::Interrupted(signal)))
    }

    /// Says that the place is free.
    pub fn end(&self) {
        say(&format!("standby is over after {}: the place is free; going on", elapsed(self.begun.elapsed())));
    }

    /// A line when it begins, when the holder is another one, and rarely.
    fn tell(&mut self, message: &str) {
        let known = self.said.as_ref().is_some_and(|(at, said)| said == message && at.elapsed() < REMINDER);
        if !known {
            say(&format!("standby: {message}"));
            self.said = Some((Instant::now(), message.to_owned()));
        }
    }
}

/// Whether the instance that runs serves: one attempt. Without a check and a port, that it runs is all there is.
fn is_healthy(launch: &mut Launch) -> Result<bool, Error> {
    let Some(probe) = readiness(launch.service) else { return Ok(true) };
    Ok(launch.room().run(vec![Job::require(probe)])?.remove(0).holds())
}
