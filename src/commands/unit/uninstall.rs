#![forbid(unsafe_code)]
//! `--uninstall`: stops the service, removes its unit, and verifies both.

use std::path::Path;
use std::time::Duration;

use nix::unistd::geteuid;
use serde_json::json;

use super::{lock, record_in, recorded};
use crate::args::{Kind, Options};
use crate::check::port;
use crate::error::Error;
use crate::instance::family::{self, Origin};
use crate::instance::identity::Life;
use crate::instance::record::Record;
use crate::instance::state::{self, Folder};
use crate::line::{document, print_result};
use crate::service;
use crate::supervisor::units::{self, Found, Installed, Place, Runs, Scope, Site, State};
use crate::supervisor::{self, Verb};
use crate::text::{counted, one_line, quoted};

/// How long a server may take to stop if its own grace is unknown.
const LONGEST_GRACE: Duration = Duration::from_secs(60);

pub fn run(options: &Options, site: &Site, kind: Kind, scope: Scope, dir: Option<&Path>) -> Result<(), Error> {
    let Site { environment, here, .. } = *site;
    let named = service::named(options, here)?;
    let (name, config) = (named.name().to_owned(), named.config());
    units::refuse_name(kind, &name)?;
    let look = || Place::looked_at(kind, scope, &name, dir, environment);
    let _lock = (!matches!(look()?.1, Installed::Nothing)).then(|| lock(&name, site));
    let (place, installed) = look()?;
    // Without a config file the name alone identifies the unit.
    let left_alone = match installed.whose(&name, config.map(Some)) {
        // The script of the folder may be gone while other files and the supervisor remain.
        State::Missing if place.unit.is_dir() => None,
        State::Missing => {
            let found = Found { kind, scope, name, place: place.clone(), installed };
            what_runs_all_the_same(&found, site)?;
            return report(&place.unit, "missing", options.json);
        }
        State::Foreign(why) => Some(why),
        State::Edited => Some("it was edited".to_owned()),
        State::Stale | State::Current => None,
    };
    if let Some(why) = left_alone.filter(|_| !options.unit.force) {
        return Err(Error::Conflict(format!("{} is not removed: {why}; --force removes it", quoted(&place.unit))));
    }
    let found = Found { kind, scope, name, place, installed };
    let something_stays = remove(&found, site, options.unit.force)?;
    forget_lock(&found.name, site);
    report(&found.place.unit, if something_stays { "emptied" } else { "removed" }, options.json)
}

/// Stops and removes the unit. True if the folder stays, because it contains other files.
fn remove(found: &Found, site: &Site, force: bool) -> Result<bool, Error> {
    let Found { kind, place, installed, .. } = found;
    let grace = found.today(site, |draft| draft.service.grace).unwrap_or(LONGEST_GRACE);
    let control = found.control(site.environment, grace);
    let unit = quoted(&place.unit);
    let is_there = control.is_there();
    let running = record(found, site).filter(|(record, life)| *life == Life::Alive && record.supervisor.is_some());
    let running = running.map(|(record, _)| record.process.pid).filter(|_| !force);
    match (is_there, control.standing()) {
        // A supervisor that does not answer cannot stop the unit either.
        (true, Err(e)) if running.is_some() => {
            let pid = running.unwrap_or_default();
            return Err(Error::NotReady(format!("{e}; pid {pid} was started by {unit}, so only --force removes it")));
        }
        (true, _) => control.stop()?,
        (false, _) => {
            let program = quoted(control.program());
            if let Some(pid) = running {
                return Err(Error::NotFound(format!(
                    "cannot execute {program}: it is not on PATH, and pid {pid} was started by {unit}; add it, or remove \
                     the unit with --force"
                )));
            }
            log::warn!("{program} is not on PATH, so it was not asked to stop anything; continuing");
        }
    }
    let names: Vec<&str> = match installed {
        Installed::Unit(text) => text.files.iter().map(|(name, _)| name.as_str()).filter(|n| !n.is_empty()).collect(),
        _ => units::all_files(*kind).to_vec(),
    };
    let something_stays = units::remove(&place.unit, &names, control.keeps())
        .map_err(|e| Error::State(format!("cannot remove {unit}: {e}")))?;
    if is_there {
        control.forget()?;
        if let Ok(Runs::Yes(pid)) = control.standing().map(|standing| standing.runs) {
            return Err(Error::NotReady(format!("{unit} is removed, but pid {pid} still runs")));
        }
        warn_of_remains(found, site);
    }
    Ok(something_stays)
}

/// Reports a unit that still runs although its file was removed by hand. Another service may have the same name; the
/// record tells whether it is ours.
fn what_runs_all_the_same(found: &Found, site: &Site) -> Result<(), Error> {
    let control = found.control(site.environment, LONGEST_GRACE);
    let Ok(Runs::Yes(pid)) = control.standing().map(|standing| standing.runs) else { return Ok(()) };
    let (word, unit) = (control.kind_word(), quoted(&found.place.unit));
    let what = format!(
        "no unit is installed at {unit}, but {word} runs a service called {} as pid {pid}",
        quoted(&found.name)
    );
    match record(found, site) {
        Some((record, Life::Alive)) if record.process.pid == pid => {
            let stop = supervisor::of(&record).map_or(String::new(), |by| format!("; {}", by.advice(Verb::Stop)));
            Err(Error::NotReady(what + &stop))
        }
        _ => {
            log::warn!("{what}, which forerun did not start");
            Ok(())
        }
    }
}

/// Warns of processes that put themselves into the background, where the supervisor does not stop them.
fn warn_of_remains(found: &Found, site: &Site) {
    let name = &found.name;
    let Some((record, Life::Dead)) = record(found, site) else { return };
    let family = family::look(&Origin::of(&record)).unwrap_or_default();
    if let Some(first) = family.all().next() {
        let count = counted(family.all().count(), "process", "processes");
        let all = if family.left.is_empty() { "" } else { " --all" };
        log::warn!(
            "it left {count} behind, the first is {}; to end them: forerun stop {name}{all}",
            port::describe(first.pid)
        );
    }
}

/// The record of the service and whether its process runs. Looks where the unit keeps it, then where the caller does.
fn record(found: &Found, site: &Site) -> Option<(Record, Life)> {
    let here = || record_in(&state::root(site.environment, site.here).ok()?, geteuid(), &found.name);
    found.marker().and_then(|marker| recorded(&marker.made, &found.name)).or_else(here)
}

/// Removes the state folder of a service that never ran: it contains only the lock.
fn forget_lock(name: &str, site: &Site) {
    let root = state::root(site.environment, site.here).ok();
    if let Some(folder) = root.and_then(|root| Folder::existing(&root, name, geteuid().as_raw()).ok().flatten()) {
        folder.forget_unit_lock();
    }
}

fn report(unit: &Path, outcome: &str, as_json: bool) -> Result<(), Error> {
    let shown = one_line(unit);
    let text = match outcome {
        _ if as_json => document(json!({ "unit": unit.to_string_lossy(), "outcome": outcome })),
        "missing" => format!("no unit is installed at {shown}\n"),
        "emptied" => format!("removed forerun's files from {shown}; other files are in it, so it stays\n"),
        _ => format!("removed {shown}\n"),
    };
    print_result(text.as_bytes())
}
