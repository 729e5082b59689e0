#![forbid(unsafe_code)]
//! Units: the service definitions of supervisors. Pure functions write one from a service, others look at what is
//! installed, replace it, and ask the supervisor.

mod control;
mod installed;
mod launchd;
mod marker;
mod place;
mod quote;
pub mod refresh;
mod runit;
mod s6;
mod supervisord;
mod systemd;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use crate::cli::{KINDS, Kind, Options};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::state;
use crate::service::Service;
use crate::sys;
use crate::text::quoted;

pub use control::{Control, Runs};
pub use installed::{Installed, State, remove, write};
pub use marker::{Made, Marker};
pub use place::{Place, Scope, hidden_by, kind_word};
pub use systemd::lingers;

/// A unit's limits of open descriptors: soft, hard.
pub type Limits = (u64, u64);

/// Everything that a unit is written from.
pub struct Draft<'a> {
    pub kind: Kind,
    pub scope: Scope,
    pub harden: bool,
    pub place: Place,
    pub service: &'a Service,
    /// forerun, and what it is told.
    pub words: Vec<OsString>,
    /// PATH, as it was when the unit was first written.
    pub path: String,
    /// FORERUN_STATE_DIR, where the caller has one: who is asked about the service must find its record.
    pub state: Option<String>,
    /// Whom a unit of the machine runs as, where that is not root.
    pub user: Option<String>,
}

/// A file of a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Empty where the unit is one file.
    pub name: &'static str,
    pub text: String,
    pub executable: bool,
}

/// What the caller is: where it is, who, and with which command line.
pub struct Caller<'a> {
    pub options: &'a Options,
    pub environment: &'a Environment,
    pub arguments: &'a [OsString],
    /// The current folder, as it was named.
    pub here: &'a Path,
}

impl<'a> Draft<'a> {
    /// The unit of a service, as this caller would write it.
    ///
    /// # Errors
    /// [`Error::Config`] where nobody can tell where forerun or the home is, or where the name is no unit's.
    pub fn new(
        caller: &Caller,
        service: &'a Service,
        kind: Kind,
        scope: Scope,
        harden: bool,
        place: Place,
    ) -> Result<Draft<'a>, Error> {
        let name = quoted(&service.name);
        if kind == Kind::Systemd && service.name.ends_with('@') {
            return Err(Error::Config(format!(
                "the name {name} would be a template's, which runs nothing; give another --name"
            )));
        }
        if service.name.starts_with(['-', '.']) {
            return Err(Error::Config(format!(
                "the name {name} is none that supervisors take for a service's; give another --name"
            )));
        }
        let program = words::own_program(caller.arguments, caller.environment, caller.here).ok_or_else(|| {
            Error::Config("cannot tell where forerun itself is installed; call it by its path".to_owned())
        })?;
        let mut words = vec![program.into_os_string()];
        words.extend(words::of(caller.options, service, kind, scope, caller.here));
        let us = geteuid();
        let user = match scope {
            Scope::System if !us.is_root() => User::from_uid(us).ok().flatten().map(|user| user.name),
            _ => None,
        };
        let path = words::search_path(caller.environment);
        let state =
            state::chosen_root(caller.environment, caller.here).map(|folder| folder.to_string_lossy().into_owned());
        Ok(Draft { kind, scope, harden, place, service, words, path, state, user })
    }

    /// The unit that this caller would write in the place of one that is there, made in the same way: with the PATH, the
    /// user and the state folder that it has. Nothing where that one is not ours.
    ///
    /// # Errors
    /// As [`Draft::new`].
    pub fn again(
        caller: &Caller,
        service: &'a Service,
        kind: Kind,
        place: Place,
        there: &installed::Text,
    ) -> Result<Option<Draft<'a>>, Error> {
        let Some(Marker { made, .. }) = &there.marker else { return Ok(None) };
        let mut draft = Draft::new(caller, service, kind, made.scope, made.harden, place)?;
        let text = &there.files[0].1;
        let kept = match kind {
            Kind::Systemd => systemd::kept_path(text),
            Kind::Launchd => launchd::kept_path(text),
            Kind::Supervisord => supervisord::kept_path(text),
            Kind::Runit | Kind::S6 => runit::kept_path(text),
        };
        draft.path = kept.unwrap_or(draft.path);
        draft.state = made.state.clone();
        draft.user = made.user.clone();
        Ok(Some(draft))
    }

    /// Root writes a unit anew that runs as somebody else: it stays that user's.
    pub fn keep_user(&mut self, there: &Installed) {
        if let (Installed::Unit(text), State::Current, None) =
            (there, there.whose(&self.service.name, None), &self.user)
        {
            self.user = text.marker.as_ref().and_then(|marker| marker.made.user.clone());
        }
    }

    /// The unit's files, the one with the marker first.
    pub fn files(&self) -> Vec<File> {
        let mut files = match self.kind {
            Kind::Systemd => systemd::files(self),
            Kind::Launchd => launchd::files(self),
            Kind::Supervisord => supervisord::files(self),
            Kind::Runit => runit::files(self),
            Kind::S6 => s6::files(self),
        };
        marker::seal(&mut files);
        files
    }

    /// The names of its files, where it is a folder.
    pub fn names(&self) -> Vec<&'static str> {
        match self.kind {
            Kind::Runit => runit::FILES.to_vec(),
            Kind::S6 => s6::names(self),
            Kind::Systemd | Kind::Launchd | Kind::Supervisord => Vec::new(),
        }
    }

    fn marker(&self) -> String {
        let Draft { service, scope, harden, user, state, .. } = self;
        let made = Made { scope: *scope, harden: *harden, user: user.clone(), state: state.clone() };
        Marker::unsealed(&service.name, service.config.as_deref(), &made, &self.names())
    }

    /// The limits of open descriptors.
    fn nofile(&self) -> Limits {
        match self.service.nofile {
            None => words::NOFILE,
            Some(wish) => (wish.soft, wish.hard.unwrap_or(words::NOFILE.1.max(wish.soft))),
        }
    }

    /// How long the server may take to stop, in whole seconds: at least one, as 0 is "for ever" to launchd.
    fn grace(&self) -> u64 {
        self.service.grace.as_millis().div_ceil(1000).max(1) as u64
    }

    /// What the service needs that the supervisor's system keeps from it, where that is known.
    pub fn guarded(&self) -> Option<&Path> {
        let paths = self.paths();
        (self.kind == Kind::Launchd).then(|| launchd::guarded(paths, sys::home_directory().as_deref())).flatten()
    }

    /// Where forerun, the server and what they need are.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let service = self.service;
        let words = [&self.words[0], &service.command[0]].map(Path::new);
        let all = words.into_iter().chain([service.directory.as_path()]).chain(service.config.as_deref());
        all.chain(self.state.as_deref().map(Path::new))
    }

    /// What a person types to see what is installed and to write it again.
    fn install_command(&self) -> String {
        let kind = place::kind_word(self.kind);
        format!("forerun unit {kind} --install")
    }
}

