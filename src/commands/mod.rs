#![forbid(unsafe_code)]
//! The subcommands, one file each, and the start.

mod check;
mod common;
mod completions;
mod doctor;
mod dry_run;
mod fds;
mod forget;
mod logs;
mod manual;
mod outside;
mod reload;
mod restart;
mod start;
mod status;
mod stop;
mod target;
mod unit;

use std::ffi::OsString;

use crate::args::Request;
use crate::environment::Environment;
use crate::error::Error;
use crate::sys::Dispositions;

/// Does what the command line asks for.
///
/// # Errors
/// Every [`Error`]. A start in the foreground returns only with one.
pub fn run(
    request: &Request,
    environment: &Environment,
    arguments: &[OsString],
    dispositions: Dispositions,
) -> Result<(), Error> {
    match request {
        Request::Start(start) => start::run(start, false, environment, arguments, dispositions),
        Request::Check(start) => start::run(start, true, environment, arguments, dispositions),
        Request::Status(status) => status::run(status, environment),
        Request::Stop(stop) => stop::run(stop, environment),
        Request::Restart(restart) => restart::run(restart, environment, dispositions),
        Request::Reload(which, output) => reload::run(which, *output, environment),
        Request::Logs(logs) => logs::run(logs, environment),
        Request::Fds(which, output) => fds::run(which, *output, environment),
        Request::Forget(which, output) => forget::run(which, *output, environment),
        Request::Unit(unit) => unit::run(unit, environment, arguments),
        Request::Doctor(start) => doctor::run(start, environment, arguments),
        Request::Man => manual::page(),
        Request::Completions(completions) => completions::run(completions, environment),
    }
}
