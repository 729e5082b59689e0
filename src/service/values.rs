#![forbid(unsafe_code)]
//! Values of a service that are more than text or a number, and their defaults.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};

use crate::args::{OnConflict, Speaker};
use crate::text::{self, duration, one_line, quoted, whole_number};

pub const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
pub const GRACE: Duration = Duration::from_secs(10);

/// A limit of open descriptors, as asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NofileWish {
    pub soft: u64,
    pub hard: Option<u64>,
}

impl<'de> Deserialize<'de> for OnConflict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_of(&OnConflict::WORDS, deserializer)
    }
}

impl<'de> Deserialize<'de> for Speaker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_of(&Speaker::WORDS, deserializer)
    }
}

/// Reads one of some words of the command line.
fn one_of<'de, T: Copy, D: Deserializer<'de>>(words: &[(&str, T)], deserializer: D) -> Result<T, D::Error> {
    let word = String::deserialize(deserializer)?;
    let known = words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
    known.ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        D::Error::custom(format!("{} is none of {}", quoted(&word), words.join(", ")))
    })
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

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl FromText for $number {
            fn from_text(text: &str) -> Result<Self, String> {
                whole_number(text).map_err(|e| format!("'{}': {e}", one_line(text)))
            }
        }
    )* };
}

numbers!(i32, u32, u64);

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
