#![forbid(unsafe_code)]
//! Looks for the installed units of a service, and says whether one conflicts with a start by hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::found::Found;
use super::installed::State;
use super::path;
use super::spec::Scope;
use super::unit::{Kind, Runs};
use crate::environment::Environment;
use crate::supervisor::all;
use crate::text::quoted;

fn kinds_and_scopes() -> impl Iterator<Item = (Kind, Scope)> {
    all::units().flat_map(|kind| [(kind, Scope::System), (kind, Scope::User)])
}

/// The units of a service in the usual places, of all kinds. `config` is the resolved path of the config file, if the
/// service has one.
pub fn find(name: &str, config: Option<&Path>, environment: &Environment) -> Vec<Found> {
    let look = |(kind, scope)| Found::look(kind, scope, name, environment);
    kinds_and_scopes().filter_map(look).filter(|found| found.is_ours(Some(config))).collect()
}

/// Files in the place of a unit of this service that are not its unit, each with the reason.
pub fn strangers(name: &str, config: Option<&Path>, environment: &Environment) -> Vec<(PathBuf, String)> {
    let look = |(kind, scope)| Found::look(kind, scope, name, environment);
    let strange = |found: Found| match found.installed.whose(name, Some(config)) {
        State::Foreign(why) => Some((found.path.unit, why)),
        _ => None,
    };
    kinds_and_scopes().filter_map(look).filter_map(strange).collect()
}

/// The units of all services in the usual places.
pub fn all(environment: &Environment) -> Vec<Found> {
    let names = |(kind, scope)| path::names(kind, scope, environment).into_iter().map(move |name| (kind, scope, name));
    let look = |(kind, scope, name): (_, _, String)| Found::look(kind, scope, &name, environment);
    kinds_and_scopes().flat_map(names).filter_map(look).filter(|found| found.is_ours(None)).collect()
}

/// Why a start by hand conflicts with a supervisor that has a unit of this service, and what to do.
pub fn in_the_way(name: &str, config: Option<&Path>, grace: Duration, environment: &Environment) -> Option<String> {
    find(name, config, environment).into_iter().find_map(|found| {
        let unit = found.unit(environment, grace);
        let status = unit.status().inspect_err(|e| log::info!("{e}; continuing")).ok()?;
        let (file, kind) = (quoted(&found.path.unit), found.kind.word());
        let said = match (&status.runs, status.enabled) {
            (Runs::Yes(pid), _) => {
                let restart = unit.restart_command();
                return Some(format!(
                    "{} already runs as pid {pid}, under {kind} as the unit {file}; restart it there: {restart}; or give \
                     --detach to start one by hand",
                    quoted(&found.name)
                ));
            }
            (Runs::Later(said), _) => format!("is being started or stopped: {said}"),
            (Runs::No(said), true) => format!("is enabled but does not run: {said}"),
            (Runs::No(_), false) => return None,
        };
        let start = unit.start_command();
        Some(format!(
            "{} is the unit {file} of {kind}, which {said}; start it there: {start}; or give --detach to start one by hand",
            quoted(&found.name)
        ))
    })
}
