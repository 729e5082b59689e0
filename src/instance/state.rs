#![forbid(unsafe_code)]
//! The state folder of a service, its lock, and files that are replaced as a whole. No file in it is opened through a
//! symlink.

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

/// The largest file that can be ours. A record contains the environment and the arguments: at most 6 MiB on Linux. One
/// byte becomes up to six characters of JSON.
const LARGEST: u64 = 40 << 20;

/// The folder of one service.
pub struct Folder {
    handle: OwnedFd,
    pub path: PathBuf,
    /// The user id that files must have to be trusted.
    owner: u32,
}

/// The lock of a service, held during a start or a stop. The file is never removed, so that everyone locks the same
/// file. The descriptor is close-on-exec, so that no server keeps the lock.
pub struct Lock {
    _file: OwnedFd,
}

/// The folder that holds the state folders of all services. Home comes from the user database, because HOME and
/// XDG_STATE_HOME differ between a shell, sudo, a unit and launchd, and all of them must find the same folder.
/// `called_in` is the folder in which forerun was started.
///
/// # Errors
/// A message, when the user database names no home.
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

/// The state folder in a user's home.
pub fn home_root(home: &Path) -> PathBuf {
    home.join(".local/state/forerun")
}

/// The names of all services that have a folder in `root`. The folder may be empty.
///
/// # Errors
/// Those of reading the folder. A missing folder is not an error.
pub fn names(root: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(root) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names: Vec<_> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

impl Lock {
    /// Locks a file of any kind that stays where it is. `None` if another process has the lock.
    ///
    /// # Errors
    /// When the file cannot be opened, is no regular file, or its file system does not support locks.
    pub fn try_file(path: &Path) -> io::Result<Option<Lock>> {
        let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty())?;
        let is_file = File::from(file.try_clone()?).metadata()?.is_file();
        match is_file {
            true => Ok(sys::try_lock(file.as_fd())?.then_some(Lock { _file: file })),
            false => Err(io::Error::other("it is not a regular file")),
        }
    }
}

const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC).union(OFlag::O_RDONLY);

impl Folder {
    /// Opens the folder of a service, and creates it if it is missing.
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

    /// Opens the folder of a service of this user, if it exists.
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

    /// The folder itself, for files that are opened in it later.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn handle(&self) -> io::Result<OwnedFd> {
        self.handle.try_clone()
    }

    /// Takes the lock. `None` if another process has it.
    ///
    /// # Errors
    /// When the file system does not support locks, or the file cannot be opened.
    pub fn try_lock(&self) -> io::Result<Option<Lock>> {
        self.try_lock_file("lock")
    }

    /// Takes the lock for installing or removing the service's unit. It is a second lock, because the start that
    /// follows takes the first.
    ///
    /// # Errors
    /// As [`Folder::try_lock`].
    pub fn try_lock_unit(&self) -> io::Result<Option<Lock>> {
        self.try_lock_file("unit-lock")
    }

    /// Removes that lock, and the folder if it is then empty. Beware: a process that waits for the removed file and one
    /// that comes later hold different locks.
    pub fn forget_unit_lock(&self) {
        let _ = self.remove("unit-lock");
        let _ = fs::remove_dir(&self.path);
    }

    fn try_lock_file(&self, name: &str) -> io::Result<Option<Lock>> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = openat(&self.handle, name, flags, private())?;
        Ok(sys::try_lock(file.as_fd())?.then_some(Lock { _file: file }))
    }

    /// Reads a file that forerun wrote.
    ///
    /// # Errors
    /// Those of the file; `InvalidData` when forerun did not write it.
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

    /// Replaces a file as a whole: a reader sees the old content or the new. The file is not synced, because after a
    /// crash of the machine the record is of an earlier boot anyway.
    ///
    /// # Errors
    /// Those of the file. Nothing is left behind then.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = replacement(name);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = match openat(&self.handle, temporary.as_str(), flags, private()) {
            // A forerun that was killed left it. We hold the lock, so nobody else uses it.
            Err(Errno::EEXIST) => {
                self.remove(&temporary)?;
                openat(&self.handle, temporary.as_str(), flags, private())
            }
            other => other,
        }?;
        let written = File::from(file).write_all(bytes).and_then(|()| {
            // ext4 writes a file to disk before it is renamed over another one. That takes half a millisecond and is
            // not needed. ext4 does not do it if the two files are exchanged.
            let exchanged = sys::exchange(self.handle.as_fd(), &temporary, name);
            if exchanged { self.remove(&temporary) } else { self.rename(&temporary, name) }
        });
        if written.is_err() {
            let _ = self.remove(&temporary);
        }
        written
    }

    /// Removes what a [`Folder::replace`] that was killed left behind.
    pub fn forget_replacement(&self, name: &str) {
        let _ = self.remove(&replacement(name));
    }

    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(self.handle.as_fd(), from, self.handle.as_fd(), to)?)
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir)?)
    }
}

/// The name of the temporary file that replaces `name`.
fn replacement(name: &str) -> String {
    format!("{name}.new")
}

fn unusable(path: &Path, e: &io::Error) -> String {
    format!("cannot use the state folder {}: {e}; set FORERUN_STATE_DIR", quoted(path))
}

fn unreadable(path: &Path, e: &io::Error) -> String {
    format!(
        "cannot use the state folder {}: {e}; correct FORERUN_STATE_DIR, or run forerun as the user who owns it",
        quoted(path)
    )
}

fn private_folder() -> Mode {
    Mode::from_bits_truncate(0o700)
}

fn private() -> Mode {
    Mode::from_bits_truncate(0o600)
}
