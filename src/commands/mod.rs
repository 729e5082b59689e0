#![forbid(unsafe_code)]
//! The commands: a start, its dry run and `check`, and what is asked of instances.

mod completions;
mod doctor;
mod fds;
mod logs;
mod manual;
mod outside;
mod restart;
mod start;
mod status;
mod stop;
mod unit;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::{Options, Task};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::record::{Record, Unreadable};
use crate::instance::state::{self, Folder};
use crate::service;
use crate::sys::{self, Account, Dispositions, Wake};
use crate::text::{one_line, quoted};

/// Does what the command line asks for.
///
/// # Errors
/// All of them. A start in the foreground returns only with one.
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
        Task::Logs => logs::run(options, environment),
        Task::Fds => fds::run(options, environment),
        Task::Unit => unit::run(options, environment, arguments),
        Task::Doctor => doctor::run(options, environment, arguments),
        Task::Man => manual::page(),
        Task::Completions => completions::run(options, environment),
    }
}

/// The current folder, as the caller named it.
fn current_folder(environment: &Environment) -> Result<PathBuf, Error> {
    let actual = std::env::current_dir()
        .map_err(|e| Error::Config(format!("cannot tell the current directory: {e}; change to one that is there")))?;
    Ok(crate::unit::here(environment, &actual))
}

/// The user who has an instance of this name: root sees all, and stops its own.
fn whose(name: &str) -> Option<String> {
    let has = |(root, account): &(PathBuf, Account)| {
        let folder = Folder::existing(root, name, account.uid);
        folder.ok().flatten().is_some_and(|folder| matches!(Record::look(&folder, name), Ok(Some(_))))
    };
    homes().find(has).map(|(_, account)| account.name)
}

/// Where the folders of everybody's services are.
fn homes() -> impl Iterator<Item = (PathBuf, Account)> {
    let accounts = sys::accounts().into_iter().filter(|account| account.home.is_absolute());
    accounts.map(|account| (state::home_root(&account.home), account))
}

/// What a command waits on.
fn new_wake() -> Result<Arc<Wake>, Error> {
    let failed = |e| Error::Exhausted(format!("cannot open a pipe: {e}; raise the limits or try again"));
    Wake::new().map(Arc::new).map_err(failed)
}

/// What a subcommand is about.
struct Place {
    name: String,
    root: PathBuf,
    /// Where there is one.
    folder: Option<Folder>,
}

impl Place {
    /// Finds it.
    ///
    /// # Errors
    /// [`Error::Usage`] where nothing says which service is meant; those of the file and of the folder.
    fn find(options: &Options, environment: &Environment) -> Result<Place, Error> {
        let here = std::env::current_dir().unwrap_or_default();
        let Some(name) = service::named(options, &here)? else {
            return Err(Error::Usage(
                "no NAME, and no forerun.toml here that says one; see 'forerun status'".to_owned(),
            ));
        };
        let root = state::root(environment, &here).map_err(Error::State)?;
        let us = nix::unistd::geteuid();
        let folder = Folder::existing(&root, &name, us.as_raw()).map_err(Error::State)?;
        if folder.is_none() && us.is_root() && state::chosen_root(environment, &here).is_none() {
            if let Some(user) = whose(&name) {
                let what_to_do = format!("do it as that user: sudo -u {} forerun", one_line(&user));
                return Err(Error::Conflict(format!(
                    "{} is an instance of {}; {what_to_do}",
                    quoted(&name),
                    quoted(&user)
                )));
            }
        }
        Ok(Place { name, root, folder })
    }

    /// Its record, as it is now; nothing is changed.
    ///
    /// # Errors
    /// [`Error::State`] when it cannot be read or trusted.
    fn record(&self) -> Result<Option<Record>, Error> {
        let Some(folder) = &self.folder else { return Ok(None) };
        Record::look(folder, &self.name).map_err(|e| {
            let what_to_do = if matches!(e, Unreadable::Untrusted(_)) { "; remove it" } else { "" };
            Error::State(e.message(folder) + what_to_do)
        })
    }
}
