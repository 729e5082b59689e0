#![forbid(unsafe_code)]
//! What a sidecar tells the service manager.

use std::time::Duration;

use super::state::{AGAIN, Sidecar};
use crate::supervisor::notify::{EXTENSION, NotifyState, cut};

impl Sidecar {
    pub(super) fn has_watchdog(&self) -> bool {
        self.manager.as_ref().is_some_and(|manager| manager.watchdog.is_some())
    }

    /// Tells the service manager that the server is ready, again and again until the message is accepted.
    pub(super) fn tell_ready(&mut self, now: Duration) {
        let Some(manager) = &self.manager else { return };
        let status = format!("healthy: {} holds", self.check);
        let mut states = vec![NotifyState::Ready, NotifyState::Status(cut(&status))];
        states.extend(manager.watchdog.map(|_| NotifyState::Watchdog));
        self.is_told = manager.tell_surely(&states);
        self.next_word = match self.is_told {
            true => now + manager.watchdog_interval().unwrap_or(Duration::MAX - now),
            false => now + AGAIN,
        };
    }

    pub(super) fn take_access(&mut self, answered: bool) {
        let Some(question) = self.access.take() else { return };
        match answered {
            true => question.line().into_iter().for_each(|line| log::warn!("{line}")),
            false => question.give_up(),
        }
    }

    /// Asks the service manager for more time while the server starts, and feeds the watchdog while the server is
    /// healthy.
    pub(super) fn speak(&mut self, now: Duration) {
        if self.judge.was_healthy() && !self.is_told && now >= self.next_word {
            return self.tell_ready(now);
        }
        let Some(manager) = self.manager.as_ref().filter(|_| now >= self.next_word) else { return };
        let left = self.health_timeout.saturating_sub(now);
        if self.judge.was_healthy() {
            if self.judge.is_well() && manager.watchdog.is_some() {
                manager.tell(&[NotifyState::Watchdog]);
            }
            self.next_word = now + manager.watchdog_interval().unwrap_or(Duration::MAX - now);
        } else if !left.is_zero() && !self.is_late {
            // A little more than is left, so that our warning comes before the manager ends the start.
            let time = EXTENSION.min(left.saturating_add(AGAIN));
            manager.extend(&format!("starting: waiting for {}", self.check), time);
            self.next_word = now + manager.interval().min(left);
        } else {
            self.next_word = Duration::MAX;
        }
    }

    pub(super) fn tell_status(&self, status: &str) {
        if let Some(manager) = &self.manager {
            manager.tell(&[NotifyState::Status(cut(status))]);
        }
    }
}
