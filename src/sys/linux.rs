//! Linux: /proc, pidfds, close_range.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use procfs::FromRead;
use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
use procfs::process::Stat;
use socket2::{SockAddr, Socket};

use super::link::Link;
use super::process::{Host, Listener, Process, Waited};
use super::whole::{note, whole};

#[path = "cgroup.rs"]
mod cgroup;
#[path = "container.rs"]
mod container;
#[path = "descriptors.rs"]
mod descriptors;
#[path = "ending.rs"]
mod ending;
#[path = "listening.rs"]
mod listening;
pub use cgroup::{OwnGroup, cgroup, cgroup_of, dissolve_group, fork_into, is_own_group, remove_group};
pub use container::is_unique as is_unique_container;
pub use descriptors::{descriptors, pty_masters};
pub use ending::end_of;
pub use listening::Listening;

/// The folder that lists the descriptors of this process.
pub const DESCRIPTORS: &str = "/proc/self/fd";

/// Identifies this boot of this machine, our namespaces and our container. A value that does not exist is empty.
///
/// # Errors
/// When a value cannot be read this time. If it were empty now, a record would seem to come from another machine later.
pub fn host() -> io::Result<Host> {
    let text = |path| lasting(read(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let line = |path| text(path).map(|text| text.trim().to_owned());
    let namespace = |path| lasting(fs::read_link(path)).map(|link: PathBuf| link.to_string_lossy().into_owned());
    let mut host = Host {
        machine: line("/etc/machine-id")?,
        boot: line("/proc/sys/kernel/random/boot_id")?,
        pid_namespace: namespace("/proc/self/ns/pid")?,
        time_namespace: namespace("/proc/self/ns/time")?,
        container: String::new(),
    };
    if host.is_container() {
        host.container = container::name(&text("/proc/self/mountinfo")?, &line("/proc/sys/kernel/hostname")?);
    }
    Ok(host)
}

/// Whether a process that we see is in this pid namespace. Processes that we may not look into are left out.
pub fn is_pid_namespace_in_use(namespace: &str) -> bool {
    let is_in = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|link| link.as_os_str() == namespace);
    pids().unwrap_or_default().into_iter().any(is_in)
}

/// Whether this is a user namespace below the machine's own, where most users of the machine are "nobody".
pub fn has_users_of_its_own() -> bool {
    /// The inode of the machine's own user namespace (PROC_USER_INIT_INO of include/linux/proc_ns.h).
    const OUTERMOST: &str = "user:[4026531837]";
    fs::read_link("/proc/self/ns/user").is_ok_and(|namespace| namespace != Path::new(OUTERMOST))
}

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

/// Missing or unreadable files count as empty, because that answer is stable. Other errors are returned.
fn lasting<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(T::default()),
        result => result,
    }
}

/// `None` if something does not exist or may not be seen. Running out of descriptors or memory is an error, because it
/// says nothing about the thing itself.
fn unless_exhausted<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => Err(e),
        Err(_) => Ok(None),
    }
}

/// Reads a file of /proc in two system calls. Such files have no size to ask for.
fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8 << 10);
    let file = fs::File::open(path);
    note(file.and_then(|file| file.take(u64::MAX).read_to_end(&mut bytes)))?;
    Ok(bytes)
}

/// The process with this pid, if it exists and we may see it.
///
/// # Errors
/// When descriptors or memory are used up.
pub fn look_up(pid: i32) -> io::Result<Option<Process>> {
    let bytes = unless_exhausted(read(&format!("/proc/{pid}/stat")))?;
    let stat = bytes.and_then(|bytes| Stat::from_read(&bytes[..]).ok());
    Ok(stat.map(|stat| Process {
        pid: stat.pid,
        parent: stat.ppid,
        group: stat.pgrp,
        session: stat.session,
        start: stat.starttime,
        // If only the first thread has ended (pthread_exit(3)), the others go on and the process is no zombie.
        zombie: matches!(stat.state, 'Z' | 'X') && stat.num_threads <= 1,
        forked: stat.flags & FORKNOEXEC != 0,
        terminal: stat.tty_nr != 0,
        stack: stat.startstack,
    }))
}

