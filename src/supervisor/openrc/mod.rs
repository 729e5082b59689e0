#![forbid(unsafe_code)]
//! All that is known of OpenRC: openrc-run(8) with supervise-daemon(8).

mod control;
mod unit;

use super::clues::Clues;
use super::evidence::Evidence;
use super::job::{Argv, Job, Recorded, Verb, argv};
use super::kind::Supervisor;
use super::units::Kind;

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

    fn advice(&self, verb: Verb) -> String {
        match verb {
            Verb::Stop | Verb::Restart => format!("{0} it: rc-service NAME {0}", verb.word()),
            Verb::Logs { .. } => "look at 'output_log' of its init script".to_owned(),
        }
    }

    fn units(&self) -> Option<Kind> {
        Some(&OpenRc)
    }
}
