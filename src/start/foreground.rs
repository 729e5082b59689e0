#![forbid(unsafe_code)]
//! Foreground: this process becomes the server. Nothing of forerun is left: every thread has been joined, there is no
//! child except the sidecar, every descriptor is close-on-exec, and no signal handler remains.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::holder::{self, Holder, Kind};
use super::program;
use super::standby::Standby;
use super::unexecutable::exec_error;
use super::{Launch, Work, checks, ourselves};
use crate::environment::{COOKIE, Environment};
use crate::error::Error;
use crate::instance::cookie;
use crate::instance::family::Origin;
use crate::instance::record::{Phase, Record};
use crate::instance::state::{Folder, Lock};
use crate::service::Service;
use crate::sidecar::{self, Role};
use crate::supervisor::notify::NotifyState;
use crate::sys;
use crate::text::quoted;

pub fn start(mut launch: Launch) -> Result<(), Error> {
    let service = launch.service;
    // A state folder that cannot be used does not prevent a start. Then only the port is guarded.
    let folder = launch.state.clone().and_then(|root| Folder::open(&root, &service.name));
    let folder = folder.map_err(|e| log::warn!("{e}; continuing without a record")).ok();
    let (lock, kept) = take_place(&mut launch, folder.as_ref())?;
    ready_fd_is_open(service, kept.is_some()).inspect_err(|_| undo(folder.as_ref(), launch.before.as_deref()))?;
    let cookie = kept.unwrap_or_else(|| cookie::new(&service.name));

    if !(service.requirements.is_empty() && service.waits.is_empty()) {
        write_record(&launch, folder.as_ref(), Phase::Starting, &cookie, None);
        let result = checks::ensure(service, &mut launch.check_runner());
        if result.is_err() {
            undo(folder.as_ref(), launch.before.as_deref());
        }
        result?;
    }
    let mut environment = server_environment(service, launch.inherited, &cookie);
    let path = launch.find_command(&environment).inspect_err(|_| {
        undo(folder.as_ref(), launch.before.as_deref());
    })?;
    let runs = program::of(&path, &service.command, &environment, &service.directory);
    let ready = start_sidecar(&mut launch, &cookie, &mut environment);
    write_record(&launch, folder.as_ref(), Phase::Running, &cookie, runs);
    launch.dissolve_earlier(&cookie);
    launch.progress_line.starting(&format!("starting {}", quoted(&service.command[0])), service.health_timeout);
    if service.close_fds {
        sys::close_on_exec_from(first_to_close(launch.inherited));
    }
    if ready == Ready::IsOursToSay {
        say_ready(&launch);
    }
    service.ready_fd.into_iter().for_each(sys::close_on_exec);
    let Launch { nofile, dispositions, events, before, .. } = launch;
    nofile.map(sys::set_nofile);
    // From here on a signal ends us as if forerun had never been there.
    if let Some(signal) = events.release() {
        undo(folder.as_ref(), before.as_deref());
        return Err(Error::Interrupted(signal));
    }
    let error = sys::become_command(&path, &service.command, environment.entries(), dispositions);
    undo(folder.as_ref(), before.as_deref());
    drop(lock);
    Err(exec_error(&service.command, &path, &error))
}

/// Who reports that the server is ready.
#[derive(PartialEq, Eq)]
enum Ready {
    /// The sidecar or the server itself.
    IsSaid,
    /// forerun, because nobody else will.
    IsOursToSay,
}

fn role<'a>(launch: &'a Launch) -> Role<'a> {
    Role::in_foreground(launch.service, launch.decision, launch.progress_line.manager(), launch.unit_is_ours)
}

