#![forbid(unsafe_code)]
//! `--replace`: tries what can be known, then stops the running instance.

use std::time::Instant;

use crate::error::Error;
use crate::instance::family::Origin;
use crate::instance::record::Record;
use crate::instance::state::Folder;
use crate::instance::stop::{Mark, Signalled};
use crate::line::say;
use crate::service::Service;
use crate::start::holder::{self, Holder};
use crate::start::launch::{Launch, Replace};
use crate::start::log_file::Log;
use crate::start::stopping::StopOrder;
use crate::start::unexecutable::exec_error;
use crate::start::{checks, program};
use crate::sys;
use crate::text::elapsed;

/// Stops the instance that is to be replaced, if there is one.
///
/// # Errors
/// What is wrong with the new server, as far as it can be known before the stop; those of the stop.
pub fn run(launch: &mut Launch, folder: &Folder, holder: &Holder) -> Result<(), Error> {
    let service = launch.given.service;
    match replaced(launch.given.replace, service, holder) {
        Some(record) => {
            // A running server is not stopped for what can be known before.
            try_first(launch, folder, record).map_err(|e| launch.goes_on(record, e))?;
            launch.reached.checked = true;
            // It may have ended meanwhile.
            let holder = holder::holder(service, folder, &launch.host, false).map_err(Error::State)?;
            replaced(launch.given.replace, service, &holder).map_or(Ok(()), |record| stop(launch, folder, record))
        }
        None if launch.given.replace != Replace::No => launch.find_server().map(drop),
        None => Ok(()),
    }
}

/// The running instance that this start replaces.
fn replaced<'a>(replace: Replace, service: &Service, holder: &'a Holder) -> Option<&'a Record> {
    let record = match (holder, replace) {
        (Holder::Instance(record), Replace::Same | Replace::Any) => record,
        (Holder::Other(record, _), Replace::Any) => record,
        (Holder::Other(record, _), Replace::Same) if holder::is_earlier(service, record) => record,
        _ => return None,
    };
    Some(record.as_ref()).filter(|record| record.supervisor.is_none())
}

/// Tries all that can be known before the running server is stopped.
fn try_first(launch: &mut Launch, folder: &Folder, record: &Record) -> Result<(), Error> {
    let service = launch.given.service;
    let path = launch.find_server()?;
    if program::interpreter(&path).is_some_and(|(interpreter, _)| !interpreter.exists()) {
        let missing = std::io::Error::from_raw_os_error(libc::ENOENT);
        return Err(exec_error(&service.shown_command, &path, &missing));
    }
    // Another port than before may be somebody else's.
    let holder = Holder::Ourselves(Box::new(record.clone()));
    let taken = holder::port_conflict(service, &holder, &launch.host).filter(|conflict| conflict.awaited.is_some());
    if let Some(conflict) = taken {
        return Err(conflict.into_error(launch.given.decision.supervised));
    }
    // The server that runs has its own log open, which is not rotated under it.
    let logs = record.log.as_ref().map(std::ffi::OsString::from);
    if service.log.as_ref().is_some_and(|log| Some(log.as_os_str()) != logs.as_deref()) {
        Log::open(service.log.as_deref(), folder)?;
    }
    checks::ensure_before_stop(service, &mut launch.check_runner())
}

/// Stops the running instance for `--replace`.
fn stop(launch: &mut Launch, folder: &Folder, record: &Record) -> Result<(), Error> {
    let begun = Instant::now();
    let host = launch.host.clone();
    let mark = Some(Mark::new(folder, record, &host));
    let signal = record.ending.signal;
    let order = StopOrder { only: None, signal, signalled: Signalled::EndsTheWait, mark, before: Some(record) };
    let stopped = launch.stop_so(&Origin::of(record), order, None)?;
    record.own_group.as_deref().into_iter().for_each(sys::remove_group);
    holder::tell_escaped(&record.name, &stopped.escaped);
    say(&format!("stopped pid {} after {}", record.process.pid, elapsed(begun.elapsed())));
    Ok(())
}
