#![forbid(unsafe_code)]
//! Supervisors, for one unit: what each of them says of it, and does with it.

use std::time::Duration;

use super::ask::Words;
use super::{Place, Scope, launchctl, place, runit, s6, supervisord, systemd};
use crate::cli::Kind;
use crate::environment::Environment;
use crate::error::Error;
use crate::text::{quoted, shell_words};

/// A supervisor, for one unit.
pub struct Control<'a> {
    pub kind: Kind,
    pub scope: Scope,
    pub name: &'a str,
    pub place: &'a Place,
    pub environment: &'a Environment,
    /// How long the server may take to stop.
    pub grace: Duration,
}

/// What a supervisor says of a unit.
#[derive(PartialEq, Eq, Debug)]
pub struct Standing {
    /// It is started again at the next boot or login.
    pub enabled: bool,
    pub runs: Runs,
    /// What forerun has told the supervisor of itself, where it tells.
    pub status: Option<String>,
    /// Whether the sidecar's messages are heard, where that is a question.
    pub hears_sidecar: Option<bool>,
    /// The supervisor has an older text than the file.
    pub is_older: bool,
    /// It has ended, and will be started again after a pause.
    pub has_ended: bool,
    /// What is under way takes as long as something else does: a stop, or a job that is to come first.
    pub is_held_up: bool,
    /// The process of what is not there yet, where there is one.
    pub starting: Option<i32>,
    /// Another one for each start, where the supervisor says one.
    pub invocation: String,
    /// How long the supervisor lets a start take, where it says so.
    pub limit: Option<Duration>,
}

/// Whether a supervisor runs a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Runs {
    /// As this process: the server, or forerun while it waits.
    Yes(i32),
    /// It is starting it, or will again in a moment: in its own words.
    Later(String),
    /// In its own words.
    No(String),
}

impl Standing {
    /// What it says of standing by, where it does.
    pub fn standby(&self) -> Option<&str> {
        self.status.as_deref().filter(|status| status.starts_with("standby: "))
    }

    /// What those say who say no more.
    pub fn of(enabled: bool, runs: Runs) -> Standing {
        Standing {
            enabled,
            runs,
            status: None,
            hears_sidecar: None,
            is_older: false,
            has_ended: false,
            is_held_up: false,
            starting: None,
            invocation: String::new(),
            limit: None,
        }
    }

    pub fn absent(why: &str) -> Standing {
        Standing::of(false, Runs::No(why.to_owned()))
    }
}

impl Control<'_> {
    /// What a person types to make the unit run. `restart`: also where it ran as it was before.
    pub fn start_commands(&self, restart: bool) -> Vec<Words> {
        match self.kind {
            Kind::Systemd => systemd::start_commands(self, restart),
            Kind::Launchd => launchctl::start_commands(self, restart),
            Kind::Supervisord => supervisord::start_commands(self, restart),
            Kind::Runit => runit::start_commands(self, restart),
            Kind::S6 => s6::start_commands(self, restart),
        }
    }

    /// Makes the unit run, and again where it was changed.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the supervisor's program, [`Error::NotReady`] where it refuses, with its own words.
    pub fn start(&self, changed: bool) -> Result<(), Error> {
        match self.kind {
            Kind::Systemd => systemd::start(self, changed),
            Kind::Launchd => launchctl::start(self, changed),
            Kind::Supervisord => supervisord::start(self, changed),
            Kind::Runit => runit::start(self, changed),
            Kind::S6 => s6::start(self, changed),
        }
    }

    /// What the supervisor says of the unit.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn standing(&self) -> Result<Standing, Error> {
        match self.kind {
            Kind::Systemd => systemd::standing(self),
            Kind::Launchd => launchctl::standing(self),
            Kind::Supervisord => supervisord::standing(self),
            Kind::Runit => runit::standing(self),
            Kind::S6 => s6::standing(self),
        }
    }

    /// Stops the unit, for good.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn stop(&self) -> Result<(), Error> {
        match self.kind {
            Kind::Systemd => systemd::stop(self),
            Kind::Launchd => launchctl::stop(self),
            Kind::Supervisord => supervisord::stop(self),
            Kind::Runit => runit::stop(self),
            Kind::S6 => s6::stop(self),
        }
    }

    /// Has the supervisor forget a unit whose file is gone.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn forget(&self) -> Result<(), Error> {
        match self.kind {
            Kind::Systemd => systemd::forget(self),
            Kind::Supervisord => supervisord::forget(self),
            Kind::Launchd | Kind::Runit | Kind::S6 => Ok(()),
        }
    }

    /// What the supervisor keeps in the folder of a unit.
    pub fn keeps(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Runit => &runit::KEPT,
            Kind::S6 => &s6::KEPT,
            _ => &[],
        }
    }

    /// The program that is asked.
    pub fn program(&self) -> &'static str {
        match self.kind {
            Kind::Systemd => "systemctl",
            Kind::Launchd => "launchctl",
            Kind::Supervisord => "supervisorctl",
            Kind::Runit => "sv",
            Kind::S6 => "s6-svc",
        }
    }

    /// What a person types where the unit is there and does not serve.
    pub fn start_command(&self) -> String {
        let words = match self.kind {
            Kind::Supervisord => supervisord::start_again(self),
            Kind::Launchd => launchctl::start_again(self),
            _ => self.start_commands(false).pop().unwrap_or_default(),
        };
        shell_words(&words)
    }

    /// What makes the supervisor read a unit again, and start what runs anew where it must.
    pub fn reread_command(&self) -> String {
        match self.kind {
            Kind::Systemd => shell_words(&systemd::reload(self.scope)),
            Kind::Launchd => launchctl::load_again(self.scope, self.name, &self.place.unit),
            Kind::Supervisord | Kind::Runit | Kind::S6 => self.start_command(),
        }
    }

    /// What shows what the server said, where that is known.
    pub fn log_command(&self) -> Option<String> {
        match self.kind {
            Kind::Systemd => {
                let of_user = if self.scope == Scope::User { "--user " } else { "" };
                Some(format!("journalctl {of_user}-n 20 -u {}.service", self.name))
            }
            Kind::Supervisord => Some(format!("supervisorctl tail {}", self.name)),
            Kind::Launchd | Kind::Runit | Kind::S6 => None,
        }
    }

    /// The word for its kind.
    pub fn kind_word(&self) -> &'static str {
        place::kind_word(self.kind)
    }

    /// Whether its program is there.
    pub fn is_there(&self) -> bool {
        let path = self.environment.filled("PATH").unwrap_or_default();
        which::which_in(self.program(), Some(path), "/").is_ok()
    }

    /// Whether a unit could be started now.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the supervisor's program, [`Error::NotReady`] where nobody is logged in for whom it
    /// would run, [`Error::Conflict`] where something else is in its place.
    pub fn could_start(&self) -> Result<(), Error> {
        if !self.is_there() {
            let program = quoted(self.program());
            return Err(Error::NotFound(format!("cannot execute {program}: it is not on PATH; nothing was written")));
        }
        match self.kind {
            Kind::Launchd => launchctl::could_start(self),
            Kind::Runit | Kind::S6 => self.link_is_free(),
            Kind::Systemd | Kind::Supervisord => Ok(()),
        }
    }
}
