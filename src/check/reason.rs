#![forbid(unsafe_code)]
//! Why an attempt failed, in a few words and without the operand.

use std::io;

use crate::text::{one_line, quoted};

/// The reason of an attempt whose time ended before an answer came.
pub const NO_ANSWER: &str = "no answer";
/// The most characters of a server's own words.
const LONGEST: usize = 200;

/// Why an attempt failed. Put into words only when it is another reason than the last time: most attempts of a
/// wait fail alike.
#[derive(PartialEq, Eq, Debug)]
pub enum Reason {
    Os(i32),
    Text(String),
    /// Another attempt cannot help.
    Final(String),
}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Self {
        error.raw_os_error().map_or_else(|| Reason::Text(words(&error)), Reason::Os)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Reason::Text(text)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Reason::Os(errno) => f.write_str(&words(&io::Error::from_raw_os_error(*errno))),
            Reason::Text(text) | Reason::Final(text) => f.write_str(text),
        }
    }
}

/// An error's words. std's own time-outs carry no number.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => NO_ANSWER.to_owned(),
        _ => error.to_string(),
    }
}

/// A server's own words, on one line and of some length.
pub fn words_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    let shown: String = text.chars().take(LONGEST).collect();
    let dots = if shown.len() < text.len() { "..." } else { "" };
    one_line(&shown) + dots
}

/// What an answer of another protocol says, if that is text.
pub fn says(first: &[u8]) -> String {
    let line = first.split(|b| b"\r\n".contains(b)).next().unwrap_or_default();
    let is_text = !line.is_empty() && line.iter().all(|b| (b' '..=b'~').contains(b));
    if is_text { format!(" (it says {})", quoted(&String::from_utf8_lossy(line).as_ref())) } else { String::new() }
}
