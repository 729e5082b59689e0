//! macOS: libproc, sysctl, kqueue. This file is type-checked and linked, but the authors have no Mac to run it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::stat::{FileStat, fstatat};
use socket2::{SockAddr, Socket};

use super::descriptor::{Descriptor, Kind};
use super::link::Link;
use super::process::{Host, Listener, Process, Waited, process};
use super::whole::note;

/// The folder that lists the descriptors of this process.
pub const DESCRIPTORS: &str = "/dev/fd";

/// Identifies this boot of this machine. macOS has no namespaces and no containers. A value that cannot be read is empty.
pub fn host() -> io::Result<Host> {
    let text = |name: &CStr| {
        let bytes = sysctl(name).unwrap_or_default();
        String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(&bytes)).into_owned()
    };
    let [pid_namespace, time_namespace, container] = Default::default();
    Ok(Host { machine: machine(), boot: text(c"kern.bootsessionuuid"), pid_namespace, time_namespace, container })
}

/// There are none.
pub fn is_pid_namespace_in_use(_namespace: &str) -> bool {
    false
}

/// There are none.
pub fn is_unique_container(_name: &str) -> bool {
    false
}

/// Identifies this machine. (`kern.uuid` identifies the kernel: all machines with the same version have the same one.)
fn machine() -> String {
    let mut uuid = [0; 16];
    let limit = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    // SAFETY: a UUID has 16 bytes, and the time is only read.
    match unsafe { libc::gethostuuid(uuid.as_mut_ptr(), &limit) } {
        0 => format!("{:032x}", u128::from_be_bytes(uuid)),
        _ => String::new(),
    }
}

/// An entry of `kern.proc`: the first part of `struct kinfo_proc` (sys/sysctl.h). The rest is not needed.
#[repr(C)]
#[derive(Clone, Copy)]
struct KinfoProc {
    start: libc::timeval,
    _pointers: [u64; 2],
    flags: i32,
    status: i8,
    pid: i32,
    _process: [u8; 376],
    user: u32,
    _groups: [u8; 136],
    parent: i32,
    group: i32,
    _jobs: i32,
    terminal: i32,
    _rest: [u8; 72],
}

/// The flag of a process that has executed a program (P_EXEC of sys/proc.h).
const EXECUTED: i32 = 0x4000;
/// The number of no terminal (NODEV of sys/param.h).
const NO_DEVICE: i32 = -1;

const _: () = assert!(
    size_of::<KinfoProc>() == 648
        && offset_of!(KinfoProc, status) == 36
        && offset_of!(KinfoProc, pid) == 40
        && offset_of!(KinfoProc, parent) == 560
        && offset_of!(KinfoProc, group) == 564
        && offset_of!(KinfoProc, flags) == 32
        && offset_of!(KinfoProc, user) == 420
        && offset_of!(KinfoProc, terminal) == 572
);

impl KinfoProc {
    fn process(&self) -> Process {
        Process {
            pid: self.pid,
            parent: self.parent,
            group: self.group,
            // SAFETY: getsid takes an integer and returns one: -1 for a zombie.
            session: unsafe { libc::getsid(self.pid) },
            start: self.start.tv_sec as u64 * 1_000_000 + self.start.tv_usec as u64,
            zombie: self.status as u32 == libc::SZOMB,
            forked: self.flags & EXECUTED == 0,
            terminal: self.terminal != NO_DEVICE,
            stack: 0,
        }
    }
}

/// Whether the stack of a process identifies what it executed. macOS does not show it.
pub fn has_random_stack(_pid: i32) -> bool {
    false
}

/// The process with this pid, if it exists. libproc is not used, because PROC_PIDTBSDINFO returns nothing for zombies
/// and for processes of other users (such as our own server under `sudo`). They would seem dead.
///
/// # Errors
/// When the kernel has no memory left.
pub fn look_up(pid: i32) -> io::Result<Option<Process>> {
    if pid <= 0 {
        return Ok(None);
    }
    Ok(kernel_processes(libc::KERN_PROC_PID, pid, 1)?.first().map(KinfoProc::process))
}

