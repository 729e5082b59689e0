#![forbid(unsafe_code)]
//! The state folder of a service, its lock, and files that are replaced as a whole. Nothing in it is opened
//! through a symlink.

use std::fs::{self, DirBuilder, File};
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
    /// Whose files are to be trusted in it.
    owner: u32,
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
    if let Some(folder) = chosen_root(environment, called_in) {
        return Ok(folder);
    }
    let home = sys::home_directory().filter(|home| home.is_absolute());
    home.map(|home| home_root(&home))
        .ok_or_else(|| "cannot find this user's home in the user database; set FORERUN_STATE_DIR".to_owned())
}

/// The folder that FORERUN_STATE_DIR names.
pub fn chosen_root(environment: &Environment, called_in: &Path) -> Option<PathBuf> {
    environment.filled("FORERUN_STATE_DIR").map(|folder| called_in.join(folder))
}

/// The folder in a user's home.
pub fn home_root(home: &Path) -> PathBuf {
    home.join(".local/state/forerun")
}

/// The names of all services that have a folder in `root`; whether anything is there is another question.
///
/// # Errors
/// Those of the folder; that it is not there is none.
pub fn names(root: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(root) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names: Vec<_> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC).union(OFlag::O_RDONLY);

impl Folder {
    /// Opens the folder of a service, which is made where it is not there.
    ///
    /// # Errors
    /// A message that names the folder.
    pub fn open(root: &Path, name: &str) -> Result<Self, String> {
        let failed = |e| unusable(&root.join(name), &e);
        let parent = match open(root, FOLDER, Mode::empty()) {
            Err(Errno::ENOENT) => {
                DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
                open(root, FOLDER, Mode::empty())
            }
            other => other,
        };
        let parent = parent.map_err(|e| failed(e.into()))?;
        match mkdirat(&parent, name, private_folder()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err(failed(e.into())),
        }
        let folder = Self::within(&parent, root, name, geteuid().as_raw())?;
        let folder = folder.ok_or_else(|| failed(Errno::ENOENT.into()))?;
        let mode = fstat(&folder.handle).map_err(|e| failed(e.into()))?.st_mode;
        if mode & 0o077 != 0 {
            fchmod(&folder.handle, private_folder()).map_err(|e| failed(e.into()))?;
        }
        Ok(folder)
    }

    /// Opens the folder of a service of a user, where it is there.
    ///
    /// # Errors
    /// A message that names the folder.
    pub fn existing(root: &Path, name: &str, owner: u32) -> Result<Option<Self>, String> {
        match open(root, FOLDER, Mode::empty()) {
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(unreadable(&root.join(name), &e.into())),
            Ok(parent) => Self::within(&parent, root, name, owner),
        }
    }

    fn within(parent: &OwnedFd, root: &Path, name: &str, owner: u32) -> Result<Option<Self>, String> {
        let path = root.join(name);
        let failed = |e: io::Error| unreadable(&path, &e);
        let handle = match openat(parent, name, FOLDER | OFlag::O_NOFOLLOW, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            handle => handle.map_err(|e| failed(e.into()))?,
        };
        let status = fstat(&handle).map_err(|e| failed(e.into()))?;
        if status.st_uid != owner {
            return Err(failed(io::Error::other(format!("it belongs to user {}", status.st_uid))));
        }
        Ok(Some(Folder { handle, path, owner }))
    }

    /// Takes the lock, or says that somebody else has it.
    ///
    /// # Errors
    /// When the file system has no locks, or the file cannot be opened.
    pub fn try_lock(&self) -> io::Result<Option<Lock>> {
        self.try_lock_file("lock")
    }

    /// The same for whoever installs or removes the service's unit: the start that comes of it takes the other.
    ///
    /// # Errors
    /// As [`Folder::try_lock`].
    pub fn try_lock_unit(&self) -> io::Result<Option<Lock>> {
        self.try_lock_file("unit-lock")
    }

    /// Removes that lock, and the folder if it has nothing else. Who waits for the lock has another one than who comes.
    pub fn forget_unit_lock(&self) {
        let _ = self.remove("unit-lock");
        let _ = fs::remove_dir(&self.path);
    }

    fn try_lock_file(&self, name: &str) -> io::Result<Option<Lock>> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = openat(&self.handle, name, flags, private())?;
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
            return wrong("it is not a regular file");
        }
        if status.uid() != self.owner {
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
        let temporary = replacement(name);
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

    /// Removes what is left of a [`Folder::replace`] that was killed.
    pub fn forget_replacement(&self, name: &str) {
        let _ = self.remove(&replacement(name));
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

/// What a file is called before it is in the place of `name`.
fn replacement(name: &str) -> String {
    format!("{name}.new")
}

fn unusable(path: &Path, e: &io::Error) -> String {
    format!("cannot use the state folder {}: {e}; set FORERUN_STATE_DIR", quoted(path))
}

fn unreadable(path: &Path, e: &io::Error) -> String {
    format!(
        "cannot use the state folder {}: {e}; set FORERUN_STATE_DIR rightly, or run forerun as its user",
        quoted(path)
    )
}

fn private_folder() -> Mode {
    Mode::from_bits_truncate(0o700)
}

fn private() -> Mode {
    Mode::from_bits_truncate(0o600)
}
