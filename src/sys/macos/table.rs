//! The process table: `kern.proc` of sysctl(3).

use std::io;
use std::mem::offset_of;
use std::time::Duration;

use super::super::process::{Process, Waited};

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
