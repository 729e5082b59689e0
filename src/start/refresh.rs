#![forbid(unsafe_code)]
//! Self-heal: a supervised start reads its own unit and rewrites it if forerun would write another text today. Only the
//! file changes. The supervisor reads it later, and is never called from inside a service that it runs.

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::unit::{self, Caller};
use crate::environment::UNIT_FILE;
use crate::instance::state::Folder;
use crate::line::say;
use crate::service::Service;
use crate::supervisor::decide::Decision;
use crate::supervisor::units::{Found, Installed, Scope, State, UnitPath, replace, write};
use crate::text::quoted;

/// State file with the digest of the edited unit that we already printed a line about.
const TOLD: &str = "unit-told";

/// Reads the unit that started us and updates it. True if forerun wrote the unit, nobody edited it, and no drop-in
/// changes it. This never fails a start: a unit that cannot be updated is left alone.
pub fn run(caller: &Caller, service: &Service, decision: &Decision, state: Option<&Path>) -> bool {
    let Some(unit) = caller.environment.filled(UNIT_FILE).map(PathBuf::from) else { return false };
    let kind = decision.recognised.and_then(|by| by.units()).filter(|kind| kind.heals(&unit, caller.environment));
    let Some(kind) = kind else {
        leave(&unit, "it did not start this forerun");
        return false;
    };
    let path = UnitPath::file(unit);
    let installed = Installed::look(kind, &path);
    let whose = installed.whose(&service.name, Some(service.config.as_deref()));
    let scope = installed.ours(&service.name).map_or(Scope::System, |marker| marker.made.scope);
    let found = Found { kind, scope, name: service.name.clone(), path, installed };
    let unit = &found.path.unit;
    match (whose, &found.installed) {
        (State::Current | State::Stale, Installed::Unit(text)) => {
            replace::sweep(unit);
            match text.owner == geteuid().as_raw() {
                true => mend(&found, caller),
                false => leave(unit, "it belongs to another user"),
            }
            return !kind.is_overridden(unit);
        }
        (State::Edited, Installed::Unit(text)) => tell_once(&found, &text.fingerprint(), state),
        (State::Foreign(why), _) => leave(unit, &why),
        _ => leave(unit, "it is not there"),
    }
    false
}

/// Rewrites a unit of ours that is out of date. It uses the flags in the unit, not those of this start. Those may come
/// from a drop-in, or from an older text that the supervisor still uses.
fn mend(found: &Found, caller: &Caller) {
    let Found { path, installed, .. } = found;
    let unit = &path.unit;
    let spec = match unit::today(found, caller) {
        Ok(spec) => spec,
        Err(e) => return leave(unit, &e.to_string()),
    };
    let files = write::files(found.kind, &spec);
    if installed.is(&files) {
        return log::debug!("the unit {} is up to date", quoted(unit));
    }
    match replace::write(unit, &files, installed) {
        Ok(()) => say(&format!(
            "the unit {} was out of date; forerun has updated the file; to make it take effect: {}",
            quoted(unit),
            found.unit(caller.environment, spec.grace).reread_command(),
        )),
        Err(e) => leave(unit, &format!("it is out of date and cannot be written: {e}")),
    }
}

fn leave(unit: &Path, why: &str) {
    log::info!("the unit {} is not updated: {why}", quoted(unit));
}

/// Says that an edited unit is left alone. Says it again only after another edit.
fn tell_once(found: &Found, fingerprint: &str, state: Option<&Path>) {
    let unit = quoted(&found.path.unit);
    let folder = state.and_then(|root| Folder::open(root, &found.name).ok());
    if folder.as_ref().is_some_and(|folder| folder.read(TOLD).is_ok_and(|told| told == fingerprint.as_bytes())) {
        return log::info!("the unit {unit} was edited, so it is not updated");
    }
    if let Some(Err(e)) = folder.map(|folder| folder.replace(TOLD, fingerprint.as_bytes())) {
        log::debug!("cannot remember that the line about the edited unit was printed: {e}");
    }
    let diff = found.command(&["--diff"]);
    say(&format!("the unit {unit} was edited, so it is not updated; to see what forerun would write: {diff}"));
}
