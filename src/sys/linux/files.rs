//! Files: folders that are gone through, links, exchanges (open(2), rename(2)).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;

use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::super::link::Link;

/// How to open a folder only to go through it: it need not be readable.
pub const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Looks at a symlink in a folder. Owner and target are those of the same link, whoever replaces it meanwhile.
///
/// # Errors
/// Those of the file system; also if it is no symlink any more.
pub fn link_at(folder: BorrowedFd, name: &OsStr) -> io::Result<Link> {
    let link = openat(folder, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let status = fstat(&link)?;
    if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFLNK {
        return Err(io::Error::other("it was replaced meanwhile"));
    }
    let is_text = fstatfs(&link)?.filesystem_type() != PROC_SUPER_MAGIC;
    let target = is_text.then(|| readlinkat(&link, "")).transpose()?;
    Ok(Link { owner: status.st_uid, target })
}

/// The path of the regular file that a descriptor of ours refers to.
pub fn file_of(descriptor: BorrowedFd) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).ok()?;
    path.metadata().is_ok_and(|m| m.is_file()).then_some(path)
}

/// The file that this process runs, even after an upgrade has replaced it.
pub fn own_executable() -> io::Result<PathBuf> {
    Ok("/proc/self/exe".into())
}

/// Exchanges two files of a folder. False if one is missing or the file system cannot do it.
pub fn exchange(folder: BorrowedFd, one: &str, other: &str) -> bool {
    nix::fcntl::renameat2(folder, one, folder, other, nix::fcntl::RenameFlags::RENAME_EXCHANGE).is_ok()
}
