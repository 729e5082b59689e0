#![forbid(unsafe_code)]
//! What fuzzing reads with the checks: CHECKs, and what servers answer.

use std::ffi::OsStr;
use std::io::{self, Cursor, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::Socket;

use super::expect::{Expectation, Identity, Method, certificates};
use super::hpack::Decoder;
use super::http::{Client, Question};
use super::in_flight::InFlight;
use super::kinds::{Check, KINDS};
use super::pace::Limits;
use super::tls::Tls;
use super::wire::tests::talk;
use crate::tests::{SECRET, Target};
use crate::text::quoted;

const WORDS: &[&str] = &[
    "://",
    "@",
    ":",
    "/",
    "//",
    "?",
    "#",
    "[::1]",
    "127.0.0.1",
    "localhost",
    "%2F",
    "%zz",
    "%00",
    "\t",
    "'",
    "\"",
    " ",
    "\u{202e}",
    "é",
    "http",
    "tcp:",
    "exec:",
    "redis",
    "u:p@",
    ":80",
    ":65536",
    "${A}",
    "\\",
];
const PROTOCOLS: &[&str] =
    &["\r\n", "\0\0\0\x04", "\0\0\0\x08\0\0\0\0", "R", "E", "Z", "C57P03\0", "M", "\0", "#08004", "\x7f"];
const REDIS: &[&str] = &[
    "\r\n",
    "+OK\r\n",
    "+PONG\r\n",
    "-ERR ",
    "-NOAUTH ",
    "-WRONGPASS ",
    "-NOPERM ",
    "invalid password",
    "$-1\r\n",
    SECRET,
];
const FRAMES: &[&str] = &[
    "\0\0\0\x04\0\0\0\0\0",
    "\0\0\x04\x01\x04\0\0\0\x01",
    "\0\0\x04\x01\x05\0\0\0\x01",
    "\0\0\x04\0\x01\0\0\0\x01",
    "\0\0\x04\x09\x04\0\0\0\x01",
    "\0\0\x08\x07\0\0\0\0\0",
    "grpc-status",
    "\x0bgrpc-status\x010",
    ":status",
    "\x08\x01",
    "\0\0\0\0\x02\x08\x01",
    "\x7f",
    "@",
];
const HTTP: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "HTTP/1.1 ",
    "200",
    "100",
    "400",
    "204",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "green",
    "Location: ",
    "Connection: close\r\n",
    "Content-Encoding: gzip\r\n",
    "18446744073709551616",
    "-1",
];
const PEM: &[&str] =
    &["-----BEGIN ", "-----END ", "CERTIFICATE-----", "PRIVATE KEY-----", "\n", "A", "=", "RSA ", "EC "];
const TLS: &[&str] = &[
    "\x16\x03\x03",
    "\x14\x03\x03\0\x01\x01",
    "\x15\x03\x03\0\x02\x02",
    "\x17\x03\x03",
    "\0\x02",
    "\x0b",
    "\x02\0",
    "\x7f",
];

pub fn targets() -> Vec<Target> {
    let target = |name, share, words, read| Target { name, share, words, read };
    vec![
        target("check", 25, WORDS, check),
        target("postgres", 10, PROTOCOLS, |input| answer("postgres", input)),
        target("mysql", 10, PROTOCOLS, |input| answer("mysql", input)),
        target("redis", 10, REDIS, |input| answer("redis", input)),
        target("grpc", 10, FRAMES, |input| answer("grpc", input)),
        target("hpack", 5, FRAMES, |input| {
            let mut decoder = Decoder::default();
            let (begun, rest) = input.split_at(input.len() / 2);
            let headers = [begun, rest].map(|block| decoder.block(block).map(|headers| headers.len()));
            vec![format!("{headers:?}")]
        }),
        target("http", 10, HTTP, http),
        target("tls", 2, TLS, tls),
        target("pem", 3, PEM, pem),
    ]
}

/// A CHECK, and a URL whose password it is: what is before a tab.
fn check(input: &[u8]) -> Vec<String> {
    let mut messages = shown(OsStr::from_bytes(input));
    if let Some(at) = input.iter().position(|&b| b == b'\t') {
        let (password, address) = (&input[..at], &input[at + 1..]);
        let hosts: Vec<_> = KINDS.iter().filter(|kind| kind.has_host).collect();
        let word = hosts[input.len() % hosts.len()].word.as_bytes();
        let spec = [word, b"://user:", SECRET.as_bytes(), password, SECRET.as_bytes(), b"@", address].concat();
        messages.extend(shown(OsStr::from_bytes(&spec)));
        // And in the text of somebody else, where an '@' before a '/' is the end of the password.
        if !password.iter().any(|b| b.is_ascii_whitespace() || b"'\"@".contains(b)) {
            messages.push(quoted(OsStr::from_bytes(&spec)));
        }
    }
    messages
}

/// What a person sees of a CHECK.
fn shown(spec: &OsStr) -> Vec<String> {
    let check = match Check::parse(spec) {
        Ok(check) => check,
        Err(message) => return vec![message],
    };
    assert_eq!(Check::parse(&check.spec()).as_ref(), Ok(&check), "it reads back as it was");
    let message = check.to_string();
    let within = check.within(Path::new("/srv")).err();
    [Some(message), within].into_iter().flatten().collect()
}

/// A server's answer in a protocol of its own.
fn answer(word: &str, input: &[u8]) -> Vec<String> {
    let url = format!("{word}://user:{SECRET}@localhost:7/a");
    talk(&url, input).0.err().into_iter().collect()
}

const LIMITS: Limits = Limits { whole: Duration::from_secs(20), connect: Duration::from_secs(20) };

/// What comes of an HTTP answer, with and without a text that is looked for.
fn http(input: &[u8]) -> Vec<String> {
    let get = Expectation { body: Some("green".to_owned()), ..Expectation::default() };
    let head = Expectation { method: Method::Head, ..Expectation::default() };
    [get, head].iter().flat_map(|expect| asked("http", expect, input)).collect()
}

/// What comes of it where TLS is expected, and what of a handshake of ours.
fn tls(input: &[u8]) -> Vec<String> {
    let expect = Expectation { insecure: true, ..Expectation::default() };
    let mut said = Said(Cursor::new(input.to_vec()));
    assert!(Tls::new(&expect, &[]).shake_hands("localhost", &mut said).is_err(), "its answer was to another hello");
    asked("https", &expect, input)
}

fn asked(scheme: &str, expect: &Expectation, input: &[u8]) -> Vec<String> {
    let url = format!("{scheme}://user:{SECRET}@localhost:7/a").parse().expect("a URL");
    let in_flight = InFlight::default();
    let question = Question { url: &url, expect, limits: LIMITS, in_flight: &in_flight };
    let (near, mut far) = UnixStream::pair().expect("a pair");
    far.write_all(input).and_then(|()| far.shutdown(std::net::Shutdown::Write)).expect("sent");
    let outcome = Client::new(&url, expect, false).attempt(|_| Ok(Socket::from(OwnedFd::from(near))), &question);
    outcome.err().map(|reason| reason.to_string()).into_iter().collect()
}

/// Certificates and a key.
fn pem(input: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(input).into_owned();
    let wrong = certificates(&text).err();
    let identity = Identity { certificates: text.clone(), key: text }.read().err();
    [wrong, identity].into_iter().flatten().map(str::to_owned).collect()
}

/// A server that has said all it will ever say.
struct Said(Cursor<Vec<u8>>);

impl Read for Said {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
