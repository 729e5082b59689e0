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
use crate::args;
use crate::environment::Environment;
use crate::error::Error;
use crate::line::print_result;
use crate::service::trust::Trust;
use crate::service::{Purpose, Service, argv};
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
pub fn run(options: &args::Unit, environment: &Environment, arguments: &[OsString]) -> Result<(), Error> {
    let asked = &options.unit;
    let kind = unit_kinds().find(|kind| asked.kind.as_deref() == Some(kind.word()));
    let kind = kind.ok_or_else(|| Error::Usage("no KIND of unit was given; see 'forerun unit --help'".to_owned()))?;
    if asked.harden && !kind.can_harden() {
        let able: Vec<_> = unit_kinds().filter(|kind| kind.can_harden()).map(|kind| kind.word()).collect();
        let able = able.join(", ");
        let message = format!("'--harden' works with {able} only; other supervisors have no such restrictions");
        return Err(Error::Usage(message));
    }
    let here = current_folder(environment)?;
    let system = asked.system || (!asked.user && geteuid().is_root());
    let scope = if system { Scope::System } else { Scope::User };
    let dir = asked.dir.as_ref().map(|dir| here.join(dir));
    let caller = Caller { environment, arguments, here: &here };
    if asked.uninstall {
        return uninstall::run(options, &caller, kind, scope, dir.as_deref());
    }
    let service = Service::resolve(&options.flags, Purpose::Start, &here)?;
    service.without_effect.iter().for_each(|why| log::warn!("{why}; continuing"));
    write::refuse_name(kind, &service.name)?;
    let _lock = asked.install.then(|| lock(&service.name, &caller));
    let (path, installed) = path::looked_at(kind, scope, &service.name, dir.as_deref(), environment)?;
    let spec = specify(options, &caller, &service, (kind, scope, path), &installed)?;
    if scope == Scope::System {
        trust(&service, &spec, asked.install)?;
    }
    let files = write::files(kind, &spec);
    let state = installed.state(&spec, &files);
    warn(options, kind, &spec);
    refuse_large(&spec, &files)?;
    if asked.diff {
        return show_difference(&spec, &installed, &files, &state, options.output.json);
    }
    if asked.install {
        let unit = Unit { kind, scope, name: &service.name, path: &spec.path, environment, grace: service.grace };
        return Install { spec: &spec, service: &service, files: &files, unit, options }.run(&installed, &state);
    }
    print_result(if options.output.json { described(&spec, &files, &state) } else { printed(&spec, &files) }.as_bytes())
}

/// The unit that this caller makes, with what is kept of the one that is there.
fn specify(
    options: &args::Unit,
    caller: &Caller,
    service: &Service,
    (kind, scope, path): (Kind, Scope, UnitPath),
    installed: &Installed,
) -> Result<UnitSpec, Error> {
    let asked = &options.unit;
    let flags = argv::flags(&options.flags, service, caller.here);
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
fn warn(options: &args::Unit, kind: Kind, spec: &UnitSpec) {
    warn_of_secrets(options);
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

/// Warns of secrets on the command line: everybody can read a unit, or ask the supervisor for it.
fn warn_of_secrets(options: &args::Unit) {
    if !options.flags.env.is_empty() {
        log::warn!("everybody can read the values of '--env' in the unit; put secrets into a file: --env-file");
    }
    let has_userinfo = |spec: &&OsString| {
        spec.to_str()
            .and_then(|spec| spec.split_once("://"))
            .is_some_and(|(_, rest)| rest.split(['/', '?']).next().is_some_and(|h| h.contains('@')))
    };
    if options
        .flags
        .health
        .iter()
        .chain(&options.flags.wait)
        .chain(&options.flags.require)
        .any(|spec| has_userinfo(&spec))
    {
        log::warn!("everybody can read the password in a URL in the unit; put the check into forerun.toml");
    }
}
