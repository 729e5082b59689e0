#![forbid(unsafe_code)]
//! The record of an instance: who it is, how it was launched, and with what it can be launched again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::state::Folder;
use crate::text::quoted;

const FILE: &str = "record.json";
const VERSION: u32 = 1;

/// How far the start is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// forerun is at work; `process` is forerun itself until there is a server.
    Starting,
    Running,
}

/// Text of the system's, which need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl From<&OsStr> for Text {
    fn from(text: &OsStr) -> Self {
        text.to_str().map_or_else(|| Text::Bytes(text.as_bytes().to_vec()), |t| Text::Utf8(t.to_owned()))
    }
}

impl From<&Text> for OsString {
    fn from(text: &Text) -> Self {
        match text {
            Text::Utf8(text) => text.into(),
            Text::Bytes(bytes) => OsString::from_vec(bytes.clone()),
        }
    }
}

/// Everything that is written down of an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub name: String,
    pub phase: Phase,
    pub process: Identity,
    pub session: i32,
    pub group: i32,
    pub cookie: String,
    pub mode: String,
    /// The supervisor that was recognised.
    pub supervisor: Option<String>,
    /// The last component of the control group: a unit's name under systemd.
    pub cgroup: Option<String>,
    pub config: Option<Text>,
    pub command: Vec<Text>,
    pub cwd: Text,
    pub port: Option<u16>,
    pub url: Option<String>,
    pub log: Option<Text>,
    /// Seconds since 1970.
    pub started: u64,
    /// forerun's own arguments, folder and environment, to do the same again.
    pub arguments: Vec<Text>,
    pub called_in: Text,
    pub environment: Vec<Text>,
}

impl Record {
    pub const VERSION: u32 = VERSION;

    /// Writes the record.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&self, folder: &Folder) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        folder.replace(FILE, &bytes)
    }

    /// Removes the record of an instance that is gone.
    pub fn remove(folder: &Folder) {
        let _ = folder.remove(FILE);
    }

    /// Reads the record of a service. What cannot be trusted is set aside, with a warning, and is as good as
    /// no record; what cannot be read is an error.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn read(folder: &Folder, name: &str) -> Result<Option<Record>, String> {
        let path = folder.path.join(FILE);
        let wrong = match folder.read(FILE) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidData || e.raw_os_error() == Some(libc::ELOOP) => e.to_string(),
            Err(e) => return Err(format!("cannot read the record {}: {e}", quoted(&path))),
            Ok(bytes) if written_by_a_newer_one(&bytes) => {
                return Err(format!("the record {} was written by a newer forerun; use that one", quoted(&path)));
            }
            Ok(bytes) => match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) if record.version != VERSION => format!("it has version {}", record.version),
                Ok(record) if record.name != name => format!("it is of {}", quoted(&record.name)),
                Ok(record) if record.process.pid <= 0 => format!("it has pid {}", record.process.pid),
                Ok(record) => return Ok(Some(record)),
                Err(e) => e.to_string(),
            },
        };
        let aside = format!("{FILE}.damaged");
        folder.rename(FILE, &aside).map_err(|e| format!("cannot set aside the record {}: {e}", quoted(&path)))?;
        log::warn!("the record {} cannot be trusted: {wrong}; set aside as '{aside}'", quoted(&path));
        Ok(None)
    }
}

/// Its other fields may be anything.
fn written_by_a_newer_one(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    serde_json::from_slice(bytes).is_ok_and(|Version { version }| version > VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_comes_back_to_the_byte() {
        for bytes in [&b"plain"[..], b"\xff\x00\n\"", b""] {
            let text = Text::from(OsStr::from_bytes(bytes));
            let json = serde_json::to_string(&text).expect("json");
            let back: Text = serde_json::from_str(&json).expect("text");
            assert_eq!(OsString::from(&back).as_bytes(), bytes);
        }
    }
}
