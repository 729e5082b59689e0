#![forbid(unsafe_code)]
//! `forerun check`: runs the requirements and waits, and starts nothing.

use crate::error::Error;
use crate::report::result::{Checked, print_checks};
use crate::service::Service;
use crate::start::checks;

/// Tries everything and reports it, even the checks that a start would never reach.
///
/// # Errors
/// [`Error::Said`] when a check does not hold; [`Error::Interrupted`].
pub fn run(service: &Service, mut runner: checks::CheckRunner, json: bool) -> Result<(), Error> {
    let requirements = checks::requirements(service, &mut runner)?;
    let waits = checks::waits(service, &mut runner)?;
    let required = service.requirements.iter().zip(&requirements).map(|(r, progress)| Checked {
        kind: "require",
        check: r.probe.check.to_string(),
        hint: r.hint.as_deref(),
        has_fix: r.fix.is_some(),
        holds: progress.holds(),
        reason: progress.reason.to_string(),
        attempts: progress.attempts,
        took: progress.took(),
    });
    let awaited = service.waits.iter().zip(&waits).map(|(w, progress)| Checked {
        kind: "wait",
        check: w.probe.check.to_string(),
        hint: w.hint.as_deref(),
        has_fix: false,
        holds: progress.holds(),
        reason: progress.reason.to_string(),
        attempts: progress.attempts,
        took: progress.took(),
    });
    print_checks(&service.name, &required.chain(awaited).collect::<Vec<_>>(), json)?;
    if requirements.iter().any(|p| !p.holds()) {
        return Err(Error::Said(78));
    }
    if waits.iter().any(|p| !p.holds()) {
        return Err(Error::Said(69));
    }
    Ok(())
}
