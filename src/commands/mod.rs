#![forbid(unsafe_code)]
//! The commands: a start, its dry run and `check`, and what is asked of instances.

mod logs;
mod outside;
mod restart;
mod start;
mod status;
mod stop;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::{Options, Task};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::record::{Record, Unreadable};
use crate::instance::state::{self, Folder};
use crate::service;
use crate::sys::Dispositions;
use crate::text::quoted;

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
    }
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
        let folder = Folder::existing(&root, &name, nix::unistd::geteuid().as_raw()).map_err(Error::State)?;
        Ok(Place { name, root, folder })
    }

    /// Its record, as it is now; nothing is changed.
    ///
    /// # Errors
    /// [`Error::State`] when it cannot be read or trusted.
    fn record(&self) -> Result<Option<Record>, Error> {
        let Some(folder) = &self.folder else { return Ok(None) };
        Record::look(folder, &self.name).map_err(|e| match e {
            Unreadable::File(message) => Error::State(message),
            Unreadable::Untrusted(why) => Error::State(format!(
                "the record {} cannot be trusted: {why}; remove it",
                quoted(&Record::path(folder))
            )),
        })
    }
}
