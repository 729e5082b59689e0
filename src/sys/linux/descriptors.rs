//! Reads from /proc what the descriptors of a process refer to (proc_pid_fd(5)).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::super::descriptor::{Descriptor, Kind};
use super::super::procfs::{anonymous, inode, soft_limit, tcp_sockets, unix_socket};
use super::super::whole::note;
use super::proc::number;

/// The open descriptors of a process.
///
/// # Errors
/// When the process does not exist, or this user may not look into it.
pub fn descriptors(pid: i32) -> io::Result<Vec<Descriptor>> {
    let links = links(pid)?.map(|(number, link)| (number, link.into_vec())).collect::<Vec<_>>();
    let has_sockets = links.iter().any(|(_, link)| link.starts_with(b"socket:["));
    let sockets = if has_sockets { sockets(pid) } else { HashMap::new() };
    let mut all: Vec<_> = links
        .into_iter()
        .map(|(number, link)| {
            let socket = inode(&link, b"socket:[").map(|inode| sockets.get(&inode));
            let (kind, what) = match socket {
                Some(known) => known.cloned().unwrap_or((Kind::Socket, None)),
                None => kind(pid, number, &link),
            };
            Descriptor { number, kind, what }
        })
        .collect();
    all.sort_by_key(|descriptor| descriptor.number);
    Ok(all)
}

/// The number of pseudo-terminals whose master side a process holds.
///
/// # Errors
/// As [`descriptors`].
pub fn pty_masters(pid: i32) -> io::Result<u64> {
    Ok(links(pid)?.filter(|(_, link)| is_master(link.as_bytes())).count() as u64)
}

/// Each descriptor with the text of its link. Leaves out a descriptor that is closed meanwhile.
fn links(pid: i32) -> io::Result<impl Iterator<Item = (i32, OsString)>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(entries.flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?.into_os_string()))
    }))
}

fn is_master(link: &[u8]) -> bool {
    link == b"/dev/ptmx" || link == b"/dev/pts/ptmx"
}

/// The kind of a descriptor that is not a socket.
fn kind(pid: i32, number: i32, link: &[u8]) -> (Kind, Option<OsString>) {
    let path = || Some(OsStr::from_bytes(link).to_owned());
    if let Some(name) = link.strip_prefix(b"anon_inode:") {
        return (anonymous(name), None);
    }
    match link {
        _ if link.starts_with(b"pipe:[") => (Kind::Pipe, None),
        _ if is_master(link) => (Kind::PtyMaster, path()),
        _ if link.starts_with(b"/dev/pts/") => (Kind::Terminal, path()),
        _ if link.starts_with(b"/memfd:") => (Kind::Memfd, path()),
        _ if link.starts_with(b"/") => (file(pid, number), path()),
        _ => (Kind::Other, path()),
    }
}

/// Looks at the file itself, because its path may belong to another file by now.
fn file(pid: i32, number: i32) -> Kind {
    use std::os::unix::fs::FileTypeExt;
    match fs::metadata(format!("/proc/{pid}/fd/{number}")).map(|m| m.file_type()) {
        Ok(kind) if kind.is_dir() => Kind::Directory,
        Ok(kind) if kind.is_fifo() => Kind::Fifo,
        Ok(kind) if kind.is_char_device() || kind.is_block_device() => Kind::Device,
        _ => Kind::File,
    }
}

/// The sockets in a process's network namespace, by inode. Tables that cannot be read count as empty.
fn sockets(pid: i32) -> HashMap<u64, (Kind, Option<OsString>)> {
    let mut sockets = HashMap::new();
    let table = |name: &str| fs::read(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    for name in ["tcp", "tcp6"] {
        let kind = |listens| if listens { Kind::Listening } else { Kind::Connected };
        sockets.extend(tcp_sockets(&table(name)).map(|(inode, listens)| (inode, (kind(listens), None))));
    }
    for line in table("unix").split(|&b| b == b'\n').skip(1) {
        sockets.extend(unix_socket(line).map(|(inode, path)| (inode, (Kind::Unix, path))));
    }
    sockets
}

/// The folder that lists the descriptors of this process.
pub const DESCRIPTORS: &str = "/proc/self/fd";

/// The number of open descriptors of a process, and its soft limit.
pub fn descriptor_count(pid: i32) -> Option<(u64, Option<u64>)> {
    let open = note(fs::read_dir(format!("/proc/{pid}/fd"))).ok()?.count() as u64;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    Some((open, soft_limit(&limits)))
}

/// Marks all descriptors from `first` on as close-on-exec. False before Linux 5.11.
pub fn close_range_on_exec(first: i32) -> bool {
    // SAFETY: close_range takes three integers; with CLOEXEC it only sets flags.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) == 0 }
}

/// Closes a range of descriptors. False before Linux 5.9.
pub fn close_range(first: i32, last: i32) -> bool {
    // SAFETY: close_range takes three integers; the caller uses none of these descriptors again.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) == 0 }
}

/// The number of descriptors that the kernel allows for any process, whatever its limits are.
pub fn most_descriptors() -> Option<u64> {
    number("/proc/sys/fs/nr_open").ok()
}

/// How many of the system's pseudo-terminals are in use, and how many there can be.
///
/// # Errors
/// When the kernel's counters cannot be read.
pub fn ptys() -> io::Result<(u64, u64)> {
    Ok((number("/proc/sys/kernel/pty/nr")?, number("/proc/sys/kernel/pty/max")?))
}
