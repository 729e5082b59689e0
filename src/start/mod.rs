#![forbid(unsafe_code)]
//! Launches the server, in the foreground or detached: takes name and port, runs the checks, executes the server.

pub mod checks;
mod detached;
mod foreground;
pub mod holder;
pub mod lock;
pub mod log_file;
mod log_path;
mod program;
pub mod progress;
pub mod refresh;
mod standby;
mod unexecutable;
pub mod unit;

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::check::run::Job;
use crate::check::{self, Check, Context, Expectation, Probe, port};
use crate::environment::{COOKIE, Environment};
use crate::error::Error;
use crate::follow;
use crate::instance::after::After;
use crate::instance::ending::Leftovers;
use crate::instance::family::{self, Origin};
use crate::instance::identity::{Identity, Life};
use crate::instance::ready::Readiness;
use crate::instance::record::{OsText, Phase, Record};
use crate::instance::state::{Folder, Lock};
use crate::instance::stop::{Mark, Signalled, Stop, Stopped};
use crate::line::say;
use crate::service::{OnConflict, Replace, Service};
use crate::start::progress::ProgressLine;
use crate::supervisor::Verb;
use crate::supervisor::decide::{Decision, Mode};
use crate::sys::{self, Dispositions, Events, ExitWatch, Host, Nofile, OwnGroup, Process, Seen};
use crate::text::quoted;

use holder::{Conflict, Holder, Kind};

/// How long connections that are closing keep a port at most: TIME_WAIT is 60 seconds on Linux.
const CLOSING: Duration = Duration::from_secs(65);
/// How often such a port is bound, and how often its holder is searched.
const BINDS: Duration = Duration::from_millis(100);
const LOOKS: Duration = Duration::from_secs(5);

/// Everything one start needs; built once, by commands::start.
pub struct Launch<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    /// The environment that forerun was started with.
    pub inherited: &'a Environment,
    pub arguments: &'a [OsString],
    pub dispositions: Dispositions,
    /// How long an instance that is stopped to free our name or port may take.
    pub stop_grace: Duration,
    pub host: Host,
    /// The folder that holds the state folders of all services.
    pub state: Result<PathBuf, String>,
    pub called_in: PathBuf,
    /// The descriptor limits for the server, if any were set.
    pub nofile: Option<Nofile>,
    pub context: Arc<Context>,
    pub events: Events,
    pub progress_line: ProgressLine,
    pub json: bool,
    /// forerun wrote the unit that started us, and nobody edited it.
    pub unit_is_ours: bool,
    /// The start time of this launch, and the children that this process had before it.
    pub launched: u64,
    pub children: Vec<Seen>,
    /// What was named as left alone.
    pub left: Vec<Seen>,
    /// The record of the instance that had the name before, or of the one that we are.
    pub before: Option<Box<Record>>,
    /// Requirements and waits were tried before the running server was stopped.
    pub checked: bool,
    /// The sidecar, once it has started.
    pub sidecar: Option<Identity>,
    /// Shows the sidecar that this process executes the server.
    pub link: Option<UnixStream>,
    /// The control group that was made for the server. It goes where no server stays in it.
    pub group: Option<OwnGroup>,
}

