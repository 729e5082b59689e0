#![forbid(unsafe_code)]
//! Time as it passes for the server: not while the machine sleeps, and not while we are stopped ourselves. What lasts
//! for a grace on this clock was there to be seen for as long.

use std::time::{Duration, Instant};

/// How much later than planned we may wake and still have been awake.
const LATE: Duration = Duration::from_secs(1);

pub struct Clock {
    last: Instant,
    now: Duration,
}

impl Clock {
    pub fn new() -> Self {
        Clock { last: Instant::now(), now: Duration::ZERO }
    }

    /// How long it has been going.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Moves on after a sleep that was to take at most `planned`.
    pub fn woke(&mut self, planned: Duration) {
        self.now += passed(self.last.elapsed(), planned);
        self.last = Instant::now();
    }
}

/// What of a sleep counts. The monotonic clock stands still while a laptop sleeps, but not while a virtual machine is
/// paused.
fn passed(elapsed: Duration, planned: Duration) -> Duration {
    elapsed.min(planned.saturating_add(LATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_asleep_is_no_time() {
        let seconds = Duration::from_secs;
        for (elapsed, planned, counts) in [(10, 10, 10), (3, 10, 3), (28_800, 10, 11), (5, 0, 1)] {
            assert_eq!(passed(seconds(elapsed), seconds(planned)), seconds(counts));
        }
    }
}
