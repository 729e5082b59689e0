#![forbid(unsafe_code)]
//! All that is known of PM2 (https://pm2.keymetrics.io/docs/usage/quick-start/).

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::supervisor::clues::Clues;
use crate::supervisor::evidence::{Evidence, Rank};
use crate::supervisor::job::{Argv, Job, Recorded, Verb};
use crate::supervisor::kind::Supervisor;
use crate::sys;

pub struct Pm2;

impl Supervisor for Pm2 {
    fn word(&self) -> &'static str {
        "PM2"
    }

    /// PM2_HOME alone is in everybody's profile.
    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        let is_set = clues.has("pm_id") && clues.has("PM2_HOME");
        if !is_set || clues.stderr_is_terminal {
            return None;
        }
        let of_parent = clues.started_by(is_daemon).is_some_and(|evidence| evidence.of_parent);
        let reason = "pm_id and PM2_HOME are set and stderr is not a terminal";
        Some(Evidence { of_parent, ..Evidence::new(Rank::Inherited, reason) })
    }

    fn job(&self, recorded: &Recorded) -> Job {
        let name = recorded.variable("name").or_else(|| recorded.variable("pm_id"));
        let usual = sys::home_directory().map(|home| home.join(".pm2"));
        let place = recorded.variable("PM2_HOME").filter(|place| usual.as_deref() != Some(Path::new(place)));
        Job { name: name.map(OsStr::to_owned), place: place.map(OsStr::to_owned), ..Job::default() }
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        let name = job.name.clone()?;
        let mut words: Argv = Vec::new();
        if let Some(place) = &job.place {
            let mut variable = OsString::from("PM2_HOME=");
            variable.push(place);
            words.extend(["env".into(), variable]);
        }
        words.extend(["pm2".into(), verb.word().into(), name]);
        if let Verb::Logs { lines, follow } = verb {
            words.extend(["--lines".into(), lines.to_string().into()]);
            words.extend((!follow).then(|| "--nostream".into()));
        }
        Some(words)
    }

    fn advice(&self, verb: Verb) -> String {
        format!("{0} it: pm2 {0} NAME", verb.word())
    }
}

/// The title of PM2's daemon: `PM2 v7.0.0: God Daemon (/root/.pm2)`.
fn is_daemon(name: &str) -> bool {
    name.starts_with("PM2 v")
}
