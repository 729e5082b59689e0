#![forbid(unsafe_code)]
//! Foreground: this process becomes the server. Nothing of forerun is left: every thread has been joined, there is no
//! child except the sidecar, every descriptor is close-on-exec, and no signal handler remains.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::holder::{self, ConflictKind, Holder};
use super::launch::{Launch, ourselves};
use super::record::Stage;
use super::role::Role;
use super::seat::{Refusal, Seat};
use super::standby::Standby;
use super::steps::{self, Output};
use super::unexecutable::exec_error;
use super::{checks, program, unfit};
use crate::environment::{COOKIE, Environment, NOTIFY_SOCKET};
use crate::error::Error;
use crate::instance::family::Origin;
use crate::instance::notify_socket;
use crate::instance::record::Phase;
use crate::instance::state::Folder;
use crate::service::Service;
use crate::supervisor::notify::NotifyState;
use crate::sys;
use crate::text::quoted;

/// Becomes the server.
///
/// # Errors
/// All kinds. It returns only with an error, and then what was there before is there again.
pub fn start(mut launch: Launch) -> Result<(), Error> {
    let service = launch.given.service;
    // A state folder that cannot be used does not prevent a start. Then only the port is guarded.
    let folder = launch.given.state.clone().and_then(|root| Folder::open(&root, &service.name));
    let folder = folder.map_err(|e| log::warn!("{e}; continuing without a record")).ok();
    let mut seat = take_seat(&mut launch, folder.as_ref())?;
    seat.undo_on_drop();
    ready_fd_is_open(service, seat.is_ourselves())?;
    if !(service.requirements.is_empty() && service.waits.is_empty() && service.before.is_empty()) {
        write_record(&seat, &launch, Phase::Starting, None);
        checks::ensure(service, &mut launch.check_runner())?;
        steps::run(&mut launch, &Output::Stderr)?;
    }
    let mut environment = server_environment(service, launch.given.inherited, seat.cookie());
    let path = launch.find_command(&environment)?;
    let runs = program::of(&path, &service.command, &environment, &service.directory);
    let ready = start_sidecar(&mut launch, &seat, &mut environment);
    write_record(&seat, &launch, Phase::Running, runs);
    seat.dissolve_earlier_group();
    launch.progress_line.starting(&format!("starting {}", quoted(&service.command[0])), service.health_timeout);
    if service.close_fds {
        sys::close_on_exec_from(3 + unfit::passed(launch.given.inherited));
    }
    if ready == Readiness::IsOursToSay {
        say_ready(&launch);
    }
    service.ready_fd.into_iter().for_each(sys::close_on_exec);
    let Launch { nofile, given, events, .. } = launch;
    nofile.map(sys::set_nofile);
    // From here on a signal ends us as if forerun had never been there.
    if let Some(signal) = events.release() {
        return Err(Error::Interrupted(signal));
    }
    // The exec drops nothing: the server has the seat, and the lock is closed.
    let error = sys::become_command(&path, &service.command, environment.entries(), given.dispositions);
    Err(exec_error(&service.shown_command, &path, &error))
}

/// Who reports that the server is ready.
#[derive(PartialEq, Eq)]
enum Readiness {
    /// The sidecar or the server itself.
    IsSaid,
    /// forerun, because nobody else will.
    IsOursToSay,
}

fn role<'a>(launch: &'a Launch<'_>) -> Role<'a> {
    Role::in_foreground(launch.given.service, launch.given.decision, launch.given.manager.as_ref(), launch.unit_is_ours)
}

/// Starts the sidecar if it has any task. Removes from the server's environment the variables that the sidecar uses.
fn start_sidecar(launch: &mut Launch, seat: &Seat, environment: &mut Environment) -> Readiness {
    let role = role(launch);
    let earlier = seat.earlier();
    let there = earlier.and_then(|before| before.sidecar.clone());
    // If a server executes its start script again, it has its sidecar already, and that one knows whom to report to.
    if let Some(sidecar) = there.filter(|sidecar| sidecar.verified().is_some_and(|p| !p.zombie)) {
        launch.reached.sidecar = Some(sidecar);
        return Readiness::IsSaid;
    }
    if !role.is_needed() {
        return Readiness::IsSaid;
    }
    if let Some(manager) = role.manager {
        // Only we can send this, because we are still the main process. systemd before 254 does not know it.
        manager.tell(&[NotifyState::Custom("NOTIFYACCESS=all")]);
    }
    let main = ourselves().ok_or_else(|| "its own start time cannot be read".to_owned());
    let (stderr, state) = (std::io::stderr(), launch.given.state.as_deref().ok());
    let origin = main.map(|main| Origin {
        main: (&main).into(),
        session: main.session,
        launched: earlier.map_or(launch.launched, |before| before.launched),
        earlier_children: earlier.map_or_else(|| launch.children.clone(), |before| before.earlier_children.clone()),
        cookie: seat.cookie().to_owned(),
        group: earlier.and_then(|before| before.own_group.clone()),
        ..Origin::default()
    });
    let hears = role.hears.then(|| notify_socket::address(seat.folder(), seat.cookie())).transpose();
    let started = origin.and_then(|origin| {
        let hears = hears.clone()?;
        role.start(origin, hears.as_deref(), &launch.context, state, stderr.as_fd())
    });
    match started {
        Ok(sidecar) => {
            if role.manager.is_some() {
                *environment = environment.for_silent_server();
            }
            if let Ok(Some(address)) = hears {
                *environment = environment.for_silent_server();
                environment.set(NOTIFY_SOCKET.as_ref(), &address);
            }
            launch.reached.sidecar = Some(sidecar.identity);
            launch.reached.link = Some(sidecar.link);
            Readiness::IsSaid
        }
        Err(why) => {
            log::warn!("cannot start the sidecar: {why}; continuing without it");
            Readiness::IsOursToSay
        }
    }
}

