#![forbid(unsafe_code)]
//! A detached start: the server gets a session of its own and a log, and forerun waits until it is ready. If it does
//! not get ready, nothing of it is left.

mod server;
mod tail;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::{How, Launch, Work, checks, ourselves, program, readiness};
use crate::check::run::Job;
use crate::environment::COOKIE;
use crate::error::Error;
use crate::instance::cookie;
use crate::instance::family::Origin;
use crate::instance::identity::{Identity, Life};
use crate::instance::record::{OsText, Phase, Record};
use crate::instance::state::Folder;
use crate::instance::stop::{Mark, Signalled};
use crate::line::say;
use crate::report::result::{self, Ready};
use crate::service::{Replace, Service, trust};
use crate::sidecar::{self, Role};
use crate::start::holder::{self, Holder};
use crate::start::log_file::Log;
use crate::start::unexecutable::exec_error;
use crate::supervisor::decide::Mode;
use crate::supervisor::units::search;
use crate::supervisor::{Verb, service_of_group};
use crate::sys::{self, Detached, ExitWatch, OwnGroup, Process};
use crate::text::{elapsed, one_line, quoted};
use server::{Server, not_ready};

/// The time for the health check of a server that has run for a while.
const STILL_HEALTHY: Duration = Duration::from_secs(5);

pub fn start(mut launch: Launch) -> Result<(), Error> {
    let service = launch.service;
    let begun = Instant::now();
    let folder = launch.state.clone().and_then(|root| Folder::open(&root, &service.name)).map_err(Error::State)?;
    let lock = launch.lock(&folder)?;
    let mut holder = holder::holder(service, &folder, &launch.host, false).map_err(Error::State)?;
    if let Holder::Instance(record) = &holder {
        if was_abandoned(record, &launch) && service.replace == Replace::No {
            match adopt(&mut launch, &folder, record) {
                Err(Error::NotReady(message)) => say(&format!("{message}; whoever started it is gone, starting anew")),
                Ok(Told::ItIsGone) => {}
                done => return done.map(drop),
            }
            holder = end(&launch, &folder, record);
        }
    }
    let asked = matches!(service.asked_mode, Some((Mode::Detached, _)));
    if !asked && !matches!(holder, Holder::Instance(_)) {
        // Beside our server, the supervised job would stand by for ever.
        if let Some(why) = search::in_the_way(&service.name, service.config.as_deref(), service.grace, launch.inherited)
        {
            return Err(Error::Conflict(why));
        }
    }
    if let Holder::Instance(record) = &holder {
        if service.replace == Replace::No {
            // Nothing is started, so others need not wait until its health is known.
            drop(lock);
            return match already_running(&mut launch, record)? {
                Told::ThatItRuns => Ok(()),
                Told::ItIsGone => start(launch),
            };
        }
    }
    match replaced(service, &holder) {
        Some(record) => {
            // A running server is not stopped for what can be known before.
            try_first(&mut launch, &folder, record).map_err(|e| launch.goes_on(record, e))?;
            launch.checked = true;
            // It may have ended meanwhile.
            let holder = holder::holder(service, &folder, &launch.host, false).map_err(Error::State)?;
            replaced(service, &holder).map_or(Ok(()), |record| replace(&mut launch, &folder, record))?;
        }
        None if service.replace != Replace::No => drop(launch.find_server()?),
        None => {}
    }
    // The holder has been stopped, or is in the way.
    let holder = holder::holder(service, &folder, &launch.host, false).map_err(Error::State)?;
    if let Some(conflict) = launch.conflict(&holder, Some(&folder))? {
        return Err(conflict.into_error(launch.decision.supervised));
    }
    let log = Log::open(service.log.as_deref(), &folder)?;
    let cookie = cookie::new(&service.name);
    // From here on the record tells what is left if this forerun is killed.
    let us = ourselves().ok_or_else(|| {
        Error::State("cannot read this process's own start time; on Linux /proc must be mounted".to_owned())
    })?;
    write(&launch, &folder, Work { cookie: &cookie, log: Some(&log.path), ..Work::new(Phase::Starting, &us) })?;
    let started = launch_server(&mut launch, &folder, &cookie, &log);
    let mut server = started.inspect_err(|_| give_up(&launch, &folder))?;
    let seen = server.seen(&launch);
    let work = Work { cookie: &cookie, log: Some(&log.path), ..Work::new(Phase::Running, &server.process) };
    let work = Work { executable: sys::executable(server.process.pid), ready: seen, ..work };
    if let Err(e) = write(&launch, &folder, work) {
        log::warn!("{e}; continuing");
    }
    launch.group.take().into_iter().for_each(OwnGroup::keep);
    launch.dissolve_earlier(&cookie);
    let pid = server.process.pid;
    // Before anybody is told: nginx takes no USR2 as long as the parent that it was started by is its parent.
    server.launched.dismiss();
    drop(lock);
    let ready = Ready { took: begun.elapsed(), log: Some(log.path), ..ready_lines(service, pid) };
    result::print_ready(&ready, launch.json)?;
    service.ready_fd.into_iter().for_each(say_ready);
    if service.open {
        open_url(service.url.as_deref());
    }
    Ok(())
}

