#![forbid(unsafe_code)]
//! Where a log lies. The way there is walked folder by folder, and a symlink on it is followed only if root or this user
//! made it: with another user's link, that user would choose the file that the server's output is appended to.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::geteuid;

use crate::service::components;
use crate::sys;
use crate::text::quoted;

/// As many symlinks as the kernel follows.
const MOST_LINKS: usize = 40;
/// Nobody is waited for while it is opened (a FIFO), and no terminal becomes ours.
const OPENED: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// The folder that a log is in, and its name there.
pub struct Place {
    folder: OwnedFd,
    name: OsString,
    /// A link of /proc, such as the one behind /dev/stderr: only the kernel can follow it.
    is_of_kernel: bool,
}

impl Place {
    /// A file in a folder that was opened before.
    pub fn within(folder: OwnedFd, name: &str) -> Place {
        Place { folder, name: name.into(), is_of_kernel: false }
    }

    /// Walks to a file, which need not exist.
    ///
    /// # Errors
    /// Those of the file system, and a symlink of another user.
    pub fn find(path: &Path) -> io::Result<Place> {
        let us = geteuid().as_raw();
        let root = || open("/", sys::FOLDER, Mode::empty());
        let path = std::path::absolute(path)?;
        let mut left = components(&path);
        let (mut folder, mut at, mut links) = (root()?, PathBuf::from("/"), 0);
        while let Some(name) = left.pop() {
            let is_last = left.is_empty();
            if name == ".." {
                folder = openat(&folder, "..", sys::FOLDER, Mode::empty())?;
                at.pop();
                continue;
            }
            let status = fstatat(&folder, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            if !status.is_ok_and(|status| has_kind(&status, SFlag::S_IFLNK)) {
                if is_last {
                    return Ok(Place { folder, name, is_of_kernel: false });
                }
                folder = openat(&folder, name.as_os_str(), sys::FOLDER | OFlag::O_NOFOLLOW, Mode::empty())?;
                at.push(name);
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP.into());
            }
            let link = sys::link_at(folder.as_fd(), &name)?;
            if link.owner != 0 && link.owner != us {
                let (link, owner) = (quoted(&at.join(&name)), quoted(&sys::user_name(link.owner)));
                return Err(io::Error::other(format!("{link} is a symlink that belongs to {owner}")));
            }
            match link.target {
                None if is_last => return Ok(Place { folder, name, is_of_kernel: true }),
                None => folder = openat(&folder, name.as_os_str(), sys::FOLDER, Mode::empty())?,
                Some(target) => {
                    if Path::new(&target).is_absolute() {
                        (folder, at) = (root()?, PathBuf::from("/"));
                    }
                    left.extend(components(Path::new(&target)));
                }
            }
        }
        Err(Errno::EISDIR.into())
    }

    /// Opens it for appending, and creates it if it is missing.
    ///
    /// # Errors
    /// Those of the file; also a file that somebody else may have linked there.
    pub fn append(&self) -> io::Result<File> {
        self.open(OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT)
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// As [`Place::append`].
    pub fn read(&self) -> io::Result<File> {
        self.open(OFlag::O_RDONLY)
    }

    fn open(&self, flags: OFlag) -> io::Result<File> {
        let follow = if self.is_of_kernel { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        let mode = Mode::from_bits_truncate(0o600);
        let file = File::from(openat(&self.folder, self.name.as_os_str(), flags | follow | OPENED, mode)?);
        let status = file.metadata()?;
        if !self.is_of_kernel && is_doubtful(&status, &fstat(&self.folder)?, geteuid().as_raw()) {
            let why = "it has another name, and others can write in its folder: one of them may have linked it there";
            return Err(io::Error::other(why));
        }
        Ok(file)
    }

    /// Its size, if it is a regular file.
    pub fn size(&self) -> Option<u64> {
        let status = fstatat(&self.folder, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        has_kind(&status, SFlag::S_IFREG).then(|| u64::try_from(status.st_size).unwrap_or_default())
    }

    /// Gives it, or the file with this ending, another ending. No symlink is followed, and it stays in its folder.
    ///
    /// # Errors
    /// Those of the file.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let named = |ending: &str| {
            let mut name = self.name.clone();
            name.push(ending);
            name
        };
        Ok(renameat(&self.folder, named(from).as_os_str(), &self.folder, named(to).as_os_str())?)
    }
}

fn has_kind(status: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == kind
}

/// Whether somebody else may have put this file there by a hard link, to have it written to. Not every system refuses
/// that (Linux: fs.protected_hardlinks).
fn is_doubtful(file: &fs::Metadata, folder: &FileStat, us: u32) -> bool {
    let others_write = folder.st_mode & 0o022 != 0 || (folder.st_uid != 0 && folder.st_uid != us);
    file.is_file() && file.nlink() > 1 && others_write
}
