#![forbid(unsafe_code)]
//! Writes the files of a unit from what it depends on.

use std::ffi::OsString;

use super::argv::{base, defaults};
use super::marker::{self, Marker};
use super::spec::{File, Given, UnitSpec};
use super::unit::Kind;
use crate::error::Error;
use crate::sys;
use crate::text::quoted;

/// The files of a unit. The one with the marker comes first.
pub fn files(kind: Kind, spec: &UnitSpec) -> Vec<File> {
    let given = Given {
        marker: Marker::unsealed(&spec.name, spec.config.as_deref(), &spec.made, &kind.names(spec)),
        argv: command_line(kind, spec),
        undone: undone(kind, spec),
        install_command: format!("forerun unit {} --install", kind.word()),
    };
    let mut files = kind.files(spec, &given);
    marker::seal(&mut files);
    files
}

/// forerun and its arguments.
pub fn command_line(kind: Kind, spec: &UnitSpec) -> Vec<OsString> {
    let program = spec.made.program.clone().into_os_string();
    [vec![program], base(spec.config.as_deref()), defaults(kind, spec), spec.made.flags.clone()].concat()
}

/// What `[stop]` says and this supervisor does not do, a line each.
fn undone(kind: Kind, spec: &UnitSpec) -> Vec<String> {
    let (ending, word) = (&spec.ending, kind.word());
    let signal = (!kind.sends(ending.signal)).then(|| {
        let signal = sys::signal_name(ending.signal);
        format!("[stop] signal is {signal}, but {word} sends SIGTERM.")
    });
    let runs = kind.runs_before_stop() || ending.before.is_none();
    let before = (!runs).then(|| format!("[stop] before is not run: {word} has no place for it."));
    signal.into_iter().chain(before).collect()
}

/// Refuses a name that this supervisor does not accept for a service.
///
/// # Errors
/// [`Error::Config`].
pub fn refuse_name(kind: Kind, name: &str) -> Result<(), Error> {
    let starts_badly = name.starts_with(['-', '.']).then_some("is not one that supervisors accept for a service");
    match kind.refusal(name).or(starts_badly) {
        Some(why) => Err(Error::Config(format!("the name {} {why}; give another --name", quoted(name)))),
        None => Ok(()),
    }
}
