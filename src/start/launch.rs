#![forbid(unsafe_code)]
//! A start under way: what it is given, and what it has come to.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::checks::CheckRunner;
use super::holder;
use super::lock;
use super::neighbours::Neighbours;
use super::progress::ProgressLine;
use super::unit::Caller;
use super::{refresh, unexecutable};
use crate::check::{self, Context, Services};
use crate::environment::Environment;
use crate::error::{Error, no_pipe, unseen};
use crate::instance::identity::Identity;
use crate::instance::record::Record;
use crate::instance::state::{Folder, Lock};
use crate::line::say;
use crate::service::{OnConflict, Service};
use crate::supervisor::decide::{Decision, Mode};
use crate::supervisor::notify::Manager;
use crate::sys::{self, Dispositions, Events, Host, Nofile, OwnGroup, Process, Seen};

/// Which running instance a detached start may stop first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replace {
    No,
    /// An instance of the same service.
    Same,
    /// Any instance of the name, even if forerun.toml names another command by now: a restart.
    Any,
}

/// What a start is given.
pub struct Given<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    pub replace: Replace,
    /// The environment that forerun was started with. That of a restart is in the record.
    pub inherited: &'a Environment,
    pub arguments: &'a [OsString],
    pub dispositions: Dispositions,
    /// How long an instance that is stopped to free our name or port may take.
    pub stop_grace: Duration,
    /// The folder that holds the state folders of all services.
    pub state: Result<PathBuf, String>,
    pub called_in: &'a Path,
    /// The service manager that this start may send notifications to.
    pub manager: Option<Manager>,
    /// Lines that are drawn again are wanted, where there is a terminal.
    pub is_drawn: bool,
    pub json: bool,
}

/// A start under way.
pub struct Launch<'a> {
    pub given: Given<'a>,
    pub host: Host,
    /// The descriptor limits for the server, if any were set.
    pub nofile: Option<Nofile>,
    pub context: Arc<Context>,
    pub events: Events,
    pub progress_line: ProgressLine,
    /// forerun wrote the unit that started us, and nobody edited it.
    pub unit_is_ours: bool,
    /// The start time of this launch, and the children that this process had before it.
    pub launched: u64,
    pub children: Vec<Seen>,
    pub reached: Reached,
}

/// What a start has come to.
#[derive(Default)]
pub struct Reached {
    /// What was named as left alone.
    pub left: Vec<Seen>,
    /// Requirements and waits were tried before the running server was stopped.
    pub checked: bool,
    /// The sidecar, once it has started.
    pub sidecar: Option<Identity>,
    /// Shows the sidecar that this process executes the server.
    pub link: Option<UnixStream>,
    /// The control group that was made for the server. It goes where no server stays in it.
    pub group: Option<OwnGroup>,
}

impl<'a> Launch<'a> {
    /// Catches signals, brings the unit up to date, and tells a person what is unusual about this start.
    ///
    /// # Errors
    /// [`Error::Exhausted`].
    pub fn prepare(given: Given<'a>) -> Result<Self, Error> {
        let Given { service, decision, inherited, .. } = given;
        let (limits, clamped) = service.server_nofile();
        let events = Events::catch().map_err(no_pipe)?;
        let progress_line = ProgressLine::new(io::stderr().is_terminal() && given.is_drawn, given.manager.clone());
        let context = Arc::new(checks_context(service, inherited, limits, given.state.as_deref().ok()));
        explain(decision);
        let caller = Caller { environment: inherited, arguments: given.arguments, here: given.called_in };
        let unit_is_ours =
            decision.mode == Mode::Foreground && refresh::run(&caller, service, decision, given.state.as_deref().ok());
        if given.replace == Replace::Same && decision.mode == Mode::Foreground {
            log::warn!("--replace is of a detached start, and stops nothing in the foreground; continuing");
        }
        if clamped {
            log::warn!("--nofile is more than this process may have; continuing with {}:{}", limits.soft, limits.hard);
        }
        Ok(Launch {
            host: sys::host().map_err(unseen)?,
            nofile: service.nofile.map(|_| limits),
            context,
            events,
            progress_line,
            unit_is_ours,
            launched: sys::start_now().unwrap_or_default(),
            children: sys::children().map_err(unseen)?.iter().map(Seen::from).collect(),
            reached: Reached::default(),
            given,
        })
    }

