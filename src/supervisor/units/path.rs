#![forbid(unsafe_code)]
//! Where units are, and what is installed there.

use std::path::{Path, PathBuf};

use super::installed::Installed;
use super::spec::{Scope, UnitPath};
use super::unit::Kind;
use crate::environment::Environment;
use crate::error::Error;
use crate::sys;

/// The home folder of this user.
///
/// # Errors
/// [`Error::State`] when the user database names none.
pub fn home() -> Result<PathBuf, Error> {
    sys::home_directory().filter(|home| home.is_absolute()).ok_or_else(|| {
        Error::State("cannot find this user's home in the user database; give --dir or --system".to_owned())
    })
}

/// A unit that is a folder among `services`, with a link to it in the folder that is `scanned`.
pub fn linked(services: &Path, scanned: &Path, name: &str) -> UnitPath {
    UnitPath { unit: services.join(name), link: Some(scanned.join(name)) }
}

/// The first of these folders that is there, else the first one.
pub fn first_folder(folders: &[&str]) -> PathBuf {
    folders.iter().find(|folder| Path::new(folder).is_dir()).unwrap_or(&folders[0]).into()
}

/// The location of a unit and what is installed there. If the usual file is a symlink to a unit of ours (`systemctl
/// link`, or files kept elsewhere), the location is that of the target. A unit that names its scanned folder keeps
/// it.
///
/// # Errors
/// As [`super::unit::Units::path`].
pub fn looked_at(
    kind: Kind,
    scope: Scope,
    name: &str,
    dir: Option<&Path>,
    environment: &Environment,
) -> Result<(UnitPath, Installed), Error> {
    let mut place = kind.path(scope, name, dir, environment)?;
    let mut installed = Installed::look(kind, &place);
    if let (Ok(target), Some(folder)) = (place.unit.read_link(), place.unit.parent()) {
        let behind = UnitPath { unit: folder.join(target), link: place.link.clone() };
        let there = Installed::look(kind, &behind);
        if there.ours(name).is_some() {
            (place, installed) = (behind, there);
        }
    }
    let scanned = installed.ours(name).and_then(|marker| marker.made.scanned.as_ref());
    if let (Some(_), Some(scanned), None) = (&place.link, scanned, dir) {
        place.link = Some(scanned.join(name));
    }
    Ok((place, installed))
}

/// The sorted names of all units in the usual folder of a kind. They need not be forerun's.
pub fn names(kind: Kind, scope: Scope, environment: &Environment) -> Vec<String> {
    const NAME: &str = "name";
    let Ok(UnitPath { unit, .. }) = kind.path(scope, NAME, None, environment) else { return Vec::new() };
    let entries = unit.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    let file = unit.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (before, after) = file.split_once(NAME).unwrap_or_default();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let file = entry.file_name();
            Some(file.to_str()?.strip_prefix(before)?.strip_suffix(after)?.to_owned())
        })
        .collect();
    names.sort();
    names
}