/// The running instance that this start replaces.
fn replaced<'a>(service: &Service, holder: &'a Holder) -> Option<&'a Record> {
    let record = match (holder, service.replace) {
        (Holder::Instance(record), Replace::Same | Replace::Any) => record,
        (Holder::Other(record, _), Replace::Any) => record,
        (Holder::Other(record, _), Replace::Same) if holder::is_earlier(service, record) => record,
        _ => return None,
    };
    Some(record.as_ref()).filter(|record| record.supervisor.is_none())
}

/// Tries all that can be known before the running server is stopped.
fn try_first(launch: &mut Launch, folder: &Folder, record: &Record) -> Result<(), Error> {
    let service = launch.service;
    let path = launch.find_server()?;
    if program::interpreter(&path).is_some_and(|(interpreter, _)| !interpreter.exists()) {
        let missing = std::io::Error::from_raw_os_error(libc::ENOENT);
        return Err(exec_error(&service.command, &path, &missing));
    }
    // Another port than before may be somebody else's.
    let holder = Holder::Ourselves(Box::new(record.clone()));
    let taken = holder::port_conflict(service, &holder, &launch.host).filter(|conflict| conflict.awaited.is_some());
    if let Some(conflict) = taken {
        return Err(conflict.into_error(launch.decision.supervised));
    }
    // The server that runs has its own log open, which is not rotated under it.
    let logs = record.log.as_ref().map(std::ffi::OsString::from);
    if service.log.as_ref().is_some_and(|log| Some(log.as_os_str()) != logs.as_deref()) {
        Log::open(service.log.as_deref(), folder)?;
    }
    checks::ensure_before_stop(service, &mut launch.check_runner())
}

/// Writes the newline to the descriptor of --ready-fd. The caller of a restart need not have it open: then the number
/// may be one of ours.
fn say_ready(number: i32) {
    let said = match sys::is_inheritable(number) {
        true => sys::write_ready(number),
        false => Err(std::io::Error::from_raw_os_error(libc::EBADF)),
    };
    if let Err(e) = said {
        log::warn!("cannot write to the descriptor '{number}' of --ready-fd: {e}; the server runs");
    }
}

/// Undoes the record of a start that failed, so that the instance before it can be restarted. If the server could not
/// be stopped, its record stays, so that somebody else can stop it.
fn give_up(launch: &Launch, folder: &Folder) {
    let us = std::process::id() as i32;
    let runs = |record: &Record| record.process.pid != us && record.process.running().is_some();
    match Record::look(folder, &launch.service.name).ok().flatten().filter(runs) {
        Some(left) if left.told_to_end().write(folder).is_ok() => {}
        _ => Record::undo(folder, launch.before.as_deref()),
    }
}

