#![forbid(unsafe_code)]
//! All that is known of circus (https://circus.readthedocs.io/).

use std::os::unix::ffi::OsStrExt;

use crate::supervisor::clues::Clues;
use crate::supervisor::evidence::{Evidence, Rank};
use crate::supervisor::job::Verb;
use crate::supervisor::kind::Supervisor;

pub struct Circus;

impl Supervisor for Circus {
    fn word(&self) -> &'static str {
        "circus"
    }

    /// circusd gives a watcher an empty environment, so its name counts.
    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        let is_its = |entry: &&std::ffi::OsString| entry.as_bytes().starts_with(b"CIRCUS_");
        let variable = clues.environment.entries().iter().find(is_its).filter(|_| !clues.stderr_is_terminal);
        let by_variable = variable.map(|entry| {
            let entry = entry.to_string_lossy();
            let name = entry.split('=').next().unwrap_or_default();
            Evidence::new(Rank::Inherited, format!("{name} is set and stderr is not a terminal"))
        });
        clues.started_by(|name| name == "circusd").or(by_variable)
    }

    fn advice(&self, verb: Verb) -> String {
        match verb {
            Verb::Stop | Verb::Restart => format!("{0} it: circusctl {0} WATCHER", verb.word()),
            Verb::Logs { .. } => "look where its watcher's stdout_stream goes".to_owned(),
        }
    }
}
