//! The two pipes of a wait: one wakes the waiter, the other tells the workers to stop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The pipe that wakes the main thread. Signal handlers ring it, and so do workers that are done.
pub struct SelfPipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// Why [`SelfPipe::wait`] returned.
#[derive(PartialEq, Eq)]
pub enum Woken {
    /// Somebody rang.
    Rung,
    /// The other descriptor is readable or at its end.
    Other,
    /// The time is over.
    Timeout,
}

impl SelfPipe {
    /// # Errors
    /// When the process or the system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe()?;
        Ok(SelfPipe { read, write })
    }

    /// The descriptor to write to from a signal handler.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.write.as_fd()
    }

    /// A descriptor that is readable once somebody has rung.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Wakes the waiter, now or at its next wait.
    pub fn ring(&self) {
        let _ = nix::unistd::write(&self.write, &[0]);
    }

    fn drain(&self) {
        let mut bytes = [0; 64];
        while matches!(nix::unistd::read(&self.read, &mut bytes), Ok(64)) {}
    }

    /// Waits for a ring, for one of `others`, or until `timeout`. Returns which of `others` are readable or at their
    /// end.
    pub fn wait_for<const N: usize>(&self, others: [Option<BorrowedFd>; N], timeout: Duration) -> [bool; N] {
        let mut polled = vec![PollFd::new(self.read.as_fd(), PollFlags::POLLIN)];
        polled.extend(others.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        let ready = poll(&mut polled, millis(timeout)).is_ok_and(|n| n > 0);
        if ready && polled[0].any() == Some(true) {
            self.drain();
        }
        let mut answers = polled[1..].iter().map(|fd| ready && fd.any() == Some(true));
        others.map(|fd| fd.is_some() && answers.next() == Some(true))
    }

    /// Waits for a ring, for `other`, or until `timeout`.
    pub fn wait(&self, other: Option<BorrowedFd>, timeout: Duration) -> Woken {
        let mut fds = vec![PollFd::new(self.read.as_fd(), PollFlags::POLLIN)];
        fds.extend(other.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match poll(&mut fds, millis(timeout)) {
            Ok(0) => Woken::Timeout,
            Ok(_) if fds[0].any() == Some(true) => {
                self.drain();
                Woken::Rung
            }
            Ok(_) => Woken::Other,
            // A signal interrupted poll(2). Its handler rings, or has rung.
            Err(_) => Woken::Rung,
        }
    }
}

/// Dropping this tells every worker that holds a [`Cancel::token`] to stop.
pub struct Cancel {
    read: OwnedFd,
    _write: OwnedFd,
}

impl Cancel {
    /// # Errors
    /// When the process or the system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe()?;
        Ok(Cancel { read, _write: write })
    }

    /// A descriptor that becomes readable (at its end) when this is dropped.
    ///
    /// # Errors
    /// When the process or the system has no descriptors left.
    pub fn token(&self) -> io::Result<OwnedFd> {
        self.read.try_clone()
    }
}

/// Waits until one of `fds` is readable or at its end, for at most `timeout` (rounded up to a millisecond). Returns
/// which ones are.
pub fn wait_readable<const N: usize>(fds: [Option<BorrowedFd>; N], timeout: Duration) -> [bool; N] {
    let mut polled: Vec<_> = fds.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let ready = poll(&mut polled, millis(timeout)).is_ok_and(|n| n > 0);
    let mut answers = polled.iter().map(|fd| ready && fd.any() == Some(true));
    fds.map(|fd| fd.is_some() && answers.next() == Some(true))
}

/// Rounds up. Otherwise the last millisecond before a deadline would be spent polling.
fn millis(duration: Duration) -> PollTimeout {
    PollTimeout::try_from(duration.saturating_add(Duration::from_micros(999)).as_millis()).unwrap_or(PollTimeout::MAX)
}

/// A pipe whose ends are both non-blocking and close-on-exec.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = blocking_pipe()?;
    for fd in [&read, &write] {
        fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok((read, write))
}

/// A pipe whose ends are both close-on-exec. (macOS has no pipe2(2). No other thread forks meanwhile.)
pub fn blocking_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe()?;
    for fd in [&read, &write] {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok((read, write))
}
