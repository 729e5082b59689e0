#![forbid(unsafe_code)]
//! What a supervisor's units are, and one unit with its supervisor's commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::spec::{File, Given, Scope, UnitPath, UnitSpec};
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::ask::Argv;
use crate::text::{quoted, shell_words};

/// A supervisor that forerun writes units for, as the code refers to it.
pub type Kind = &'static dyn Units;

/// How one supervisor's units are written, and where they are.
pub trait Units: Sync {
    /// Its word on the command line.
    fn word(&self) -> &'static str;

    /// The files of a unit, the one with the marker first.
    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File>;

    /// The names of the files of this unit, if it is a folder.
    fn names(&self, _: &UnitSpec) -> Vec<&'static str> {
        Vec::new()
    }

    /// All files that a unit can have, if it is a folder. The one with the marker comes first.
    fn all_files(&self) -> &'static [&'static str] {
        &[]
    }

    /// The files of a unit whose marker does not list them.
    fn usual_files(&self) -> &'static [&'static str] {
        self.all_files()
    }

    /// Whether forerun wrote this file, which is not the one with the marker.
    fn is_ours(&self, _name: &str, _text: &str) -> bool {
        false
    }

    /// The PATH in the text of a unit that forerun wrote.
    fn kept_path(&self, text: &str) -> Option<String>;

    /// Where a unit of this name is. `dir` is the folder that the supervisor reads, if it is not the usual one.
    ///
    /// # Errors
    /// [`Error::State`] when the user database names no home.
    fn path(&self, scope: Scope, name: &str, dir: Option<&Path>, environment: &Environment) -> Result<UnitPath, Error>;

    /// A unit that ours would hide.
    fn hidden_by(&self, _: Scope, _name: &str) -> Option<PathBuf> {
        None
    }

    /// Whether the unit itself sets the limits of open descriptors. Otherwise forerun does it.
    fn sets_limits(&self, _: Scope) -> bool {
        false
    }

    /// The descriptor on which it expects readiness, if it is told in that way.
    fn notification_fd(&self) -> Option<i32> {
        None
    }

    /// Whether it can stop a service with this signal.
    fn sends(&self, signal: i32) -> bool {
        signal == libc::SIGTERM
    }

    /// Whether the unit runs `[stop] before`.
    fn runs_before_stop(&self) -> bool {
        false
    }

    /// Why it does not accept this name for a service.
    fn refusal(&self, _name: &str) -> Option<&'static str> {
        None
    }

    /// Whether a unit can contain this text as the value of a variable.
    fn can_hold(&self, _text: &str) -> bool {
        true
    }

    /// The first of these paths that the system protects from what the supervisor starts.
    fn guarded<'a>(&self, _paths: &[&'a Path]) -> Option<&'a Path> {
        None
    }

    /// Whether `--harden` adds anything.
    fn can_harden(&self) -> bool {
        false
    }

    /// What keeps a unit of this scope from running without a login: the words for it, and the command that helps.
    fn needs_login(&self, _: Scope) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Whether a start may bring this unit, which started us, up to date. The supervisor is not asked.
    fn heals(&self, _unit: &Path, _: &Environment) -> bool {
        false
    }

    /// Whether settings beside the unit change it.
    fn is_overridden(&self, _unit: &Path) -> bool {
        false
    }

    /// The command in the text of a unit, whoever wrote it. `None` if there is none, or it cannot be understood.
    fn command_in(&self, _text: &str) -> Option<Started> {
        None
    }

    /// More folders that its units are in, for those that forerun did not write.
    fn other_folders(&self, _: Scope) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Its commands for a unit.
    fn control(&self) -> &dyn Control;
}

/// What a unit starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Started {
    pub argv: Vec<String>,
    /// The folder that it starts it in, if it says so.
    pub folder: Option<PathBuf>,
}

/// One supervisor's commands for a unit.
pub trait Control: Sync {
    /// The supervisor's program.
    fn program(&self) -> &'static str;

    /// The commands that a person types to run the unit. `restart`: it may run already, with an older text.
    fn start_commands(&self, unit: &Unit, restart: bool) -> Vec<Argv>;

    /// Makes the unit run. `changed`: restarts it if it runs already.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the supervisor's program is missing, [`Error::NotReady`] with the supervisor's own
    /// words when it refuses.
    fn start(&self, unit: &Unit, changed: bool) -> Result<(), Error>;

    /// Queries the supervisor about the unit.
    ///
    /// # Errors
    /// As [`Control::start`].
    fn status(&self, unit: &Unit) -> Result<UnitStatus, Error>;

    /// Stops the unit, so that the supervisor does not start it again.
    ///
    /// # Errors
    /// As [`Control::start`].
    fn stop(&self, unit: &Unit) -> Result<(), Error>;

    /// Makes the supervisor forget a unit whose file is gone.
    ///
    /// # Errors
    /// As [`Control::start`].
    fn forget(&self, _: &Unit) -> Result<(), Error> {
        Ok(())
    }

