#![forbid(unsafe_code)]
//! The service of a recorded instance.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::args;
use crate::instance::record::{Record, os_strings};
use crate::service::Service;

/// The service with the flags of its start and today's forerun.toml.
pub fn service_of(record: &Record) -> Result<Service, String> {
    let here = PathBuf::from(OsString::from(&record.called_in));
    let options =
        args::parse(os_strings(&record.arguments), &[]).map_err(|_| "the recorded flags make no sense".to_owned())?;
    Service::resolve(&options, &here).map_err(|e| e.to_string())
}
