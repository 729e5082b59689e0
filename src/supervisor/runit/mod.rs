#![forbid(unsafe_code)]
//! All that is known of runit: runsv(8).

mod control;
mod unit;

use super::clues::Clues;
use super::evidence::Evidence;
use super::job::{Argv, Job, Recorded, Verb, argv};
use super::kind::Supervisor;
use super::units::Kind;

pub struct Runit;

impl Supervisor for Runit {
    fn word(&self) -> &'static str {
        "runit"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        clues.started_by(|name| name == "runsv")
    }

    fn job(&self, recorded: &Recorded) -> Job {
        Job::named(recorded.folder())
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        let word = match verb {
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Logs { .. } => return None,
        };
        Some(argv(["sv".as_ref(), word.as_ref(), job.name.as_deref()?]))
    }

    fn units(&self) -> Option<Kind> {
        Some(&Runit)
    }
}