    /// Names that the supervisor itself creates in the folder of a unit.
    fn keeps(&self) -> &'static [&'static str] {
        &[]
    }

    /// The command that starts a unit that is installed and not running.
    fn start_command(&self, unit: &Unit) -> Argv {
        self.start_commands(unit, false).pop().unwrap_or_default()
    }

    /// The command that restarts a unit that runs.
    fn restart_command(&self, unit: &Unit) -> Argv {
        self.start_commands(unit, true).pop().unwrap_or_default()
    }

    /// The command line that makes the supervisor read the unit again. It also restarts the server, if that supervisor
    /// has no other way.
    fn reread_command(&self, unit: &Unit) -> String {
        shell_words(&self.start_command(unit))
    }

    /// The command that shows the server's output, if the supervisor has one.
    fn log_command(&self, _: &Unit) -> Option<String> {
        None
    }

    /// Whether the unit could be started now.
    ///
    /// # Errors
    /// [`Error::NotReady`] when its domain does not exist because nobody is logged in, [`Error::Conflict`] when another
    /// file is in the place of the link.
    fn could_start(&self, _: &Unit) -> Result<(), Error> {
        Ok(())
    }
}

/// A unit, and the supervisor that it is for.
#[derive(Clone, Copy)]
pub struct Unit<'a> {
    pub kind: Kind,
    pub scope: Scope,
    /// The name of the service.
    pub name: &'a str,
    pub path: &'a UnitPath,
    pub environment: &'a Environment,
    /// How long the server may take to stop.
    pub grace: Duration,
}

/// What a supervisor reports about a unit.
#[derive(PartialEq, Eq, Debug)]
pub struct UnitStatus {
    /// The supervisor starts it at the next boot or login.
    pub enabled: bool,
    pub runs: Runs,
    /// The status text that forerun sent to the supervisor (`STATUS=`), if any.
    pub text: Option<String>,
    /// Whether the supervisor accepts messages from the sidecar. `None` if that cannot be told.
    pub hearing: Option<Hearing>,
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

/// Whether a supervisor accepts messages from the sidecar of a unit, in its own terms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hearing {
    /// It does, for this reason.
    Yes(String),
    /// It does not.
    No { why: String, what_to_do: String },
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

impl UnitStatus {
    /// The status text of a forerun that stands by.
    pub fn standby(&self) -> Option<&str> {
        self.text.as_deref().filter(|text| text.starts_with("standby: "))
    }

    /// A status with only the two facts that every supervisor reports.
    pub fn of(enabled: bool, runs: Runs) -> UnitStatus {
        UnitStatus {
            enabled,
            runs,
            text: None,
            hearing: None,
            is_older: false,
            has_ended: false,
            is_held_up: false,
            starting: None,
            invocation: String::new(),
            limit: None,
        }
    }

    pub fn absent(why: &str) -> UnitStatus {
        UnitStatus::of(false, Runs::No(why.to_owned()))
    }
}

impl Unit<'_> {
    fn control(&self) -> &'static dyn Control {
        self.kind.control()
    }

    /// As [`Control::start_commands`].
    pub fn start_commands(&self, restart: bool) -> Vec<String> {
        self.control().start_commands(self, restart).iter().map(|words| shell_words(words)).collect()
    }

    /// Makes the unit run. `changed`: restarts it if it runs already.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn start(&self, changed: bool) -> Result<(), Error> {
        self.control().start(self, changed)
    }

    /// Queries the supervisor about the unit.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn status(&self) -> Result<UnitStatus, Error> {
        self.control().status(self)
    }

    /// Stops the unit, so that the supervisor does not start it again.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn stop(&self) -> Result<(), Error> {
        self.control().stop(self)
    }

    /// Makes the supervisor forget a unit whose file is gone.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn forget(&self) -> Result<(), Error> {
        self.control().forget(self)
    }

    /// Names that the supervisor itself creates in the folder of a unit.
    pub fn keeps(&self) -> &'static [&'static str] {
        self.control().keeps()
    }

    /// The supervisor's program.
    pub fn program(&self) -> &'static str {
        self.control().program()
    }

    /// The command that starts a unit that is installed and not running.
    pub fn start_command(&self) -> String {
        shell_words(&self.control().start_command(self))
    }

    /// The command that restarts a unit that runs.
    pub fn restart_command(&self) -> String {
        shell_words(&self.control().restart_command(self))
    }

    /// As [`Control::reread_command`].
    pub fn reread_command(&self) -> String {
        self.control().reread_command(self)
    }

    /// The command that shows the server's output, if the supervisor has one.
    pub fn log_command(&self) -> Option<String> {
        self.control().log_command(self)
    }

    /// Whether the supervisor's program is on PATH.
    pub fn is_there(&self) -> bool {
        let path = self.environment.filled("PATH").unwrap_or_default();
        which::which_in(self.program(), Some(path), "/").is_ok()
    }

    /// Whether the unit could be started now.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the supervisor's program is missing, and those of [`Control::could_start`].
    pub fn could_start(&self) -> Result<(), Error> {
        if !self.is_there() {
            let program = quoted(self.program());
            return Err(Error::NotFound(format!("cannot execute {program}: it is not on PATH; no file was written")));
        }
        self.control().could_start(self)
    }
}
