#![forbid(unsafe_code)]
//! Shows `--dry-run`: what a start would do.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::layout::hang;
use crate::line::document;
use crate::screen::Screen;
use crate::text::{elapsed, one_line, shell_words};

/// Everything that a dry run shows.
pub struct Plan {
    pub mode: String,
    /// Why it is that mode.
    pub reason: String,
    /// The supervisor that was recognised, by its word.
    pub supervisor: Option<&'static str>,
    pub name: String,
    pub config: Option<PathBuf>,
    pub cwd: PathBuf,
    pub command: Vec<OsString>,
    /// The path of the command, or why it was not found.
    pub executable: Result<PathBuf, String>,
    /// The names of variables that the service sets.
    pub sets: Vec<OsString>,
    /// Each requirement, and its fix.
    pub requirements: Vec<(String, Option<OsString>)>,
    pub waits: Vec<Timed>,
    pub before: Vec<Step>,
    pub health: Option<Timed>,
    /// The check of the watchdog, if that is another one.
    pub watch: Option<String>,
    pub port: Option<u16>,
    pub url: Option<String>,
    /// Limits of open descriptors: soft, hard.
    pub nofile: Option<[u64; 2]>,
    pub log: Option<PathBuf>,
    /// The server writes to that log.
    pub is_logged: bool,
    /// The tasks of the sidecar.
    pub sidecar: Vec<&'static str>,
    /// What a start would refuse, and what it would warn of, a line each.
    pub refused: Vec<String>,
    pub warnings: Vec<String>,
}

/// A check, and how long it may take.
pub struct Timed {
    pub check: String,
    pub timeout: Duration,
}

/// A step before the server.
pub struct Step {
    pub run: OsString,
    pub timeout: Duration,
    pub is_permanent: bool,
}

impl Step {
    fn text(&self) -> String {
        let permanent = if self.is_permanent { ", permanent" } else { "" };
        format!("{}  at most {}{permanent}", one_line(&self.run), elapsed(self.timeout))
    }

    fn json(&self) -> Value {
        json!({
            "run": self.run.to_string_lossy(),
            "timeout_seconds": self.timeout.as_secs_f64(),
            "permanent": self.is_permanent,
        })
    }
}

impl Timed {
    fn text(&self) -> String {
        format!("{}  at most {}", self.check, elapsed(self.timeout))
    }

    fn json(&self) -> Value {
        json!({ "check": self.check, "timeout_seconds": self.timeout.as_secs_f64() })
    }
}

impl Plan {
    /// The plan as lines of a word and a value.
    pub fn text(&self, screen: &Screen) -> String {
        let mut out = String::new();
        let mut line = |key: &str, value: String| out += &hang(screen, &format!("{key:<8}  "), &value);
        line("mode", format!("{}: {}", self.mode, self.reason));
        line("name", self.name.clone());
        if let Some(config) = &self.config {
            line("config", one_line(config));
        }
        line("cwd", one_line(&self.cwd));
        line("command", shell_words(&self.command));
        match &self.executable {
            Ok(path) => line("runs", one_line(path)),
            Err(reason) => line("runs", format!("nothing: {reason}")),
        }
        if !self.sets.is_empty() {
            line("sets", shell_words(&self.sets));
        }
        for (check, fix) in &self.requirements {
            let fix = fix.as_ref().map(|script| format!("  (fix: {})", one_line(script)));
            line("require", format!("{check}{}", fix.unwrap_or_default()));
        }
        self.waits.iter().for_each(|wait| line("wait", wait.text()));
        self.before.iter().for_each(|step| line("before", step.text()));
        self.health.iter().for_each(|health| line("health", health.text()));
        self.watch.iter().for_each(|watch| line("watch", watch.clone()));
        if let Some(port) = self.port {
            line("port", port.to_string());
        }
        if let Some(url) = &self.url {
            line("url", one_line(url));
        }
        if let Some([soft, hard]) = self.nofile {
            line("nofile", format!("{soft}:{hard}"));
        }
        if let Some(log) = self.log.as_ref().filter(|_| self.is_logged) {
            line("log", one_line(log));
        }
        if !self.sidecar.is_empty() {
            line("sidecar", self.sidecar.join(", "));
        }
        self.refused.iter().for_each(|refused| line("refused", refused.clone()));
        self.warnings.iter().for_each(|warning| line("warning", warning.clone()));
        out
    }

    /// The plan as a JSON document.
    pub fn json(&self) -> String {
        let lossy = |s: &OsString| s.to_string_lossy().into_owned();
        document(json!({
            "mode": self.mode,
            "reason": self.reason,
            "supervisor": self.supervisor,
            "name": self.name,
            "config": self.config.as_ref().map(|c| c.to_string_lossy()),
            "cwd": self.cwd.to_string_lossy(),
            "command": self.command.iter().map(lossy).collect::<Vec<_>>(),
            "executable": self.executable.as_ref().ok().map(|p| p.to_string_lossy()),
            "require": self.requirements.iter().map(|(check, _)| check).collect::<Vec<_>>(),
            "wait": self.waits.iter().map(Timed::json).collect::<Vec<_>>(),
            "before": self.before.iter().map(Step::json).collect::<Vec<_>>(),
            "health": self.health.as_ref().map(Timed::json),
            "watch": self.watch,
            "port": self.port,
            "url": self.url.as_ref().map(one_line),
            "nofile": self.nofile,
            "log": self.log.as_ref().map(|l| l.to_string_lossy()),
            "sidecar": self.sidecar,
            "refused": self.refused,
        }))
    }
}
