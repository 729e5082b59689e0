#![forbid(unsafe_code)]
//! Launching: the place, the checks, then the server, in the foreground or detached.

pub mod checks;
mod detached;
mod foreground;
pub mod log_file;
pub mod place;
mod program;
mod standby;
mod tail;
mod unexecutable;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::check::{self, Check, Context, Expectation, Probe, port};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::identity::Identity;
use crate::instance::members::{self, Marks, shows_cookie};
use crate::instance::record::{Phase, Record, Text};
use crate::instance::state::{Folder, Lock};
use crate::instance::stop::{Signalled, Stop, Stopped};
use crate::mode::{Decision, Mode};
use crate::report::line::say;
use crate::report::progress::Teller;
use crate::service::Service;
use crate::sys::{self, Caught, Dispositions, Host, Nofile, Process, Wake};
use crate::text::quoted;

use place::{Conflict, Holder};

/// When the wait for a lock is worth a line.
const NOTEWORTHY: Duration = Duration::from_secs(1);

/// One start.
pub struct Launch<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    /// The environment that forerun was started with.
    pub inherited: &'a Environment,
    pub arguments: &'a [OsString],
    pub dispositions: Dispositions,
    /// How long what is in our place may take to stop.
    pub stop_grace: Duration,
    pub host: Host,
    /// Where the folders of all services are.
    pub state: Result<PathBuf, String>,
    pub called_in: PathBuf,
    /// The limits that the server gets, where any were asked for.
    pub nofile: Option<Nofile>,
    pub context: Arc<Context>,
    pub wake: Arc<Wake>,
    pub signals: Caught,
    pub teller: Teller,
    pub json: bool,
    /// What started us is a unit that forerun wrote and nobody edited.
    pub unit_is_ours: bool,
    /// The record of the instance that had the place before, or that we are.
    pub before: Option<Box<Record>>,
    /// The sidecar, once there is one.
    pub sidecar: Option<Identity>,
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
        let teller = &mut self.teller;
        let desk = LockDesk { wake: &self.wake, signals: &self.signals };
        desk.take(folder, &self.service.name, |_| teller.status("waiting for another start or stop of this service"))
    }

    /// Who is in the way of this start, after what is left of an instance that is gone has been stopped.
    fn conflict(&mut self, holder: &Holder, folder: Option<&Folder>) -> Result<Option<Conflict>, Error> {
        self.before = match holder {
            Holder::Remains(record) | Holder::Ourselves(record) => Some(record.clone()),
            _ => None,
        };
        if let Some(conflict) = place::name_conflict(self.service, holder, folder) {
            return Ok(Some(conflict));
        }
        let Holder::Remains(record) = holder else { return Ok(self.port_conflict(holder)) };
        let marks = Marks::of(record);
        let told_to_end = record.phase == Phase::Stopping && record.process.verified().is_some();
        if told_to_end || marks.may_have_remains() {
            self.clear(&marks)?;
        }
        let conflict = self.port_conflict(holder);
        let holds = conflict.as_ref().and_then(|conflict| conflict.awaited.as_ref());
        let is_its = |process: &Identity| {
            shows_cookie(process.pid, &marks.cookie)
                || members::look(&marks).is_ok_and(|found| found.members.iter().any(|p| p.pid == process.pid))
        };
        if holds.is_none_or(|process| !is_its(process)) {
            return Ok(conflict);
        }
        // What left the instance's session belongs to a person, unless it holds the port.
        self.clear(&marks)?;
        Ok(self.port_conflict(holder))
    }

    fn port_conflict(&self, holder: &Holder) -> Option<Conflict> {
        place::port_conflict(self.service, holder, &self.host)
    }

    /// Stops what is left of an instance.
    fn clear(&mut self, marks: &Marks) -> Result<(), Error> {
        let found = members::look(marks).map_err(unseen)?;
        let Some(first) = found.members.first() else { return Ok(()) };
        let what = match found.members.len() {
            1 => port::describe(first.pid),
            count => format!("{count} processes, {} the first", port::describe(first.pid)),
        };
        let message = format!("stopping what pid {} left behind: {what}", marks.main.pid);
        say(&message);
        self.stop(marks, Signalled::EndsTheWait, Some(&message)).map(drop)
    }

    /// Stops an instance, all of it or an error.
    fn stop(&mut self, marks: &Marks, signalled: Signalled, status: Option<&str>) -> Result<Stopped, Error> {
        let grace = match signalled {
            Signalled::EndsTheGrace => self.service.grace,
            Signalled::EndsTheWait => self.stop_grace,
        };
        let stop = Stop { marks, grace, all: false, signalled, wake: &self.wake, signals: &self.signals };
        let teller = &mut self.teller;
        let stopped = stop.run(|| {
            if let Some(status) = status {
                teller.status(status);
            }
        });
        let stopped = stopped.map_err(unseen)?;
        match (place::failure(&stopped), self.signals.signal()) {
            (None, _) => Ok(stopped),
            (_, Some(signal)) if signalled == Signalled::EndsTheWait => Err(Error::Interrupted(signal)),
            (Some(failure), _) => Err(Error::Conflict(failure)),
        }
    }

    /// The file that the command's name stands for, as the server would find it.
    fn find_command(&self, environment: &Environment) -> Result<PathBuf, Error> {
        let name = &self.service.command[0];
        check::find(name, environment, &self.context.directory)
            .map_err(|e| unexecutable::not_found(&self.service.command, e, &self.context.directory))
    }

    /// The record of this start.
    fn record(&self, work: Work) -> Record {
        let texts = |list: &[OsString]| list.iter().map(|s| Text::from(s.as_os_str())).collect();
        let (service, process) = (self.service, work.process);
        let starter = if work.phase == Phase::Starting { ourselves() } else { None };
        Record {
            version: Record::VERSION,
            name: service.name.clone(),
            phase: work.phase,
            session: process.session,
            group: process.group,
            process: Identity::new(process, &self.host),
            starter: starter.map(|us| Identity::new(&us, &self.host)),
            sidecar: self.sidecar.clone(),
            cookie: work.cookie.to_owned(),
            former: self.before.as_ref().map(|before| before.cookies_but(work.cookie)).unwrap_or_default(),
            mode: self.decision.mode.to_string(),
            supervisor: self.decision.recognised.filter(|_| self.decision.mode == Mode::Foreground).map(str::to_owned),
            cgroup: sys::cgroup(),
            config: service.config.as_ref().map(|c| Text::from(c.as_os_str())),
            command: texts(&service.command),
            executable: work.executable.as_ref().map(|e| Text::from(e.as_os_str())),
            cwd: Text::from(service.directory.as_os_str()),
            port: service.port,
            url: service.url.clone(),
            log: work.log.map(|l| Text::from(l.as_os_str())),
            grace: service.grace,
            arguments: texts(self.arguments),
            called_in: Text::from(self.called_in.as_os_str()),
            environment: texts(self.inherited.entries()),
        }
    }
}

