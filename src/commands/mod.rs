#![forbid(unsafe_code)]
//! The subcommands, one file each, and the start.

mod completions;
mod doctor;
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
use std::path::PathBuf;
use std::sync::Arc;

use crate::args::{Options, Task};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::state;
use crate::sys::{self, Account, Dispositions, Wake};

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

/// The current folder under the name that the caller used, symlinks and all.
fn current_folder(environment: &Environment) -> Result<PathBuf, Error> {
    let actual = std::env::current_dir()
        .map_err(|e| Error::Config(format!("cannot tell the current directory: {e}; change to one that is there")))?;
    Ok(crate::supervisor::units::here(environment, &actual))
}

/// The state folders of all users.
fn homes() -> impl Iterator<Item = (PathBuf, Account)> {
    let accounts = sys::accounts().into_iter().filter(|account| account.home.is_absolute());
    accounts.map(|account| (state::home_root(&account.home), account))
}

/// Makes the pipe that a command waits on.
fn new_wake() -> Result<Arc<Wake>, Error> {
    let failed = |e| Error::Exhausted(format!("cannot open a pipe: {e}; raise the limits or try again"));
    Wake::new().map(Arc::new).map_err(failed)
}
