#![forbid(unsafe_code)]
//! Why an attempt failed, in a few words and without the operand.

use std::io;

/// Why an attempt failed. Put into words only when it is another reason than the last time: most attempts of a
/// wait fail alike.
#[derive(PartialEq, Eq, Debug)]
pub enum Reason {
    Os(i32),
    Text(String),
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
            Reason::Text(text) => f.write_str(text),
        }
    }
}

/// An error's words. std's own time-outs carry no number.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer".to_owned(),
        _ => error.to_string(),
    }
}
