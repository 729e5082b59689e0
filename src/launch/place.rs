#![forbid(unsafe_code)]
//! The place of a service: its name and its port. Who has them?

use std::ffi::OsString;

use crate::check::port::{self, Port};
use crate::error::Error;
use crate::instance::identity::{Identity, Life};
use crate::instance::record::Record;
use crate::instance::state::Folder;
use crate::service::Service;
use crate::sys::{self, Host};
use crate::text::{quoted, shell_words};

/// Who has the name.
#[derive(Debug, PartialEq)]
pub enum Holder {
    Nobody,
    /// We do: a server that starts itself again, or a start script below another forerun.
    Ourselves(Box<Record>),
    /// An instance of this service runs.
    Instance(Box<Record>),
    /// An instance of another service of the same name runs.
    Other(Box<Record>, &'static str),
    /// Nobody knows whether its process still runs.
    Unknown(Box<Record>, &'static str),
}

/// Looks up who has the service's name.
///
/// # Errors
/// A message, when the record cannot be read.
pub fn holder(service: &Service, folder: &Folder, here: &Host) -> Result<Holder, String> {
    let Some(record) = Record::read(folder, &service.name)? else { return Ok(Holder::Nobody) };
    let life = record.process.life(here);
    let is_us = life == Life::Alive && record.process.pid == std::process::id() as i32;
    Ok(judge(service, Box::new(record), life, is_us))
}

fn judge(service: &Service, record: Box<Record>, life: Life, is_us: bool) -> Holder {
    match life {
        Life::Dead => Holder::Nobody,
        Life::Unknown(why) => Holder::Unknown(record, why),
        Life::Alive if is_us => Holder::Ourselves(record),
        Life::Alive => match difference(service, &record) {
            Some(what) => Holder::Other(record, what),
            None => Holder::Instance(record),
        },
    }
}

/// What makes the recorded service another one.
fn difference(service: &Service, record: &Record) -> Option<&'static str> {
    let config = record.config.as_ref().map(OsString::from);
    let command: Vec<_> = record.command.iter().map(OsString::from).collect();
    if config.as_deref() != service.config.as_ref().map(|c| c.as_os_str()) {
        return Some("config file");
    }
    if OsString::from(&record.cwd) != service.directory {
        return Some("working directory");
    }
    if command != service.command {
        return Some("command");
    }
    (record.port != service.port).then_some("port")
}

/// The conflict over the name, where there is one. `supervised`: another service of our name is a mistake in
/// the configuration, which a restart cannot help against.
pub fn conflict(service: &Service, holder: &Holder, supervised: bool) -> Option<Error> {
    let name = quoted(&service.name);
    match holder {
        Holder::Nobody | Holder::Ourselves(_) => None,
        Holder::Instance(record) => {
            let message = format!("the name {name} is held by {}; {}", whereabouts(record), how_to_stop(record));
            Some(Error::Conflict(message))
        }
        Holder::Other(record, what) => {
            let theirs: Vec<_> = record.command.iter().map(OsString::from).collect();
            let message = format!(
                "the name {name} is held by another service with another {what}: {} runs as {}, this is {}; give one of them another --name",
                quoted(&shell_words(&theirs)),
                whereabouts(record),
                quoted(&shell_words(&service.command)),
            );
            Some(if supervised { Error::Config(message) } else { Error::Conflict(message) })
        }
        Holder::Unknown(record, why) => Some(Error::Conflict(format!(
            "the name {name} may be held by {}: {why}, so nobody can tell from here; give another --name, or another FORERUN_STATE_DIR",
            whereabouts(record),
        ))),
    }
}

/// The conflict over the port, where there is one.
pub fn port_conflict(service: &Service) -> Option<Error> {
    let number = service.port?;
    if sys::inherits_listener(number) {
        return None;
    }
    let port = quoted(&number.to_string());
    match port::guard(service.host.as_deref(), number) {
        Port::Free => None,
        Port::Held(who) => {
            Some(Error::Conflict(format!("port {port} is held by {who}; stop it, or choose another port")))
        }
        Port::Unknown(why) => Some(Error::Conflict(format!(
            "cannot tell whether port {port} is free: {why}; choose another, or guard none with --port 0"
        ))),
    }
}

/// Where an instance runs, in a few words.
pub fn whereabouts(record: &Record) -> String {
    let unit = record.cgroup.as_ref().filter(|leaf| leaf.ends_with(".service")).map(|unit| format!(" ('{unit}')"));
    match &record.supervisor {
        Some(supervisor) => format!("pid {} under {supervisor}{}", record.process.pid, unit.unwrap_or_default()),
        None => format!("pid {} ({})", record.process.pid, record.mode),
    }
}

fn how_to_stop(record: &Record) -> String {
    match &record.supervisor {
        Some(supervisor) => format!("stop it through {supervisor}"),
        None => format!("stop it: kill {}", record.process.pid),
    }
}

/// The process that a conflict waits for, where one is known.
pub fn awaited(holder: &Holder) -> Option<&Identity> {
    match holder {
        Holder::Instance(record) | Holder::Other(record, _) => Some(&record.process),
        _ => None,
    }
}
