#![forbid(unsafe_code)]
//! Name and port of a service, and who holds them.

use std::ffi::OsString;
use std::path::Path;

use crate::check::port::{self, Port};
use crate::error::Error;
use crate::follow::{self, By, Now};
use crate::instance::after::After;
use crate::instance::cookie;
use crate::instance::family::{self, Origin};
use crate::instance::identity::{Identity, Life};
use crate::instance::record::{Record, os_strings};
use crate::instance::state::Folder;
use crate::instance::stop::Stopped;
use crate::line::say;
use crate::service::{Service, is_same_file};
use crate::supervisor::{self, Verb};
use crate::sys::{self, Host, Process};
use crate::text::{quoted, shell_words};

/// Who holds the name.
#[derive(Debug, PartialEq)]
pub enum Holder {
    Nobody,
    /// We do: the server executes itself again, or a start script runs below another forerun.
    Ourselves(Box<Record>),
    /// An instance of this service runs.
    Instance(Box<Record>),
    /// An instance of another service with the same name runs.
    Other(Box<Record>, &'static str),
    /// Whether its process still runs cannot be told.
    Unknown(Box<Record>, &'static str),
    /// An instance whose main process has ended or was told to end, and what it left.
    Remains(Box<Record>, Box<After>),
}

/// Looks up who holds the service's name.
///
/// # Errors
/// A message, when the record cannot be read.
pub fn holder(service: &Service, folder: &Folder, here: &Host, supervised: bool) -> Result<Holder, String> {
    let Some(mut record) = Record::read(folder, &service.name)? else { return Ok(Holder::Nobody) };
    let mut after = After::default();
    let unseen = |e| format!("cannot look at the system's processes: {e}");
    match follow::look(&record, here, By::start(supervised)).map_err(unseen)? {
        Now::Same => {}
        Now::Ended(left) => after = left,
        Now::HandedOver(new) => {
            let failed = |e| format!("cannot write the record in {}: {e}", quoted(&folder.path));
            new.write(folder).map_err(failed)?;
            record = *new;
        }
    }
    let life = record.process.life(here);
    let is_us = life == Life::Alive && record.process.pid == std::process::id() as i32;
    let same_boot = record.process.host.is_same_as(here);
    Ok(judge(service, Box::new(record), Box::new(after), life, is_us, same_boot))
}

fn judge(
    service: &Service,
    record: Box<Record>,
    after: Box<After>,
    life: Life,
    is_us: bool,
    same_boot: bool,
) -> Holder {
    match life {
        Life::Dead if same_boot => Holder::Remains(record, after),
        Life::Dead => Holder::Nobody,
        Life::Unknown(why) => Holder::Unknown(record, why),
        Life::Alive if is_us => Holder::Ourselves(record),
        // We hold the lock, so nobody is about to tell it.
        Life::Alive if record.was_told_to_end() => Holder::Remains(record, after),
        Life::Alive => match difference(service, &record) {
            Some(what) => Holder::Other(record, what),
            None => Holder::Instance(record),
        },
    }
}

/// The property in which the recorded service differs from this one.
fn difference(service: &Service, record: &Record) -> Option<&'static str> {
    // A unit names both through symlinks (`current`), while a shell uses their targets.
    let same_config = match (&record.config, &service.config) {
        (Some(theirs), Some(ours)) => is_same_file(Path::new(&OsString::from(theirs)), ours),
        (theirs, ours) => theirs.is_none() && ours.is_none(),
    };
    if !same_config {
        return Some("config file");
    }
    if !is_same_file(Path::new(&OsString::from(&record.cwd)), &service.directory) {
        return Some("working directory");
    }
    if os_strings(&record.command) != service.command {
        return Some("command");
    }
    (record.port != service.port).then_some("port")
}

/// Whether a recorded service is this one as it was before an edit: the same file, or without one the same folder.
pub fn is_earlier(service: &Service, record: &Record) -> bool {
    match (&record.config, &service.config) {
        (Some(theirs), Some(ours)) => is_same_file(Path::new(&OsString::from(theirs)), ours),
        _ => is_same_file(Path::new(&OsString::from(&record.cwd)), &service.directory),
    }
}

/// Why a start cannot go on.
pub struct Conflict {
    pub message: String,
    pub kind: ConflictKind,
    /// The process that must end first, if it is known.
    pub awaited: Option<Identity>,
}

/// Who prevents the start.
#[derive(PartialEq)]
pub enum ConflictKind {
    /// An instance of this service.
    Instance(Box<Record>),
    /// Another process holds the port.
    Stranger,
    /// Connections that are still closing hold the port.
    Closing,
    /// Whether anybody holds the name cannot be told.
    Unknown,
    /// Another service with this name. A person must rename one of them.
    OtherService,
}

impl Conflict {
    /// The error of a start that gives up. If `supervised`, another service with our name is a mistake in the
    /// configuration, because a restart would not help.
    pub fn into_error(self, supervised: bool) -> Error {
        match self.kind {
            ConflictKind::OtherService if supervised => Error::Config(self.message),
            _ => Error::Conflict(self.message),
        }
    }
}

/// The conflict over the name, if there is one.
pub fn name_conflict(service: &Service, holder: &Holder, folder: Option<&Folder>) -> Option<Conflict> {
    let name = quoted(&service.name);
    match holder {
        Holder::Nobody | Holder::Ourselves(_) | Holder::Remains(..) => None,
        Holder::Instance(record) => Some(Conflict {
            message: format!("the name {name} is held by {}; {}", describe(record), how_to(record, Verb::Stop)),
            kind: ConflictKind::Instance(record.clone()),
            awaited: Some(record.process.clone()),
        }),
        Holder::Other(record, what) => Some(Conflict {
            message: format!(
                "the name {name} is held by another service with another {what}: {} runs as {}, this is {}; 'forerun restart {}' starts it as it is now, or give one of them another --name",
                quoted(&shell_words(&os_strings(&record.command))),
                whereabouts(record),
                quoted(&shell_words(&service.command)),
                service.name,
            ),
            kind: ConflictKind::OtherService,
            awaited: None,
        }),
        Holder::Unknown(record, why) => {
            let gone =
                folder.map(|f| format!("if it is gone, remove {}", quoted(&Record::path(f)))).unwrap_or_default();
            Some(Conflict {
                message: format!(
                    "the name {name} may be held by {}: {why}, so this cannot be decided here; give another --name, or {gone}",
                    whereabouts(record),
                ),
                kind: ConflictKind::Unknown,
                awaited: None,
            })
        }
    }
}

/// The conflict with a process of an instance whose main process has ended: it has the port, and may be the server.
pub fn unclear_conflict(service: &Service, record: &Record, process: &Process, here: &Host) -> Conflict {
    let (name, who) = (quoted(&service.name), port::describe(process.pid));
    let came = match process.session == record.session {
        true => format!("{who}, which pid {} of {name} left when it ended", record.process.pid),
        false => format!("{who}, which was started from {name} and left it for a session of its own"),
    };
    let what_to_do = match (process.session == record.session, supervisor::of(record)) {
        (true, None) => format!("'forerun restart {}' takes its place", service.name),
        _ => format!("stop it, or 'forerun stop {} --all'", service.name),
    };
    Conflict {
        message: format!(
            "port {} is held by {came}; {what_to_do}",
            quoted(&service.port.unwrap_or_default().to_string())
        ),
        kind: ConflictKind::Stranger,
        awaited: Some(Identity::new(process, here)),
    }
}

/// Whether anybody listens on the port. This is cheap, because it does not search for the holder.
pub fn is_port_held(service: &Service) -> bool {
    service.port.is_some_and(|number| port::is_held(service.host.as_deref(), number))
}

/// The conflict over the port, if there is one. Processes of our own instance do not conflict.
pub fn port_conflict(service: &Service, holder: &Holder, here: &Host) -> Option<Conflict> {
    let number = service.port?;
    if sys::inherits_listener(number) {
        return None;
    }
    let port = quoted(&number.to_string());
    let stranger = |message, awaited| Some(Conflict { message, kind: ConflictKind::Stranger, awaited });
    match port::guard(service.host.as_deref(), number) {
        Port::Free => None,
        Port::Held { pid, .. } if pid.is_some_and(|pid| is_of_us(holder, pid)) => None,
        Port::Held { who, pid } => {
            let came =
                pid.and_then(cookie::of_process).map(|cookie| format!(", which was started from {}", quoted(&cookie)));
            let came = came.unwrap_or_default();
            let message = format!("port {port} is held by {who}{came}; stop it, or choose another port");
            let process = pid.and_then(sys::process);
            stranger(message, process.map(|process| Identity::new(&process, here)))
        }
        Port::Closing => {
            let message = format!("port {port} is {}; try again in a minute", port::CLOSING);
            Some(Conflict { message, kind: ConflictKind::Closing, awaited: None })
        }
        Port::Unknown(why) => {
            let what_to_do = "choose another port, or turn the guard off: --port 0";
            stranger(format!("cannot tell whether port {port} is free: {why}; {what_to_do}"), None)
        }
    }
}

/// Describes the process that listens on the port of a running instance, if it does not belong to the instance.
pub fn stranger(service: &Service, origin: &Origin) -> Option<String> {
    follow::stranger(origin, service.host.as_deref(), service.port)
}

/// Whether a process belongs to our own instance: a worker of a server that executes itself again.
fn is_of_us(holder: &Holder, pid: i32) -> bool {
    let Holder::Ourselves(record) = holder else { return false };
    family::look(&Origin::of(record)).is_ok_and(|family| family.has(pid))
}

/// The error of a start that stopped nothing: it says that what runs goes on.
pub fn goes_on(record: &Record, here: &Host, error: Error) -> Error {
    if record.was_told_to_end() || record.process.life(here) != Life::Alive {
        return error;
    }
    let runs = format!("{} goes on as before, pid {}", quoted(&record.name), record.process.pid);
    match error {
        Error::Interrupted(_) => {
            say(&format!("interrupted; {runs}"));
            error
        }
        error => error.with(&format!("; {runs}")),
    }
}

/// Where an instance runs, in a few words.
pub fn whereabouts(record: &Record) -> String {
    match supervisor::of(record) {
        Some(supervised) => format!("pid {} under {}", record.process.pid, supervised.describe()),
        None => format!("pid {} ({})", record.process.pid, record.mode),
    }
}

/// An instance by its process, command and supervisor.
fn describe(record: &Record) -> String {
    let who = port::describe(record.process.pid);
    match supervisor::of(record) {
        Some(supervised) => format!("{who} under {}", supervised.describe()),
        None => format!("{who}, {}", record.mode),
    }
}

/// How to stop or restart an instance, in words.
pub fn how_to(record: &Record, verb: Verb) -> String {
    match supervisor::of(record) {
        Some(supervised) => supervised.advice(verb),
        None => format!("{0} it: forerun {0} {1}", verb.word(), record.name),
    }
}

/// The command that restarts an instance, or what to do where it is not known.
pub fn how_to_restart(record: &Record) -> String {
    match supervisor::of(record) {
        Some(supervised) => supervised.command(Verb::Restart).unwrap_or_else(|| supervised.advice(Verb::Restart)),
        None => format!("forerun restart {}", record.name),
    }
}

/// The command that stops an instance, if it is known.
pub fn stop_command(record: &Record) -> Option<String> {
    match supervisor::of(record) {
        Some(supervised) => supervised.command(Verb::Stop),
        None => Some(format!("forerun stop {}", record.name)),
    }
}

/// Why a stop left a process running, in words.
pub fn failure(stopped: &Stopped) -> Option<String> {
    let who = port::describe(stopped.left.first()?.pid);
    Some(match &stopped.refused {
        Some(e) => format!("cannot stop {who}: {e}; stop it as the user it runs as, or as root"),
        None => format!("cannot stop {who}: it does not end after SIGKILL"),
    })
}

/// Names the members of an instance that left for a session of their own, and were left alone.
pub fn tell_escaped(name: &str, escaped: &[Process]) {
    for process in escaped {
        say(&format!(
            "left alone: {}, which left {} for a session of its own; 'forerun stop {name} --all' ends it too",
            port::describe(process.pid),
            quoted(name),
        ));
    }
}
