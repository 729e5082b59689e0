#![forbid(unsafe_code)]
//! The variables that a service adds to the environment.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::env_file;
use super::expand::Expander;
use super::file::File;
use super::known::Known;
use super::wrong::{Fault, Wrong};
use crate::args::{EnvFile, StartFlags};
use crate::environment::Environment;
use crate::text::quoted;

/// Names with their values.
pub type Settings = Vec<(OsString, OsString)>;

/// The variables that a service adds to an environment.
#[derive(Debug, Default)]
pub struct Variables {
    /// What references see: the environment, and the env-files. A variable of an env-file that is there already loses.
    known: Known,
    /// From `[env]` and `--env`, in the order in which they are set.
    settings: Settings,
    /// What the references of scripts gave.
    references: Settings,
    /// The names that references looked up.
    looked_up: Vec<String>,
    /// The env-files that were read.
    pub files: Vec<PathBuf>,
    /// What to tell of them, a line each.
    pub warnings: Vec<String>,
}

impl Variables {
    /// Reads env-files. Later ones win.
    ///
    /// # Errors
    /// [`Fault::Config`] with the first mistake.
    pub fn read(files: &[EnvFile], environment: &Environment) -> Result<Self, Fault> {
        let mut variables = Variables::of(environment);
        for EnvFile { path, may_be_absent } in files {
            let read = env_file::read(path, *may_be_absent, &mut variables.known).map_err(Fault::Config)?;
            let Some(warnings) = read else { continue };
            variables.warnings.extend(warnings);
            variables.files.push(path.clone());
        }
        Ok(variables)
    }

    /// Those of an environment alone.
    pub fn of(environment: &Environment) -> Self {
        Variables { known: Known::new(environment), ..Variables::default() }
    }

    /// What references see.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// The same with those that the service sets, and those that its scripts need.
    pub fn with(self, settings: Settings, references: Settings, looked_up: Vec<String>) -> Self {
        Variables { settings, references, looked_up, ..self }
    }

    /// Adds them to `base`.
    pub fn added_to(&self, base: Environment) -> Environment {
        let mut base = self.known.added_to(base);
        self.settings.iter().for_each(|(name, value)| base.set(name, value));
        base
    }

    /// The environment of checks and fixes.
    pub fn for_checks(&self, inherited: &Environment) -> Environment {
        let mut environment = self.added_to(inherited.for_checks());
        self.references.iter().for_each(|(name, value)| environment.set(name, value));
        environment
    }

    /// A script that a record keeps as it was written, and the environment that it needs.
    ///
    /// # Errors
    /// What is wrong with a reference in it.
    pub fn prepare(&self, script: &OsStr, inherited: &Environment) -> Result<(OsString, Environment), String> {
        let mut expander = Expander::new(&self.known);
        let script = OsStr::from_bytes(&expander.script(script.as_bytes())?).to_owned();
        let mut environment = self.added_to(inherited.for_checks());
        expander.variables.iter().for_each(|(name, value)| environment.set(name, value));
        Ok((script, environment))
    }

    /// What references take from the environment alone, and another environment need not have.
    pub fn inherited(&self) -> BTreeSet<&str> {
        let names = self.looked_up.iter().map(String::as_str);
        names.filter(|name| self.known.is_inherited(name) && !self.known.is_assigned(name)).collect()
    }

    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.known.names().chain(self.settings.iter().map(|(name, _)| name.as_ref()))
    }
}

/// The settings: `--env` beats `[env]`, which beats the environment, which beats the env-files.
pub fn settings(flags: &StartFlags, file: &File) -> Result<Settings, Fault> {
    let mut settings = Vec::new();
    for (name, value) in &file.env {
        if name.get_ref().is_empty() || name.get_ref().contains(['=', '\0']) {
            return Err(Wrong::at(name, format!("{} is no name of a variable", quoted(name.get_ref()))).into());
        }
        if value.get_ref().contains('\0') {
            return Err(Wrong::at(value, format!("the value of {} has a NUL byte", quoted(name.get_ref()))).into());
        }
        if is_too_long(name.get_ref().len(), value.get_ref().len()) {
            return Err(Wrong::at(value, too_long(name.get_ref())).into());
        }
        settings.push((name.get_ref().into(), value.get_ref().into()));
    }
    for entry in &flags.env {
        let bytes = entry.as_bytes();
        match bytes.iter().position(|&b| b == b'=') {
            Some(at) if at > 0 => {
                let part = |bytes| OsStr::from_bytes(bytes).to_owned();
                if is_too_long(at, bytes.len() - at - 1) {
                    let name = part(&bytes[..at]);
                    return Err(Fault::Usage(format!("invalid '--env': {}", too_long(&name))));
                }
                settings.push((part(&bytes[..at]), part(&bytes[at + 1..])));
            }
            // It may be a secret without its name, so it is not shown.
            _ => return Err(Fault::Usage("invalid '--env': expected NAME=VALUE".to_owned())),
        }
    }
    Ok(settings)
}

/// Whether no program can be given a variable of this length (execve(2)).
fn is_too_long(name: usize, value: usize) -> bool {
    name + value + 2 > env_file::LONGEST
}

fn too_long(name: &(impl AsRef<OsStr> + ?Sized)) -> String {
    format!("the value of {} has more than 128 KiB, which no program can be given; put it into a file", quoted(name))
}