/// The current folder, as the caller named it.
pub fn here(environment: &Environment, actual: &Path) -> PathBuf {
    words::here(environment, actual)
}

/// A unit of ours that is installed.
pub struct Found {
    pub kind: Kind,
    pub scope: Scope,
    pub name: String,
    pub place: Place,
    pub installed: Installed,
}

impl Found {
    /// What is where a unit of this name usually is.
    fn look(kind: Kind, scope: Scope, name: &str, environment: &Environment) -> Option<Found> {
        let place = Place::of(kind, scope, name, None, environment).ok()?;
        let names: &[&str] = if matches!(kind, Kind::Runit | Kind::S6) { &runit::FILES } else { &[] };
        let installed = Installed::look(&place, names);
        Some(Found { kind, scope, name: name.to_owned(), place, installed })
    }

    fn is_ours(&self, config: Option<Option<&Path>>) -> bool {
        matches!(self.installed.whose(&self.name, config), State::Current | State::Edited)
    }
}

fn kinds_and_scopes() -> impl Iterator<Item = (Kind, Scope)> {
    KINDS.into_iter().flat_map(|(_, kind)| [(kind, Scope::System), (kind, Scope::User)])
}

/// The units of a service, of all kinds, where they usually are. `config`: as it is resolved, if it has one.
pub fn find(name: &str, config: Option<&Path>, environment: &Environment) -> Vec<Found> {
    let look = |(kind, scope)| Found::look(kind, scope, name, environment);
    kinds_and_scopes().filter_map(look).filter(|found| found.is_ours(Some(config))).collect()
}

/// The units of all services, where they usually are, with what they say of themselves.
pub fn all(environment: &Environment) -> Vec<(Found, Marker)> {
    let mut all = Vec::new();
    for (kind, scope) in kinds_and_scopes() {
        for name in place::names(kind, scope, environment) {
            let Some(found) = Found::look(kind, scope, &name, environment).filter(|found| found.is_ours(None)) else {
                continue;
            };
            let marker = if let Installed::Unit(text) = &found.installed { text.marker.clone() } else { None };
            all.extend(marker.map(|marker| (found, marker)));
        }
    }
    all
}

/// Why a start by hand would be in the way of a supervisor that has a unit of this service, and what to do.
pub fn in_the_way(service: &Service, environment: &Environment) -> Option<String> {
    find(&service.name, service.config.as_deref(), environment).into_iter().find_map(|found| {
        let Found { kind, scope, name, place, .. } = &found;
        let control = Control { kind: *kind, scope: *scope, name, place, environment, grace: service.grace };
        let standing = control.standing().inspect_err(|e| log::info!("{e}; continuing")).ok()?;
        let said = match (&standing.runs, standing.enabled) {
            (Runs::Yes(pid), _) => format!("runs as pid {pid}"),
            (Runs::Later(said), _) => format!("is being started: {said}"),
            (Runs::No(said), true) => format!("is enabled, but does not run: {said}"),
            (Runs::No(_), false) => return None,
        };
        Some(format!(
            "{} is the unit {} of {}, which {said}; start it there: {}; or give --detach, to start one by hand",
            quoted(name),
            quoted(&place.unit),
            control.kind_word(),
            control.start_command(),
        ))
    })
}
