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
mod recorded;
mod reload;
mod restart;
mod start;
mod status;
mod stop;
mod target;
mod unit;

use std::ffi::OsString;

use crate::args::{Options, Task};
use crate::environment::Environment;
use crate::error::Error;
use crate::sys::Dispositions;

/// Does what the command line asks for.
///
/// # Errors
/// Every [`Error`]. A start in the foreground returns only with one.
pub fn run(
    options: &Options,
    environment: &Environment,
    arguments: &[OsString],
    dispositions: Dispositions,
) -> Result<(), Error> {
    match options.task {
        Task::Start | Task::Check => start::run(options, environment, arguments, dispositions),
        Task::Status => status::run(options, environment),
        Task::Stop => stop::run(options, environment),
        Task::Restart => restart::run(options, environment, dispositions),
        Task::Reload => reload::run(options, environment),
        Task::Logs => logs::run(options, environment),
        Task::Fds => fds::run(options, environment),
        Task::Forget => forget::run(options, environment),
        Task::Unit => unit::run(options, environment, arguments),
        Task::Doctor => doctor::run(options, environment, arguments),
        Task::Man => manual::page(),
        Task::Completions => completions::run(options, environment),
    }
}
