#![forbid(unsafe_code)]
//! As much of HTTP/2 (RFC 9113) as one request needs.

use super::hpack::{Decoder, Header};
use super::reason::Reason;
use super::wire::Wire;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The stream of the one request.
const STREAM: u32 = 1;
/// The longest frame that a server may send, where we set no other length.
const LONGEST: usize = 16_384;
/// The most that is read of headers, of data and of all: an answer has a few hundred bytes.
const MOST: usize = 65_536;
const FRAMES: usize = 1000;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    body: Vec<u8>,
}

/// What a server answered.
#[derive(Default)]
pub struct Answer {
    /// Those before the body and behind it.
    pub headers: Vec<Header>,
    pub body: Vec<u8>,
}

/// How it answered instead.
pub enum Failure {
    /// The connection, in words.
    Broken(Reason),
    /// It is no HTTP/2, or breaks its rules.
    Foreign,
    /// It ended the request with this error.
    Reset(u32),
    /// It ends the connection with this error and these words.
    Leaving(u32, Vec<u8>),
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Failure::Broken(reason)
    }
}

/// Sends a request, a block of headers and a body, and reads the answer.
///
/// # Errors
/// How it answered instead.
pub fn exchange(wire: &mut Wire, block: &[u8], body: &[u8]) -> Result<Answer, Failure> {
    let request = [
        PREFACE,
        // ENABLE_PUSH is 0.
        &frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0]),
        &frame(HEADERS, END_HEADERS, STREAM, block),
        &frame(DATA, END_STREAM, STREAM, body),
    ];
    // A server that answers before it has read all may close: what it said counts.
    let sent = wire.send(&request.concat());
    let mut answer = Answer::default();
    let (mut decoder, mut block, mut total, mut ends) = (Decoder::default(), Vec::new(), 0, false);
    for at in 0..FRAMES {
        let frame = match (read(wire), &sent) {
            (Err(Failure::Broken(_)), Err(reason)) if wire.first().is_empty() => {
                return Err(Failure::Broken(Reason::Text(reason.to_string())));
            }
            (frame, _) => frame?,
        };
        total += frame.body.len();
        if total > MOST || at == 0 && frame.kind != SETTINGS {
            return Err(Failure::Foreign);
        }
        match (frame.kind, frame.stream) {
            (SETTINGS | PING, 0) if frame.flags & ACK == 0 => {
                let echo = if frame.kind == PING { frame.body.as_slice() } else { &[] };
                // One that closes after its answer need not read this.
                let _ = wire.send(&self::frame(frame.kind, ACK, 0, echo));
            }
            (GOAWAY, 0) => leaving(&frame.body)?,
            (RESET, STREAM) => return Err(Failure::Reset(number(&frame.body).ok_or(Failure::Foreign)?)),
            (DATA, STREAM) => answer.body.extend_from_slice(unpadded(&frame).ok_or(Failure::Foreign)?),
            (HEADERS, STREAM) => block = unpadded(&frame).ok_or(Failure::Foreign)?.to_vec(),
            (CONTINUATION, STREAM) => block.extend_from_slice(&frame.body),
            _ => continue,
        }
        if frame.stream != STREAM {
            continue;
        }
        ends |= frame.kind != CONTINUATION && frame.flags & END_STREAM != 0;
        // The end of the stream is told at the beginning of a block.
        if frame.kind != DATA && frame.flags & END_HEADERS == 0 {
            continue;
        }
        if frame.kind != DATA {
            answer.headers.extend(decoder.block(&block).ok_or(Failure::Foreign)?);
        }
        if ends {
            return Ok(answer);
        }
    }
    Err(Failure::Foreign)
}

/// Says goodbye.
pub fn leave(wire: &mut Wire) {
    let _ = wire.send(&frame(GOAWAY, 0, 0, &[0; 8]));
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

fn read(wire: &mut Wire) -> Result<Frame, Failure> {
    let header = wire.take(9)?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    if length > LONGEST {
        return Err(Failure::Foreign);
    }
    let stream = u32::from_be_bytes([header[5] & 127, header[6], header[7], header[8]]);
    Ok(Frame { kind: header[3], flags: header[4], stream, body: wire.take(length)? })
}

/// Goes on where the server still answers our request.
fn leaving(body: &[u8]) -> Result<(), Failure> {
    let last = number(body).ok_or(Failure::Foreign)? & 0x7fff_ffff;
    let error = body.get(4..).and_then(number).ok_or(Failure::Foreign)?;
    match last >= STREAM && error == 0 {
        true => Ok(()),
        false => Err(Failure::Leaving(error, body[8..].to_vec())),
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// What is in a frame beside the padding and the priority.
fn unpadded(frame: &Frame) -> Option<&[u8]> {
    let mut body = frame.body.as_slice();
    if frame.flags & PADDED != 0 {
        let (&padding, rest) = body.split_first()?;
        body = &rest[..rest.len().checked_sub(padding.into())?];
    }
    if frame.kind == HEADERS && frame.flags & PRIORITY != 0 {
        body = body.get(5..)?;
    }
    Some(body)
}
