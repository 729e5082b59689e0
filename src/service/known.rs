#![forbid(unsafe_code)]
//! The variables that references see: those of the environment that forerun was given, then those of env-files. Never
//! `[env]`.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::refs::Scope;
use crate::environment::Environment;

/// Variables with their values. Values of the environment need not be UTF-8.
#[derive(Clone, Default)]
pub struct Known {
    environment: HashMap<Vec<u8>, Vec<u8>>,
    assigned: HashMap<String, Vec<u8>>,
    /// The names that were assigned, in the order of their first assignment.
    order: Vec<String>,
}

/// Without a value: they may be secrets.
impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} variables, and {} of env-files", self.environment.len(), self.order.len())
    }
}

impl Scope for Known {
    fn value(&self, name: &str) -> Option<&[u8]> {
        let of_environment = self.environment.get(name.as_bytes());
        of_environment.or_else(|| self.assigned.get(name)).map(Vec::as_slice)
    }
}

impl Known {
    pub fn new(environment: &Environment) -> Self {
        let mut known = Known::default();
        for entry in environment.entries() {
            let mut parts = entry.as_bytes().splitn(2, |&byte| byte == b'=');
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                // Of several entries the first is what getenv(3) gives.
                known.environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        known
    }

    /// Whether the environment has it, and not only an env-file.
    pub fn is_inherited(&self, name: &str) -> bool {
        self.environment.contains_key(name.as_bytes())
    }

    /// Whether an env-file assigns it.
    pub fn is_assigned(&self, name: &str) -> bool {
        self.assigned.contains_key(name)
    }

    /// Assigns what an env-file says.
    pub fn assign(&mut self, name: &str, value: Vec<u8>) {
        if self.assigned.insert(name.to_owned(), value).is_none() {
            self.order.push(name.to_owned());
        }
    }

    /// The names that env-files assign.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.order.iter().map(OsStr::new)
    }

    /// Adds what env-files assign to `base`, which wins.
    pub fn added_to(&self, base: Environment) -> Environment {
        let name_of = |entry: &OsString| entry.as_bytes().split(|&byte| byte == b'=').next().map(<[u8]>::to_owned);
        let there: HashSet<Vec<u8>> = base.entries().iter().filter_map(name_of).collect();
        let mut entries = base.entries().to_vec();
        for name in self.order.iter().filter(|name| !there.contains(name.as_bytes())) {
            entries.push(OsString::from_vec([name.as_bytes(), b"=", &self.assigned[name]].concat()));
        }
        Environment::new(entries)
    }
}
