#![forbid(unsafe_code)]
//! Decides whether a count is a leak. Pure: the caller passes counts and time in.

use std::time::Duration;

/// What a count changed.
#[derive(PartialEq, Eq, Debug)]
pub enum Turn {
    None,
    /// The count crossed its limit, or doubled since the last report.
    Crossed,
    /// The count is within its limit again.
    Recovered,
}

/// The history of one count.
#[derive(Default)]
pub struct Gauge {
    /// The first count.
    first: Option<u64>,
    /// The count at the last report.
    said: Option<u64>,
    over_since: Option<Duration>,
}

impl Gauge {
    /// Takes a new count. `is_over` says whether it is over its limit.
    pub fn look(&mut self, count: u64, is_over: bool, now: Duration) -> Turn {
        self.first.get_or_insert(count);
        if !is_over {
            let was_over = self.over_since.take().is_some();
            // A count that moves around its limit is reported once, not on every crossing.
            if self.said.is_some_and(|said| count <= said / 4 * 3) {
                self.said = None;
            }
            return if was_over { Turn::Recovered } else { Turn::None };
        }
        self.over_since.get_or_insert(now);
        if self.said.is_none_or(|said| count >= said.saturating_mul(2)) {
            self.said = Some(count);
            return Turn::Crossed;
        }
        Turn::None
    }

    /// How much the count has grown since the first one.
    pub fn growth(&self, count: u64) -> u64 {
        count.saturating_sub(self.first.unwrap_or(count))
    }

    /// When the count went over its limit, if it still is.
    pub fn over_since(&self) -> Option<Duration> {
        self.over_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossed_limit_is_reported_once_and_again_when_the_count_doubles() {
        let mut gauge = Gauge::default();
        let at = Duration::from_secs;
        for (seconds, count, turn) in [
            (0, 10, Turn::None),
            (10, 101, Turn::Crossed),
            (20, 150, Turn::None),
            (30, 202, Turn::Crossed),
            (40, 403, Turn::None),
            (50, 99, Turn::Recovered),
            (60, 101, Turn::Crossed),
            (70, 99, Turn::Recovered),
            (80, 101, Turn::None),
        ] {
            assert_eq!(gauge.look(count, count > 100, at(seconds)), turn, "{seconds}");
        }
        assert_eq!(gauge.growth(101), 91);
        assert_eq!(gauge.over_since(), Some(at(80)));
    }
}
