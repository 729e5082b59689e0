//! A client that asks all the time and counts what was not answered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Asks {
    /// HTTP, for 200.
    Http,
    /// FastCGI: php-fpm's own ping.
    FastCgi,
    /// PostgreSQL: whether it does TLS.
    Postgres,
    /// It has no port.
    Nothing,
}

impl Asks {
    /// Whether a server on the port answers as it should.
    pub fn answered(self, port: u16) -> bool {
        self.ask(port).is_some()
    }

    fn ask(self, port: u16) -> Option<()> {
        let (request, wanted) = match self {
            Asks::Http => (&b"GET / HTTP/1.0\r\nHost: here\r\n\r\n"[..], &b" 200 "[..]),
            Asks::FastCgi => (&fast_cgi_ping()[..], &b"pong"[..]),
            Asks::Postgres => (&[0, 0, 0, 8, 4, 210, 22, 47][..], &b""[..]),
            Asks::Nothing => return Some(()),
        };
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(request).ok()?;
        if self == Asks::Postgres {
            let mut answer = [0];
            stream.read_exact(&mut answer).ok()?;
            return matches!(answer, [b'S'] | [b'N']).then_some(());
        }
        let mut answer = Vec::new();
        // What came is what counts: a server may end the connection in any way once it has answered.
        let _ = stream.read_to_end(&mut answer);
        answer.windows(wanted.len()).any(|part| part == wanted).then_some(())
    }
}

/// The records of one request for /ping.
fn fast_cgi_ping() -> Vec<u8> {
    let mut pairs = Vec::new();
    for (name, value) in [("SCRIPT_NAME", "/ping"), ("SCRIPT_FILENAME", "/ping"), ("REQUEST_METHOD", "GET")] {
        pairs.extend([name.len() as u8, value.len() as u8]);
        pairs.extend([name.as_bytes(), value.as_bytes()].concat());
    }
    let mut bytes = vec![1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend([1, 4, 0, 1, 0, pairs.len() as u8, 0, 0]);
    bytes.extend(pairs);
    bytes.extend([1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0]);
    bytes
}

pub struct Client {
    ends: Arc<AtomicBool>,
    asks: JoinHandle<Tally>,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    pub asked: u32,
    pub lost: u32,
}

impl Client {
    pub fn new(asks: Asks, port: u16) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut tally = Tally::default();
            while asks != Asks::Nothing && !told.load(Ordering::SeqCst) {
                tally.asked += 1;
                tally.lost += u32::from(!asks.answered(port));
                std::thread::sleep(Duration::from_millis(4));
            }
            tally
        });
        Client { ends, asks: thread }
    }

    pub fn end(self) -> Tally {
        self.ends.store(true, Ordering::SeqCst);
        self.asks.join().expect("joined")
    }
}
