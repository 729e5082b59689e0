#![forbid(unsafe_code)]
//! Controls runit through sv(8).

use std::time::Duration;

use super::Runit;
use crate::error::Error;
use crate::supervisor::ask::{Argv, argv};
use crate::supervisor::units::spec::whole_seconds;
use crate::supervisor::units::{Control, Runs, Unit, UnitStatus};
use crate::text::{quoted, shell_words};

/// runsvdir looks for new services every five seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(100);
/// The text with which sv reports that only root may ask.
const DENIED: &str = "access denied";

impl Control for Runit {
    fn program(&self) -> &'static str {
        "sv"
    }

    fn start_commands(&self, unit: &Unit, restart: bool) -> Vec<Argv> {
        let (link, scanned) = unit.link();
        let start = if restart { forced(unit, "force-restart", &scanned) } else { sv(&["up"], &scanned) };
        link.into_iter().chain([start]).collect()
    }

    fn start(&self, unit: &Unit, changed: bool) -> Result<(), Error> {
        let before = self.status(unit)?;
        let restart = changed && matches!(before.runs, Runs::Yes(_) | Runs::Later(_));
        let Some(start) = self.start_commands(unit, restart).pop() else { return Ok(()) };
        unit.make_link()?;
        unit.poll(PATIENCE, INTERVAL, || Ok(is_supervised(unit)?.then_some(())))?
            .ok_or_else(|| unit.not_scanned("runsvdir"))?;
        if !restart {
            return unit.order(&start);
        }
        unit.say(&start);
        // sv reports an error if it had to kill the server; for us that is fine. sv also takes a server that started within
        // the same second for a new one.
        let ended = unit.poll(PATIENCE, INTERVAL, || {
            unit.attempt(&start)?;
            Ok((self.status(unit)?.runs != before.runs).then_some(()))
        })?;
        ended.ok_or_else(|| {
            let look = shell_words(&sv(&["status"], &unit.asked()));
            Error::NotReady(format!("{} does not end; see: {look}", quoted(unit.name)))
        })
    }

    fn status(&self, unit: &Unit) -> Result<UnitStatus, Error> {
        let folder = unit.asked();
        let answer = unit.ask(&sv(&["status"], &folder))?;
        if answer.out.contains(DENIED) {
            return Err(unit.failed("sv status", &answer));
        }
        let said = answer.out.trim().to_owned();
        // The name of the folder may look like any part of the line.
        let (state, rest) = said.split_once(&format!(": {folder}: ")).unwrap_or((&said, ""));
        let pid = rest.strip_prefix("(pid ").and_then(|rest| rest.split(')').next()?.parse().ok());
        let enabled = unit.scanned().is_some();
        let runs = match (state, pid) {
            ("run", Some(pid)) => Runs::Yes(pid),
            ("finish", _) => Runs::Later(format!("{state}: {rest}")),
            ("down", _) if rest.contains("want up") => Runs::Later(format!("{state}: {rest}")),
            _ if !enabled => Runs::No("not linked".to_owned()),
            _ => Runs::No(said),
        };
        Ok(UnitStatus::of(enabled, runs))
    }

    fn stop(&self, unit: &Unit) -> Result<(), Error> {
        let folder = unit.path.unit.to_string_lossy().into_owned();
        unit.take_away(&forced(unit, "force-shutdown", &folder), || {
            let said = unit.ask(&sv(&["status"], &unit.asked()))?.out;
            // What left the service may have its output, and then the log service, which runsv waits for, sees no end.
            if said.starts_with("down:") {
                unit.attempt(&sv(&["term"], &format!("{folder}/log")))?;
            }
            is_supervised(unit)
        })
    }

    fn keeps(&self) -> &'static [&'static str] {
        &["supervise", "log/supervise"]
    }

    fn could_start(&self, unit: &Unit) -> Result<(), Error> {
        unit.link_is_free()
    }
}

/// Whether a runsv supervises the folder. Without one, `sv status` prints `fail:` or `warning:`.
fn is_supervised(unit: &Unit) -> Result<bool, Error> {
    let said = unit.ask(&sv(&["status"], &unit.asked()))?.out;
    Ok(["run:", "down:", "finish:"].iter().any(|state| said.starts_with(state)))
}

/// A command that sends SIGKILL after the grace. runit has no setting for the grace.
fn forced(unit: &Unit, word: &str, folder: &str) -> Argv {
    sv(&["-w", &whole_seconds(unit.grace).to_string(), word], folder)
}

fn sv(words: &[&str], folder: &str) -> Argv {
    argv(["sv"].iter().chain(words).chain([&folder]))
}
