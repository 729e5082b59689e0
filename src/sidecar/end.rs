#![forbid(unsafe_code)]
//! Ends the server, or what it left.

use super::state::Sidecar;
use crate::check::{self, Script};
use crate::instance::stop::{Signalled, Stop};
use crate::line::say;
use crate::supervisor::notify::NotifyState;
use crate::sys::Process;
use crate::text::{counted, quoted};

impl Sidecar {
    /// Ends the server so that its supervisor restarts it.
    pub(super) fn end(&mut self, why: &str) {
        let (name, pid) = (quoted(&self.plan.name), self.plan.origin.main.pid);
        log::warn!("ending {name}, pid {pid}: {why}; its supervisor starts it again");
        self.tell_status(&format!("ending: {why}"));
        if let Some(script) = &self.plan.ending.before {
            let runs = self.plan.ending.before_runs.as_ref().unwrap_or(script);
            let script = Script { shown: script.into(), runs: runs.into(), limit: self.plan.ending.before_timeout };
            check::before_stop(&self.plan.name, &script, &self.context, &self.events);
        }
        if let Some(manager) = self.manager.as_ref().filter(|_| self.plan.is_under_systemd()) {
            // A SIGTERM of ours would be a clean exit, after which Restart=on-failure does nothing. The unit chooses
            // the signal of the watchdog (WatchdogSignal=, systemd.service(5)).
            manager.tell_surely(&[NotifyState::WatchdogTrigger]);
            let [ended] = self.events.pipe().wait_for([self.watch.descriptor()], self.plan.grace);
            if ended || self.events.signal().is_some() {
                return;
            }
        }
        self.stop(None);
    }

    /// Stops all processes of the instance, or only these.
    pub(super) fn stop(&self, only: Option<Vec<Process>>) {
        let stop = Stop {
            origin: &self.plan.origin,
            only,
            signal: self.plan.ending.signal,
            grace: self.plan.grace,
            all: false,
            signalled: Signalled::EndsTheWait,
            // The server is started again, so it counts as running.
            mark: None,
            prepare: None,
            events: &self.events,
        };
        match stop.run(|| ()) {
            Ok(stopped) if stopped.count > 0 => {
                let what = counted(stopped.count, "process", "processes");
                say(&format!("stopped {what} of {}, pid {}", quoted(&self.plan.name), self.plan.origin.main.pid));
            }
            Ok(_) => {}
            Err(e) => log::warn!("cannot stop what is left of {}: {e}", quoted(&self.plan.name)),
        }
    }
}
