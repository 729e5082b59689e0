#![forbid(unsafe_code)]
//! `forerun fds`: what the descriptors of a server, or of any process, are.

use super::Place;
use crate::check::port::describe;
use crate::cli::Options;
use crate::environment::Environment;
use crate::error::Error;
use crate::report::fds::{Breakdown, Report};
use crate::service;
use crate::sys;
use crate::text::quoted;

/// Prints them.
///
/// # Errors
/// [`Error::NotReady`] where nothing runs, [`Error::Conflict`] where it is not ours to look into.
pub fn run(options: &Options, environment: &Environment) -> Result<(), Error> {
    let number = options.name.as_ref().and_then(|name| name.to_str()).filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
    let (name, pid) = match (instance(options, environment)?, number) {
        (Some((name, pid)), _) => (Some(name), pid),
        (None, Some(number)) => (None, number.parse().ok().filter(|&pid| pid > 0).ok_or_else(|| no_process(number))?),
        (None, None) => {
            let here = std::env::current_dir().unwrap_or_default();
            let name = service::named(options, &here)?.unwrap_or_default();
            return Err(Error::NotReady(format!("{} is not running; see 'forerun status'", quoted(&name))));
        }
    };
    // What has ended has no descriptors; Linux keeps its list from everybody but root.
    let has_ended = || sys::look_up(pid).is_ok_and(|found| found.is_none_or(|process| process.zombie));
    let descriptors = sys::descriptors(pid).map_err(|e| match e.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) if has_ended() => no_process(&pid.to_string()),
        Some(libc::EACCES | libc::EPERM) => {
            let what_to_do = "it is another user's; do it as that user or as root";
            Error::Conflict(format!("cannot look into {}: {e}; {what_to_do}", describe(pid)))
        }
        Some(libc::ENOENT | libc::ESRCH) => no_process(&pid.to_string()),
        _ => Error::Exhausted(format!("cannot look into {}: {e}; raise the limits or try again", describe(pid))),
    })?;
    let limit = sys::descriptor_count(pid).and_then(|(_, limit)| limit);
    let breakdown = Breakdown::of(&descriptors);
    Report { name, pid, command: describe(pid), limit, breakdown }.print(options.json)
}

/// The instance that is meant, where it runs.
fn instance(options: &Options, environment: &Environment) -> Result<Option<(String, i32)>, Error> {
    let place = Place::find(options, environment)?;
    let record = place.record()?;
    let main = record.and_then(|record| record.process.verified()).filter(|process| !process.zombie);
    Ok(main.map(|process| (place.name, process.pid)))
}

fn no_process(number: &str) -> Error {
    Error::NotReady(format!("no process and no instance is called {}; see 'forerun status'", quoted(number)))
}
