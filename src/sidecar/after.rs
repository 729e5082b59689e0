#![forbid(unsafe_code)]
//! What a sidecar does when the server has ended: it follows one that took over, or ends what is in the way of the next.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::hears::hearing;
use super::state::Sidecar;
use crate::follow::{self, By, Eyes, Now};
use crate::instance::after::{After, Asked};
use crate::instance::end::Ended;
use crate::instance::ending::Leftovers;
use crate::instance::family::Origin;
use crate::instance::identity::Life;
use crate::instance::ready::Readiness;
use crate::instance::record::{Phase, Record};
use crate::instance::state::Folder;
use crate::line::say;
use crate::sys::{self, ExitWatch, Host, Process, Waited};
use crate::text::quoted;

/// How long the parent of a server may take to reap it. Only then it is known how it ended.
const REAPED: Duration = Duration::from_millis(500);
/// How often to look whether a start or a stop that is under way is done.
const TICK: Duration = Duration::from_millis(50);
/// How long to wait for a forerun that starts or stops the service.
const PATIENCE: Duration = Duration::from_secs(60);

impl Sidecar {
    /// Whether another process is the server now, which is watched from here on. Otherwise what is in the way of the
    /// next server has been ended.
    pub(super) fn follows(&mut self) -> bool {
        let goes_on = self.looks();
        if !goes_on {
            self.plan.origin.group.as_deref().into_iter().for_each(sys::remove_group);
        }
        goes_on
    }

    fn looks(&mut self) -> bool {
        let ended = self.how_it_ended();
        let Ok(here) = sys::host() else { return false };
        let Some(folder) = self.folder() else {
            self.ends_without_record(ended);
            return false;
        };
        let begun = Instant::now();
        while self.events.signal().is_none() && begun.elapsed() < PATIENCE {
            let ours = |record: &Record| record.cookie == self.plan.origin.cookie;
            let Some(record) = Record::look(&folder, &self.plan.name).ok().flatten().filter(ours) else {
                // Another instance has its place.
                self.ends_without_record(ended);
                return false;
            };
            // During `forerun stop`, that forerun stops the rest. A second SIGTERM would make some servers skip their
            // clean shutdown.
            if record.is_stopping(&here) {
                return false;
            }
            let is_starting = record.phase == Phase::Starting
                && record.starter.as_ref().is_some_and(|starter| starter.life(&here) == Life::Alive);
            if !is_starting {
                if record.process.life(&here) == Life::Alive {
                    self.follow(&record);
                    return true;
                }
                if let Ok(Some(_lock)) = folder.try_lock() {
                    return self.goes_on(record, ended, &folder, &here);
                }
            }
            self.events.wait(None, TICK);
        }
        false
    }

    /// Decides with the record, under the lock.
    fn goes_on(&mut self, record: Record, ended: Option<Ended>, folder: &Folder, here: &Host) -> bool {
        let Ok(eyes) = Eyes::open() else { return false };
        // Without a look at readiness, what main executed is known from here.
        let stack = self.plan.origin.stack;
        let ready = record.ready.clone().or_else(|| (stack != 0).then(|| Readiness { stack, ..Readiness::default() }));
        let record = Record { ended, ready, ..record };
        let write = |record: &Record| {
            if let Err(e) = record.write(folder) {
                log::warn!("cannot write the record of {}: {e}; continuing", quoted(&record.name));
            }
        };
        match follow::now(&record, here, &eyes, By::Sidecar) {
            Ok(Now::HandedOver(new)) => {
                write(&new);
                self.follow(&new);
                true
            }
            Ok(Now::Ended(after)) => {
                write(&if after.unclear().is_empty() { record.spent(ended) } else { record });
                self.end_rest(&after)
            }
            Ok(Now::Same) | Err(_) => false,
        }
    }

    /// Watches the server that a record names from here on.
    fn follow(&mut self, record: &Record) {
        let (was, pid) = (self.plan.origin.main.pid, record.process.pid);
        say(&format!("{} handed over: pid {pid} is the server, which was pid {was}", quoted(&self.plan.name)));
        self.watch(Origin::of(record));
    }

    fn watch(&mut self, origin: Origin) {
        self.watch = ExitWatch::new(origin.main.pid);
        if let Some(attempter) = &mut self.attempter {
            attempter.origin = origin.clone();
            attempter.context = hearing(&self.context, self.hears.as_ref(), &origin);
        }
        self.plan.origin = origin;
    }

    /// Ends what is in the way of the next server. What may be the server is only watched: true if there is something.
    fn end_rest(&mut self, after: &After) -> bool {
        let mut only = after.in_the_way();
        if self.plan.ending.leftovers == Leftovers::Stop {
            only.extend(after.background());
        }
        if !only.is_empty() {
            self.stop(Some(only));
        }
        let unclear = after.unclear();
        let Some(first) = unclear.first().filter(|_| self.plan.watches) else { return false };
        self.watch_only(first);
        true
    }

    /// Watches the health of a process of which nobody knows whether it took over. It is never signalled.
    fn watch_only(&mut self, process: &Process) {
        let (name, was) = (quoted(&self.plan.name), self.plan.origin.main.pid);
        log::warn!("pid {was} of {name} has ended, and pid {} of it has the port; only watching it", process.pid);
        self.plan.supervised = false;
        self.only_watches = true;
        self.watch(Origin { main: process.into(), ..self.plan.origin.clone() });
    }

    /// Without a record nobody else knows of the instance.
    fn ends_without_record(&mut self, ended: Option<Ended>) {
        let Ok(eyes) = Eyes::open() else { return };
        let asked = Asked {
            origin: &self.plan.origin,
            ready: None,
            ended,
            trace: 0,
            table: &eyes.table,
            sight: &eyes.sight,
            supervised: self.plan.supervised,
        };
        let (host, port) = (self.plan.host.as_deref(), self.plan.port);
        let after = After::look(&asked, |family| eyes.holders(host, port, family));
        let only = after.in_the_way();
        if !only.is_empty() {
            self.stop(Some(only));
        }
    }

    /// How and when the server ended.
    fn how_it_ended(&self) -> Option<Ended> {
        let at = sys::start_now();
        let begun = Instant::now();
        let mut how = self.watch.how_it_ended();
        while how.is_none() && begun.elapsed() < REAPED && self.is_zombie() {
            self.events.wait(None, TICK / 10);
            how = self.watch.how_it_ended();
        }
        how.filter(|how| !matches!(how, Waited::Running | Waited::Unseen)).map(|how| Ended { how, at })
    }

    fn is_zombie(&self) -> bool {
        let main = self.plan.origin.main;
        sys::process(main.pid).is_some_and(|p| p.start == main.start)
    }

    pub(super) fn folder(&self) -> Option<Folder> {
        let root = PathBuf::from(OsString::from(self.plan.state.as_ref()?));
        let us = nix::unistd::geteuid().as_raw();
        Folder::existing(&root, &self.plan.name, us).ok().flatten()
    }
}
