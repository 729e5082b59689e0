#![forbid(unsafe_code)]
//! The subcommands, one file each, and the start.
//!
//! The contract: docs/reference.md, section 2.

mod check;
mod common;
mod completions;
mod doctor;
mod dry_run;
mod fds;
mod forget;
mod logs;
mod manual;
mod manual_of_file;
mod outside;
mod reload;
mod restart;
mod schema;
mod start;
mod status;
mod stop;
mod target;
mod unit;

use std::ffi::OsString;

use crate::args::{CommandLine, Page, Task};
use crate::environment::Environment;
use crate::error::Error;
use crate::sys::Dispositions;

/// Does what the command line asks for.
///
/// # Errors
/// Every [`Error`]. A start in the foreground returns only with one.
pub fn run(
    CommandLine { output, task }: &CommandLine,
    environment: &Environment,
    arguments: &[OsString],
    dispositions: Dispositions,
) -> Result<(), Error> {
    match task {
        Task::Start(asked) => start::run(asked, output, environment, arguments, dispositions),
        Task::Check(asked) => check::run(asked, output, environment),
        Task::Status(asked) => status::run(asked, output, environment),
        Task::Stop(asked) => stop::run(asked, output, environment),
        Task::Restart(asked) => restart::run(asked, output, environment, dispositions),
        Task::Reload(asked) => reload::run(asked, output, environment),
        Task::Logs(asked) => logs::run(asked, environment),
        Task::Fds(asked) => fds::run(asked, output, environment),
        Task::Forget(asked) => forget::run(asked, output, environment),
        Task::Unit(asked) => unit::run(asked, output, environment, arguments),
        Task::Doctor(asked) => doctor::run(asked, output, environment, arguments),
        Task::Man(Page::Command) => manual::page(),
        Task::Man(Page::File) => manual_of_file::page(),
        Task::Schema => schema::run(),
        Task::Completions(asked) => completions::run(*asked, environment),
    }
}