/// How a process ended that its parent has not reaped yet.
pub fn end_of_zombie(pid: i32) -> Option<Waited> {
    let stat = Stat::from_read(&read(&format!("/proc/{pid}/stat")).ok()?[..]).ok()?;
    // The kernel shows 0 to those who may not know.
    let us = nix::unistd::geteuid();
    let may_know = us.is_root() || user_of(pid) == Some(us.as_raw());
    let code = stat.exit_code.filter(|_| may_know && stat.state == 'Z' && stat.num_threads <= 1)?;
    Some(Waited::of(code))
}

/// The flag of a process that was forked and has executed nothing since (PF_FORKNOEXEC of include/linux/sched.h).
const FORKNOEXEC: u32 = 0x40;
/// The flag of a process whose addresses are not random (personality(2)).
const NO_RANDOM_ADDRESSES: u32 = 0x0004_0000;

/// Whether the stack of a process begins at a random address, so that it identifies what the process executed.
pub fn has_random_stack(pid: i32) -> bool {
    let text = |path: &str| read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let is_on = text("/proc/sys/kernel/randomize_va_space").is_some_and(|text| text.trim() != "0");
    let personality = text(&format!("/proc/{pid}/personality"));
    let personality = personality.and_then(|text| u32::from_str_radix(text.trim(), 16).ok());
    is_on && personality.is_some_and(|flags| flags & NO_RANDOM_ADDRESSES == 0)
}

/// The number of bytes that the kernel keeps of a process name.
const LONGEST_NAME: usize = 15;

/// The name of the program that a process runs.
pub fn process_name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned();
    // The kernel cuts the name there (`supervise-daemon` is one byte longer). The command line has all of it.
    if name.len() < LONGEST_NAME {
        return Some(name);
    }
    let whole = command_line(pid).and_then(|words| {
        let file = Path::new(words.first()?).file_name()?.to_str()?.to_owned();
        file.starts_with(&name).then_some(file)
    });
    whole.or(Some(name))
}

/// The arguments of a process, as far as it shows them.
pub fn command_line(pid: i32) -> Option<Vec<OsString>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    Some(bytes.split(|&b| b == 0).map(|a| OsString::from_vec(a.to_vec())).collect())
}

/// The environment that a process was started with, as far as it shows it. A server may have overwritten it.
pub fn environment_of(pid: i32) -> Option<Vec<OsString>> {
    let bytes = read(&format!("/proc/{pid}/environ")).ok()?;
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    Some(bytes.split(|&b| b == 0).map(|entry| OsStr::from_bytes(entry).to_owned()).collect())
}

/// The executable of a process.
pub fn executable(pid: i32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    // After an upgrade the old file is gone, while processes still run it.
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(bytes) => Some(OsStr::from_bytes(bytes).into()),
        None => Some(path),
    }
}

/// The current folder of a process.
pub fn working_directory(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The path of the regular file that a descriptor of ours refers to.
pub fn file_of(descriptor: BorrowedFd) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).ok()?;
    path.metadata().is_ok_and(|m| m.is_file()).then_some(path)
}

/// How long ago a process with this start time was started. Time in which the machine slept counts.
pub fn age(start: u64) -> Option<Duration> {
    // SAFETY: takes an integer and returns one.
    let ticks = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|&t| t > 0)?;
    let started = Duration::from_millis(start.checked_mul(1000)? / ticks);
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    Some(Duration::from(now).saturating_sub(started))
}

/// The start time that a process would have that started now.
pub fn start_now() -> Option<u64> {
    // SAFETY: takes an integer and returns one.
    let ticks = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
    let now = Duration::from(nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?);
    Some(now.as_secs() * ticks + u64::from(now.subsec_nanos()) * ticks / 1_000_000_000)
}

