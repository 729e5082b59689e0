#![forbid(unsafe_code)]
//! A check with what its answer must be, and how it is tried over and over.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::context::Context;
use super::expect::Expectation;
use super::in_flight::InFlight;
use super::kinds::{Attempt, Check, Kept};
use super::pace::{Limits, Pace};
use super::reason::{NO_ANSWER, Reason};
use super::written::Written;
use crate::text::{elapsed, one_line};

/// A check and what its answer must be.
#[derive(Clone, Debug)]
pub struct Probe {
    pub check: Check,
    /// How long it may take with all of its attempts.
    pub timeout: Duration,
    pub expect: Expectation,
    pub pace: Pace,
    pub written: Written,
}

/// As it was written, but for what is secret in it.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.written.check {
            Some(written) => f.write_str(&one_line(written)),
            None => self.check.fmt(f),
        }
    }
}

impl Probe {
    /// One attempt by itself, for at most `limit`.
    ///
    /// # Errors
    /// Why it failed.
    pub fn once(&self, context: &Context, limit: Duration, cancel: BorrowedFd) -> Result<(), String> {
        let limit = self.pace.attempt_limit(self.check.has_children(), limit);
        let limits = Limits { whole: limit, connect: limit };
        Prober::new(self, InFlight::default()).attempt(context, limits, cancel).map_err(|reason| reason.to_string())
    }
}

/// Tries one probe, over and over; keeps what an attempt can leave to the next one.
pub struct Prober<'a> {
    probe: &'a Probe,
    kept: Kept,
}

impl<'a> Prober<'a> {
    pub fn new(probe: &'a Probe, in_flight: InFlight) -> Self {
        Prober { probe, kept: Kept::new(in_flight) }
    }

    /// One attempt; it ends sooner when `cancel` becomes readable and a command is running.
    ///
    /// # Errors
    /// Why it failed.
    pub fn attempt(&mut self, context: &Context, limits: Limits, cancel: BorrowedFd) -> Result<(), Reason> {
        let Probe { check, expect, written, pace, .. } = self.probe;
        let result = check.attempt(&mut self.kept, &Attempt { context, expect, limits, cancel });
        self.kept.in_flight.clear();
        result.map_err(|reason| match reason {
            Reason::Text(text) if text == NO_ANSWER && pace.attempt == Some(limits.whole) => {
                Reason::Text(format!("no answer within {}, its attempt-timeout", elapsed(limits.whole)))
            }
            Reason::Text(text) => Reason::Text(written.masked(&text)),
            reason => reason,
        })
    }
}
