#![forbid(unsafe_code)]
//! How a check is tried over and over.

use std::time::Duration;

use super::exec;

/// How long one attempt may take to connect at first.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a check is tried over and over, where that is not the usual way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Pace {
    /// How long one attempt may take. Nothing: a command 10 s, another check until its deadline.
    pub attempt: Option<Duration>,
    /// The pause between two attempts. Nothing: a fiftieth of the time waited.
    pub interval: Option<Duration>,
    /// How long it must hold without a break.
    pub hold: Duration,
}

impl Pace {
    /// How long one attempt may take, of the time that is left.
    pub fn attempt_limit(&self, is_command: bool, left: Duration) -> Duration {
        let usual = if is_command { exec::TIMEOUT } else { left };
        self.attempt.unwrap_or(usual).min(left).max(Duration::from_millis(1))
    }

    /// The pause before the next attempt. What comes up fast is seen at once, and what takes long costs little.
    pub fn pause(&self, waited: Duration) -> Duration {
        let usual = (waited / 50).clamp(Duration::from_millis(1), Duration::from_millis(100));
        self.interval.unwrap_or(usual)
    }
}

/// How long an attempt may take.
#[derive(Clone, Copy)]
pub struct Limits {
    /// From its begin to the end of the answer.
    pub whole: Duration,
    /// Until it is connected.
    pub connect: Duration,
}

/// The time for an attempt to connect, and the time after which another one begins beside one that has not been answered.
/// It grows: a lost packet is sent again soon, and a slow answer does not make a crowd.
pub fn patience(waited: Duration) -> Duration {
    (waited / 2).max(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spaced_at_a_fiftieth_of_the_time_waited() {
        let millis = Duration::from_millis;
        for (waited, expected) in [(0, 1), (49, 1), (500, 10), (5_000, 100), (60_000, 100)] {
            assert_eq!(Pace::default().pause(millis(waited)), millis(expected));
        }
        let fixed = Pace { interval: Some(millis(2_000)), ..Pace::default() };
        assert_eq!(fixed.pause(millis(5)), millis(2_000));
    }

    #[test]
    fn an_attempt_never_outlasts_the_deadline() {
        let seconds = Duration::from_secs;
        let (tcp, exec) = (false, true);
        let usual = Pace::default();
        assert_eq!(usual.attempt_limit(tcp, seconds(60)), seconds(60));
        assert_eq!(usual.attempt_limit(exec, seconds(60)), seconds(10));
        assert_eq!(usual.attempt_limit(exec, seconds(3)), seconds(3));
        let long = Pace { attempt: Some(seconds(40)), ..usual };
        assert_eq!(long.attempt_limit(exec, seconds(60)), seconds(40));
        assert_eq!(long.attempt_limit(tcp, seconds(30)), seconds(30));
    }
}