/// The number of open descriptors of a process, and its soft limit.
pub fn descriptor_count(pid: i32) -> Option<(u64, Option<u64>)> {
    let open = note(fs::read_dir(format!("/proc/{pid}/fd"))).ok()?.count() as u64;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let soft = limits.lines().find_map(|l| l.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    Some((open, soft))
}

/// The user that a process runs as.
pub fn user_of(pid: i32) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    note(fs::metadata(format!("/proc/{pid}"))).ok().map(|folder| folder.uid())
}

/// The sockets that listen on a TCP port.
///
/// # Errors
/// As [`Sockets::listeners`].
pub fn listeners(port: u16, likely: &[i32]) -> io::Result<Vec<Listener>> {
    Sockets::default().listeners(port, likely)
}

/// Finds the holders of sockets, for one query or many. The descriptors of all processes are read once, and only if a
/// holder must be searched.
#[derive(Default)]
pub struct Sockets {
    holders: OnceCell<HashMap<u64, Vec<i32>>>,
}

impl Sockets {
    /// The sockets that listen on a TCP port, with their owners. Searches `likely` first, and all processes only if
    /// none of those holds the socket.
    ///
    /// # Errors
    /// When neither sock_diag(7) nor /proc answers.
    pub fn listeners(&self, port: u16, likely: &[i32]) -> io::Result<Vec<Listener>> {
        let listeners = listening_on(port)?.into_iter().map(|(address, inode)| {
            let mut owners: Vec<_> = likely.iter().copied().filter(|&pid| holds(pid, inode)).collect();
            if owners.is_empty() {
                owners = self.holders_of(inode);
            }
            Listener { address, owners }
        });
        Ok(listeners.collect())
    }

    /// All holders of a socket. What could not be seen whole is not kept.
    fn holders_of(&self, inode: u64) -> Vec<i32> {
        let of = |all: &HashMap<u64, Vec<i32>>| all.get(&inode).cloned().unwrap_or_default();
        match self.holders.get() {
            Some(all) => of(all),
            None => whole(holders).map(|all| of(self.holders.get_or_init(|| all))).unwrap_or_default(),
        }
    }
}

/// Whether any socket listens on a TCP port. Does not search for the owner, which would look into all processes.
///
/// # Errors
/// As [`listeners`].
pub fn is_listened_on(port: u16) -> io::Result<bool> {
    listening_on(port).map(|sockets| !sockets.is_empty())
}

/// The TCP addresses that these processes listen on. Processes that we may not look into are left out.
pub fn listens_on(pids: &[i32]) -> Vec<SocketAddr> {
    let held: HashSet<u64> = pids.iter().flat_map(|&pid| inodes_of(pid)).collect();
    let all = listening().unwrap_or_default().into_iter();
    all.filter(|(_, inode)| held.contains(inode)).map(|(address, _)| address).collect()
}

fn listening_on(port: u16) -> io::Result<Vec<(IpAddr, u64)>> {
    let on_port = listening()?.into_iter().filter(|(address, _)| address.port() == port);
    Ok(on_port.map(|(address, inode)| (address.ip(), inode)).collect())
}

/// All listening TCP sockets, with their inodes.
fn listening() -> io::Result<Vec<(SocketAddr, u64)>> {
    listening::all().map_or_else(from_proc, Ok)
}

fn from_proc() -> io::Result<Vec<(SocketAddr, u64)>> {
    let mut entries = seen(tcp())?;
    entries.extend(seen(tcp6()).unwrap_or_default());
    entries.retain(|e: &TcpNetEntry| e.state == TcpState::Listen);
    Ok(entries.into_iter().map(|e| (e.local_address, e.inode)).collect())
}

/// The same with the error of the system.
fn seen<T>(result: procfs::ProcResult<T>) -> io::Result<T> {
    note(result.map_err(|e| match e {
        procfs::ProcError::Io(e, _) => e,
        other => io::Error::other(other),
    }))
}

/// The numbers of the sockets that a process holds, as far as we may see them.
pub fn sockets_of(pid: i32) -> Vec<u64> {
    inodes_of(pid).collect()
}

/// The numbers of the sockets of a process that listen on a TCP port.
pub fn sockets_on(pid: i32, port: u16) -> Vec<u64> {
    let listening = listening_on(port).unwrap_or_default();
    inodes_of(pid).filter(|inode| listening.iter().any(|(_, socket)| socket == inode)).collect()
}

