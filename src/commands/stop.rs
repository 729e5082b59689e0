#![forbid(unsafe_code)]
//! `forerun stop`: ends an instance and waits until nothing of it is left.

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use serde_json::json;

use super::common::catch_events;
use super::outside;
use super::target::Target;
use crate::args::{self, Output};
use crate::check::port;
use crate::environment::Environment;
use crate::error::Error;
use crate::follow;
use crate::instance::family::{self, Family, Origin};
use crate::instance::identity::Life;
use crate::instance::record::{Phase, Record};
use crate::instance::state::{Folder, Lock};
use crate::instance::stop::{Mark, Signalled, Stop, Stopped, send};
use crate::line::{print_summary, say};
use crate::service::Variables;
use crate::service::request::Request;
use crate::start::{self, holder, stopping, unseen};
use crate::supervisor::{self, Verb};
use crate::sys::{self, Events, Host};
use crate::text::{counted, elapsed, quoted};

pub fn run(asked: &args::Stop, output: &Output, environment: &Environment) -> Result<(), Error> {
    let target = Target::find(&asked.which, environment)?;
    let here = sys::host().map_err(unseen)?;
    if let Some(record) = target.followed(&here)? {
        refuse_supervised(&record, &here, Verb::Stop)?;
        outside::go(&record, environment)?;
    }
    let Some(folder) = &target.folder else { return not_running(&target.name, output.json) };
    let events = catch_events()?;
    let _lock = lock(&target, folder, &events, &here, asked.grace)?;
    let Some(record) = Record::read(folder, &target.name).map_err(Error::State)? else {
        return not_running(&target.name, output.json);
    };
    let record = follow::locked(record, folder, &here).map_err(unseen)?;
    refuse_supervised(&record, &here, Verb::Stop)?;
    let life = record.process.life(&here);
    if let Life::Unknown(why) = life {
        return Err(Error::Conflict(format!(
            "cannot tell whether {} runs as {}: {why}; if it is gone, remove {}",
            quoted(&target.name),
            holder::whereabouts(&record),
            quoted(&Record::path(folder))
        )));
    }
    let origin = Origin::of(&record);
    if !record.process.host.is_same_as(&here) {
        forget(folder, &record, &Stopped::default());
        return not_running(&target.name, output.json);
    }
    refuse_systemds(&record, &family::look(&origin).map_err(unseen)?)?;
    let begun = Instant::now();
    let before = || stopping::run_before(&record, sys::nofile(), &events, |script| with_environment(&record, script));
    let stop = Stop {
        origin: &origin,
        only: None,
        signal: record.ending.signal,
        grace: asked.grace.unwrap_or(record.grace),
        all: asked.all,
        signalled: Signalled::EndsTheWait,
        mark: Some(Mark::new(folder, &record, &here)),
        prepare: Some(&before),
        events: &events,
    };
    let stopped = stop.run(|| {}).map_err(unseen)?;
    complain(&stopped, &events)?;
    forget(folder, &record, &stopped);
    holder::tell_escaped(&target.name, &stopped.escaped);
    report(&record, life == Life::Alive, &stopped, begun.elapsed(), output.json)
}

/// The command before the stop, and its environment: the server's. If forerun.toml makes no sense by now, that is the
/// environment of the start.
fn with_environment(record: &Record, script: &OsStr) -> Result<(OsString, Environment), String> {
    let request = Request::of_record(record);
    match request.service() {
        Ok(service) => service.variables.prepare(script, &request.environment),
        Err(why) => {
            log::info!("the command before the stop has the environment of the start alone: {why}");
            Variables::of(&request.environment).prepare(script, &request.environment)
        }
    }
}

/// Refuses to stop what a supervisor runs: the supervisor would start it again.
///
/// # Errors
/// [`Error::Conflict`] with the supervisor's own command.
pub fn refuse_supervised(record: &Record, here: &Host, verb: Verb) -> Result<(), Error> {
    let Some(supervised) = supervisor::of(record) else { return Ok(()) };
    if verb == Verb::Stop && record.process.life(here) == Life::Dead {
        return Ok(());
    }
    let (name, supervisor) = (quoted(&record.name), supervised.describe());
    Err(Error::Conflict(format!(
        "{name} is run by {supervisor}, which would start it again; {}",
        supervised.advice(verb)
    )))
}

