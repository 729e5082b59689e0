//! Descriptors: which ones forerun inherited, and which ones the executed program inherits.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockaddrStorage, getsockname, getsockopt, sockopt};
use nix::sys::stat::fstat;

use super::{limits, os};

/// The number of descriptors to look at one by one if the kernel cannot mark a range. No server opens more when it
/// starts.
const MOST: i32 = 65_536;

/// Opens /dev/null on each of 0 to 2 that is closed, so that no file of ours becomes stdin, stdout or stderr. They are
/// close-on-exec, so the server finds them closed, as they came.
#[cfg(not(test))]
pub fn fill_standard_descriptors() {
    for number in 0..3 {
        // SAFETY: only asks for the flags; a number that is not open is answered with EBADF.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if fcntl(fd, FcntlArg::F_GETFD).is_err() {
            // std opens with O_CLOEXEC, and gets the lowest free number, which is this one. Without /dev, opening a
            // folder also keeps the number occupied; a folder can neither be read nor written.
            let null = std::fs::File::options().read(true).write(true).open("/dev/null");
            if let Ok(null) = null.or_else(|_| std::fs::File::open("/")) {
                std::mem::forget(null);
            }
        }
    }
}

/// The descriptors that an executed program would inherit.
pub fn open_descriptors() -> Vec<i32> {
    let numbers: Vec<i32> = match std::fs::read_dir(os::DESCRIPTORS) {
        Ok(entries) => entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect(),
        Err(_) => (0..limits::open_max().min(MOST)).collect(),
    };
    numbers.into_iter().filter(|&n| is_inheritable(n)).collect()
}

/// Whether an inherited descriptor is a socket that listens on this TCP port.
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

/// Marks all descriptors from `first` on as close-on-exec. Safe between fork and exec.
pub fn close_on_exec_from(first: i32) {
    if os::close_range_on_exec(first) {
        return;
    }
    (first..limits::open_max().min(MOST)).for_each(close_on_exec);
}

/// Closes all descriptors from `first` on but two. Safe after fork.
pub fn close_from_but(first: i32, mut keep: [i32; 2]) {
    keep.sort_unstable();
    let ends = [keep[0] - 1, keep[1] - 1, i32::MAX];
    for (from, to) in [first, keep[0] + 1, keep[1] + 1].into_iter().zip(ends).filter(|(from, to)| from <= to) {
        if !os::close_range(from, to) {
            for number in from..=to.min(limits::open_max().min(MOST)) {
                // SAFETY: whoever calls this uses none of them again; one that is not open is answered with EBADF.
                unsafe { libc::close(number) };
            }
        }
    }
}

/// Marks an inherited descriptor as close-on-exec.
pub fn close_on_exec(number: i32) {
    // SAFETY: sets a flag; a number that is not open is answered with EBADF.
    let _ = fcntl(unsafe { BorrowedFd::borrow_raw(number) }, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
}

/// Reports readiness: writes a newline to an inherited descriptor and closes it.
///
/// # Errors
/// Those of write(2).
pub fn write_ready(number: i32) -> io::Result<()> {
    // SAFETY: whoever calls this was told to write there, and does not use it again.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    nix::unistd::write(&fd, b"\n").map(drop).map_err(io::Error::from)
}

/// Takes an exclusive lock that lasts as long as the file's descriptor. False if another process has it. (The lock type
/// of nix panics if unlocking fails, as on a file server that is gone.)
///
/// # Errors
/// When the file system does not support locks.
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

/// Whether stderr is the socket that JOURNAL_STREAM names (`device:inode`, decimal; systemd.exec(5)).
pub fn stderr_is_journal(journal_stream: &OsStr) -> bool {
    let Some((device, inode)) = journal_stream.to_str().and_then(|s| s.split_once(':')) else { return false };
    // SAFETY: fstat reads nothing but the descriptor's status; 2 is open since `fill_standard_descriptors`.
    let stderr = unsafe { BorrowedFd::borrow_raw(2) };
    fstat(stderr).is_ok_and(|s| device.parse() == Ok(s.st_dev) && inode.parse() == Ok(s.st_ino))
}

/// Whether an executed program would inherit a descriptor. True for inherited ones, false for those that forerun
/// opened.
pub fn is_inheritable(number: i32) -> bool {
    // SAFETY: only asks for the flags; a number that is not open is answered with EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_GETFD).is_ok_and(|flags| flags & libc::FD_CLOEXEC == 0)
}
