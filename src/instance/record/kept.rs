#![forbid(unsafe_code)]
//! The record of an instance: which process it is, how it was launched, and what a restart needs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::end::Ended;
use super::super::ending::Ending;
use super::super::identity::{Identity, Life};
use super::super::origin::Origin;
use super::super::os_text::OsText;
use super::super::ready::Readiness;
use crate::sys::{Host, Seen};

/// How far an instance has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// forerun is starting it. `process` is forerun itself until there is a server.
    Starting,
    Running,
    /// It was told to end. If it still runs, the forerun that told it was killed meanwhile.
    Stopping,
}

/// The forerun that stops an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stopper {
    pub process: Identity,
    /// The first signal went out.
    pub told: bool,
}

/// Everything that is recorded of an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub name: String,
    pub phase: Phase,
    pub process: Identity,
    /// The forerun that carries out the start. Absent in the oldest records.
    #[serde(default)]
    pub starter: Option<Identity>,
    /// The sidecar, if there is one.
    #[serde(default)]
    pub sidecar: Option<Identity>,
    /// The pid of the main process before this one, if the server handed over.
    #[serde(default)]
    pub was: Option<i32>,
    /// The pid of the process that was launched. The server may have handed over since.
    #[serde(default)]
    pub first: i32,
    /// The start time of the launch. It is later than that of the process where that executed forerun.
    #[serde(default)]
    pub launched: u64,
    /// The children that the process had before the launch.
    #[serde(default, rename = "before")]
    pub earlier_children: Vec<Seen>,
    /// What was seen when the server became ready.
    #[serde(default)]
    pub ready: Option<Readiness>,
    /// By this the system finds how the process ended, or 0.
    #[serde(default)]
    pub trace: u64,
    /// How the process ended, once that is known.
    #[serde(default)]
    pub ended: Option<Ended>,
    /// The control group that forerun made for the instance.
    #[serde(default)]
    pub own_group: Option<String>,
    /// The host on which the port is guarded.
    #[serde(default)]
    pub host: Option<String>,
    /// The socket of the port was handed to the service (socket activation).
    #[serde(default)]
    pub is_activated: bool,
    pub session: i32,
    pub group: i32,
    pub cookie: String,
    pub mode: String,
    /// The supervisor that was recognised.
    pub supervisor: Option<String>,
    /// The path of the control group. Under systemd it contains the unit's name.
    pub cgroup: Option<String>,
    pub config: Option<OsText>,
    pub command: Vec<OsText>,
    /// The server's executable.
    #[serde(default)]
    pub executable: Option<OsText>,
    pub cwd: OsText,
    pub port: Option<u16>,
    pub url: Option<String>,
    pub log: Option<OsText>,
    /// The file in which the server names its main process.
    #[serde(default)]
    pub pid_file: Option<OsText>,
    /// How it is told to end.
    #[serde(default)]
    pub ending: Ending,
    /// Who tells it to end, in the phase for that. Absent where the decision needs no witness.
    #[serde(default)]
    pub stopper: Option<Stopper>,
    /// How long the server may take to stop.
    #[serde(default = "default_grace")]
    pub grace: Duration,
    /// forerun's own arguments, working directory and environment, so that a restart can repeat the start.
    pub arguments: Vec<OsText>,
    pub called_in: OsText,
    pub environment: Vec<OsText>,
    /// The instance has ended: the environment is gone, and so are the values of these variables of --env.
    #[serde(default)]
    pub is_spent: bool,
    #[serde(default)]
    pub dropped: Vec<OsText>,
}

impl Record {
    pub const VERSION: u32 = 1;

    /// The record of this instance after it was told to end, or once nothing but its end is left.
    pub fn told_to_end(&self) -> Self {
        Record { phase: Phase::Stopping, starter: None, stopper: None, ..self.clone() }
    }

    /// Whether it was told to end. A forerun that was killed before its first signal told nobody.
    pub fn was_told_to_end(&self) -> bool {
        self.phase == Phase::Stopping && self.stopper.as_ref().is_none_or(|stopper| stopper.told)
    }

    /// Whether it was told to end, or is about to be.
    pub fn is_stopping(&self, here: &Host) -> bool {
        let by = self.stopper.as_ref().map(|stopper| &stopper.process);
        self.was_told_to_end() || (self.phase == Phase::Stopping && by.is_some_and(|p| p.life(here) == Life::Alive))
    }
}

impl Origin {
    /// What a record tells.
    pub fn of(record: &Record) -> Self {
        let ready = record.ready.as_ref();
        Origin {
            main: (&record.process).into(),
            session: record.session,
            launched: record.launched,
            cookie: record.cookie.clone(),
            earlier_children: record.earlier_children.clone(),
            launcher: None,
            stack: ready.map_or(0, |ready| ready.stack),
            noted: ready.map(|ready| ready.noted.clone()).unwrap_or_default(),
            sockets: ready.map(|ready| ready.sockets.clone()).unwrap_or_default(),
            led_session: record.first == record.session,
            process_group: record.group,
            sidecar: record.sidecar.as_ref().map(Seen::from),
            group: record.own_group.clone(),
        }
    }
}

fn default_grace() -> Duration {
    Duration::from_secs(10)
}
