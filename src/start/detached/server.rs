#![forbid(unsafe_code)]
//! A detached server that was just started: waits until it is ready, and tells why it is not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ears::Ears;
use super::tail;
use crate::check::Probe;
use crate::check::port;
use crate::check::run::{Ended, Job, Progress, Run};
use crate::error::Error;
use crate::follow::Eyes;
use crate::instance::end::End;
use crate::instance::family::{self, Family, Origin, look_at};
use crate::instance::ready::{self, Readiness};
use crate::instance::succession::{Relation, View, classify};
use crate::line::say;
use crate::screen;
use crate::service::Service;
use crate::start::checks::{self, readiness};
use crate::start::holder;
use crate::start::launch::Launch;
use crate::start::log_file::Log;
use crate::sys::{self, Launched, Process, Seen, Waited};
use crate::text::quoted;

/// Without health and port, a server that has lived this long has started.
const LIVED: Duration = Duration::from_millis(300);
/// A ready server is watched until it is this old: it may listen first and then put itself into the background.
const SETTLED: Duration = Duration::from_millis(50);
/// How long a server may take to end that put itself into the background.
const LEAVES: Duration = Duration::from_secs(1);
/// How many addresses a message names.
const SHOWN: usize = 4;

/// A started server, below the launcher.
pub struct Server {
    /// The main process.
    pub process: Process,
    pub launched: Launched,
    pub cookie: String,
    /// The control group that it is in.
    pub group: Option<String>,
    pub started: Instant,
    /// What was seen of it once it was ready.
    pub seen: Option<Readiness>,
}

/// What a look at a server's processes shows.
struct Look {
    eyes: Eyes,
    origin: Origin,
    family: Family,
    listening: Vec<i32>,
}

impl Look {
    fn ready(&self, service: &Service) -> Readiness {
        ready::look(&self.origin, &self.family, &self.eyes.sight, service.port, &self.listening)
    }
}

/// What proves that a process is of a server.
pub fn origin(main: &Process, cookie: &str, group: Option<&str>) -> Origin {
    Origin {
        main: main.into(),
        session: main.session,
        launched: main.start,
        cookie: cookie.to_owned(),
        group: group.map(str::to_owned),
        ..Origin::default()
    }
}

impl Server {
    /// What proves that a process is of this server, as long as the launcher lives.
    pub fn origin(&self, launch: &Launch) -> Origin {
        let launcher = sys::process(self.launched.launcher());
        Origin {
            launcher: launcher.as_ref().map(Seen::from),
            sidecar: launch.reached.sidecar.as_ref().map(Seen::from),
            ..origin(&self.process, &self.cookie, self.group.as_deref())
        }
    }

    /// The one look at readiness. `None` if the process table cannot be read.
    pub fn seen(&mut self, launch: &Launch) -> Option<Readiness> {
        self.seen.take().or_else(|| Some(self.look(launch).ok()?.ready(launch.given.service)))
    }

    /// Looks at the server's processes.
    fn look(&self, launch: &Launch) -> std::io::Result<Look> {
        let (eyes, origin) = (Eyes::open()?, self.origin(launch));
        let family = look_at(&origin, &eyes.table, &eyes.sight);
        let listening = eyes.holders(launch.given.service.host.as_deref(), launch.given.service.port, &family);
        Ok(Look { eyes, origin, family, listening })
    }

    /// Waits until health holds, the server lives and the port is its own. If the server puts itself into the
    /// background, the process that serves is main from then on.
    ///
    /// # Errors
    /// [`Error::NotReady`], [`Error::Conflict`] and [`Error::Interrupted`]. What was started may be left.
    pub fn wait_until_ready(&mut self, launch: &mut Launch, log: &Log, ears: &Ears) -> Result<(), Error> {
        let service = launch.given.service;
        let Some(probe) = readiness(service) else {
            return match self.lives_on(launch, self.started + LIVED)? {
                Waited::Running => Ok(()),
                how => Err(died(service, how)),
            };
        };
        let label = probe.to_string();
        let progress = self.watch(launch, probe, ears)?;
        let ended = match self.launched.wait() {
            Waited::Running if progress.holds() => match self.lives_on(launch, self.started + SETTLED)? {
                Waited::Running if self.is_leaving(launch) => self.lives_on(launch, Instant::now() + LEAVES)?,
                ended => ended,
            },
            ended => ended,
        };
        let goes_on = ended == Waited::Exited(0) && !self.launched.is_over();
        if ended != Waited::Running && !goes_on {
            return Err(died(service, ended));
        }
        if let Some(who) = holder::stranger(service, &self.origin(launch)) {
            return Err(Error::Conflict(format!(
                "port {} is held by {who}, not by the server {}, which was stopped; its log is {}",
                quoted(&service.port.unwrap_or_default().to_string()),
                quoted(&service.name),
                quoted(&log.path)
            )));
        }
        match (progress.holds(), ended) {
            (true, Waited::Running) => Ok(()),
            (true, ended) => self.follow(launch, ended),
            (false, _) => Err(self.unhealthy(launch, &label, &progress)),
        }
    }

