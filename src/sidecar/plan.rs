#![forbid(unsafe_code)]
//! What a sidecar is told, by the forerun that starts it.

use std::ffi::OsString;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::{HeaderName, HeaderValue};

use crate::check::{Check, Expectation, Probe};
use crate::instance::members::Marks;
use crate::instance::record::Text;
use crate::report::notify::Manager;
use crate::service::Watch;
use crate::sys::{Nofile, Process};

/// Everything that it needs. It travels through a socket, never on a command line: headers are secrets.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    pub name: String,
    /// The server, as it is before it is executed.
    pub main: Process,
    pub cookie: String,
    /// Where the folders of all services are.
    pub state: Option<Text>,
    pub port: Option<u16>,
    /// The host that the port is guarded on.
    pub host: Option<String>,
    pub grace: Duration,
    pub directory: Text,
    /// The limits that the server has, and those that checks have.
    pub nofile: Nofile,
    pub checks_nofile: Nofile,
    pub health: Option<Health>,
    pub watch: Watch,
    /// Leaks are watched, too.
    pub watches: bool,
    /// The service manager, where we are the one who speaks to it.
    pub manager: Option<Speaks>,
    pub ready_fd: Option<i32>,
    /// What is not well may be ended: a supervisor starts it again.
    pub supervised: bool,
    pub verbose: u8,
    pub quiet: bool,
}

/// A service manager.
#[derive(Serialize, Deserialize)]
pub struct Speaks {
    address: Text,
    watchdog: Option<Duration>,
    /// It is systemd, and knows WATCHDOG=trigger.
    pub is_systemd: bool,
    /// The unit, where it has to be asked about, and whether it is of the user's own manager.
    pub unit: Option<(String, bool)>,
}

impl Speaks {
    pub fn new(manager: &Manager, is_systemd: bool, unit: Option<(String, bool)>) -> Self {
        let address = Text::from(manager.address.as_os_str());
        Speaks { address, watchdog: manager.watchdog, is_systemd, unit }
    }

    pub fn manager(&self) -> Manager {
        Manager { address: OsString::from(&self.address), watchdog: self.watchdog }
    }
}

/// A health check.
#[derive(Serialize, Deserialize)]
pub struct Health {
    check: Text,
    timeout: Duration,
    statuses: Vec<RangeInclusive<u16>>,
    body: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    insecure: bool,
}

impl Health {
    pub fn of(probe: &Probe) -> Self {
        let Probe { check, timeout, expect } = probe;
        let headers = expect.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        Health {
            check: Text::from(check.spec().as_os_str()),
            timeout: *timeout,
            statuses: expect.statuses.clone(),
            body: expect.body.clone(),
            headers: headers.collect(),
            insecure: expect.insecure,
        }
    }

    /// The check that it was made of.
    ///
    /// # Errors
    /// When it is none that we made.
    pub fn probe(self) -> Result<Probe, String> {
        let header = |(name, bytes): (String, Vec<u8>)| {
            let mut value = HeaderValue::from_bytes(&bytes).map_err(|e| e.to_string())?;
            value.set_sensitive(true);
            Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?, value))
        };
        let headers = self.headers.into_iter().map(header).collect::<Result<_, String>>()?;
        let expect = Expectation { statuses: self.statuses, body: self.body, headers, insecure: self.insecure };
        Ok(Probe { check: Check::parse(&OsString::from(&self.check))?, timeout: self.timeout, expect })
    }
}

impl Plan {
    /// Reads a plan to its end.
    ///
    /// # Errors
    /// Those of the stream; when it is none.
    pub fn read(mut stream: impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// By what the processes of the instance are told.
    pub fn marks(&self, executable: Option<std::path::PathBuf>) -> Marks {
        Marks { main: self.main, cookie: self.cookie.clone(), former: Vec::new(), executable, port: self.port }
    }
}
