//! How a process ended, though it was no child of ours (Linux).
//!
//! The kernel keeps that with the pid (PIDFD_GET_INFO, Linux 6.15), and since 6.17 as long as any process is in the
//! session or group that has the pid as its number. The inode of a pidfd names the pid meanwhile: it is never reused.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::super::process::Waited;
use super::super::whole::note;

/// FILEID_KERNFS (include/linux/exportfs.h): the file handle is the 64 bits of an inode number.
const INODE_HANDLE: i32 = 0xfe;
/// PIDFD_GET_INFO (include/uapi/linux/pidfd.h): reads and writes `Info`.
const GET_INFO: u32 = 0b11 << 30 | (size_of::<Info>() as u32) << 16 | 0xff << 8 | 11;
/// PIDFD_INFO_EXIT: the exit status is asked for, or was given.
const EXIT: u64 = 1 << 3;

/// `struct pidfd_info` in its first version.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    control_group: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const _: () = assert!(size_of::<Info>() == 64);

/// `struct file_handle` with an inode number.
#[repr(C)]
#[derive(Default)]
struct Handle {
    bytes: u32,
    kind: i32,
    inode: [u8; 8],
}

/// The number by which [`end_of`] finds a process after its end. 0 where the kernel has none.
pub fn trace_of(pidfd: BorrowedFd) -> u64 {
    let mut handle = Handle { bytes: 8, ..Handle::default() };
    let mut mount = 0i32;
    // SAFETY: the handle has the room that `bytes` says, the path is an empty C string, and `mount` is an integer.
    let done = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            pidfd.as_raw_fd(),
            c"".as_ptr(),
            &mut handle,
            &mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    match done == 0 && handle.kind == INODE_HANDLE && handle.bytes == 8 {
        true => u64::from_ne_bytes(handle.inode),
        false => 0,
    }
}

/// How the process ended that had this trace. `None` where it runs, or nobody knows any more.
pub fn end_of(trace: u64) -> Option<Waited> {
    if trace == 0 {
        return None;
    }
    // SAFETY: pidfd_open takes two integers. Any pidfd names the file system.
    let ours = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    // SAFETY: a descriptor that nobody else has.
    let ours = answered(ours).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })?;
    let handle = Handle { bytes: 8, kind: INODE_HANDLE, inode: trace.to_ne_bytes() };
    // SAFETY: the handle is as long as `bytes` says.
    let found = unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, ours.as_raw_fd(), &handle, libc::O_RDONLY | libc::O_CLOEXEC)
    };
    // SAFETY: a descriptor that nobody else has.
    let found = answered(found).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })?;
    how(std::os::fd::AsFd::as_fd(&found))
}

fn answered(descriptor: i64) -> Option<i32> {
    let result = if descriptor >= 0 { Ok(descriptor as i32) } else { Err(io::Error::last_os_error()) };
    note(result).ok()
}

/// How the process of a pidfd ended. `None` where it was not reaped yet, and before Linux 6.15.
pub fn how(pidfd: BorrowedFd) -> Option<Waited> {
    let mut info = Info { mask: EXIT, ..Info::default() };
    // SAFETY: the request says that it writes no more than `Info` has.
    let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO as _, &mut info) };
    (answered(done.into()).is_some() && info.mask & EXIT != 0).then(|| Waited::of(info.exit_code))
}
