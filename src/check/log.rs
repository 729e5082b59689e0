#![forbid(unsafe_code)]
//! A line of the server's own log. The log is read on from where the start began it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use console::strip_ansi_codes;
use regex_lite::Regex;

use super::operand::Operand;
use super::reason::{Reason, words_of};
use crate::text::quoted;

/// As much of a line is looked at in one piece, in bytes.
const PIECE: usize = 1 << 16;
/// As much of a piece is looked at again with the next one.
const AGAIN: usize = 1 << 12;

/// What a line must have in it.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub text: String,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// # Errors
    /// Why an operand is no regular expression.
    pub fn of(operand: &Operand) -> Result<Self, String> {
        let text = operand.text()?.to_owned();
        let regex = Regex::new(&text)
            .map_err(|e| format!("it is not a regular expression: {e}; write a '\\' before what stands for itself"))?;
        Ok(Pattern { text, regex })
    }

    /// Whether a line, or a piece of one, has it in it: as it is, or as a terminal shows it.
    fn is_in(&self, line: &[u8]) -> bool {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        self.regex.is_match(&text) || text.contains('\x1b') && self.regex.is_match(&strip_ansi_codes(&text))
    }
}

/// The log of the server that starts.
#[derive(Debug)]
pub struct OwnLog {
    pub file: File,
    /// Where the lines of this start begin.
    pub begin: u64,
}

/// What was read of a log so far.
#[derive(Default)]
pub struct Reader {
    at: Option<u64>,
    /// The line that has not ended yet.
    line: Vec<u8>,
    last: Vec<u8>,
    found: bool,
}

impl Reader {
    /// Reads on, for at most `limit`, until a line matches.
    ///
    /// # Errors
    /// No line did, and what the last one is.
    pub fn has(&mut self, pattern: &Pattern, log: Option<&OwnLog>, limit: Duration) -> Result<(), Reason> {
        let Some(log) = log else {
            return Err(Reason::Text("only the start of a detached server reads its log".to_owned()));
        };
        let end = Instant::now() + limit;
        let mut bytes = vec![0; PIECE];
        while !self.found {
            let count = self.read(log, &mut bytes)?;
            for &byte in &bytes[..count] {
                self.take(byte, pattern);
            }
            if count == 0 || Instant::now() >= end {
                break;
            }
        }
        if self.found { Ok(()) } else { Err(Reason::Text(self.reason())) }
    }

    fn read(&mut self, log: &OwnLog, bytes: &mut [u8]) -> io::Result<usize> {
        let mut at = self.at.unwrap_or(log.begin);
        // Somebody rotated it by emptying it.
        if log.file.metadata()?.len() < at {
            at = 0;
            self.line.clear();
        }
        let count = log.file.read_at(bytes, at)?;
        self.at = Some(at + count as u64);
        Ok(count)
    }

    fn take(&mut self, byte: u8, pattern: &Pattern) {
        if byte != b'\n' {
            self.line.push(byte);
        }
        let has_ended = byte == b'\n';
        if has_ended || self.line.len() >= PIECE {
            self.found |= pattern.is_in(&self.line);
        }
        if has_ended {
            std::mem::swap(&mut self.last, &mut self.line);
            self.line.clear();
        } else if self.line.len() >= PIECE {
            self.line.drain(..PIECE - AGAIN);
        }
    }

    fn reason(&self) -> String {
        match words_of(&self.last).as_str() {
            "" => "no line of its log matches".to_owned(),
            last => format!("no line of its log matches; the last is {}", quoted(last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::io::Write;

    use super::*;

    fn pattern(text: &str) -> Result<Pattern, String> {
        Pattern::of(&Operand { word: "log", form: "log:REGEX", raw: OsStr::new(text) })
    }

    fn matches(text: &str, log: &[u8]) -> bool {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"ready of an earlier start\n").expect("written");
        let begin = file.metadata().expect("a length").len();
        file.write_all(log).expect("written");
        let own = OwnLog { file, begin };
        Reader::default().has(&pattern(text).expect(text), Some(&own), Duration::from_secs(9)).is_ok()
    }

    #[test]
    fn a_whole_line_of_this_start_matches_whatever_bytes_are_around() {
        assert!(matches("^ready$", b"a\nready\r\nb\n"));
        assert!(matches("ready in [0-9]+ ms", b"\x1b[32mready\x1b[0m in \x1b[1m30\x1b[0m ms\n"));
        assert!(matches("ready", b"\xff\xfe\0ready\xff\n"));
        assert!(!matches("ready", b"") && !matches("ready", b"rea\ndy\n"));
        assert!(!matches("ready", b"ready"), "the line may go on");
    }

    #[test]
    fn a_line_without_end_is_looked_at_in_pieces() {
        for before in [PIECE - 3, PIECE, 3 * PIECE - 2] {
            let line = [vec![b'x'; before], b"ready".to_vec(), vec![b'x'; PIECE]].concat();
            assert!(matches("ready", &line), "{before}");
        }
    }

    #[test]
    fn a_log_that_was_emptied_is_read_from_its_begin() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[b'x'; 100]).expect("written");
        let own = OwnLog { file: file.try_clone().expect("a copy"), begin: 0 };
        let (mut reader, ready) = (Reader::default(), pattern("ready").expect("a pattern"));
        assert!(reader.has(&ready, Some(&own), Duration::ZERO).is_err());
        file.set_len(0).expect("emptied");
        file.write_at(b"ready\n", 0).expect("written");
        assert!(reader.has(&ready, Some(&own), Duration::ZERO).is_ok());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["(", "a{1000}{1000}{1000}", "[", "\\"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }
}
