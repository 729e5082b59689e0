#![forbid(unsafe_code)]
//! `--uninstall`: stops the service, removes its unit, and verifies both.

use std::path::Path;
use std::time::Duration;

use nix::unistd::geteuid;
use serde_json::json;

use super::record::{lock, record_in, recorded};
use crate::args::{self, Output};
use crate::check::port;
use crate::error::Error;
use crate::instance::family::{self, Origin};
use crate::instance::identity::Life;
use crate::instance::record::Record;
use crate::instance::state::{self, Folder};
use crate::line::{document, print_result};
use crate::service;
use crate::start::unit::{self, Caller};
use crate::supervisor::units::{Found, Installed, Kind, Runs, Scope, State, path, replace, write};
use crate::supervisor::{self, Verb};
use crate::text::{counted, one_line, quoted};

/// How long a server may take to stop if its own grace is unknown.
const LONGEST_GRACE: Duration = Duration::from_secs(60);

pub fn run(
    asked: &args::Unit,
    output: &Output,
    caller: &Caller,
    kind: Kind,
    scope: Scope,
    dir: Option<&Path>,
) -> Result<(), Error> {
    let Caller { environment, here, .. } = *caller;
    let named = service::named(asked.flags.name.as_deref(), asked.flags.config.as_deref(), here, caller.environment)?;
    let (name, config) = (named.name().to_owned(), named.config());
    write::refuse_name(kind, &name)?;
    let look = || path::looked_at(kind, scope, &name, dir, environment);
    let _lock = (!matches!(look()?.1, Installed::Nothing)).then(|| lock(&name, caller));
    let (path, installed) = look()?;
    // Without a config file the name alone identifies the unit.
    let left_alone = match installed.whose(&name, config.map(Some)) {
        // The script of the folder may be gone while other files and the supervisor remain.
        State::Missing if path.unit.is_dir() => None,
        State::Missing => {
            let found = Found { kind, scope, name, path: path.clone(), installed };
            what_runs_all_the_same(&found, caller)?;
            return report(&path.unit, "missing", output.json);
        }
        State::Foreign(why) => Some(why),
        State::Edited => Some("it was edited".to_owned()),
        State::Stale | State::Current => None,
    };
    if let Some(why) = left_alone.filter(|_| !asked.force) {
        return Err(Error::Conflict(format!("{} is not removed: {why}; --force removes it", quoted(&path.unit))));
    }
    let found = Found { kind, scope, name, path, installed };
    let something_stays = remove(&found, caller, asked.force)?;
    forget_lock(&found.name, caller);
    report(&found.path.unit, if something_stays { "emptied" } else { "removed" }, output.json)
}

/// Stops and removes the unit. True if the folder stays, because it contains other files.
fn remove(found: &Found, caller: &Caller, force: bool) -> Result<bool, Error> {
    let Found { kind, path, installed, .. } = found;
    let grace = unit::today(found, caller).map_or(LONGEST_GRACE, |spec| spec.grace);
    let target = found.unit(caller.environment, grace);
    let unit = quoted(&path.unit);
    let is_there = target.is_there();
    let running = record(found, caller).filter(|(record, life)| *life == Life::Alive && record.supervisor.is_some());
    let running = running.map(|(record, _)| record.process.pid).filter(|_| !force);
    match (is_there, target.status()) {
        // A supervisor that does not answer cannot stop the unit either.
        (true, Err(e)) if running.is_some() => {
            let pid = running.unwrap_or_default();
            return Err(Error::NotReady(format!("{e}; pid {pid} was started by {unit}, so only --force removes it")));
        }
        (true, _) => target.stop()?,
        (false, _) => {
            let program = quoted(target.program());
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
        _ => kind.all_files().to_vec(),
    };
    let something_stays = replace::remove(&path.unit, &names, target.keeps())
        .map_err(|e| Error::State(format!("cannot remove {unit}: {e}")))?;
    if is_there {
        target.forget()?;
        if let Ok(Runs::Yes(pid)) = target.status().map(|status| status.runs) {
            return Err(Error::NotReady(format!("{unit} is removed, but pid {pid} still runs")));
        }
        warn_of_remains(found, caller);
    }
    Ok(something_stays)
}

/// Reports a unit that still runs although its file was removed by hand. Another service may have the same name; the
/// record tells whether it is ours.
fn what_runs_all_the_same(found: &Found, caller: &Caller) -> Result<(), Error> {
    let target = found.unit(caller.environment, LONGEST_GRACE);
    let Ok(Runs::Yes(pid)) = target.status().map(|status| status.runs) else { return Ok(()) };
    let (word, unit) = (target.kind.word(), quoted(&found.path.unit));
    let what = format!(
        "no unit is installed at {unit}, but {word} runs a service called {} as pid {pid}",
        quoted(&found.name)
    );
    match record(found, caller) {
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
fn warn_of_remains(found: &Found, caller: &Caller) {
    let name = &found.name;
    let Some((record, Life::Dead)) = record(found, caller) else { return };
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
fn record(found: &Found, caller: &Caller) -> Option<(Record, Life)> {
    let here = || record_in(&state::root(caller.environment, caller.here).ok()?, geteuid(), &found.name);
    found.marker().and_then(|marker| recorded(&marker.made, &found.name)).or_else(here)
}

/// Removes the state folder of a service that never ran: it contains only the lock.
fn forget_lock(name: &str, caller: &Caller) {
    let root = state::root(caller.environment, caller.here).ok();
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
