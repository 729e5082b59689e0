#![forbid(unsafe_code)]
//! gRPC: asks grpc.health.v1.Health/Check. The service is the path of the URL; without one it is the whole server.

use percent_encoding::percent_decode;

use super::address::joined;
use super::frames::{self, Answer, Failure};
use super::hpack;
use super::reason::{Reason, words_of};
use super::server::Server;
use super::wire::Wire;
use crate::text::quoted;

/// What is spoken inside of TLS.
pub const INSIDE: &[&[u8]] = &[b"h2"];
const PROTOCOL: &str = "gRPC";
/// The longest name of a service that fits into a frame with room to spare.
const LONGEST: usize = 1000;

/// # Errors
/// When the name of the service is too long.
pub fn checked(server: Server) -> Result<Server, String> {
    match server.path.len() > LONGEST {
        true => Err(format!("the name of the service has more than {LONGEST} bytes; use a shorter one")),
        false => Ok(server),
    }
}

/// # Errors
/// Why the server does not serve.
pub fn converse(wire: &mut Wire, server: &Server) -> Result<(), Reason> {
    let answer = match frames::exchange(wire, &headers(server), &question(&server.path)) {
        Ok(answer) => answer,
        Err(failure) => return Err(failed(wire, server, failure)),
    };
    frames::leave(wire);
    status(&answer, server).map_err(Reason::Text)
}

fn headers(server: &Server) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", if server.is_encrypted() { "https" } else { "http" }),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", &joined(&server.host, server.port)),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", concat!("forerun/", env!("CARGO_PKG_VERSION"))),
    ] {
        hpack::write(&mut block, name, value);
    }
    block
}

/// The message of protobuf with the service's name, in the frame of gRPC.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, a text. A length of two bytes is enough for any name.
        message.push(0x0a);
        let length = service.len();
        if length < 128 {
            message.push(length as u8);
        } else {
            message.extend([(length % 128) as u8 | 128, (length / 128) as u8]);
        }
        message.extend_from_slice(service.as_bytes());
    }
    [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat()
}

fn failed(wire: &Wire, server: &Server, failure: Failure) -> Reason {
    Reason::Text(match failure {
        Failure::Broken(_) | Failure::Foreign if wire.first().starts_with(b"HTTP/1") => {
            let http = if server.is_encrypted() { "https" } else { "http" };
            format!("it speaks HTTP/1.1 and not gRPC; write {}/", server.with(http))
        }
        Failure::Broken(reason) => return reason,
        Failure::Foreign => return wire.foreign(PROTOCOL),
        Failure::Reset(error) => format!("it gave the request up (HTTP/2 error {error})"),
        Failure::Leaving(error, words) if words.is_empty() => {
            format!("it closed the connection (HTTP/2 error {error})")
        }
        Failure::Leaving(error, words) => {
            format!("it closed the connection: {} (HTTP/2 error {error})", words_of(&words))
        }
    })
}

fn status(answer: &Answer, server: &Server) -> Result<(), String> {
    let value = |name: &str| {
        let found = answer.headers.iter().rev().find(|(known, _)| known == name.as_bytes());
        found.map(|(_, value)| value.as_slice())
    };
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
    let tcp = server.with("tcp");
    match (value("grpc-status").map(number), value(":status").and_then(number)) {
        (Some(Some(0)), _) => match health(&answer.body).ok_or("its answer is not of grpc.health.v1")? {
            0 => Err("its health is UNKNOWN".to_owned()),
            1 => Ok(()),
            2 => Err("it is NOT_SERVING".to_owned()),
            3 => Err(unknown(&server.path)),
            other => Err(format!("its health is {other}, which is no status of grpc.health.v1")),
        },
        // The words of grpc.health.v1 for a name that it does not know.
        (Some(Some(5)), _) if !server.path.is_empty() => Err(unknown(&server.path)),
        (Some(Some(12)), _) => Err(format!("it has no health service (grpc.health.v1); use {tcp}")),
        (Some(code), _) => {
            let code = code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
            let words = words_of(&percent_decode(value("grpc-message").unwrap_or_default()).collect::<Vec<_>>());
            let words = if words.is_empty() { words } else { format!(": {words}") };
            Err(format!("it answers with gRPC status {code}{words}"))
        }
        (None, Some(status)) if status != 200 => Err(format!("it does not speak gRPC (status {status}); use {tcp}")),
        (None, _) => Err(format!("its answer has no status of gRPC; use {tcp}")),
    }
}

fn unknown(service: &str) -> String {
    format!("it does not know the service {}", quoted(service))
}

