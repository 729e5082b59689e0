#![forbid(unsafe_code)]
//! References to variables in a text: `${NAME}`, `${NAME:-x}` and the like. One code for env-files and for forerun.toml,
//! which is stricter. It is pure, linear in the text and in what it gives, and what was put in is not looked at again.
//!
//! The contract: docs/env-files.md.

use std::ops::Range;

/// How deep words may be in words.
pub const DEEPEST: usize = 32;

/// A text in which a `$` can be plain: an escape made it so.
pub struct Text<'a> {
    pub bytes: &'a [u8],
    pub is_plain: &'a dyn Fn(usize) -> bool,
}

/// What a reference sees.
pub trait Scope {
    fn value(&self, name: &str) -> Option<&[u8]>;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rules {
    /// `$NAME` is a reference too, and what is not set is warned of.
    EnvFile,
    /// `$NAME` is for a shell, and what is not set is a mistake.
    Strict,
}

/// What is odd about a text, and stays so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// `${NAME}`, and NAME is not set.
    Unset(String),
    /// `$NAME`, and NAME is not set. The name may be half a password.
    UnsetPlain,
    DoubleDollar,
    /// A `${` that begins no reference.
    Malformed,
    /// It refers to the name that it is assigned to, which the environment has.
    Itself,
}

/// Why a text cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mistake {
    /// `${NAME:?text}`; the variable is set to nothing, or it is not set.
    Required {
        name: String,
        is_empty: bool,
        text: String,
    },
    Unset(String),
    Malformed,
    TooDeep,
    TooLong,
}

/// One reference, and what it gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    pub written: Range<usize>,
    pub given: Range<usize>,
}

/// A text with its references replaced.
#[derive(Default, Debug)]
pub struct Replaced {
    pub bytes: Vec<u8>,
    pub values: Vec<Value>,
    /// At most one of a kind, with its place.
    pub notes: Vec<(usize, Note)>,
    /// The names that were looked up.
    pub names: Vec<String>,
}

/// What is given along.
pub struct Given<'a> {
    pub rules: Rules,
    pub scope: &'a dyn Scope,
    /// The name that the text is assigned to, where the environment has it.
    pub own: Option<&'a str>,
    /// The most bytes that the text may become.
    pub longest: usize,
}

/// Whether a text may have a reference, or its escape.
pub fn has_any(text: &[u8]) -> bool {
    text.windows(2).any(|pair| pair == b"${")
}

/// Replaces all references.
///
/// # Errors
/// The first mistake, and its place.
pub fn replace(text: &Text, given: &Given) -> Result<Replaced, (usize, Mistake)> {
    let mut run = Run { text, given, closing: closing(text.bytes), replaced: Replaced::default() };
    run.part(0..text.bytes.len(), 0)?;
    Ok(run.replaced)
}

/// Where the `}` of each `{` is. Empty where no `${` is.
fn closing(text: &[u8]) -> Vec<Option<usize>> {
    if !has_any(text) {
        return Vec::new();
    }
    let (mut closing, mut open) = (vec![None; text.len()], Vec::new());
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'{' => open.push(at),
            b'}' => {
                if let Some(begun) = open.pop() {
                    closing[begun] = Some(at);
                }
            }
            _ => {}
        }
    }
    closing
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Value,
    Default,
    Alternative,
    Required,
}

/// `${NAME...}` in its parts.
struct Reference {
    name: String,
    form: Form,
    /// With a `:`: what is empty counts as unset.
    counts_empty: bool,
    word: Range<usize>,
    end: usize,
}

struct Run<'a> {
    text: &'a Text<'a>,
    given: &'a Given<'a>,
    closing: Vec<Option<usize>>,
    replaced: Replaced,
}

impl<'a> Run<'a> {
    fn part(&mut self, part: Range<usize>, depth: usize) -> Result<(), (usize, Mistake)> {
        let bytes = self.text.bytes;
        let is_dollar = |at: usize| at < part.end && bytes[at] == b'$' && !(self.text.is_plain)(at);
        let mut at = part.start;
        while at < part.end {
            let next = (at..part.end).find(|&at| is_dollar(at)).unwrap_or(part.end);
            self.put(at, &bytes[at..next])?;
            if next == part.end {
                break;
            }
            let rest = &bytes[next..part.end];
            let is_double = is_dollar(next + 1);
            at = match rest {
                [_, b'$', b'{', ..] if is_double => self.keep(next, b"${", 3)?,
                [_, b'$', ..] if is_double => {
                    self.note(next, Note::DoubleDollar);
                    self.keep(next, b"$$", 2)?
                }
                [_, b'{', ..] => self.braced(next, part.end, depth)?,
                _ => self.bare(next, part.end, depth)?,
            };
        }
        Ok(())
    }

