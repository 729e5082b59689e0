#![forbid(unsafe_code)]
//! `forerun unit`: prints a unit, compares it with the installed one, installs it, and uninstalls it.

mod install;
mod uninstall;
mod verify;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};
use serde_json::json;

use super::current_folder;
use crate::args::{Kind, Options};
use crate::environment::Environment;
use crate::error::Error;
use crate::follow;
use crate::instance::identity::Life;
use crate::instance::record::Record;
use crate::instance::state::{self, Folder, Lock};
use crate::line::{document, print_result, say};
use crate::service::Service;
use crate::service::trust::Trust;
use crate::supervisor::units::{self, Caller, Control, Draft, File, Installed, Made, Place, Scope, Site, State};
use crate::sys;
use crate::text::quoted;

use install::Install;

pub fn run(options: &Options, environment: &Environment, arguments: &[OsString]) -> Result<(), Error> {
    let asked = &options.unit;
    let Some(kind) = asked.kind else {
        return Err(Error::Usage("no KIND of unit was given; see 'forerun unit --help'".to_owned()));
    };
    if asked.harden && kind != Kind::Systemd {
        return Err(Error::Usage(
            "'--harden' works with systemd only; other supervisors have no such restrictions".to_owned(),
        ));
    }
    let here = current_folder(environment)?;
    let scope = Scope::asked(asked);
    let dir = asked.dir.as_ref().map(|dir| here.join(dir));
    let site = Site { environment, arguments, here: &here };
    if asked.uninstall {
        return uninstall::run(options, &site, kind, scope, dir.as_deref());
    }
    let service = Service::resolve(options, &here)?;
    service.without_effect.iter().for_each(|why| log::warn!("{why}; continuing"));
    units::refuse_name(kind, &service.name)?;
    let _lock = asked.install.then(|| lock(&service.name, &site));
    let (place, installed) = Place::looked_at(kind, scope, &service.name, dir.as_deref(), environment)?;
    let caller = Caller { options, site };
    let mut draft = Draft::new(&caller, &service, kind, scope, asked.harden, place)?;
    draft.run_as(units::choose_user(asked, scope, &service, environment)?, &installed);
    draft.keep(&installed);
    if scope == Scope::System {
        let trust = Trust::of(&service, None, &[0, draft.runs_as().as_raw()]);
        if asked.install {
            trust.ensure()?;
        } else {
            trust.refused.iter().chain(&trust.foreign).for_each(|doubt| log::warn!("{}; continuing", doubt.line()));
        }
    }
    let files = draft.files();
    if let Some(file) = files.iter().find(|file| file.text.len() as u64 > units::LARGEST) {
        let path = path_of(&draft, file.name);
        return Err(Error::Config(format!(
            "the unit {} would be larger than 1 MiB; use fewer or shorter flags",
            quoted(&path)
        )));
    }
    let state = installed.state(&draft, &files);
    warn_of_secrets(options);
    if let Some(path) = draft.guarded() {
        log::warn!(
            "{} is in a folder that macOS protects: a job of launchd may hang or fail there; move it, or give the server \
             Full Disk Access; continuing",
            quoted(path)
        );
    }
    if asked.diff {
        return show_difference(&draft, &installed, &files, &state, options.json);
    }
    if asked.install {
        let (name, place, grace) = (&service.name, &draft.place, service.grace);
        let control = Control { kind, scope, name, place, environment, grace };
        return Install { draft: &draft, files: &files, control, options }.run(&installed, &state);
    }
    print_result(if options.json { described(&draft, &files, &state) } else { printed(&draft, &files) }.as_bytes())
}