/// Starts the sidecar if it has any task. Removes from the server's environment the variables that the sidecar uses.
fn start_sidecar(launch: &mut Launch, cookie: &str, environment: &mut Environment) -> Ready {
    let role = role(launch);
    let before = launch.before.as_ref().filter(|before| before.cookie == cookie);
    let there = before.and_then(|before| before.sidecar.clone());
    // If a server executes its start script again, it has its sidecar already, and that one knows whom to report to.
    if let Some(sidecar) = there.filter(|sidecar| sidecar.running().is_some()) {
        launch.sidecar = Some(sidecar);
        return Ready::IsSaid;
    }
    if !role.is_needed() {
        return Ready::IsSaid;
    }
    if let Some(manager) = role.manager {
        // Only we can send this, because we are still the main process. systemd before 254 does not know it.
        manager.tell(&[NotifyState::Custom("NOTIFYACCESS=all")]);
    }
    let main = ourselves().ok_or_else(|| "its own start time cannot be read".to_owned());
    let (stderr, state) = (std::io::stderr(), launch.state.as_deref().ok());
    let origin = main.map(|main| Origin {
        main: (&main).into(),
        session: main.session,
        launched: before.map_or(launch.launched, |before| before.launched),
        earlier_children: before.map_or_else(|| launch.children.clone(), |before| before.earlier_children.clone()),
        cookie: cookie.to_owned(),
        group: before.and_then(|before| before.own_group.clone()),
        ..Origin::default()
    });
    match origin.and_then(|origin| sidecar::start(&role, origin, &launch.context, state, stderr.as_fd())) {
        Ok(sidecar) => {
            if role.manager.is_some() {
                *environment = environment.for_silent_server();
            }
            launch.sidecar = Some(sidecar.identity);
            launch.link = Some(sidecar.link);
            Ready::IsSaid
        }
        Err(why) => {
            log::warn!("cannot start the sidecar: {why}; continuing without it");
            Ready::IsOursToSay
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

fn undo(folder: Option<&Folder>, before: Option<&Record>) {
    if let Some(folder) = folder {
        Record::undo(folder, before);
    }
}

/// Waits until name and port are free, and returns the lock. Also returns the cookie if we are the recorded instance.
fn take_place(launch: &mut Launch, folder: Option<&Folder>) -> Result<(Option<Lock>, Option<String>), Error> {
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
        let holder = holder(launch, folder, &mut warnings);
        let Some(conflict) = launch.conflict(&holder, folder)? else {
            standby.as_ref().inspect(|standby: &&Standby| standby.end());
            let kept = if let Holder::Ourselves(record) = holder { Some(record.cookie) } else { None };
            return Ok((lock, kept));
        };
        if !launch.stands_by() || conflict.kind == Kind::OtherService {
            return Err(conflict.into_error(launch.decision.supervised));
        }
        // The holder needs the lock to be stopped.
        drop(lock);
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
fn holder(launch: &Launch, folder: Option<&Folder>, warnings: &mut Warnings) -> Holder {
    let Some(folder) = folder else { return Holder::Nobody };
    match holder::holder(launch.service, folder, &launch.host, launch.decision.supervised) {
        Err(message) => {
            warnings.warn(format!("{message}; continuing without it"));
            Holder::Nobody
        }
        Ok(holder) => holder,
    }
}

/// Writes the record before the exec, which keeps pid and start time. If it cannot be written, the start goes on.
fn write_record(launch: &Launch, folder: Option<&Folder>, phase: Phase, cookie: &str, runs: Option<PathBuf>) {
    let (Some(folder), Some(process)) = (folder, ourselves()) else { return };
    let log = sys::file_of(std::io::stderr().as_fd());
    let work = Work { cookie, executable: runs, log: log.as_deref(), ..Work::new(phase, &process) };
    if let Err(e) = launch.record(work).write(folder) {
        log::warn!("cannot write the record in {}: {e}; continuing without a record", quoted(&folder.path));
    }
}

/// The inherited variables, the service's and the cookie, without forerun's own.
fn server_environment(service: &Service, inherited: &Environment, cookie: &str) -> Environment {
    let mut environment = service.variables.added_to(inherited.for_server());
    environment.set(COOKIE.as_ref(), cookie.as_ref());
    environment
}

/// The first descriptor after the sockets of socket activation, if those are for us.
fn first_to_close(environment: &Environment) -> i32 {
    let number = |name: &str| environment.get(name).and_then(|v| v.to_str()?.parse::<i32>().ok());
    let ours = number("LISTEN_PID") == i32::try_from(std::process::id()).ok();
    3 + number("LISTEN_FDS").filter(|&count| ours && (0..65_536).contains(&count)).unwrap_or(0)
}
