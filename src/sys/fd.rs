//! Descriptors: which ones came in, which ones go on to what is executed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockaddrStorage, getsockname, getsockopt, sockopt};
use nix::sys::stat::fstat;

use super::{limits, os};

/// Descriptors looked at one by one where the kernel cannot mark a range: more than any server opens at start.
const MOST: i32 = 65_536;

/// Opens /dev/null on those of 0 to 2 that are closed, so that no file of ours takes the place of stdin or
/// stderr. Close-on-exec: the server finds them closed, as they came.
#[cfg(not(test))]
pub fn fill_standard_descriptors() {
    for number in 0..3 {
        // SAFETY: only asks for the flags; a number that is not open is answered with EBADF.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if fcntl(fd, FcntlArg::F_GETFD).is_err() {
            // std opens with O_CLOEXEC, and the lowest free number is this one. Without a /dev a folder keeps the
            // number as well: it can neither be read nor written.
            let null = std::fs::File::options().read(true).write(true).open("/dev/null");
            if let Ok(null) = null.or_else(|_| std::fs::File::open("/")) {
                std::mem::forget(null);
            }
        }
    }
}

/// The descriptors that an exec would hand on.
pub fn open_descriptors() -> Vec<i32> {
    let numbers: Vec<i32> = match std::fs::read_dir(os::DESCRIPTORS) {
        Ok(entries) => entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect(),
        Err(_) => (0..limits::open_max().min(MOST)).collect(),
    };
    numbers.into_iter().filter(|&n| is_inheritable(n)).collect()
}

/// Whether one of the descriptors that came in is a socket that listens on this TCP port.
pub fn inherits_listener(port: u16) -> bool {
    open_descriptors().into_iter().any(|number| {
        // SAFETY: the descriptor was open a moment ago and this program closes none that it did not open.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if !getsockopt(&fd, sockopt::AcceptConn).unwrap_or(false) {
            return false;
        }
        let Ok(address) = getsockname::<SockaddrStorage>(number) else { return false };
        let v4 = address.as_sockaddr_in().map(|a| a.port());
        v4.or(address.as_sockaddr_in6().map(|a| a.port())) == Some(port)
    })
}

/// Marks every descriptor from `first` on as close-on-exec. Safe between fork and exec.
pub fn close_on_exec_from(first: i32) {
    if os::close_range_on_exec(first) {
        return;
    }
    (first..limits::open_max().min(MOST)).for_each(close_on_exec);
}

/// Keeps a descriptor that came in from what is executed.
pub fn close_on_exec(number: i32) {
    // SAFETY: sets a flag; a number that is not open is answered with EBADF.
    let _ = fcntl(unsafe { BorrowedFd::borrow_raw(number) }, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
}

/// Says on a descriptor that came in that the server is ready, by a newline, and closes it.
///
/// # Errors
/// Those of write(2).
pub fn write_ready(number: i32) -> io::Result<()> {
    // SAFETY: whoever calls this was told to write there, and does not use it again.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    nix::unistd::write(&fd, b"\n").map(drop).map_err(io::Error::from)
}

/// Takes an exclusive lock that ends with the file's descriptor. False when somebody else has it. (nix's own panics
/// where the kernel does not let go of it, as a file server that went away.)
///
/// # Errors
/// When the file system has no locks.
pub fn try_lock(file: BorrowedFd) -> io::Result<bool> {
    // SAFETY: flock takes a descriptor, which is open, and an integer.
    match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } {
        0 => Ok(true),
        _ => match io::Error::last_os_error() {
            e if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            e => Err(e),
        },
    }
}

/// Whether stderr is the socket that JOURNAL_STREAM names (`device:inode`, decimal).
pub fn stderr_is_journal(journal_stream: &OsStr) -> bool {
    let Some((device, inode)) = journal_stream.to_str().and_then(|s| s.split_once(':')) else { return false };
    // SAFETY: fstat reads nothing but the descriptor's status; 2 is open since `fill_standard_descriptors`.
    let stderr = unsafe { BorrowedFd::borrow_raw(2) };
    fstat(stderr).is_ok_and(|s| device.parse() == Ok(s.st_dev) && inode.parse() == Ok(s.st_ino))
}

/// Whether an exec would hand on a descriptor: one that came in, and not one of ours.
pub fn is_inheritable(number: i32) -> bool {
    // SAFETY: only asks for the flags; a number that is not open is answered with EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_GETFD).is_ok_and(|flags| flags & libc::FD_CLOEXEC == 0)
}
