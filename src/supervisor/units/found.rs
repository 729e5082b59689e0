#![forbid(unsafe_code)]
//! The installed units that forerun wrote, and whether one conflicts with a start by hand.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::argv::base;
use super::installed::{Installed, State};
use super::marker::Marker;
use super::path;
use super::spec::{Scope, UnitPath};
use super::unit::{Kind, Unit};
use crate::environment::Environment;
use crate::text::shell_words;

/// An installed unit that forerun wrote.
pub struct Found {
    pub kind: Kind,
    pub scope: Scope,
    pub name: String,
    pub path: UnitPath,
    pub installed: Installed,
}

impl Found {
    /// Reads the file in the usual place of a unit of this name.
    pub fn look(kind: Kind, scope: Scope, name: &str, environment: &Environment) -> Option<Found> {
        let (path, installed) = path::looked_at(kind, scope, name, None, environment).ok()?;
        Some(Found { kind, scope, name: name.to_owned(), path, installed })
    }

    /// The marker in the unit.
    pub fn marker(&self) -> Option<&Marker> {
        self.installed.ours(&self.name)
    }

    /// The unit with its supervisor. `grace`: how long its server may take to stop.
    pub fn unit<'a>(&'a self, environment: &'a Environment, grace: Duration) -> Unit<'a> {
        let Found { kind, scope, name, path, .. } = self;
        Unit { kind: *kind, scope: *scope, name, path, environment, grace }
    }

    /// The command `forerun unit` with `verbs` and with the flags that made this unit.
    pub fn command(&self, verbs: &[&str]) -> String {
        let mut words = self.words(verbs);
        if let Some(Marker { made, config, .. }) = self.marker() {
            words.extend(made.harden.then(|| "--harden".into()));
            words.extend(base(config.as_deref()).into_iter().skip(1).chain(made.flags.iter().cloned()));
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
        let words = ["forerun", "unit", self.kind.word(), scope];
        words.iter().chain(verbs).map(OsString::from).collect()
    }

    pub fn is_ours(&self, config: Option<Option<&Path>>) -> bool {
        matches!(self.installed.whose(&self.name, config), State::Current | State::Edited)
    }
}