/// The user that a process runs as.
pub fn user_of(pid: i32) -> Option<u32> {
    kernel_processes(libc::KERN_PROC_PID, pid.max(1), 1).ok()?.first().map(|process| process.user)
}

/// All processes.
///
/// # Errors
/// When the process table cannot be read: a process that is not in it may still exist.
pub fn processes() -> io::Result<Vec<Process>> {
    let mut room = pids()?.len() + 64;
    loop {
        match kernel_processes(libc::KERN_PROC_ALL, 0, room) {
            // More processes were started meanwhile.
            Err(e) if e.raw_os_error() == Some(libc::ENOMEM) && room < MOST_PROCESSES => room *= 2,
            table => return Ok(table?.iter().filter(|p| p.pid > 0).map(KinfoProc::process).collect()),
        }
    }
}

/// The children of this process.
///
/// # Errors
/// As [`processes`].
pub fn children() -> io::Result<Vec<Process>> {
    let us = std::process::id() as i32;
    Ok(processes()?.into_iter().filter(|p| p.parent == us).collect())
}

/// More processes than macOS ever runs.
const MOST_PROCESSES: usize = 1 << 20;

/// The entries of a kernel table, if there are at most `room`.
fn kernel_processes(table: i32, of: i32, room: usize) -> io::Result<Vec<KinfoProc>> {
    let mut mib = [libc::CTL_KERN, libc::KERN_PROC, table, of];
    // SAFETY: it has only integers and arrays of them, for which zero is a value.
    let mut entries = vec![unsafe { std::mem::zeroed::<KinfoProc>() }; room];
    let mut size = size_of_val(entries.as_slice());
    // SAFETY: the mib has four integers, and the buffer is as large as `size` says.
    let done =
        unsafe { libc::sysctl(mib.as_mut_ptr(), 4, entries.as_mut_ptr().cast(), &mut size, std::ptr::null_mut(), 0) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    entries.truncate(size / size_of::<KinfoProc>());
    Ok(entries)
}

/// The pids of all processes. Without 0, which is the kernel here, and which getsid(2) and getpgid(2) take for the
/// caller.
///
/// # Errors
/// When the system refuses.
pub fn pids() -> io::Result<Vec<i32>> {
    // SAFETY: with a null buffer the call only returns how many processes there are.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let mut pids = vec![0i32; usize::try_from(count).unwrap_or(0) + 64];
    let size = (pids.len() * size_of::<i32>()) as i32;
    // SAFETY: the buffer is as large as said.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), size) };
    pids.truncate(usize::try_from(count).ok().filter(|&count| count > 0).ok_or_else(io::Error::last_os_error)?);
    pids.retain(|&pid| pid > 0);
    Ok(pids)
}

/// The name of the program that a process runs.
pub fn process_name(pid: i32) -> Option<String> {
    let mut name = [0u8; 64];
    // SAFETY: the buffer is as large as said; the call returns how many bytes it wrote.
    let length = unsafe { libc::proc_name(pid, name.as_mut_ptr().cast(), name.len() as u32) };
    let name = name.get(..usize::try_from(length).ok()?)?;
    if name.is_empty() {
        // For a process of another user (pid 1, or a supervisor that runs as root), the path is still visible.
        return executable(pid)?.file_name().map(|name| name.to_string_lossy().into_owned());
    }
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The arguments of a process, as far as it shows them.
pub fn command_line(pid: i32) -> Option<Vec<OsString>> {
    arguments_and_environment(pid).map(|(arguments, _)| arguments)
}

/// The environment that a process was started with, as far as it shows it.
pub fn environment_of(pid: i32) -> Option<Vec<OsString>> {
    arguments_and_environment(pid).map(|(_, environment)| environment)
}

/// Reads KERN_PROCARGS2: the number of arguments, the executable's path, padding, the arguments, the environment.
fn arguments_and_environment(pid: i32) -> Option<(Vec<OsString>, Vec<OsString>)> {
    let mut mib = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let mut bytes = vec![0u8; 1 << 20];
    let mut size = bytes.len();
    // SAFETY: the mib has three integers, and the buffer is as large as `size` says.
    let done =
        unsafe { libc::sysctl(mib.as_mut_ptr(), 3, bytes.as_mut_ptr().cast(), &mut size, std::ptr::null_mut(), 0) };
    if done != 0 {
        return None;
    }
    bytes.truncate(size);
    let count = usize::try_from(i32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let path_end = bytes[4..].iter().position(|&b| b == 0)? + 4;
    let start = bytes[path_end..].iter().position(|&b| b != 0)? + path_end;
    let mut strings = bytes[start..].split(|&b| b == 0).map(|s| OsString::from_vec(s.to_vec()));
    let arguments = strings.by_ref().take(count).collect();
    Some((arguments, strings.take_while(|s| !s.is_empty()).collect()))
}

/// The executable of a process.
pub fn executable(pid: i32) -> Option<PathBuf> {
    let mut path = vec![0u8; libc::PROC_PIDPATHINFO_MAXSIZE as usize];
    // SAFETY: the buffer is as large as said; the call returns how many bytes it wrote.
    let length = unsafe { libc::proc_pidpath(pid, path.as_mut_ptr().cast(), path.len() as u32) };
    path.truncate(usize::try_from(length).ok().filter(|&l| l > 0)?);
    Some(OsString::from_vec(path).into())
}

/// The current folder of a process.
pub fn working_directory(pid: i32) -> Option<PathBuf> {
    // SAFETY: an all-zero value is valid: it has only integers and arrays of them.
    let mut info: libc::proc_vnodepathinfo = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::proc_vnodepathinfo>() as i32;
    // SAFETY: the buffer is as large as said; the kernel fills all of it or reports fewer bytes.
    let got = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDVNODEPATHINFO, 0, (&raw mut info).cast(), size) };
    if got != size {
        return None;
    }
    let bytes: Vec<u8> = info.pvi_cdir.vip_path.as_flattened().iter().map(|&c| c as u8).collect();
    let path = bytes.split(|&b| b == 0).next().filter(|path| !path.is_empty())?;
    Some(OsStr::from_bytes(path).into())
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

/// How long ago a process with this start time was started.
pub fn age(start: u64) -> Option<Duration> {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().ok()?;
    Some(now.saturating_sub(Duration::from_micros(start)))
}

/// The start time that a process would have that started now.
pub fn start_now() -> Option<u64> {
    Some(std::time::SystemTime::UNIX_EPOCH.elapsed().ok()?.as_micros() as u64)
}

/// How a process ended that its parent has not reaped yet: macOS does not show it.
pub fn end_of_zombie(_pid: i32) -> Option<Waited> {
    None
}

/// How the process ended that had this trace. macOS keeps nothing of a process that was reaped.
pub fn end_of(_trace: u64) -> Option<Waited> {
    None
}

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

/// macOS has no namespaces.
pub fn has_users_of_its_own() -> bool {
    false
}

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

/// macOS has no control groups.
pub fn cgroup() -> Option<String> {
    None
}

/// macOS has no control groups.
pub fn cgroup_of(_pid: i32) -> Option<String> {
    None
}

/// A control group of our own: macOS has none.
pub enum OwnGroup {}

impl OwnGroup {
    pub fn make(_name: &str) -> Option<Self> {
        None
    }

    pub fn path(&self) -> &str {
        match *self {}
    }

    pub fn holds(&self, _pid: i32) -> bool {
        match *self {}
    }

    pub fn keep(self) {
        match self {}
    }
}

impl AsFd for OwnGroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

/// macOS has no control groups.
pub fn is_own_group(_path: &str) -> bool {
    false
}

/// macOS has no control groups.
pub fn remove_group(_path: &str) {}

/// macOS has no control groups.
pub fn dissolve_group(_path: &str) {}

/// fork(2).
///
/// # Safety
/// As for fork(2): the child may only call what is async-signal-safe.
pub unsafe fn fork_into(_group: Option<BorrowedFd>) -> i32 {
    // SAFETY: as our caller says.
    unsafe { libc::fork() }
}

/// The sockets that listen on a TCP port, of the processes that we may look into.
///
/// # Errors
/// When libproc refuses.
pub fn listeners(port: u16, likely: &[i32]) -> io::Result<Vec<Listener>> {
    Sockets::default().listeners(port, likely)
}

/// Finds the holders of sockets, for one query or many. libproc is called once.
#[derive(Default)]
pub struct Sockets {
    /// Address, port and owner of each listening socket.
    listening: OnceCell<Vec<(IpAddr, u16, i32)>>,
}

impl Sockets {
    /// As [`listeners`].
    pub fn listeners(&self, port: u16, _likely: &[i32]) -> io::Result<Vec<Listener>> {
        let listening = match self.listening.get() {
            Some(listening) => listening,
            None => {
                let found = listening()?;
                self.listening.get_or_init(|| found)
            }
        };
        // A socket is listed once for each process that holds it. launchd holds the sockets of its jobs.
        let mut sockets = BTreeMap::<IpAddr, Vec<i32>>::new();
        for (address, _, owner) in listening.iter().filter(|(_, number, _)| *number == port) {
            sockets.entry(*address).or_default().push(*owner);
        }
        Ok(sockets.into_iter().map(|(address, owners)| Listener { address, owners }).collect())
    }
}

fn listening() -> io::Result<Vec<(IpAddr, u16, i32)>> {
    use listeners::{Protocol, SocketState};
    let all = listeners::get_all().map_err(|e| io::Error::other(e.to_string()))?;
    let listening =
        all.into_iter().filter(|l| matches!(l.protocol, Protocol::TCP) && matches!(l.state, SocketState::Listen));
    Ok(listening.map(|l| (l.socket.ip(), l.socket.port(), l.process.pid as i32)).collect())
}

/// macOS gives a socket no number that a process could be asked for later.
pub fn sockets_of(_pid: i32) -> Vec<u64> {
    Vec::new()
}

/// As [`sockets_of`].
pub fn sockets_on(_pid: i32, _port: u16) -> Vec<u64> {
    Vec::new()
}

/// The TCP addresses that these processes listen on. Processes that we may not look into are left out.
pub fn listens_on(pids: &[i32]) -> Vec<SocketAddr> {
    let all = listening().unwrap_or_default().into_iter();
    all.filter(|(_, _, owner)| pids.contains(owner)).map(|(ip, port, _)| SocketAddr::new(ip, port)).collect()
}

/// Whether any socket that we can see listens on a TCP port.
///
/// # Errors
/// As [`listeners`].
pub fn is_listened_on(port: u16) -> io::Result<bool> {
    listeners(port, &[]).map(|all| !all.is_empty())
}

/// macOS has no real-time signals.
pub fn realtime_signals() -> RangeInclusive<i32> {
    RangeInclusive::new(1, 0)
}

/// The signals that a process ignores, and those that it handles. macOS does not tell.
pub fn signal_masks(_: i32) -> Option<(u64, u64)> {
    None
}

/// Whether connections that are still closing keep others from binding a TCP port. With SO_REUSEADDR they never do on
/// BSD systems.
pub fn is_closing(_: u16) -> bool {
    false
}

/// Watches a process for its end (kqueue), and signals it.
pub struct ExitWatch {
    pid: i32,
    start: Option<u64>,
    queue: Option<Kqueue>,
}

fn event_of(number: usize, filter: EventFilter, what: FilterFlag) -> KEvent {
    KEvent::new(number, filter, EvFlags::EV_ADD | EvFlags::EV_ONESHOT, what, 0, 0)
}

impl ExitWatch {
    /// Watches `pid`, which must be alive or an unreaped child.
    pub fn new(pid: i32) -> Self {
        let exit = FilterFlag::NOTE_EXIT | FilterFlag::NOTE_EXITSTATUS;
        let exit = event_of(pid as usize, EventFilter::EVFILT_PROC, exit);
        let now = event_of(0, EventFilter::EVFILT_USER, FilterFlag::NOTE_TRIGGER);
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let queue = Kqueue::new().ok().filter(|queue| match queue.kevent(&[exit], &mut [], Some(zero)) {
            // The process has ended. The kernel gives the same answer for an unreaped child.
            Err(Errno::ESRCH) => queue.kevent(&[now], &mut [], Some(zero)).is_ok(),
            watched => watched.is_ok(),
        });
        ExitWatch { pid, start: process(pid).map(|p| p.start), queue }
    }

    /// A descriptor that is readable once the process has ended.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.queue.as_ref().map(AsFd::as_fd)
    }

    /// The number by which [`end_of`] finds the process after its end: macOS has none.
    pub fn trace(&self) -> u64 {
        0
    }

    /// How the process ended, once. `None` where the kernel does not tell (another user's process).
    pub fn how_it_ended(&self) -> Option<Waited> {
        let none = event_of(0, EventFilter::EVFILT_USER, FilterFlag::empty());
        let mut events = [none];
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let count = self.queue.as_ref()?.kevent(&[], &mut events, Some(zero)).ok()?;
        let told = count == 1
            && events[0].filter() == Ok(EventFilter::EVFILT_PROC)
            && events[0].fflags().contains(FilterFlag::NOTE_EXITSTATUS);
        told.then(|| Waited::of(events[0].data() as i32))
    }

    /// Sends a signal to the process that existed when the watch began. macOS has no pidfds, so the process is looked
    /// at again first.
    ///
    /// # Errors
    /// Those of kill(2): `EPERM` if we may not signal the process.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if self.start.is_none() || process(self.pid).map(|p| p.start) != self.start {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // SAFETY: kill takes two integers; the pid is positive: never a group, never everybody.
        match unsafe { libc::kill(self.pid.max(1), signal) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
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

/// macOS gives every orphan to launchd.
pub fn set_subreaper() {}

/// macOS cannot tell a child that its parent ended. The child ends when its work is done.
pub fn end_with_parent() {}

/// Not needed here: the name is that of the executable.
pub fn set_name(_name: &CStr) {}

/// The file that this process runs.
///
/// # Errors
/// When the system does not know it.
pub fn own_executable() -> io::Result<PathBuf> {
    std::env::current_exe()
}

fn number(name: &CStr) -> Option<u64> {
    let bytes = sysctl(name)?;
    match bytes.len() {
        4 => i32::from_ne_bytes(bytes.try_into().ok()?).try_into().ok(),
        8 => i64::from_ne_bytes(bytes.try_into().ok()?).try_into().ok(),
        _ => None,
    }
}

fn sysctl(name: &CStr) -> Option<Vec<u8>> {
    let mut bytes = vec![0u8; 256];
    let mut size = bytes.len();
    // SAFETY: the name is a C string and the buffer as large as `size` says.
    let done =
        unsafe { libc::sysctlbyname(name.as_ptr(), bytes.as_mut_ptr().cast(), &mut size, std::ptr::null_mut(), 0) };
    bytes.truncate(size);
    (done == 0).then_some(bytes)
}

/// Not needed here: a rename is cheap.
pub fn exchange(_folder: BorrowedFd, _one: &str, _other: &str) -> bool {
    false
}

/// A socket whose connection was refused cannot try again.
pub const REFUSED_SOCKETS_STAY_GOOD: bool = false;

/// Connects a new socket within `limit` and leaves it blocking. (SO_SNDTIMEO does not apply to connect(2) here.)
///
/// # Errors
/// Those of connect(2), and `TimedOut`.
pub fn connect(socket: &Socket, address: &SockAddr, limit: Duration) -> io::Result<()> {
    socket.connect_timeout(address, limit)
}

/// macOS cannot tell whether anybody listens, except by looking into all processes.
#[derive(Debug, Default)]
pub struct Listening;

impl Listening {
    /// The answer is never certain.
    pub fn nobody(&mut self, _address: &SocketAddr) -> bool {
        false
    }
}
