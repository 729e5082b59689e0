#![forbid(unsafe_code)]
//! All that is known of runners that read a Procfile: honcho, foreman, overmind, hivemind and goreman. When one process
//! ends, they end all others.

use std::ffi::OsStr;

use crate::supervisor::clues::{Ancestor, Clues};
use crate::supervisor::evidence::{Evidence, Rank};
use crate::supervisor::job::{Argv, Job, Recorded, Verb, argv};
use crate::supervisor::kind::Supervisor;

/// One of them.
pub struct Runner {
    word: &'static str,
    /// A variable that it sets for its processes, to the name of the process.
    variable: Option<&'static str>,
    /// It starts its processes in a tmux server of its own, whose socket's name begins with this.
    socket: Option<&'static str>,
    /// The words before the verb in its own command, if it has one for a single process.
    client: Option<&'static [&'static str]>,
}

pub static HONCHO: Runner =
    Runner { word: "honcho", variable: Some("HONCHO_PROCESS_NAME"), socket: None, client: None };
/// foreman(1) sets `PS`, which says too little.
pub static FOREMAN: Runner = Runner { word: "foreman", variable: None, socket: None, client: None };
pub static OVERMIND: Runner =
    Runner { word: "overmind", variable: None, socket: Some("overmind-"), client: Some(&["overmind"]) };
pub static HIVEMIND: Runner = Runner { word: "hivemind", variable: None, socket: None, client: None };
pub static GOREMAN: Runner =
    Runner { word: "goreman", variable: None, socket: None, client: Some(&["goreman", "run"]) };

impl Runner {
    /// Below overmind each process has a terminal, and tmux is its parent. `TMUX` is the socket, a pid and a number
    /// (tmux(1)).
    fn by_tmux(&self, clues: &Clues) -> Option<Evidence> {
        let (socket, tmux) = (self.socket?, clues.variable("TMUX")?);
        let path = tmux.split(',').next().unwrap_or_default();
        let is_tmux = |ancestor: &Ancestor| ancestor.name.as_ref().is_some_and(|name| name.starts_with("tmux"));
        let of_parent = !is_tmux(&clues.parent);
        let is_near = !of_parent || clues.grandparent.as_ref().is_some_and(is_tmux);
        let is_its = path.rsplit('/').next().is_some_and(|name| name.starts_with(socket));
        let reason = format!("TMUX names a server of {}", self.word);
        (is_near && is_its).then(|| Evidence { of_parent, ..Evidence::new(Rank::Parent, reason) })
    }
}

impl Supervisor for Runner {
    fn word(&self) -> &'static str {
        self.word
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        // A title may follow the name: `foreman: master`.
        let is_it =
            |name: &str| name.strip_prefix(self.word).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
        let by_name = clues.started_by(is_it).or_else(|| self.by_tmux(clues));
        let variable = self.variable.filter(|name| clues.has(name) && !clues.stderr_is_terminal);
        by_name.or_else(|| {
            let reason = format!("{} is set and stderr is not a terminal", variable?);
            Some(Evidence::new(Rank::Inherited, reason))
        })
    }

    fn job(&self, recorded: &Recorded) -> Job {
        let name = self.variable.or(Some("PS")).and_then(|name| recorded.variable(name));
        Job::named(name.map(OsStr::to_owned))
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        let client = self.client?;
        let words = client.iter().map(OsStr::new);
        match verb {
            Verb::Stop | Verb::Restart => Some(argv(words.chain([OsStr::new(verb.word()), job.name.as_deref()?]))),
            Verb::Logs { .. } => None,
        }
    }

    fn advice(&self, verb: Verb) -> String {
        match (self.client, verb) {
            (Some(client), Verb::Stop | Verb::Restart) => {
                format!("{0} it: {1} {0} PROCESS", verb.word(), client.join(" "))
            }
            // These have no command for one process.
            (None, Verb::Stop) => format!("stop {}, which started it: Ctrl-C there", self.word),
            (None, Verb::Restart) => format!("stop {0}, which started it, and start it again: {0} start", self.word),
            (_, Verb::Logs { .. }) => format!("look at the output of {}", self.word),
        }
    }
}
