#![forbid(unsafe_code)]
//! A start, and its dry run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dry_run::{self, Found};
use super::outside;
use crate::args::{self, Output};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::record::Record;
use crate::instance::state::{self, Folder};
use crate::service::trust::Trust;
use crate::service::{self, Service};
use crate::start::launch::{Given, Replace};
use crate::start::role::Role;
use crate::start::{self, holder, log_file, unfit};
use crate::supervisor::decide::{Decision, Mode};
use crate::supervisor::mode;
use crate::supervisor::notify::Manager;
use crate::sys::{self, Dispositions};
use crate::text::quoted;

/// Runs a start, or its dry run.
///
/// # Errors
/// Every [`Error`]. A start in the foreground returns only with one.
pub fn run(
    asked: &args::Start,
    output: &Output,
    environment: &Environment,
    arguments: &[OsString],
    dispositions: Dispositions,
) -> Result<(), Error> {
    let called_in = called_in()?;
    let state = state::root(environment, &called_in);
    start(&Starting {
        asked,
        output,
        caller: environment,
        inherited: environment,
        arguments,
        dispositions,
        restarted: None,
        called_in,
        state,
    })
}

/// A start, asked for on the command line or by the record of a `forerun restart`.
pub struct Starting<'a> {
    pub asked: &'a args::Start,
    pub output: &'a Output,
    /// The environment of this forerun. It shows how we were started.
    pub caller: &'a Environment,
    /// The base of the server's environment. A restart takes it, and the arguments, from the record.
    pub inherited: &'a Environment,
    pub arguments: &'a [OsString],
    pub dispositions: Dispositions,
    pub restarted: Option<Restarted<'a>>,
    /// The current directory.
    pub called_in: PathBuf,
    /// The state folder, which has a folder for each service.
    pub state: Result<PathBuf, String>,
}

/// The instance that is restarted.
pub struct Restarted<'a> {
    pub record: &'a Record,
    /// How long it may take to stop.
    pub grace: Duration,
}

impl Starting<'_> {
    /// Which running instance may be stopped first.
    fn replace(&self) -> Replace {
        match (&self.restarted, self.asked.by_hand.replace) {
            (Some(_), _) => Replace::Any,
            (None, true) => Replace::Same,
            (None, false) => Replace::No,
        }
    }

    /// The error of a restart or a replacing start that stopped nothing yet.
    fn goes_on(&self, error: Error) -> Error {
        let record = self.restarted.as_ref().map(|restarted| restarted.record.clone()).or_else(|| self.replaced());
        match (record, sys::host()) {
            (Some(record), Ok(here)) => holder::goes_on(&record, &here, error),
            _ => error,
        }
    }

    /// The instance that `--replace` is about, if the name can be told.
    fn replaced(&self) -> Option<Record> {
        let (flags, replace) = (&self.asked.flags, self.asked.by_hand.replace);
        let named = service::named(flags.name.as_deref(), flags.config.as_deref(), &self.called_in, self.inherited);
        let name = named.ok().filter(|_| replace)?;
        recorded(name.name(), self).filter(|record| record.supervisor.is_none())
    }
}

/// Starts in the current directory.
///
/// # Errors
/// As [`run`].
pub fn start(start: &Starting) -> Result<(), Error> {
    let (flags, by_hand) = (&start.asked.flags, &start.asked.by_hand);
    let service = Service::resolve(flags, by_hand, &start.called_in, start.inherited).map_err(|e| start.goes_on(e))?;
    // After a restart the browser is open already.
    let service = Service { open: service.open && start.restarted.is_none(), ..service };
    let (decision, trust) = decide(&service, start.caller).map_err(|e| start.goes_on(e))?;
    unfit::refuse(&service, decision.mode, start.caller).map_err(|e| start.goes_on(e))?;
    if by_hand.dry_run {
        let manager = manager(&decision, start);
        let role = match decision.mode {
            Mode::Foreground => Role::in_foreground(&service, &decision, manager.as_ref(), false),
            Mode::Detached => Role::detached(&service, &decision),
        };
        let own_log = || Some(log_file::default(start.state.as_ref().ok()?, &service.name));
        let log = service.log.clone().or_else(own_log);
        let (trust, inherited) = (&trust, start.inherited);
        let found = Found { service: &service, decision: &decision, trust, inherited, log, sidecar: role.tasks() };
        return dry_run::print(found, start.output.json);
    }
    trust.ensure()?;
    if start.replace() == Replace::Same && decision.mode == Mode::Detached {
        leave_instance(&service.name, start)?;
    }
    dying_of_signal(carry_out(&service, &decision, start), decision.mode)
}

