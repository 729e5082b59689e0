#![forbid(unsafe_code)]
//! `forerun check`: runs the requirements and waits, and starts nothing.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use super::common::catch_events;
use super::start::{called_in, decide, dying_of_signal, enter};
use crate::args::{Check, Output};
use crate::environment::Environment;
use crate::error::Error;
use crate::report::result::{Checked, print_checks};
use crate::service::Service;
use crate::start::checks::{self, CheckRunner};
use crate::start::launch::checks_context;
use crate::start::progress::ProgressLine;

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
    let (decision, trust) = decide(&service, environment)?;
    trust.ensure()?;
    enter(&service, &called_in)?;
    dying_of_signal(try_all(&service, environment, output), decision.mode)
}

/// Runs the checks. The current directory is the service's.
///
/// # Errors
/// [`Error::Said`] when a check does not hold; [`Error::Interrupted`]; [`Error::Exhausted`].
fn try_all(service: &Service, inherited: &Environment, output: &Output) -> Result<(), Error> {
    let (limits, _) = service.server_nofile();
    let events = catch_events()?;
    let mut progress_line = ProgressLine::new(io::stderr().is_terminal() && output.is_drawn(), None);
    let context = Arc::new(checks_context(service, inherited, limits));
    let mut runner =
        CheckRunner { context: &context, events: &events, progress_line: &mut progress_line, checked: false };
    let requirements = checks::requirements(service, &mut runner)?;
    let waits = checks::waits(service, &mut runner)?;
    let required = service.requirements.iter().zip(&requirements).map(|(r, progress)| Checked {
        kind: "require",
        check: r.probe.to_string(),
        hint: r.hint.as_deref(),
        has_fix: r.fix.is_some(),
        holds: progress.holds(),
        reason: progress.reason.to_string(),
        attempts: progress.attempts,
        took: progress.took(),
    });
    let awaited = service.waits.iter().zip(&waits).map(|(w, progress)| Checked {
        kind: "wait",
        check: w.probe.to_string(),
        hint: w.hint.as_deref(),
        has_fix: false,
        holds: progress.holds(),
        reason: progress.reason.to_string(),
        attempts: progress.attempts,
        took: progress.took(),
    });
    print_checks(&service.name, &required.chain(awaited).collect::<Vec<_>>(), output.json)?;
    if requirements.iter().any(|p| !p.holds()) {
        return Err(Error::Said(78));
    }
    if waits.iter().any(|p| !p.holds()) {
        return Err(Error::Said(69));
    }
    Ok(())
}
