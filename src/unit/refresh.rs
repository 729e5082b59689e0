#![forbid(unsafe_code)]
//! Self-heal: a supervised start looks at its own unit, and writes it anew where forerun would write another today.
//! Only on disk: the supervisor reads it when it next does, and is never asked from inside of what it runs.

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::installed::{self, Text};
use super::{Caller, Draft, Installed, Place, Scope, State, place};
use crate::cli::Kind;
use crate::environment::UNIT_FILE;
use crate::instance::state::Folder;
use crate::mode::Decision;
use crate::report::line::say;
use crate::service::Service;
use crate::text::quoted;

/// Where the state folder keeps which edited unit a line was said about.
const TOLD: &str = "unit-told";

/// Looks at the unit that started us, and says whether it is one of ours that nobody edited. It never fails a start:
/// what cannot be mended is left.
pub fn run(caller: &Caller, service: &Service, decision: &Decision, state: Option<&Path>) -> bool {
    let Some(path) = caller.environment.filled(UNIT_FILE).map(PathBuf::from) else { return false };
    let ending = path.extension().and_then(|ending| ending.to_str());
    let kind = match (decision.recognised, ending) {
        (Some("systemd" | "a service manager"), Some("service")) if is_of_us(caller) => Kind::Systemd,
        (Some("launchd"), Some("plist")) => Kind::Launchd,
        _ => {
            leave(&path, "it is not what started this forerun");
            return false;
        }
    };
    let place = Place { unit: path, link: None };
    let found = Installed::look(&place, &[]);
    let whose = found.whose(&service.name, Some(service.config.as_deref()));
    let (State::Current, Installed::Unit(text)) = (&whose, &found) else {
        match (&whose, &found) {
            (State::Edited, Installed::Unit(text)) => tell_once(&place.unit, &text.fingerprint(), service, state),
            (State::Foreign(why), _) => leave(&place.unit, why),
            _ => leave(&place.unit, "it is not there"),
        }
        return false;
    };
    mend(caller, service, kind, place, &found, text);
    true
}

/// Writes a unit of ours anew where it is out of date.
fn mend(caller: &Caller, service: &Service, kind: Kind, place: Place, found: &Installed, text: &Text) {
    if text.owner != geteuid().as_raw() {
        return leave(&place.unit, "it belongs to another user");
    }
    let unit = place.unit.clone();
    let draft = match Draft::again(caller, service, kind, place, text) {
        Ok(Some(draft)) => draft,
        Ok(None) => return,
        Err(e) => return leave(&unit, &e.to_string()),
    };
    let files = draft.files();
    if found.state(&draft, &files) != State::Stale {
        return log::debug!("the unit {} is up to date", quoted(&unit));
    }
    match installed::write(&unit, &files) {
        Ok(()) => say(&format!(
            "the unit {} was out of date and is written anew; it counts once it is read: {}",
            quoted(&unit),
            reread(&draft),
        )),
        Err(e) => leave(&unit, &format!("it is out of date, and cannot be written: {e}")),
    }
}

/// Whether systemd started this process or the one that waits for it, where it says which.
fn is_of_us(caller: &Caller) -> bool {
    let said = caller.environment.filled("SYSTEMD_EXEC_PID").and_then(|pid| pid.to_str()?.parse::<u32>().ok());
    said.is_none_or(|pid| pid == std::process::id() || pid == std::os::unix::process::parent_id())
}

fn leave(unit: &Path, why: &str) {
    log::info!("the unit {} is left as it is: {why}", quoted(unit));
}

/// Says that an edited unit is left alone, and not again until it is edited again.
fn tell_once(unit: &Path, fingerprint: &str, service: &Service, state: Option<&Path>) {
    let folder = state.and_then(|root| Folder::open(root, &service.name).ok());
    if folder.as_ref().is_some_and(|folder| folder.read(TOLD).is_ok_and(|told| told == fingerprint.as_bytes())) {
        return log::info!("the unit {} was edited and is left as it is", quoted(unit));
    }
    if let Some(Err(e)) = folder.map(|folder| folder.replace(TOLD, fingerprint.as_bytes())) {
        log::debug!("cannot remember what was said of the unit: {e}");
    }
    let kind = if unit.extension().is_some_and(|ending| ending == "plist") { "launchd" } else { "systemd" };
    say(&format!(
        "the unit {} was edited and is left as it is; what forerun would write: forerun unit {kind} --diff",
        quoted(unit)
    ));
}

/// What makes the supervisor read a unit again.
fn reread(draft: &Draft) -> String {
    let user = geteuid();
    match (draft.kind, draft.scope) {
        (Kind::Launchd, scope) => {
            let domain = if scope == Scope::System { "system".to_owned() } else { format!("gui/{user}") };
            let label = place::label(&draft.service.name);
            let unit = crate::text::shell_words(&[&draft.place.unit]);
            format!("launchctl bootout {domain}/{label}; launchctl bootstrap {domain} {unit}")
        }
        (_, Scope::User) => "systemctl --user daemon-reload".to_owned(),
        (_, Scope::System) => "systemctl daemon-reload".to_owned(),
    }
}
