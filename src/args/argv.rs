#![forbid(unsafe_code)]
//! Options as words again.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// The words of a command line.
#[derive(Default)]
pub struct Argv(Vec<OsString>);

impl Argv {
    /// Adds an option without a value, if it was given.
    pub fn flag(&mut self, name: &str, given: bool) {
        if given {
            self.0.push(name.into());
        }
    }

    /// Adds an option. A value that begins with `-` is accepted only in the same word (`--env=-x=1`).
    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        let value = value.as_ref();
        if value.as_encoded_bytes().first() == Some(&b'-') || value.is_empty() {
            let mut word = OsString::from(format!("{name}="));
            word.push(value);
            self.0.push(word);
        } else {
            self.0.extend([name.into(), value.to_owned()]);
        }
    }

    pub fn maybe(&mut self, name: &str, value: Option<impl AsRef<OsStr>>) {
        if let Some(value) = value {
            self.option(name, value);
        }
    }

    /// Adds an option once for each value.
    pub fn each(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<OsStr>>) {
        values.into_iter().for_each(|value| self.option(name, value));
    }

    pub fn duration(&mut self, name: &str, value: Option<Duration>) {
        self.maybe(name, value.map(|value| humantime::format_duration(value).to_string().replace(' ', "")));
    }

    /// Adds an option whose value stands for one of some words.
    pub fn word_of<T: PartialEq>(&mut self, name: &str, value: Option<T>, words: &[(&str, T)]) {
        let word = words.iter().find(|(_, known)| Some(known) == value.as_ref());
        self.maybe(name, word.map(|(word, _)| word));
    }

    /// All words, with the server's command at the end, if there is one.
    pub fn ending_with(mut self, command: &[OsString]) -> Vec<OsString> {
        self.flag("--", !command.is_empty());
        self.0.extend_from_slice(command);
        self.0
    }
}
