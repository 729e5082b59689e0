#![forbid(unsafe_code)]
//! How a record is read and written: `record.json` of the service's state folder, as a whole.

use std::io;
use std::path::PathBuf;

use serde::Deserialize;

use super::super::cookie;
use super::super::state::Folder;
use super::kept::Record;
use crate::text::quoted;

const FILE: &str = "record.json";

impl Record {
    /// Writes the record.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&self, folder: &Folder) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        folder.replace(FILE, &bytes)
    }

    /// Writes the record. If that fails, what is done goes on with a warning.
    pub fn write_or_warn(&self, folder: &Folder) {
        if let Err(e) = self.write(folder) {
            log::warn!("cannot write the record in {}: {e}; continuing", quoted(&folder.path));
        }
    }

    /// The path of a service's record.
    pub fn path(folder: &Folder) -> PathBuf {
        folder.path.join(FILE)
    }

    /// Removes the record of an instance that is gone.
    pub fn remove(folder: &Folder) {
        let _ = folder.remove(FILE);
    }

    /// Undoes the record of a start that failed. The record before it comes back, because it identifies what is left of
    /// the earlier instance.
    pub fn undo(folder: &Folder, previous: Option<&Record>) {
        if previous.is_none_or(|previous| previous.write(folder).is_err()) {
            Self::remove(folder);
        }
    }

    /// Removes what a forerun that was killed during a write left behind. The caller must hold the lock, because a
    /// write begins with the same file.
    pub fn tidy(folder: &Folder) {
        folder.forget_replacement(FILE);
    }

    /// Reads the record of a service. A record that cannot be trusted is set aside with a warning and counts as absent.
    /// A record that cannot be read is an error.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn read(folder: &Folder, name: &str) -> Result<Option<Record>, String> {
        let wrong = match Self::look(folder, name) {
            Ok(record) => return Ok(record),
            Err(Unreadable::File(message)) => return Err(message),
            Err(Unreadable::Untrusted(why)) => why,
        };
        let aside = format!("{FILE}.damaged");
        let path = Self::path(folder);
        folder.rename(FILE, &aside).map_err(|e| format!("cannot set aside the record {}: {e}", quoted(&path)))?;
        log::warn!("the record {} cannot be trusted: {wrong}; set aside as '{aside}'", quoted(&path));
        Ok(None)
    }

    /// Reads the record of a service and changes nothing.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn look(folder: &Folder, name: &str) -> Result<Option<Record>, Unreadable> {
        let path = Self::path(folder);
        let untrusted = |why: String| Err(Unreadable::Untrusted(why));
        match folder.read(FILE) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidData || e.raw_os_error() == Some(libc::ELOOP) => {
                untrusted(e.to_string())
            }
            Err(e) => Err(Unreadable::File(format!("cannot read the record {}: {e}", quoted(&path)))),
            Ok(bytes) if written_by_a_newer_one(&bytes) => Err(Unreadable::File(format!(
                "the record {} was written by a newer forerun; use that version",
                quoted(&path)
            ))),
            Ok(bytes) => match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) if record.version != Record::VERSION => {
                    untrusted(format!("it has version {}", record.version))
                }
                Ok(record) if record.name != name => untrusted(format!("it belongs to {}", quoted(&record.name))),
                Ok(record) if record.process.pid <= 0 => untrusted(format!("it has pid {}", record.process.pid)),
                Ok(record) if !cookie::is_of(name, &record.cookie) => untrusted("its cookie is not valid".to_owned()),
                Ok(record) if !record.is_printable() => untrusted("it contains control characters".to_owned()),
                Ok(record) => Ok(Some(record)),
                // serde's words name types and fields; the place is enough.
                Err(e) => untrusted(format!("it is damaged at line {}, column {}", e.line(), e.column())),
            },
        }
    }

    /// Whether the texts that are printed as they are contain nothing that a terminal would take for a command.
    fn is_printable(&self) -> bool {
        let texts = [Some(&self.mode), self.supervisor.as_ref(), self.cgroup.as_ref()];
        !texts.into_iter().flatten().any(|text| text.contains(char::is_control))
    }
}

/// Why a record cannot be used.
#[derive(Debug)]
pub enum Unreadable {
    /// The file cannot be read, so its content is unknown.
    File(String),
    /// forerun did not write it.
    Untrusted(String),
}

impl Unreadable {
    /// The message about the record in `folder`.
    pub fn message(self, folder: &Folder) -> String {
        match self {
            Unreadable::File(message) => message,
            Unreadable::Untrusted(why) => {
                format!("the record {} cannot be trusted: {why}", quoted(&Record::path(folder)))
            }
        }
    }
}

/// Reads the version only, because a newer forerun may have changed all other fields.
fn written_by_a_newer_one(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    serde_json::from_slice(bytes).is_ok_and(|Version { version }| version > Record::VERSION)
}
