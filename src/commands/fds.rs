#![forbid(unsafe_code)]
//! `forerun fds`: shows the file descriptors of a server or of any process.

use super::target::{self, Target};
use crate::args::{Fds, Output, Which};
use crate::check::port::describe;
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::descriptors::Breakdown;
use crate::instance::state;
use crate::report::fds::Report;
use crate::start::unseen;
use crate::sys;
use crate::text::quoted;

/// Prints the file descriptors by kind and by path.
///
/// # Errors
/// [`Error::NotReady`] where nothing runs, [`Error::Conflict`] where it is not ours to look into.
pub fn run(asked: &Fds, output: &Output, environment: &Environment) -> Result<(), Error> {
    let (name, pid) = match process(&asked.which, environment) {
        Some(pid) => (None, pid),
        None => {
            let (name, pid) = instance(&asked.which, environment)?;
            (Some(name), pid)
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
    let Breakdown { open, kinds, paths } = Breakdown::of(&descriptors);
    let kinds = kinds.into_iter().map(|(kind, count)| (kind.to_string(), count)).collect();
    let paths = paths.into_iter().map(|(path, kind, count)| (path, kind.to_string(), count)).collect();
    Report { name, pid, command: describe(pid), limit, open, kinds, paths }.print(output.json)
}

/// The pid that was given, if such a process runs and no service has that name.
fn process(which: &Which, environment: &Environment) -> Option<i32> {
    let name = which.name.as_ref()?;
    let here = std::env::current_dir().unwrap_or_default();
    let is_service = state::root(environment, &here).is_ok_and(|root| root.join(name).is_dir());
    let pid = target::pid(name.to_str()?).filter(|_| !is_service)?;
    sys::process(pid).map(|process| process.pid)
}

/// The name of the instance and the pid of its main process.
fn instance(which: &Which, environment: &Environment) -> Result<(String, i32), Error> {
    let target = Target::find(which, environment)?;
    let record = target.followed(&sys::host().map_err(unseen)?)?;
    let main = record.and_then(|record| record.process.running());
    let main = main.ok_or_else(|| {
        Error::NotReady(format!("{} is not running; see 'forerun status --all'", quoted(&target.name)))
    })?;
    Ok((target.name, main.pid))
}

fn no_process(number: &str) -> Error {
    Error::NotReady(format!("no service and no process is called {}; see 'forerun status --all'", quoted(number)))
}
