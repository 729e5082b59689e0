#![forbid(unsafe_code)]
//! Watches for leaks, and acts on them.

use std::time::Duration;

use super::counts::Line;
use super::state::Sidecar;
use crate::line::say;
use crate::text::{elapsed, quoted};

impl Sidecar {
    /// Counts what can leak.
    pub(super) fn look(&mut self, now: Duration) {
        let Some(counts) = self.counts.as_mut().filter(|_| now >= self.next_look) else { return };
        let lines = counts.look(&self.plan, now);
        let over_since = counts.over_since();
        let acts = self.plan.supervised && self.plan.restarts_what_leaks();
        let acts_at = over_since.map(|since| since + self.plan.watch.grace).filter(|_| acts);
        self.next_look = now + self.interval;
        let name = quoted(&self.plan.name);
        for line in lines {
            match line {
                Line::Crossed(what) => {
                    let then = match acts_at {
                        Some(at) => {
                            format!("; forerun ends it in {} unless that recovers", elapsed(at.saturating_sub(now)))
                        }
                        None => String::new(),
                    };
                    log::warn!("{name} leaks: {what}{then}");
                    self.tell_status(&what);
                }
                Line::Recovered(what) => {
                    say(&format!("{name} is within its limits again: {what}"));
                    if self.judge.is_well() {
                        self.tell_status(&format!("healthy: {} holds", self.check));
                    }
                }
                Line::Pool(what) => {
                    log::warn!("{what}");
                    self.tell_status(&what);
                }
                Line::Blind(why) => log::warn!("{name}: {why}"),
            }
        }
        if let Some(at) = acts_at {
            if now >= at {
                return self.end(&format!("it has leaked for {}", elapsed(self.plan.watch.grace)));
            }
            self.next_look = self.next_look.min(at);
        }
    }
}
