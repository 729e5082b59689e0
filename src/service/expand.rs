#![forbid(unsafe_code)]
//! References in forerun.toml and in a CHECK. They are narrower than those of an env-file, and stricter: `$NAME` is for a
//! shell, and what is not set is a mistake.
//!
//! The contract: docs/env-files.md.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::known::Known;
use super::refs::{self, Given, Mistake, Replaced, Rules, Text};
use super::script::{Misplaced, Script};
use crate::check::Written;
use crate::text::one_line;

/// The most that a text may become.
const LONGEST: usize = 1 << 20;
/// How the variables of scripts are called, with a number.
const VARIABLE: &str = "FORERUN_REF_";
/// A check that is a script.
const SCRIPT: &[u8] = b"exec:";

/// Replaces references, and remembers what they gave.
pub struct Expander<'a> {
    known: &'a Known,
    /// What references gave, and how each was written.
    pub values: BTreeSet<(String, String)>,
    /// The variables that the scripts need.
    pub variables: Vec<(OsString, OsString)>,
    /// The names that were looked up.
    pub names: Vec<String>,
}

impl<'a> Expander<'a> {
    pub fn new(known: &'a Known) -> Self {
        Expander { known, values: BTreeSet::new(), variables: Vec::new(), names: Vec::new() }
    }

    /// The text with its references replaced.
    ///
    /// # Errors
    /// What is wrong with one, without any value.
    pub fn text(&mut self, text: &[u8]) -> Result<Vec<u8>, String> {
        self.replace(text, Shell::None).map(|replaced| replaced.bytes)
    }

    /// A script whose references are variables of its own.
    ///
    /// # Errors
    /// As [`Expander::text`], and where a reference stands where no quotes are known to fit.
    pub fn script(&mut self, text: &[u8]) -> Result<Vec<u8>, String> {
        let replaced = self.replace(text, Shell::Own)?;
        let (mut script, mut at) = (Script::new(), 0);
        for value in replaced.values {
            script.text(&replaced.bytes[at..value.given.start]);
            let name = format!("{VARIABLE}{}", self.variables.len() + 1);
            let written = &text[value.written.clone()];
            script.variable(&name).map_err(|why| misplaced(why, &String::from_utf8_lossy(written)))?;
            at = value.given.end;
            self.variables.push((name.into(), OsString::from_vec(replaced.bytes[value.given].to_owned())));
        }
        script.text(&replaced.bytes[at..]);
        Ok(script.text)
    }

    /// A CHECK.
    ///
    /// # Errors
    /// As [`Expander::text`], and where a value would become a command.
    pub fn check(&mut self, spec: &[u8]) -> Result<Vec<u8>, String> {
        if let Some(script) = spec.strip_prefix(SCRIPT) {
            return Ok([SCRIPT, &self.script(script)?].concat());
        }
        match self.text(spec)? {
            check if check.starts_with(SCRIPT) => {
                Err("a variable gives its 'exec:', and no variable is a command; write exec: before it".to_owned())
            }
            check => Ok(check),
        }
    }

    /// The same for text that need not be UTF-8.
    ///
    /// # Errors
    /// As [`Expander::check`].
    pub fn os_check(&mut self, spec: &OsStr) -> Result<OsString, String> {
        self.check(spec.as_bytes()).map(OsString::from_vec)
    }

    /// A check as it was written, if it has references, with all that references gave.
    pub fn written(&self, check: Option<&str>) -> Written {
        Written { check: check.map(str::to_owned), values: self.values.iter().cloned().collect() }
    }

    fn replace(&mut self, text: &[u8], shell: Shell) -> Result<Replaced, String> {
        let given = Given { rules: Rules::Strict, scope: self.known, own: None, longest: LONGEST };
        let replaced = refs::replace(&Text { bytes: text, is_plain: &|_| false }, &given);
        let mut replaced = replaced.map_err(|(_, mistake)| words(&mistake, shell))?;
        for value in &replaced.values {
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let given = shown(&replaced.bytes[value.given.clone()]);
            self.values.insert((given, shown(&text[value.written.clone()])));
        }
        self.names.append(&mut replaced.names);
        Ok(replaced)
    }
}

/// Whether what has a reference is read by a shell, which has variables of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shell {
    Own,
    None,
}

/// What is wrong with the place of a reference in a script.
fn misplaced(why: Misplaced, written: &str) -> String {
    let shown = one_line(written);
    let name: String = written.chars().skip(2).take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let name = one_line(&name);
    match why {
        Misplaced::Escaped => {
            format!("a backslash is before '{shown}'; write '$${{{name}}}' for the shell's own, or leave it out")
        }
        Misplaced::Unsure(place) => format!(
            "'{shown}' stands {place}, where it cannot be put in quotes; begin the script with \"{name}={shown};\" and write \"${name}\" here"
        ),
    }
}

/// What is wrong with a reference.
fn words(mistake: &Mistake, shell: Shell) -> String {
    match mistake {
        Mistake::Unset(name) if shell == Shell::Own => {
            let name = one_line(name);
            format!("{name} is not set; set it, or write ${name} or $${{{name}}} if it is for the shell")
        }
        Mistake::Unset(name) => {
            let name = one_line(name);
            format!("{name} is not set; set it, or write ${{{name}:-default}}")
        }
        Mistake::Required { name, is_empty, text } => {
            let state = if *is_empty { "is empty" } else { "is not set" };
            let mend = if text.is_empty() { "set it".to_owned() } else { one_line(text) };
            format!("{} {state}; {mend}", one_line(name))
        }
        Mistake::Malformed => {
            "a '${' begins no reference; write ${NAME} or ${NAME:-default}, or '$${' for itself".into()
        }
        Mistake::TooDeep => format!("its references are more than {} deep; use fewer", refs::DEEPEST),
        Mistake::TooLong => "its references make it larger than 1 MiB; use fewer".to_owned(),
    }
}
