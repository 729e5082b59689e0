#![forbid(unsafe_code)]
//! PostgreSQL: asks for a session, and reads whether the server goes on with it. Nobody is logged in.

use super::reason::{Reason, words_of};
use super::server::Server;
use super::wire::Wire;

/// The port where the URL has none.
pub const PORT: u16 = 5432;
const PROTOCOL: &str = "PostgreSQL";
/// Version 3.0.
const VERSION: u32 = 196_608;
/// The longest message that libpq takes before a session, too.
const LONGEST: usize = 30_000;
/// A server says less than this before a session.
const MESSAGES: usize = 500;
/// The words for one that has none.
const NO_REASON: &str = "it refuses the session and gives no reason";
/// Who asks, where the URL has no user.
const NOBODY: &[u8] = b"forerun";

/// # Errors
/// Why the server does not serve.
pub fn converse(wire: &mut Wire, server: &Server) -> Result<(), Reason> {
    wire.send(&startup(server))?;
    for _ in 0..MESSAGES {
        let header = wire.take(5)?;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let body = match (header[0], length) {
            // One that cannot make a process for the session says so in the words of version 2, which have no length.
            (b'E', length) if !(8..=LONGEST).contains(&length) && header[1..].iter().all(u8::is_ascii) => {
                let rest = wire.until(b"\0", 200).ok().flatten().unwrap_or_default();
                let words = words_of(&[&header[1..], &rest].concat());
                return Err(Reason::Text(if words.is_empty() { NO_REASON.to_owned() } else { words }));
            }
            (b'R' | b'E' | b'S' | b'K' | b'Z' | b'N' | b'v', 4..=LONGEST) => wire.take(length - 4)?,
            _ => return Err(wire.foreign(PROTOCOL)),
        };
        match header[0] {
            // It trusts us without a password. What the session lacks comes behind that.
            b'R' if body == [0; 4] => {}
            b'R' => return Ok(()),
            b'E' => return refusal(&body),
            b'Z' => {
                // Whether it reads the goodbye is no matter.
                let _ = wire.send(b"X\0\0\0\x04");
                return Ok(());
            }
            _ => {}
        }
    }
    Err(wire.foreign(PROTOCOL))
}

fn startup(server: &Server) -> Vec<u8> {
    let user = if server.user.is_empty() { NOBODY } else { &server.user };
    let mut body = VERSION.to_be_bytes().to_vec();
    let database = Some(server.path.as_bytes()).filter(|name| !name.is_empty());
    for (name, value) in [("user", Some(user)), ("database", database), ("application_name", Some(NOBODY))] {
        for part in value.map(|value| [name.as_bytes(), value]).into_iter().flatten() {
            body.extend_from_slice(part);
            body.push(0);
        }
    }
    body.push(0);
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

/// Whether a server that refuses this session would serve another one.
fn refusal(body: &[u8]) -> Result<(), Reason> {
    let field = |code: u8| body.split(|&b| b == 0).find_map(|field| field.strip_prefix(&[code]));
    let state = field(b'C').unwrap_or_default();
    // No such user, a wrong password, no entry in pg_hba.conf; no such database; not allowed to use it.
    if state.starts_with(b"28") || [&b"3D000"[..], b"42501"].contains(&state) {
        return Ok(());
    }
    let severity = words_of(field(b'S').unwrap_or(b"FATAL"));
    match field(b'M').map(words_of).filter(|text| !text.is_empty()) {
        Some(text) => Err(Reason::Text(format!("{severity}: {text}"))),
        None => Err(Reason::Text(format!("{severity}: {NO_REASON}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::tests::talk;

    const URL: &str = "postgres://user:secret@localhost/db";

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
    }

    fn error(state: &str, text: &str) -> Vec<u8> {
        message(b'E', format!("SFATAL\0VFATAL\0C{state}\0M{text}\0Fpostmaster.c\0\0").as_bytes())
    }

    #[test]
    fn a_server_that_goes_on_holds() {
        let session = [message(b'R', &[0; 4]), message(b'S', b"a\0b\0"), message(b'Z', b"I")].concat();
        for answer in [
            message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]),
            message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"),
            error("28P01", "no"),
            error("28000", "no"),
            [message(b'R', &[0; 4]), error("3D000", "no such database")].concat(),
            session,
        ] {
            assert_eq!(talk(URL, &answer).0, Ok(()), "{answer:?}");
        }
        let (_, sent) = talk(URL, b"");
        assert_eq!(sent, b"\0\0\0\x38\0\x03\0\0user\0user\0database\0db\0application_name\0forerun\0\0");
    }

    #[test]
    fn a_server_that_refuses_gives_its_words() {
        let long = "x".repeat(1000);
        for (answer, words) in [
            (error("57P03", "the database system is starting up"), "FATAL: the database system is starting up"),
            (error("53300", "sorry,\ntoo many"), "FATAL: sorry,\\ntoo many"),
            ([message(b'R', &[0; 4]), error("53300", "slots")].concat(), "FATAL: slots"),
            (error("57P03", &long), &format!("FATAL: {}...", &long[..200])),
            (message(b'E', b"C57P03\0\0"), "FATAL: it refuses the session and gives no reason"),
            (b"Ecould not fork new process for connection\n\0".to_vec(), "could not fork new process for connection"),
            (b"E    \0".to_vec(), "it refuses the session and gives no reason"),
            (message(b'R', &[0; 4]), "it closed the connection in the middle of its answer"),
            (Vec::new(), "it closed the connection without an answer"),
            (b"R\0\0\0\x03x".to_vec(), "it does not speak PostgreSQL; use tcp:localhost:5432"),
            (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "it does not speak PostgreSQL; use tcp:localhost:5432"),
            (message(b'N', b"").repeat(600), "it does not speak PostgreSQL; use tcp:localhost:5432"),
        ] {
            assert_eq!(talk(URL, &answer).0, Err(words.to_owned()));
        }
        let (answer, _) = talk("postgres://h", b"SSH-2.0-OpenSSH_9.2\r\n");
        assert_eq!(
            answer,
            Err("it does not speak PostgreSQL (it says 'SSH-2.0-OpenSSH_9.2'); use tcp:h:5432".to_owned())
        );
    }
}