    /// `$NAME`, or a `$` before anything else.
    fn bare(&mut self, at: usize, end: usize, depth: usize) -> Result<usize, (usize, Mistake)> {
        let name = name(&self.text.bytes[at + 1..end]);
        if self.given.rules == Rules::Strict || name.is_empty() || name == "_" {
            return self.keep(at, b"$", 1);
        }
        let after = at + 1 + name.len();
        match self.look_up(name, at) {
            Some(value) => self.give(at..after, depth, |run| run.put(at, value))?,
            None => {
                self.note(at, Note::UnsetPlain);
                self.put(at, &self.text.bytes[at..after])?;
            }
        }
        Ok(after)
    }

    fn braced(&mut self, at: usize, end: usize, depth: usize) -> Result<usize, (usize, Mistake)> {
        let Some(Reference { name, form, counts_empty, word, end }) = self.reference(at, end) else {
            if self.given.rules == Rules::Strict {
                return Err((at, Mistake::Malformed));
            }
            self.note(at, Note::Malformed);
            return self.keep(at, b"${", 2);
        };
        let value = self.look_up(&name, at);
        let counted = value.filter(|value| !(counts_empty && value.is_empty()));
        self.give(at..end, depth, |run| match (form, counted) {
            (Form::Value | Form::Default | Form::Required, Some(value)) => run.put(at, value),
            (Form::Alternative, Some(_)) | (Form::Default, None) if depth == DEEPEST => Err((at, Mistake::TooDeep)),
            (Form::Alternative, Some(_)) | (Form::Default, None) => run.part(word, depth + 1),
            (Form::Alternative, None) => Ok(()),
            (Form::Required, None) => {
                let text = String::from_utf8_lossy(&run.text.bytes[word]).into_owned();
                Err((at, Mistake::Required { name, is_empty: value.is_some(), text }))
            }
            (Form::Value, None) if run.given.rules == Rules::Strict => Err((at, Mistake::Unset(name))),
            (Form::Value, None) => {
                run.note(at, Note::Unset(name));
                Ok(())
            }
        })?;
        Ok(end)
    }

    /// Reads a reference. `None` where the `${` begins none.
    fn reference(&self, at: usize, end: usize) -> Option<Reference> {
        let bytes = self.text.bytes;
        let close = self.closing[at + 1].filter(|&close| close < end)?;
        let name = name(&bytes[at + 2..close]);
        let after = at + 2 + name.len();
        let (form, counts_empty) = match &bytes[after..close] {
            _ if name.is_empty() => return None,
            [] => (Form::Value, false),
            [b':', b'-', ..] => (Form::Default, true),
            [b'-', ..] => (Form::Default, false),
            [b':', b'+', ..] => (Form::Alternative, true),
            [b'+', ..] => (Form::Alternative, false),
            [b':', b'?', ..] => (Form::Required, true),
            [b'?', ..] => (Form::Required, false),
            _ => return None,
        };
        let begins = after + if form == Form::Value { 0 } else { 1 + usize::from(counts_empty) };
        Some(Reference { name: name.to_owned(), form, counts_empty, word: begins..close, end: close + 1 })
    }

    fn look_up(&mut self, name: &str, at: usize) -> Option<&'a [u8]> {
        if self.given.own == Some(name) {
            self.note(at, Note::Itself);
        }
        if self.given.rules == Rules::Strict {
            self.replaced.names.push(name.to_owned());
        }
        self.given.scope.value(name)
    }

    /// Marks what is put in by `put` as given by the reference.
    fn give(
        &mut self,
        written: Range<usize>,
        depth: usize,
        put: impl FnOnce(&mut Self) -> Result<(), (usize, Mistake)>,
    ) -> Result<(), (usize, Mistake)> {
        let begins = self.replaced.bytes.len();
        put(self)?;
        if depth == 0 {
            self.replaced.values.push(Value { written, given: begins..self.replaced.bytes.len() });
        }
        Ok(())
    }

    /// Puts this in the place of the next `count` bytes.
    fn keep(&mut self, at: usize, bytes: &[u8], count: usize) -> Result<usize, (usize, Mistake)> {
        self.put(at, bytes)?;
        Ok(at + count)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), (usize, Mistake)> {
        if self.replaced.bytes.len() + bytes.len() > self.given.longest {
            return Err((at, Mistake::TooLong));
        }
        self.replaced.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn note(&mut self, at: usize, note: Note) {
        let kind = std::mem::discriminant(&note);
        let is_known = self.replaced.notes.iter().any(|(_, known)| std::mem::discriminant(known) == kind);
        if self.given.rules == Rules::EnvFile && !is_known {
            self.replaced.notes.push((at, note));
        }
    }
}

/// The name that a text begins with; the longest one.
fn name(text: &[u8]) -> &str {
    let is_in = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = text.iter().position(|byte| !is_in(byte)).unwrap_or(text.len());
    let begins = text.first().is_some_and(|byte| !byte.is_ascii_digit());
    std::str::from_utf8(&text[..length]).ok().filter(|_| begins).unwrap_or_default()
}
