#![forbid(unsafe_code)]
//! Values of a service that are more than text or a number, and their defaults.

use std::time::Duration;

use serde::Deserialize;

use crate::text::{self, duration, one_line, quoted, whole_number};

pub const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
pub const GRACE: Duration = Duration::from_secs(10);

/// What a start does when its name or port is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    Standby,
    Fail,
}

/// What a service is resolved for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Start,
    /// The start of what ran before. Any instance of the name is replaced, and the browser is open already.
    Restart,
    /// To look at it: nothing is started, so it needs no command.
    Look,
}

/// Which running instance a detached start may stop first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replace {
    No,
    /// An instance of the same service.
    Same,
    /// Any instance of the name, even if forerun.toml names another command by now: a restart.
    Any,
}

/// A limit of open descriptors, as asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NofileWish {
    pub soft: u64,
    pub hard: Option<u64>,
}

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

/// A type that can be read from text.
pub trait FromText: Sized {
    /// # Errors
    /// A message that quotes the text.
    fn from_text(text: &str) -> Result<Self, String>;
}

impl FromText for u16 {
    fn from_text(text: &str) -> Result<Self, String> {
        text::port(text).map_err(|e| format!("'{}' is {e}", one_line(text)))
    }
}

impl FromText for Duration {
    fn from_text(text: &str) -> Result<Self, String> {
        duration(text).map_err(|e| format!("'{}' is {e}", one_line(text)))
    }
}

impl FromText for NofileWish {
    fn from_text(text: &str) -> Result<Self, String> {
        let number = |text: &str| whole_number::<u64>(text).ok().filter(|&number| number > 0);
        let (soft, hard) = match text.split_once(':') {
            Some((soft, hard)) => (number(soft), number(hard).map(Some)),
            None => (number(text), Some(None)),
        };
        match (soft, hard) {
            (Some(soft), Some(hard)) if hard.is_none_or(|h| h >= soft) => Ok(NofileWish { soft, hard }),
            _ => Err(format!("{} is no SOFT or SOFT:HARD, whole numbers with SOFT at most HARD", quoted(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nofile_is_one_number_or_two() {
        assert_eq!(NofileWish::from_text("8192"), Ok(NofileWish { soft: 8192, hard: None }));
        assert_eq!(NofileWish::from_text("8:16"), Ok(NofileWish { soft: 8, hard: Some(16) }));
        for bad in ["", "0", "a", "16:8", "8:", ":8", "-1", "+5", "99999999999999999999"] {
            assert!(NofileWish::from_text(bad).is_err(), "{bad}");
        }
    }
}
