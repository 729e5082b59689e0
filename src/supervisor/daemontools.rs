#![forbid(unsafe_code)]
//! All that is known of daemontools: supervise(8).

use super::clues::Clues;
use super::evidence::Evidence;
use super::job::{Argv, Job, Recorded, Verb, argv};
use super::kind::Supervisor;

pub struct Daemontools;

impl Supervisor for Daemontools {
    fn word(&self) -> &'static str {
        "daemontools"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        clues.started_by(|name| name == "supervise")
    }

    fn job(&self, recorded: &Recorded) -> Job {
        Job::named(recorded.folder())
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        let word = match verb {
            Verb::Stop => "-d",
            Verb::Restart => "-t",
            Verb::Logs { .. } => return None,
        };
        Some(argv(["svc".as_ref(), word.as_ref(), job.name.as_deref()?]))
    }
}
