#![forbid(unsafe_code)]
//! The log of a detached server. A start appends to it and rotates it first if it is large.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

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

/// An open log.
pub struct Log {
    pub file: File,
    pub path: PathBuf,
    /// The log is in the state folder: nothing there is opened through a symlink.
    own: bool,
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
        rotate(&path);
        let open = || -> io::Result<Log> {
            let file = match asked {
                Some(path) => {
                    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
                    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags.bits()).open(path)?
                }
                None => folder.append(NAME)?,
            };
            // Non-blocking only while it is opened: a FIFO without a reader is refused, not waited for.
            fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
            let begin = file.metadata()?.len();
            Ok(Log { file, path: path.clone(), own: asked.is_none(), begin })
        };
        open()
            .map_err(|e| Error::State(format!("cannot open the log {}: {e}; choose another with --log", quoted(&path))))
    }

    /// The end of what this start wrote. Empty if the log cannot be read.
    pub fn end(&self) -> Vec<u8> {
        let read = || -> io::Result<Vec<u8>> {
            let follow = if self.own { OFlag::O_NOFOLLOW } else { OFlag::empty() };
            let flags = OFlag::O_NONBLOCK | follow;
            let mut file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&self.path)?;
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
fn rotate(path: &Path) {
    let is_large = fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() > LARGE);
    if !is_large {
        return;
    }
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..KEPT).rev() {
        let _ = fs::rename(numbered(number), numbered(number + 1));
    }
    if let Err(e) = fs::rename(path, numbered(1)) {
        log::warn!("cannot rotate the log {}: {e}; continuing", quoted(path));
    }
}
