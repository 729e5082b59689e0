#![forbid(unsafe_code)]
//! The log of a detached server. A start appends to it and rotates it first if it is large.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

pub use super::log_path::Place;
use crate::check::OwnLog;
use crate::error::Error;
use crate::instance::state::Folder;
use crate::text::quoted;

const NAME: &str = "server.log";
/// A larger log is rotated, in bytes.
const LARGE: u64 = 10 << 20;
/// How many rotated logs are kept.
const KEPT: u32 = 3;
/// How much of a log its end is taken from, in bytes: enough for a minute of health attempts.
const BYTES: u64 = 1 << 20;

/// The log of a service that names none.
pub fn default(root: &Path, name: &str) -> PathBuf {
    root.join(name).join(NAME)
}

/// The place of that log.
///
/// # Errors
/// As [`Folder::handle`].
pub fn own(folder: &Folder) -> io::Result<Place> {
    Ok(Place::within(folder.handle()?, NAME))
}

/// An open log.
pub struct Log {
    pub file: File,
    pub path: PathBuf,
    place: Place,
    /// The offset at which the lines of this start begin.
    begin: u64,
}

impl Log {
    /// Opens the log: `asked`, or the one in the state folder.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn open(asked: Option<&Path>, folder: &Folder) -> Result<Log, Error> {
        let path = asked.map_or_else(|| folder.path.join(NAME), Path::to_owned);
        let open = || -> io::Result<Log> {
            let place = asked.map_or_else(|| own(folder), Place::find)?;
            rotate(&place, &path);
            let file = place.append()?;
            // Non-blocking only while it is opened: a FIFO without a reader is refused, not waited for.
            fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
            let begin = file.metadata()?.len();
            Ok(Log { file, path: path.clone(), place, begin })
        };
        open()
            .map_err(|e| Error::State(format!("cannot open the log {}: {e}; choose another with --log", quoted(&path))))
    }

    /// The log, to be read from where this start begins. `None` if it is no file, or cannot be read.
    pub fn own(&self) -> Option<OwnLog> {
        let file = self.place.read().ok().filter(|file| file.metadata().is_ok_and(|status| status.is_file()))?;
        Some(OwnLog { file, begin: self.begin })
    }

    /// From here on the lines are the server's.
    pub fn begin_anew(&mut self) {
        self.begin = self.file.metadata().map_or(self.begin, |metadata| metadata.len());
    }

    /// The end of what this start wrote. Empty if the log cannot be read.
    pub fn end(&self) -> Vec<u8> {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = self.place.read()?;
            if !file.metadata()?.is_file() {
                return Ok(Vec::new());
            }
            let end = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(self.begin.max(end.saturating_sub(BYTES))))?;
            let mut bytes = Vec::new();
            file.take(BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().unwrap_or_default()
    }
}

/// Moves a large log out of the way: `.1` is the newest of the old ones.
fn rotate(place: &Place, path: &Path) {
    if place.size().is_none_or(|size| size <= LARGE) {
        return;
    }
    for number in (1..KEPT).rev() {
        let _ = place.rename(&format!(".{number}"), &format!(".{}", number + 1));
    }
    if let Err(e) = place.rename("", ".1") {
        log::warn!("cannot rotate the log {}: {e}; continuing", quoted(path));
    }
}
