#![forbid(unsafe_code)]
//! What records and markers keep of a start: its arguments and its folder.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Purpose, Service};
use crate::args::{self, Request, Start};
use crate::instance::record::{Record, os_strings};
use crate::text::one_line;

/// A start, as a record keeps it.
pub struct Recorded {
    pub start: Start,
    /// The folder in which forerun was called.
    pub called_in: PathBuf,
}

/// The start that these arguments ask for, the program's name first.
///
/// # Errors
/// A message, when this forerun does not understand them, or they are of no start.
pub fn start_of(words: Vec<OsString>) -> Result<Start, String> {
    match args::parse(words, &[]) {
        Ok(Request::Start(start)) => Ok(start),
        Ok(_) => Err("it starts nothing".to_owned()),
        Err(e) => Err(one_line(e.to_string().lines().next().unwrap_or_default())),
    }
}

/// The start of a recorded instance.
///
/// # Errors
/// As [`start_of`].
pub fn of(record: &Record) -> Result<Recorded, String> {
    Ok(Recorded {
        start: start_of(os_strings(&record.arguments))?,
        called_in: OsString::from(&record.called_in).into(),
    })
}

/// The service of a recorded instance, with the flags of its start and today's forerun.toml.
///
/// # Errors
/// A message, when the flags or the file make no sense.
pub fn service_of(record: &Record) -> Result<Service, String> {
    let recorded = of(record).map_err(|_| "the recorded flags make no sense".to_owned())?;
    Service::resolve(&recorded.start.flags, Purpose::Start, &recorded.called_in).map_err(|e| e.to_string())
}
