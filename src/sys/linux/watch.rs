//! The end of a process, and signals to exactly that process (pidfd_open(2), pidfd_send_signal(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::super::process::Waited;
use super::ending;
use super::table::{end_of_zombie, look_up};

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
