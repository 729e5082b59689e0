#![forbid(unsafe_code)]
//! `forerun restart`: repeats the start that is in the record. Flags, folder and environment come from the record;
//! forerun.toml is read again.

use std::ffi::OsString;
use std::path::PathBuf;

use super::outside;
use super::start::{self, Start};
use super::stop::refuse_supervised;
use super::target::Target;
use crate::cli::{self, Options, Task};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::record::os_strings;
use crate::instance::supervisor::Verb;
use crate::launch::{place, unseen};
use crate::sys::{self, Dispositions};
use crate::text::quoted;

pub fn run(options: &Options, environment: &Environment, dispositions: Dispositions) -> Result<(), Error> {
    let target = Target::find(options, environment)?;
    let name = quoted(&target.name);
    let Some(record) = target.record()? else {
        return Err(Error::NotReady(format!("{name} is not running, and no record says how it was started; start it")));
    };
    let here = sys::host().map_err(unseen)?;
    refuse_supervised(&record, &here, Verb::Restart)?;
    outside::go(&record, environment)?;
    let folder = PathBuf::from(OsString::from(&record.called_in));
    std::env::set_current_dir(&folder).map_err(|e| {
        let message = format!("cannot change to {}, where {name} was started: {e}", quoted(&folder));
        place::goes_on(&record, &here, Error::Config(message))
    })?;
    let arguments = os_strings(&record.arguments);
    let recorded = cli::parse(arguments.clone()).map_err(|_| {
        Error::Config(format!("cannot understand the flags that {name} was started with; start it anew"))
    })?;
    let stop_grace = Some(options.grace.unwrap_or(record.grace));
    let options = Options {
        task: Task::Restart,
        name: Some(target.name.into()),
        // A foreground run had another terminal, so the restarted server is detached.
        detach: true,
        foreground: false,
        verbose: options.verbose,
        quiet: options.quiet,
        json: options.json,
        no_progress: options.no_progress,
        ..recorded
    };
    let inherited = Environment::new(os_strings(&record.environment));
    start::start(&Start {
        options: &options,
        caller: environment,
        inherited: &inherited,
        arguments: &arguments,
        dispositions,
        stop_grace,
        restarted: Some(&record),
        called_in: folder,
        state: Ok(target.root),
    })
}
