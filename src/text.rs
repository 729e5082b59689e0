#![forbid(unsafe_code)]
//! How operands look in messages: quoted, on one line, whatever bytes they have.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The longest operand that a message shows, in bytes.
const LONGEST: usize = 300;

/// An operand in single quotes.
pub fn quoted(operand: &(impl AsRef<OsStr> + ?Sized)) -> String {
    format!("'{}'", one_line(operand))
}

/// Text of unknown origin, safe to print: control characters and bytes that are not UTF-8 are escaped, and
/// what is too long ends in `...`.
pub fn one_line(text: &(impl AsRef<OsStr> + ?Sized)) -> String {
    let bytes = text.as_ref().as_bytes();
    let mut line = String::new();
    for chunk in bytes[..bytes.len().min(LONGEST)].utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        line.extend(chunk.invalid().iter().map(|b| format!("\\x{b:02x}")));
    }
    if bytes.len() > LONGEST {
        line.push_str("...");
    }
    line
}

/// Words as a shell would take them, for one line.
pub fn shell_words<S: AsRef<OsStr>>(words: &[S]) -> String {
    let quote = |word: &S| match shlex::bytes::try_quote(word.as_ref().as_bytes()) {
        Ok(Cow::Borrowed(bytes)) => one_line(OsStr::from_bytes(bytes)),
        Ok(Cow::Owned(bytes)) => one_line(OsStr::from_bytes(&bytes)),
        Err(_) => one_line(word),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A duration to three digits, as people say it: `300ms`, `1.25s`, `2m 3s`.
pub fn elapsed(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s < 1.0 => format!("{}ms", duration.as_millis()),
        s if s < 10.0 => format!("{s:.2}s"),
        s if s < 60.0 => format!("{s:.1}s"),
        _ => humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string(),
    }
}

/// The name in `known` that is nearest to `name`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|k| (strsim::jaro_winkler(name, k), k));
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k)
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
    fn durations_read_like_speech() {
        for (millis, text) in [(0, "0ms"), (999, "999ms"), (1250, "1.25s"), (12_340, "12.3s"), (123_000, "2m 3s")] {
            assert_eq!(elapsed(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        assert_eq!(nearest("prot", ["name", "port", "cwd"]), Some("port"));
    }
}
