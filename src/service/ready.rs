#![forbid(unsafe_code)]
//! Who says that the server is ready.

use super::file::File;
use super::probes::Awaited;
use super::wrong::{Fault, Wrong};
use crate::args::{Speaker, StartFlags};
use crate::check::Check;

/// The descriptor of `--ready-fd`. Descriptors 0 to 2 are refused: other output there would be taken for the newline.
pub fn ready_fd(flags: &StartFlags, file: &File) -> Result<Option<i32>, Fault> {
    let wrong = |number: i32| format!("{number} is no descriptor for readiness: they are from 3 on");
    match (flags.ready_fd, &file.ready_fd) {
        (Some(number), _) if number < 3 => Err(Fault::Usage(format!("invalid '--ready-fd': {}", wrong(number)))),
        (None, Some(number)) if number.get_ref().0 < 3 => Err(Wrong::at(number, wrong(number.get_ref().0)).into()),
        (given, in_file) => Ok(given.or(in_file.as_ref().map(|number| number.get_ref().0))),
    }
}

pub fn refuse_without_health(health: Option<&Awaited>, notify: Speaker, ready_fd: Option<i32>) -> Result<(), Fault> {
    let has_health = health.is_some();
    if notify == Speaker::Sidecar && health.is_some_and(|health| health.probe.check == Check::Notify) {
        let why = "with 'notify:' the server itself says when it is ready; leave out one of them";
        return Err(Fault::Usage(format!(
            "'--notify sidecar' and the health check 'notify:' contradict each other: {why}"
        )));
    }
    for (what, given) in [("'--notify sidecar'", notify == Speaker::Sidecar), ("'--ready-fd'", ready_fd.is_some())] {
        if given && !has_health {
            let message = format!("{what} needs a health check, which says when the server is ready: --health");
            return Err(Fault::Usage(message));
        }
    }
    Ok(())
}