    /// Runs the checks of this start.
    pub fn check_runner(&mut self) -> CheckRunner<'_> {
        let Launch { context, events, progress_line, reached, .. } = self;
        CheckRunner { context, events, progress_line, checked: reached.checked }
    }

    /// Takes the service's lock. Waits while another forerun starts or stops the service.
    ///
    /// # Errors
    /// Those of [`lock::take`].
    pub fn lock(&mut self, folder: &Folder) -> Result<Lock, Error> {
        let progress_line = &mut self.progress_line;
        lock::take(&self.events, folder, &self.given.service.name, |_| {
            progress_line.status("waiting for another start or stop of this service");
        })
    }

    /// Locks forerun.toml in place of the state folder.
    ///
    /// # Errors
    /// Those of [`lock::take_file`].
    pub fn lock_file(&mut self, file: &Path) -> Result<Lock, Error> {
        let progress_line = &mut self.progress_line;
        lock::take_file(&self.events, file, &self.given.service.name, |_| {
            progress_line.status("waiting for another start of this service");
        })
    }

    /// Whether a conflict is waited for, without the lock.
    pub fn stands_by(&self) -> bool {
        let by_default = self.given.decision.supervised;
        self.given.decision.mode == Mode::Foreground
            && self.given.service.on_conflict.map_or(by_default, |asked| asked == OnConflict::Standby)
    }

    /// The file that the command's name stands for, found as the server would find it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::CannotExecute`].
    pub fn find_command(&self, environment: &Environment) -> Result<PathBuf, Error> {
        let name = &self.given.service.command[0];
        check::find(name, environment, &self.context.directory)
            .map_err(|e| unexecutable::not_found(&self.given.service.shown_command, e, &self.context.directory))
    }

    /// The file of the command of a detached server.
    ///
    /// # Errors
    /// As [`Self::find_command`].
    pub fn find_server(&self) -> Result<PathBuf, Error> {
        self.find_command(&self.given.service.variables.added_to(self.given.inherited.for_detached()))
    }

    /// The error of a start that stopped nothing yet.
    pub fn goes_on(&self, record: &Record, error: Error) -> Error {
        holder::goes_on(record, &self.host, error)
    }
}

/// What the checks of a service see. `state`: the folder that holds the state folders of all services.
pub fn checks_context(service: &Service, inherited: &Environment, nofile: Nofile, state: Option<&Path>) -> Context {
    let environment = service.variables.for_checks(inherited);
    let services = state.map(|root| Arc::new(Neighbours { root: root.to_owned() }) as Arc<dyn Services>);
    Context { services, ..Context::new(environment, service.directory.clone(), nofile) }
}

/// This process.
pub fn ourselves() -> Option<Process> {
    sys::process(std::process::id() as i32)
}

/// Tells a person what is unusual about the way we were started.
fn explain(decision: &Decision) {
    if decision.mode == Mode::Detached {
        if let Some(why) = &decision.disproved {
            say(&format!("detaching: {why}"));
        }
        if let Some(supervisor) = decision.recognised {
            log::warn!("detaching below {supervisor}, which will not see the server; continuing");
        }
    }
    if decision.mode == Mode::Detached && decision.is_unexplained {
        say(
            "detaching: no supervisor was recognised and there is no terminal; to stay in the foreground: --foreground",
        );
    }
    if let Some(remark) = decision.remark.as_ref().filter(|_| decision.mode == Mode::Foreground) {
        log::warn!("{}; {}; continuing", remark.what, remark.what_to_do);
    }
    if let Some(by) = decision.recognised.filter(|_| decision.parent_supervised && decision.mode == Mode::Foreground) {
        let who = check::port::describe(std::os::unix::process::parent_id() as i32);
        log::warn!("{by} started our parent, {who}, and not us: write 'exec' before forerun there; continuing");
    }
}
