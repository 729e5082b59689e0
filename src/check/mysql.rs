#![forbid(unsafe_code)]
//! MySQL and MariaDB: reads the greeting, and goes on to the end of a login that fails. A server counts the connections
//! of a host that stop before (max_connect_errors), and then refuses the host.

use super::reason::{Reason, words_of};
use super::wire::Wire;

/// The port where the URL has none.
pub const PORT: u16 = 3306;
const PROTOCOL: &str = "MySQL";
/// The longest packet before a session.
const LONGEST: usize = 4096;
/// How often a server asks in a login that fails.
const ROUNDS: usize = 4;
/// LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION and PLUGIN_AUTH.
const CAPABILITIES: u32 = 0x0001 | 0x0200 | 0x8000 | 0x8_0000;
/// utf8mb4_general_ci.
const CHARSET: u8 = 45;
/// Never the user of the URL, whose account too many wrong passwords can lock.
const USER: &[u8] = b"forerun\0";
/// A login without a password. The plugin for it wants a signature of some length.
const ED25519: (&[u8], [u8; 64]) = (b"client_ed25519", [0; 64]);
/// Errors behind the greeting that any session would get: too many connections, of all or of one user; shutting down;
/// the host is blocked, or not allowed.
const OF_ALL: [u16; 5] = [1040, 1053, 1129, 1130, 1203];

/// # Errors
/// Why the server does not serve.
pub fn converse(wire: &mut Wire) -> Result<(), Reason> {
    let (_, greeting) = packet(wire)?.ok_or_else(|| wire.foreign(PROTOCOL))?;
    match greeting.as_slice() {
        [10, ..] => {}
        [255, ..] => return Err(refusal(&greeting).1),
        _ => return Err(wire.foreign(PROTOCOL)),
    }
    match log_in(wire) {
        Some(error) if OF_ALL.contains(&refusal(&error).0) => Err(refusal(&error).1),
        // It has greeted; how it takes the rest is no matter.
        _ => Ok(()),
    }
}

/// The error that ends the login, if there is one.
fn log_in(wire: &mut Wire) -> Option<Vec<u8>> {
    let mut response = CAPABILITIES.to_le_bytes().to_vec();
    response.extend_from_slice(&(LONGEST as u32).to_le_bytes());
    response.push(CHARSET);
    response.extend_from_slice(&[0; 23]);
    response.extend_from_slice(USER);
    response.push(0);
    response.extend_from_slice(b"mysql_native_password\0");
    send(wire, 1, &response)?;
    for _ in 0..ROUNDS {
        let (number, answer) = packet(wire).ok()??;
        match answer.as_slice() {
            [255, ..] => return Some(answer),
            // COM_QUIT
            [0, ..] => return send(wire, 0, &[1]).and(None),
            [254, plugin @ ..] if plugin.starts_with(ED25519.0) => send(wire, number.wrapping_add(1), &ED25519.1)?,
            _ => send(wire, number.wrapping_add(1), &[])?,
        }
    }
    None
}

fn send(wire: &mut Wire, number: u8, body: &[u8]) -> Option<()> {
    let length = (body.len() as u32).to_le_bytes();
    wire.send(&[&length[..3], &[number], body].concat()).ok()
}

/// The next packet and its number. `None` if it is too long, or empty.
fn packet(wire: &mut Wire) -> Result<Option<(u8, Vec<u8>)>, Reason> {
    let header = wire.take(4)?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
    if !(1..=LONGEST).contains(&length) {
        return Ok(None);
    }
    Ok(Some((header[3], wire.take(length)?)))
}

/// The number and the words of an error.
fn refusal(packet: &[u8]) -> (u16, Reason) {
    let [_, low, high, text @ ..] = packet else {
        return (0, Reason::Text("it refuses the connection and gives no reason".to_owned()));
    };
    let code = u16::from_le_bytes([*low, *high]);
    // The state of SQL comes in between, but not before the greeting.
    let text = if let [b'#', _, _, _, _, _, text @ ..] = text { text } else { text };
    let text = words_of(text);
    (code, Reason::Text(if text.is_empty() { format!("error {code}") } else { format!("{text} (error {code})") }))
}

#[cfg(test)]
mod tests {
    use super::super::wire::tests::talk;

    const URL: &str = "mysql://user:secret@localhost";

    fn message(number: u8, body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_le_bytes()[..3], &[number], body].concat()
    }

    fn greeting() -> Vec<u8> {
        let rest = b"\x0a8.0.36\0\x01\0\0\0aaaaaaaa\0\xff\xf7\xff\x02\0\xff\xc1\x15\0\0\0\0\0\0\0\0\0\0bbbbbbbbbbbb\0";
        message(0, &[&rest[..], b"mysql_native_password\0"].concat())
    }

    fn error(code: u16, text: &str) -> Vec<u8> {
        [&[255][..], &code.to_le_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn a_greeting_holds_and_is_answered_to_the_end() {
        let denied = message(2, &error(1045, "#28000Access denied"));
        let (outcome, sent) = talk(URL, &[greeting(), denied.clone()].concat());
        assert_eq!(outcome, Ok(()));
        assert_eq!(sent.len(), 4 + 4 + 4 + 1 + 23 + 8 + 1 + 22);
        assert!(!sent.windows(4).any(|window| window == b"user" || window == b"secr"));
        // Asked for another way to log in, it has no password there either.
        let switch = message(2, b"\xfecaching_sha2_password\0aaaaaaaaaaaaaaaaaaaa\0");
        let (outcome, sent) = talk(URL, &[greeting(), switch, denied].concat());
        assert!(outcome.is_ok() && sent.ends_with(b"\0\0\0\x03"), "{sent:?}");
        let (outcome, sent) = talk(URL, &[greeting(), message(2, b"\0\0\0\x02\0\0\0")].concat());
        assert!(outcome.is_ok() && sent.ends_with(b"\x01\0\0\0\x01"), "{sent:?}");
        assert_eq!(talk(URL, &greeting()).0, Ok(()));
    }

    #[test]
    fn a_server_that_refuses_gives_its_words() {
        let many = error(1040, "#08004Too many connections");
        for (answer, words) in [
            (message(0, &error(1040, "Too many connections")), "Too many connections (error 1040)"),
            ([greeting(), message(2, &many)].concat(), "Too many connections (error 1040)"),
            (message(0, &error(1129, "Host '1' is blocked")), "Host '1' is blocked (error 1129)"),
            (message(0, &error(1, "")), "error 1"),
            (message(0, &[255]), "it refuses the connection and gives no reason"),
            (message(0, b"\x09old"), "it does not speak MySQL; use tcp:localhost:3306"),
            (b"\0\0\0\0".to_vec(), "it does not speak MySQL; use tcp:localhost:3306"),
            (b"\xff\xff\xff\0".to_vec(), "it does not speak MySQL; use tcp:localhost:3306"),
            (Vec::new(), "it closed the connection without an answer"),
            (greeting()[..20].to_vec(), "it closed the connection in the middle of its answer"),
        ] {
            assert_eq!(talk(URL, &answer).0, Err(words.to_owned()));
        }
    }
}
