//! Copies what a command says on stderr, and keeps the end of it. All of it is async-signal-safe, and nothing allocates or
//! panics.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::{read, write};

/// How much of stderr is kept for its last line.
const KEPT: usize = 4096;
/// How much is copied at once: a pipe that is ready takes that much without blocking (PIPE_BUF of POSIX).
const PIECE: usize = 512;
/// How much is read of a command that has ended. What it left behind may write without end.
const REST: usize = 1 << 20;
/// How long whoever reads our output may take, in milliseconds, once the command has ended.
const READER: i32 = 1000;

/// Copies stderr to our output, and keeps the end of it.
pub struct Relay<'a> {
    stderr: &'a OwnedFd,
    is_open: bool,
    output: BorrowedFd<'a>,
    kept: [u8; KEPT],
    length: usize,
    piece: [u8; PIECE],
    /// What of the piece was not written yet.
    pending: (usize, usize),
}

impl<'a> Relay<'a> {
    pub fn new(stderr: &'a OwnedFd, output: BorrowedFd<'a>) -> Self {
        Relay { stderr, is_open: true, output, kept: [0; KEPT], length: 0, piece: [0; PIECE], pending: (0, 0) }
    }

    pub fn kept(&self) -> &[u8] {
        &self.kept[..self.length]
    }

    fn has_pending(&self) -> bool {
        self.pending.0 < self.pending.1
    }

    /// What to wait for before [`Relay::go_on`] has something to do: input, and output.
    pub fn wanted(&self) -> [(RawFd, i16); 2] {
        let reads = self.is_open && !self.has_pending();
        [
            (if reads { self.stderr.as_raw_fd() } else { -1 }, libc::POLLIN),
            (if self.has_pending() { self.output.as_raw_fd() } else { -1 }, libc::POLLOUT),
        ]
    }

    /// Copies a piece.
    pub fn go_on(&mut self, [readable, writable]: [bool; 2]) {
        if readable {
            self.read();
        }
        if writable {
            self.write();
        }
    }

    /// Copies what is left of a command that has ended, as long as somebody reads our output.
    pub fn rest(&mut self) {
        let mut is_read = true;
        for _ in 0..REST / PIECE {
            while self.has_pending() {
                is_read = is_read && ready([(self.output.as_raw_fd(), libc::POLLOUT)], READER)[0];
                if is_read { self.write() } else { self.pending = (0, 0) }
            }
            if !self.is_open || !ready([(self.stderr.as_raw_fd(), libc::POLLIN)], 0)[0] {
                return;
            }
            self.read();
        }
    }

    fn read(&mut self) {
        match read(self.stderr, &mut self.piece) {
            Ok(count) if count > 0 => {
                self.pending = (0, count);
                let goes = (self.length + count).saturating_sub(KEPT);
                self.kept.copy_within(goes..self.length, 0);
                self.length -= goes;
                self.kept[self.length..self.length + count].copy_from_slice(&self.piece[..count]);
                self.length += count;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            _ => self.is_open = false,
        }
    }

    /// Writes what it can. What a full disk or a closed pipe does not take is lost; the step goes on.
    fn write(&mut self) {
        let (from, to) = self.pending;
        match write(self.output, &self.piece[from..to]) {
            Ok(count) => self.pending.0 += count,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.pending = (0, 0),
        }
    }
}

/// Which of some descriptors are ready or at their end, after at most so many milliseconds. A negative one never is.
pub fn ready<const N: usize>(wanted: [(RawFd, i16); N], timeout: i32) -> [bool; N] {
    let mut polled = wanted.map(|(fd, events)| libc::pollfd { fd, events, revents: 0 });
    // SAFETY: the array is ours and outlives the call.
    let count = unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, timeout) };
    polled.map(|one| count > 0 && one.revents != 0)
}
