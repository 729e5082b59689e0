#![forbid(unsafe_code)]
//! How and when a process ended.

use serde::{Deserialize, Serialize};

use crate::sys::Waited;

/// How and when a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    pub how: Waited,
    /// The start time that a process would have had that began then. Unknown if nobody watched.
    pub at: Option<u64>,
}

/// How main ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With status 0.
    Good,
    /// By a signal, or with another status.
    Bad,
    Unknown,
}

impl From<Option<Waited>> for End {
    fn from(how: Option<Waited>) -> Self {
        match how {
            Some(Waited::Exited(0)) => End::Good,
            Some(Waited::Exited(_) | Waited::Killed { .. }) => End::Bad,
            Some(Waited::Running | Waited::Unseen) | None => End::Unknown,
        }
    }
}
