#![forbid(unsafe_code)]
//! The variables that a service adds to the environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::file::{self, File};
use super::wrong::Fault;
use super::wrong::Wrong;
use crate::args::StartFlags;
use crate::environment::Environment;
use crate::text::quoted;

/// The variables that a service adds to an environment.
#[derive(Debug, Default)]
pub struct Variables {
    /// From the env-file. A variable that is there already wins.
    defaults: Vec<(String, String)>,
    /// From `[env]` and `--env`, in the order in which they are set.
    settings: Vec<(OsString, OsString)>,
    /// The path of the env-file.
    pub file: Option<PathBuf>,
}

impl Variables {
    /// Adds them to `base`.
    pub fn added_to(&self, mut base: Environment) -> Environment {
        for (name, value) in &self.defaults {
            if base.get(name).is_none() {
                base.set(name.as_ref(), value.as_ref());
            }
        }
        self.settings.iter().for_each(|(name, value)| base.set(name, value));
        base
    }

    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.defaults
            .iter()
            .map(|(name, _)| OsStr::new(name))
            .chain(self.settings.iter().map(|(name, _)| name.as_ref()))
    }
}

/// Collects the variables: `--env` beats `[env]`, which beats the environment, which beats the env-file.
pub fn resolve(flags: &StartFlags, file: &File, folder: &Path, here: &Path) -> Result<Variables, Fault> {
    let mut variables = Variables::default();
    let path = flags.env_file.as_ref().map(|p| here.join(p)).or(file.env_file.as_ref().map(|p| folder.join(p)));
    if let Some(path) = path {
        variables.defaults = env_file(&path).map_err(Fault::Config)?;
        variables.file = Some(path);
    }
    for (name, value) in &file.env {
        if name.get_ref().is_empty() || name.get_ref().contains(['=', '\0']) {
            return Err(Wrong::at(name, format!("{} is no name of a variable", quoted(name.get_ref()))).into());
        }
        if value.get_ref().contains('\0') {
            return Err(Wrong::at(value, format!("the value of {} has a NUL byte", quoted(name.get_ref()))).into());
        }
        variables.settings.push((name.get_ref().into(), value.get_ref().into()));
    }
    for entry in &flags.env {
        let bytes = entry.as_bytes();
        match bytes.iter().position(|&b| b == b'=') {
            Some(at) if at > 0 => {
                let part = |bytes| OsStr::from_bytes(bytes).to_owned();
                variables.settings.push((part(&bytes[..at]), part(&bytes[at + 1..])));
            }
            // It may be a secret without its name, so it is not shown.
            _ => return Err(Fault::Usage("invalid '--env': expected NAME=VALUE".to_owned())),
        }
    }
    Ok(variables)
}

/// Parses an env-file. Its lines may be secrets, so a message shows a name at most.
fn env_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let failed = |reason: String| format!("cannot use the env-file {}: {reason}", quoted(path));
    let bytes = file::bytes(path).map_err(|e| failed(e.to_string()))?;
    let pairs: Result<Vec<_>, _> = dotenvy::from_read_iter(bytes.as_slice()).collect();
    let pairs = pairs.map_err(|e| match e {
        dotenvy::Error::LineParse(..) => {
            failed(format!("{}it is not NAME=VALUE, or its value needs quotes", place(&bytes)))
        }
        dotenvy::Error::Io(e) => failed(e.to_string()),
        _ => failed("it cannot be parsed".to_owned()),
    })?;
    match pairs.iter().find(|(_, value)| value.contains('\0')) {
        Some((name, _)) => Err(failed(format!("the value of '{name}' has a NUL byte"))),
        None => Ok(pairs),
    }
}

/// Names the line that cannot be parsed, where one alone cannot. Nothing of it is shown: a word of it may be a part of
/// a value.
fn place(bytes: &[u8]) -> String {
    let cannot =
        |line: &[u8]| dotenvy::from_read_iter(line).any(|pair| matches!(pair, Err(dotenvy::Error::LineParse(..))));
    let line = bytes.split(|&b| b == b'\n').position(cannot);
    line.map(|line| format!("line {}: ", line + 1)).unwrap_or_default()
}
