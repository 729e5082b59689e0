#![forbid(unsafe_code)]
//! All that is known of start-stop-daemon(8), of Debian and of OpenRC, as init scripts use it.

use super::clues::Clues;
use super::evidence::Evidence;
use super::job::Verb;
use super::kind::Supervisor;

pub struct StartStopDaemon;

impl Supervisor for StartStopDaemon {
    fn word(&self) -> &'static str {
        "start-stop-daemon"
    }

    /// With `--background` it may have ended before we look: then nobody can tell.
    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        clues.started_by(|name| name == "start-stop-daemon")
    }

    fn advice(&self, verb: Verb) -> String {
        match verb {
            Verb::Stop | Verb::Restart => format!("{0} it by its init script: service NAME {0}", verb.word()),
            Verb::Logs { .. } => "look where its init script sends its output".to_owned(),
        }
    }
}
