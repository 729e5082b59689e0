#![forbid(unsafe_code)]
//! A detached start that finds an instance: it tells that it runs, or adopts one that was abandoned.

use std::time::Duration;

use super::announce;
use crate::check::run::Job;
use crate::error::Error;
use crate::instance::family::Origin;
use crate::instance::identity::{Identity, Life};
use crate::instance::record::{OsText, Phase, Record};
use crate::instance::state::Folder;
use crate::line::say;
use crate::report::result::Ready;
use crate::service::{Service, trust};
use crate::start::holder::{self, Holder};
use crate::start::launch::{Launch, ourselves};
use crate::start::record;
use crate::start::standing::{standing, unsaid};
use crate::supervisor::Verb;
use crate::sys::{self, ExitWatch};
use crate::text::quoted;

/// The time for the health check of a server that has run for a while.
const STILL_HEALTHY: Duration = Duration::from_secs(5);

/// The result of a start that found an instance.
pub enum Told {
    ThatItRuns,
    /// It ended while its health was checked; nothing was printed.
    ItIsGone,
}

/// Reports that the service runs already, and whether it is healthy.
pub fn already_running(launch: &mut Launch, record: &Record) -> Result<Told, Error> {
    let service = launch.given.service;
    let watch = ExitWatch::new(record.process.pid);
    let is_gone = |launch: &Launch| record.process.life(&launch.host) == Life::Dead;
    if is_gone(launch) {
        return Ok(Told::ItIsGone);
    }
    // A supervisor may have started it a moment ago: it gets the rest of its time.
    let age = sys::age(record.process.start).unwrap_or(service.health_timeout);
    let left = service.health_timeout.saturating_sub(age).max(STILL_HEALTHY.min(service.health_timeout));
    let where_it_runs = holder::whereabouts(record);
    has_said(service, record)?;
    let probe = standing(service);
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
        is_checked: announce::is_checked(service) && untried.is_none(),
        lives_in: None,
        log,
        stop: holder::stop_command(record),
        ..announce::ready_lines(service, record.process.pid)
    };
    announce::runs(service, &ready, launch.given.json)?;
    Ok(Told::ThatItRuns)
}

/// # Errors
/// [`Error::NotReady`] where the server has to say that it is ready, and has not.
fn has_said(service: &Service, record: &Record) -> Result<(), Error> {
    match unsaid(service, record).filter(|_| record.supervisor.is_none()) {
        Some(probe) => Err(Error::NotReady(format!(
            "{} is already running as {}, but has not said that it is ready ({})",
            quoted(&service.name),
            holder::whereabouts(record),
            quoted(&probe.to_string())
        ))),
        None => Ok(()),
    }
}

/// Whether a detached start was killed before it was done, and left its server behind.
pub fn was_abandoned(record: &Record, launch: &Launch) -> bool {
    let starter_is_gone = record.starter.as_ref().is_some_and(|s| s.life(&launch.host) == Life::Dead);
    record.phase == Phase::Starting && starter_is_gone && record.supervisor.is_none()
}

/// Waits for an abandoned server as for one of our own. If it gets healthy, it becomes the instance.
pub fn adopt(launch: &mut Launch, folder: &Folder, record: &Record) -> Result<Told, Error> {
    let starter = ourselves().map(|us| Identity::new(&us, &launch.host));
    let failed = |e| record::needed(record::unwritten(folder, &e));
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
pub fn end(launch: &Launch, folder: &Folder, record: &Record) -> Holder {
    if let Err(e) = record.told_to_end().write(folder) {
        log::warn!("{}; continuing", record::needed(record::unwritten(folder, &e)));
    }
    holder::holder(launch.given.service, folder, &launch.host, false).unwrap_or(Holder::Nobody)
}
