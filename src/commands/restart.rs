#![forbid(unsafe_code)]
//! `forerun restart`: repeats the start that is in the record. Flags, folder and environment come from the record;
//! forerun.toml is read again.

use std::ffi::OsString;

use super::outside;
use super::start::{self, Restarted, Starting};
use super::stop::refuse_supervised;
use super::target::Target;
use crate::args::{AskedMode, Output, Restart};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::record::Record;
use crate::line::say;
use crate::service::request::Request;
use crate::start::{holder, unseen};
use crate::supervisor::Verb;
use crate::sys::{self, Dispositions};
use crate::text::quoted;

pub fn run(
    asked: &Restart,
    output: &Output,
    environment: &Environment,
    dispositions: Dispositions,
) -> Result<(), Error> {
    let target = Target::find(&asked.which, environment)?;
    let name = quoted(&target.name);
    let here = sys::host().map_err(unseen)?;
    let Some(record) = target.followed(&here)? else {
        return Err(Error::NotReady(format!("{name} is not running, and no record says how it was started; start it")));
    };
    refuse_supervised(&record, &here, Verb::Restart)?;
    outside::go(&record, environment)?;
    let request = Request::of_record(&record);
    let folder = request.called_in.clone();
    std::env::set_current_dir(&folder).map_err(|e| {
        let message = format!("cannot change to {}, where {name} was started: {e}", quoted(&folder));
        holder::goes_on(&record, &here, Error::Config(message))
    })?;
    let mut start = request.start().map_err(|_| {
        Error::Config(format!("cannot understand the flags that {name} was started with; start it anew"))
    })?;
    start.flags.name = Some(target.name.into());
    // A foreground run had another terminal, so the restarted server is detached.
    start.by_hand.mode = Some(AskedMode::Detached);
    let inherited = base(&record, request.environment, environment, &name)?;
    start::start(&Starting {
        asked: &start,
        output,
        caller: environment,
        inherited: &inherited,
        arguments: &request.arguments,
        dispositions,
        restarted: Some(Restarted { record: &record, grace: asked.grace.unwrap_or(record.grace) }),
        called_in: folder,
        state: Ok(target.root),
    })
}

/// The environment that the server gets: the recorded one. That of an instance which has ended was dropped with it.
fn base(record: &Record, theirs: Environment, ours: &Environment, name: &str) -> Result<Environment, Error> {
    if !record.is_spent {
        return Ok(theirs);
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
