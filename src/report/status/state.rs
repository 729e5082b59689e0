#![forbid(unsafe_code)]
//! What `status` shows of an instance, and the words for it.

use std::path::PathBuf;
use std::time::Duration;

use crate::text::{one_line, quoted};

/// The state of an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    NotRunning,
    Starting,
    Running,
    Stopping,
    /// It cannot be told. The text says why.
    Unknown(String),
}

/// The health of an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// It was not checked.
    Unchecked,
    /// The check that is running.
    Asked(String),
    /// The server runs, and there is no check.
    Runs,
    Holds {
        check: String,
    },
    Fails {
        check: String,
        reason: String,
    },
    /// The check is not known any more. The text says why.
    Unknown(String),
}

/// Everything that `status` shows of an instance.
#[derive(Debug)]
pub struct State {
    pub name: String,
    /// Its user, if that is somebody else.
    pub user: Option<String>,
    pub condition: Condition,
    /// It ended by itself and is not expected back.
    pub is_history: bool,
    pub health: Health,
    /// Its health timeout, if its health was checked.
    pub health_timeout: Option<Duration>,
    pub pid: i32,
    pub mode: String,
    pub supervisor: Option<String>,
    pub unit: Option<String>,
    pub uptime: Option<Duration>,
    pub url: Option<String>,
    pub port: Option<u16>,
    pub log: Option<PathBuf>,
    /// The number of open descriptors, and the soft limit.
    pub descriptors: Option<(u64, Option<u64>)>,
    /// The number of its processes without the main process.
    pub workers: usize,
    /// The pid of its main process before it handed over.
    pub was: Option<i32>,
    /// How its main process ended.
    pub ended: Option<String>,
    /// Processes of it that have the port, though its main process has ended.
    pub serving: Vec<String>,
    /// Processes of it that go on without its main process and have nothing to do with the port.
    pub background: Vec<String>,
    /// The pid of its sidecar.
    pub sidecar: Option<i32>,
    /// Processes that left for a session of their own.
    pub escaped: Vec<String>,
    /// Who else listens on its port.
    pub stranger: Option<String>,
    /// The command that stops it.
    pub stop: Option<String>,
}

/// Whose instances were listed.
pub enum Scope {
    /// Those of FORERUN_STATE_DIR.
    Folder(PathBuf),
    /// Those of the user who asks.
    User,
    Everybody,
}

impl Scope {
    /// The scope, as the end of a list.
    pub fn text(&self) -> String {
        match self {
            Scope::Folder(folder) => format!("instances in {}", quoted(folder)),
            Scope::User => "your instances; root sees everyone's".to_owned(),
            Scope::Everybody => "instances of all users".to_owned(),
        }
    }
}

impl State {
    /// An instance whose state cannot be told.
    pub fn broken(name: &str, user: Option<String>, why: String) -> Self {
        State {
            name: name.to_owned(),
            user,
            condition: Condition::Unknown(why),
            is_history: false,
            health: Health::Unchecked,
            health_timeout: None,
            pid: 0,
            mode: String::new(),
            supervisor: None,
            unit: None,
            uptime: None,
            url: None,
            port: None,
            log: None,
            descriptors: None,
            workers: 0,
            was: None,
            ended: None,
            serving: Vec::new(),
            background: Vec::new(),
            sidecar: None,
            escaped: Vec::new(),
            stranger: None,
            stop: None,
        }
    }

    /// Whether it runs and no check fails.
    pub fn is_good(&self) -> bool {
        self.condition == Condition::Running && !matches!(self.health, Health::Fails { .. } | Health::Unknown(_))
    }

    /// Whether its process exists.
    pub fn runs(&self) -> bool {
        !matches!(self.condition, Condition::NotRunning | Condition::Unknown(_))
    }

    pub fn word(&self) -> &'static str {
        match self.condition {
            Condition::NotRunning => "not running",
            Condition::Starting => "starting",
            Condition::Running => "running",
            Condition::Stopping => "stopping",
            Condition::Unknown(_) => "unknown",
        }
    }

    pub fn health_word(&self) -> &'static str {
        match self.health {
            Health::Holds { .. } => "healthy",
            Health::Fails { .. } if self.condition == Condition::Starting => "-",
            Health::Fails { .. } => "unhealthy",
            Health::Unknown(_) => "unknown",
            Health::Runs | Health::Unchecked | Health::Asked(_) => "-",
        }
    }

    pub fn place(&self) -> String {
        match (&self.supervisor, &self.unit) {
            (Some(supervisor), Some(unit)) => format!("{supervisor} ({})", one_line(unit)),
            (Some(supervisor), None) => supervisor.clone(),
            (None, _) => self.mode.clone(),
        }
    }

    pub fn fds(&self) -> Option<String> {
        let (open, limit) = self.descriptors?;
        Some(limit.map_or(open.to_string(), |limit| format!("{open} of {limit}")))
    }
}
