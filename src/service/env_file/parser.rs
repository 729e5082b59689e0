#![forbid(unsafe_code)]
//! The lines of an env-file, one after another.

use super::bytes::{blanks, end_of_line, name_length};
use super::value::{self, Value};
use super::words::{Mistake, Odd};
use crate::service::known::Known;
use crate::service::refs::{self, Given, Rules, Scope, Text};

/// What Linux hands to a program: NAME=VALUE with its NUL. The same on every platform.
pub const LONGEST: usize = 128 * 1024;
/// The most bytes that the references of one file may put in.
const MOST_PUT_IN: usize = 16 << 20;

pub type Failed = (usize, Mistake);

/// Assigns what the file says. The text has no BOM, and LF at the end of its lines. Returns what is odd about it.
///
/// # Errors
/// The first mistake, and its place.
pub fn parse(text: &[u8], known: &mut Known) -> Result<Vec<(usize, Odd)>, Failed> {
    if matches!(text, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err((0, Mistake::Utf16));
    }
    let nul = text.iter().position(|&byte| byte == 0).map(|at| (at, Mistake::Nul));
    let mut parser = Parser { text, known, warnings: Vec::new(), put_in: 0 };
    match (parser.file(), nul) {
        (Err(failed), Some(nul)) if failed.0 < nul.0 => Err(failed),
        (_, Some(nul)) => Err(nul),
        (Err(failed), None) => Err(failed),
        (Ok(()), None) => Ok(parser.warnings),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    known: &'a mut Known,
    warnings: Vec<(usize, Odd)>,
    put_in: usize,
}

impl Parser<'_> {
    fn file(&mut self) -> Result<(), Failed> {
        let mut at = 0;
        while at < self.text.len() {
            at = self.line(at)?;
        }
        Ok(())
    }

    /// Reads the line or the lines of one statement. Returns where the next begins.
    fn line(&mut self, start: usize) -> Result<usize, Failed> {
        let text = self.text;
        let first = start + blanks(&text[start..]);
        let next_line = end_of_line(text, start) + 1;
        if is_end(text.get(first)) {
            return Ok(next_line);
        }
        let begins = first + export(&text[first..]);
        let after = begins + name_length(&text[begins..]);
        let then = after + blanks(&text[after..]);
        // All bytes of a name are ASCII.
        let name = std::str::from_utf8(&text[begins..after]).unwrap_or_default();
        match text.get(then) {
            Some(b'=') if name.is_empty() => Err((then, Mistake::NoName)),
            Some(b'=') => self.assign((begins, name), then + 1),
            None | Some(b'\n') if !name.is_empty() => self.bare(begins, name, next_line),
            Some(b'#') if !name.is_empty() && then > after => self.bare(begins, name, next_line),
            _ => Err(self.no_assignment(first, after, then)),
        }
    }

    /// Why a line is no assignment.
    fn no_assignment(&self, first: usize, after: usize, then: usize) -> Failed {
        let rest = &self.text[then..end_of_line(self.text, then)];
        let is_utf8 = rest.iter().take(4).copied().collect::<Vec<_>>();
        let is_utf8 = std::str::from_utf8(&is_utf8).map_or_else(|e| e.valid_up_to() > 0, |_| true);
        match () {
            () if !is_utf8 => (then, Mistake::NotUtf8),
            () if then == after && rest.starts_with(b":") && (rest.len() == 1 || blanks(&rest[1..]) > 0) => {
                (then, Mistake::Colon)
            }
            () if rest.contains(&b'=') => (then, Mistake::BadName),
            () => (first, Mistake::NoEquals),
        }
    }

    fn bare(&mut self, at: usize, name: &str, next: usize) -> Result<usize, Failed> {
        if self.known.value(name).is_none() {
            self.warnings.push((at, Odd::Bare));
        }
        Ok(next)
    }

    fn assign(&mut self, (at, name): (usize, &str), after: usize) -> Result<usize, Failed> {
        let mut value = value::read(self.text, after, name)?;
        self.warnings.append(&mut value.warnings);
        let next = value.next;
        let longest = LONGEST.saturating_sub(name.len() + 2);
        let too_long = || (at, Mistake::TooLong(name.to_owned()));
        let bytes = match value.has_references {
            true => self.replaced((at, name), &value, longest)?,
            false => value.bytes,
        };
        if name.len() + 2 > LONGEST || bytes.len() > longest {
            return Err(too_long());
        }
        self.known.assign(name, bytes);
        Ok(next)
    }

    fn replaced(&mut self, (at, name): (usize, &str), value: &Value, longest: usize) -> Result<Vec<u8>, Failed> {
        let is_plain = |at: usize| value.is_plain(at);
        let own = self.known.is_inherited(name).then_some(name);
        let given = Given { rules: Rules::EnvFile, scope: &*self.known, own, longest };
        let replaced = refs::replace(&Text { bytes: &value.bytes, is_plain: &is_plain }, &given);
        let replaced = replaced.map_err(|(offset, mistake)| match mistake {
            refs::Mistake::TooLong => (at, Mistake::TooLong(name.to_owned())),
            mistake => (value.place(offset), Mistake::Reference(name.to_owned(), mistake)),
        })?;
        let notes = replaced.notes.into_iter();
        self.warnings.extend(notes.map(|(offset, note)| (value.place(offset), Odd::Reference(name.to_owned(), note))));
        self.put_in += replaced.values.iter().map(|value| value.given.len()).sum::<usize>();
        if self.put_in > MOST_PUT_IN {
            return Err((at, Mistake::TooMuch));
        }
        Ok(replaced.bytes)
    }
}

/// The length of `export` and its blanks, where it is the prefix of an assignment.
fn export(text: &[u8]) -> usize {
    let Some(rest) = text.strip_prefix(b"export") else { return 0 };
    let blanks = blanks(rest);
    match blanks == 0 || is_end(rest.get(blanks)) || rest[blanks] == b'=' {
        true => 0,
        false => "export".len() + blanks,
    }
}

fn is_end(byte: Option<&u8>) -> bool {
    matches!(byte, None | Some(b'\n' | b'#'))
}
