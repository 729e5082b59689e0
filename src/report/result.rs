#![forbid(unsafe_code)]
//! Results on stdout: the ready lines, and what `forerun check` found.

use std::path::PathBuf;
use std::time::Duration;

use console::measure_text_width;
use serde_json::{Value, json};

use super::layout::{cut_middle, hang, headed, padded};
use crate::error::Error;
use crate::line::print_summary;
use crate::screen::{self, Screen};
use crate::text::{elapsed, one_line};

/// The ready lines: a server that was started or runs already.
pub struct Ready {
    pub name: String,
    pub url: Option<String>,
    pub pid: i32,
    /// Where it runs, if it ran before.
    pub already: Option<String>,
    /// The command that stops it, if it is known.
    pub stop: Option<String>,
    pub took: Duration,
    pub log: Option<PathBuf>,
    /// Health or the port was checked. Only then it is "ready".
    pub is_checked: bool,
    /// The unit of another service, if the server lives in its control group.
    pub lives_in: Option<String>,
}

impl Ready {
    fn text(&self) -> String {
        let name = &self.name;
        let url = self.url.as_ref().map(|url| format!(" at {}", one_line(url))).unwrap_or_default();
        let mut lines = match &self.already {
            Some(place) => format!("{name} is already running{url}\n  as    {place}\n"),
            None if self.is_checked => {
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
        if let Some(unit) = &self.lives_in {
            lines += &format!("  note  it lives in '{unit}', and ends when that is stopped\n");
        }
        lines
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "url": self.url.as_ref().map(one_line),
            "pid": self.pid,
            "already_running": self.already.is_some(),
            "checked": self.is_checked,
            "seconds": self.already.is_none().then_some(self.took.as_secs_f64()),
            "log": self.log.as_ref().map(|log| log.to_string_lossy()),
            "stop": self.stop,
            "lives_in": self.lives_in,
        })
    }
}

/// Prints the ready lines.
///
/// # Errors
/// When stdout cannot be written. The server runs all the same.
pub fn print_ready(ready: &Ready, json: bool) -> Result<(), Error> {
    print_summary(&headed(&screen::stdout(), &ready.text()), ready.json(), json).or_else(|e| {
        log::warn!("{e}; the server runs as pid {}", ready.pid);
        Ok(())
    })
}

/// One line of `forerun check`.
pub struct Checked<'a> {
    pub kind: &'static str,
    pub check: String,
    pub holds: bool,
    /// Why the last whole attempt failed.
    pub reason: String,
    pub attempts: u32,
    pub took: Duration,
    pub hint: Option<&'a str>,
    pub has_fix: bool,
}

/// The column where a check begins, and the width of the time behind it.
const KINDS: usize = 17;
const TOOK: usize = 8;
/// The least width of a check; cut further it would say nothing.
const LEAST_CHECK: usize = 40;

impl Checked<'_> {
    /// The reason why it does not hold, and what to do.
    fn failure(&self) -> String {
        if self.holds {
            return String::new();
        }
        let hint = self.hint.map(|hint| format!("; {}", one_line(hint))).unwrap_or_default();
        let fix = if self.has_fix { "; a start would run its fix" } else { "" };
        format!("  {}{hint}{fix}", self.reason)
    }
}

/// Prints what `forerun check` found.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_checks(name: &str, checked: &[Checked], json: bool) -> Result<(), Error> {
    let all = checked.iter().all(|c| c.holds);
    let value = json!({ "name": name, "ok": all, "checks": checked.iter().map(check_json).collect::<Vec<_>>() });
    print_summary(&checks_text(checked, &screen::stdout()), value, json)
}

/// A line for each check. The reason stands behind it, or below it if there is no room.
fn checks_text(checked: &[Checked], screen: &Screen) -> String {
    if checked.is_empty() {
        return "nothing to check\n".to_owned();
    }
    let longest = checked.iter().map(|c| measure_text_width(&c.check)).max().unwrap_or(0);
    let behind = KINDS + longest + TOOK;
    let is_wide = |c: &Checked| screen.width.is_none_or(|width| behind + measure_text_width(&c.failure()) <= width);
    let fits = checked.iter().all(is_wide);
    let room = screen.width.map_or(longest, |width| longest.min(width.saturating_sub(KINDS + TOOK)));
    let text = |c: &Checked| {
        let word = padded(&screen.word(if c.holds { "ok" } else { "FAILED" }), 6);
        let (kind, took, failure) = (c.kind, elapsed(c.took), c.failure());
        let below = |indent: usize| match failure.is_empty() {
            true => String::new(),
            false => hang(screen, &" ".repeat(indent), failure.trim_start()),
        };
        match (fits, room < LEAST_CHECK && room < longest) {
            (true, _) => format!("{word}  {kind:<7}  {}  {took:>6}{failure}\n", padded(&c.check, longest)),
            (_, false) => {
                let check = padded(&cut_middle(screen, &c.check, room), room);
                format!("{word}  {kind:<7}  {check}  {took:>6}\n{}", below(KINDS))
            }
            (_, true) => format!("{word}  {kind}, {took}\n{}{}", hang(screen, "  ", &c.check), below(2)),
        }
    };
    checked.iter().map(text).collect()
}

fn check_json(checked: &Checked) -> Value {
    json!({
        "kind": checked.kind,
        "check": checked.check,
        "ok": checked.holds,
        "attempts": checked.attempts,
        "seconds": checked.took.as_secs_f64(),
        "reason": (!checked.holds).then_some(&checked.reason),
        "hint": checked.hint,
        "has_fix": checked.has_fix,
    })
}
