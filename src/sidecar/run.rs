#![forbid(unsafe_code)]
//! The main loop of a sidecar. It waits for the end of the server, a signal, the result of an attempt, or its next
//! turn.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::state::Sidecar;
use crate::instance::family::{Look, Sight};
use crate::supervisor::systemd::access::Question;
use crate::sys::{self, Process, Seen};

impl Sidecar {
    /// Works until the server has ended or nothing is left to do.
    pub fn run(mut self) {
        loop {
            if self.events.signal().is_some() {
                return self.leave();
            }
            let now = self.clock.now();
            if !self.turn(now) {
                return self.leave();
            }
            let planned = self.next_turn().saturating_sub(now);
            let spoke = self.attempt.as_ref().map(|attempt| attempt.errand.descriptor());
            let answered = self.access.as_ref().and_then(Question::descriptor);
            let launched = self.launch.as_ref().map(UnixStream::as_fd);
            let all = [self.watch.descriptor(), spoke, answered, launched];
            let [ended, spoke, answered, launched] = self.events.pipe().wait_for(all, planned);
            self.clock.woke(planned);
            if launched {
                self.launch = None;
                self.see_main();
            }
            if ended && (self.only_watches || !self.follows()) {
                return self.leave();
            }
            let now = self.clock.now();
            if spoke || self.attempt.as_ref().is_some_and(|attempt| now >= attempt.late) {
                self.take_outcome(now);
            }
            if answered || self.access.as_ref().is_some_and(|question| now >= question.late) {
                self.take_access(answered);
            }
        }
    }

    /// Notes what main executes, so that its forks are known if it ends before it was healthy.
    fn see_main(&mut self) {
        let origin = &mut self.plan.origin;
        let is_main = |p: &Process| Seen::from(p) == origin.main && !p.forked;
        if let Some(main) = sys::process(origin.main.pid).filter(is_main) {
            origin.stack = Sight::default().stack(&main);
        }
    }

    /// Does what is due now. False if nothing will ever be due again.
    fn turn(&mut self, now: Duration) -> bool {
        self.make_attempt(now);
        self.speak(now);
        self.look(now);
        if let Some(file) = &mut self.pid_file {
            file.read(&self.plan, self.manager.as_ref(), now);
        }
        let has_to_tell = self.attempter.is_some() && !(self.judge.was_healthy() && self.is_told);
        has_to_tell || self.has_watchdog() || self.counts.is_some() || self.access.is_some() || self.pid_file.is_some()
    }

    fn next_turn(&self) -> Duration {
        let attempt = match &self.attempt {
            Some(attempt) => Some(attempt.late),
            None => self.attempter.as_ref().map(|_| self.next_attempt),
        };
        let look = self.counts.as_ref().map(|_| self.next_look);
        let word = self.manager.as_ref().map(|_| self.next_word);
        let access = self.access.as_ref().map(|question| question.late);
        let file = self.pid_file.as_ref().map(|file| file.next);
        [attempt, look, word, access, file].into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    fn leave(self) {
        self.attempt.into_iter().for_each(|attempt| attempt.errand.abandon());
        self.access.into_iter().for_each(Question::give_up);
    }
}
