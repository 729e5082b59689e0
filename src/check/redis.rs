#![forbid(unsafe_code)]
//! Redis and what speaks its protocol: AUTH where the URL has a password, and PING.

use super::address::joined;
use super::reason::{Reason, words_of};
use super::server::Server;
use super::wire::Wire;

/// The port where the URL has none.
pub const PORT: u16 = 6379;
const PROTOCOL: &str = "Redis";
/// The longest line of an answer.
const LONGEST: usize = 1024;

/// # Errors
/// Why the server does not serve.
pub fn converse(wire: &mut Wire, server: &Server) -> Result<(), Reason> {
    if let Some(password) = &server.password {
        let user = Some(server.user.as_slice()).filter(|user| !user.is_empty());
        let words: Vec<&[u8]> = [Some(&b"AUTH"[..]), user, Some(password)].into_iter().flatten().collect();
        wire.send(&command(&words))?;
        let answer = answer(wire)?;
        if let Some(error) = answer.strip_prefix(b"-") {
            return Err(Reason::Text(unauthorized(error, password)));
        }
    }
    wire.send(&command(&[b"PING"]))?;
    let answer = answer(wire)?;
    match answer.strip_prefix(b"-") {
        None if answer == b"+PONG" => Ok(()),
        None => Err(wire.foreign(PROTOCOL)),
        // It knows who asks, and serves whom it lets.
        Some(error) if error.starts_with(b"NOPERM ") => Ok(()),
        Some(error) if error.starts_with(b"NOAUTH ") => {
            let address = joined(&server.host, server.port);
            Err(Reason::Text(format!("it wants a password; write {}://:PASSWORD@{address}", server.word)))
        }
        Some(error) => Err(Reason::Text(match words_of(error) {
            words if words.is_empty() => "it answers with an error without words".to_owned(),
            _ if server.password.as_ref().is_some_and(|password| has(error, password)) => {
                "it answers with an error that repeats the password".to_owned()
            }
            words => words,
        })),
    }
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A line that says yes or no.
fn answer(wire: &mut Wire) -> Result<Vec<u8>, Reason> {
    let first = wire.take(1)?;
    if !b"+-".contains(&first[0]) {
        return Err(wire.foreign(PROTOCOL));
    }
    let line = wire.until(b"\r\n", LONGEST)?.ok_or_else(|| wire.foreign(PROTOCOL))?;
    Ok([first, line].concat())
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The words for a password that is not taken. The server's own can repeat it.
fn unauthorized(error: &[u8], password: &[u8]) -> String {
    if error.starts_with(b"WRONGPASS") || has(error, b"invalid password") {
        "it refuses the user name or the password".to_owned()
    } else if has(error, b"without any password configured") || has(error, b"no password is set") {
        "it has no password; leave it out of the URL".to_owned()
    } else {
        let code = error.split(|b| !b.is_ascii_alphanumeric()).next().unwrap_or_default();
        let is_code = code.iter().all(u8::is_ascii_uppercase) && (1..=20).contains(&code.len()) && !has(code, password);
        format!("it refuses AUTH ({})", words_of(if is_code { code } else { b"ERR" }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::tests::talk;

    const OPEN: &str = "redis://localhost";
    const URL: &str = "redis://user:s3%2Fcret@localhost:7000/0";

    #[test]
    fn pong_holds() {
        assert_eq!(talk(OPEN, b"+PONG\r\n"), (Ok(()), b"*1\r\n$4\r\nPING\r\n".to_vec()));
        let (outcome, sent) = talk(URL, b"+OK\r\n+PONG\r\n");
        assert_eq!(outcome, Ok(()));
        assert_eq!(sent, b"*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$7\r\ns3/cret\r\n*1\r\n$4\r\nPING\r\n");
        let (_, sent) = talk("redis://:pw@localhost", b"+OK\r\n+PONG\r\n");
        assert!(sent.starts_with(b"*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n"));
        assert_eq!(talk(URL, b"+OK\r\n-NOPERM no\r\n").0, Ok(()));
    }

    #[test]
    fn a_server_that_refuses_gives_its_words() {
        for (url, answer, words) in [
            (
                OPEN,
                &b"-LOADING Redis is loading the dataset in memory\r\n"[..],
                "LOADING Redis is loading the dataset in memory",
            ),
            (
                OPEN,
                b"-NOAUTH Authentication required.\r\n",
                "it wants a password; write redis://:PASSWORD@localhost:6379",
            ),
            (OPEN, b"- \r\n", "it answers with an error without words"),
            (OPEN, b"-MASTERDOWN Link\x1b\r\n", "MASTERDOWN Link\\u{1b}"),
            (URL, b"-WRONGPASS invalid s3/cret\r\n", "it refuses the user name or the password"),
            (URL, b"-ERR invalid password\r\n", "it refuses the user name or the password"),
            (
                URL,
                b"-ERR AUTH <password> called without any password configured\r\n",
                "it has no password; leave it out of the URL",
            ),
            (URL, b"-ERR unknown command `AUTH`, with args beginning with: `s3/cret`\r\n", "it refuses AUTH (ERR)"),
            (URL, b"+OK\r\n-BUSY s3/cret\r\n", "it answers with an error that repeats the password"),
            ("redis://:PW@localhost:7000", b"-PWX no\r\n", "it refuses AUTH (ERR)"),
            (URL, b"-s3/cret\r\n", "it refuses AUTH (ERR)"),
            (URL, b"s3/cret\r\n", "it does not speak Redis; use tcp:localhost:7000"),
            (
                OPEN,
                b"HTTP/1.1 400 Bad Request\r\n",
                "it does not speak Redis (it says 'HTTP/1.1 400 Bad Request'); use tcp:localhost:6379",
            ),
            (OPEN, b"+OK\r\n", "it does not speak Redis (it says '+OK'); use tcp:localhost:6379"),
            (OPEN, b"\x15\x03\x01\0\x02\x02\x46", "it speaks TLS; write rediss://localhost:6379"),
            (OPEN, b"", "it closed the connection without an answer; if it speaks TLS, write rediss://localhost:6379"),
            (OPEN, b"+PON", "it closed the connection in the middle of its answer"),
        ] {
            assert_eq!(talk(url, answer).0, Err(words.to_owned()));
        }
        let (outcome, _) = talk(OPEN, &[b"-", &[b'x'; 9000][..]].concat());
        assert!(outcome.is_err_and(|words| words.starts_with("it does not speak Redis (it says '-xxx")));
    }
}
