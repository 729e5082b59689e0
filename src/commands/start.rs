#![forbid(unsafe_code)]
//! A start, its dry run, and `check`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::check;
use super::dry_run::{self, Found};
use super::outside;
use crate::args;
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::record::Record;
use crate::instance::state::{self, Folder};
use crate::service::trust::Trust;
use crate::service::{self, Purpose, Replace, Service};
use crate::start::launch::Given;
use crate::start::role::Role;
use crate::start::{self, holder, log_file};
use crate::supervisor::decide::{Decision, Mode};
use crate::supervisor::mode;
use crate::supervisor::notify::Manager;
use crate::sys::{self, Dispositions};
use crate::text::quoted;

/// Runs a start, its dry run, or `forerun check`.
///
/// # Errors
/// Every [`Error`]. A start in the foreground returns only with one.
pub fn run(
    options: &args::Start,
    is_check: bool,
    environment: &Environment,
    arguments: &[OsString],
    dispositions: Dispositions,
) -> Result<(), Error> {
    if options.dry_run && is_check {
        return Err(Error::Usage("'--dry-run' is of a start; 'forerun check' starts nothing".to_owned()));
    }
    let called_in = std::env::current_dir()
        .map_err(|e| Error::Config(format!("cannot tell the current directory: {e}; change to one that is there")))?;
    let state = state::root(environment, &called_in);
    start(&Start {
        options,
        purpose: if is_check { Purpose::Look } else { Purpose::Start },
        caller: environment,
        inherited: environment,
        arguments,
        dispositions,
        stop_grace: None,
        restarted: None,
        called_in,
        state,
    })
}

/// A start, asked for on the command line or by the record of a `forerun restart`.
pub struct Start<'a> {
    pub options: &'a args::Start,
    pub purpose: Purpose,
    /// The environment of this forerun. It shows how we were started.
    pub caller: &'a Environment,
    /// The base of the server's environment. A restart takes it, and the arguments, from the record.
    pub inherited: &'a Environment,
    pub arguments: &'a [OsString],
    pub dispositions: Dispositions,
    /// The grace of the instance that is replaced, where it differs from the new one's.
    pub stop_grace: Option<Duration>,
    /// The instance that is restarted.
    pub restarted: Option<&'a Record>,
    /// The current directory.
    pub called_in: PathBuf,
    /// The state folder, which has a folder for each service.
    pub state: Result<PathBuf, String>,
}

impl Start<'_> {
    /// The error of a restart or a replacing start that stopped nothing yet.
    fn goes_on(&self, error: Error) -> Error {
        let record = self.restarted.cloned().or_else(|| self.replaced());
        match (record, sys::host()) {
            (Some(record), Ok(here)) => holder::goes_on(&record, &here, error),
            _ => error,
        }
    }

    /// The instance that `--replace` is about, if the name can be told.
    fn replaced(&self) -> Option<Record> {
        let name =
            service::named(&self.options.which(), &self.called_in).ok().filter(|_| self.options.flags.replace)?;
        recorded(name.name(), self).filter(|record| record.supervisor.is_none())
    }
}

/// Starts in the current directory.
///
/// # Errors
/// As [`run`].
pub fn start(start: &Start) -> Result<(), Error> {
    let service =
        Service::resolve(&start.options.flags, start.purpose, &start.called_in).map_err(|e| start.goes_on(e))?;
    let decision = mode::decide(service.asked_mode, start.caller).map_err(|e| start.goes_on(e))?;
    log::info!("{} mode: {}", decision.mode, decision.reason);
    for why in &service.without_effect {
        log::warn!("{why}; continuing");
    }
    let trust = Trust::of_start(&service, decision.mode);
    if start.options.dry_run {
        let manager = manager(&decision, start);
        let role = match decision.mode {
            Mode::Foreground => Role::in_foreground(&service, &decision, manager.as_ref(), false),
            Mode::Detached => Role::detached(&service, &decision),
        };
        let own_log = || Some(log_file::default(start.state.as_ref().ok()?, &service.name));
        let log = service.log.clone().or_else(own_log);
        let (trust, inherited) = (&trust, start.inherited);
        let found = Found { service: &service, decision: &decision, trust, inherited, log, sidecar: role.tasks() };
        return dry_run::print(found, start.options.output.json);
    }
    trust.ensure()?;
    if service.replace == Replace::Same && decision.mode == Mode::Detached {
        leave_instance(&service.name, start)?;
    }
    let result = carry_out(&service, &decision, start);
    if let (Err(Error::Interrupted(signal)), Mode::Foreground) = (&result, decision.mode) {
        // A supervisor takes its signal for a clean end only if the process dies of that signal.
        sys::die_of(*signal);
    }
    result
}

/// Leaves the instance that is to be replaced: stopping it would end us too.
fn leave_instance(name: &str, start: &Start) -> Result<(), Error> {
    match recorded(name, start) {
        Some(record) if record.supervisor.is_none() => outside::go(&record, start.caller),
        _ => Ok(()),
    }
}

/// The record of a service, if there is one that can be read.
fn recorded(name: &str, start: &Start) -> Option<Record> {
    let folder = Folder::existing(start.state.as_ref().ok()?, name, nix::unistd::geteuid().as_raw()).ok()??;
    Record::look(&folder, name).ok().flatten()
}

/// Starts the server in its folder, or runs only the checks.
fn carry_out(service: &Service, decision: &Decision, start: &Start) -> Result<(), Error> {
    let Start { options, inherited, .. } = *start;
    if service.directory != start.called_in {
        std::env::set_current_dir(&service.directory).map_err(|e| {
            let message = format!("cannot change to the directory {}: {e}", quoted(&service.directory));
            start.goes_on(Error::Config(message))
        })?;
    }
    let is_drawn = !options.output.no_progress && !options.output.quiet;
    if start.purpose == Purpose::Look {
        return check::run(service, inherited, is_drawn, options.output.json);
    }
    start::run(Given {
        service,
        decision,
        inherited,
        arguments: start.arguments,
        dispositions: start.dispositions,
        stop_grace: start.stop_grace.unwrap_or(service.grace),
        state: start.state.clone(),
        called_in: &start.called_in,
        manager: manager(decision, start),
        is_drawn,
        json: options.output.json,
    })
}

/// The service manager that this start may send notifications to.
fn manager(decision: &Decision, start: &Start) -> Option<Manager> {
    let speaks = decision.may_notify && decision.mode == Mode::Foreground && start.purpose == Purpose::Start;
    Manager::of(start.caller).filter(|_| speaks)
}
