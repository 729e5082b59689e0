#![forbid(unsafe_code)]
//! Controls OpenRC through rc-service(8) and rc-update(8).

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::OpenRc;
use crate::error::Error;
use crate::supervisor::ask::{Argv, argv};
use crate::supervisor::units::{Control, Runs, Scope, Unit, UnitStatus};

/// Where OpenRC keeps what it knows of a service: one file for each value.
const VALUES: [&str; 2] = ["/run/openrc/options", "/lib/rc/init.d/options"];
/// The folders of links, one for each runlevel.
const RUNLEVELS: &str = "/etc/runlevels";
/// How long a new server may take until supervise-daemon has noted its pid.
const PATIENCE: Duration = Duration::from_secs(5);

impl Control for OpenRc {
    fn program(&self) -> &'static str {
        "rc-service"
    }

    fn start_commands(&self, unit: &Unit, restart: bool) -> Vec<Argv> {
        let enable = of_user(unit, "rc-update", &["add", unit.name, "default"]);
        vec![enable, of_user(unit, "rc-service", &[unit.name, if restart { "restart" } else { "start" }])]
    }

    fn start(&self, unit: &Unit, changed: bool) -> Result<(), Error> {
        let restart = changed && matches!(self.status(unit)?.runs, Runs::Yes(_) | Runs::Later(_));
        self.start_commands(unit, restart).iter().try_for_each(|words| unit.order(words))?;
        unit.poll(PATIENCE, Duration::from_millis(50), || Ok(child(unit.name).map(drop))).map(drop)
    }

    /// rc-service exits 0 for a service that runs, and another code for each other state.
    fn status(&self, unit: &Unit) -> Result<UnitStatus, Error> {
        let answer = unit.ask(&of_user(unit, "rc-service", &[unit.name, "status"]))?;
        let said = format!("{} {}", answer.out, answer.err);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = said.rsplit("status: ").next().unwrap_or_default().to_owned();
        let runs = match (answer.code, child(unit.name)) {
            (Some(0), Some(pid)) => Runs::Yes(pid),
            (Some(0 | 8), _) => Runs::Later(said),
            _ => Runs::No(said),
        };
        Ok(UnitStatus::of(is_enabled(unit.name), runs))
    }

    fn stop(&self, unit: &Unit) -> Result<(), Error> {
        if !matches!(self.status(unit)?.runs, Runs::No(_)) {
            unit.order(&of_user(unit, "rc-service", &[unit.name, "stop"]))?;
        }
        match is_enabled(unit.name) {
            true => unit.order(&of_user(unit, "rc-update", &["delete", unit.name, "default"])),
            false => Ok(()),
        }
    }

    fn start_command(&self, unit: &Unit) -> Argv {
        of_user(unit, "rc-service", &[unit.name, "start"])
    }
}

/// The pid of the process that supervise-daemon watches.
fn child(name: &str) -> Option<i32> {
    let file = |folder: &str| fs::read_to_string(Path::new(folder).join(name).join("child_pid"));
    VALUES.iter().find_map(|folder| file(folder).ok())?.trim().parse().ok()
}

/// Whether a runlevel has the service.
fn is_enabled(name: &str) -> bool {
    let runlevels = fs::read_dir(RUNLEVELS).into_iter().flatten().flatten();
    runlevels.into_iter().any(|runlevel| runlevel.path().join(name).symlink_metadata().is_ok())
}

/// A command of OpenRC, for the user's own services where the unit is one (OpenRC 0.60 and later).
fn of_user(unit: &Unit, program: &str, words: &[&str]) -> Argv {
    let flag = (unit.scope == Scope::User).then_some("--user");
    argv([program].into_iter().chain(flag).chain(words.iter().copied()))
}