    /// Whether a process in a session of its own listens, and main does not, or is the same program: main may end in a
    /// moment (`pg_ctl start`, `daemonize = yes`).
    fn is_leaving(&mut self, launch: &Launch) -> bool {
        let Ok(look) = self.look(launch) else { return false };
        let main_listens = look.listening.contains(&self.process.pid);
        let leads = |p: &&Process| p.session == p.pid && p.session != self.process.session;
        let may_be_main = |p: &Process| look.listening.contains(&p.pid) && (p.forked || !main_listens);
        let leaves = look.family.all().filter(leads).any(may_be_main);
        // A server that stays has been looked at by that.
        self.seen = (!leaves).then(|| look.ready(launch.given.service));
        leaves
    }

    /// Repeats the check until it holds, its time is over, or nothing is left that could make it hold.
    fn watch(&self, launch: &mut Launch, probe: Probe, ears: &Ears) -> Result<Progress, Error> {
        let context = ears.context(&launch.context, self.origin(launch));
        let context = context.map_err(|e| Error::Exhausted(format!("cannot listen to the server: {e}")))?;
        let Launch { events, progress_line, .. } = launch;
        let mut run = Run::start(vec![Job::wait(probe)], &context, events.pipe())?;
        let ended = loop {
            let ended = run.wait(self.launched.descriptor(), events, progress_line);
            let goes_on = match self.launched.wait() {
                // Somebody killed the launcher. Another descriptor shows the server's end.
                Waited::Running => true,
                // What it started goes on.
                Waited::Exited(0) => !self.launched.is_over(),
                _ => false,
            };
            if !matches!(ended, Ok(Ended::Other)) || !goes_on {
                break ended;
            }
        };
        progress_line.end();
        ended?;
        Ok(run.progress().remove(0))
    }

    /// Makes the process that serves the main process.
    fn follow(&mut self, launch: &Launch, ended: Waited) -> Result<(), Error> {
        let (service, was) = (launch.given.service, self.process.pid);
        let look = self.look(launch).map_err(crate::error::unseen)?;
        let kinds = classify(&View {
            origin: &look.origin,
            family: &look.family,
            table: &look.eyes.table,
            listening: &look.listening,
            main_listened: None,
            was_seen: false,
            end: End::from(Some(ended)),
            ended: None,
            in_launch: true,
            supervised: false,
        });
        let successor = kinds.into_iter().find(|(_, kind)| *kind == Relation::Successor);
        let (process, _) = successor.ok_or_else(|| died(service, ended))?;
        (self.process, self.seen) = (process, None);
        say(&format!(
            "{} put itself into the background: pid {was} has ended, and pid {} serves; \
             if it can stay in the foreground, let it (\"daemon off\")",
            quoted(&service.name),
            process.pid
        ));
        Ok(())
    }

    /// Waits for the end of main, at most until `until`. Returns how it ended, or that it runs.
    fn lives_on(&self, launch: &Launch, until: Instant) -> Result<Waited, Error> {
        loop {
            let status = self.launched.wait();
            let left = until.saturating_duration_since(Instant::now());
            if status != Waited::Running || left.is_zero() {
                return Ok(status);
            }
            if let Some(signal) = launch.events.signal() {
                return Err(Error::Interrupted(signal));
            }
            launch.events.wait(self.launched.descriptor(), left);
        }
    }

    fn unhealthy(&self, launch: &Launch, label: &str, progress: &Progress) -> Error {
        let hint = launch.given.service.health.as_ref().and_then(|h| h.hint.as_deref());
        let line = checks::not_ready(label, progress, hint);
        let elsewhere = self.elsewhere(launch).unwrap_or_default();
        let name = quoted(&launch.given.service.name);
        Error::NotReady(format!("the server {name} is not healthy and was stopped: {line}{elsewhere}"))
    }

    /// Where the server listens, if that is not where it is checked: its own configuration may name another port.
    fn elsewhere(&self, launch: &Launch) -> Option<String> {
        let probe = readiness(launch.given.service)?;
        let (host, port) = probe.check.address()?;
        let family = family::look(&self.origin(launch)).ok()?;
        let pids: Vec<i32> = family.all().map(|member| member.pid).collect();
        let mut addresses = sys::listens_on(&pids);
        addresses.sort();
        addresses.dedup();
        let is_asked = |address: &SocketAddr| address.port() == port && port::answers(Some(host), address.ip());
        match addresses.iter().any(is_asked) {
            true => None,
            false if addresses.is_empty() => Some("; it listens on no TCP port".to_owned()),
            false => {
                let all: Vec<_> = addresses.iter().take(SHOWN).map(ToString::to_string).collect();
                Some(format!("; it listens on {}", all.join(" and ")))
            }
        }
    }
}

fn died(service: &Service, how: Waited) -> Error {
    let hint = match how {
        Waited::Exited(0) => "; if it puts itself into the background, turn that off (\"daemon off\")",
        _ => "",
    };
    Error::NotReady(format!("the server {} {how} before it was ready{hint}", quoted(&service.name)))
}

/// The report of a server that failed: the reason, and the end of its log.
pub fn not_ready(message: &str, service: &Service, log: &Log) -> Error {
    let path = service.health.as_ref().and_then(|health| health.probe.check.path());
    let tail = tail::of(&log.end(), path, screen::stderr().color);
    Error::NotReady(match tail.is_empty() {
        true => format!("{message}; it wrote nothing to its log {}", quoted(&log.path)),
        false => format!("{message}; its log {} ends with\n  | {}", quoted(&log.path), tail.join("\n  | ")),
    })
}
