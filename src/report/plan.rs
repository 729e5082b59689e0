#![forbid(unsafe_code)]
//! Shows `--dry-run`: what a start would do.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use super::layout::hang;
use crate::line::document;
use crate::screen::Screen;
use crate::service::Service;
use crate::service::trust::{Doubt, Trust};
use crate::supervisor::decide::{Decision, Mode};
use crate::text::{elapsed, one_line, shell_words};

/// Everything that a dry run shows.
pub struct Plan<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    pub trust: &'a Trust,
    /// The path of the command, or why it was not found.
    pub executable: Result<PathBuf, String>,
    pub nofile: Option<crate::sys::Nofile>,
    pub log: Option<PathBuf>,
    /// The tasks of the sidecar.
    pub sidecar: Vec<&'static str>,
}

impl Plan<'_> {
    pub fn text(&self, screen: &Screen) -> String {
        let Plan { service, decision, trust, .. } = self;
        let mut out = String::new();
        let mut line = |key: &str, value: String| out += &hang(screen, &format!("{key:<8}  "), &value);
        line("mode", format!("{}: {}", decision.mode, decision.reason));
        line("name", service.name.clone());
        if let Some(config) = &service.config {
            line("config", one_line(config));
        }
        line("cwd", one_line(&service.directory));
        line("command", shell_words(&service.command));
        match &self.executable {
            Ok(path) => line("runs", one_line(path)),
            Err(reason) => line("runs", format!("nothing: {reason}")),
        }
        let names: Vec<OsString> = service.variables.names().map(OsString::from).collect();
        if !names.is_empty() {
            line("sets", shell_words(&names));
        }
        for requirement in &service.requirements {
            let fix = requirement.fix.as_ref().map(|f| format!("  (fix: {})", one_line(&f.script)));
            line("require", format!("{}{}", requirement.probe.check, fix.unwrap_or_default()));
        }
        for wait in &service.waits {
            line("wait", format!("{}  at most {}", wait.probe.check, elapsed(wait.probe.timeout)));
        }
        if let Some(health) = &service.health {
            line("health", format!("{}  at most {}", health.probe.check, elapsed(health.probe.timeout)));
        }
        if let Some(port) = service.port {
            line("port", port.to_string());
        }
        if let Some(url) = &service.url {
            line("url", one_line(url));
        }
        if let Some(nofile) = self.nofile {
            line("nofile", format!("{}:{}", nofile.soft, nofile.hard));
        }
        if let Some(log) = self.log.as_ref().filter(|_| decision.mode == Mode::Detached) {
            line("log", one_line(log));
        }
        if !self.sidecar.is_empty() {
            line("sidecar", self.sidecar.join(", "));
        }
        trust.refused.iter().for_each(|doubt| line("refused", doubt.line()));
        trust.foreign.iter().for_each(|doubt| line("warning", doubt.line()));
        out
    }

    pub fn json(&self) -> String {
        let Plan { service, decision, .. } = self;
        let lossy = |s: &OsString| s.to_string_lossy().into_owned();
        let timed = |probe: &crate::check::Probe| json!({ "check": probe.check.to_string(), "timeout_seconds": probe.timeout.as_secs_f64() });
        document(json!({
            "mode": decision.mode.to_string(),
            "reason": decision.reason,
            "supervisor": decision.recognised.map(|known| known.word()),
            "name": service.name,
            "config": service.config.as_ref().map(|c| c.to_string_lossy()),
            "cwd": service.directory.to_string_lossy(),
            "command": service.command.iter().map(lossy).collect::<Vec<_>>(),
            "executable": self.executable.as_ref().ok().map(|p| p.to_string_lossy()),
            "require": service.requirements.iter().map(|r| r.probe.check.to_string()).collect::<Vec<_>>(),
            "wait": service.waits.iter().map(|w| timed(&w.probe)).collect::<Vec<_>>(),
            "health": service.health.as_ref().map(|h| timed(&h.probe)),
            "port": service.port,
            "url": service.url.as_ref().map(one_line),
            "nofile": self.nofile.map(|n| [n.soft, n.hard]),
            "log": self.log.as_ref().map(|l| l.to_string_lossy()),
            "sidecar": self.sidecar,
            "refused": self.trust.refused.iter().map(Doubt::line).collect::<Vec<_>>(),
        }))
    }
}
