#![forbid(unsafe_code)]
//! What a run of checks has to do, and how far it has come.

use std::ffi::OsString;
use std::time::Duration;

use super::exec;
use super::probe::Probe;

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
        let deadline = probe.pace.attempt.unwrap_or(exec::TIMEOUT);
        Job { label: probe.to_string(), work: Work::Once(probe), deadline }
    }

    /// A check that may still become true.
    pub fn wait(probe: Probe) -> Self {
        Job { label: probe.to_string(), deadline: probe.timeout, work: Work::Until(probe) }
    }

    /// Whether it has children, which must be reaped.
    pub fn has_children(&self) -> bool {
        match &self.work {
            Work::Once(probe) | Work::Until(probe) => probe.check.has_children(),
            Work::Fix(_) => true,
        }
    }
}

/// The progress of a job.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When the first attempt began. On a busy machine that can be after a short deadline.
    pub begun: Option<Duration>,
    pub attempts: u32,
    /// The reason that the last whole attempt gave.
    pub reason: String,
    /// No other attempt could have helped.
    pub is_final: bool,
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
