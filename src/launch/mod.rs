#![forbid(unsafe_code)]
//! Launching: the place, the checks, then the server, in the foreground or detached.

pub mod checks;
mod detached;
mod foreground;
mod log_file;
mod place;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::check::{self, Context, Lookup};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::identity::Identity;
use crate::instance::record::{Phase, Record, Text};
use crate::instance::state::{Folder, Lock};
use crate::mode::{Decision, Mode};
use crate::report::progress::Teller;
use crate::service::Service;
use crate::sys::{self, Caught, Dispositions, Host, Nofile, Process, Wake};
use crate::text::{quoted, shell_words};

/// One start.
pub struct Launch<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    /// The environment that forerun was started with.
    pub inherited: &'a Environment,
    pub arguments: &'a [OsString],
    pub dispositions: Dispositions,
    pub host: Host,
    pub called_in: PathBuf,
    /// The limits that the server gets, where any were asked for.
    pub nofile: Option<Nofile>,
    pub context: Arc<Context>,
    pub wake: Arc<Wake>,
    pub signals: Caught,
    pub teller: Teller,
    pub json: bool,
}

impl Launch<'_> {
    /// Starts the server.
    ///
    /// # Errors
    /// All of them. In the foreground it does not return otherwise.
    pub fn start(self) -> Result<(), Error> {
        match self.decision.mode {
            Mode::Foreground => foreground::start(self),
            Mode::Detached => detached::start(self),
        }
    }

    /// What running checks needs.
    fn room(&mut self) -> checks::Room<'_> {
        let Launch { context, wake, signals, teller, .. } = self;
        checks::Room { context, wake, signals, teller }
    }

    /// Takes the service's lock, once whoever starts or stops it is done.
    fn lock(&mut self, folder: &Folder) -> Result<Lock, Error> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(signal) = self.signals.signal() {
                return Err(Error::Interrupted(signal));
            }
            let failed = |e| {
                Error::State(format!(
                    "cannot lock the state folder {}: {e}; set FORERUN_STATE_DIR",
                    quoted(&folder.path)
                ))
            };
            if let Some(lock) = folder.try_lock().map_err(failed)? {
                return Ok(lock);
            }
            if waited.is_zero() {
                log::info!("another forerun is starting or stopping {}; waiting for it", quoted(&self.service.name));
            }
            self.teller.status("waiting for another start or stop of this service");
            let step = (waited / 50).clamp(Duration::from_millis(1), Duration::from_millis(100));
            self.wake.wait(None, step);
            waited += step;
        }
    }

    /// The file that the command's name stands for, as the server would find it.
    fn find_command(&self, environment: &Environment) -> Result<PathBuf, Error> {
        let name = &self.service.command[0];
        check::find(name, environment, &self.context.directory).map_err(|e| match e {
            Lookup::NotFound(reason) => Error::NotFound(format!("cannot execute {}: {reason}", quoted(name))),
            Lookup::NotExecutable(e) => Error::CannotExecute(format!("cannot execute {}: {e}", quoted(name))),
        })
    }

    /// The record of this start. `process` is the server, or forerun itself before there is one.
    fn record(&self, phase: Phase, process: &Process, cookie: &str, log: Option<&PathBuf>) -> Record {
        let texts = |list: &[OsString]| list.iter().map(|s| Text::from(s.as_os_str())).collect();
        let service = self.service;
        Record {
            version: Record::VERSION,
            name: service.name.clone(),
            phase,
            session: process.session,
            group: process.group,
            process: Identity::new(process, &self.host),
            cookie: cookie.to_owned(),
            mode: self.decision.mode.to_string(),
            supervisor: self.decision.recognised.map(str::to_owned),
            cgroup: sys::cgroup_leaf(),
            config: service.config.as_ref().map(|c| Text::from(c.as_os_str())),
            command: texts(&service.command),
            cwd: Text::from(service.directory.as_os_str()),
            port: service.port,
            url: service.url.clone(),
            log: log.map(|l| Text::from(l.as_os_str())),
            started: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs(),
            arguments: texts(self.arguments),
            called_in: Text::from(self.called_in.as_os_str()),
            environment: texts(self.inherited.entries()),
        }
    }
}

/// This process.
fn ourselves() -> Option<Process> {
    sys::process(std::process::id() as i32)
}

/// The error that an execve ended with.
fn exec_error(command: &[OsString], error: &std::io::Error) -> Error {
    let message = format!("cannot execute {}: {error}", quoted(&command[0]));
    match error.raw_os_error() {
        // Of the system's state, not of the command's: a supervisor does right to try again.
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => {
            Error::Exhausted(format!("{message}; raise the limits or try again"))
        }
        Some(libc::ENOENT) => {
            let hint = "; it is there, so its interpreter (the first line's '#!' or the program's loader) is not";
            Error::NotFound(format!("{message}{hint}"))
        }
        Some(libc::ENOEXEC) => {
            Error::CannotExecute(format!("{message}; a script begins with '#!' and its interpreter"))
        }
        Some(libc::E2BIG) => Error::CannotExecute(format!("{message}; {} is too long", quoted(&shell_words(command)))),
        _ => Error::CannotExecute(message),
    }
}

/// A process that was verified a moment ago.
fn verified(identity: &Identity) -> Option<Process> {
    sys::process(identity.pid).filter(|p| p.start == identity.start)
}
