#![forbid(unsafe_code)]
//! The seat of a start: name, port, lock and record, taken together. It is given back when it is dropped.
//!
//! A forerun that is killed gives nothing back. Its record tells the next one what is left.

use std::time::{Duration, Instant};

use super::holder::{self, Conflict, ConflictKind, Holder};
use super::launch::{Launch, Replace};
use super::record::{self, Stage};
use super::standing::standing;
use crate::check::port;
use crate::check::run::Job;
use crate::error::Error;
use crate::instance::after::After;
use crate::instance::cookie;
use crate::instance::ending::Leftovers;
use crate::instance::identity::Life;
use crate::instance::record::Record;
use crate::instance::state::{Folder, Lock};
use crate::line::say;
use crate::service::Service;
use crate::supervisor::decide::Mode;
use crate::sys::{self, Process};
use crate::text::quoted;

/// How long connections that are closing keep a port at most: TIME_WAIT is 60 seconds on Linux.
const CLOSING: Duration = Duration::from_secs(65);
/// How often such a port is bound, and how often its holder is searched.
const BINDS: Duration = Duration::from_millis(100);
const LOOKS: Duration = Duration::from_secs(5);

/// Name and port of a service, which nobody else takes as long as the lock is held.
pub struct Seat<'a> {
    service: &'a Service,
    /// `None` where no state folder can be used. Then only the port is guarded.
    folder: Option<&'a Folder>,
    /// Released after the record is as it was.
    _lock: Option<Lock>,
    cookie: String,
    /// The record of the instance that had the name before, or of the one that we are.
    before: Option<Box<Record>>,
    /// We are the recorded instance, which executes its start script again.
    is_ourselves: bool,
    is_undone: bool,
}

/// Why there is no seat.
pub enum Refusal {
    /// Somebody has it. The lock is free again.
    Conflict(Box<Conflict>),
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Error(error)
    }
}

impl<'a> Seat<'a> {
    /// Takes the seat under the lock, unless somebody prevents that. Ends what an ended instance left in the way first.
    ///
    /// # Errors
    /// [`Refusal::Conflict`]; [`Refusal::Error`] when what is in the way cannot be stopped, or a signal came.
    pub fn take<'s: 'a>(
        launch: &mut Launch<'s>,
        folder: Option<&'a Folder>,
        lock: Option<Lock>,
        holder: Holder,
    ) -> Result<Self, Refusal> {
        let service = launch.given.service;
        let is_ourselves = matches!(holder, Holder::Ourselves(_));
        // What is told to end and runs may be restarted, until it has ended.
        let is_spent = matches!(&holder, Holder::Remains(record, after)
            if after.unclear().is_empty() && record.process.life(&launch.host) == Life::Dead);
        if let Some(conflict) = launch.conflict(&holder, folder)? {
            return Err(Refusal::Conflict(Box::new(conflict)));
        }
        let before = match holder {
            Holder::Remains(record, after) if is_spent => Some(Box::new(record.spent(after.ended))),
            Holder::Remains(record, _) | Holder::Ourselves(record) => Some(record),
            _ => None,
        };
        let kept = before.as_ref().filter(|_| is_ourselves).map(|before| before.cookie.clone());
        let cookie = kept.unwrap_or_else(|| cookie::new(&service.name));
        Ok(Seat { service, folder, _lock: lock, cookie, before, is_ourselves, is_undone: false })
    }

    /// The cookie of the instance that starts.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The folder of the service.
    pub fn folder(&self) -> Option<&Folder> {
        self.folder
    }

    /// Whether we are the recorded instance.
    pub fn is_ourselves(&self) -> bool {
        self.is_ourselves
    }

    /// The record of this same instance, if the server executes its start script again.
    pub fn earlier(&self) -> Option<&Record> {
        self.before.as_deref().filter(|before| before.cookie == self.cookie)
    }

    /// Writes the record. Does nothing without a folder.
    ///
    /// # Errors
    /// A message with the folder.
    pub fn record(&self, launch: &Launch, stage: Stage) -> Result<(), String> {
        let Some(folder) = self.folder else { return Ok(()) };
        let record = record::of(launch, self.before.as_deref(), &self.cookie, stage);
        record.write(folder).map_err(|e| record::unwritten(folder, &e))
    }

    /// From here on a seat that is dropped gives back the record that was there before.
    pub fn undo_on_drop(&mut self) {
        self.is_undone = true;
    }

    /// The server has the seat from here on.
    pub fn hand_over(&mut self) {
        self.is_undone = false;
    }

    /// Gives up the control group of the instance before, whose record is no more. What it left goes on outside.
    pub fn dissolve_earlier_group(&self) {
        let earlier = self.before.as_ref().filter(|before| before.cookie != self.cookie);
        if let Some(group) = earlier.and_then(|before| before.own_group.as_ref()) {
            sys::dissolve_group(group);
        }
    }
}

