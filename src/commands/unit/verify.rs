#![forbid(unsafe_code)]
//! Proves that a service runs: the supervisor is asked for the pid, the health check runs, and the supervisor is asked
//! again.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::recorded;
use crate::check::run::{Ended, Job, Observer, Progress, Run};
use crate::check::{Context, port};
use crate::commands::common::catch_events;
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::family::{self, Origin};
use crate::instance::identity::Life;
use crate::instance::record::Record;
use crate::line::say;
use crate::service::{Service, is_same_file, trust};
use crate::start::standing::standing;
use crate::supervisor::units::{Runs, Unit, UnitSpec};
use crate::sys::{self, ExitWatch};
use crate::text::quoted;

/// How long a supervisor may report that it does not run the unit that it was told to start.
const SETTLED: Duration = Duration::from_secs(2);
/// How long a server must have run.
const LIVED: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(100);
/// How long all requirements may take. Each is tried before and after its fix, and an `exec:` may take ten seconds.
const REQUIREMENTS: Duration = Duration::from_secs(20);

/// What to prove about a unit.
pub struct Proof<'a> {
    pub spec: &'a UnitSpec,
    pub service: &'a Service,
    pub unit: &'a Unit<'a>,
}

impl Proof<'_> {
    /// Waits until the supervisor runs the server itself and the server is healthy. Returns its pid and the check that
    /// holds.
    pub fn find(&self) -> Result<(i32, Option<String>), Error> {
        let begun = Instant::now();
        loop {
            let pid = self.wait_for_server(begun)?;
            let health = self.health(pid)?;
            // A server that puts itself into the background ends at once.
            std::thread::sleep(LIVED.saturating_sub(lives_for(pid).unwrap_or(LIVED)));
            if let Some(stranger) = self.stranger(pid) {
                return Err(self.not_running(&format!("{stranger} answers on its port, not pid {pid}")));
            }
            match self.unit.status()?.runs {
                Runs::Yes(still) if still == pid && self.is_server(pid) => return Ok((pid, health)),
                Runs::Yes(still) if still == pid => {}
                Runs::Yes(other) => {
                    return Err(self.not_running(&format!("pid {pid} ended, and pid {other} was started")));
                }
                Runs::Later(why) | Runs::No(why) => return Err(self.not_running(&format!("pid {pid} ended: {why}"))),
            }
        }
    }

    /// Waits until the process that the supervisor runs is the server, no longer forerun.
    fn wait_for_server(&self, mut begun: Instant) -> Result<i32, Error> {
        let Proof { service, unit, .. } = self;
        let waits = service.waits.iter().map(|wait| wait.probe.timeout).max().unwrap_or_default();
        let health = standing(service).map(|_| service.health_timeout).unwrap_or_default();
        // Fixes run one after another, and so do steps.
        let fixes: Duration = service.requirements.iter().filter_map(|r| Some(r.fix.as_ref()?.timeout)).sum();
        let steps: Duration = service.before.iter().map(|step| step.timeout).sum();
        let requirements = if service.requirements.is_empty() { Duration::ZERO } else { REQUIREMENTS };
        let patience = waits + health + fixes + steps + requirements + Duration::from_secs(10);
        let (mut down_since, mut said) = (None, HashSet::new());
        loop {
            let status = unit.status()?;
            if status.is_held_up {
                begun = Instant::now();
            }
            let is_starting = matches!(status.runs, Runs::Later(_));
            let limit = status.limit.filter(|_| is_starting).map_or(patience, |limit| patience.max(limit));
            let standby = status.standby().map(str::to_owned);
            let why = match (status.runs, standby) {
                (Runs::Later(why), None) if status.has_ended && begun.elapsed() >= SETTLED => {
                    return Err(self.not_running(&why));
                }
                (Runs::Yes(pid), _) if self.is_server(pid) => return Ok(pid),
                // A standby lasts until somebody does what its status says.
                (Runs::Yes(_) | Runs::Later(_), Some(standby)) if begun.elapsed() >= SETTLED => {
                    return Err(self.not_running(&standby));
                }
                (Runs::Yes(pid), _) => {
                    down_since = None;
                    match is_forerun(pid) {
                        true => format!("forerun, pid {pid}, is waiting or standing by"),
                        false => format!("pid {pid} is not the server yet"),
                    }
                }
                (Runs::Later(why), _) => {
                    down_since = None;
                    why
                }
                (Runs::No(why), _) => {
                    let since = down_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= SETTLED {
                        return Err(self.not_running(&why));
                    }
                    why
                }
            };
            if begun.elapsed() >= limit {
                return Err(self.not_running(&why));
            }
            if (status.is_held_up || begun.elapsed() >= SETTLED) && said.insert(why.clone()) {
                say(&format!("waiting for {}: {why}", quoted(&service.name)));
            }
            std::thread::sleep(INTERVAL);
        }
    }

    /// Whether a process has become the server. Before that it may be a shell and then forerun, which waits or stands
    /// by. forerun records the server. Without a record, the time that the process has run decides.
    fn is_server(&self, pid: i32) -> bool {
        !is_forerun(pid)
            && match self.recorded() {
                Some(record) => record.process.pid == pid,
                None => lives_for(pid).is_some_and(|age| age >= SETTLED),
            }
    }

    /// Describes the process that answers on the service's port, if it was there before the server.
    fn stranger(&self, pid: i32) -> Option<String> {
        let service = self.service;
        let main = sys::process(pid)?;
        let family = self.recorded().and_then(|record| family::look(&Origin::of(&record)).ok()).unwrap_or_default();
        port::stranger(service.host.as_deref(), service.port?, Some((&main).into()), |pid| family.has(pid))
    }

    /// The record of the service, if its process runs.
    fn recorded(&self) -> Option<Record> {
        recorded(&self.spec.made, &self.spec.name).filter(|(_, life)| *life == Life::Alive).map(|(record, _)| record)
    }

    /// Runs the health check, or tries the port of a service without one. `None` if the service has neither.
    fn health(&self, pid: i32) -> Result<Option<String>, Error> {
        let service = self.service;
        let Some(probe) = standing(service) else { return Ok(None) };
        if let Some(why) = trust::untried(service, &probe.check) {
            say(&format!("the health of {} was {why}", quoted(&service.name)));
            return Ok(None);
        }
        let events = catch_events()?;
        let context = Arc::new(Context::new(
            service.variables.for_checks(&self.unit_environment()),
            service.directory.clone(),
            sys::nofile(),
        ));
        let job = Job::wait(probe);
        let label = job.label.clone();
        let mut run = Run::start(vec![job], &context, events.pipe())?;
        let watch = ExitWatch::new(pid);
        let mut observer = Waiting { name: &service.name, said: false };
        if run.wait(watch.descriptor(), &events, &mut observer)? == Ended::Other {
            return Err(self.not_running(&format!("pid {pid} ended before it was healthy")));
        }
        let progress = run.progress().remove(0);
        match progress.holds() {
            true => Ok(Some(label)),
            false => Err(self.not_running(&format!("it is not healthy: {}: {}", quoted(&label), progress.reason))),
        }
    }

    /// About the environment that the supervisor gives the service, which does not have this shell's variables.
    fn unit_environment(&self) -> Environment {
        let UnitSpec { search_path, made, .. } = self.spec;
        let mut entries = vec![OsString::from(format!("PATH={search_path}"))];
        entries.extend(made.state.as_ref().map(|state| format!("FORERUN_STATE_DIR={state}").into()));
        for name in ["HOME", "USER", "LOGNAME", "SHELL", "LANG"] {
            let value = self.unit.environment.get(name);
            entries.extend(
                value.map(|value| [OsStr::new(name), OsStr::new("="), value].into_iter().collect::<OsString>()),
            );
        }
        Environment::new(entries)
    }

    fn not_running(&self, why: &str) -> Error {
        let Proof { spec, unit, .. } = self;
        let log = unit.log_command().map(|command| format!("; see: {command}")).unwrap_or_default();
        let kind = unit.kind.word();
        Error::NotReady(format!("{} is installed but does not serve under {kind}: {why}{log}", quoted(&spec.name)))
    }
}

fn lives_for(pid: i32) -> Option<Duration> {
    sys::process(pid).and_then(|process| sys::age(process.start))
}

/// Whether the process is forerun, which has not become the server yet.
fn is_forerun(pid: i32) -> bool {
    matches!((sys::executable(pid), sys::own_executable()), (Some(theirs), Ok(ours)) if is_same_file(&theirs, &ours))
}

/// Prints once what the proof waits for.
struct Waiting<'a> {
    name: &'a str,
    said: bool,
}

impl Observer for Waiting<'_> {
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn look(&mut self, jobs: &[Job], progress: &[Progress], waited: Duration) {
        if let ([job], [progress], false, true) = (jobs, progress, self.said, waited >= SETTLED) {
            say(&format!("waiting for {}: {}: {}", quoted(self.name), quoted(&job.label), progress.reason));
            self.said = true;
        }
    }
}