/// Runs the checks, starts the server and waits until it is ready. After an error nothing of the server is left.
fn launch_server(launch: &mut Launch, folder: &Folder, cookie: &str, log: &Log) -> Result<Server, Error> {
    let service = launch.service;
    checks::ensure(service, &mut launch.check_runner())?;
    let mut environment = service.variables.added_to(launch.inherited.for_detached());
    environment.set(COOKIE.as_ref(), cookie.as_ref());
    let path = launch.find_command(&environment)?;
    let failed = |e| exec_error(&service.command, &path, &e);
    launch.group = OwnGroup::make(&cookie.replace('/', "-"));
    let held = sys::hold_detached(&Detached {
        path: &path,
        args: &service.command,
        environment: environment.entries(),
        log: &log.file,
        nofile: launch.nofile,
        dispositions: launch.dispositions,
        group: launch.group.as_ref(),
    })
    .map_err(failed)?;
    let pid = held.pid();
    launch.group = launch.group.take().filter(|group| group.holds(pid));
    let group = launch.group.as_ref().map(|group| group.path().to_owned());
    let Some(forked) = sys::process(pid) else {
        return Err(Error::State(format!("cannot read the start time of the server, pid {pid}, from the system")));
    };
    // It leads its session and group, or will in a moment.
    let process = Process { session: pid, group: pid, ..forked };
    let role = Role::detached(service, launch.decision);
    if role.is_needed() {
        let state = launch.state.as_deref().ok();
        let origin = server::origin(&process, cookie, group.as_deref());
        let sidecar = sidecar::start(&role, origin, &launch.context, state, log.file.as_fd());
        let sidecar = sidecar.map_err(|why| log::warn!("cannot start the sidecar: {why}; continuing without it"));
        launch.sidecar = sidecar.ok().map(|sidecar| sidecar.identity);
    }
    write(launch, folder, Work { cookie, log: Some(&log.path), ..Work::new(Phase::Starting, &process) })?;
    let launched = held.let_go().map_err(failed)?;
    let (cookie, started) = (cookie.to_owned(), Instant::now());
    let mut server = Server { process, launched, cookie, group, started, seen: None };
    match server.wait_until_ready(launch, log) {
        Ok(()) => Ok(server),
        Err(error) => {
            if let Error::Interrupted(_) = error {
                say(&format!("interrupted; stopping {}", quoted(&service.name)));
            }
            let origin = server.origin(launch);
            if let Err(e) = launch.stop(&origin, Signalled::EndsTheGrace, None) {
                log::warn!("{e}");
            }
            // The log is read after the stop: its last lines often say why.
            Err(match error {
                // `env` and the shell name the interpreter with a character that nobody sees.
                Error::NotReady(message) if program::has_carriage_return(&path) => {
                    let hint = "the first line of its script ends with a carriage return (CRLF, as Windows writes)";
                    not_ready(&format!("{message}; {hint}"), service, log)
                }
                Error::NotReady(message) => not_ready(&message, service, log),
                other => other,
            })
        }
    }
}

/// The result of a start that found an instance.
enum Told {
    ThatItRuns,
    /// It ended while its health was checked; nothing was printed.
    ItIsGone,
}

/// Reports that the service runs already, and whether it is healthy.
fn already_running(launch: &mut Launch, record: &Record) -> Result<Told, Error> {
    let service = launch.service;
    let watch = ExitWatch::new(record.process.pid);
    let is_gone = |launch: &Launch| record.process.life(&launch.host) == Life::Dead;
    if is_gone(launch) {
        return Ok(Told::ItIsGone);
    }
    // A supervisor may have started it a moment ago: it gets the rest of its time.
    let age = sys::age(record.process.start).unwrap_or(service.health_timeout);
    let left = service.health_timeout.saturating_sub(age).max(STILL_HEALTHY.min(service.health_timeout));
    let where_it_runs = holder::whereabouts(record);
    let probe = readiness(service);
    let untried = probe.as_ref().and_then(|probe| trust::untried(service, &probe.check));
    if let Some(why) = &untried {
        say(&format!("the health of {} was {why}", quoted(&service.name)));
    }
    if let Some(mut probe) = probe.filter(|_| untried.is_none()) {
        let age_is_over = age >= service.health_timeout;
        probe.timeout = left;
        let job = if age_is_over { Job::require(probe) } else { Job::wait(probe) };
        let label = job.label.clone();
        let progress = launch.check_runner().run_until(vec![job], watch.descriptor())?.remove(0);
        if is_gone(launch) {
            return Ok(Told::ItIsGone);
        }
        if !progress.holds() {
            // An abandoned one is started anew by the caller of this function.
            let what_to_do = match record.phase {
                Phase::Running => format!("; {}", holder::how_to(record, Verb::Restart)),
                Phase::Starting | Phase::Stopping => String::new(),
            };
            return Err(Error::NotReady(format!(
                "{} is already running as {where_it_runs}, but is not healthy: {}: {}{what_to_do}",
                quoted(&service.name),
                quoted(&label),
                progress.reason
            )));
        }
    }
    if let Some(who) = holder::stranger(service, &Origin::of(record)) {
        return Err(Error::NotReady(format!(
            "{} is already running as {where_it_runs}, but port {} is held by {who}",
            quoted(&service.name),
            quoted(&service.port.unwrap_or_default().to_string()),
        )));
    }
    let log = record.log.as_ref().map(|log| std::ffi::OsString::from(log).into());
    let ready = Ready {
        already: Some(where_it_runs),
        is_checked: is_checked(service) && untried.is_none(),
        lives_in: None,
        log,
        stop: holder::stop_command(record),
        ..ready_lines(service, record.process.pid)
    };
    result::print_ready(&ready, launch.json)?;
    if service.open {
        open_url(service.url.as_deref());
    }
    Ok(Told::ThatItRuns)
}

