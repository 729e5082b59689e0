#![forbid(unsafe_code)]
//! All that is known of s6: s6-supervise (https://skarnet.org/software/s6/).

mod control;
mod unit;

use super::clues::Clues;
use super::evidence::Evidence;
use super::job::{Argv, Job, Recorded, Verb, argv};
use super::kind::Supervisor;
use super::units::Kind;

pub struct S6;

impl Supervisor for S6 {
    fn word(&self) -> &'static str {
        "s6"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        clues.started_by(|name| name == "s6-supervise")
    }

    fn job(&self, recorded: &Recorded) -> Job {
        Job::named(recorded.folder())
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        let word = match verb {
            Verb::Stop => "-d",
            Verb::Restart => "-r",
            Verb::Logs { .. } => return None,
        };
        Some(argv(["s6-svc".as_ref(), word.as_ref(), job.name.as_deref()?]))
    }

    fn units(&self) -> Option<Kind> {
        Some(&S6)
    }
}
