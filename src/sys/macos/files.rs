//! Files: folders that are gone through, links, exchanges.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::sys::stat::{FileStat, fstatat};

use super::super::link::Link;

/// How to open a folder only to go through it: it need not be readable.
pub const FOLDER: OFlag = OFlag::from_bits_retain(libc::O_SEARCH).union(OFlag::O_CLOEXEC);

/// Looks at a symlink in a folder. Before macOS 13 no descriptor of a link can be read, so the link is looked at before
/// and after: a rename changes its ctime.
///
/// # Errors
/// Those of the file system; also if it is no symlink any more.
pub fn link_at(folder: BorrowedFd, name: &OsStr) -> io::Result<Link> {
    let look = || fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW);
    let (before, target, after) = (look()?, readlinkat(folder, name)?, look()?);
    let identity = |status: &FileStat| (status.st_dev, status.st_ino, status.st_ctime, status.st_ctime_nsec);
    if identity(&before) != identity(&after) {
        return Err(io::Error::other("it was replaced meanwhile"));
    }
    Ok(Link { owner: before.st_uid, target: Some(target) })
}

/// The path of the regular file that a descriptor of ours refers to.
pub fn file_of(descriptor: BorrowedFd) -> Option<PathBuf> {
    let mut path = [0u8; libc::PATH_MAX as usize];
    // nix would panic at a path that is not UTF-8.
    // SAFETY: the descriptor is open, and the kernel writes a C string of at most PATH_MAX bytes.
    if unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETPATH, path.as_mut_ptr()) } == -1 {
        return None;
    }
    let path = PathBuf::from(OsStr::from_bytes(CStr::from_bytes_until_nul(&path).ok()?.to_bytes()));
    path.metadata().is_ok_and(|m| m.is_file()).then_some(path)
}

/// The file that this process runs.
///
/// # Errors
/// When the system does not know it.
pub fn own_executable() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Not needed here: a rename is cheap.
pub fn exchange(_folder: BorrowedFd, _one: &str, _other: &str) -> bool {
    false
}