/// The status in the message: field 1 of protobuf, a number. Other fields are of later versions.
fn health(body: &[u8]) -> Option<u64> {
    let (header, rest) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    // Nobody asked for a message that is compressed.
    let mut message = rest.get(..length).filter(|_| header[0] == 0)?;
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let skipped = match tag & 7 {
            0 => {
                let value = varint(&mut message)?;
                status = if tag == 8 { value } else { status };
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, others) = rest.split_first()?;
        *rest = others;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::wire::tests::talk;
    use super::*;

    const URL: &str = "grpc://localhost:50051/web";

    fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
    }

    fn block(headers: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        headers.iter().for_each(|(name, value)| hpack::write(&mut block, name, value));
        block
    }

    /// SETTINGS, a PING, the answer and its trailers, whose block is in two frames.
    fn answer(body: &[u8], trailers: &[(&str, &str)]) -> Vec<u8> {
        let trailers = block(trailers);
        let (begun, ended) = trailers.split_at(trailers.len() / 2);
        [
            frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]),
            frame(4, 1, 0, &[]),
            frame(6, 0, 0, b"12345678"),
            frame(1, 4 | 8 | 32, 1, &[&[3, 0, 0, 0, 0, 16][..], b"\x88\x5f\x10application/grpc", &[0; 3]].concat()),
            frame(0, 8, 1, &[&[2][..], body, &[0; 2]].concat()),
            frame(8, 0, 0, &[0, 0, 0, 1]),
            frame(1, 1, 1, begun),
            frame(9, 4, 1, ended),
        ]
        .concat()
    }

    fn health_of(status: u8) -> Vec<u8> {
        answer(&[0, 0, 0, 0, 2, 8, status], &[("grpc-status", "0")])
    }

    #[test]
    fn serving_holds() {
        assert_eq!(talk(URL, &health_of(1)).0, Ok(()));
        let (_, sent) = talk(URL, &health_of(1));
        let body = frame(0, 1, 1, b"\0\0\0\0\x05\x0a\x03web");
        assert!(sent.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04"));
        assert!(sent.windows(body.len()).any(|window| window == body));
        assert!(sent.windows(17).any(|window| window == frame(6, 1, 0, b"12345678")), "the ping is answered");
        // A field of a later version.
        assert_eq!(talk(URL, &answer(b"\0\0\0\0\x05\x12\x01x\x08\x01", &[("grpc-status", "0")])).0, Ok(()));
    }

    #[test]
    fn what_does_not_serve_is_named() {
        let settings = frame(4, 0, 0, &[]);
        let only = |headers: &[(&str, &str)]| [settings.clone(), frame(1, 5, 1, &block(headers))].concat();
        let denied = only(&[(":status", "200"), ("grpc-status", "7"), ("grpc-message", "no%0Away")]);
        for (answer, words) in [
            (health_of(2), "it is NOT_SERVING"),
            (health_of(3), "it does not know the service 'web'"),
            (health_of(0), "its health is UNKNOWN"),
            (health_of(9), "its health is 9, which is no status of grpc.health.v1"),
            (answer(&[0, 0, 0, 0, 0], &[("grpc-status", "0")]), "its health is UNKNOWN"),
            (answer(&[1, 0, 0, 0, 2, 8, 1], &[("grpc-status", "0")]), "its answer is not of grpc.health.v1"),
            (answer(&[0, 9, 9, 9, 9, 8, 1], &[("grpc-status", "0")]), "its answer is not of grpc.health.v1"),
            (
                only(&[(":status", "200"), ("grpc-status", "12")]),
                "it has no health service (grpc.health.v1); use tcp:localhost:50051",
            ),
            (only(&[("grpc-status", "5")]), "it does not know the service 'web'"),
            (denied, "it answers with gRPC status 7: no\\nway"),
            (only(&[("grpc-status", "x")]), "it answers with gRPC status unknown"),
            (only(&[(":status", "404")]), "it does not speak gRPC (status 404); use tcp:localhost:50051"),
            (only(&[(":status", "200")]), "its answer has no status of gRPC; use tcp:localhost:50051"),
            ([settings.clone(), frame(3, 0, 1, &[0, 0, 0, 7])].concat(), "it gave the request up (HTTP/2 error 7)"),
            (
                [settings.clone(), frame(7, 0, 0, b"\0\0\0\0\0\0\0\x0bcalm")].concat(),
                "it closed the connection: calm (HTTP/2 error 11)",
            ),
            (frame(0, 0, 1, b""), "it does not speak gRPC; use tcp:localhost:50051"),
            (
                [settings.clone(), frame(9, 4, 1, &[0xff; 9])].concat(),
                "it does not speak gRPC; use tcp:localhost:50051",
            ),
            ([settings.clone(), b"\xff\xff\xff".repeat(9)].concat(), "it does not speak gRPC; use tcp:localhost:50051"),
            (settings.repeat(2000), "it does not speak gRPC; use tcp:localhost:50051"),
            (settings.clone(), "it closed the connection in the middle of its answer"),
            (Vec::new(), "it closed the connection without an answer; if it speaks TLS, write grpcs://localhost:50051"),
            (
                b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
                "it speaks HTTP/1.1 and not gRPC; write http://localhost:50051/",
            ),
            (b"\x15\x03\x01\0\x02\x02\x46..".to_vec(), "it speaks TLS; write grpcs://localhost:50051"),
        ] {
            assert_eq!(talk(URL, &answer).0, Err(words.to_owned()));
        }
    }
}
