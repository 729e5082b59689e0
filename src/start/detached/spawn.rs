#![forbid(unsafe_code)]
//! Executes a detached server in a session of its own, with its sidecar, and waits until it is ready.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use super::ears::Ears;
use super::server::{self, Server, not_ready};
use crate::environment::{COOKIE, NOTIFY_SOCKET};
use crate::error::Error;
use crate::instance::record::Phase;
use crate::instance::stop::Signalled;
use crate::line::say;
use crate::start::launch::Launch;
use crate::start::log_file::Log;
use crate::start::record::{self, Stage};
use crate::start::role::Role;
use crate::start::seat::Seat;
use crate::start::steps::{self, Output};
use crate::start::unexecutable::exec_error;
use crate::start::{checks, program};
use crate::sys::{self, Detached, OwnGroup, Process};
use crate::text::quoted;

/// Runs the checks and the steps, starts the server and waits until it is ready. After an error nothing of the server is left.
///
/// # Errors
/// Those of the checks and of the server.
pub fn run(launch: &mut Launch, seat: &Seat, log: &mut Log) -> Result<Server, Error> {
    let service = launch.given.service;
    checks::ensure(service, &mut launch.check_runner())?;
    steps::run(launch, &Output::Log(log))?;
    log.begin_anew();
    let mut environment = service.variables.added_to(launch.given.inherited.for_detached());
    environment.set(COOKIE.as_ref(), seat.cookie().as_ref());
    let path = launch.find_command(&environment)?;
    let ears = Ears::open(service, seat, log)?;
    ears.address.iter().for_each(|address| environment.set(NOTIFY_SOCKET.as_ref(), address));
    let failed = |e| exec_error(&service.shown_command, &path, &e);
    launch.reached.group = OwnGroup::make(&seat.cookie().replace('/', "-"));
    let held = sys::hold_detached(&Detached {
        path: &path,
        args: &service.command,
        environment: environment.entries(),
        log: &log.file,
        nofile: launch.nofile,
        dispositions: launch.given.dispositions,
        group: launch.reached.group.as_ref(),
    })
    .map_err(failed)?;
    let pid = held.pid();
    launch.reached.group = launch.reached.group.take().filter(|group| group.holds(pid));
    let Some(forked) = sys::process(pid) else {
        return Err(Error::State(format!("cannot read the start time of the server, pid {pid}, from the system")));
    };
    // It leads its session and group, or will in a moment.
    let process = Process { session: pid, group: pid, ..forked };
    start_sidecar(launch, seat, &process, log);
    let stage = Stage { log: Some(&log.path), ..Stage::new(Phase::Starting, &process) };
    seat.record(launch, stage).map_err(record::needed)?;
    let launched = held.let_go().map_err(failed)?;
    let group = launch.reached.group.as_ref().map(|group| group.path().to_owned());
    let (cookie, started) = (seat.cookie().to_owned(), Instant::now());
    let mut server = Server { process, launched, cookie, group, started, seen: None };
    match server.wait_until_ready(launch, log, &ears) {
        Ok(()) => Ok(server),
        Err(error) => Err(give_up(launch, &server, log, &path, error)),
    }
}

/// Starts the sidecar, if it has any task. The server runs without it too.
fn start_sidecar(launch: &mut Launch, seat: &Seat, process: &Process, log: &Log) {
    let role = Role::detached(launch.given.service, launch.given.decision);
    if !role.is_needed() {
        return;
    }
    let state = launch.given.state.as_deref().ok();
    let group = launch.reached.group.as_ref().map(OwnGroup::path);
    let origin = server::origin(process, seat.cookie(), group);
    let sidecar = role.start(origin, None, &launch.context, state, log.file.as_fd());
    let sidecar = sidecar.map_err(|why| log::warn!("cannot start the sidecar: {why}; continuing without it"));
    launch.reached.sidecar = sidecar.ok().map(|sidecar| sidecar.identity);
}

/// Stops a server that did not get ready. Returns the error, with the end of its log.
fn give_up(launch: &mut Launch, server: &Server, log: &Log, path: &Path, error: Error) -> Error {
    let service = launch.given.service;
    if let Error::Interrupted(_) = error {
        say(&format!("interrupted; stopping {}", quoted(&service.name)));
    }
    let origin = server.origin(launch);
    if let Err(e) = launch.stop(&origin, Signalled::EndsTheGrace, None) {
        log::warn!("{e}");
    }
    // The log is read after the stop: its last lines often say why.
    match error {
        // `env` and the shell name the interpreter with a character that nobody sees.
        Error::NotReady(message) if program::has_carriage_return(path) => {
            let hint = "the first line of its script ends with a carriage return (CRLF, as Windows writes)";
            not_ready(&format!("{message}; {hint}"), service, log)
        }
        Error::NotReady(message) => not_ready(&message, service, log),
        other => other,
    }
}
