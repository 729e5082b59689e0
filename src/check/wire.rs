#![forbid(unsafe_code)]
//! A conversation with a server. Whatever the server sends, a read ends with the attempt, and takes no more than it was
//! asked for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::StreamOwned;

use super::answer;
use super::in_flight::InFlight;
use super::net::Dialler;
use super::pace::Limits;
use super::reason::{NO_ANSWER, Reason, says};
use super::server::Server;
use super::tls::Tls;

/// How many bytes of an answer tell which protocol it is.
const FIRST: usize = 64;

pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A connection that is good until the attempt ends.
struct Timed {
    stream: TcpStream,
    end: Instant,
    /// The first bytes that came.
    first: Vec<u8>,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        let count = self.stream.read(into)?;
        let wanted = FIRST.saturating_sub(self.first.len()).min(count);
        self.first.extend_from_slice(&into[..wanted]);
        Ok(count)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Wire<'a> {
    server: &'a Server,
    stream: Box<dyn Stream>,
    /// What came and was not taken.
    got: Vec<u8>,
    /// The first bytes that came.
    first: Vec<u8>,
}

impl<'a> Wire<'a> {
    /// Connects to a server.
    ///
    /// # Errors
    /// Why it is not connected.
    pub fn open(
        server: &'a Server,
        dialler: &mut Dialler,
        tls: Option<&Tls>,
        limits: Limits,
        in_flight: &InFlight,
    ) -> Result<Self, Reason> {
        let end = Instant::now() + limits.whole;
        let stream = dialler.dial(&server.host, server.port, limits.connect)?;
        in_flight.note(&stream)?;
        stream.set_nodelay(true)?;
        let mut timed = Timed { stream, end, first: Vec::new() };
        let Some(tls) = tls else { return Ok(Wire::over(server, Box::new(timed))) };
        let shaken = tls.shake_hands(&server.host, &mut timed);
        let conn = shaken.map_err(|error| broken(server, &error, &timed.first, true))?;
        Ok(Wire::over(server, Box::new(StreamOwned { conn, sock: timed })))
    }

    pub fn over(server: &'a Server, stream: Box<dyn Stream>) -> Self {
        Wire { server, stream, got: Vec::new(), first: Vec::new() }
    }

    /// # Errors
    /// Why it cannot be sent.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        let sent = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
        sent.map_err(|error| broken(self.server, &error, &self.first, false))
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Why they do not come.
    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, Reason> {
        while self.got.len() < count {
            self.fill()?;
        }
        let rest = self.got.split_off(count);
        Ok(std::mem::replace(&mut self.got, rest))
    }

    /// What is before the next `end`, which is taken too. `None` if there is none in the next `most` bytes.
    ///
    /// # Errors
    /// Why no more comes.
    pub fn until(&mut self, end: &[u8], most: usize) -> Result<Option<Vec<u8>>, Reason> {
        loop {
            if let Some(at) = self.got.windows(end.len()).position(|window| window == end) {
                let mut taken = self.take(at + end.len())?;
                taken.truncate(at);
                return Ok(Some(taken));
            }
            if self.got.len() >= most {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// The first bytes that came.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// The reason for an answer of another protocol.
    pub fn foreign(&self, protocol: &str) -> Reason {
        let tcp = self.server.with("tcp");
        let is_tls = matches!(self.first.as_slice(), [0x15 | 0x16, 3, ..]);
        Reason::Text(match encrypted(self.server) {
            Some(word) if is_tls => format!("it speaks TLS; write {}", self.server.with(word)),
            // A password was sent, which the answer may repeat.
            _ if self.server.password.is_some() => format!("it does not speak {protocol}; use {tcp}"),
            _ => format!("it does not speak {protocol}{}; use {tcp}", says(&self.first)),
        })
    }

    fn fill(&mut self) -> Result<(), Reason> {
        let mut bytes = [0; 4096];
        loop {
            let error = match self.stream.read(&mut bytes) {
                Ok(0) => ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    let wanted = FIRST.saturating_sub(self.first.len()).min(count);
                    self.first.extend_from_slice(&bytes[..wanted]);
                    self.got.extend_from_slice(&bytes[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            return Err(broken(self.server, &error, &self.first, false));
        }
    }
}

/// The word of the same kind with TLS, for one that has none.
fn encrypted(server: &Server) -> Option<&'static str> {
    match server.word {
        "redis" => Some("rediss"),
        "grpc" => Some("grpcs"),
        _ => None,
    }
}

/// The words for an error of the connection.
fn broken(server: &Server, error: &io::Error, first: &[u8], is_handshake: bool) -> Reason {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
    if let Some(error) = answer::tls_in(error) {
        let plain = server.with(server.word.strip_suffix('s').unwrap_or(server.word));
        return Reason::Text(answer::tls(error, first, &plain, &server.with("tcp")));
    }
    let words = match (error.kind(), first.is_empty()) {
        (TimedOut | WouldBlock, true) => NO_ANSWER,
        (TimedOut | WouldBlock, false) => "its answer does not end",
        (BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof, _) if is_handshake => {
            let plain = server.with(server.word.strip_suffix('s').unwrap_or(server.word));
            let closed = "it closed the connection in the TLS handshake";
            return Reason::Text(format!("{closed}; if it speaks no TLS, write {plain}"));
        }
        (BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof, true) => {
            let closed = "it closed the connection without an answer";
            return Reason::Text(match encrypted(server) {
                Some(word) => format!("{closed}; if it speaks TLS, write {}", server.with(word)),
                None => closed.to_owned(),
            });
        }
        (BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof, false) => {
            "it closed the connection in the middle of its answer"
        }
        _ => return error.raw_os_error().map_or_else(|| "the connection failed".to_owned().into(), Reason::Os),
    };
    Reason::Text(words.to_owned())
}

#[cfg(test)]
pub mod tests {
    use std::cell::RefCell;
    use std::io::Cursor;
    use std::rc::Rc;

    use super::super::kinds::Check;
    use super::*;

    /// A server that has said all it will ever say.
    struct Said {
        answer: Cursor<Vec<u8>>,
        heard: Rc<RefCell<Vec<u8>>>,
    }

    impl Read for Said {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.answer.read(into)
        }
    }

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// How a check ends whose server answers with these bytes, and what it sends.
    pub fn talk(url: &str, answer: &[u8]) -> (Result<(), String>, Vec<u8>) {
        let check = Check::parse(url.as_ref()).expect(url);
        let heard = Rc::default();
        let said = Said { answer: Cursor::new(answer.to_vec()), heard: Rc::clone(&heard) };
        let server = check.server().expect("a server");
        let outcome = check.converse(&mut Wire::over(server, Box::new(said)), server);
        let outcome = outcome.map_err(|reason| reason.to_string());
        let sent = heard.borrow().clone();
        (outcome, sent)
    }
}
