#![forbid(unsafe_code)]
//! Controls supervisord through supervisorctl.

use super::Supervisord;
use crate::error::Error;
use crate::supervisor::ask::{Argv, argv};
use crate::supervisor::units::{Control, Runs, Unit, UnitStatus};

impl Control for Supervisord {
    fn program(&self) -> &'static str {
        "supervisorctl"
    }

    fn start_commands(&self, unit: &Unit, _: bool) -> Vec<Argv> {
        // `update` restarts a changed program and starts a new one.
        vec![supervisorctl(&["reread"]), supervisorctl(&["update", unit.name])]
    }

    fn start(&self, unit: &Unit, changed: bool) -> Result<(), Error> {
        let before = self.status(unit)?.runs;
        self.start_commands(unit, false).iter().try_for_each(|words| unit.order(words))?;
        let now = self.status(unit)?.runs;
        match now {
            Runs::No(_) => unit.order(&self.start_command(unit)),
            // supervisord had loaded this text already, but a file that the text names has changed.
            Runs::Yes(_) if changed && now == before => unit.order(&self.restart_command(unit)),
            _ => Ok(()),
        }
    }

    fn status(&self, unit: &Unit) -> Result<UnitStatus, Error> {
        let answer = unit.ask(&supervisorctl(&["status", unit.name]))?;
        let line = answer.out.lines().next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let (name, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = words.collect::<Vec<_>>().join(" ");
        let pid = rest.strip_prefix("pid ").and_then(|rest| rest.split(',').next()?.parse().ok());
        if name != unit.name {
            // No supervisord runs, or it has no such program. The text says which.
            let said = format!("{}{}", answer.out, answer.err);
            return match said.contains("no such process") {
                true => Ok(unknown()),
                false => Err(unit.failed("supervisorctl status", &answer)),
            };
        }
        let said = format!("{state} {rest}");
        let runs = match (state, pid) {
            ("RUNNING", Some(pid)) => Runs::Yes(pid),
            ("STARTING" | "BACKOFF" | "RUNNING", _) => Runs::Later(said),
            _ => Runs::No(said),
        };
        Ok(UnitStatus::of(true, runs))
    }

    fn stop(&self, unit: &Unit) -> Result<(), Error> {
        match self.status(unit) {
            // If supervisord does not run, nothing is to be stopped.
            Err(e) => {
                log::warn!("{e}; continuing");
                Ok(())
            }
            Ok(UnitStatus { runs: Runs::No(_), .. }) => Ok(()),
            Ok(_) => unit.order(&supervisorctl(&["stop", unit.name])),
        }
    }

    fn forget(&self, unit: &Unit) -> Result<(), Error> {
        match self.status(unit) {
            Ok(standing) if standing != unknown() => {
                self.start_commands(unit, false).iter().try_for_each(|words| unit.order(words))
            }
            _ => Ok(()),
        }
    }

    fn start_command(&self, unit: &Unit) -> Argv {
        supervisorctl(&["start", unit.name])
    }

    fn restart_command(&self, unit: &Unit) -> Argv {
        supervisorctl(&["restart", unit.name])
    }

    fn log_command(&self, unit: &Unit) -> Option<String> {
        Some(format!("supervisorctl tail {}", unit.name))
    }
}

fn unknown() -> UnitStatus {
    UnitStatus::absent("supervisord does not know it")
}

fn supervisorctl(words: &[&str]) -> Argv {
    argv(["supervisorctl"].iter().chain(words))
}
