#![forbid(unsafe_code)]
//! All that is known of OpenRC: supervise-daemon(8).

use super::clues::Clues;
use super::evidence::Evidence;
use super::job::{Argv, Job, Recorded, Verb, argv};
use super::kind::Supervisor;

pub struct OpenRc;

impl Supervisor for OpenRc {
    fn word(&self) -> &'static str {
        "OpenRC"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        clues.started_by(|name| name == "supervise-daemon")
    }

    fn job(&self, recorded: &Recorded) -> Job {
        // The first argument of supervise-daemon is the name of the service.
        Job::named(recorded.argument_of_parent(1))
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        match verb {
            Verb::Stop | Verb::Restart => {
                Some(argv(["rc-service".as_ref(), job.name.as_deref()?, verb.word().as_ref()]))
            }
            Verb::Logs { .. } => None,
        }
    }
}
