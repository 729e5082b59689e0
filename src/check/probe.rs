#![forbid(unsafe_code)]
//! A check with what its answer must be, and how it is tried over and over.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::context::Context;
use super::expect::Expectation;
use super::kinds::{Attempt, Check, Kept};
use super::reason::Reason;

/// A check and what its answer must be.
#[derive(Clone, Debug)]
pub struct Probe {
    pub check: Check,
    /// How long it may take with all of its attempts.
    pub timeout: Duration,
    pub expect: Expectation,
}

/// Tries one probe, over and over; keeps what an attempt can leave to the next one.
pub struct Prober<'a> {
    probe: &'a Probe,
    kept: Kept,
}

impl<'a> Prober<'a> {
    pub fn new(probe: &'a Probe) -> Self {
        Prober { probe, kept: Kept::default() }
    }

    /// One attempt, for at most `limit`; sooner when `cancel` becomes readable and a command is running.
    ///
    /// # Errors
    /// Why it failed.
    pub fn attempt(&mut self, context: &Context, limit: Duration, cancel: BorrowedFd) -> Result<(), Reason> {
        let Probe { check, timeout, expect } = self.probe;
        check.attempt(&mut self.kept, &Attempt { context, expect, timeout: *timeout, limit, cancel })
    }
}
