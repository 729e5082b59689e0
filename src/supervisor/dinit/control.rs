#![forbid(unsafe_code)]
//! Controls dinit through dinitctl(8).

use super::Dinit;
use crate::error::Error;
use crate::supervisor::ask::{Argv, argv};
use crate::supervisor::units::{Control, Runs, Scope, Unit, UnitStatus};

impl Control for Dinit {
    fn program(&self) -> &'static str {
        "dinitctl"
    }

    fn start_commands(&self, unit: &Unit, restart: bool) -> Vec<Argv> {
        // A service that runs keeps the description that it was started with.
        let again = [dinitctl(unit, &["stop", unit.name]), dinitctl(unit, &["reload", unit.name])];
        let again = again.into_iter().filter(|_| restart);
        again.chain(enable(unit)).chain([dinitctl(unit, &["start", unit.name])]).collect()
    }

    fn start(&self, unit: &Unit, changed: bool) -> Result<(), Error> {
        let loaded = describe(unit)?;
        let runs = loaded.as_deref().is_some_and(|said| state(said) != "STOPPED");
        let mut commands = Vec::new();
        if changed && runs {
            commands.push(dinitctl(unit, &["stop", unit.name]));
        }
        if changed && loaded.is_some() {
            commands.push(dinitctl(unit, &["reload", unit.name]));
        }
        commands.extend(enable(unit));
        // The caller watches the unit after this: it sees what forerun waits for.
        commands.push(dinitctl(unit, &["--no-wait", "start", unit.name]));
        commands.iter().try_for_each(|words| unit.order(words))
    }

    /// `State: STARTED`, and `Process ID: 812` below it.
    fn status(&self, unit: &Unit) -> Result<UnitStatus, Error> {
        let enabled = is_enabled(unit);
        let Some(said) = describe(unit)? else {
            return Ok(UnitStatus::of(enabled, Runs::No("not loaded".to_owned())));
        };
        let state = state(&said);
        let pid = value(&said, "Process ID").split_whitespace().next().and_then(|pid| pid.parse().ok());
        let runs = match (state, pid) {
            ("STARTED", Some(pid)) => Runs::Yes(pid),
            ("STOPPED", _) => Runs::No(said.lines().skip(2).map(str::trim).collect::<Vec<_>>().join(", ")),
            _ => Runs::Later(state.to_owned()),
        };
        Ok(UnitStatus { starting: pid, ..UnitStatus::of(enabled, runs) })
    }

    fn stop(&self, unit: &Unit) -> Result<(), Error> {
        let runs = describe(unit)?.is_some_and(|said| state(&said) != "STOPPED");
        if is_enabled(unit) {
            unit.order(&dinitctl(unit, &["disable", unit.name]))?;
        }
        if runs { unit.order(&dinitctl(unit, &["stop", unit.name])) } else { Ok(()) }
    }

    fn forget(&self, unit: &Unit) -> Result<(), Error> {
        // It fails for a service that was never loaded, and then there is nothing to forget.
        unit.attempt(&dinitctl(unit, &["unload", unit.name])).map(drop)
    }

    fn restart_command(&self, unit: &Unit) -> Argv {
        dinitctl(unit, &["restart", unit.name])
    }

    fn reread_command(&self, unit: &Unit) -> String {
        let commands = self.start_commands(unit, true).into_iter();
        commands.map(|words| crate::text::shell_words(&words)).collect::<Vec<_>>().join("; ")
    }
}

/// What `dinitctl status` says of the service. `None` if dinit has not loaded it.
fn describe(unit: &Unit) -> Result<Option<String>, Error> {
    let answer = unit.ask(&dinitctl(unit, &["status", unit.name]))?;
    match answer.code {
        Some(0) => Ok(Some(answer.out)),
        _ if answer.err.contains("not loaded") || answer.err.contains("failed to find") => Ok(None),
        _ => Err(unit.failed("dinitctl status", &answer)),
    }
}

fn state(said: &str) -> &str {
    // A reason may follow in brackets.
    value(said, "State").split_whitespace().next().unwrap_or_default()
}

fn value<'a>(said: &'a str, key: &str) -> &'a str {
    let line = said.lines().find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
}

/// The command that makes the boot service wait for it. dinitctl refuses it where that is so.
fn enable(unit: &Unit) -> Option<Argv> {
    (!is_enabled(unit)).then(|| dinitctl(unit, &["enable", unit.name]))
}

/// Whether the boot service waits for it: a link that `dinitctl enable` makes.
fn is_enabled(unit: &Unit) -> bool {
    let folder = unit.path.unit.parent().map(|folder| folder.join("boot.d"));
    folder.is_some_and(|folder| folder.join(unit.name).symlink_metadata().is_ok())
}

fn dinitctl(unit: &Unit, words: &[&str]) -> Argv {
    let whose = if unit.scope == Scope::User { "--user" } else { "--system" };
    argv(["dinitctl", whose].into_iter().chain(words.iter().copied()))
}