/// The inodes of the sockets that a process holds.
fn inodes_of(pid: i32) -> impl Iterator<Item = u64> {
    let entries = note(fs::read_dir(format!("/proc/{pid}/fd")));
    entries.into_iter().flatten().filter_map(|entry| {
        let link = note(entry.and_then(|entry| fs::read_link(entry.path()))).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

fn holds(pid: i32, inode: u64) -> bool {
    inodes_of(pid).any(|socket| socket == inode)
}

/// The sockets of all processes, each with its holders.
fn holders() -> HashMap<u64, Vec<i32>> {
    let mut holders = HashMap::<u64, Vec<i32>>::new();
    for pid in pids().unwrap_or_default() {
        for inode in inodes_of(pid) {
            let owners = holders.entry(inode).or_default();
            // A process counts once, even if several of its descriptors refer to the socket.
            if owners.last() != Some(&pid) {
                owners.push(pid);
            }
        }
    }
    holders
}

/// The pids of all processes that we can see.
///
/// # Errors
/// When the process table cannot be read completely.
pub fn pids() -> io::Result<Vec<i32>> {
    // std would allocate each name. Every start after a killed one waits for this function.
    let mut proc = Dir::open("/proc", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut pids = Vec::with_capacity(256);
    for entry in proc.iter() {
        pids.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(pids)
}

/// The children of this process.
///
/// # Errors
/// As [`processes`].
pub fn children() -> io::Result<Vec<Process>> {
    let us = std::process::id();
    match read(&format!("/proc/self/task/{us}/children")) {
        Ok(bytes) => {
            let pids =
                bytes.split(|b| b.is_ascii_whitespace()).filter_map(|pid| std::str::from_utf8(pid).ok()?.parse().ok());
            pids.filter_map(|pid| look_up(pid).transpose()).collect()
        }
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => Ok(processes()?.into_iter().filter(|p| p.parent == us as i32).collect()),
    }
}

/// All processes that we can see.
///
/// # Errors
/// When the process table cannot be read: a process that is not in it may still exist.
pub fn processes() -> io::Result<Vec<Process>> {
    let all: Vec<Process> =
        pids()?.into_iter().filter_map(|pid| look_up(pid).transpose()).collect::<io::Result<_>>()?;
    // A table without this very process is not the table: nothing may be concluded from who is not in it.
    match all.iter().any(|process| process.pid == std::process::id() as i32) {
        true => Ok(all),
        false => Err(io::Error::other("/proc does not list this process")),
    }
}

/// Watches a process for its end, and signals exactly that process, by a pidfd. Without pidfds (before Linux 5.3, or
/// under a seccomp filter) a thread waits for the process, and signals go by pid.
pub struct ExitWatch {
    pid: i32,
    pidfd: Option<OwnedFd>,
    stand_in: Option<OwnedFd>,
}

impl ExitWatch {
    /// Watches `pid`, which must be alive or an unreaped child.
    pub fn new(pid: i32) -> Self {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor (close-on-exec) or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        // SAFETY: a descriptor that nobody else has.
        let pidfd = (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) });
        let stand_in = if pidfd.is_none() { thread_that_waits(pid) } else { None };
        ExitWatch { pid, pidfd, stand_in }
    }

    /// A descriptor that is readable once the process has ended.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().or(self.stand_in.as_ref()).map(AsFd::as_fd)
    }

    /// The number by which [`end_of`] finds the process after its end. 0 where the kernel has none.
    pub fn trace(&self) -> u64 {
        self.pidfd.as_ref().map_or(0, |fd| ending::trace_of(fd.as_fd()))
    }

    /// How the process ended. `None` where the kernel does not tell.
    pub fn how_it_ended(&self) -> Option<Waited> {
        let reaped = self.pidfd.as_ref().and_then(|fd| ending::how(fd.as_fd()));
        reaped.or_else(|| end_of_zombie(self.pid))
    }

    /// Sends a signal. A process that has ended gets none, even if another process has its pid now.
    ///
    /// # Errors
    /// Those of kill(2): `EPERM` if we may not signal the process.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let sent = match &self.pidfd {
            // SAFETY: pidfd_send_signal takes integers, and a null pointer for "as kill(2) would fill it in".
            Some(fd) => unsafe {
                let info = std::ptr::null::<libc::siginfo_t>();
                libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, info, 0)
            },
            // SAFETY: kill takes two integers; the pid is positive: never a group, never everybody.
            None => i64::from(unsafe { libc::kill(self.pid.max(1), signal) }),
        };
        if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// The read end of a pipe that closes when `pid` has ended.
fn thread_that_waits(pid: i32) -> Option<OwnedFd> {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).ok()?;
    let wait = move || {
        let _write = write;
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(Pid::from_raw(pid)), ended) == Err(Errno::EINTR) {}
        // A process that is not our child is polled until it is gone.
        while look_up(pid).is_ok_and(|p| p.is_some_and(|p| !p.zombie)) {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    std::thread::Builder::new().stack_size(64 * 1024).spawn(wait).ok()?;
    Some(read)
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

/// Makes this process the parent of orphans among its descendants. Children do not inherit this.
pub fn set_subreaper() {
    // SAFETY: prctl with this option takes one integer and changes only this process's attribute.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// The numbers of the real-time signals that programs may use.
pub fn realtime_signals() -> RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// The signals that a process ignores, and those that it handles, with bit 0 for signal 1. One that is blocked is waited
/// for (sigwait(3), signalfd(2)).
pub fn signal_masks(pid: i32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mask = |key: &str| {
        let mask = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    Some((mask("SigIgn")?, mask("SigCgt")? | mask("SigBlk")?))
}

/// Whether connections of ended programs on a local TCP port are still closing (TIME_WAIT and what comes before it),
/// and keep others from binding it.
pub fn is_closing(port: u16) -> bool {
    use TcpState::{Closing, FinWait1, FinWait2, LastAck, TimeWait};
    let closing = [Closing, FinWait1, FinWait2, LastAck, TimeWait];
    let mut entries = tcp().unwrap_or_default();
    entries.extend(tcp6().unwrap_or_default());
    // A socket that nobody holds any more has no inode.
    let is_its = |e: &TcpNetEntry| e.local_address.port() == port && e.inode == 0 && closing.contains(&e.state);
    entries.iter().any(is_its)
}

/// Makes the kernel tell this child to end when we end.
pub fn end_with_parent() {
    // SAFETY: prctl with this option takes one integer and changes only this process's attribute.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0) };
}

/// Sets the name that `ps` shows. Otherwise it would be the name of the link that was executed.
pub fn set_name(name: &std::ffi::CStr) {
    // SAFETY: the name is a C string, of which the kernel copies 16 bytes at most.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// The file that this process runs, even after an upgrade has replaced it.
pub fn own_executable() -> io::Result<PathBuf> {
    Ok("/proc/self/exe".into())
}

fn number(path: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("no number in {path}")))
}

/// Exchanges two files of a folder. False if one is missing or the file system cannot do it.
pub fn exchange(folder: BorrowedFd, one: &str, other: &str) -> bool {
    nix::fcntl::renameat2(folder, one, folder, other, nix::fcntl::RenameFlags::RENAME_EXCHANGE).is_ok()
}

/// A socket whose connection was refused can try again.
pub const REFUSED_SOCKETS_STAY_GOOD: bool = true;

/// Connects a new socket, or one that was refused before, within `limit`. Leaves it blocking and without a timeout.
///
/// # Errors
/// Those of connect(2), and `TimedOut`.
pub fn connect(socket: &Socket, address: &SockAddr, limit: Duration) -> io::Result<()> {
    // One system call for each attempt. A non-blocking connect takes five.
    socket.set_write_timeout(Some(limit))?;
    match socket.connect(address) {
        Ok(()) => socket.set_write_timeout(None),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Err(io::ErrorKind::TimedOut.into()),
        Err(e) => Err(e),
    }
}
