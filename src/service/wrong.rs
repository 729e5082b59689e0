#![forbid(unsafe_code)]
//! A mistake in forerun.toml or on the command line.

use std::path::Path;

use toml::Spanned;

use crate::error::Error;
use crate::text::{one_line, quoted};

/// A mistake in a file. `at` is its offset in bytes.
pub struct Wrong {
    pub at: usize,
    pub message: String,
}

impl Wrong {
    pub fn at<T>(value: &Spanned<T>, message: impl Into<String>) -> Self {
        Wrong { at: value.span().start, message: message.into() }
    }

    /// The message with the file and the line.
    pub fn in_file(&self, path: &Path, text: &str) -> String {
        let line = text.as_bytes()[..self.at.min(text.len())].iter().filter(|&&b| b == b'\n').count() + 1;
        format!("cannot use {}: line {line}: {}", quoted(path), one_line(&self.message))
    }
}

/// A mistake, by its place: the command line, or a file.
pub enum Fault {
    Usage(String),
    Config(String),
    File(Wrong),
}

impl Fault {
    /// The error of a mistake that is in no file.
    pub fn plain(self) -> Error {
        match self {
            Fault::Usage(message) => Error::Usage(message),
            Fault::Config(message) => Error::Config(message),
            Fault::File(wrong) => Error::Config(wrong.message),
        }
    }

    /// The error, with the file and the line where there is one.
    pub fn in_file(self, path: &Path, text: &str) -> Error {
        match self {
            Fault::File(wrong) => Error::Config(wrong.in_file(path, text)),
            other => other.plain(),
        }
    }
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        Fault::File(wrong)
    }
}