/// Whether a detached start was killed before it was done, and left its server behind.
fn was_abandoned(record: &Record, launch: &Launch) -> bool {
    let starter_is_gone = record.starter.as_ref().is_some_and(|s| s.life(&launch.host) == Life::Dead);
    record.phase == Phase::Starting && starter_is_gone && record.supervisor.is_none()
}

/// Waits for an abandoned server as for one of our own. If it gets healthy, it becomes the instance.
fn adopt(launch: &mut Launch, folder: &Folder, record: &Record) -> Result<Told, Error> {
    let starter = ourselves().map(|us| Identity::new(&us, &launch.host));
    let failed = |e| Error::State(unwritten(folder, &e));
    Record { starter, ..record.clone() }.write(folder).map_err(failed)?;
    let told = already_running(launch, record)?;
    if let Told::ThatItRuns = told {
        let executable = sys::executable(record.process.pid).map(|path| OsText::from(path.as_os_str()));
        let adopted = Record { phase: Phase::Running, starter: None, executable, ..record.clone() };
        adopted.write(folder).map_err(failed)?;
    }
    Ok(told)
}

/// Records that an instance has to end. If we are killed, the next forerun goes on with it.
fn end(launch: &Launch, folder: &Folder, record: &Record) -> Holder {
    if let Err(e) = record.told_to_end().write(folder) {
        log::warn!("{}; continuing", unwritten(folder, &e));
    }
    holder::holder(launch.service, folder, &launch.host, false).unwrap_or(Holder::Nobody)
}

/// Stops the running instance for `--replace`.
fn replace(launch: &mut Launch, folder: &Folder, record: &Record) -> Result<(), Error> {
    let begun = Instant::now();
    let host = launch.host.clone();
    let mark = Some(Mark::new(folder, record, &host));
    let signal = record.ending.signal;
    let how = How { only: None, signal, signalled: Signalled::EndsTheWait, mark, before: Some(record) };
    let stopped = launch.stop_so(&Origin::of(record), how, None)?;
    record.own_group.as_deref().into_iter().for_each(sys::remove_group);
    holder::tell_escaped(&record.name, &stopped.escaped);
    say(&format!("stopped pid {} after {}", record.process.pid, elapsed(begun.elapsed())));
    Ok(())
}

fn write(launch: &Launch, folder: &Folder, work: Work) -> Result<(), Error> {
    launch.record(work).write(folder).map_err(|e| Error::State(unwritten(folder, &e)))
}

fn unwritten(folder: &Folder, e: &std::io::Error) -> String {
    format!("cannot write the record in {}: {e}; set FORERUN_STATE_DIR", quoted(&folder.path))
}

fn open_url(url: Option<&str>) {
    match url {
        Some(url) => {
            if let Err(e) = open::that_detached(url) {
                log::warn!("cannot open {} in a browser: {e}", quoted(url));
            }
        }
        None => log::warn!("there is no URL to open: set 'url' in forerun.toml, or --health"),
    }
}

/// The ready lines of a server, as far as its service says them.
fn ready_lines(service: &Service, pid: i32) -> Ready {
    Ready {
        name: service.name.clone(),
        url: service.url.clone(),
        pid,
        already: None,
        stop: Some(format!("forerun stop {}", service.name)),
        took: Duration::ZERO,
        log: None,
        is_checked: is_checked(service),
        lives_in: sys::cgroup().and_then(|path| service_of_group(&path).map(one_line)),
    }
}

/// Whether there is something by which a server is known to be ready.
fn is_checked(service: &Service) -> bool {
    service.health.is_some() || service.port.is_some()
}