/// Takes the lock for installing or removing a unit, and waits while another forerun has it. Without a usable lock
/// nobody waits.
fn lock(name: &str, site: &Site) -> Option<Lock> {
    let root = state::root(site.environment, site.here).ok()?;
    let folder = Folder::open(&root, name).ok()?;
    let mut said = false;
    loop {
        match folder.try_lock_unit() {
            Ok(None) => {
                if !std::mem::replace(&mut said, true) {
                    say(&format!("waiting for another installation of {}", quoted(name)));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            taken => return taken.ok().flatten(),
        }
    }
}

/// The record that the unit's service writes, and whether its process runs.
fn recorded(made: &Made, name: &str) -> Option<(Record, Life)> {
    let user = made.user.as_ref().and_then(|user| User::from_name(user).ok().flatten());
    let root = match (&made.state, &user) {
        (Some(state), _) => PathBuf::from(state),
        (None, Some(user)) => state::home_root(&user.dir),
        (None, None) => state::home_root(&sys::home_directory()?),
    };
    let owner = user.map_or(geteuid(), |user| user.uid);
    record_in(&root, owner, name)
}

fn record_in(root: &Path, owner: Uid, name: &str) -> Option<(Record, Life)> {
    let folder = Folder::existing(root, name, owner.as_raw()).ok().flatten()?;
    let record = Record::look(&folder, name).ok().flatten()?;
    let here = sys::host().ok()?;
    let record = follow::new_main(&record, &here).ok()?.unwrap_or(record);
    let life = record.process.life(&here);
    Some((record, life))
}

/// Warns of secrets on the command line: everybody can read a unit, or ask the supervisor for it.
fn warn_of_secrets(options: &Options) {
    if !options.env.is_empty() {
        log::warn!("everybody can read the values of '--env' in the unit; put secrets into a file: --env-file");
    }
    let has_userinfo = |spec: &&OsString| {
        spec.to_str()
            .and_then(|spec| spec.split_once("://"))
            .is_some_and(|(_, rest)| rest.split(['/', '?']).next().is_some_and(|h| h.contains('@')))
    };
    if options.health.iter().chain(&options.wait).chain(&options.require).any(|spec| has_userinfo(&spec)) {
        log::warn!("everybody can read the password in a URL in the unit; put the check into forerun.toml");
    }
}

/// The unit as it would be written. Several files follow each other, so that the first one can be run as it is printed.
fn printed(draft: &Draft, files: &[File]) -> String {
    let mut out = String::new();
    for (index, file) in files.iter().enumerate() {
        if index > 0 {
            out += &format!("\n# ==> {} <==\n", draft.place.unit.join(file.name).display());
        }
        out += &file.text;
    }
    out
}

fn described(draft: &Draft, files: &[File], state: &State) -> String {
    let texts: serde_json::Map<String, serde_json::Value> =
        files.iter().map(|file| (path_of(draft, file.name).to_string_lossy().into_owned(), json!(file.text))).collect();
    document(json!({ "unit": draft.place.unit.to_string_lossy(), "state": word(state), "files": texts }))
}

fn path_of(draft: &Draft, name: &str) -> PathBuf {
    if name.is_empty() { draft.place.unit.clone() } else { draft.place.unit.join(name) }
}

fn word(state: &State) -> &'static str {
    match state {
        State::Missing => "missing",
        State::Foreign(_) => "foreign",
        State::Edited => "edited",
        State::Stale => "stale",
        State::Current => "current",
    }
}

fn show_difference(
    draft: &Draft,
    installed: &Installed,
    files: &[File],
    state: &State,
    json: bool,
) -> Result<(), Error> {
    let difference = difference(draft, installed, files);
    if json {
        let unit = draft.place.unit.to_string_lossy();
        let value = json!({ "unit": unit, "state": word(state), "diff": difference });
        return print_result(document(value).as_bytes());
    }
    match state {
        State::Missing => say(&format!("no unit is installed at {}", quoted(&draft.place.unit))),
        State::Foreign(why) => say(&format!("{}: {why}", quoted(&draft.place.unit))),
        State::Edited => say(&format!("{} was edited", quoted(&draft.place.unit))),
        State::Stale => say(&format!("{} is out of date", quoted(&draft.place.unit))),
        State::Current => say(&format!("{} is up to date", quoted(&draft.place.unit))),
    }
    print_result(difference.as_bytes())
}

/// The difference from the installed unit to the one that forerun would write.
fn difference(draft: &Draft, installed: &Installed, files: &[File]) -> String {
    let there: &[(String, String)] = if let Installed::Unit(text) = installed { &text.files } else { &[] };
    let mut names: Vec<&str> = files.iter().map(|file| file.name).collect();
    names.extend(there.iter().map(|(name, _)| name.as_str()).filter(|name| !files.iter().any(|f| f.name == *name)));
    let mut out = String::new();
    for name in names {
        let old = there.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str());
        let new = files.iter().find(|file| file.name == name).map(|file| file.text.as_str());
        let path = path_of(draft, name).to_string_lossy().into_owned();
        let from = if old.is_some() { path.as_str() } else { "/dev/null" };
        let to = if new.is_some() { path.as_str() } else { "/dev/null" };
        let diff = similar::TextDiff::from_lines(old.unwrap_or_default(), new.unwrap_or_default());
        out += &diff.unified_diff().header(from, to).to_string();
    }
    out
}
