#![forbid(unsafe_code)]
//! What clap parsed, to be read by name.

use std::ffi::OsString;

use clap::ArgMatches;

/// A command line that was parsed. An option may come before the subcommand and after it: the later one wins, and what
/// may be given several times adds up. An option that a command does not define was not given.
pub struct Parsed<'a> {
    before: &'a ArgMatches,
    /// What comes after the name of the subcommand.
    after: Option<&'a ArgMatches>,
}

impl<'a> Parsed<'a> {
    pub fn new(before: &'a ArgMatches, after: Option<&'a ArgMatches>) -> Self {
        Parsed { before, after }
    }

    fn parts(&self) -> impl DoubleEndedIterator<Item = &'a ArgMatches> {
        [Some(self.before), self.after].into_iter().flatten()
    }

    /// Whether an option without a value was given.
    pub fn has(&self, name: &str) -> bool {
        self.parts().any(|matches| matches.try_get_one(name).ok().flatten().copied().unwrap_or(false))
    }

    /// How often an option without a value was given.
    pub fn count(&self, name: &str) -> u8 {
        self.parts().filter_map(|matches| matches.try_get_one::<u8>(name).ok().flatten()).sum()
    }

    /// The value of an option.
    pub fn one<T: Clone + Send + Sync + 'static>(&self, name: &str) -> Option<T> {
        self.parts().rev().find_map(|matches| matches.try_get_one::<T>(name).ok().flatten().cloned())
    }

    /// The values of an option that may be given several times.
    pub fn many(&self, name: &str) -> Vec<OsString> {
        let given = self.parts().filter_map(|matches| matches.try_get_many::<OsString>(name).ok().flatten());
        given.flatten().cloned().collect()
    }
}
