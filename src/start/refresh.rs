#![forbid(unsafe_code)]
//! Self-heal: a supervised start reads its own unit and rewrites it if forerun would write another text today. Only the
//! file changes. The supervisor reads it later, and is never called from inside a service that it runs.

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::args::Kind;
use crate::environment::{Environment, UNIT_FILE};
use crate::instance::state::Folder;
use crate::line::say;
use crate::service::Service;
use crate::supervisor::decide::Decision;
use crate::supervisor::units::replace;
use crate::supervisor::units::{Found, Installed, Place, Scope, Site, State};
use crate::text::quoted;

/// State file with the digest of the edited unit that we already printed a line about.
const TOLD: &str = "unit-told";

/// Reads the unit that started us and updates it. True if forerun wrote the unit, nobody edited it, and no drop-in
/// changes it. This never fails a start: a unit that cannot be updated is left alone.
pub fn run(site: &Site, service: &Service, decision: &Decision, state: Option<&Path>) -> bool {
    let Some(unit) = site.environment.filled(UNIT_FILE).map(PathBuf::from) else { return false };
    let ending = unit.extension().and_then(|ending| ending.to_str());
    let kind = match (decision.recognised.map(|by| by.word()), ending) {
        (Some("systemd" | "a service manager"), Some("service")) if is_of_us(site.environment) => Kind::Systemd,
        (Some("launchd"), Some("plist")) => Kind::Launchd,
        _ => {
            leave(&unit, "it did not start this forerun");
            return false;
        }
    };
    let place = Place { unit, link: None };
    let installed = Installed::look(&place, &[]);
    let whose = installed.whose(&service.name, Some(service.config.as_deref()));
    let scope = installed.ours(&service.name).map_or(Scope::System, |marker| marker.made.scope);
    let found = Found { kind, scope, name: service.name.clone(), place, installed };
    let unit = &found.place.unit;
    match (whose, &found.installed) {
        (State::Current | State::Stale, Installed::Unit(text)) => {
            replace::sweep(unit);
            match text.owner == geteuid().as_raw() {
                true => mend(&found, site),
                false => leave(unit, "it belongs to another user"),
            }
            return !has_drop_ins(unit);
        }
        (State::Edited, Installed::Unit(text)) => tell_once(&found, &text.fingerprint(), state),
        (State::Foreign(why), _) => leave(unit, &why),
        _ => leave(unit, "it is not there"),
    }
    false
}

/// Rewrites a unit of ours that is out of date. It uses the flags in the unit, not those of this start. Those may come
/// from a drop-in, or from an older text that the supervisor still uses.
fn mend(found: &Found, site: &Site) {
    let Found { place, installed, .. } = found;
    let unit = &place.unit;
    let drafted = found.today(site, |draft| (draft.files(), draft.service.grace));
    let (files, grace) = match drafted {
        Ok(drafted) => drafted,
        Err(e) => return leave(unit, &e.to_string()),
    };
    if installed.is(&files) {
        return log::debug!("the unit {} is up to date", quoted(unit));
    }
    match replace::write(unit, &files, installed) {
        Ok(()) => say(&format!(
            "the unit {} was out of date; forerun has updated the file; to make it take effect: {}",
            quoted(unit),
            found.control(site.environment, grace).reread_command(),
        )),
        Err(e) => leave(unit, &format!("it is out of date and cannot be written: {e}")),
    }
}

/// Whether systemd started this process itself. systemd before 248 does not set SYSTEMD_EXEC_PID.
fn is_of_us(environment: &Environment) -> bool {
    let said = environment.filled("SYSTEMD_EXEC_PID").and_then(|pid| pid.to_str()?.parse::<u32>().ok());
    said.is_none_or(|pid| pid == std::process::id())
}

/// Whether a drop-in changes a unit of systemd (systemd.unit(5)).
fn has_drop_ins(unit: &Path) -> bool {
    let file = unit.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Drop-ins of `web-1.service` may also be in `web-.service.d`, and those of all services in `service.d`.
    let prefixes = file.match_indices('-').map(|(at, _)| format!("{}.service.d", &file[..=at]));
    let names: Vec<String> = prefixes.chain([format!("{file}.d"), "service.d".to_owned()]).collect();
    let folders = ["/etc/systemd", "/run/systemd"]
        .iter()
        .flat_map(|root| ["system", "user", "system.control", "user.control"].map(|whose| Path::new(root).join(whose)));
    let mut folders = folders.chain(unit.parent().map(Path::to_owned));
    folders.any(|folder| names.iter().any(|name| folder.join(name).is_dir()))
}

fn leave(unit: &Path, why: &str) {
    log::info!("the unit {} is not updated: {why}", quoted(unit));
}

/// Says that an edited unit is left alone. Says it again only after another edit.
fn tell_once(found: &Found, fingerprint: &str, state: Option<&Path>) {
    let unit = quoted(&found.place.unit);
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
