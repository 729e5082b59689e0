#![forbid(unsafe_code)]
//! Findings about the instance of a service: its record, processes that it left behind, and its port.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use nix::unistd::{User, geteuid};

use crate::check::port::{self, Port};
use crate::commands::common::homes;
use crate::follow;
use crate::instance::family::{self, Family, Origin};
use crate::instance::identity::Life;
use crate::instance::record::{Record, Unreadable};
use crate::instance::state::{self, Folder};
use crate::report::doctor::Finding;
use crate::service::{Service, is_same_file};
use crate::start::holder;
use crate::start::unit::Caller;
use crate::supervisor::units::Found;
use crate::sys::{self, Host};

pub struct Instance<'a> {
    service: &'a Service,
    host: Host,
    record: Result<Option<Record>, String>,
    /// The record is in the caller's own state folder.
    is_ours: bool,
}

impl<'a> Instance<'a> {
    /// Finds the record of a service. Looks in the caller's state folder, then where the units of the service keep
    /// theirs, then (as root) in the folders of all users. A record whose process runs wins.
    ///
    /// # Errors
    /// When it cannot be determined which machine this is.
    pub fn find(service: &'a Service, root: Option<&Path>, units: &[Found], site: &Caller) -> io::Result<Self> {
        let host = sys::host()?;
        // A server that handed over runs.
        let follow = |record| {
            let new = follow::new_main(&record, &host).map_err(|e| e.to_string())?;
            Ok::<_, String>(new.unwrap_or(record))
        };
        let mut record = root.map_or(Ok(None), |root| read(service, root, geteuid().as_raw()));
        record = record.and_then(|record| record.map(follow).transpose());
        let lives = |record: &Record| record.process.life(&host) == Life::Alive;
        let mut is_ours = true;
        if !record.as_ref().is_ok_and(|record| record.as_ref().is_some_and(lives)) {
            let all = elsewhere(service, units, site).into_iter().filter_map(|record| follow(record).ok());
            if let Some(found) = all.into_iter().find(lives) {
                (record, is_ours) = (Ok(Some(found)), false);
            }
        }
        Ok(Instance { service, host, record, is_ours })
    }

    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    fn record(&self) -> Option<&Record> {
        self.record.as_ref().ok().and_then(Option::as_ref)
    }

    /// The record, if its process runs.
    pub fn alive(&self) -> Option<&Record> {
        self.record().filter(|record| record.process.life(&self.host) == Life::Alive)
    }

    pub fn look(&self) -> Finding {
        let name = &self.service.name;
        let record = match &self.record {
            Err(why) => {
                return Finding::problem(
                    "instance",
                    why.clone(),
                    "remove the record, or set FORERUN_STATE_DIR to another folder",
                );
            }
            Ok(None) => return Finding::ok("instance", "no instance is recorded"),
            Ok(Some(record)) => record,
        };
        match record.process.life(&self.host) {
            Life::Alive => Finding::ok("instance", format!("runs: {}", holder::whereabouts(record))),
            Life::Unknown(why) => {
                let message = format!("cannot tell whether {} runs: {why}", holder::whereabouts(record));
                Finding::warning("instance", message, format!("if it no longer runs: forerun stop {name}"))
            }
            Life::Dead => {
                let origin = Origin::of(record);
                let here = record.process.host.is_same_as(&self.host);
                let family = if here { family::look(&origin).unwrap_or_default() } else { Family::default() };
                let left: Vec<_> = family.all().collect();
                let pid = record.process.pid;
                match left.first() {
                    Some(first) => {
                        let message = format!(
                            "pid {pid} is gone and left {} running, the first is {}",
                            left.len(),
                            port::describe(first.pid)
                        );
                        Finding::problem("instance", message, format!("forerun stop {name}"))
                    }
                    None => Finding::ok(
                        "instance",
                        format!("not running; the record of pid {pid} is stale, and the next start replaces it"),
                    ),
                }
            }
        }
    }

    pub fn port(&self, served: &[i32]) -> Option<Finding> {
        let service = self.service;
        let number = service.port?;
        let is_its = |pid: i32| {
            let found = self.record().and_then(|record| family::look(&Origin::of(record)).ok());
            found.is_some_and(|family| family.has(pid)) || descends(pid, served)
        };
        Some(match port::guard(service.host.as_deref(), number) {
            Port::Free => Finding::ok("port", format!("{number} is free")),
            Port::Held { who, pid: Some(pid) } if is_its(pid) => {
                Finding::ok("port", format!("{number} is the instance's: {who}"))
            }
            Port::Held { who, pid: None } if self.alive().is_some() || !served.is_empty() => Finding::warning(
                "port",
                format!("{number} is held by {who}; this may be the instance, which runs"),
                "run it as root: sudo forerun doctor",
            ),
            Port::Held { who, pid: Some(1) } => Finding::warning(
                "port",
                format!("{number} is held by {who}; if a socket unit opened it, the service gets it from there"),
                "systemctl list-sockets",
            ),
            Port::Held { who, pid } => {
                let stop =
                    pid.map_or("stop it".to_owned(), |pid| format!("stop it (through its supervisor, or kill {pid})"));
                let mend = format!("{stop}; or choose another port");
                Finding::problem("port", format!("{number} is held by {who}"), mend)
            }
            Port::Closing => Finding::ok("port", format!("{number} is {}; a start waits for them", port::CLOSING)),
            Port::Unknown(why) => Finding::warning(
                "port",
                format!("cannot tell whether {number} is free: {why}"),
                "choose another port, or turn the guard off: --port 0",
            ),
        })
    }
}

/// The record of the service. An error says what is wrong with it.
fn read(service: &Service, root: &Path, owner: u32) -> Result<Option<Record>, String> {
    let Some(folder) = Folder::existing(root, &service.name, owner)? else { return Ok(None) };
    Record::look(&folder, &service.name).map_err(|e| {
        let untrusted = matches!(e, Unreadable::Untrusted(_));
        e.message(&folder) + if untrusted { "; remove it" } else { "" }
    })
}

/// The records of this service in other state folders, as far as they can be read.
fn elsewhere(service: &Service, units: &[Found], site: &Caller) -> Vec<Record> {
    let us = geteuid();
    let of_unit = |found: &Found| {
        let made = &found.marker()?.made;
        let uid = made.user.as_ref().and_then(|user| User::from_name(user).ok().flatten()).map_or(us, |user| user.uid);
        read(service, Path::new(made.state.as_ref()?), uid.as_raw()).ok()?
    };
    let mut all: Vec<Record> = units.iter().filter_map(of_unit).collect();
    if us.is_root() && state::chosen_root(site.environment, site.here).is_none() {
        // Another user may have a service of this name.
        let is_it = |record: &Record| match (&record.config, &service.config) {
            (Some(theirs), Some(ours)) => is_same_file(Path::new(&OsString::from(theirs)), ours),
            _ => false,
        };
        let records = homes().filter_map(|(root, account)| read(service, &root, account.uid).ok()?);
        all.extend(records.filter(is_it));
    }
    all
}

/// Whether a process is one of these or descends from one.
fn descends(pid: i32, from: &[i32]) -> bool {
    let mut process = sys::process(pid);
    while let Some(this) = process.filter(|process| process.pid > 1) {
        if from.contains(&this.pid) {
            return true;
        }
        process = sys::process(this.parent);
    }
    false
}
