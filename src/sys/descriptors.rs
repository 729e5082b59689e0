//! Reads from /proc what the descriptors of a process refer to (proc_pid_fd(5)).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::super::descriptor::{Descriptor, Kind};

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

fn anonymous(name: &[u8]) -> Kind {
    let name = name.strip_prefix(b"[").and_then(|n| n.strip_suffix(b"]")).unwrap_or(name);
    match name {
        b"eventfd" => Kind::Eventfd,
        b"eventpoll" => Kind::Epoll,
        b"timerfd" => Kind::Timerfd,
        b"signalfd" => Kind::Signalfd,
        b"inotify" | b"fanotify" => Kind::Inotify,
        b"pidfd" => Kind::Pidfd,
        b"io_uring" => Kind::IoUring,
        _ => Kind::Other,
    }
}

fn inode(link: &[u8], prefix: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(prefix)?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The sockets in a process's network namespace, by inode. Tables that cannot be read count as empty.
fn sockets(pid: i32) -> HashMap<u64, (Kind, Option<OsString>)> {
    let mut sockets = HashMap::new();
    let table = |name: &str| fs::read(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    for name in ["tcp", "tcp6"] {
        // sl local remote st tx:rx tr:when retrnsmt uid timeout inode (proc_net_tcp(5)); 0A is LISTEN.
        for line in table(name).split(|&b| b == b'\n').skip(1) {
            let mut words = line.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty()).skip(3);
            let (state, inode) = (words.next(), words.nth(5).and_then(number));
            let kind = if state == Some(b"0A") { Kind::Listening } else { Kind::Connected };
            sockets.extend(inode.map(|inode| (inode, (kind, None))));
        }
    }
    for line in table("unix").split(|&b| b == b'\n').skip(1) {
        sockets.extend(unix_socket(line).map(|(inode, path)| (inode, (Kind::Unix, path))));
    }
    sockets
}

/// Parses a line of /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path. The columns are padded, and the
/// path may contain blanks.
fn unix_socket(line: &[u8]) -> Option<(u64, Option<OsString>)> {
    let (mut word, mut rest) = (&line[..0], line);
    for _ in 0..7 {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        (word, rest) = rest.split_at(end);
    }
    let path = rest.get(1..).filter(|path| !path.is_empty()).map(|path| OsStr::from_bytes(path).to_owned());
    Some((number(word)?, path))
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}