/// Reports that the server is ready, if no sidecar can. The server counts as ready when it is executed.
fn say_ready(launch: &Launch) {
    let role = role(launch);
    if let Some(manager) = role.manager {
        manager.tell(&[NotifyState::Ready, NotifyState::Status("started; nobody checks its health")]);
    }
    if let Some(Err(e)) = role.ready_fd.map(sys::write_ready) {
        log::warn!("cannot write to the descriptor of --ready-fd: {e}; continuing");
    }
}

/// A server that executes its start script again reported readiness before, and no longer has the descriptor.
fn ready_fd_is_open(service: &Service, is_ourselves: bool) -> Result<(), Error> {
    match service.ready_fd.filter(|&number| !sys::is_inheritable(number)) {
        Some(number) if !is_ourselves => Err(Error::Config(format!(
            "cannot write to the descriptor '{number}' of --ready-fd: it is not open; \
             name the one that the supervisor opens (s6: ./notification-fd)"
        ))),
        _ => Ok(()),
    }
}

/// Waits until name and port are free, and takes them.
fn take_seat<'a, 's: 'a>(launch: &mut Launch<'s>, folder: Option<&'a Folder>) -> Result<Seat<'a>, Error> {
    let mut standby = None;
    let mut warnings = Warnings::default();
    loop {
        let lock = match folder.map(|folder| launch.lock(folder)) {
            Some(Err(Error::State(message))) => {
                warnings.warn(format!("{message}; continuing without it"));
                None
            }
            Some(lock) => Some(lock?),
            None => None,
        };
        let lock = lock.map_or_else(|| steps::own_lock(launch), |lock| Ok(Some(lock)))?;
        let holder = look_up(launch, folder, &mut warnings);
        // The holder needs the lock to be stopped, so a refusal has released it.
        let conflict = match Seat::take(launch, folder, lock, holder) {
            Ok(seat) => {
                standby.as_ref().inspect(|standby: &&Standby| standby.end());
                return Ok(seat);
            }
            Err(Refusal::Conflict(conflict)) => *conflict,
            Err(Refusal::Error(error)) => return Err(error),
        };
        if !launch.stands_by() || conflict.kind == ConflictKind::OtherService {
            return Err(conflict.into_error(launch.given.decision.supervised));
        }
        standby.get_or_insert_with(Standby::new).wait(launch, conflict)?;
    }
}

/// Prints each warning once, because a standby looks again and again.
#[derive(Default)]
struct Warnings(HashSet<String>);

impl Warnings {
    fn warn(&mut self, message: String) {
        if !self.0.contains(&message) {
            log::warn!("{message}");
            self.0.insert(message);
        }
    }
}

/// Who holds the name. A record that cannot be read does not prevent a start.
fn look_up(launch: &Launch, folder: Option<&Folder>, warnings: &mut Warnings) -> Holder {
    let Some(folder) = folder else { return Holder::Nobody };
    match holder::holder(launch.given.service, folder, &launch.host, launch.given.decision.supervised) {
        Err(message) => {
            warnings.warn(format!("{message}; continuing without it"));
            Holder::Nobody
        }
        Ok(holder) => holder,
    }
}

/// Writes the record before the exec, which keeps pid and start time. If it cannot be written, the start goes on.
fn write_record(seat: &Seat, launch: &Launch, phase: Phase, runs: Option<PathBuf>) {
    let Some(process) = ourselves() else { return };
    let log = sys::file_of(std::io::stderr().as_fd());
    let stage = Stage { executable: runs, log: log.as_deref(), ..Stage::new(phase, &process) };
    if let Err(why) = seat.record(launch, stage) {
        log::warn!("{why}; continuing without a record");
    }
}

/// The inherited variables, the service's and the cookie, without forerun's own.
fn server_environment(service: &Service, inherited: &Environment, cookie: &str) -> Environment {
    let mut environment = service.variables.added_to(inherited.for_server());
    environment.set(COOKIE.as_ref(), cookie.as_ref());
    environment
}
