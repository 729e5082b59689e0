#![forbid(unsafe_code)]
//! Whether a count leaks. Pure: counts and time are what the caller says.

use std::time::Duration;

/// What a look changed.
#[derive(PartialEq, Eq, Debug)]
pub enum Turn {
    None,
    /// The limit is crossed, or the count has doubled since that was said.
    Crossed,
    /// It is within the limit again.
    Recovered,
}

/// One count.
#[derive(Default)]
pub struct Gauge {
    /// How many there were at first.
    first: Option<u64>,
    /// How many there were when it was said last.
    said: Option<u64>,
    over_since: Option<Duration>,
}

impl Gauge {
    /// Takes in a count, of which it is known whether it is beyond its limit.
    pub fn look(&mut self, count: u64, is_over: bool, now: Duration) -> Turn {
        self.first.get_or_insert(count);
        if !is_over {
            let was_over = self.over_since.take().is_some();
            // Around its limit a count is told once, and not at every turn.
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

    /// How many more there are than at first.
    pub fn growth(&self, count: u64) -> u64 {
        count.saturating_sub(self.first.unwrap_or(count))
    }

    /// Since when it has been beyond its limit.
    pub fn over_since(&self) -> Option<Duration> {
        self.over_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_once_and_again_when_it_doubles() {
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
