#![forbid(unsafe_code)]
//! The units of ours that are installed, and whether one is in the way of a start by hand.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::control::{Control, Runs};
use super::installed::{Installed, State};
use super::marker::{Made, Marker};
use super::{Caller, Draft, Place, Scope, Site, place, words};
use crate::cli::{KINDS, Kind};
use crate::environment::Environment;
use crate::error::Error;
use crate::service::Service;
use crate::text::{quoted, shell_words};

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
        let (place, installed) = Place::looked_at(kind, scope, name, None, environment).ok()?;
        Some(Found { kind, scope, name: name.to_owned(), place, installed })
    }

    /// What it says of itself.
    pub fn marker(&self) -> Option<&Marker> {
        self.installed.ours(&self.name)
    }

    /// The unit as it would be written today: of the service that it makes, with the flags that it has, and made in the
    /// same way.
    ///
    /// # Errors
    /// Those of the service and of [`Draft::new`]; [`Error::Config`] where it is none of ours.
    pub fn today<T>(&self, site: &Site, look: impl FnOnce(&Draft) -> T) -> Result<T, Error> {
        let (Some(marker), Installed::Unit(text)) = (self.marker(), &self.installed) else {
            return Err(Error::Config(format!("{} is no unit of ours", quoted(&self.place.unit))));
        };
        let options = marker.options()?;
        let service = Service::resolve(&options, site.here)?;
        let caller = Caller { options: &options, site: *site };
        let Made { scope, harden, .. } = marker.made;
        let mut draft = Draft::new(&caller, &service, self.kind, scope, harden, self.place.clone())?;
        draft.made_as(&marker.made, &text.files[0].1);
        Ok(look(&draft))
    }

    /// Its supervisor. `grace`: how long its server may take to stop.
    pub fn control<'a>(&'a self, environment: &'a Environment, grace: Duration) -> Control<'a> {
        let Found { kind, scope, name, place, .. } = self;
        Control { kind: *kind, scope: *scope, name, place, environment, grace }
    }

    /// `forerun unit` with `verbs`, for the same unit: with what made it.
    pub fn command(&self, verbs: &[&str]) -> String {
        let mut words = self.words(verbs);
        if let Some(Marker { made, config, .. }) = self.marker() {
            words.extend(made.harden.then(|| "--harden".into()));
            words.extend(words::base(config.as_deref()).into_iter().skip(1).chain(made.flags.iter().cloned()));
        }
        shell_words(&words)
    }

    /// What removes it, also where its config file is gone.
    pub fn uninstall_command(&self) -> String {
        let mut words = self.words(&["--uninstall"]);
        words.extend(["--name".into(), OsString::from(&self.name)]);
        shell_words(&words)
    }

    fn words(&self, verbs: &[&str]) -> Vec<OsString> {
        let scope = if self.scope == Scope::System { "--system" } else { "--user" };
        let words = ["forerun", "unit", place::kind_word(self.kind), scope];
        words.iter().chain(verbs).map(OsString::from).collect()
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

/// What is in the place of a unit of this service, and is none: the file, and why it is not.
pub fn strangers(name: &str, config: Option<&Path>, environment: &Environment) -> Vec<(PathBuf, String)> {
    let look = |(kind, scope)| Found::look(kind, scope, name, environment);
    let strange = |found: Found| match found.installed.whose(name, Some(config)) {
        State::Foreign(why) => Some((found.place.unit, why)),
        _ => None,
    };
    kinds_and_scopes().filter_map(look).filter_map(strange).collect()
}

/// The units of all services, where they usually are.
pub fn all(environment: &Environment) -> Vec<Found> {
    let names = |(kind, scope)| place::names(kind, scope, environment).into_iter().map(move |name| (kind, scope, name));
    let look = |(kind, scope, name): (_, _, String)| Found::look(kind, scope, &name, environment);
    kinds_and_scopes().flat_map(names).filter_map(look).filter(|found| found.is_ours(None)).collect()
}

/// Why a start by hand would be in the way of a supervisor that has a unit of this service, and what to do.
pub fn in_the_way(service: &Service, environment: &Environment) -> Option<String> {
    find(&service.name, service.config.as_deref(), environment).into_iter().find_map(|found| {
        let control = found.control(environment, service.grace);
        let standing = control.standing().inspect_err(|e| log::info!("{e}; continuing")).ok()?;
        let said = match (&standing.runs, standing.enabled) {
            (Runs::Yes(pid), _) => format!("runs as pid {pid}"),
            (Runs::Later(said), _) => format!("is being started or stopped: {said}"),
            (Runs::No(said), true) => format!("is enabled, but does not run: {said}"),
            (Runs::No(_), false) => return None,
        };
        Some(format!(
            "{} is the unit {} of {}, which {said}; start it there: {}; or give --detach, to start one by hand",
            quoted(&found.name),
            quoted(&found.place.unit),
            control.kind_word(),
            control.start_command(),
        ))
    })
}