/// How far a start is.
struct Work<'a> {
    phase: Phase,
    /// The server, or forerun itself before there is one.
    process: &'a Process,
    cookie: &'a str,
    /// What the server runs, once that is known.
    executable: Option<PathBuf>,
    log: Option<&'a Path>,
}

/// Where a lock is waited for.
pub struct LockDesk<'a> {
    pub wake: &'a Wake,
    pub signals: &'a Caught,
}

impl LockDesk<'_> {
    /// Takes a service's lock, once whoever starts or stops it is done. `meanwhile` is told how long that takes.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::State`] where the folder has no locks.
    pub fn take(&self, folder: &Folder, name: &str, mut meanwhile: impl FnMut(Duration)) -> Result<Lock, Error> {
        let (mut waited, mut said) = (Duration::ZERO, false);
        loop {
            if let Some(signal) = self.signals.signal() {
                return Err(Error::Interrupted(signal));
            }
            let folder_name = quoted(&folder.path);
            let failed =
                |e| Error::State(format!("cannot lock the state folder {folder_name}: {e}; set FORERUN_STATE_DIR"));
            if let Some(lock) = folder.try_lock().map_err(failed)? {
                Record::tidy(folder);
                return Ok(lock);
            }
            if !said && waited >= NOTEWORTHY {
                say(&format!("waiting for another start or stop of {}", quoted(name)));
                said = true;
            }
            meanwhile(waited);
            let step = (waited / 50).clamp(Duration::from_millis(1), Duration::from_millis(50));
            self.wake.wait(None, step);
            waited += step;
        }
    }
}

/// The check that says that the server is ready; without health, that its port listens.
pub fn readiness(service: &Service) -> Option<Probe> {
    if let Some(health) = &service.health {
        return Some(health.probe.clone());
    }
    let check = Check::Tcp { host: "localhost".to_owned(), port: service.port? };
    Some(Probe { check, timeout: service.health_timeout, expect: Expectation::default() })
}

/// The error of a look at processes.
pub fn unseen(e: std::io::Error) -> Error {
    Error::Exhausted(format!("cannot look at the system's processes: {e}; raise the limits or try again"))
}

/// This process.
fn ourselves() -> Option<Process> {
    sys::process(std::process::id() as i32)
}
