#![forbid(unsafe_code)]
//! Makes the requirements, waits and health check of a service from the command line and the file.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use super::expand::Expander;
use super::file::CheckTable;
use super::values::HEALTH_TIMEOUT;
use super::wrong::{Fault, Wrong};
use super::{expected, inline};
use crate::args::StartFlags;
use crate::check::{self, Check, Expectation, Pace, Probe, Purpose, Written};
use crate::text::quoted;

const FIX_TIMEOUT: Duration = Duration::from_secs(300);

/// A requirement and its fix.
#[derive(Debug)]
pub struct Requirement {
    pub probe: Probe,
    pub fix: Option<Fix>,
    pub hint: Option<String>,
}

#[derive(Debug)]
pub struct Fix {
    pub script: OsString,
    /// As it was written: its references may give secrets.
    pub shown: OsString,
    pub timeout: Duration,
}

/// A wait or the health check.
#[derive(Debug)]
pub struct Awaited {
    pub probe: Probe,
    pub hint: Option<String>,
}

/// A CHECK of `--require`, with the keys that are written behind it.
///
/// # Errors
/// [`Fault::Usage`].
pub fn asked_requirement(spec: &OsStr, here: &Path, expander: &mut Expander) -> Result<Requirement, Fault> {
    let option = "--require";
    match with_keys(option, spec, expander, |table| asked_now(table, here))? {
        Some(requirement) => Ok(requirement),
        None => Ok(Requirement {
            probe: plain_probe((option, Purpose::Require), spec, here, check::EXEC_TIMEOUT, expander)?,
            fix: None,
            hint: None,
        }),
    }
}

fn asked_now(table: &CheckTable, here: &Path) -> Result<Requirement, Wrong> {
    match &table.timeout {
        Some(timeout) => Err(Wrong::at(timeout, "a requirement must hold now: 'timeout' is for --wait")),
        None => requirement(table, here),
    }
}

/// A CHECK of `--wait` or `--health`, with the keys that are written behind it.
///
/// # Errors
/// [`Fault::Usage`].
pub fn asked_awaited(
    (option, purpose): (&str, Purpose),
    spec: &OsStr,
    here: &Path,
    timeout: Duration,
    expander: &mut Expander,
) -> Result<Awaited, Fault> {
    match with_keys(option, spec, expander, |table| awaited(table, here, timeout, purpose))? {
        Some(awaited) => Ok(awaited),
        None => Ok(Awaited { probe: plain_probe((option, purpose), spec, here, timeout, expander)?, hint: None }),
    }
}

/// What is made of a CHECK with keys. `None` where it has none.
fn with_keys<T>(
    option: &str,
    spec: &OsStr,
    expander: &mut Expander,
    make: impl FnOnce(&CheckTable) -> Result<T, Wrong>,
) -> Result<Option<T>, Fault> {
    let invalid = |why: &str| match inline::called(spec) {
        // It is named already.
        _ if why.starts_with("invalid check ") => Fault::Usage(why.to_owned()),
        Some(called) => usage(&format!("{option} {called}"), why),
        None => usage(option, why),
    };
    let Some(table) = inline::table(spec, expander).map_err(|why| invalid(&why))? else { return Ok(None) };
    // Without its keys, which may be secrets.
    let check = OsStr::new(table.written.check.as_ref().unwrap_or(table.check.get_ref()));
    make(&table).map(Some).map_err(|wrong| invalid(&safe(&wrong.message, check, &table.written)))
}

/// The probe of a CHECK without keys.
fn plain_probe(
    (option, purpose): (&str, Purpose),
    spec: &OsStr,
    here: &Path,
    timeout: Duration,
    expander: &mut Expander,
) -> Result<Probe, Fault> {
    let replaced = expander.os_check(spec);
    let replaced = replaced.map_err(|why| Fault::Usage(format!("invalid check {}: {why}", quoted(spec))))?;
    let written = expander.written((replaced != spec).then(|| spec.to_string_lossy()).as_deref());
    let check = Check::parse(&replaced).and_then(|check| check.within(here));
    let check = check.map_err(|why| Fault::Usage(safe(&why, spec, &written)))?;
    let shown = written.check.clone().unwrap_or_else(|| check.to_string());
    check.serves(purpose).map_err(|why| usage(option, &unfit(&shown, why)))?;
    Ok(Probe { check, timeout, expect: Expectation::default(), pace: Pace::default(), written })
}

/// What is wrong with a CHECK, without what its references gave.
fn safe(message: &str, spec: &OsStr, written: &Written) -> String {
    let masked = written.masked(message);
    if !written.is_in(&masked) {
        return masked;
    }
    let what_to_do = check::form(spec).map(|form| format!("; write {form}")).unwrap_or_default();
    format!("invalid check {}: what its references give makes it none{what_to_do}", quoted(spec))
}

fn usage(option: &str, why: &str) -> Fault {
    Fault::Usage(format!("invalid '{option}': {why}"))
}

