#![forbid(unsafe_code)]
//! `forerun unit`: prints a unit, compares it with the installed one, installs it, and uninstalls it.

mod install;
mod record;
mod show;
mod uninstall;
mod verify;

use std::ffi::OsString;

use nix::unistd::geteuid;

use super::common::current_folder;
use crate::args::{self, ByHand, Output, StartFlags, UnitAction, UnitManager};
use crate::environment::Environment;
use crate::error::Error;
use crate::line::print_result;
use crate::service::trust::Trust;
use crate::service::{Service, request};
use crate::start::unit::{self, Caller, Order};
use crate::supervisor::unit_kinds;
use crate::supervisor::units::argv::is_in_cache;
use crate::supervisor::units::installed::LARGEST;
use crate::supervisor::units::{File, Installed, Kind, Scope, Unit, UnitPath, UnitSpec, path, user, write};
use crate::text::quoted;

use install::Install;
use record::lock;
use show::{described, printed, show_difference};

/// Prints, compares, installs or removes a unit.
///
/// # Errors
/// [`Error::Usage`] and [`Error::Config`] for what no unit can have, [`Error::Conflict`] when another file is in the
/// way, [`Error::State`] when it cannot be written, [`Error::NotReady`] when the service does not serve.
pub fn run(
    asked: &args::Unit,
    output: &Output,
    environment: &Environment,
    arguments: &[OsString],
) -> Result<(), Error> {
    let kind = unit_kinds().find(|kind| asked.kind == kind.word());
    let kind = kind.ok_or_else(|| Error::Usage("no KIND of unit was given; see 'forerun unit --help'".to_owned()))?;
    if asked.harden && !kind.can_harden() {
        let able: Vec<_> = unit_kinds().filter(|kind| kind.can_harden()).map(|kind| kind.word()).collect();
        let able = able.join(", ");
        let message = format!("'--harden' works with {able} only; other supervisors have no such restrictions");
        return Err(Error::Usage(message));
    }
    let here = current_folder(environment)?;
    let scope = match asked.manager {
        Some(UnitManager::System) => Scope::System,
        Some(UnitManager::User) => Scope::User,
        None if geteuid().is_root() => Scope::System,
        None => Scope::User,
    };
    let dir = asked.dir.as_ref().map(|dir| here.join(dir));
    let caller = Caller { environment, arguments, here: &here };
    if asked.action == UnitAction::Uninstall {
        return uninstall::run(asked, output, &caller, kind, scope, dir.as_deref());
    }
    let service = Service::resolve(&asked.flags, &ByHand::default(), &here, environment)?;
    service.without_effect.iter().for_each(|why| log::warn!("{why}; continuing"));
    service.variables.warnings.iter().for_each(|line| log::warn!("{line}"));
    write::refuse_name(kind, &service.name)?;
    let installs = matches!(asked.action, UnitAction::Install { .. });
    let _lock = installs.then(|| lock(&service.name, &caller));
    let (path, installed) = path::looked_at(kind, scope, &service.name, dir.as_deref(), environment)?;
    let spec = specify(asked, &caller, &service, (kind, scope, path), &installed)?;
    if scope == Scope::System {
        trust(&service, &spec, installs)?;
    }
    let files = write::files(kind, &spec);
    let state = installed.state(&spec, &files);
    warn_of_references(&service);
    warn(&asked.flags, kind, &spec);
    refuse_large(&spec, &files)?;
    match asked.action {
        UnitAction::Diff => show_difference(&spec, &installed, &files, &state, output.json),
        UnitAction::Install { now } => {
            let unit = Unit { kind, scope, name: &service.name, path: &spec.path, environment, grace: service.grace };
            let (force, json) = (asked.force, output.json);
            Install { spec: &spec, service: &service, files: &files, unit, now, force, json }.run(&installed, &state)
        }
        UnitAction::Print | UnitAction::Uninstall => {
            let shown = if output.json { described(&spec, &files, &state) } else { printed(&spec, &files) };
            print_result(shown.as_bytes())
        }
    }
}

/// The unit that this caller makes, with what is kept of the one that is there.
fn specify(
    asked: &args::Unit,
    caller: &Caller,
    service: &Service,
    (kind, scope, path): (Kind, Scope, UnitPath),
    installed: &Installed,
) -> Result<UnitSpec, Error> {
    let flags = request::words(&asked.flags, service, caller.here);
    let mut spec = unit::spec(caller, service, Order { kind, scope, harden: asked.harden, path, flags })?;
    let config = service.config.as_deref();
    unit::run_as(&mut spec, user::choose(asked.run_as.as_deref(), scope, config, caller.environment)?, installed);
    unit::keep(kind, &mut spec, installed);
    Ok(spec)
}

/// Looks whether root may trust what the unit starts. An installation is refused, a printed unit is warned of.
fn trust(service: &Service, spec: &UnitSpec, install: bool) -> Result<(), Error> {
    let trust = Trust::of(service, None, &[0, spec.runs_as().as_raw()]);
    if install {
        return trust.ensure();
    }
    trust.refused.iter().chain(&trust.foreign).for_each(|doubt| log::warn!("{}; continuing", doubt.line()));
    Ok(())
}

fn refuse_large(spec: &UnitSpec, files: &[File]) -> Result<(), Error> {
    let Some(file) = files.iter().find(|file| file.text.len() as u64 > LARGEST) else { return Ok(()) };
    let path = quoted(&spec.path.of(file.name));
    Err(Error::Config(format!("the unit {path} would be larger than 1 MiB; use fewer or shorter flags")))
}

/// Warns of what may go wrong with this unit.
fn warn(flags: &StartFlags, kind: Kind, spec: &UnitSpec) {
    warn_of_secrets(flags);
    if is_in_cache(&spec.made.program) {
        log::warn!(
            "forerun runs from a cache, {}, and the unit would end when that is cleaned; install it first ('uv tool \
             install forerun', 'npm install -g forerun'); continuing",
            quoted(&spec.made.program)
        );
    }
    if let Some(path) = kind.guarded(&spec.paths()) {
        log::warn!(
            "{} is in a folder that macOS protects: a job of {} may hang or fail there; move it, or give the server \
             Full Disk Access; continuing",
            quoted(path),
            kind.word()
        );
    }
}

/// Warns of what references take from this shell: the supervisor's environment is another.
fn warn_of_references(service: &Service) {
    const USUAL: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"];
    for name in service.variables.inherited().into_iter().filter(|name| !USUAL.contains(name)) {
        log::warn!("{name} is set in this shell, and the unit need not have it; put it into a file: --env-file");
    }
}

/// Warns of secrets on the command line: everybody can read a unit, or ask the supervisor for it.
fn warn_of_secrets(flags: &StartFlags) {
    if !flags.env.is_empty() {
        log::warn!("everybody can read the values of '--env' in the unit; put secrets into a file: --env-file");
    }
    let has_userinfo = |spec: &&OsString| {
        spec.to_str()
            .and_then(|spec| spec.split_once("://"))
            .is_some_and(|(_, rest)| rest.split(['/', '?']).next().is_some_and(|h| h.contains('@')))
    };
    if flags.health.iter().chain(&flags.wait).chain(&flags.require).any(|spec| has_userinfo(&spec)) {
        log::warn!("everybody can read the password in a URL in the unit; put the check into forerun.toml");
    }
}
