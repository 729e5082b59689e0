#![forbid(unsafe_code)]
//! Looks at instances, and runs their health checks.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;

use crate::check::run::{Job, Observer, Progress, Run};
use crate::check::{Context, port};
use crate::environment::{Environment, UNIT_FILE};
use crate::error::Error;
use crate::follow::{self, By, Eyes};
use crate::instance::after::After;
use crate::instance::family::{Family, Origin, look_at};
use crate::instance::identity::{Identity, Life};
use crate::instance::record::{Phase, Record, os_strings};
use crate::instance::state::Folder;
use crate::report::status::{Condition, Health, State};
use crate::service::request::Request;
use crate::service::trust;
use crate::start::holder;
use crate::start::standing::{standing, unsaid};
use crate::supervisor;
use crate::supervisor::decide::Mode;
use crate::sys::{self, Account, Host, Process, SelfPipe};

/// How long a health check may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a run that ended is not expected back: it was in the foreground, or its supervisor has no unit of ours for
/// it any more. A detached server that ended is missed.
fn is_history(record: &Record) -> bool {
    let environment = Environment::new(os_strings(&record.environment));
    let has_unit = || environment.filled(UNIT_FILE).is_some_and(|unit| Path::new(unit).exists());
    match (record.supervisor.is_some(), record.mode.as_str()) {
        (true, _) => !has_unit(),
        (false, mode) => mode == Mode::Foreground.to_string(),
    }
}

/// An instance that was looked at.
pub struct Looked {
    pub state: State,
    /// Its health check, which is running.
    pub run: Option<Run>,
    /// Its record, if it is ours to write.
    pub record: Option<(Folder, Record)>,
}

impl From<State> for Looked {
    fn from(state: State) -> Self {
        Looked { state, run: None, record: None }
    }
}

/// What all instances are looked at with: each process is looked into once, however many instances there are.
pub struct View {
    pub host: Host,
    pub eyes: Eyes,
    pub pipe: Arc<SelfPipe>,
}

