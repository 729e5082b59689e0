#![forbid(unsafe_code)]
//! `forerun reload`: sends the reload signal to the main process, and waits until the server is healthy.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::common::catch_events;
use super::target::Target;
use crate::args::{Output, Reload};
use crate::check::Context;
use crate::check::run::Job;
use crate::environment::Environment;
use crate::error::Error;
use crate::follow;
use crate::instance::family::Origin;
use crate::instance::identity::Life;
use crate::instance::record::Record;
use crate::instance::stop::send;
use crate::line::print_summary;
use crate::service::request::Request;
use crate::service::{Service, trust};
use crate::start::progress::ProgressLine;
use crate::start::standing::standing;
use crate::start::{checks, holder, lock, unseen};
use crate::sys::{self, Events, ExitWatch, Host, Reaction, signal_name};
use crate::text::{elapsed, quoted};

/// A server that ends over what it reads again does so within this time.
const TAKES_IT: Duration = Duration::from_millis(300);

/// Reloads an instance, whoever supervises it: nothing ends.
///
/// # Errors
/// [`Error::NotReady`] where it does not run, or is not healthy afterwards; [`Error::Config`] where the signal would
/// end the server; those of [`Target::find`].
pub fn run(asked: &Reload, output: &Output, environment: &Environment) -> Result<(), Error> {
    let target = Target::find(&asked.which, environment)?;
    let here = sys::host().map_err(unseen)?;
    let not_running = || Error::NotReady(format!("{} is not running; start it", quoted(&target.name)));
    let Some(folder) = &target.folder else { return Err(not_running()) };
    let events = catch_events()?;
    let lock = lock::take(&events, folder, &target.name, |_| {})?;
    let record = target.record()?.ok_or_else(not_running)?;
    let record = follow::locked(record, folder, &here).map_err(unseen)?;
    match record.process.life(&here) {
        Life::Alive if !record.was_told_to_end() => {}
        Life::Alive | Life::Dead => return Err(not_running()),
        Life::Unknown(why) => {
            return Err(Error::Conflict(format!(
                "cannot tell whether {} runs as {}: {why}",
                quoted(&target.name),
                holder::whereabouts(&record)
            )));
        }
    }
    let watch = ExitWatch::new(record.process.pid);
    tell(&record, not_running, &events)?;
    let begun = Instant::now();
    let mut reloaded = Reloaded { record, watch, events: &events, here: &here };
    reloaded.wait_for_its_end()?;
    // A second signal while the first is taken would come in the middle of an exec, where nothing handles it.
    drop(lock);
    let check = reloaded.wait_for_health(output)?;
    let (name, pid, took) = (&reloaded.record.name, reloaded.record.process.pid, begun.elapsed());
    let text = match &check {
        Some(_) => format!("reloaded {name}: pid {pid}, healthy after {}\n", elapsed(took)),
        None => format!("reloaded {name}: pid {pid}; nothing checks its health\n"),
    };
    let value = json!({ "name": name, "pid": pid, "health": check, "seconds": took.as_secs_f64() });
    print_summary(&text, value, output.json)
}

/// Sends the signal, unless that would end the server.
fn tell(record: &Record, not_running: impl Fn() -> Error, events: &Events) -> Result<(), Error> {
    let (name, signal) = (quoted(&record.name), record.ending.reload_signal);
    let main = record.process.running().ok_or_else(not_running)?;
    let signal_is = signal_name(signal);
    // A server that executes itself again handles nothing for a moment.
    let until = Instant::now() + TAKES_IT;
    let mut reaction = sys::reaction(main.pid, signal);
    while reaction == Some(Reaction::Default) && Instant::now() < until {
        events.wait(None, TAKES_IT / 10);
        reaction = sys::reaction(main.pid, signal);
    }
    let why = match reaction {
        Some(Reaction::Default) => Some(format!("it does not handle {signal_is}, which would end it")),
        Some(Reaction::Ignores) => Some(format!("it ignores {signal_is}")),
        Some(Reaction::Handles) | None => None,
    };
    if let Some(why) = why {
        let instead = holder::how_to_restart(record);
        return Err(Error::Config(format!(
            "cannot reload {name}: {why}; set reload-signal in [stop], or restart it: {instead}"
        )));
    }
    send(main, signal).map_err(|e| {
        let who = crate::check::port::describe(main.pid);
        Error::Conflict(format!("cannot signal {who}: {e}; do it as the user it runs as, or as root"))
    })
}

/// An instance that got its signal.
struct Reloaded<'a> {
    record: Record,
    watch: ExitWatch,
    events: &'a Events,
    here: &'a Host,
}

impl Reloaded<'_> {
    /// Returns once it has taken the signal. It may hand over.
    fn wait_for_its_end(&mut self) -> Result<(), Error> {
        let until = Instant::now() + TAKES_IT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Some(signal) = self.events.signal() {
                return Err(Error::Interrupted(signal));
            }
            if self.record.process.life(self.here) == Life::Dead {
                let new = follow::new_main(&self.record, self.here).map_err(unseen)?;
                self.record = new.ok_or_else(|| self.ended())?;
                self.watch = ExitWatch::new(self.record.process.pid);
            }
            if left.is_zero() {
                return Ok(());
            }
            self.events.wait(self.watch.descriptor(), left);
        }
    }

    fn ended(&self) -> Error {
        let (name, pid) = (quoted(&self.record.name), self.record.process.pid);
        let signal = signal_name(self.record.ending.reload_signal);
        let look = self.record.log.as_ref().map(OsString::from);
        let look = look.map(|log| format!("; see its log {}", quoted(&log))).unwrap_or_default();
        Error::NotReady(format!("{name}, pid {pid}, ended after {signal}{look}"))
    }

    /// Waits as a start does. Returns the check that holds, if there is one.
    fn wait_for_health(&self, output: &Output) -> Result<Option<String>, Error> {
        let name = quoted(&self.record.name);
        let failed = |why: String| Error::NotReady(format!("{name} got its signal, and cannot be checked: {why}"));
        let request = Request::of_record(&self.record);
        let service = request.service().map_err(failed)?;
        let Some(probe) = standing(&service) else { return Ok(None) };
        if let Some(why) = trust::untried(&service, &probe.check) {
            log::warn!("the health of {} was {why}", quoted(&self.record.name));
            return Ok(None);
        }
        let context = Arc::new(Context::new(
            service.variables.for_checks(&request.environment),
            PathBuf::from(OsString::from(&self.record.cwd)),
            sys::nofile(),
        ));
        let on_terminal = io::stderr().is_terminal() && output.is_drawn();
        let mut progress_line = ProgressLine::new(on_terminal, None);
        let mut room = checks::CheckRunner {
            context: &context,
            events: self.events,
            progress_line: &mut progress_line,
            checked: false,
        };
        let job = Job::wait(probe);
        let label = job.label.clone();
        let progress = room.run_until(vec![job], self.watch.descriptor())?.remove(0);
        if self.record.process.life(self.here) == Life::Dead {
            return Err(self.ended());
        }
        match (progress.holds(), self.stranger(&service)) {
            (_, Some(who)) => Err(Error::NotReady(format!("port of {name} is held by {who}"))),
            (true, None) => Ok(Some(label)),
            (false, None) => {
                let hint = service.health.as_ref().and_then(|health| health.hint.as_deref());
                let line = checks::not_ready(&label, &progress, hint);
                Err(Error::NotReady(format!("{name} is not healthy after its reload: {line}")))
            }
        }
    }

    fn stranger(&self, service: &Service) -> Option<String> {
        holder::stranger(service, &Origin::of(&self.record))
    }
}
