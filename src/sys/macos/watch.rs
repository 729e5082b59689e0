//! The end of a process, and signals to it (kqueue(2)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};

use super::super::process::Waited;
use super::table::look_up;

/// Watches a process for its end (kqueue), and signals it.
pub struct ExitWatch {
    pid: i32,
    start: Option<u64>,
    queue: Option<Kqueue>,
}

fn event_of(number: usize, filter: EventFilter, what: FilterFlag) -> KEvent {
    KEvent::new(number, filter, EvFlags::EV_ADD | EvFlags::EV_ONESHOT, what, 0, 0)
}

/// When a process was started, if it exists and the table can be read.
fn start_of(pid: i32) -> Option<u64> {
    look_up(pid).ok().flatten().map(|process| process.start)
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
        ExitWatch { pid, start: start_of(pid), queue }
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
        if self.start.is_none() || start_of(self.pid) != self.start {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // SAFETY: kill takes two integers; the pid is positive: never a group, never everybody.
        match unsafe { libc::kill(self.pid.max(1), signal) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
