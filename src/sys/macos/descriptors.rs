//! The descriptors of a process: libproc (sys/proc_info.h).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::super::descriptor::{Descriptor, Kind};
use super::super::whole::note;
use super::sysctl::number;

/// The folder that lists the descriptors of this process.
pub const DESCRIPTORS: &str = "/dev/fd";

/// The number of open descriptors of a process. macOS does not tell another process's limit.
pub fn descriptor_count(pid: i32) -> Option<(u64, Option<u64>)> {
    Some((list(pid).ok()?.len() as u64, None))
}

/// `struct proc_fdinfo` (sys/proc_info.h): a descriptor and its type, PROX_FDTYPE_*.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FdInfo {
    number: i32,
    kind: u32,
}

fn list(pid: i32) -> io::Result<Vec<FdInfo>> {
    // SAFETY: with a null buffer the call only returns how many bytes the list would need, with room to spare.
    let room = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, std::ptr::null_mut(), 0) };
    let room = usize::try_from(room).ok().filter(|&room| room > 0);
    let room = note(room.ok_or_else(io::Error::last_os_error))?;
    let mut list = vec![FdInfo::default(); room / size_of::<FdInfo>()];
    let size = size_of_val(list.as_slice()) as i32;
    // SAFETY: the buffer is as large as said; the call returns how many bytes it wrote.
    let got = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, list.as_mut_ptr().cast(), size) };
    let got = usize::try_from(got).ok().filter(|&got| got > 0).ok_or_else(io::Error::last_os_error)?;
    list.truncate(got / size_of::<FdInfo>());
    Ok(list)
}

/// `struct vnode_fdinfowithpath` (sys/proc_info.h): `struct proc_fileinfo`, then `struct vnode_info_path`.
#[repr(C)]
struct VnodeInfo {
    _file: [u64; 3],
    vnode: libc::vnode_info_path,
}

const _: () = assert!(size_of::<VnodeInfo>() == 1200);

/// The kind and the path of a descriptor that refers to a vnode.
fn vnode(pid: i32, number: i32) -> Option<(Kind, OsString)> {
    const PROC_PIDFDVNODEPATHINFO: i32 = 2;
    // SAFETY: it has only integers and arrays of them, for which zero is a value.
    let mut info: VnodeInfo = unsafe { std::mem::zeroed() };
    let size = size_of::<VnodeInfo>() as i32;
    // SAFETY: the buffer is as large as said.
    let got = unsafe { libc::proc_pidfdinfo(pid, number, PROC_PIDFDVNODEPATHINFO, (&raw mut info).cast(), size) };
    if got != size {
        return None;
    }
    let bytes: Vec<u8> = info.vnode.vip_path.as_flattened().iter().map(|&c| c as u8).collect();
    let path = bytes.split(|&b| b == 0).next().filter(|path| !path.is_empty())?;
    let kind = match path {
        b"/dev/ptmx" => Kind::PtyMaster,
        path if path.starts_with(b"/dev/ttys") => Kind::Terminal,
        // enum vtype of sys/vnode.h.
        _ => match info.vnode.vip_vi.vi_type {
            2 => Kind::Directory,
            3 | 4 => Kind::Device,
            7 => Kind::Fifo,
            _ => Kind::File,
        },
    };
    Some((kind, OsString::from_vec(path.to_vec())))
}

/// The open descriptors of a process. Listening sockets are not told apart from others.
///
/// # Errors
/// When the process does not exist, or this user may not look into it.
pub fn descriptors(pid: i32) -> io::Result<Vec<Descriptor>> {
    Ok(list(pid)?.into_iter().map(|fd| descriptor(pid, fd)).collect())
}

/// The number of pseudo-terminals whose master side a process holds.
///
/// # Errors
/// As [`descriptors`].
pub fn pty_masters(pid: i32) -> io::Result<u64> {
    let is_master = |fd: &FdInfo| descriptor(pid, *fd).kind == Kind::PtyMaster;
    Ok(list(pid)?.iter().filter(|fd| is_master(fd)).count() as u64)
}

fn descriptor(pid: i32, fd: FdInfo) -> Descriptor {
    // PROX_FDTYPE_* of sys/proc_info.h.
    let (kind, what) = match fd.kind {
        1 => vnode(pid, fd.number).map_or((Kind::File, None), |(kind, path)| (kind, Some(path))),
        2 => (Kind::Socket, None),
        5 => (Kind::Epoll, None),
        6 => (Kind::Pipe, None),
        _ => (Kind::Other, None),
    };
    Descriptor { number: fd.number, kind, what }
}

/// macOS cannot mark a range of descriptors.
pub fn close_range_on_exec(_first: i32) -> bool {
    false
}

/// macOS cannot close a range of descriptors.
pub fn close_range(_first: i32, _last: i32) -> bool {
    false
}

/// The number of descriptors that a process can have open. The kernel clamps a higher soft limit.
pub fn most_descriptors() -> Option<u64> {
    number(c"kern.maxfilesperproc")
}

/// How many of the system's pseudo-terminals are in use, and how many there can be. A pseudo-terminal in use has a node
/// /dev/ttysNNN until both of its sides are closed.
///
/// # Errors
/// When the limit or /dev cannot be read.
pub fn ptys() -> io::Result<(u64, u64)> {
    let most = number(c"kern.tty.ptmx_max").ok_or_else(io::Error::last_os_error)?;
    let used = fs::read_dir("/dev")?.flatten().filter(|e| {
        let name = e.file_name();
        let digits = name.as_bytes().strip_prefix(b"ttys").unwrap_or_default();
        digits.len() == 3 && digits.iter().all(u8::is_ascii_digit)
    });
    Ok((used.count() as u64, most))
}
