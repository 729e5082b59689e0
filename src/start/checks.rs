#![forbid(unsafe_code)]
//! Runs requirements, fixes and waits, in that order, and puts failures into words.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::check::run::{Job, Progress, Run, Work};
use crate::check::{Check, Context, Expectation, Pace, Probe, Written};
use crate::error::Error;
use crate::service::{Fix, Requirement, Service};
use crate::start::progress::ProgressLine;
use crate::sys::Events;
use crate::text::{attempts, elapsed, one_line, quoted};

/// Everything that running checks needs.
pub struct CheckRunner<'a> {
    pub context: &'a Arc<Context>,
    pub events: &'a Events,
    pub progress_line: &'a mut ProgressLine,
    /// They held before the running server was stopped. Only what its end can have changed is tried again.
    pub checked: bool,
}

impl CheckRunner<'_> {
    /// Runs all jobs at once. Returns how each ended.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Exhausted`].
    pub fn run(&mut self, jobs: Vec<Job>) -> Result<Vec<Progress>, Error> {
        self.run_until(jobs, None)
    }

    /// The same, but at most until `other` becomes readable.
    ///
    /// # Errors
    /// As [`CheckRunner::run`].
    pub fn run_until(&mut self, jobs: Vec<Job>, other: Option<BorrowedFd>) -> Result<Vec<Progress>, Error> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let mut run = Run::start(jobs, self.context, self.events.pipe())?;
        let ended = run.wait(other, self.events, self.progress_line);
        self.progress_line.end();
        ended.map(|_| run.progress())
    }
}

/// Runs all requirements, fixes and waits, and makes sure that they hold.
///
/// # Errors
/// [`Error::Unmet`] and [`Error::TimedOut`] with a line for each that does not.
pub fn ensure(service: &Service, runner: &mut CheckRunner) -> Result<(), Error> {
    let checked = runner.checked;
    ensure_those(service, runner, |check| !checked || is_of_own_port(service, check))
}

/// The same while the server runs that is to be replaced: all but what only its end can make true.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_before_stop(service: &Service, runner: &mut CheckRunner) -> Result<(), Error> {
    ensure_those(service, runner, |check| !is_of_own_port(service, check))
}

/// Whether the check asks for the service's own port to be free.
fn is_of_own_port(service: &Service, check: &Check) -> bool {
    matches!(check, Check::Free { port, .. } if Some(*port) == service.port)
}

fn ensure_those(service: &Service, runner: &mut CheckRunner, tried: impl Fn(&Check) -> bool) -> Result<(), Error> {
    let required: Vec<_> = service.requirements.iter().filter(|r| tried(&r.probe.check)).collect();
    let mut progress = runner.run(required.iter().map(|r| Job::require(r.probe.clone())).collect())?;
    for (requirement, progress) in required.iter().zip(&mut progress) {
        if let Some(fix) = requirement.fix.as_ref().filter(|_| !progress.holds() && service.run_fixes) {
            mend(requirement, fix, progress, runner)?;
        }
    }
    let unmet: Vec<_> = required.into_iter().zip(&progress).filter_map(unmet).collect();
    if !unmet.is_empty() {
        return Err(Error::Unmet(unmet.join("\n")));
    }
    let awaited: Vec<_> = service.waits.iter().filter(|w| tried(&w.probe.check)).collect();
    let progress = runner.run(awaited.iter().map(|w| Job::wait(w.probe.clone())).collect())?;
    let late: Vec<_> = awaited.into_iter().zip(&progress).filter(|(_, p)| !p.holds()).collect();
    let lines = late.iter().map(|(wait, progress)| not_ready(&wait.probe.to_string(), progress, wait.hint.as_deref()));
    let lines = lines.collect::<Vec<_>>().join("\n");
    match late.iter().any(|(_, progress)| progress.is_final) {
        _ if late.is_empty() => Ok(()),
        true => Err(Error::Unmet(lines)),
        false => Err(Error::TimedOut(lines)),
    }
}

/// Tries each requirement once, all at the same time.
pub fn requirements(service: &Service, runner: &mut CheckRunner) -> Result<Vec<Progress>, Error> {
    runner.run(service.requirements.iter().map(|r| Job::require(r.probe.clone())).collect())
}

/// Runs all waits at the same time.
pub fn waits(service: &Service, runner: &mut CheckRunner) -> Result<Vec<Progress>, Error> {
    runner.run(service.waits.iter().map(|w| Job::wait(w.probe.clone())).collect())
}

/// Runs a fix, then the check again.
fn mend(requirement: &Requirement, fix: &Fix, progress: &mut Progress, runner: &mut CheckRunner) -> Result<(), Error> {
    let check = requirement.probe.to_string();
    crate::line::say(&format!("{} does not hold ({}); running its fix", quoted(&check), progress.reason));
    let job = Job { label: format!("fix of {check}"), work: Work::Fix(fix.script.clone()), deadline: fix.timeout };
    let fixed = runner.run(vec![job])?.remove(0);
    if !fixed.holds() {
        progress.reason = format!("{}; its fix {} failed: {}", progress.reason, quoted(&fix.shown), fixed.reason);
        return Ok(());
    }
    let again = runner.run(vec![Job::require(requirement.probe.clone())])?.remove(0);
    *progress = Progress { attempts: progress.attempts + again.attempts, ..again };
    if !progress.holds() {
        progress.reason = format!("{}, also after its fix", progress.reason);
    }
    Ok(())
}

fn unmet((requirement, progress): (&Requirement, &Progress)) -> Option<String> {
    let check = quoted(&requirement.probe.to_string());
    let hint = hint(requirement.hint.as_deref());
    (!progress.holds()).then(|| format!("requirement {check} does not hold: {}{hint}", progress.reason))
}

/// The check that shows that the server is ready: its health check, or else that its port listens.
pub fn readiness(service: &Service) -> Option<Probe> {
    if let Some(health) = &service.health {
        return Some(health.probe.clone());
    }
    port_listens(service)
}

/// Whether the port of a service listens.
pub fn port_listens(service: &Service) -> Option<Probe> {
    let check = Check::Tcp { host: "localhost".to_owned(), port: service.port? };
    Some(Probe {
        check,
        timeout: service.health_timeout,
        expect: Expectation::default(),
        pace: Pace::default(),
        written: Written::default(),
    })
}

/// The line for a check that did not hold in time.
pub fn not_ready(check: &str, progress: &Progress, given: Option<&str>) -> String {
    let attempts = attempts(progress.attempts);
    let took = elapsed(progress.took());
    format!("{} not ready after {took} ({attempts}): {}{}", quoted(check), progress.reason, hint(given))
}

fn hint(hint: Option<&str>) -> String {
    hint.map(|hint| format!("; {}", one_line(hint))).unwrap_or_default()
}
