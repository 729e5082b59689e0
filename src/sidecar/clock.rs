#![forbid(unsafe_code)]
//! A clock that counts only time in which the server could run. It stands still while the machine sleeps and while the
//! sidecar itself is stopped. A condition that lasts for a grace on this clock has really been observed for that long.

use std::time::{Duration, Instant};

/// How late a wake-up may be and still count as awake the whole time.
const LATE: Duration = Duration::from_secs(1);

pub struct Clock {
    last: Instant,
    now: Duration,
}

impl Clock {
    pub fn new() -> Self {
        Clock { last: Instant::now(), now: Duration::ZERO }
    }

    /// Time since the clock was made.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Advances the clock after a sleep that was planned to take at most `planned`.
    pub fn woke(&mut self, planned: Duration) {
        self.now += passed(self.last.elapsed(), planned);
        self.last = Instant::now();
    }
}

/// The part of a sleep that counts. The monotonic clock stops while a laptop sleeps, but it goes on while a virtual
/// machine is paused.
fn passed(elapsed: Duration, planned: Duration) -> Duration {
    elapsed.min(planned.saturating_add(LATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_of_sleep_does_not_count() {
        let seconds = Duration::from_secs;
        for (elapsed, planned, counts) in [(10, 10, 10), (3, 10, 3), (28_800, 10, 11), (5, 0, 1)] {
            assert_eq!(passed(seconds(elapsed), seconds(planned)), seconds(counts));
        }
    }
}
