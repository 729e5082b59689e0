#![forbid(unsafe_code)]
//! An installed unit: whether forerun wrote it, and whether somebody edited it since.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::leftover::{is_beside, left_beside};
use super::marker::{self, Marker};
use super::spec::{File, UnitPath, UnitSpec};
use super::unit::Kind;
use crate::sys::is_same_file;

/// The largest unit, in bytes: systemd does not read more.
pub const LARGEST: u64 = 1 << 20;

/// What is in the place of a unit.
#[derive(Debug)]
pub enum Installed {
    Nothing,
    /// It cannot be read, or cannot be a unit, for this reason.
    Unusable(String),
    Unit(Box<Text>),
}

/// The content of a unit.
#[derive(Debug)]
pub struct Text {
    /// Names and texts of the files. The name is empty if the unit is a single file.
    pub files: Vec<(String, String)>,
    pub marker: Option<Marker>,
    /// It has a marker whose digest does not match the files.
    edited: bool,
    /// The user id of the owner.
    pub owner: u32,
}

/// How an installed unit relates to a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    Missing,
    /// It is not forerun's unit of this service, for this reason.
    Foreign(String),
    Edited,
    /// forerun wrote it and nobody edited it, but forerun would write another text today.
    Stale,
    Current,
}

impl Installed {
    /// Reads what is installed.
    pub fn look(kind: Kind, place: &UnitPath) -> Installed {
        let (first, others): (&str, &[&str]) = match kind.usual_files().split_first() {
            Some((first, others)) => (first, others),
            None => ("", &[]),
        };
        let (text, owner) = match read(&place.unit, first) {
            Ok(Some(found)) => found,
            Ok(None) if first.is_empty() || place.unit.symlink_metadata().is_err() => return Installed::Nothing,
            // An installation that was killed left this behind.
            Ok(None) if is_rest(kind, &place.unit) => return Installed::Nothing,
            Ok(None) => return Installed::Unusable(format!("it has no '{first}'")),
            Err(why) => return Installed::Unusable(why.to_string()),
        };
        let marker = Marker::find(&text);
        let others: Vec<String> = match &marker {
            // The first file was read already.
            Some(marker) => marker.files.iter().skip(1).filter(|name| is_plain(name)).cloned().collect(),
            None => others.iter().map(|name| (*name).to_owned()).collect(),
        };
        let mut files = vec![(first.to_owned(), text)];
        for name in others {
            match read(&place.unit, &name) {
                Ok(Some((text, _))) => files.push((name, text)),
                Ok(None) => {}
                Err(why) => return Installed::Unusable(format!("'{name}': {why}")),
            }
        }
        let holds = |files: &[(String, String)]| marker.as_ref().is_none_or(|marker| marker.holds(files));
        let edited = !holds(&files) && !holds_once_done(&place.unit, &files);
        Installed::Unit(Box::new(Text { files, marker, edited, owner }))
    }

    /// The marker, if forerun wrote the unit for a service of this name. The unit may have been edited.
    pub fn ours(&self, name: &str) -> Option<&Marker> {
        match (self, self.whose(name, None)) {
            (Installed::Unit(text), State::Current | State::Edited) => text.marker.as_ref(),
            _ => None,
        }
    }

    /// Whether the installed files are exactly these.
    pub fn is(&self, files: &[File]) -> bool {
        matches!(self, Installed::Unit(text) if text.is(files))
    }

    /// How the installed unit relates to the unit that forerun would write.
    pub fn state(&self, spec: &UnitSpec, files: &[File]) -> State {
        let state = self.whose(&spec.name, Some(spec.config.as_deref()));
        if state == State::Current && !self.is(files) { State::Stale } else { state }
    }

    /// How the installed unit relates to the service of this name and config file (`None`: any config file).
    pub fn whose(&self, name: &str, config: Option<Option<&Path>>) -> State {
        let text = match self {
            Installed::Nothing => return State::Missing,
            Installed::Unusable(why) => return State::Foreign(why.clone()),
            Installed::Unit(text) => text,
        };
        let Some(marker) = &text.marker else { return State::Foreign("forerun did not write it".to_owned()) };
        if marker.name != name {
            return State::Foreign(format!(
                "it is the unit of another service, '{}'",
                crate::text::one_line(&marker.name)
            ));
        }
        let same = |ours: Option<&Path>| match (ours, marker.config.as_deref()) {
            (Some(ours), Some(theirs)) => is_same_file(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        if !config.is_none_or(same) {
            let theirs = marker.config.as_ref().map_or("no file".to_owned(), crate::text::quoted);
            return State::Foreign(format!(
                "it is the unit of another service of this name, whose config file is {theirs}"
            ));
        }
        if text.edited { State::Edited } else { State::Current }
    }
}

impl Text {
    fn is(&self, files: &[File]) -> bool {
        self.files.len() == files.len()
            && self.files.iter().zip(files).all(|((name, text), file)| name == file.name && *text == file.text)
    }

    /// The digest of the files, edited or not. A line about an edited unit is printed once for each digest.
    pub fn fingerprint(&self) -> String {
        marker::digest(self.files.iter().map(|(name, text)| (name.as_str(), text.clone())))
    }
}

/// Whether the digest matches once a killed forerun's replacement is finished: it replaced some files and left the
/// others beside their places.
fn holds_once_done(unit: &Path, files: &[(String, String)]) -> bool {
    let done = |(name, text): &(String, String)| {
        let path = if name.is_empty() { unit.to_owned() } else { unit.join(name) };
        let left = left_beside(&path).into_iter().find_map(|path| read(&path, "").ok()?);
        (name.clone(), left.map_or_else(|| text.clone(), |(text, _)| text))
    };
    let done: Vec<(String, String)> = files.iter().map(done).collect();
    done.first().and_then(|(_, text)| Marker::find(text)).is_some_and(|marker| marker.holds(&done))
}

/// Whether a folder contains only files that forerun or the supervisor put there, or that any service
/// folder may contain.
fn is_rest(kind: Kind, folder: &Path) -> bool {
    let is_of_us = |name: &str| match read(folder, name) {
        Ok(Some((text, _))) => kind.is_ours(name, &text),
        _ => false,
    };
    const OTHERS: [&str; 3] = ["log", "env", "data"];
    let is_known = |name: &str| {
        OTHERS.contains(&name)
            || kind.control().keeps().contains(&name)
            || is_beside(name)
            || name.ends_with(".old")
            || is_of_us(name)
    };
    let names = fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.file_name()));
    names.is_ok_and(|mut names| names.all(|name| name.to_str().is_some_and(is_known)))
}

/// Whether a name leads into the folder of a unit, or into a folder in it.
fn is_plain(name: &str) -> bool {
    name.split('/').count() < 3 && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The text and owner of a file. Never reads through a symlink or from anything that is not a regular file.
fn read(unit: &Path, name: &str) -> io::Result<Option<(String, u32)>> {
    let path = if name.is_empty() { unit.to_owned() } else { unit.join(name) };
    let wrong = |what: &str| Err(io::Error::other(what.to_owned()));
    if path.parent().into_iter().chain([unit]).any(|folder| !name.is_empty() && folder.is_symlink()) {
        return wrong("it is a symlink");
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => return wrong("it is a symlink"),
        file => file?,
    };
    let status = file.metadata()?;
    if !status.is_file() {
        return wrong("it is not a regular file");
    }
    if status.len() > LARGEST {
        return wrong("it is larger than 1 MiB");
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some((text, status.uid()))),
        Err(_) => wrong("it is not UTF-8"),
    }
}
