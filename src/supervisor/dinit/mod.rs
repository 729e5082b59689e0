#![forbid(unsafe_code)]
//! All that is known of dinit(8), https://davmac.org/projects/dinit/.

mod control;
mod unit;

use std::ffi::OsStr;

use super::clues::Clues;
use super::evidence::Evidence;
use super::job::{Argv, Job, Recorded, Verb, argv};
use super::kind::Supervisor;
use super::units::Kind;

pub struct Dinit;

impl Supervisor for Dinit {
    fn word(&self) -> &'static str {
        "dinit"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        clues.started_by(|name| name == "dinit")
    }

    fn job(&self, recorded: &Recorded) -> Job {
        // Units of forerun ask for it: `load-options = export-service-name`.
        Job::named(recorded.variable("DINIT_SERVICE").map(OsStr::to_owned))
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        match verb {
            Verb::Stop | Verb::Restart => Some(argv(["dinitctl".as_ref(), verb.word().as_ref(), job.name.as_deref()?])),
            Verb::Logs { .. } => None,
        }
    }

    fn units(&self) -> Option<Kind> {
        Some(&Dinit)
    }

    fn advice(&self, verb: Verb) -> String {
        match verb {
            Verb::Stop | Verb::Restart => format!("{0} it: dinitctl {0} SERVICE", verb.word()),
            Verb::Logs { .. } => "look at the 'logfile' of its service, or: dinitctl catlog SERVICE".to_owned(),
        }
    }
}
