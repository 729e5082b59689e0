#![forbid(unsafe_code)]
//! `forerun forget`: drops the record of an instance that does not run.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use super::common::catch_events;
use super::target::Target;
use crate::args::{Forget, Output};
use crate::environment::Environment;
use crate::error::Error;
use crate::follow;
use crate::instance::family::{self, Origin};
use crate::instance::identity::Life;
use crate::instance::record::Record;
use crate::line::print_summary;
use crate::start::{holder, lock, unseen};
use crate::sys;
use crate::text::{counted, one_line, quoted};

/// Drops the record. The log stays.
///
/// # Errors
/// [`Error::Conflict`] where the instance runs, or where that cannot be told; those of [`Target::find`].
pub fn run(asked: &Forget, output: &Output, environment: &Environment) -> Result<(), Error> {
    let target = Target::find(&asked.which, environment)?;
    let name = &target.name;
    let Some(folder) = &target.folder else { return print(name, false, None, output.json) };
    let here = sys::host().map_err(unseen)?;
    let events = catch_events()?;
    let _lock = lock::take(&events, folder, &target.name, |_| {})?;
    // A record that cannot be trusted says nothing about what runs, so it is not dropped.
    let Some(record) = target.record()? else {
        return print(name, false, None, output.json);
    };
    let record = follow::locked(record, folder, &here).map_err(unseen)?;
    match record.process.life(&here) {
        Life::Dead => {}
        Life::Alive => {
            let runs = holder::whereabouts(&record);
            return Err(Error::Conflict(format!("{} runs as {runs}; stop it first", quoted(name))));
        }
        Life::Unknown(why) => {
            return Err(Error::Conflict(format!(
                "cannot tell whether {} runs: {why}; if it is gone, remove {}",
                quoted(name),
                quoted(&Record::path(folder))
            )));
        }
    }
    if record.process.host.is_same_as(&here) {
        let left = family::look(&Origin::of(&record)).map_err(unseen)?.members.len();
        if left > 0 {
            let left = counted(left, "process of it is", "processes of it are");
            return Err(Error::Conflict(format!(
                "{} does not run, but {left} left; stop it: forerun stop {name}",
                quoted(name)
            )));
        }
    }
    Record::remove(folder);
    record.own_group.as_deref().into_iter().for_each(sys::dissolve_group);
    print(name, true, record.log.as_ref().map(|log| OsString::from(log).into()), output.json)
}

fn print(name: &str, forgotten: bool, log: Option<PathBuf>, json: bool) -> Result<(), Error> {
    let log = log.filter(|log| log.exists());
    let text = match (forgotten, &log) {
        (true, Some(log)) => format!("forgot {name}; its log stays: {}\n", one_line(log)),
        (true, None) => format!("forgot {name}\n"),
        (false, _) => format!("{name} has no record; nothing to forget\n"),
    };
    let value =
        json!({ "name": name, "forgotten": forgotten, "log": log.map(|log| log.to_string_lossy().into_owned()) });
    print_summary(&text, value, json)
}
