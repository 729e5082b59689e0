#![forbid(unsafe_code)]
//! One supervisor's commands for one unit: query, start, stop, forget.

use std::time::Duration;

use crate::args::Kind;
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::ask::Words;
use crate::supervisor::launchd::control as launchctl;
use crate::supervisor::runit::unit as runit;
use crate::supervisor::s6::unit as s6;
use crate::supervisor::supervisord::unit as supervisord;
use crate::supervisor::systemd::unit as systemd;
use crate::supervisor::units::path as place;
use crate::supervisor::units::{Place, Scope};
use crate::text::{quoted, shell_words};

/// A supervisor, seen from one unit.
pub struct Control<'a> {
    pub kind: Kind,
    pub scope: Scope,
    pub name: &'a str,
    pub place: &'a Place,
    pub environment: &'a Environment,
    /// How long the server may take to stop.
    pub grace: Duration,
}

/// What a supervisor reports about a unit.
#[derive(PartialEq, Eq, Debug)]
pub struct Standing {
    /// The supervisor starts it at the next boot or login.
    pub enabled: bool,
    pub runs: Runs,
    /// The status text that forerun sent to the supervisor (`STATUS=`), if any.
    pub status: Option<String>,
    /// Whether the supervisor accepts messages from the sidecar. `None` if that cannot be told.
    pub hears_sidecar: Option<bool>,
    /// The supervisor has loaded an older text than the file contains.
    pub is_older: bool,
    /// The process has ended, and the supervisor starts it again after a pause.
    pub has_ended: bool,
    /// The unit waits for something else: its own stop, or a job of another unit.
    pub is_held_up: bool,
    /// The process of a unit that is still starting, if there is one.
    pub starting: Option<i32>,
    /// An id that changes with each start. Empty if the supervisor has none.
    pub invocation: String,
    /// The start timeout of the supervisor, if it reports one.
    pub limit: Option<Duration>,
}

/// Whether a supervisor runs a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Runs {
    /// It runs as this pid: the server, or forerun while it waits.
    Yes(i32),
    /// It is starting, or will start again soon. The text is the supervisor's own.
    Later(String),
    /// It does not run. The text is the supervisor's own.
    No(String),
}

impl Standing {
    /// The status text of a forerun that stands by.
    pub fn standby(&self) -> Option<&str> {
        self.status.as_deref().filter(|status| status.starts_with("standby: "))
    }

    /// A status with only the two facts that every supervisor reports.
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
    /// The commands that a person types to run the unit. `restart`: the unit may run already, with an older text.
    pub fn start_commands(&self, restart: bool) -> Vec<Words> {
        match self.kind {
            Kind::Systemd => systemd::start_commands(self, restart),
            Kind::Launchd => launchctl::start_commands(self, restart),
            Kind::Supervisord => supervisord::start_commands(self, restart),
            Kind::Runit => runit::start_commands(self, restart),
            Kind::S6 => s6::start_commands(self, restart),
        }
    }

    /// Makes the unit run. `changed`: restarts it if it runs already.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the supervisor's program is missing, [`Error::NotReady`] with the supervisor's own
    /// words when it refuses.
    pub fn start(&self, changed: bool) -> Result<(), Error> {
        match self.kind {
            Kind::Systemd => systemd::start(self, changed),
            Kind::Launchd => launchctl::start(self, changed),
            Kind::Supervisord => supervisord::start(self, changed),
            Kind::Runit => runit::start(self, changed),
            Kind::S6 => s6::start(self, changed),
        }
    }

    /// Queries the supervisor about the unit.
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

    /// Stops the unit, so that the supervisor does not start it again.
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

    /// Makes the supervisor forget a unit whose file is gone.
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

    /// Names that the supervisor itself creates in the folder of a unit.
    pub fn keeps(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Runit => &runit::KEPT,
            Kind::S6 => &s6::KEPT,
            _ => &[],
        }
    }

    /// The supervisor's program.
    pub fn program(&self) -> &'static str {
        match self.kind {
            Kind::Systemd => "systemctl",
            Kind::Launchd => "launchctl",
            Kind::Supervisord => "supervisorctl",
            Kind::Runit => "sv",
            Kind::S6 => "s6-svc",
        }
    }

    /// The command that starts a unit that is installed and not running.
    pub fn start_command(&self) -> String {
        let words = match self.kind {
            Kind::Supervisord => supervisord::start_again(self),
            Kind::Launchd => launchctl::start_again(self),
            _ => self.start_commands(false).pop().unwrap_or_default(),
        };
        shell_words(&words)
    }

    /// The command that restarts a unit that runs.
    pub fn restart_command(&self) -> String {
        match self.kind {
            Kind::Launchd => shell_words(&launchctl::restart(self)),
            Kind::Supervisord => shell_words(&supervisord::restart(self)),
            Kind::S6 => shell_words(&s6::restart(self)),
            Kind::Systemd | Kind::Runit => shell_words(&self.start_commands(true).pop().unwrap_or_default()),
        }
    }

    /// The command that makes the supervisor read the unit again. It also restarts the server, if that supervisor has
    /// no other way.
    pub fn reread_command(&self) -> String {
        match self.kind {
            Kind::Systemd => shell_words(&systemd::reload(self.scope)),
            Kind::Launchd => launchctl::load_again(self.scope, self.name, &self.place.unit),
            Kind::Supervisord | Kind::Runit | Kind::S6 => self.start_command(),
        }
    }

    /// The command that shows the server's output, if the supervisor has one.
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

    /// The name of the kind on the command line.
    pub fn kind_word(&self) -> &'static str {
        place::kind_word(self.kind)
    }

    /// Whether the supervisor's program is on PATH.
    pub fn is_there(&self) -> bool {
        let path = self.environment.filled("PATH").unwrap_or_default();
        which::which_in(self.program(), Some(path), "/").is_ok()
    }

    /// Whether a unit could be started now.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the supervisor's program is missing, [`Error::NotReady`] when its domain does not exist
    /// because nobody is logged in, [`Error::Conflict`] when another file is in the place of the link.
    pub fn could_start(&self) -> Result<(), Error> {
        if !self.is_there() {
            let program = quoted(self.program());
            return Err(Error::NotFound(format!("cannot execute {program}: it is not on PATH; no file was written")));
        }
        match self.kind {
            Kind::Launchd => launchctl::could_start(self),
            Kind::Runit | Kind::S6 => self.link_is_free(),
            Kind::Systemd | Kind::Supervisord => Ok(()),
        }
    }
}
