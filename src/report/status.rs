#![forbid(unsafe_code)]
//! Prints `forerun status`: one instance as lines, all of them as a table, or either as JSON.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::layout::{hang, paragraph};
use super::table::{Column, table};
use crate::error::Error;
use crate::line::print_summary;
use crate::screen::{self, Screen};
use crate::text::{counted, elapsed, one_line, quoted};

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
    fn text(&self) -> String {
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
    fn runs(&self) -> bool {
        !matches!(self.condition, Condition::NotRunning | Condition::Unknown(_))
    }

    fn word(&self) -> &'static str {
        match self.condition {
            Condition::NotRunning => "not running",
            Condition::Starting => "starting",
            Condition::Running => "running",
            Condition::Stopping => "stopping",
            Condition::Unknown(_) => "unknown",
        }
    }

    fn health_word(&self) -> &'static str {
        match self.health {
            Health::Holds { .. } => "healthy",
            Health::Fails { .. } if self.condition == Condition::Starting => "-",
            Health::Fails { .. } => "unhealthy",
            Health::Unknown(_) => "unknown",
            Health::Runs | Health::Unchecked | Health::Asked(_) => "-",
        }
    }

    fn place(&self) -> String {
        match (&self.supervisor, &self.unit) {
            (Some(supervisor), Some(unit)) => format!("{supervisor} ({})", one_line(unit)),
            (Some(supervisor), None) => supervisor.clone(),
            (None, _) => self.mode.clone(),
        }
    }

    fn fds(&self) -> Option<String> {
        let (open, limit) = self.descriptors?;
        Some(limit.map_or(open.to_string(), |limit| format!("{open} of {limit}")))
    }

    fn text(&self, screen: &Screen) -> String {
        let mut head = vec![self.word().to_owned()];
        let mut lines: Vec<(&str, String)> = Vec::new();
        let mut line = |key, value: Option<String>| lines.extend(value.map(|value| (key, value)));
        match &self.health {
            Health::Holds { check } => {
                head.push("healthy".to_owned());
                line("health", Some(format!("{check} holds")));
            }
            Health::Fails { check, reason } if self.condition == Condition::Starting => {
                let most = self.health_timeout.map(|most| format!(", at most {}", elapsed(most))).unwrap_or_default();
                line("health", Some(format!("waiting for {check}{most}: {reason}")));
            }
            Health::Fails { check, reason } => {
                head.push("not healthy".to_owned());
                line("health", Some(format!("{check} does not hold: {reason}")));
            }
            Health::Unknown(why) => line("health", Some(format!("unknown: {why}"))),
            Health::Unchecked if self.user.is_some() => line("health", Some("only its user can check it".to_owned())),
            Health::Runs | Health::Unchecked | Health::Asked(_) => {}
        }
        if let Condition::Unknown(why) = &self.condition {
            line("reason", Some(why.clone()));
        }
        let runs = self.runs();
        let workers = match self.workers {
            0 => String::new(),
            count => format!(", {}", counted(count, "worker", "workers")),
        };
        line("user", self.user.as_ref().map(one_line));
        if runs {
            line("url", self.url.as_ref().map(one_line));
            let was = self.was.map(|was| format!(" (was {was})")).unwrap_or_default();
            line("pid", Some(format!("{}{was}{workers}", self.pid)));
            line("mode", Some(self.mode.clone()));
            line("under", self.supervisor.as_ref().map(|_| self.place()));
            line("uptime", self.uptime.map(uptime));
            line("fds", self.fds());
            line("watched", self.sidecar.map(|pid| format!("by the sidecar, pid {pid}")));
        } else if self.pid > 0 {
            let ended = self.ended.as_ref().map(|how| format!(", which {how}")).unwrap_or_default();
            line("was", Some(format!("pid {}, {}{ended}", self.pid, self.place())));
            for who in &self.serving {
                line("serves", Some(format!("{who}, of this instance; its main process is gone")));
            }
            for who in &self.background {
                line("left", Some(format!("{who}, which goes on without the server")));
            }
            let left = counted(self.workers, "process", "processes");
            let left = format!("{left} of it; to stop it: forerun stop {}", self.name);
            line("left", (self.workers > 0).then_some(left));
        }
        line("log", self.log.as_ref().map(one_line));
        let port = self.port.map(|port| port.to_string()).unwrap_or_default();
        line("port", self.stranger.as_ref().map(|who| format!("{port} is held by {who}, which is not of it")));
        for who in &self.escaped {
            line("left", Some(format!("{who}, for a session of its own")));
        }
        line("stop", self.stop.clone().filter(|_| runs && self.user.is_none()));
        let body: String = lines.iter().map(|(key, value)| hang(screen, &format!("  {key:<7} "), value)).collect();
        let head: Vec<_> = head.iter().map(|word| screen.word(word)).collect();
        paragraph(screen, &format!("{} is {}", self.name, head.join(", "))) + &body
    }

    fn json(&self) -> Value {
        let health = match &self.health {
            Health::Holds { check } => json!({ "check": check, "ok": true, "reason": null }),
            Health::Fails { check, reason } => json!({ "check": check, "ok": false, "reason": reason }),
            Health::Unknown(why) => json!({ "check": null, "ok": null, "reason": why }),
            Health::Runs | Health::Unchecked | Health::Asked(_) => Value::Null,
        };
        // A server whose health is asked for runs, whether it is still starting or not.
        let asked = matches!(self.health, Health::Holds { .. } | Health::Fails { .. });
        let runs = self.condition == Condition::Running || (self.condition == Condition::Starting && asked);
        json!({
            "name": self.name,
            "user": self.user,
            "state": self.word(),
            "reason": if let Condition::Unknown(why) = &self.condition { Some(why) } else { None },
            "running": runs,
            "healthy": match self.health {
                Health::Holds { .. } | Health::Runs => Some(true),
                Health::Fails { .. } if self.condition != Condition::Starting => Some(false),
                _ => None,
            },
            "health": health,
            "pid": (self.pid > 0).then_some(self.pid),
            "mode": self.mode,
            "supervisor": self.supervisor,
            "unit": self.unit,
            "uptime_seconds": self.uptime.map(|u| u.as_secs_f64()),
            "url": self.url.as_ref().map(one_line),
            "port": self.port,
            "port_held_by": self.stranger,
            "log": self.log.as_ref().map(|log| log.to_string_lossy()),
            "fds": self.descriptors.map(|(open, limit)| json!({ "open": open, "limit": limit })),
            "workers": self.workers,
            "was_pid": self.was,
            "ended": self.ended,
            "served_by": self.serving,
            "goes_on": self.background,
            "sidecar": self.sidecar,
            "left_alone": self.escaped,
            "stop": self.stop.as_ref().filter(|_| self.user.is_none()),
        })
    }
}

