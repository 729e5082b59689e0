#![forbid(unsafe_code)]
//! What forerun knows of a supervisor.

use std::fmt;

use super::clues::Clues;
use super::evidence::{Evidence, Proof, Remark};
use super::job::{Active, Argv, Job, Recorded, Verb};
use super::units::Kind;

/// A supervisor, as the code refers to it. Records and JSON have its [`Supervisor::word`].
pub type Known = &'static dyn Supervisor;

/// One kind of supervisor.
pub trait Supervisor: Sync {
    /// Its name in records, in JSON and in messages.
    fn word(&self) -> &'static str;

    /// How these clues show that it started us or our parent. `None` if they do not.
    fn recognise(&self, clues: &Clues) -> Option<Evidence>;

    /// The proof that its variables are there and were inherited from another process.
    fn disproof(&self, _: &Clues) -> Option<String> {
        None
    }

    /// What else shows, or does not show, that it started us. For `doctor`.
    fn proof(&self, _: &Clues) -> Option<Proof> {
        None
    }

    /// What a server below it lacks, and what to do. A server in the foreground is told so at its start.
    fn remark(&self, _: &Clues) -> Option<Remark> {
        None
    }

    /// What it calls a recorded instance.
    fn job(&self, _: &Recorded) -> Job {
        Job::default()
    }

    /// Its own command for a job. `None` where it has none, or where its name for the job is not known.
    fn command(&self, _: Verb, _: &Job) -> Option<Argv> {
        None
    }

    /// What to do, in words, where no command is known.
    fn advice(&self, verb: Verb) -> String {
        format!("{} it through {}", verb.word(), self.word())
    }

    /// Whether it can follow a server to another main process (`MAINPID=` of sd_notify(3)). Others started one child.
    fn follows(&self) -> bool {
        false
    }

    /// Whether it is systemd itself, which knows every message of sd_notify(3) (`WATCHDOG=trigger`), and can be asked
    /// whose it takes (`NotifyAccess=`).
    fn knows_all_messages(&self) -> bool {
        false
    }

    /// Asks it which process is the main one of a job. `None` where the job has none, or it cannot be asked.
    fn active(&self, _: &Job) -> Option<Active> {
        None
    }

    /// How its units are written, if forerun writes any.
    fn units(&self) -> Option<Kind> {
        None
    }

    /// Its service that has the control group of this path.
    fn service_of_group<'a>(&self, _: &'a str) -> Option<&'a str> {
        None
    }
}

impl fmt::Debug for dyn Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for dyn Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl PartialEq for dyn Supervisor {
    fn eq(&self, other: &Self) -> bool {
        self.word() == other.word()
    }
}

impl Eq for dyn Supervisor {}
