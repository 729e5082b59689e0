#![forbid(unsafe_code)]
//! The value of an assignment: its quotes and escapes, and where it ends.

use std::ops::Range;

use super::bytes::{blanks, end_of_line, name_length};
use super::words::{Mistake, Odd};

/// A value without its quotes, escapes and comment.
pub struct Value {
    pub bytes: Vec<u8>,
    /// Where each byte is in the file.
    places: Places,
    /// Whether each `$` of it is plain.
    plain: Plain,
    pub has_references: bool,
    pub warnings: Vec<(usize, Odd)>,
    /// The first byte of the next line.
    pub next: usize,
}

enum Places {
    From(usize),
    Each(Vec<usize>),
}

enum Plain {
    AfterBackslash,
    /// The offsets in the value, in their order.
    Those(Vec<usize>),
}

impl Value {
    pub fn place(&self, at: usize) -> usize {
        match &self.places {
            Places::From(start) => start + at,
            Places::Each(places) => places[at],
        }
    }

    pub fn is_plain(&self, at: usize) -> bool {
        match &self.plain {
            Plain::AfterBackslash => at > 0 && self.bytes[at - 1] == b'\\',
            Plain::Those(places) => places.binary_search(&at).is_ok(),
        }
    }
}

/// The value that begins after the `=`.
pub fn read(text: &[u8], after: usize, name: &str) -> Result<Value, (usize, Mistake)> {
    let at = after + blanks(&text[after..]);
    match text.get(at) {
        Some(b'\'') => single(text, at, name),
        Some(b'"') => double(text, at, name),
        _ => unquoted(text, after, name),
    }
}

fn unquoted(text: &[u8], after: usize, name: &str) -> Result<Value, (usize, Mistake)> {
    let end = end_of_line(text, after);
    let is_comment = |&at: &usize| text[at] == b'#' && at > after && ends_with_blank(&text[after..at]);
    let comment = (after..end).find(is_comment);
    let range = after..comment.unwrap_or(end);
    let whole = utf8(text, range.clone())?;
    let value = whole.trim();
    let start = range.start + (whole.len() - whole.trim_start().len());
    let mut warnings = Vec::new();
    if let Some(at) = comment.filter(|at| value.is_empty() && at + 1 < end && blanks(&text[at + 1..]) == 0) {
        warnings.push((at, Odd::Comment(name.to_owned())));
    }
    if value.len() > 1 && value.starts_with('`') && value.ends_with('`') {
        warnings.push((start, Odd::Backticks(name.to_owned())));
    }
    if let Some(at) = value.find("\\$") {
        warnings.push((start + at, Odd::Backslash(name.to_owned())));
    }
    Ok(Value {
        bytes: value.as_bytes().to_owned(),
        places: Places::From(start),
        plain: Plain::AfterBackslash,
        has_references: true,
        warnings,
        next: end + 1,
    })
}

fn single(text: &[u8], quote: usize, name: &str) -> Result<Value, (usize, Mistake)> {
    let begins = quote + 1;
    let length = text[begins..].iter().position(|&byte| byte == b'\'');
    let end = begins + length.ok_or_else(|| (quote, Mistake::Unclosed { name: name.to_owned(), quote: '\'' }))?;
    let bytes = utf8(text, begins..end)?.as_bytes().to_owned();
    quoted(text, begins..end, name, (bytes, Vec::new(), Vec::new()))
}

fn double(text: &[u8], quote: usize, name: &str) -> Result<Value, (usize, Mistake)> {
    let (mut bytes, mut places, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = quote + 1;
    loop {
        let escape = match (text.get(at), text.get(at + 1)) {
            (None, _) => return Err((quote, Mistake::Unclosed { name: name.to_owned(), quote: '"' })),
            (Some(b'"'), _) => break,
            (Some(b'\\'), Some(b'n')) => Some(b'\n'),
            (Some(b'\\'), Some(b'r')) => Some(b'\r'),
            (Some(b'\\'), Some(b't')) => Some(b'\t'),
            (Some(b'\\'), Some(byte @ (b'"' | b'\\' | b'$' | b'`'))) => Some(*byte),
            _ => None,
        };
        if escape == Some(b'$') {
            plain.push(bytes.len());
        }
        places.push(at);
        bytes.push(escape.unwrap_or(text[at]));
        at += 1 + usize::from(escape.is_some());
    }
    utf8(text, quote + 1..at)?;
    Ok(Value { has_references: true, ..quoted(text, quote + 1..at, name, (bytes, places, plain))? })
}

/// Looks at what follows the closing quote, and for another assignment between the quotes.
fn quoted(
    text: &[u8],
    inside: Range<usize>,
    name: &str,
    (bytes, places, plain): (Vec<u8>, Vec<usize>, Vec<usize>),
) -> Result<Value, (usize, Mistake)> {
    let quote = inside.start - 1;
    let after = inside.end + 1;
    let at = after + blanks(&text[after..]);
    if !matches!(text.get(at), None | Some(b'\n' | b'#')) {
        let is_long = text[inside].contains(&b'\n');
        return Err((at, Mistake::AfterQuote { name: name.to_owned(), begins: is_long.then_some(quote) }));
    }
    let has_assignment = text[inside].split(|&byte| byte == b'\n').skip(1).any(is_like_an_assignment);
    Ok(Value {
        bytes,
        places: Places::Each(places),
        plain: Plain::Those(plain),
        has_references: false,
        warnings: has_assignment.then(|| (quote, Odd::Swallows(name.to_owned()))).into_iter().collect(),
        next: end_of_line(text, at) + 1,
    })
}

/// `[export ]NAME=x`. PEM ends in `=` or `==`.
fn is_like_an_assignment(line: &[u8]) -> bool {
    let line = match line.strip_prefix(b"export") {
        Some(rest) if blanks(rest) > 0 => &rest[blanks(rest)..],
        _ => line,
    };
    let length = name_length(line);
    let value = line[length..].strip_prefix(b"=").unwrap_or_default();
    length > 0 && !value.is_empty() && value[0] != b'=' && blanks(value) == 0
}

/// Whether a text ends with a blank. It need not be UTF-8.
fn ends_with_blank(text: &[u8]) -> bool {
    let is_blank = |length: usize| {
        let end = text.len().checked_sub(length).and_then(|from| std::str::from_utf8(&text[from..]).ok());
        end.is_some_and(|end| end.chars().all(char::is_whitespace))
    };
    (1..=3).any(is_blank)
}

fn utf8(text: &[u8], range: Range<usize>) -> Result<&str, (usize, Mistake)> {
    let start = range.start;
    std::str::from_utf8(&text[range]).map_err(|e| (start + e.valid_up_to(), Mistake::NotUtf8))
}
