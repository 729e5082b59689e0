#![forbid(unsafe_code)]
//! Makes operands of any bytes safe for messages: quoted, and on one line.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The longest operand that a message shows, in bytes.
const LONGEST: usize = 300;
/// Ten years. A longer duration cannot be added to every clock.
const LONGEST_DURATION: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// An operand in single quotes.
pub fn quoted(operand: &(impl AsRef<OsStr> + ?Sized)) -> String {
    format!("'{}'", one_line(operand))
}

/// Makes any text safe to print: escapes control characters and bytes that are not UTF-8, drops the userinfo of URLs,
/// and cuts a long text with `...`.
pub fn one_line(text: &(impl AsRef<OsStr> + ?Sized)) -> String {
    let bytes = without_userinfo(text.as_ref().as_bytes());
    let shown = escaped(&bytes[..bytes.len().min(LONGEST)]);
    if bytes.len() > LONGEST { shown + "..." } else { shown }
}

/// Drops the userinfo of the URLs in a text: it may be a password.
fn without_userinfo(text: &[u8]) -> Vec<u8> {
    let ends_word = |b: &u8| b"'\"".contains(b) || b.is_ascii_whitespace();
    let mut kept = Vec::with_capacity(text.len());
    let mut at = 0;
    // Where the word ends, and what is behind its last '@': looked for once a word, which may have many URLs.
    let (mut word_end, mut behind_last) = (0, None);
    while let Some(found) = text[at..].windows(3).position(|w| w == b"://") {
        let start = at + found + 3;
        kept.extend_from_slice(&text[at..start]);
        let after = &text[start..];
        let ends = |b: &u8| b"/?#".contains(b) || ends_word(b);
        let authority = &after[..after.iter().position(ends).unwrap_or(after.len())];
        if start >= word_end {
            word_end = start + after.iter().position(ends_word).unwrap_or(after.len());
            behind_last = text[start..word_end].iter().rposition(|&b| b == b'@').map(|last| start + last + 1);
        }
        at = match authority.iter().rposition(|&b| b == b'@') {
            _ if may_be_userinfo(authority) => behind_last.map_or(start, |behind| behind.max(start)),
            Some(last) => start + last + 1,
            None => start,
        };
    }
    kept.extend_from_slice(&text[at..]);
    kept
}

/// Whether `NAME:TEXT` before the first slash of a URL can be a user and the beginning of a password, with the slash in it.
pub fn may_be_userinfo(authority: &[u8]) -> bool {
    let text = String::from_utf8_lossy(authority);
    let Some((name, _)) = text.rsplit_once(':') else { return false };
    !text.contains('@') && !name.starts_with('[') && name != "localhost" && name.parse::<std::net::IpAddr>().is_err()
}

fn escaped(bytes: &[u8]) -> String {
    let mut line = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        line.extend(chunk.invalid().iter().map(|b| format!("\\x{b:02x}")));
    }
    line
}

/// Words quoted for a shell, on one line. Nothing is left out.
pub fn shell_words<S: AsRef<OsStr>>(words: &[S]) -> String {
    let quote = |word: &S| match shlex::bytes::try_quote(word.as_ref().as_bytes()) {
        Ok(Cow::Borrowed(bytes)) => escaped(bytes),
        Ok(Cow::Owned(bytes)) => escaped(&bytes),
        Err(_) => escaped(word.as_ref().as_bytes()),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// Reads a duration.
///
/// # Errors
/// What is wrong with it, without the text itself.
pub fn duration(text: &str) -> Result<Duration, String> {
    // An example says more than the errors of humantime, which may contain a line break.
    let duration =
        humantime::parse_duration(text).map_err(|_| "not a duration; write 500ms, 2s or 1m30s".to_owned())?;
    if duration > LONGEST_DURATION { Err("too long; a duration is at most ten years".to_owned()) } else { Ok(duration) }
}

/// Reads the number of a port; 0 stands for none.
///
/// # Errors
/// What is wrong with it, without the text itself.
pub fn port(text: &str) -> Result<u16, String> {
    whole_number(text).map_err(|_| "not a port; a port is a number from 1 to 65535".to_owned())
}

/// Reads a whole number that is not negative.
///
/// # Errors
/// What is wrong with it, without the text itself.
pub fn whole_number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match (digits, text.parse()) {
        (true, Ok(number)) => Ok(number),
        (true, Err(_)) => Err("the number is too large".to_owned()),
        (false, _) => Err("not a whole number".to_owned()),
    }
}

/// A duration with three digits: `300ms`, `1.25s`, `2m 3s`.
pub fn elapsed(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s > 0.0 && s < 60.0 && duration.subsec_nanos() == 0 => format!("{s}s"),
        s if s < 1.0 => format!("{}ms", duration.as_millis()),
        s if s < 10.0 => format!("{s:.2}s"),
        s if s < 60.0 => format!("{s:.1}s"),
        _ => humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string(),
    }
}

