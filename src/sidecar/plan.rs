#![forbid(unsafe_code)]
//! The plan of a sidecar: what the forerun that starts it tells it.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::{HeaderName, HeaderValue};

use crate::check::{Check, Expectation, Identity, Method, Pace, Probe, Written};
use crate::instance::ending::Ending;
use crate::instance::family::Origin;
use crate::instance::record::OsText;
use crate::instance::watch::{Action, Watch};
use crate::supervisor::notify::Manager;
use crate::sys::Nofile;

/// The byte after a plan.
pub const END: u8 = 0;

/// Everything that a sidecar needs. The plan is sent through a socket, never on a command line, because headers may be
/// secrets.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    pub name: String,
    /// What proves that a process is of the instance.
    pub origin: Origin,
    /// The folder that holds the state folders of all services.
    pub state: Option<OsText>,
    pub port: Option<u16>,
    /// The host on which the port is guarded.
    pub host: Option<String>,
    pub grace: Duration,
    pub ending: Ending,
    /// The file in which the server names its main process.
    pub pid_file: Option<OsText>,
    pub directory: OsText,
    /// Descriptor limits of the server.
    pub nofile: Nofile,
    /// Descriptor limits of commands that checks run.
    pub checks_nofile: Nofile,
    /// Where the server says that it is ready, if the sidecar is the one that listens.
    pub hears: Option<OsText>,
    pub health: Option<Health>,
    /// What is tried once the server is healthy, if that is not the health check.
    pub watch_check: Option<Health>,
    pub watch: Watch,
    /// Whether to watch for leaks.
    pub watches: bool,
    /// The service manager, if the sidecar is the one that reports to it.
    pub manager: Option<Speaks>,
    pub ready_fd: Option<i32>,
    /// The server may be ended when it is unwell, because a supervisor restarts it.
    pub supervised: bool,
    pub verbose: u8,
}

/// The service manager to report to.
#[derive(Serialize, Deserialize)]
pub struct Speaks {
    address: OsText,
    watchdog: Option<Duration>,
    /// It is systemd, which knows WATCHDOG=trigger.
    pub is_systemd: bool,
    /// The unit whose NotifyAccess= must be queried, and whether it belongs to the user's own manager.
    pub unit: Option<(String, bool)>,
}

impl Speaks {
    pub fn new(manager: &Manager, is_systemd: bool, unit: Option<(String, bool)>) -> Self {
        let address = OsText::from(manager.address.as_os_str());
        Speaks { address, watchdog: manager.watchdog, is_systemd, unit }
    }

    pub fn manager(&self) -> Manager {
        Manager { address: OsString::from(&self.address), watchdog: self.watchdog }
    }
}

/// A health check in a form that can be serialised.
#[derive(Serialize, Deserialize)]
pub struct Health {
    check: OsText,
    timeout: Duration,
    statuses: Vec<RangeInclusive<u16>>,
    body: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    insecure: bool,
    authorities: Option<String>,
    identity: Option<Identity>,
    method: Method,
    pace: Pace,
    written: Written,
}

impl Health {
    pub fn of(probe: &Probe) -> Self {
        let Probe { check, timeout, expect, pace, written } = probe;
        let headers = expect.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        Health {
            check: OsText::from(check.spec().as_os_str()),
            timeout: *timeout,
            statuses: expect.statuses.clone(),
            body: expect.body.clone(),
            headers: headers.collect(),
            insecure: expect.insecure,
            authorities: expect.authorities.clone(),
            identity: expect.identity.clone(),
            method: expect.method,
            pace: *pace,
            written: written.clone(),
        }
    }

    /// The check that this was made from.
    ///
    /// # Errors
    /// When this was not made by [`Health::of`].
    pub fn probe(self) -> Result<Probe, String> {
        let header = |(name, bytes): (String, Vec<u8>)| {
            let mut value = HeaderValue::from_bytes(&bytes).map_err(|e| e.to_string())?;
            value.set_sensitive(true);
            Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?, value))
        };
        let headers = self.headers.into_iter().map(header).collect::<Result<_, String>>()?;
        let Health { check, timeout, statuses, body, insecure, authorities, identity, method, pace, written, .. } =
            self;
        let expect = Expectation { statuses, body, headers, insecure, authorities, identity, method };
        Ok(Probe { check: Check::parse(&OsString::from(&check))?, timeout, expect, pace, written })
    }
}

impl Plan {
    /// Whether the sidecar reports to systemd.
    pub fn is_under_systemd(&self) -> bool {
        self.manager.as_ref().is_some_and(|speaks| speaks.is_systemd)
    }

    /// Whether an unhealthy server is to be restarted.
    pub fn restarts_the_unhealthy(&self) -> bool {
        self.watch.on_unhealthy == Action::Restart
    }

    /// Whether a server that leaks is to be restarted.
    pub fn restarts_what_leaks(&self) -> bool {
        self.watch.on_leak == Action::Restart
    }

    /// Reads a plan to its end.
    ///
    /// # Errors
    /// Those of the stream, and when the content is not a plan.
    pub fn read(stream: impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        BufReader::new(stream).read_until(END, &mut bytes)?;
        Ok(serde_json::from_slice(bytes.strip_suffix(&[END]).unwrap_or(&bytes))?)
    }
}
