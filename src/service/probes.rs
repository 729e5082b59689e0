#![forbid(unsafe_code)]
//! Makes the requirements, waits and health check of a service from the command line and the file.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use ureq::http::{HeaderName, HeaderValue};

use super::file::{self, CheckTable};
use super::values::HEALTH_TIMEOUT;
use super::wrong::Fault;
use super::wrong::Wrong;
use crate::args::StartFlags;
use crate::check::{self, Check, Expectation, Probe};
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
    pub timeout: Duration,
}

/// A wait or the health check.
#[derive(Debug)]
pub struct Awaited {
    pub probe: Probe,
    pub hint: Option<String>,
}

pub fn plain_probe(spec: &OsStr, folder: &Path, timeout: Duration) -> Result<Probe, Fault> {
    let check = Check::parse(spec).and_then(|check| check.within(folder)).map_err(Fault::Usage)?;
    Ok(Probe { check, timeout, expect: Expectation::default() })
}

fn probe(table: &CheckTable, folder: &Path, timeout: Duration) -> Result<Probe, Wrong> {
    let check = Check::parse(OsStr::new(table.check.get_ref())).map_err(|e| Wrong::at(&table.check, e))?;
    let mut expect = expectation(table, &check)?;
    expect.authorities = table.ca.as_ref().map(|ca| authorities(ca, &check, folder)).transpose()?;
    let check = check.within(folder).map_err(|e| Wrong::at(&table.check, e))?;
    Ok(Probe { check, timeout, expect })
}

fn expectation(table: &CheckTable, check: &Check) -> Result<Expectation, Wrong> {
    let keys = [
        ("status", table.status.as_ref().map(Spanned::span)),
        ("body", table.body.as_ref().map(Spanned::span)),
        ("headers", table.headers.as_ref().map(Spanned::span)),
        ("insecure", table.insecure.as_ref().map(Spanned::span).filter(|_| !check.is_encrypted())),
    ];
    for (key, span) in keys {
        if let Some(span) = span.filter(|_| !matches!(check, Check::Http(_))) {
            return Err(Wrong { at: span.start, message: format!("'{key}' needs an http or https check") });
        }
    }
    if let Some(body) = table.body.as_ref().filter(|body| body.get_ref().is_empty()) {
        return Err(Wrong::at(body, "the body's text is empty"));
    }
    let mut headers = Vec::new();
    if let Some(table) = &table.headers {
        for (name, value) in table.get_ref() {
            // The value may be a secret, so a message shows only the name.
            let wrong = || Wrong::at(table, format!("the header '{name}' has a character that no header may have"));
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.push((HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value));
        }
    }
    Ok(Expectation {
        statuses: table.status.as_ref().map(|s| s.get_ref().0.0.clone()).unwrap_or_default(),
        body: table.body.as_ref().map(|b| b.get_ref().clone()),
        headers,
        insecure: table.insecure.as_ref().is_some_and(|i| *i.get_ref()),
        authorities: None,
    })
}

/// The certificates of a `ca` file, which are read before anything starts.
fn authorities(ca: &Spanned<PathBuf>, check: &Check, folder: &Path) -> Result<String, Wrong> {
    if !check.is_encrypted() {
        return Err(Wrong::at(ca, "'ca' needs an https check, or another one with TLS"));
    }
    let path = folder.join(ca.get_ref());
    let wrong = |e: &dyn fmt::Display| Wrong::at(ca, format!("cannot use {} as 'ca': {e}", quoted(&path)));
    let bytes = file::bytes(&path).map_err(|e| wrong(&e))?;
    let pem = String::from_utf8_lossy(&bytes).into_owned();
    check::certificates(&pem).map_err(|e| wrong(&e))?;
    Ok(pem)
}

pub fn requirement(table: &CheckTable, folder: &Path) -> Result<Requirement, Wrong> {
    if let Some(timeout) = &table.timeout {
        return Err(Wrong::at(timeout, "a requirement must hold now: 'timeout' belongs in [[wait]]"));
    }
    if let Some(timeout) = table.fix_timeout.as_ref().filter(|_| table.fix.is_none()) {
        return Err(Wrong::at(timeout, "'fix-timeout' needs a 'fix'"));
    }
    let timeout = table.fix_timeout.as_ref().map_or(FIX_TIMEOUT, |t| t.get_ref().0);
    let fix = match &table.fix {
        Some(fix) if fix.get_ref().contains('\0') => return Err(Wrong::at(fix, "the fix has a NUL byte")),
        fix => fix.as_ref().map(|f| Fix { script: f.get_ref().into(), timeout }),
    };
    Ok(Requirement { probe: probe(table, folder, check::EXEC_TIMEOUT)?, fix, hint: table.hint.clone() })
}

pub fn awaited(table: &CheckTable, folder: &Path, default: Duration) -> Result<Awaited, Wrong> {
    if let Some(fix) = &table.fix {
        return Err(Wrong::at(fix, "'fix' belongs in [[require]]"));
    }
    if let Some(timeout) = &table.fix_timeout {
        return Err(Wrong::at(timeout, "'fix-timeout' belongs in [[require]]"));
    }
    let timeout = table.timeout.as_ref().map_or(default, |t| t.get_ref().0);
    Ok(Awaited { probe: probe(table, folder, timeout)?, hint: table.hint.clone() })
}

/// The health check. `--health` replaces all of `[health]`, so that headers for one host are not sent to another.
pub fn health(
    flags: &StartFlags,
    table: Option<&CheckTable>,
    folder: &Path,
    here: &Path,
) -> Result<Option<Awaited>, Fault> {
    let mut health = match (&flags.health, table) {
        (Some(spec), _) => Some(Awaited { probe: plain_probe(spec, here, HEALTH_TIMEOUT)?, hint: None }),
        (None, Some(table)) => Some(awaited(table, folder, HEALTH_TIMEOUT)?),
        (None, None) => None,
    };
    let is_http = health.as_ref().is_some_and(|h| matches!(h.probe.check, Check::Http(_)));
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