impl View {
    /// The state of an instance and its running health check. `None` where nothing is recorded.
    pub fn instance(&self, root: &Path, name: &str, account: &Account) -> Result<Option<Looked>, Error> {
        let own = account.uid == geteuid().as_raw();
        let user = (!own).then(|| account.name.clone());
        let broken = |why: String| Ok(Some(State::broken(name, user.clone(), why).into()));
        let folder = match Folder::existing(root, name, account.uid) {
            Ok(Some(folder)) => folder,
            Ok(None) => return Ok(None),
            Err(why) => return broken(why),
        };
        let record = match Record::look(&folder, name) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(e) => return broken(e.message(&folder)),
        };
        // Files and checks of another user are never opened or run with our rights.
        let (record, after) = match own {
            true => follow::current(record, &folder, &self.host, &self.eyes),
            // A name that another user chose is not looked up with root's rights.
            false => follow::seen(Record { host: None, ..record }, &self.host, &self.eyes, By::Other),
        };
        let mut state = self.look(&record, &after, user);
        let run = match own && state.condition == Condition::Running {
            true => self.check(&record, &mut state)?,
            false => None,
        };
        Ok(Some(Looked { state, run, record: own.then_some((folder, record)) }))
    }

    /// Keeps what the first look sees of a server that serves, if nobody saw it become ready.
    pub fn note(&self, state: &State, folder: &Folder, record: &Record) {
        let serves = state.is_good() && record.phase == Phase::Running && !matches!(state.health, Health::Unchecked);
        if serves && record.ready.is_none() {
            let ready = self.eyes.ready(record);
            follow::keep(record, &Record { ready, ..record.clone() }, folder);
        }
    }

    fn look(&self, record: &Record, after: &After, user: Option<String>) -> State {
        let life = record.process.life(&self.host);
        let starts = record.starter.as_ref().is_some_and(|s| s.life(&self.host) == Life::Alive);
        let condition = match life {
            Life::Dead => Condition::NotRunning,
            Life::Unknown(why) => Condition::Unknown(why.to_owned()),
            Life::Alive if record.phase == Phase::Starting && starts => Condition::Starting,
            Life::Alive if record.is_stopping(&self.host) => Condition::Stopping,
            Life::Alive => Condition::Running,
        };
        let origin = Origin::of(record);
        let family = match record.process.host.is_same_as(&self.host) {
            true => look_at(&origin, &self.eyes.table, &self.eyes.sight),
            false => Family::default(),
        };
        let alive = life == Life::Alive;
        let pid = record.process.pid;
        let supervised = supervisor::of(record);
        let main = alive.then_some(origin.main);
        let host = record.host.as_deref();
        let is_ours = |pid| family.has(pid);
        let (unclear, background) = (after.unclear(), after.background());
        let is_named = |p: &&Process| unclear.contains(p) || background.contains(p);
        let stranger =
            record.port.and_then(|number| port::stranger_of(&self.eyes.sockets, host, number, main, is_ours));
        State {
            name: record.name.clone(),
            user,
            is_history: condition == Condition::NotRunning && is_history(record),
            condition,
            health: Health::Unchecked,
            health_timeout: None,
            pid,
            mode: record.mode.clone(),
            stop: holder::stop_command(record),
            unit: supervised.as_ref().and_then(|s| s.job()).map(|job| job.to_string_lossy().into_owned()),
            supervisor: supervised.map(|s| s.word),
            uptime: if alive { sys::age(record.process.start) } else { None },
            url: record.url.clone(),
            port: record.port,
            log: record.log.as_ref().map(|log| OsString::from(log).into()),
            descriptors: if alive { sys::descriptor_count(pid) } else { None },
            workers: family.members.iter().chain(&family.callers).filter(|p| p.pid != pid && !is_named(p)).count(),
            was: record.was,
            ended: after.ended.filter(|_| !alive).map(|ended| ended.how.to_string()),
            serving: unclear.iter().map(|p| port::describe(p.pid)).collect(),
            background: background.iter().map(|p| port::describe(p.pid)).collect(),
            sidecar: record.sidecar.as_ref().and_then(Identity::verified).filter(|p| !p.zombie).map(|p| p.pid),
            escaped: family.left.iter().filter(|p| !unclear.contains(p)).map(|p| port::describe(p.pid)).collect(),
            stranger,
        }
    }

    /// Begins the health check that the start had, or says why there is none.
    fn check(&self, record: &Record, state: &mut State) -> Result<Option<Run>, Error> {
        let request = Request::of_record(record);
        let service = match request.service() {
            Ok(service) => service,
            Err(why) => {
                state.health = Health::Unknown(why);
                return Ok(None);
            }
        };
        if let Some(probe) = unsaid(&service, record) {
            state.health_timeout = Some(service.health_timeout);
            let reason = "it has not said that it is ready".to_owned();
            state.health = Health::Fails { check: probe.to_string(), reason };
            return Ok(None);
        }
        let Some(mut probe) = standing(&service) else {
            state.health = Health::Runs;
            return Ok(None);
        };
        if let Some(why) = trust::untried(&service, &probe.check) {
            state.health = Health::Unknown(why);
            return Ok(None);
        }
        state.health_timeout = Some(service.health_timeout);
        probe.timeout = PATIENCE;
        let context = Arc::new(Context::new(
            service.variables.for_checks(&request.environment),
            service.directory.clone(),
            sys::nofile(),
        ));
        let job = Job { deadline: PATIENCE, ..Job::require(probe) };
        state.health = Health::Asked(job.label.clone());
        Run::start(vec![job], &context, &self.pipe).map(Some)
    }
}

/// The health that a check found. A stranger's answer says nothing about the instance.
pub fn health(progress: Progress, state: &State) -> Health {
    let Health::Asked(check) = &state.health else { return Health::Unchecked };
    let check = check.clone();
    match (&state.stranger, progress.holds()) {
        (Some(_), true) => Health::Fails { check, reason: "it is not the server that answers".to_owned() },
        (_, true) => Health::Holds { check },
        (_, false) => Health::Fails { check, reason: progress.reason },
    }
}

/// Tells a server that is still starting from one that is not healthy. A detached server was healthy when its start
/// ended.
pub fn condition(state: &State) -> Condition {
    let is_young = state.uptime.zip(state.health_timeout).is_some_and(|(uptime, most)| uptime < most);
    let was_healthy = state.mode == Mode::Detached.to_string();
    match &state.health {
        Health::Fails { .. } if is_young && !was_healthy && state.stranger.is_none() => Condition::Starting,
        _ => state.condition.clone(),
    }
}

/// An observer that shows nothing: a status is short.
pub struct Nobody;

impl Observer for Nobody {
    fn interval(&self) -> Duration {
        PATIENCE
    }

    fn look(&mut self, _: &[Job], _: &[Progress], _: Duration) {}
}
