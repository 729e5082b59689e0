#![forbid(unsafe_code)]
//! `forerun check`: runs the requirements and waits, and starts nothing. With `--health` the health check too.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use super::common::catch_events;
use super::start::{called_in, decide, dying_of_signal, enter};
use crate::args::{Check, Output};
use crate::check::Probe;
use crate::check::run::{Job, Progress};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::state;
use crate::line::say;
use crate::report::result::{Checked, print_checks};
use crate::service::{Awaited, Service};
use crate::start::checks::{self, CheckRunner};
use crate::start::launch::checks_context;
use crate::start::progress::ProgressLine;
use crate::text::quoted;

/// Tries everything and reports it, even the checks that a start would never reach.
///
/// # Errors
/// [`Error::Usage`] and [`Error::Config`] for what makes no sense; those of [`try_all`].
pub fn run(asked: &Check, output: &Output, environment: &Environment) -> Result<(), Error> {
    if asked.by_hand.dry_run {
        return Err(Error::Usage("'--dry-run' is of a start; 'forerun check' starts nothing".to_owned()));
    }
    let called_in = called_in()?;
    let service = Service::resolve_for_a_look(&asked.flags, &asked.by_hand, &called_in, environment)?;
    let health = if asked.health { Some(health(&service)?) } else { None };
    let (decision, trust) = decide(&service, environment)?;
    trust.ensure()?;
    let state = state::root(environment, &called_in).ok();
    enter(&service, &called_in)?;
    dying_of_signal(try_all(&service, health, environment, state.as_deref(), output), decision.mode)
}

/// The health check, which only a server that runs can answer.
fn health(service: &Service) -> Result<&Awaited, Error> {
    let health = service.health.as_ref().ok_or_else(|| {
        Error::Usage("'--health' has no check to try: write one behind it, or [health] in forerun.toml".to_owned())
    })?;
    match health.probe.check.is_told() {
        true => Err(Error::Config(format!(
            "cannot try the health check {}: the server says it once, to the start that waits for it; leave out --health",
            quoted(&health.probe.to_string())
        ))),
        false => Ok(health),
    }
}

/// Runs the checks. The current directory is the service's.
///
/// # Errors
/// [`Error::Said`] when a check does not hold; [`Error::Interrupted`]; [`Error::Exhausted`].
fn try_all(
    service: &Service,
    health: Option<&Awaited>,
    inherited: &Environment,
    state: Option<&Path>,
    output: &Output,
) -> Result<(), Error> {
    let (limits, _) = service.server_nofile();
    let events = catch_events()?;
    let mut progress_line = ProgressLine::new(io::stderr().is_terminal() && output.is_drawn(), None);
    let context = Arc::new(checks_context(service, inherited, limits, state));
    let mut runner =
        CheckRunner { context: &context, events: &events, progress_line: &mut progress_line, checked: false };
    let requirements = checks::requirements(service, &mut runner)?;
    let waits = checks::waits(service, &mut runner)?;
    let healths = runner.run(health.iter().map(|health| Job::wait(health.probe.clone())).collect())?;
    let required = service.requirements.iter().zip(&requirements).map(|(r, progress)| Checked {
        has_fix: r.fix.is_some(),
        ..checked("require", &r.probe, r.hint.as_deref(), progress)
    });
    let waited = service.waits.iter().zip(&waits).map(|(w, p)| checked("wait", &w.probe, w.hint.as_deref(), p));
    let healthy = health.into_iter().zip(&healths);
    let healthy = healthy.map(|(h, p)| checked("health", &h.probe, h.hint.as_deref(), p));
    print_checks(&service.name, &required.chain(waited).chain(healthy).collect::<Vec<_>>(), output.json)?;
    match service.before.len() {
        0 => {}
        1 => say("the step of [[before]] was not run; a start runs it"),
        count => say(&format!("the {count} steps of [[before]] were not run; a start runs them")),
    }
    for (progress, code) in [(&requirements, 78), (&waits, 69), (&healths, 1)] {
        if progress.iter().any(|p| !p.holds()) {
            return Err(Error::Said(code));
        }
    }
    Ok(())
}

fn checked<'a>(kind: &'static str, probe: &Probe, hint: Option<&'a str>, progress: &Progress) -> Checked<'a> {
    Checked {
        kind,
        check: probe.to_string(),
        hint,
        has_fix: false,
        holds: progress.holds(),
        reason: progress.reason.clone(),
        attempts: progress.attempts,
        took: progress.took(),
    }
}