fn unfit(check: &str, why: &str) -> String {
    format!("{}: {why}", quoted(check))
}

fn probe(table: &CheckTable, folder: &Path, timeout: Duration, purpose: Purpose) -> Result<Probe, Wrong> {
    let check = Check::parse(OsStr::new(table.check.get_ref())).map_err(|e| Wrong::at(&table.check, e))?;
    check
        .serves(purpose)
        .map_err(|why| Wrong::at(&table.check, format!("invalid check {}", unfit(&check.to_string(), why))))?;
    let expect = expected::expectation(table, &check, folder)?;
    let pace = expected::pace(table, timeout)?;
    let check = check.within(folder).map_err(|e| Wrong::at(&table.check, e))?;
    Ok(Probe { check, timeout, expect, pace, written: table.written.clone() })
}

pub fn requirement(table: &CheckTable, folder: &Path) -> Result<Requirement, Wrong> {
    if let Some(timeout) = &table.timeout {
        return Err(Wrong::at(timeout, "a requirement must hold now: 'timeout' belongs in [[wait]]"));
    }
    for (key, given) in [("hold", &table.hold), ("interval", &table.interval)] {
        if let Some(given) = given {
            return Err(Wrong::at(given, format!("a requirement is tried once: '{key}' belongs in [[wait]]")));
        }
    }
    if let Some(timeout) = table.fix_timeout.as_ref().filter(|_| table.fix.is_none()) {
        return Err(Wrong::at(timeout, "'fix-timeout' needs a 'fix'"));
    }
    let timeout = table.fix_timeout.as_ref().map_or(FIX_TIMEOUT, |t| t.get_ref().0);
    let fix = match &table.fix {
        Some(fix) if fix.get_ref().contains('\0') => return Err(Wrong::at(fix, "the fix has a NUL byte")),
        fix => fix.as_ref().map(|fix| {
            let shown = table.written_fix.as_ref().unwrap_or(fix.get_ref()).into();
            Fix { script: fix.get_ref().into(), shown, timeout }
        }),
    };
    Ok(Requirement { probe: probe(table, folder, check::EXEC_TIMEOUT, Purpose::Require)?, fix, hint: table.hint() })
}

pub fn awaited(table: &CheckTable, folder: &Path, default: Duration, purpose: Purpose) -> Result<Awaited, Wrong> {
    if let Some(fix) = &table.fix {
        return Err(Wrong::at(fix, "'fix' belongs in [[require]]"));
    }
    if let Some(timeout) = &table.fix_timeout {
        return Err(Wrong::at(timeout, "'fix-timeout' belongs in [[require]]"));
    }
    let timeout = table.timeout.as_ref().map_or(default, |t| t.get_ref().0);
    Ok(Awaited { probe: probe(table, folder, timeout, purpose)?, hint: table.hint() })
}

/// The check of the watchdog. `timeout`: how long it may take to hold for the first time.
///
/// # Errors
/// A key that has no effect here, and what is wrong with the check.
pub fn watched(table: &CheckTable, folder: &Path, timeout: Duration) -> Result<Probe, Wrong> {
    for (key, given) in [("timeout", &table.timeout), ("hold", &table.hold), ("interval", &table.interval)] {
        if let Some(given) = given {
            let message =
                format!("'{key}' is not for the check of [watch], which is tried at the 'interval' of [watch]");
            return Err(Wrong::at(given, message));
        }
    }
    Ok(awaited(table, folder, timeout, Purpose::Watch)?.probe)
}

/// The health check. `--health` replaces all of `[health]`, so that headers for one host are not sent to another.
pub fn health(
    flags: &StartFlags,
    table: Option<&CheckTable>,
    folder: &Path,
    here: &Path,
    expander: &mut Expander,
) -> Result<Option<Awaited>, Fault> {
    let mut health = match (&flags.health, table) {
        (Some(spec), _) => Some(asked_awaited(("--health", Purpose::Health), spec, here, HEALTH_TIMEOUT, expander)?),
        (None, Some(table)) => Some(awaited(table, folder, HEALTH_TIMEOUT, Purpose::Health)?),
        (None, None) => None,
    };
    let is_http = health.as_ref().is_some_and(|h| h.probe.check.is_http());
    let is_encrypted = health.as_ref().is_some_and(|h| h.probe.check.is_encrypted());
    let is_insecure = flags.insecure && !is_encrypted;
    for (flag, given) in [("--health-body", flags.health_body.is_some()), ("--insecure", is_insecure)] {
        if given && !is_http {
            return Err(Fault::Usage(format!("'{flag}' needs a health URL")));
        }
    }
    if let Some(health) = &mut health {
        let Probe { timeout, expect, .. } = &mut health.probe;
        *timeout = flags.health_timeout.unwrap_or(*timeout);
        expect.insecure |= flags.insecure;
        expect.body = flags.health_body.clone().or(expect.body.take());
    }
    Ok(health)
}
