#![forbid(unsafe_code)]
//! What the server itself says: READY=1 (sd_notify(3)). Only what comes from the server or its family counts.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::operand::Operand;
use super::reason::{Reason, words_of};
use crate::sys;
use crate::text::quoted;

/// A longer message is dropped as a whole, as a service manager does.
const LONGEST: usize = 4096;
/// How many messages one attempt reads. Who sends more is read at the pace of attempts.
const MOST: usize = 64;
/// How long one attempt listens.
const LISTENS: Duration = Duration::from_secs(1);

/// # Errors
/// When there is anything after the colon.
pub fn nothing(operand: &Operand) -> Result<(), String> {
    let Operand { form, raw, .. } = operand;
    if raw.is_empty() { Ok(()) } else { Err(format!("nothing comes after the colon; write {form}")) }
}

/// Whether a process is of the server.
pub type IsOfServer = Box<dyn Fn(i32) -> bool + Send + Sync>;

/// Where the server's messages arrive.
pub struct Mailbox {
    socket: UnixDatagram,
    /// Nothing where the kernel does not say who sends: then only this user can reach the socket.
    is_of_server: Option<IsOfServer>,
    heard: Mutex<Heard>,
}

/// What was heard so far.
#[derive(Default)]
struct Heard {
    was_asked: bool,
    ready: bool,
    stopping: bool,
    status: Option<Vec<u8>>,
    /// The sender of a message that did not count.
    stranger: Option<i32>,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Mailbox {
    pub fn new(socket: UnixDatagram, is_of_server: Option<IsOfServer>) -> Self {
        Mailbox { socket, is_of_server, heard: Mutex::default() }
    }

    /// Listens, at most for `limit`, until there is something new.
    ///
    /// # Errors
    /// The server has not said that it is ready, and what it said instead.
    pub fn says_ready(&self, limit: Duration, cancel: BorrowedFd) -> Result<(), Reason> {
        let mut heard = self.heard();
        // A short deadline has a reason from the first moment on.
        let patience = if std::mem::replace(&mut heard.was_asked, true) { limit.min(LISTENS) } else { Duration::ZERO };
        let until = Instant::now() + patience;
        loop {
            let news = self.read(&mut heard)?;
            if heard.ready {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if news || left.is_zero() {
                return Err(Reason::Text(heard.reason()));
            }
            if sys::wait_readable([Some(self.socket.as_fd()), Some(cancel)], left)[1] {
                return Err(Reason::Text(heard.reason()));
            }
        }
    }

    /// Reads what has come. Whether there was anything.
    fn read(&self, heard: &mut Heard) -> io::Result<bool> {
        let mut bytes = [0; LONGEST];
        for count in 0..MOST {
            // What came along with a message is closed with it: only then may its sender end.
            let datagram = match sys::receive(self.socket.as_fd(), &mut bytes) {
                Ok(datagram) => datagram,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(count > 0),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let text = &bytes[..datagram.length];
            if !datagram.is_whole || !heard.would_note(text) {
                continue;
            }
            match (&self.is_of_server, datagram.sender) {
                (Some(is_of_server), Some(pid)) if is_of_server(pid) => heard.note(text),
                (Some(_), sender) => heard.stranger = sender,
                (None, _) => heard.note(text),
            }
            if heard.ready {
                return Ok(true);
            }
        }
        Ok(true)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Heard {
    /// Whether a message says anything that is of interest: only then its sender is looked up.
    fn would_note(&self, text: &[u8]) -> bool {
        lines(text).any(|line| matches!(line, b"READY=1" | b"STOPPING=1") || line.starts_with(b"STATUS="))
    }

    fn note(&mut self, text: &[u8]) {
        for line in lines(text) {
            match line {
                b"READY=1" => self.ready = true,
                b"STOPPING=1" => self.stopping = true,
                _ => {
                    if let Some(status) = line.strip_prefix(b"STATUS=") {
                        self.status = Some(status.to_vec()).filter(|status| !status.is_empty());
                    }
                }
            }
        }
    }

    fn reason(&self) -> String {
        let said = if self.stopping { "; it says that it is stopping" } else { "" };
        let status = self.status.as_ref().map(|status| format!("; its status is {}", quoted(&words_of(status))));
        let stranger = self.stranger.map(|pid| {
            format!("; a message of pid {pid} did not count: that has ended already, or is no process of the server")
        });
        format!("it has not said READY=1{said}{}{}", status.unwrap_or_default(), stranger.unwrap_or_default())
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_many_lines_and_the_last_status_counts() {
        let mut heard = Heard::default();
        assert_eq!(heard.reason(), "it has not said READY=1");
        heard.note(b"STATUS=one\nX_UNKNOWN=\xff\nSTATUS=loading model");
        assert_eq!(heard.reason(), "it has not said READY=1; its status is 'loading model'");
        heard.note(b"STATUS=\nREADY=10\nREADY\n READY=1\nSTOPPING=1");
        assert_eq!(
            (heard.ready, heard.reason().as_str()),
            (false, "it has not said READY=1; it says that it is stopping")
        );
        heard.note(b"MAINPID=1\nREADY=1\nSTATUS=up");
        assert!(heard.ready);
    }

    #[test]
    fn only_what_is_of_interest_has_its_sender_looked_up() {
        let heard = Heard::default();
        for (text, expected) in [
            (&b"READY=1"[..], true),
            (b"A=1\nSTATUS=x", true),
            (b"WATCHDOG=1", false),
            (b"", false),
            (b"\0\xff", false),
        ] {
            assert_eq!(heard.would_note(text), expected, "{text:?}");
        }
    }
}
