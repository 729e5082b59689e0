#![forbid(unsafe_code)]
//! Decides what attempts of the health check mean. Pure: the caller passes the time in.

use std::time::Duration;

use super::outcome::Outcome;

/// What an attempt changed.
#[derive(PartialEq, Eq, Debug)]
pub enum Turn {
    /// Nothing worth a line.
    None,
    /// The check succeeded for the first time.
    Ready,
    /// Another attempt failed. This is the number of failures in a row, still fewer than it takes.
    Failing(u32),
    /// Enough attempts in a row failed, or the reason of the failure changed.
    Unhealthy,
    /// The check succeeds again. It had failed for this long.
    Recovered(Duration),
}

/// Turns results of attempts into changes of health.
pub struct Judge {
    after: u32,
    grace: Duration,
    /// The check has succeeded once. A server that was never healthy is never ended.
    was_healthy: bool,
    failures: u32,
    failing_since: Duration,
    /// The reason that was reported last.
    reason: String,
    /// When the number of failures in a row reached the limit.
    unhealthy_since: Option<Duration>,
}

impl Judge {
    /// A server is unhealthy after `after` failed attempts in a row. It is acted on when that lasts for `grace`.
    pub fn new(after: u32, grace: Duration) -> Self {
        Judge {
            after,
            grace,
            was_healthy: false,
            failures: 0,
            failing_since: Duration::ZERO,
            reason: String::new(),
            unhealthy_since: None,
        }
    }

    /// Takes the result of an attempt that ended at `now`.
    pub fn judge(&mut self, outcome: &Outcome, now: Duration) -> Turn {
        match outcome {
            Outcome::Unknown(_) => Turn::None,
            Outcome::Holds => {
                let was_unhealthy = self.unhealthy_since.take().is_some();
                let first = !std::mem::replace(&mut self.was_healthy, true);
                let failed = std::mem::take(&mut self.failures) > 0;
                self.reason.clear();
                match (first, failed && was_unhealthy) {
                    (true, _) => Turn::Ready,
                    (_, true) => Turn::Recovered(now.saturating_sub(self.failing_since)),
                    _ => Turn::None,
                }
            }
            Outcome::Fails(reason) => {
                if self.failures == 0 {
                    self.failing_since = now;
                }
                self.failures = self.failures.saturating_add(1);
                let is_news = self.reason != *reason;
                if self.failures < self.after {
                    return Turn::Failing(self.failures);
                }
                self.reason.clone_from(reason);
                let first = self.unhealthy_since.is_none();
                self.unhealthy_since.get_or_insert(now);
                if first || is_news { Turn::Unhealthy } else { Turn::None }
            }
        }
    }

    pub fn was_healthy(&self) -> bool {
        self.was_healthy
    }

    /// Whether to feed the watchdog: the server is healthy, or fails for too short a time to count.
    pub fn is_well(&self) -> bool {
        self.was_healthy && self.unhealthy_since.is_none()
    }

    /// When the server will have been unhealthy for the whole grace.
    pub fn acts_at(&self) -> Option<Duration> {
        self.unhealthy_since.filter(|_| self.was_healthy).map(|since| since + self.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn fails(reason: &str) -> Outcome {
        Outcome::Fails(reason.to_owned())
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_takes_a_few_in_a_row_and_a_grace_and_recovery_cancels() {
        let mut judge = Judge::new(3, GRACE);
        assert_eq!(judge.judge(&Outcome::Holds, at(1)), Turn::Ready);
        assert_eq!(judge.judge(&fails("refused"), at(10)), Turn::Failing(1));
        assert_eq!(judge.judge(&fails("refused"), at(20)), Turn::Failing(2));
        assert!(judge.is_well());
        assert_eq!(judge.judge(&Outcome::Holds, at(30)), Turn::None);
        for (seconds, turn) in [(40, Turn::Failing(1)), (50, Turn::Failing(2)), (60, Turn::Unhealthy)] {
            assert_eq!(judge.judge(&fails("refused"), at(seconds)), turn);
        }
        assert!(!judge.is_well());
        assert_eq!(judge.acts_at(), Some(at(90)));
        assert_eq!(judge.judge(&fails("refused"), at(70)), Turn::None);
        assert_eq!(judge.judge(&fails("no answer"), at(80)), Turn::Unhealthy);
        assert_eq!(judge.acts_at(), Some(at(90)));
        assert_eq!(judge.judge(&Outcome::Holds, at(85)), Turn::Recovered(at(45)));
        assert_eq!((judge.is_well(), judge.acts_at()), (true, None));
    }

    #[test]
    fn what_was_never_healthy_is_never_acted_on() {
        let mut judge = Judge::new(1, GRACE);
        assert_eq!(judge.judge(&fails("refused"), at(1)), Turn::Unhealthy);
        assert_eq!((judge.is_well(), judge.acts_at()), (false, None));
        assert_eq!(judge.judge(&Outcome::Holds, at(2)), Turn::Ready);
    }

    #[test]
    fn an_attempt_that_could_not_be_made_says_nothing() {
        let mut judge = Judge::new(1, GRACE);
        judge.judge(&Outcome::Holds, at(1));
        assert_eq!(judge.judge(&Outcome::Unknown("no process".into()), at(2)), Turn::None);
        assert!(judge.is_well());
    }
}
