#![forbid(unsafe_code)]
//! The installed units that forerun wrote, and whether one conflicts with a start by hand.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::{KINDS, Kind};
use crate::environment::Environment;
use crate::error::Error;
use crate::service::Service;
use crate::supervisor::units::control::{Control, Runs};
use crate::supervisor::units::installed::{Installed, State};
use crate::supervisor::units::marker::{Made, Marker};
use crate::supervisor::units::path as place;
use crate::supervisor::units::words;
use crate::supervisor::units::{Caller, Draft, Place, Scope, Site};
use crate::text::{quoted, shell_words};

/// An installed unit that forerun wrote.
pub struct Found {
    pub kind: Kind,
    pub scope: Scope,
    pub name: String,
    pub place: Place,
    pub installed: Installed,
}

impl Found {
    /// Reads the file in the usual place of a unit of this name.
    fn look(kind: Kind, scope: Scope, name: &str, environment: &Environment) -> Option<Found> {
        let (place, installed) = Place::looked_at(kind, scope, name, None, environment).ok()?;
        Some(Found { kind, scope, name: name.to_owned(), place, installed })
    }

    /// The marker in the unit.
    pub fn marker(&self) -> Option<&Marker> {
        self.installed.ours(&self.name)
    }

    /// The unit as forerun would write it today, for the same service and with the same flags.
    ///
    /// # Errors
    /// Those of the service and of [`Draft::new`]; [`Error::Config`] when forerun did not write the unit.
    pub fn today<T>(&self, site: &Site, look: impl FnOnce(&Draft) -> T) -> Result<T, Error> {
        let (Some(marker), Installed::Unit(text)) = (self.marker(), &self.installed) else {
            return Err(Error::Config(format!("forerun did not write the unit {}", quoted(&self.place.unit))));
        };
        let options = marker.options()?;
        let service = Service::resolve(&options, site.here)?;
        let caller = Caller { options: &options, site: *site };
        let Made { scope, harden, .. } = marker.made;
        let mut draft = Draft::new(&caller, &service, self.kind, scope, harden, self.place.clone())?;
        draft.made_as(&marker.made, &text.files[0].1);
        Ok(look(&draft))
    }

    /// The supervisor of the unit. `grace`: how long its server may take to stop.
    pub fn control<'a>(&'a self, environment: &'a Environment, grace: Duration) -> Control<'a> {
        let Found { kind, scope, name, place, .. } = self;
        Control { kind: *kind, scope: *scope, name, place, environment, grace }
    }

    /// The command `forerun unit` with `verbs` and with the flags that made this unit.
    pub fn command(&self, verbs: &[&str]) -> String {
        let mut words = self.words(verbs);
        if let Some(Marker { made, config, .. }) = self.marker() {
            words.extend(made.harden.then(|| "--harden".into()));
            words.extend(words::base(config.as_deref()).into_iter().skip(1).chain(made.flags.iter().cloned()));
        }
        shell_words(&words)
    }

    /// The command that removes the unit. It works even if the config file is gone.
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

/// The units of a service in the usual places, of all kinds. `config` is the resolved path of the config file, if the
/// service has one.
pub fn find(name: &str, config: Option<&Path>, environment: &Environment) -> Vec<Found> {
    let look = |(kind, scope)| Found::look(kind, scope, name, environment);
    kinds_and_scopes().filter_map(look).filter(|found| found.is_ours(Some(config))).collect()
}

/// Files in the place of a unit of this service that are not its unit, each with the reason.
pub fn strangers(name: &str, config: Option<&Path>, environment: &Environment) -> Vec<(PathBuf, String)> {
    let look = |(kind, scope)| Found::look(kind, scope, name, environment);
    let strange = |found: Found| match found.installed.whose(name, Some(config)) {
        State::Foreign(why) => Some((found.place.unit, why)),
        _ => None,
    };
    kinds_and_scopes().filter_map(look).filter_map(strange).collect()
}

/// The units of all services in the usual places.
pub fn all(environment: &Environment) -> Vec<Found> {
    let names = |(kind, scope)| place::names(kind, scope, environment).into_iter().map(move |name| (kind, scope, name));
    let look = |(kind, scope, name): (_, _, String)| Found::look(kind, scope, &name, environment);
    kinds_and_scopes().flat_map(names).filter_map(look).filter(|found| found.is_ours(None)).collect()
}

/// Why a start by hand conflicts with a supervisor that has a unit of this service, and what to do.
pub fn in_the_way(service: &Service, environment: &Environment) -> Option<String> {
    find(&service.name, service.config.as_deref(), environment).into_iter().find_map(|found| {
        let control = found.control(environment, service.grace);
        let standing = control.standing().inspect_err(|e| log::info!("{e}; continuing")).ok()?;
        let (unit, kind) = (quoted(&found.place.unit), control.kind_word());
        let said = match (&standing.runs, standing.enabled) {
            (Runs::Yes(pid), _) => {
                let restart = control.restart_command();
                return Some(format!(
                    "{} already runs as pid {pid}, under {kind} as the unit {unit}; restart it there: {restart}; or give \
                     --detach to start one by hand",
                    quoted(&found.name)
                ));
            }
            (Runs::Later(said), _) => format!("is being started or stopped: {said}"),
            (Runs::No(said), true) => format!("is enabled but does not run: {said}"),
            (Runs::No(_), false) => return None,
        };
        let start = control.start_command();
        Some(format!(
            "{} is the unit {unit} of {kind}, which {said}; start it there: {start}; or give --detach to start one by hand",
            quoted(&found.name)
        ))
    })
}
