#![forbid(unsafe_code)]
//! Controls s6 through its commands.

use std::time::Duration;

use super::S6;
use crate::error::Error;
use crate::supervisor::ask::{Argv, argv};
use crate::supervisor::units::{Control, Runs, Unit, UnitStatus};

const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(100);

impl Control for S6 {
    fn program(&self) -> &'static str {
        "s6-svc"
    }

    fn start_commands(&self, unit: &Unit, restart: bool) -> Vec<Argv> {
        let (link, scanned) = unit.link();
        // `-r` never sends SIGKILL. `-d` does, after timeout-kill.
        let down = restart.then(|| svc(&["-wD", "-d"], &scanned));
        link.into_iter().chain([scan(unit, "-a")]).chain(down).chain([svc(&["-u"], &scanned)]).collect()
    }

    fn start(&self, unit: &Unit, changed: bool) -> Result<(), Error> {
        let restart = changed && matches!(self.status(unit)?.runs, Runs::Yes(_));
        unit.make_link()?;
        let commands = self.start_commands(unit, restart);
        let [scan, rest @ ..] = &commands[..] else { return Ok(()) };
        unit.order(scan)?;
        unit.poll(PATIENCE, INTERVAL, || Ok(is_supervised(unit)?.then_some(())))?
            .ok_or_else(|| unit.not_scanned("s6-svscan"))?;
        rest.iter().try_for_each(|words| unit.order(words))
    }

    fn restart_command(&self, unit: &Unit) -> Argv {
        svc(&["-r"], &unit.asked())
    }

    fn status(&self, unit: &Unit) -> Result<UnitStatus, Error> {
        let answer = unit.ask(&argv(["s6-svstat", &unit.asked()]))?;
        if answer.err.contains("Permission denied") {
            return Err(unit.failed("s6-svstat", &answer));
        }
        let said = answer.out.trim().to_owned();
        let pid = said.strip_prefix("up (pid ").and_then(|rest| rest.split([')', ' ']).next()?.parse().ok());
        let enabled = unit.scanned().is_some();
        let runs = match pid {
            Some(pid) => Runs::Yes(pid),
            None if said.contains("want up") => Runs::Later(said),
            None if !enabled => Runs::No("not linked".to_owned()),
            None => Runs::No(if said.is_empty() { answer.err.trim().to_owned() } else { said }),
        };
        Ok(UnitStatus::of(enabled, runs))
    }

    fn stop(&self, unit: &Unit) -> Result<(), Error> {
        let folder = unit.path.unit.to_string_lossy().into_owned();
        let supervised = is_supervised(unit)?;
        // Stops the service and s6-supervise itself.
        unit.take_away(&svc(&["-dx"], &folder), || is_supervised(unit))?;
        if supervised { unit.order(&scan(unit, "-an")) } else { Ok(()) }
    }

    fn keeps(&self) -> &'static [&'static str] {
        &["supervise", "event", "log/supervise", "log/event"]
    }

    fn could_start(&self, unit: &Unit) -> Result<(), Error> {
        unit.link_is_free()
    }
}

fn is_supervised(unit: &Unit) -> Result<bool, Error> {
    Ok(unit.ask(&argv(["s6-svok", &unit.asked()]))?.code == Some(0))
}

fn scan(unit: &Unit, how: &str) -> Argv {
    let folder = unit.path.link.as_ref().and_then(|link| link.parent());
    let folder = folder.map(|folder| folder.as_os_str()).unwrap_or_default();
    argv(["s6-svscanctl".as_ref(), how.as_ref(), folder])
}

fn svc(how: &[&str], folder: &str) -> Argv {
    argv(["s6-svc"].iter().chain(how).chain([&folder]))
}
