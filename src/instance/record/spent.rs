#![forbid(unsafe_code)]
//! The record of an instance that has ended: nothing in it is secret any more.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::super::end::Ended;
use super::super::os_text::{OsText, os_strings};
use super::kept::Record;
use crate::environment::UNIT_FILE;

/// The variables by which a supervisor knows its job. They are no secrets, and outlive the instance.
const KEPT: [&str; 7] = [
    "SYSTEMD_EXEC_PID",
    "MANAGERPID",
    "INVOCATION_ID",
    "XPC_SERVICE_NAME",
    "SUPERVISOR_PROCESS_NAME",
    "SUPERVISOR_GROUP_NAME",
    UNIT_FILE,
];

impl Record {
    /// The record of an instance whose main process has ended. What it knew of secrets is gone: its environment, but for
    /// what names it to its supervisor, and the values of --env.
    pub fn spent(self, ended: Option<Ended>) -> Self {
        let keeps = |entry: &OsString| {
            KEPT.iter()
                .any(|name| entry.as_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
        };
        let environment =
            os_strings(&self.environment).into_iter().filter(keeps).map(|entry| OsText::from(entry.as_os_str()));
        let environment: Vec<_> = environment.collect();
        let (arguments, dropped) = without_values(&os_strings(&self.arguments));
        let is_new = self.environment != environment || !dropped.is_empty();
        Record {
            environment,
            arguments: arguments.iter().map(|a| OsText::from(a.as_os_str())).collect(),
            dropped: if dropped.is_empty() { self.dropped } else { dropped },
            is_spent: self.is_spent || is_new,
            ended: self.ended.or(ended),
            ..self
        }
    }
}

/// The arguments of a start without the values of --env, and the names of those.
fn without_values(arguments: &[OsString]) -> (Vec<OsString>, Vec<OsText>) {
    let (mut kept, mut names) = (Vec::new(), Vec::new());
    let mut note = |pair: &[u8]| {
        let name = pair.split(|&b| b == b'=').next().unwrap_or_default();
        names.push(OsText::from(OsStr::from_bytes(name)));
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_bytes() {
            b"--" => {
                kept.push(argument.clone());
                kept.extend(rest.by_ref().cloned());
            }
            b"--env" => rest.next().into_iter().for_each(|pair| note(pair.as_bytes())),
            bytes => match bytes.strip_prefix(b"--env=") {
                Some(pair) => note(pair),
                None => kept.push(argument.clone()),
            },
        }
    }
    (kept, names)
}
