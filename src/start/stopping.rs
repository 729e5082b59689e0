#![forbid(unsafe_code)]
//! Stops what is in the way of a start: an instance that is replaced, what an ended one left, a server that failed.

use std::ffi::{OsStr, OsString};

use super::holder;
use super::launch::Launch;
use crate::check::{self, Context, Script, port};
use crate::environment::{COOKIE, Environment};
use crate::error::{Error, unseen};
use crate::follow;
use crate::instance::family::{self, Origin};
use crate::instance::record::Record;
use crate::instance::stop::{Mark, Signalled, Stop, Stopped};
use crate::line::say;
use crate::supervisor::Verb;
use crate::sys::{Events, Nofile, Process};
use crate::text::quoted;

/// How an instance is stopped by a start.
pub struct StopOrder<'a> {
    /// Only these processes.
    pub only: Option<Vec<Process>>,
    /// What main gets first.
    pub signal: i32,
    pub signalled: Signalled,
    pub mark: Option<Mark<'a>>,
    /// The instance whose `[stop] before` runs first.
    pub before: Option<&'a Record>,
}

/// Runs the command before the stop of an instance, where its server runs. `prepare` is asked for only if there is a
/// command. It replaces the references of the command.
pub fn run_before(
    record: &Record,
    nofile: Nofile,
    events: &Events,
    prepare: impl FnOnce(&OsStr) -> Result<(OsString, Environment), String>,
) {
    let Some(shown) = record.ending.before.as_ref().map(OsString::from) else { return };
    let (runs, environment) = match prepare(&shown) {
        Ok((runs, environment)) => (runs, environment.without(&[COOKIE])),
        Err(why) => {
            let name = quoted(&record.name);
            return log::warn!("cannot run the command before the stop of {name}: {why}; stopping it all the same");
        }
    };
    let context = Context::new(environment, OsString::from(&record.cwd).into(), nofile);
    let script = Script { shown, runs, limit: record.ending.before_timeout };
    check::before_stop(&record.name, &script, &context, events);
}

impl Launch<'_> {
    /// Ends what is left of an instance: these processes, or all.
    pub fn clear(&mut self, record: &Record, only: Option<Vec<Process>>) -> Result<(), Error> {
        let origin = Origin::of(record);
        let left = match &only {
            Some(only) => only.clone(),
            None => family::look(&origin).map_err(unseen)?.members,
        };
        let Some(first) = left.first() else { return Ok(()) };
        if let Some(supervised) = follow::systemds(record, left.iter()) {
            let what_to_do = supervised.advice(Verb::Restart);
            let (who, systemd) = (port::describe(first.pid), supervised.describe());
            return Err(Error::Conflict(format!("{who} is of {systemd}, which is active; {what_to_do}")));
        }
        let what = match left.len() {
            1 => port::describe(first.pid),
            count => format!("{count} processes, the first is {}", port::describe(first.pid)),
        };
        let message = format!("stopping what pid {} left behind: {what}", origin.main.pid);
        say(&message);
        let order = StopOrder {
            only,
            signal: record.ending.signal,
            signalled: Signalled::EndsTheWait,
            mark: None,
            before: None,
        };
        self.stop_so(&origin, order, Some(&message)).map(drop)
    }

    /// Stops all of an instance of the service as it is now. If a process is left, that is an error.
    pub fn stop(&mut self, origin: &Origin, signalled: Signalled, status: Option<&str>) -> Result<Stopped, Error> {
        let order =
            StopOrder { only: None, signal: self.given.service.ending.signal, signalled, mark: None, before: None };
        self.stop_so(origin, order, status)
    }

    pub fn stop_so(&mut self, origin: &Origin, order: StopOrder, status: Option<&str>) -> Result<Stopped, Error> {
        let StopOrder { only, signal, signalled, mark, before } = order;
        let grace = match signalled {
            Signalled::EndsTheGrace => self.given.service.grace,
            Signalled::EndsTheWait => self.given.stop_grace,
        };
        // What came to the launcher of a start that failed may be in sessions of its own.
        let all = origin.launcher.is_some();
        let events = &self.events;
        let context = &self.context;
        let (service, inherited) = (self.given.service, self.given.inherited);
        let prepare = || {
            if let Some(record) = before {
                run_before(record, context.nofile, events, |script| service.variables.prepare(script, inherited));
            }
        };
        let before = Some(&prepare as &dyn Fn());
        let stop = Stop { origin, only, signal, grace, all, signalled, mark, prepare: before, events };
        let progress_line = &mut self.progress_line;
        let stopped = stop.run(|| {
            if let Some(status) = status {
                progress_line.status(status);
            }
        });
        let stopped = stopped.map_err(unseen)?;
        match (holder::failure(&stopped), self.events.signal()) {
            (None, _) => Ok(stopped),
            (_, Some(signal)) if signalled == Signalled::EndsTheWait => Err(Error::Interrupted(signal)),
            (Some(failure), _) => Err(Error::Conflict(failure)),
        }
    }
}
