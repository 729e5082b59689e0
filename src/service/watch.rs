#![forbid(unsafe_code)]
//! `[watch]`: what the sidecar watches; and who sends notifications to the service manager.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::Fault;
use super::file::{FromText, WatchTable, Wrong};
use crate::text::whole_number;

/// The shortest interval: a shorter one would leave no time between looks.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Who uses NOTIFY_SOCKET and WATCHDOG_USEC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The sidecar if there is a health check, else the server.
    #[default]
    Auto,
    Sidecar,
    Server,
}

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

impl FromText for Share {
    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.strip_suffix('%').unwrap_or(text);
        let number = whole_number::<u32>(digits).ok().filter(|&number| number > 0);
        match number.map(u64::from) {
            Some(number) if !text.ends_with('%') => Ok(Share::Count(number)),
            Some(number) if number <= 100 => Ok(Share::Percent(number)),
            _ => Err(format!("'{text}' is neither a count nor a percentage")),
        }
    }
}

/// `[watch]`, with its defaults.
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

/// Resolves `[watch]` with its defaults.
pub fn resolve(table: &WatchTable) -> Result<Watch, Fault> {
    let default = Watch::default();
    let interval = table.interval.as_ref().map(|i| (i, i.get_ref().0));
    if let Some((at, _)) = interval.filter(|(_, interval)| *interval < SHORTEST_INTERVAL) {
        return Err(Wrong::at(at, "an 'interval' is at least 10ms").into());
    }
    if let Some(after) = table.unhealthy_after.as_ref().filter(|after| *after.get_ref() == 0) {
        return Err(Wrong::at(after, "'unhealthy-after' counts attempts: at least 1").into());
    }
    Ok(Watch {
        interval: interval.map(|(_, interval)| interval),
        unhealthy_after: table.unhealthy_after.as_ref().map_or(default.unhealthy_after, |n| *Spanned::get_ref(n)),
        grace: table.grace.as_ref().map_or(default.grace, |t| t.0),
        on_unhealthy: table.on_unhealthy.unwrap_or(default.on_unhealthy),
        max_fds: table.max_fds.as_ref().map_or(default.max_fds, |t| t.0),
        max_ptys: table.max_ptys.unwrap_or(default.max_ptys),
        max_processes: table.max_processes.unwrap_or(default.max_processes),
        on_leak: table.on_leak.unwrap_or(default.on_leak),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_count_or_a_percentage() {
        assert_eq!(Share::from_text("80%"), Ok(Share::Percent(80)));
        assert_eq!(Share::from_text("4096"), Ok(Share::Count(4096)));
        for bad in ["", "0", "0%", "101%", "-1", "+5", "5 %", "%", "a"] {
            assert!(Share::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_count_may_be_reached_and_a_percentage_may_not() {
        for (share, count, most, crossed) in [
            (Share::Count(64), 64, None, false),
            (Share::Count(64), 65, None, true),
            (Share::Percent(80), 409, Some(512), false),
            (Share::Percent(80), 410, Some(512), true),
            (Share::Percent(100), 512, Some(512), true),
            (Share::Percent(80), u64::MAX, None, false),
            (Share::Percent(80), u64::MAX, Some(u64::MAX), true),
        ] {
            assert_eq!(share.is_crossed(count, most), crossed, "{share:?} {count}");
        }
    }
}
