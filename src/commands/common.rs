#![forbid(unsafe_code)]
//! What several subcommands look up first.

use std::path::PathBuf;

use crate::environment::Environment;
use crate::error::Error;
use crate::instance::state;
use crate::sys::{self, Account, Events};

/// The current folder under the name that the caller used, symlinks and all.
pub fn current_folder(environment: &Environment) -> Result<PathBuf, Error> {
    let actual = std::env::current_dir()
        .map_err(|e| Error::Config(format!("cannot tell the current directory: {e}; change to one that is there")))?;
    Ok(crate::supervisor::units::argv::here(environment, &actual))
}

/// The state folders of all users.
pub fn homes() -> impl Iterator<Item = (PathBuf, Account)> {
    let accounts = sys::accounts().into_iter().filter(|account| account.home.is_absolute());
    accounts.map(|account| (state::home_root(&account.home), account))
}

/// Catches the signals that a command waits for.
pub fn catch_events() -> Result<Events, Error> {
    let failed = |e| Error::Exhausted(format!("cannot open a pipe: {e}; raise the limits or try again"));
    Events::catch().map_err(failed)
}