fn all_json(states: &[State]) -> Value {
    states.iter().map(State::json).collect()
}

/// Prints one instance. root may get several: other users may have an instance of that name.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_one(name: &str, states: &[State], scope: &Scope, json: bool) -> Result<(), Error> {
    let screen = screen::stdout();
    let value = match states {
        [] => json!({ "name": name, "state": "not running", "running": false }),
        [state] => state.json(),
        several => all_json(several),
    };
    let text = match states {
        [] => paragraph(&screen, &format!("{name} is {} ({})", screen.word("not running"), scope.text())),
        _ => states.iter().map(|state| state.text(&screen)).collect(),
    };
    print_summary(&text, value, json)
}

/// Prints all instances.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_all(states: &[State], scope: &Scope, json: bool) -> Result<(), Error> {
    print_summary(&all_text(states, scope, &screen::stdout()), all_json(states), json)
}

const fn column(title: &'static str, least: Option<usize>, out: Option<u8>) -> Column {
    Column { title, least, out }
}

/// The host and the port of a URL are never cut, nor is a short name of a supervisor.
const COLUMNS: [Column; 10] = [
    column("NAME", None, None),
    column("USER", Some(8), None),
    column("STATE", None, None),
    column("HEALTH", None, None),
    column("PID", None, None),
    column("UNDER", Some(8), Some(2)),
    column("UPTIME", None, Some(1)),
    column("WORKERS", None, Some(3)),
    column("FDS", None, Some(4)),
    column("URL", Some(22), None),
];
const USER: usize = 1;

fn all_text(states: &[State], scope: &Scope, screen: &Screen) -> String {
    if states.is_empty() {
        return paragraph(screen, &format!("no instance is running ({})", scope.text()));
    }
    let mut columns = COLUMNS.to_vec();
    let mut rows: Vec<_> = states.iter().map(row).collect();
    if states.iter().all(|state| state.user.is_none()) {
        columns.remove(USER);
        rows.iter_mut().for_each(|row| drop(row.remove(USER)));
    }
    table(screen, &columns, &rows) + &paragraph(screen, &scope.text())
}

fn row(state: &State) -> Vec<String> {
    let runs = state.runs();
    let row = [
        Some(state.name.clone()),
        state.user.clone(),
        Some(state.word().to_owned()),
        Some(state.health_word().to_owned()),
        runs.then(|| state.pid.to_string()),
        Some(state.place()).filter(|place| !place.is_empty()),
        state.uptime.map(uptime),
        runs.then(|| state.workers.to_string()),
        state.fds(),
        state.url.as_ref().map(one_line),
    ];
    row.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect()
}

/// A duration, to the second.
fn uptime(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}
