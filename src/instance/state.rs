#![forbid(unsafe_code)]
//! The state folder of a service, its lock, and files that are replaced as a whole. Nothing in it is opened
//! through a symlink.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use crate::environment::Environment;
use crate::sys;
use crate::text::quoted;

/// Larger files are not ours. A record has the environment and the arguments: at most 6 MiB on Linux, and a byte
/// becomes up to six characters of JSON.
const LARGEST: u64 = 40 << 20;

/// The folder of one service.
pub struct Folder {
    handle: OwnedFd,
    pub path: PathBuf,
}

/// The lock of a service, held while starting or stopping. The file is never removed, so that everybody
/// locks the same one; the descriptor is close-on-exec, so that no server keeps it.
pub struct Lock {
    _file: OwnedFd,
}

/// Where the folders of all services are. The user database says where home is: HOME and XDG_STATE_HOME differ
/// between a shell, sudo, a unit and launchd, and all of them must meet. `called_in`: where forerun was started.
///
/// # Errors
/// A message, when nobody says where.
pub fn root(environment: &Environment, called_in: &Path) -> Result<PathBuf, String> {
    if let Some(folder) = environment.filled("FORERUN_STATE_DIR") {
        return Ok(called_in.join(folder));
    }
    let home = sys::home_directory().filter(|home| home.is_absolute());
    home.map(|home| home.join(".local/state/forerun"))
        .ok_or_else(|| "cannot find this user's home in the user database; set FORERUN_STATE_DIR".to_owned())
}

impl Folder {
    /// Opens the folder of a service, which is made where it is not there.
    ///
    /// # Errors
    /// A message that names the folder.
    pub fn open(root: &Path, name: &str) -> Result<Self, String> {
        let path = root.join(name);
        let failed =
            |e: io::Error| format!("cannot use the state folder {}: {e}; set FORERUN_STATE_DIR", quoted(&path));
        let (flags, none) = (OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY, Mode::empty());
        let parent = match open(root, flags, none) {
            Err(Errno::ENOENT) => {
                DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
                open(root, flags, none)
            }
            other => other,
        };
        let parent = parent.map_err(|e| failed(e.into()))?;
        let (private, own) = (Mode::from_bits_truncate(0o700), flags | OFlag::O_NOFOLLOW);
        let handle = match openat(&parent, name, own, none) {
            Err(Errno::ENOENT) => match mkdirat(&parent, name, private) {
                Ok(()) | Err(Errno::EEXIST) => openat(&parent, name, own, none),
                Err(e) => Err(e),
            },
            other => other,
        };
        let handle = handle.map_err(|e| failed(e.into()))?;
        let status = fstat(&handle).map_err(|e| failed(e.into()))?;
        if status.st_uid != geteuid().as_raw() {
            return Err(failed(io::Error::other(format!("it belongs to user {}", status.st_uid))));
        }
        if status.st_mode & 0o077 != 0 {
            fchmod(&handle, private).map_err(|e| failed(e.into()))?;
        }
        Ok(Folder { handle, path })
    }

    /// Takes the lock, or says that somebody else has it.
    ///
    /// # Errors
    /// When the file system has no locks, or the file cannot be opened.
    pub fn try_lock(&self) -> io::Result<Option<Lock>> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = openat(&self.handle, "lock", flags, private())?;
        Ok(sys::try_lock(file.as_fd())?.then_some(Lock { _file: file }))
    }

    /// Reads a file that we wrote.
    ///
    /// # Errors
    /// Those of the file; `InvalidData` when it is no file of ours.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = File::from(openat(&self.handle, name, flags, Mode::empty())?);
        let status = file.metadata()?;
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if !status.is_file() {
            return wrong("it is no regular file");
        }
        if status.uid() != geteuid().as_raw() {
            return wrong("it belongs to another user");
        }
        if status.len() > LARGEST {
            return wrong("it is too large");
        }
        let mut bytes = Vec::with_capacity(status.len() as usize);
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Replaces a file as a whole: whoever reads it sees the old one or the new one. Not synced: after a crash
    /// of the machine the record is of another boot.
    ///
    /// # Errors
    /// Those of the file; nothing is left over.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = format!("{name}.new");
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = match openat(&self.handle, temporary.as_str(), flags, private()) {
            // Left over from a forerun that was killed: we have the lock.
            Err(Errno::EEXIST) => {
                self.remove(&temporary)?;
                openat(&self.handle, temporary.as_str(), flags, private())
            }
            other => other,
        }?;
        let written = File::from(file).write_all(bytes).and_then(|()| {
            // ext4 writes a file out to disk before it is renamed over another, half a millisecond that nobody
            // needs; it does not when the two are exchanged.
            let exchanged = sys::exchange(self.handle.as_fd(), &temporary, name);
            if exchanged { self.remove(&temporary) } else { self.rename(&temporary, name) }
        });
        if written.is_err() {
            let _ = self.remove(&temporary);
        }
        written
    }

    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(self.handle.as_fd(), from, self.handle.as_fd(), to)?)
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Opens a file to append to.
    ///
    /// # Errors
    /// Those of the file; a symlink is one.
    pub fn append(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&self.handle, name, flags | OFlag::O_NONBLOCK, private())?.into())
    }
}

fn private() -> Mode {
    Mode::from_bits_truncate(0o600)
}
