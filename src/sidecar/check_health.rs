#![forbid(unsafe_code)]
//! Checks the health of the server, and acts on what the attempts mean.

use std::time::Duration;

use super::health::Turn;
use super::outcome::Outcome;
use super::state::{AGAIN, Sidecar};
use crate::line::say;
use crate::sys;
use crate::text::{attempts, elapsed, quoted};

impl Sidecar {
    /// Starts the next attempt. The first one repeats until it succeeds or the health timeout is over.
    pub(super) fn make_attempt(&mut self, now: Duration) {
        let Some(attempter) = self.attempter.as_ref().filter(|_| self.attempt.is_none() && now >= self.next_attempt)
        else {
            return;
        };
        let left = self.health_timeout.saturating_sub(now);
        let starts = !self.judge.was_healthy() && !self.is_late && !left.is_zero();
        // Who says that it is ready must not have ended before somebody listens.
        let listens = attempter.probe.check.is_told();
        let begun = match starts {
            true => attempter.until_it_holds(now, left),
            false if listens => attempter.until_it_holds(now, self.interval),
            false => attempter.once(now, self.interval, !self.judge.was_healthy()),
        };
        self.next_attempt = if listens { now } else { now + self.interval };
        match begun {
            Ok(attempt) => self.attempt = Some(attempt),
            Err(e) => self.cannot_attempt(&e.to_string(), now),
        }
    }

    /// Warns once and tries again. An attempt that cannot be made says nothing about the server.
    fn cannot_attempt(&mut self, why: &str, now: Duration) {
        self.next_attempt = now + self.interval.min(AGAIN);
        if !std::mem::replace(&mut self.is_blind, true) {
            log::warn!("cannot check the health of {}: {why}; trying again", quoted(&self.plan.name));
        }
    }

    pub(super) fn take_outcome(&mut self, now: Duration) {
        let Some(attempt) = self.attempt.take() else { return };
        let outcome = attempt.outcome(now);
        match &outcome {
            Outcome::Unknown(why) => self.cannot_attempt(why, now),
            _ => self.is_blind = false,
        }
        let name = quoted(&self.plan.name);
        let reason = if let Outcome::Fails(reason) = &outcome { reason.as_str() } else { "" };
        let check = &self.check;
        let failing = format!("{name} is not healthy: {check}: {reason}");
        match self.judge.judge(&outcome, now) {
            Turn::Ready => self.ready(now),
            Turn::Recovered(after) => {
                say(&format!("{name} is healthy again after {}", elapsed(after)));
                self.next_word = now;
                self.tell_status(&format!("healthy: {check} holds again"));
            }
            // The first attempt has used up the whole health timeout.
            Turn::Failing(_) | Turn::Unhealthy if !self.judge.was_healthy() => {
                if !std::mem::replace(&mut self.is_late, true) {
                    log::warn!("{failing}, {} after its start; {}", elapsed(now), self.after_the_timeout());
                }
                self.tell_status(&format!("not healthy: {check}: {reason}"));
            }
            Turn::Failing(count) => {
                log::info!("{failing} ({count} of {})", self.plan.watch.unhealthy_after);
            }
            Turn::Unhealthy => {
                let row = attempts(self.plan.watch.unhealthy_after);
                log::warn!("{failing}, {row} in a row; {}", self.consequence());
                self.tell_status(&format!("not healthy: {check}: {reason}"));
            }
            Turn::None => {}
        }
        let acts_at = self.judge.acts_at().filter(|_| self.ends_unhealthy());
        if let Some(at) = acts_at.filter(|_| matches!(outcome, Outcome::Fails(_))) {
            if now >= at {
                let grace = elapsed(self.plan.watch.grace);
                return self.end(&format!("it has not been healthy for {grace} ({reason})"));
            }
            self.next_attempt = self.next_attempt.min(at);
        }
    }

    /// What happens to a server that was not healthy within its health timeout.
    fn after_the_timeout(&self) -> String {
        let waits = !self.is_told && self.plan.is_under_systemd();
        let then = match waits {
            true => "systemd ends it at the start timeout of the unit".to_owned(),
            false if self.hears.is_some() => "still listening".to_owned(),
            false => format!("checking again every {}", elapsed(self.interval)),
        };
        format!("{then}; if it needs longer to start, raise --health-timeout")
    }

    /// What happens because the server is unhealthy.
    fn consequence(&self) -> String {
        match self.plan.restarts_the_unhealthy() {
            _ if self.has_watchdog() => "the watchdog is no longer fed".to_owned(),
            true if self.plan.supervised => {
                format!("forerun ends it in {} unless it recovers", elapsed(self.plan.watch.grace))
            }
            true => "no supervisor would restart it, so forerun leaves it running".to_owned(),
            false => "on-unhealthy is \"warn\", so forerun leaves it running".to_owned(),
        }
    }

    fn ends_unhealthy(&self) -> bool {
        !self.has_watchdog() && self.plan.supervised && self.plan.restarts_the_unhealthy()
    }

    fn ready(&mut self, now: Duration) {
        log::info!("{} is healthy after {}", quoted(&self.plan.name), elapsed(now));
        self.tell_ready(now);
        if let Some(number) = self.plan.ready_fd.take() {
            if let Err(e) = sys::write_ready(number) {
                log::warn!("cannot write to descriptor {number} of --ready-fd: {e}");
            }
        }
        self.goes_over_to_watching();
        // The counts of a server that just became ready are the base for growth. From here on, looks and attempts share
        // their turns.
        self.next_look = now;
        self.next_attempt = now + self.interval;
    }
}
