#![forbid(unsafe_code)]
//! All that is known of supervisord (http://supervisord.org/).

mod control;
mod unit;

use std::ffi::OsStr;

use super::clues::Clues;
use super::evidence::{Evidence, Rank};
use super::job::{Argv, Job, Recorded, Verb, argv};
use super::kind::Supervisor;
use super::units::Kind;

pub struct Supervisord;

impl Supervisor for Supervisord {
    fn word(&self) -> &'static str {
        "supervisord"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        if !clues.has("SUPERVISOR_ENABLED") || clues.stderr_is_terminal {
            return None;
        }
        let of_parent = clues.started_by(|name| name == "supervisord").is_some_and(|evidence| evidence.of_parent);
        let reason = "SUPERVISOR_ENABLED is set and stderr is not a terminal";
        Some(Evidence { of_parent, ..Evidence::new(Rank::Inherited, reason) })
    }

    fn job(&self, recorded: &Recorded) -> Job {
        let process = recorded.variable("SUPERVISOR_PROCESS_NAME");
        let group = recorded.variable("SUPERVISOR_GROUP_NAME").filter(|group| Some(*group) != process);
        Job::named(process.map(|process| match group {
            Some(group) => [group, process].join(OsStr::new(":")),
            None => process.to_owned(),
        }))
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        let word = match verb {
            Verb::Stop | Verb::Restart => verb.word(),
            Verb::Logs { .. } => return None,
        };
        Some(argv(["supervisorctl".as_ref(), word.as_ref(), job.name.as_deref()?]))
    }

    fn units(&self) -> Option<Kind> {
        Some(&Supervisord)
    }
}