/// A number of attempts, in words.
pub fn attempts(count: u32) -> String {
    counted(count as usize, "attempt", "attempts")
}

/// A number of things, in words.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The name in `known` that `name` is a misspelling of, or `None` if none is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let is_near = |distance: usize, known: &str| distance * 3 <= length.max(known.chars().count()).max(3);
    // The distance is at least that of the lengths, and takes long to count where a name is a whole text.
    let known = known.into_iter().filter(|known| is_near(length.abs_diff(known.chars().count()), known));
    let scored = known.map(|known| (strsim::damerau_levenshtein(name, known), known));
    let (distance, known) = scored.min_by_key(|(distance, _)| *distance)?;
    is_near(distance, known).then_some(known)
}

/// What [`is_service_name`] accepts, for a person.
pub const SERVICE_NAMES: &str = "expected 1 to 64 of A-Z a-z 0-9 . _ @ -, and not '.' or '..'";

/// Whether a service may be called so.
pub fn is_service_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._@-".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_stay_on_one_line() {
        assert_eq!(quoted(OsStr::from_bytes(b"a\nb\xff\x1b[0m")), "'a\\nb\\xff\\u{1b}[0m'");
        assert_eq!(one_line(&"x".repeat(400)).len(), LONGEST + 3);
    }

    #[test]
    fn urls_lose_their_userinfo() {
        for (text, shown) in [
            ("http://user:p@ss@h/a@b", "http://h/a@b"),
            ("curl 'ftp://u:p@h' me@h http://u@h", "curl 'ftp://h' me@h http://h"),
            ("http://", "http://"),
            ("a@b://c", "a@b://c"),
            ("x http://user:12345/s3cr3t@h/x 'y@z'", "x http://h/x 'y@z'"),
            (
                "http://127.0.0.1:80/a@b http://localhost:80/@x http://h/@y",
                "http://127.0.0.1:80/a@b http://localhost:80/@x http://h/@y",
            ),
        ] {
            assert_eq!(one_line(text), shown);
        }
    }

    #[test]
    fn a_word_of_many_urls_is_read_once() {
        let text = "://u:".repeat(200_000);
        assert_eq!(one_line(&text), one_line(&text[..LONGEST]) + "...");
        assert_eq!(one_line("a://u:1/x://v:@h/y://w:s3cr3t@h"), "a://h");
    }

    #[test]
    fn durations_are_bounded() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "5", "-1s", "1x", "11years", "18446744073709551615s 999ms"] {
            let why = duration(bad).expect_err(bad);
            assert!(!why.contains('\n') && why.contains("duration"), "{bad}: {why}");
        }
    }

    #[test]
    fn durations_read_like_speech() {
        for (millis, text) in
            [(0, "0ms"), (999, "999ms"), (1250, "1.25s"), (30_000, "30s"), (12_340, "12.3s"), (123_000, "2m 3s")]
        {
            assert_eq!(elapsed(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["name", "port", "command", "require", "env", "env-file", "health"];
        for (name, near) in [
            ("prot", Some("port")),
            ("comand", Some("command")),
            ("heatlh", Some("health")),
            ("env_file", Some("env-file")),
            ("requires", Some("require")),
            ("user", None),
            ("x", None),
            ("", None),
            ("end", Some("env")),
            ("log-level", None),
        ] {
            assert_eq!(nearest(name, known), near, "{name}");
        }
    }
}
