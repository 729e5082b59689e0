#![forbid(unsafe_code)]
//! An instance as its supervisor knows it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::environment::Environment;
use crate::instance::record::{Record, os_strings};
use crate::sys::{self, Process};

pub use super::ask::{Argv, argv};

/// What a supervisor can be asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Stop,
    Restart,
    /// Show this many of the last lines of the output.
    Logs {
        lines: usize,
        follow: bool,
    },
}

impl Verb {
    pub fn word(self) -> &'static str {
        match self {
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Logs { .. } => "logs",
        }
    }
}

/// What a supervisor calls an instance.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Job {
    /// The unit, the label, the program or the folder of the service, if it is known.
    pub name: Option<OsString>,
    /// The supervisor is the user's own manager, not the system's.
    pub of_user: bool,
    /// The supervisor holds the server's sockets, and starts it when somebody connects.
    pub is_activated: bool,
    /// Which supervisor of several it is, if not the usual one: its folder.
    pub place: Option<OsString>,
}

impl Job {
    /// A job of the system's supervisor.
    pub fn named(name: Option<OsString>) -> Self {
        Job { name, ..Job::default() }
    }
}

/// What a supervisor says of a job that runs.
pub struct Active {
    /// The pid of its main process.
    pub main: i32,
    /// Another one for each start.
    pub invocation: String,
}

/// What an instance's record shows of its supervisor.
pub struct Recorded<'a> {
    pub record: &'a Record,
    environment: Environment,
}

impl<'a> Recorded<'a> {
    pub fn new(record: &'a Record) -> Self {
        Recorded { record, environment: Environment::new(os_strings(&record.environment)) }
    }

    /// A variable of the environment in which forerun was started, if it is not empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.filled(name)
    }

    /// The main process, while it lives.
    pub fn main(&self) -> Option<Process> {
        self.record.process.verified()
    }

    /// The folder in which the supervisor runs the service. runsv(8) and s6-supervise run in it themselves; so does
    /// their `./run` at first.
    pub fn folder(&self) -> Option<OsString> {
        let parent = self.main().map(|main| main.parent);
        let folder = parent.and_then(sys::working_directory).map(PathBuf::into_os_string);
        folder.or_else(|| Some(OsString::from(&self.record.called_in)))
    }

    /// An argument of the process that started the server.
    pub fn argument_of_parent(&self, index: usize) -> Option<OsString> {
        sys::command_line(self.main()?.parent)?.into_iter().nth(index)
    }
}
