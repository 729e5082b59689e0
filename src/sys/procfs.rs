//! Texts of /proc (proc(5)), without any look at the system.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::descriptor::Kind;

/// The strings of a list in which each ends with a NUL: /proc/PID/cmdline, /proc/PID/environ.
pub fn strings(bytes: &[u8]) -> Vec<OsString> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes.split(|&b| b == 0).map(|string| OsString::from_vec(string.to_vec())).collect()
}

/// Numbers with blanks between them: /proc/PID/task/TID/children.
pub fn numbers(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.split(|b| b.is_ascii_whitespace()).filter_map(|pid| std::str::from_utf8(pid).ok()?.parse().ok())
}

/// The soft limit of open descriptors, of /proc/PID/limits. `None` also for "unlimited".
pub fn soft_limit(limits: &str) -> Option<u64> {
    limits.lines().find_map(|l| l.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

/// The signals that a process ignores, and those that it handles or waits for, with bit 0 for signal 1, of
/// /proc/PID/status.
pub fn signal_masks(status: &str) -> Option<(u64, u64)> {
    let mask = |key: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    Some((mask("SigIgn")?, mask("SigCgt")? | mask("SigBlk")?))
}

/// The path of a control group in /proc/PID/cgroup (cgroups(7)): that of version 2, or where everything is at its top,
/// that of the tree which systemd has for itself beside version 1.
pub fn group(text: &str) -> Option<&str> {
    let path = |prefix: &str| text.lines().find_map(|l| l.split_once(prefix).map(|(_, path)| path));
    path("::").filter(|p| *p != "/").or_else(|| path(":name=systemd:"))
}

/// The path of a control group in the tree of version 2.
pub fn group_v2(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Whether a mount shows the tree of control groups, version 2, as our paths name it, by /proc/self/mountinfo: in a
/// container it may begin elsewhere.
pub fn shows_all_groups(mounts: &str, mount: &Path) -> bool {
    let place = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (Path::new(point) == mount).then(|| root == "/" && kind.starts_with("cgroup2 "))
    };
    // The last mount on a folder is the one that is seen.
    mounts.lines().filter_map(place).next_back().unwrap_or(false)
}

/// The number in the link of a descriptor, such as `socket:[12345]`.
pub fn inode(link: &[u8], prefix: &[u8]) -> Option<u64> {
    number(link.strip_prefix(prefix)?.strip_suffix(b"]")?)
}

/// The kind of a descriptor that the kernel names `anon_inode:NAME`.
pub fn anonymous(name: &[u8]) -> Kind {
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

/// The sockets of /proc/net/tcp and tcp6, and whether each listens. The columns are: sl local remote st tx:rx tr:when
/// retrnsmt uid timeout inode (proc_net_tcp(5)); 0A is LISTEN.
pub fn tcp_sockets(table: &[u8]) -> impl Iterator<Item = (u64, bool)> {
    table.split(|&b| b == b'\n').skip(1).filter_map(|line| {
        let mut words = line.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty()).skip(3);
        let state = words.next();
        Some((words.nth(5).and_then(number)?, state == Some(b"0A")))
    })
}

/// A line of /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path. The columns are padded, and the path may
/// contain blanks.
pub fn unix_socket(line: &[u8]) -> Option<(u64, Option<OsString>)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_proc_are_read_as_the_manual_describes_them() {
        let words = |bytes: &[u8]| strings(bytes).join(OsStr::new("|"));
        assert_eq!(words(b"nginx: master\0\0\0"), "nginx: master||");
        assert_eq!(words(b"sh\0-c\0a b\0"), "sh|-c|a b");
        assert_eq!(numbers(b"12 345 \n").collect::<Vec<_>>(), [12, 345]);
        let limits = "Limit   Soft Limit  Hard Limit Units\nMax open files            1024         524288   files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit(&limits.replace("1024  ", "unlimited")), None);
        let status = "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004002\n";
        assert_eq!(signal_masks(status), Some((0x1000, 0x4003)));
        assert_eq!(signal_masks("SigIgn:\t0\n"), None);
    }

    #[test]
    fn descriptors_are_told_by_the_text_of_their_links() {
        assert_eq!(inode(b"socket:[42]", b"socket:["), Some(42));
        assert_eq!(inode(b"pipe:[42]", b"socket:["), None);
        assert_eq!(anonymous(b"[eventpoll]"), Kind::Epoll);
        assert_eq!(anonymous(b"inotify"), Kind::Inotify);
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 77 1 x\n";
        let connected = line.replace(" 0A ", " 01 ").replace(" 77 ", " 78 ");
        let table = format!("  sl  local_address\n{line}{connected}");
        assert_eq!(tcp_sockets(table.as_bytes()).collect::<Vec<_>>(), [(77, true), (78, false)]);
        let unix = b"0000000000000000: 00000002 00000000 00010000 0001 01   991 /run/a b";
        assert_eq!(unix_socket(unix), Some((991, Some("/run/a b".into()))));
        assert_eq!(unix_socket(b"0000000000000000: 00000002 00000000 00000000 0002 01   992"), Some((992, None)));
    }

    #[test]
    fn a_control_group_is_that_of_version_2_or_of_systemds_own_tree() {
        let both = "5:name=systemd:/a.service\n1:cpu:/\n0::/\n";
        assert_eq!((group(both), group_v2(both)), (Some("/a.service"), Some("/")));
        assert_eq!(group(&both.replace("0::/", "0::/b")), Some("/b"));
        assert_eq!((group("0::/\n"), group_v2("1:cpu:/\n")), (None, None));
    }

    #[test]
    fn a_mount_that_begins_elsewhere_is_not_taken() {
        let line =
            |root: &str, kind: &str| format!("9 8 0:26 {root} /sys/fs/cgroup rw,relatime shared:4 - {kind} x rw\n");
        let shows = |mounts: &str| shows_all_groups(mounts, Path::new("/sys/fs/cgroup"));
        assert!(shows(&line("/", "cgroup2")));
        assert!(shows(&format!("{}{}", line("/", "tmpfs"), line("/", "cgroup2"))));
        for other in [line("/docker/1", "cgroup2"), line("/../..", "cgroup2"), line("/", "tmpfs"), String::new()] {
            assert!(!shows(&other), "{other}");
        }
    }
}
