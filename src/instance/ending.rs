#![forbid(unsafe_code)]
//! How an instance is told to end and to reload: `[stop]` of forerun.toml as it was at the start.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::os_text::OsText;

/// What becomes of jobs that main left behind when it ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leftovers {
    #[default]
    Leave,
    Stop,
}

/// `[stop]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Ending {
    /// What main gets first. The rest gets SIGTERM.
    pub signal: i32,
    pub reload_signal: i32,
    /// A shell command that runs before the signal.
    pub before: Option<OsText>,
    /// What the shell gets, if that is not as it was written. Its references need variables of this start.
    pub before_runs: Option<OsText>,
    pub before_timeout: Duration,
    pub leftovers: Leftovers,
}

impl Default for Ending {
    fn default() -> Self {
        Ending {
            signal: libc::SIGTERM,
            reload_signal: libc::SIGHUP,
            before: None,
            before_runs: None,
            before_timeout: Duration::from_secs(30),
            leftovers: Leftovers::Leave,
        }
    }
}
