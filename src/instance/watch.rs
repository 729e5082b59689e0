#![forbid(unsafe_code)]
//! What is watched of an instance, and what is done about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the sidecar does about a server that is not healthy or leaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// End the server, so that its supervisor starts it again.
    Restart,
    Warn,
}

/// A limit: a count, or a percentage of the maximum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Share {
    Count(u64),
    Percent(u64),
}

impl Share {
    /// Whether `count` crosses the limit. `most` is the maximum, if it is known.
    pub fn is_crossed(self, count: u64, most: Option<u64>) -> bool {
        match (self, most) {
            (Share::Count(limit), _) => count > limit,
            (Share::Percent(percent), Some(most)) => u128::from(count) * 100 >= u128::from(most) * u128::from(percent),
            (Share::Percent(_), None) => false,
        }
    }
}

/// The limits of `[watch]`, with their defaults.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watch {
    /// The time between looks. Without it the watchdog's period decides.
    pub interval: Option<Duration>,
    /// How many attempts in a row must fail.
    pub unhealthy_after: u32,
    /// How long a problem must last before the sidecar acts.
    pub grace: Duration,
    pub on_unhealthy: Action,
    /// A share of the server's soft limit.
    pub max_fds: Share,
    pub max_ptys: u64,
    pub max_processes: u64,
    pub on_leak: Action,
}

impl Default for Watch {
    fn default() -> Self {
        Watch {
            interval: None,
            unhealthy_after: 3,
            grace: Duration::from_secs(30),
            on_unhealthy: Action::Warn,
            max_fds: Share::Percent(80),
            max_ptys: 64,
            max_processes: 200,
            on_leak: Action::Warn,
        }
    }
}
