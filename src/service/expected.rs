#![forbid(unsafe_code)]
//! What the keys of a check say about its answer and its attempts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use ureq::http::{HeaderName, HeaderValue};

use super::file::{self, CheckTable};
use super::wrong::Wrong;
use crate::check::{self, Check, Expectation, Identity, Method, Pace};
use crate::text::{elapsed, quoted};

/// What the answer must be. Files that it names are read before anything starts.
///
/// # Errors
/// The first key that is wrong, or has no effect on this check.
pub fn expectation(table: &CheckTable, check: &Check, folder: &Path) -> Result<Expectation, Wrong> {
    let keys = [
        ("status", table.status.as_ref().map(Spanned::span)),
        ("body", table.body.as_ref().map(Spanned::span)),
        ("headers", table.headers.as_ref().map(Spanned::span)),
        ("method", table.method.as_ref().map(Spanned::span)),
        ("insecure", table.insecure.as_ref().map(Spanned::span).filter(|_| !check.is_encrypted())),
    ];
    for (key, span) in keys {
        if let Some(span) = span.filter(|_| !check.is_http()) {
            return Err(Wrong { at: span.start, message: format!("'{key}' needs an http or https check") });
        }
    }
    if let Some(body) = table.body.as_ref().filter(|body| body.get_ref().is_empty()) {
        return Err(Wrong::at(body, "the body's text is empty"));
    }
    let method = table.method.as_ref().map(|method| method.get_ref().0).unwrap_or_default();
    if let Some(body) = table.body.as_ref().filter(|_| method == Method::Head) {
        return Err(Wrong::at(body, "the answer to HEAD has no body; leave out 'body' or 'method'"));
    }
    Ok(Expectation {
        statuses: table.status.as_ref().map(|s| s.get_ref().0.0.clone()).unwrap_or_default(),
        body: table.body.as_ref().map(|b| b.get_ref().clone()),
        headers: headers(table)?,
        insecure: table.insecure.as_ref().is_some_and(|i| *i.get_ref()),
        authorities: table.ca.as_ref().map(|ca| authorities(ca, check, folder)).transpose()?,
        identity: identity(table, check, folder)?,
        method,
    })
}

/// How it is tried over and over.
///
/// # Errors
/// The first key that can never be right.
pub fn pace(table: &CheckTable, timeout: Duration) -> Result<Pace, Wrong> {
    for (key, given) in [("interval", &table.interval), ("attempt-timeout", &table.attempt_timeout)] {
        if let Some(given) = given.as_ref().filter(|given| given.get_ref().0.is_zero()) {
            return Err(Wrong::at(given, format!("'{key}' is longer than nothing; write \"1s\"")));
        }
    }
    if let Some(hold) = table.hold.as_ref().filter(|hold| hold.get_ref().0 >= timeout) {
        let message = format!("'hold' must be shorter than the timeout, which is {}", elapsed(timeout));
        return Err(Wrong::at(hold, message));
    }
    Ok(Pace {
        attempt: table.attempt_timeout.as_ref().map(|t| t.get_ref().0),
        interval: table.interval.as_ref().map(|t| t.get_ref().0),
        hold: table.hold.as_ref().map(|t| t.get_ref().0).unwrap_or_default(),
    })
}

fn headers(table: &CheckTable) -> Result<Vec<(HeaderName, HeaderValue)>, Wrong> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    if let Some(table) = &table.headers {
        for (name, value) in table.get_ref() {
            // The value may be a secret, so a message shows only the name.
            let wrong =
                || Wrong::at(table, format!("the header {} has a character that no header may have", quoted(name)));
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            if headers.iter().any(|(known, _)| *known == header) {
                let message =
                    format!("the header {} is there twice, as its case says nothing; leave one out", quoted(name));
                return Err(Wrong::at(table, message));
            }
            headers.push((header, value));
        }
    }
    Ok(headers)
}

/// The certificates of a `ca` file.
fn authorities(ca: &Spanned<PathBuf>, check: &Check, folder: &Path) -> Result<String, Wrong> {
    let pem = pem("ca", ca, check, folder)?;
    check::certificates(&pem).map_err(|e| unusable("ca", ca, folder, &e))?;
    Ok(pem)
}

/// The files `cert` and `key`.
fn identity(table: &CheckTable, check: &Check, folder: &Path) -> Result<Option<Identity>, Wrong> {
    let (cert, key) = match (&table.cert, &table.key) {
        (None, None) => return Ok(None),
        (Some(cert), None) => return Err(Wrong::at(cert, "'cert' needs a 'key'")),
        (None, Some(key)) => return Err(Wrong::at(key, "'key' needs a 'cert'")),
        (Some(cert), Some(key)) => (cert, key),
    };
    let certificates = pem("cert", cert, check, folder)?;
    let identity = Identity { certificates, key: pem("key", key, check, folder)? };
    check::certificates(&identity.certificates).map_err(|e| unusable("cert", cert, folder, &e))?;
    identity.read().map_err(|e| unusable("key", key, folder, &e))?;
    Ok(Some(identity))
}

fn pem(key: &str, given: &Spanned<PathBuf>, check: &Check, folder: &Path) -> Result<String, Wrong> {
    if !check.is_encrypted() {
        return Err(Wrong::at(given, format!("'{key}' needs an https check, or another one with TLS")));
    }
    let bytes = file::bytes(&folder.join(given.get_ref())).map_err(|e| unusable(key, given, folder, &e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unusable(key: &str, given: &Spanned<PathBuf>, folder: &Path, why: &dyn fmt::Display) -> Wrong {
    let path = folder.join(given.get_ref());
    Wrong::at(given, format!("cannot use {} as '{key}': {why}", quoted(&path)))
}