/// The current directory.
///
/// # Errors
/// [`Error::Config`] where it cannot be told.
pub fn called_in() -> Result<PathBuf, Error> {
    std::env::current_dir()
        .map_err(|e| Error::Config(format!("cannot tell the current directory: {e}; change to one that is there")))
}

/// Decides the mode, and tells a person what is unusual about the service. Returns what root thinks of its files too.
///
/// # Errors
/// Those of [`mode::decide`].
pub fn decide(service: &Service, caller: &Environment) -> Result<(Decision, Trust), Error> {
    let decision = mode::decide(service.asked_mode, caller)?;
    log::info!("{} mode: {}", decision.mode, decision.reason);
    service.variables.warnings.iter().for_each(|line| log::warn!("{line}"));
    for why in &service.without_effect {
        log::warn!("{why}; continuing");
    }
    let trust = Trust::of_start(service, decision.mode);
    Ok((decision, trust))
}

/// Dies of the signal that interrupted us in the foreground: a supervisor takes its signal for a clean end only then.
pub fn dying_of_signal(result: Result<(), Error>, mode: Mode) -> Result<(), Error> {
    if let (Err(Error::Interrupted(signal)), Mode::Foreground) = (&result, mode) {
        sys::die_of(*signal);
    }
    result
}

/// Changes to the folder that the server runs in.
///
/// # Errors
/// [`Error::Config`].
pub fn enter(service: &Service, called_in: &Path) -> Result<(), Error> {
    if service.directory == called_in {
        return Ok(());
    }
    std::env::set_current_dir(&service.directory)
        .map_err(|e| Error::Config(format!("cannot change to the directory {}: {e}", quoted(&service.directory))))
}

/// Leaves the instance that is to be replaced: stopping it would end us too.
fn leave_instance(name: &str, start: &Starting) -> Result<(), Error> {
    match recorded(name, start) {
        Some(record) if record.supervisor.is_none() => outside::go(&record, start.caller),
        _ => Ok(()),
    }
}

/// The record of a service, if there is one that can be read.
fn recorded(name: &str, start: &Starting) -> Option<Record> {
    let folder = Folder::existing(start.state.as_ref().ok()?, name, nix::unistd::geteuid().as_raw()).ok()??;
    Record::look(&folder, name).ok().flatten()
}

/// Starts the server in its folder.
fn carry_out(service: &Service, decision: &Decision, start: &Starting) -> Result<(), Error> {
    enter(service, &start.called_in).map_err(|e| start.goes_on(e))?;
    start::run(Given {
        service,
        decision,
        replace: start.replace(),
        inherited: start.inherited,
        arguments: start.arguments,
        dispositions: start.dispositions,
        stop_grace: start.restarted.as_ref().map_or(service.grace, |restarted| restarted.grace),
        state: start.state.clone(),
        called_in: &start.called_in,
        manager: manager(decision, start),
        is_drawn: start.output.is_drawn(),
        json: start.output.json,
    })
}

/// The service manager that this start may send notifications to.
fn manager(decision: &Decision, start: &Starting) -> Option<Manager> {
    let speaks = decision.may_notify && decision.mode == Mode::Foreground;
    Manager::of(start.caller).filter(|_| speaks)
}