impl Launch<'_> {
    /// Starts the server.
    ///
    /// # Errors
    /// All kinds. In the foreground this returns only with an error.
    pub fn start(self) -> Result<(), Error> {
        match self.decision.mode {
            Mode::Foreground => foreground::start(self),
            Mode::Detached => detached::start(self),
        }
    }

    /// The parts that the checks need.
    fn check_runner(&mut self) -> checks::CheckRunner<'_> {
        let Launch { context, events, progress_line, checked, .. } = self;
        checks::CheckRunner { context, events, progress_line, checked: *checked }
    }

    /// Takes the service's lock. Waits while another forerun starts or stops the service.
    fn lock(&mut self, folder: &Folder) -> Result<Lock, Error> {
        let progress_line = &mut self.progress_line;
        lock::take(&self.events, folder, &self.service.name, |_| {
            progress_line.status("waiting for another start or stop of this service")
        })
    }

    /// What prevents this start. Ends what an ended instance left in the way first.
    fn conflict(&mut self, holder: &Holder, folder: Option<&Folder>) -> Result<Option<Conflict>, Error> {
        self.before = match holder {
            Holder::Remains(record, after)
                if after.unclear().is_empty() && record.process.life(&self.host) == Life::Dead =>
            {
                Some(Box::new(record.as_ref().clone().spent(after.ended)))
            }
            Holder::Remains(record, _) | Holder::Ourselves(record) => Some(record.clone()),
            _ => None,
        };
        if let Some(conflict) = holder::name_conflict(self.service, holder, folder) {
            return Ok(Some(conflict));
        }
        if let Holder::Remains(record, after) = holder {
            let ends_jobs = record.ending.leftovers == Leftovers::Stop;
            let jobs = if ends_jobs { after.background() } else { Vec::new() };
            let only = (!record.was_told_to_end()).then(|| [after.in_the_way(), jobs].concat());
            self.clear(record, only)?;
            if let Some(conflict) = self.unclear(record, after)? {
                return Ok(Some(conflict));
            }
            let left = after.family.left.iter().copied();
            let stays = if ends_jobs { Vec::new() } else { after.background() };
            stays.into_iter().chain(left).for_each(|process| self.leaves(record, &process));
        }
        self.port_conflict(holder)
    }

    /// Names what goes on without the server, once for each process.
    fn leaves(&mut self, record: &Record, process: &Process) {
        if !self.left.contains(&process.into()) {
            self.left.push(process.into());
            let pid = record.process.pid;
            say(&format!("left alone: {}, which pid {pid} left running", port::describe(process.pid)));
        }
    }

    /// What has the port and may be the server of an instance whose main process has ended. It is left alone while it
    /// is healthy. Where it is not, and stayed in main's session, it is ended.
    fn unclear(&mut self, record: &Record, after: &After) -> Result<Option<Conflict>, Error> {
        let unclear = after.unclear();
        let left = unclear.iter().find(|p| p.session != record.session);
        let Some(first) = left.or(unclear.first()).copied() else { return Ok(None) };
        let conflict = holder::unclear_conflict(self.service, record, &first, &self.host);
        let is_asked = self.service.replace != Replace::No && self.decision.mode == Mode::Detached;
        if left.is_some() || !is_asked && self.is_healthy()? {
            return Ok(Some(conflict));
        }
        self.clear(record, Some(unclear))?;
        Ok(None)
    }

    /// Whether what answers is healthy, before the wait for it would be over. Where no socket can be had, nobody knows.
    fn is_healthy(&mut self) -> Result<bool, Error> {
        if std::net::UdpSocket::bind(("127.0.0.1", 0)).is_err() {
            return Ok(true);
        }
        let Some(probe) = readiness(self.service) else { return Ok(true) };
        Ok(self.check_runner().run_until(vec![Job::wait(probe)], None)?.remove(0).holds())
    }

    /// Whether a conflict is waited for, without the lock.
    fn stands_by(&self) -> bool {
        let by_default = self.decision.supervised;
        self.decision.mode == Mode::Foreground
            && self.service.on_conflict.map_or(by_default, |asked| asked == OnConflict::Standby)
    }

    /// The conflict over the port. Connections that are still closing are waited for.
    fn port_conflict(&mut self, holder: &Holder) -> Result<Option<Conflict>, Error> {
        let begun = Instant::now();
        let mut said = false;
        loop {
            let conflict = holder::port_conflict(self.service, holder, &self.host);
            let closes = conflict.as_ref().is_some_and(|conflict| conflict.kind == Kind::Closing);
            if !closes || self.stands_by() || begun.elapsed() > CLOSING {
                return Ok(conflict);
            }
            let status = format!(
                "waiting for port {}: connections of the server before are closing, which takes up to a minute",
                quoted(&self.service.port.unwrap_or_default().to_string())
            );
            if !std::mem::replace(&mut said, true) {
                say(&status);
            }
            let looked = Instant::now();
            // Binding is cheap. Searching for who holds the port is not.
            while looked.elapsed() < LOOKS && holder::is_port_held(self.service) {
                if let Some(signal) = self.events.signal() {
                    return Err(Error::Interrupted(signal));
                }
                self.progress_line.status(&status);
                self.events.wait(None, BINDS);
            }
        }
    }

    /// Ends what is left of an instance: these processes, or all.
    fn clear(&mut self, record: &Record, only: Option<Vec<Process>>) -> Result<(), Error> {
        let origin = Origin::of(record);
        let left = match &only {
            Some(only) => only.clone(),
            None => family::look(&origin).map_err(unseen)?.members,
        };
        let Some(first) = left.first() else { return Ok(()) };
        if let Some(supervised) = follow::systemds(record, left.iter()) {
            let what_to_do = supervised.advice(Verb::Restart);
            let (who, systemd) = (port::describe(first.pid), supervised.describe());
            return Err(Error::Conflict(format!("{who} is of {systemd}, which is active; {what_to_do}")));
        }
        let what = match left.len() {
            1 => port::describe(first.pid),
            count => format!("{count} processes, the first is {}", port::describe(first.pid)),
        };
        let message = format!("stopping what pid {} left behind: {what}", origin.main.pid);
        say(&message);
        let how =
            How { only, signal: record.ending.signal, signalled: Signalled::EndsTheWait, mark: None, before: None };
        self.stop_so(&origin, how, Some(&message)).map(drop)
    }

    /// Stops all of an instance of the service as it is now. If a process is left, that is an error.
    fn stop(&mut self, origin: &Origin, signalled: Signalled, status: Option<&str>) -> Result<Stopped, Error> {
        let how = How { only: None, signal: self.service.ending.signal, signalled, mark: None, before: None };
        self.stop_so(origin, how, status)
    }

    fn stop_so(&mut self, origin: &Origin, how: How, status: Option<&str>) -> Result<Stopped, Error> {
        let How { only, signal, signalled, mark, before } = how;
        let grace = match signalled {
            Signalled::EndsTheGrace => self.service.grace,
            Signalled::EndsTheWait => self.stop_grace,
        };
        // What came to the launcher of a start that failed may be in sessions of its own.
        let all = origin.launcher.is_some();
        let events = &self.events;
        let context = &self.context;
        let prepare = || {
            if let Some((record, script)) = before.and_then(|record| Some((record, record.ending.before.as_ref()?))) {
                let environment = context.environment.without(&[COOKIE]);
                let directory = OsString::from(&record.cwd).into();
                let context = Context { environment, directory, nofile: context.nofile };
                let limit = record.ending.before_timeout;
                check::before_stop(&record.name, &OsString::from(script), limit, &context, events);
            }
        };
        let prepare = Some(&prepare as &dyn Fn());
        let stop = Stop { origin, only, signal, grace, all, signalled, mark, prepare, events };
        let progress_line = &mut self.progress_line;
        let stopped = stop.run(|| {
            if let Some(status) = status {
                progress_line.status(status);
            }
        });
        let stopped = stopped.map_err(unseen)?;
        match (holder::failure(&stopped), self.events.signal()) {
            (None, _) => Ok(stopped),
            (_, Some(signal)) if signalled == Signalled::EndsTheWait => Err(Error::Interrupted(signal)),
            (Some(failure), _) => Err(Error::Conflict(failure)),
        }
    }

    /// The file that the command's name stands for, found as the server would find it.
    fn find_command(&self, environment: &Environment) -> Result<PathBuf, Error> {
        let name = &self.service.command[0];
        check::find(name, environment, &self.context.directory)
            .map_err(|e| unexecutable::not_found(&self.service.command, e, &self.context.directory))
    }

    /// The file of the command of a detached server.
    fn find_server(&self) -> Result<PathBuf, Error> {
        self.find_command(&self.service.variables.added_to(self.inherited.for_detached()))
    }

    /// Gives up the control group of the instance before, whose record is no more. What it left goes on outside.
    fn dissolve_earlier(&self, cookie: &str) {
        let earlier = self.before.as_ref().filter(|before| before.cookie != cookie);
        if let Some(group) = earlier.and_then(|before| before.own_group.as_ref()) {
            sys::dissolve_group(group);
        }
    }

    /// The error of a start that stopped nothing yet.
    fn goes_on(&self, record: &Record, error: Error) -> Error {
        holder::goes_on(record, &self.host, error)
    }

    /// The record of this start.
    fn record(&self, work: Work) -> Record {
        let texts = |list: &[OsString]| list.iter().map(|s| OsText::from(s.as_os_str())).collect();
        let (service, process, group) = (self.service, work.process, self.group.as_ref());
        let starter = if work.phase == Phase::Starting { ourselves() } else { None };
        // A server that executes its start script again has the children that it had.
        let kept = self.before.as_ref().filter(|before| before.cookie == work.cookie);
        let is_new = self.decision.mode == Mode::Detached;
        let children = if is_new { Vec::new() } else { self.children.clone() };
        Record {
            version: Record::VERSION,
            name: service.name.clone(),
            phase: work.phase,
            session: process.session,
            group: process.group,
            process: Identity::new(process, &self.host),
            starter: starter.map(|us| Identity::new(&us, &self.host)),
            sidecar: self.sidecar.clone(),
            was: None,
            first: process.pid,
            launched: kept.map_or(self.launched, |kept| kept.launched),
            earlier_children: kept.map_or(children, |kept| kept.earlier_children.clone()),
            ready: work.ready,
            trace: ExitWatch::new(process.pid).trace(),
            ended: None,
            own_group: group.map(|group| group.path().to_owned()).or_else(|| kept?.own_group.clone()),
            host: service.host.clone(),
            is_activated: service.port.is_some_and(sys::inherits_listener),
            cookie: work.cookie.to_owned(),
            mode: self.decision.mode.to_string(),
            supervisor: self
                .decision
                .recognised
                .filter(|_| self.decision.mode == Mode::Foreground)
                .map(|by| by.word().to_owned()),
            cgroup: sys::cgroup(),
            config: service.config.as_ref().map(|c| OsText::from(c.as_os_str())),
            command: texts(&service.command),
            executable: work.executable.as_ref().map(|e| OsText::from(e.as_os_str())),
            cwd: OsText::from(service.directory.as_os_str()),
            port: service.port,
            url: service.url.clone(),
            log: work.log.map(|l| OsText::from(l.as_os_str())),
            pid_file: service.pid_file.as_ref().map(|path| OsText::from(path.as_os_str())),
            ending: service.ending.clone(),
            stopper: None,
            grace: service.grace,
            arguments: texts(self.arguments),
            called_in: OsText::from(self.called_in.as_os_str()),
            environment: texts(self.inherited.entries()),
            is_spent: false,
            dropped: Vec::new(),
        }
    }
}