/// Refuses to stop what an ended main process left in a unit that systemd runs again.
fn refuse_systemds(record: &Record, family: &Family) -> Result<(), Error> {
    let Some(supervised) = follow::systemds(record, family.all()) else { return Ok(()) };
    let (name, systemd) = (quoted(&record.name), supervised.describe());
    let what_to_do = supervised.advice(Verb::Stop);
    Err(Error::Conflict(format!("what is left of {name} is in {systemd}, which is active; {what_to_do}")))
}

/// Takes the lock. If a start holds it, that start is ended first: SIGTERM lets it clean up, SIGKILL follows after the
/// grace.
fn lock(
    target: &Target,
    folder: &Folder,
    events: &Events,
    here: &Host,
    grace: Option<Duration>,
) -> Result<Lock, Error> {
    let mut told: Option<(u64, Instant)> = None;
    let mut killed = false;
    start::lock::take(events, folder, &target.name, |_| {
        let Ok(Some(record)) = target.record() else { return };
        let starter =
            record.starter.as_ref().filter(|_| record.phase == Phase::Starting && record.supervisor.is_none());
        let Some(starter) = starter.filter(|s| s.life(here) == Life::Alive).and_then(|s| s.verified()) else { return };
        if starter.pid == std::process::id() as i32 {
            return;
        }
        match told {
            Some((start, at)) if start == starter.start => {
                // Before it ends it stops its server, which may take all of the grace.
                if !killed && at.elapsed() > grace.unwrap_or(record.grace) + Duration::from_secs(5) {
                    let _ = send(starter, libc::SIGKILL);
                    killed = true;
                }
            }
            _ => {
                say(&format!("ending the start of {} by pid {}", quoted(&target.name), starter.pid));
                let _ = send(starter, libc::SIGTERM);
                told = Some((starter.start, Instant::now()));
            }
        }
    })
}

fn complain(stopped: &Stopped, events: &Events) -> Result<(), Error> {
    let Some(left) = stopped.left.first() else { return Ok(()) };
    match events.signal() {
        Some(signal) => {
            say(&format!("interrupted: {} was told to end and still runs", port::describe(left.pid)));
            Err(Error::Interrupted(signal))
        }
        None => Err(Error::Conflict(holder::failure(stopped).unwrap_or_default())),
    }
}

/// Removes the record, unless a process was left alone: only the cookie in the record still tells whose it is.
fn forget(folder: &Folder, record: &Record, stopped: &Stopped) {
    if stopped.escaped.is_empty() {
        Record::remove(folder);
        record.own_group.as_deref().into_iter().for_each(sys::dissolve_group);
    } else {
        record.clone().spent(None).write_or_warn(folder);
        log::info!("the record of {} stays for what was left alone", quoted(&record.name));
    }
}

fn not_running(name: &str, json: bool) -> Result<(), Error> {
    print(name, json, None, &Stopped::default(), format!("{name} is not running\n"))
}

fn report(record: &Record, ran: bool, stopped: &Stopped, took: Duration, json: bool) -> Result<(), Error> {
    let (name, pid, took) = (&record.name, record.process.pid, elapsed(took));
    let text = match (ran, stopped.count) {
        (true, 0 | 1) => format!("stopped {name}: pid {pid}, after {took}\n"),
        (true, count) => {
            format!("stopped {name}: pid {pid} and {}, after {took}\n", counted(count - 1, "worker", "workers"))
        }
        (false, 0) => format!("{name} is not running\n"),
        (false, count) => format!(
            "{name} was not running; stopped {} of it, after {took}\n",
            counted(count, "process that was left", "processes that were left")
        ),
    };
    print(name, json, ran.then_some(pid), stopped, text)
}

fn print(name: &str, json: bool, pid: Option<i32>, stopped: &Stopped, text: String) -> Result<(), Error> {
    let escaped: Vec<_> = stopped.escaped.iter().map(|p| p.pid).collect();
    let value = json!({ "name": name, "pid": pid, "stopped": stopped.count, "left_alone": escaped });
    print_summary(&text, value, json)
}