impl Drop for Seat<'_> {
    /// Undoes the record of a start that failed, so that the instance before it can be restarted. If the server could
    /// not be stopped, its record stays, so that somebody else can stop it.
    fn drop(&mut self) {
        let Some(folder) = self.folder.filter(|_| self.is_undone) else { return };
        let us = std::process::id() as i32;
        let is_ours = |record: &Record| record.cookie == self.cookie && record.process.pid != us;
        let runs = |record: &Record| record.process.verified().is_some_and(|p| !p.zombie);
        let left = Record::look(folder, &self.service.name).ok().flatten();
        match left.filter(|record| is_ours(record) && runs(record)) {
            Some(left) if left.told_to_end().write(folder).is_ok() => {}
            _ => Record::undo(folder, self.before.as_deref()),
        }
    }
}

impl Launch<'_> {
    /// What prevents this start. Ends what an ended instance left in the way first.
    fn conflict(&mut self, holder: &Holder, folder: Option<&Folder>) -> Result<Option<Conflict>, Error> {
        if let Some(conflict) = holder::name_conflict(self.given.service, holder, folder) {
            return Ok(Some(conflict));
        }
        if let Holder::Remains(record, after) = holder {
            let ends_jobs = record.ending.leftovers == Leftovers::Stop;
            let jobs = if ends_jobs { after.background() } else { Vec::new() };
            let only = (!record.was_told_to_end()).then(|| [after.in_the_way(), jobs].concat());
            self.clear(record, only)?;
            if let Some(conflict) = self.unclear(record, after)? {
                return Ok(Some(conflict));
            }
            let left = after.family.left.iter().copied();
            let stays = if ends_jobs { Vec::new() } else { after.background() };
            stays.into_iter().chain(left).for_each(|process| self.leaves(record, &process));
        }
        self.port_conflict(holder)
    }

    /// Names what goes on without the server, once for each process.
    fn leaves(&mut self, record: &Record, process: &Process) {
        if !self.reached.left.contains(&process.into()) {
            self.reached.left.push(process.into());
            let pid = record.process.pid;
            say(&format!("left alone: {}, which pid {pid} left running", port::describe(process.pid)));
        }
    }

    /// What has the port and may be the server of an instance whose main process has ended. It is left alone while it
    /// is healthy. Where it is not, and stayed in main's session, it is ended.
    fn unclear(&mut self, record: &Record, after: &After) -> Result<Option<Conflict>, Error> {
        let unclear = after.unclear();
        let left = unclear.iter().find(|p| p.session != record.session);
        let Some(first) = left.or(unclear.first()).copied() else { return Ok(None) };
        let conflict = holder::unclear_conflict(self.given.service, record, &first, &self.host);
        let is_asked = self.given.replace != Replace::No && self.given.decision.mode == Mode::Detached;
        if left.is_some() || !is_asked && self.is_healthy()? {
            return Ok(Some(conflict));
        }
        self.clear(record, Some(unclear))?;
        Ok(None)
    }

    /// Whether what answers is healthy, before the wait for it would be over. Where no socket can be had, nobody knows.
    fn is_healthy(&mut self) -> Result<bool, Error> {
        if std::net::UdpSocket::bind(("127.0.0.1", 0)).is_err() {
            return Ok(true);
        }
        let Some(probe) = standing(self.given.service) else { return Ok(true) };
        Ok(self.check_runner().run_until(vec![Job::wait(probe)], None)?.remove(0).holds())
    }

    /// The conflict over the port. Connections that are still closing are waited for.
    fn port_conflict(&mut self, holder: &Holder) -> Result<Option<Conflict>, Error> {
        let begun = Instant::now();
        let mut said = false;
        loop {
            let conflict = holder::port_conflict(self.given.service, holder, &self.host);
            let closes = conflict.as_ref().is_some_and(|conflict| conflict.kind == ConflictKind::Closing);
            if !closes || self.stands_by() || begun.elapsed() > CLOSING {
                return Ok(conflict);
            }
            let status = format!(
                "waiting for port {}: connections of the server before are closing, which takes up to a minute",
                quoted(&self.given.service.port.unwrap_or_default().to_string())
            );
            if !std::mem::replace(&mut said, true) {
                say(&status);
            }
            let looked = Instant::now();
            // Binding is cheap. Searching for who holds the port is not.
            while looked.elapsed() < LOOKS && holder::is_port_held(self.given.service) {
                if let Some(signal) = self.events.signal() {
                    return Err(Error::Interrupted(signal));
                }
                self.progress_line.status(&status);
                self.events.wait(None, BINDS);
            }
        }
    }
}