/// How an instance is stopped by a start.
struct How<'a> {
    /// Only these processes.
    only: Option<Vec<Process>>,
    /// What main gets first.
    signal: i32,
    signalled: Signalled,
    mark: Option<Mark<'a>>,
    /// The instance whose `[stop] before` runs first.
    before: Option<&'a Record>,
}

/// How far a start has come.
struct Work<'a> {
    phase: Phase,
    /// The server, or forerun itself before there is a server.
    process: &'a Process,
    cookie: &'a str,
    /// The server's executable, once it is known.
    executable: Option<PathBuf>,
    log: Option<&'a Path>,
    /// What was seen when it became ready.
    ready: Option<Readiness>,
}

impl<'a> Work<'a> {
    fn new(phase: Phase, process: &'a Process) -> Self {
        Work { phase, process, cookie: "", executable: None, log: None, ready: None }
    }
}

/// The check that shows that the server is ready: its health check, or else that its port listens.
pub fn readiness(service: &Service) -> Option<Probe> {
    if let Some(health) = &service.health {
        return Some(health.probe.clone());
    }
    let check = Check::Tcp { host: "localhost".to_owned(), port: service.port? };
    Some(Probe { check, timeout: service.health_timeout, expect: Expectation::default() })
}

/// The error for a process table that cannot be read.
pub fn unseen(e: std::io::Error) -> Error {
    Error::Exhausted(format!("cannot look at the system's processes: {e}; raise the limits or try again"))
}

/// This process.
fn ourselves() -> Option<Process> {
    sys::process(std::process::id() as i32)
}
