#![forbid(unsafe_code)]
//! Results on stdout: the ready lines, and what `forerun check` found.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::line::print_summary;
use crate::check::run::Progress;
use crate::error::Error;
use crate::instance::supervisor::unit_of_cgroup;
use crate::service::Service;
use crate::sys;
use crate::text::{elapsed, one_line};

/// A server that is ready.
pub struct Ready<'a> {
    pub service: &'a Service,
    pub pid: i32,
    /// Where it runs, when it ran before.
    pub already: Option<String>,
    /// What to type to stop it, where that is known.
    pub stop: Option<String>,
    pub took: Duration,
    /// Whether health or the port was waited for. Nothing else says "ready".
    pub checked: bool,
    pub log: Option<PathBuf>,
}

impl<'a> Ready<'a> {
    pub fn new(service: &'a Service, pid: i32) -> Self {
        let stop = Some(format!("forerun stop {}", service.name));
        Ready { service, pid, already: None, stop, took: Duration::ZERO, checked: true, log: None }
    }

    fn text(&self) -> String {
        let name = &self.service.name;
        let url = self.service.url.as_ref().map(|url| format!(" at {}", one_line(url))).unwrap_or_default();
        let mut lines = match &self.already {
            Some(place) => format!("{name} is already running{url}\n  as    {place}\n"),
            None if self.checked => {
                format!("{name} is ready{url}\n  pid   {}, after {}\n", self.pid, elapsed(self.took))
            }
            None => format!(
                "{name} is started; nothing was checked: give --health or --port\n  pid   {}, after {}\n",
                self.pid,
                elapsed(self.took)
            ),
        };
        if let Some(log) = &self.log {
            lines += &format!("  log   {}\n", one_line(log));
        }
        if let Some(stop) = &self.stop {
            lines += &format!("  stop  {stop}\n");
        }
        if let Some(unit) = self.foreign_unit() {
            lines += &format!("  note  it lives in '{unit}', and ends when that is stopped\n");
        }
        lines
    }

    /// The service whose control group a detached server shares.
    fn foreign_unit(&self) -> Option<String> {
        let unit = || sys::cgroup().and_then(|path| unit_of_cgroup(&path).map(one_line));
        if self.already.is_none() { unit() } else { None }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.service.name,
            "url": self.service.url.as_ref().map(one_line),
            "pid": self.pid,
            "already_running": self.already.is_some(),
            "checked": self.checked,
            "seconds": self.already.is_none().then_some(self.took.as_secs_f64()),
            "log": self.log.as_ref().map(|log| log.to_string_lossy()),
            "stop": self.stop,
            "lives_in": self.foreign_unit(),
        })
    }
}

/// Prints the ready lines.
///
/// # Errors
/// When stdout cannot be written. The server runs all the same.
pub fn print_ready(ready: &Ready, json: bool) -> Result<(), Error> {
    print_summary(&ready.text(), &ready.json(), json).or_else(|e| {
        log::warn!("{e}; the server runs as pid {}", ready.pid);
        Ok(())
    })
}

/// One line of `forerun check`.
pub struct Checked<'a> {
    pub kind: &'static str,
    pub check: String,
    pub progress: &'a Progress,
    pub hint: Option<&'a str>,
    pub has_fix: bool,
}

/// Prints what `forerun check` found.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_checks(name: &str, checked: &[Checked], json: bool) -> Result<(), Error> {
    let all = checked.iter().all(|c| c.progress.holds());
    let value = json!({ "name": name, "ok": all, "checks": checked.iter().map(check_json).collect::<Vec<_>>() });
    let width = checked.iter().map(|c| c.check.chars().count()).max().unwrap_or(0);
    let lines = checked.iter().map(|c| {
        let (word, reason) = match c.progress.holds() {
            true => ("ok", String::new()),
            false => ("FAILED", format!("  {}", c.progress.reason)),
        };
        let hint = c.hint.filter(|_| !c.progress.holds()).map(|hint| format!("; {}", one_line(hint)));
        let fix = if c.has_fix && !c.progress.holds() { "; a start would run its fix" } else { "" };
        let pad = " ".repeat(width - c.check.chars().count());
        let took = elapsed(c.progress.took());
        format!("{word:<6}  {:<7}  {}{pad}  {took:>6}{reason}{}{fix}\n", c.kind, c.check, hint.unwrap_or_default())
    });
    let text: String = lines.collect();
    print_summary(if text.is_empty() { "nothing to check\n" } else { &text }, &value, json)
}

fn check_json(checked: &Checked) -> Value {
    let progress = checked.progress;
    json!({
        "kind": checked.kind,
        "check": checked.check,
        "ok": progress.holds(),
        "attempts": progress.attempts,
        "seconds": progress.took().as_secs_f64(),
        "reason": (!progress.holds()).then_some(&progress.reason),
        "hint": checked.hint,
        "has_fix": checked.has_fix,
    })
}
