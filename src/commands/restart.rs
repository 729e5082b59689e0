#![forbid(unsafe_code)]
//! `forerun restart`: repeats the start that is in the record. Flags, folder and environment come from the record;
//! forerun.toml is read again.

use std::ffi::OsString;
use std::path::PathBuf;

use super::outside;
use super::start::{self, Start};
use super::stop::refuse_supervised;
use super::target::Target;
use crate::args::{self, StartFlags};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::record::{Record, os_strings};
use crate::line::say;
use crate::service::{Purpose, request};
use crate::start::{holder, unseen};
use crate::supervisor::Verb;
use crate::sys::{self, Dispositions};
use crate::text::quoted;

pub fn run(options: &args::Restart, environment: &Environment, dispositions: Dispositions) -> Result<(), Error> {
    let target = Target::find(&options.which, environment)?;
    let name = quoted(&target.name);
    let here = sys::host().map_err(unseen)?;
    let Some(record) = target.followed(&here)? else {
        return Err(Error::NotReady(format!("{name} is not running, and no record says how it was started; start it")));
    };
    refuse_supervised(&record, &here, Verb::Restart)?;
    outside::go(&record, environment)?;
    let folder = PathBuf::from(OsString::from(&record.called_in));
    std::env::set_current_dir(&folder).map_err(|e| {
        let message = format!("cannot change to {}, where {name} was started: {e}", quoted(&folder));
        holder::goes_on(&record, &here, Error::Config(message))
    })?;
    let arguments = os_strings(&record.arguments);
    let recorded = request::of(&record).map_err(|_| {
        Error::Config(format!("cannot understand the flags that {name} was started with; start it anew"))
    })?;
    let stop_grace = Some(options.grace.unwrap_or(record.grace));
    let flags = StartFlags {
        name: Some(target.name.into()),
        // A foreground run had another terminal, so the restarted server is detached.
        detach: true,
        foreground: false,
        ..recorded.start.flags
    };
    let options = args::Start { flags, dry_run: recorded.start.dry_run, output: options.output };
    let inherited = base(&record, environment, &name)?;
    start::start(&Start {
        options: &options,
        purpose: Purpose::Restart,
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

/// The environment that the server gets: the recorded one. That of an instance which has ended was dropped with it.
fn base(record: &Record, ours: &Environment, name: &str) -> Result<Environment, Error> {
    if !record.is_spent {
        return Ok(Environment::new(os_strings(&record.environment)));
    }
    let is_set = |name: &OsString| name.to_str().is_some_and(|name| ours.get(name).is_some());
    let names = record.dropped.iter().map(OsString::from);
    let missing: Vec<_> = names.filter(|name| !is_set(name)).map(|name| quoted(&name)).collect();
    if !missing.is_empty() {
        return Err(Error::Config(format!(
            "{name} has ended, and the value of {} in its --env was not kept; set it here, or start it anew",
            missing.join(" and ")
        )));
    }
    say(&format!("{name} has ended, and its environment was not kept; this one's is taken"));
    Ok(ours.clone())
}
