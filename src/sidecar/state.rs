#![forbid(unsafe_code)]
//! The state of a running sidecar, which its loop, its checks, its counts and its messages share.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Attempt, Attempter};
use super::clock::Clock;
use super::counts::Counts;
use super::health::Judge;
use super::hears::hearing;
use super::pid_file::PidFile;
use super::plan::{Plan, Speaks};
use crate::check::{Context, Probe};
use crate::environment::Environment;
use crate::instance::notify_socket::NotifySocket;
use crate::supervisor::notify::Manager;
use crate::supervisor::systemd::access::{self, Question};
use crate::sys::{Events, ExitWatch};
use crate::text::quoted;

/// Pause between looks if neither `[watch] interval` nor a watchdog sets one.
const INTERVAL: Duration = Duration::from_secs(10);
/// Shortest pause that a watchdog period can set.
const SHORTEST: Duration = Duration::from_millis(100);
/// Pause before something that should not have failed is tried again.
pub const AGAIN: Duration = Duration::from_secs(1);

/// What a sidecar asks the server, and hears of it.
pub struct Asks {
    pub health: Option<Probe>,
    pub watch_check: Option<Probe>,
    pub hears: Option<NotifySocket>,
}

/// A running sidecar.
pub struct Sidecar {
    pub(super) plan: Plan,
    pub(super) manager: Option<Manager>,
    pub(super) watch: ExitWatch,
    pub(super) events: Events,
    pub(super) clock: Clock,
    pub(super) interval: Duration,
    /// Makes attempts of the health check, if there is one.
    pub(super) attempter: Option<Attempter>,
    /// What is tried once the server is healthy, if that is another check.
    pub(super) watch_check: Option<Probe>,
    /// Where the server says that it is ready.
    pub(super) hears: Option<NotifySocket>,
    /// The quoted check.
    pub(super) check: String,
    /// How long the server may take until it is healthy for the first time.
    pub(super) health_timeout: Duration,
    pub(super) judge: Judge,
    pub(super) attempt: Option<Attempt>,
    pub(super) next_attempt: Duration,
    /// The server was not healthy within its health timeout.
    pub(super) is_late: bool,
    /// Attempts cannot be made, and the warning about it was given.
    pub(super) is_blind: bool,
    /// The service manager knows that the server is ready, or there is no service manager.
    pub(super) is_told: bool,
    /// When the next message to the service manager is due.
    pub(super) next_word: Duration,
    pub(super) counts: Option<Counts>,
    pub(super) next_look: Duration,
    pub(super) access: Option<Question>,
    pub(super) context: Arc<Context>,
    /// Nobody knows whether what is watched is the server.
    pub(super) only_watches: bool,
    /// Closes when the forerun that started us executes the server, or is done.
    pub(super) launch: Option<UnixStream>,
    /// The file in which the server names its main process, if systemd is to be told.
    pub(super) pid_file: Option<PidFile>,
}

impl Sidecar {
    pub fn new(plan: Plan, asks: Asks, environment: &Environment, watch: ExitWatch, events: Events) -> Self {
        let Asks { health, mut watch_check, hears } = asks;
        let probe = health.or_else(|| watch_check.take());
        let manager = plan.manager.as_ref().map(Speaks::manager);
        let by_watchdog = manager.as_ref().and_then(Manager::watchdog_interval);
        let by_watchdog = by_watchdog.map(|half| half.clamp(SHORTEST, INTERVAL));
        let context =
            Arc::new(Context::new(environment.clone(), std::ffi::OsString::from(&plan.directory).into(), plan.nofile));
        let unit = plan.manager.as_ref().and_then(|speaks| speaks.unit.as_ref());
        let interval = plan.watch.interval.or(by_watchdog).unwrap_or(INTERVAL);
        let path = plan.pid_file.as_ref().filter(|_| plan.is_under_systemd()).map(std::ffi::OsString::from);
        let pid_file = path.map(|path| PidFile::new(path.into(), plan.origin.main.pid));
        Sidecar {
            watch,
            events,
            clock: Clock::new(),
            interval,
            check: probe.as_ref().map(|probe| quoted(&probe.to_string())).unwrap_or_default(),
            health_timeout: probe.as_ref().map(|probe| probe.timeout).unwrap_or_default(),
            attempter: probe.map(|probe| Attempter {
                probe,
                context: hearing(&context, hears.as_ref(), &plan.origin),
                nofile: plan.checks_nofile,
                origin: plan.origin.clone(),
                port: plan.port,
                host: plan.host.clone(),
                state: plan.state.as_ref().map(|root| (std::ffi::OsString::from(root).into(), plan.name.clone())),
            }),
            watch_check,
            hears,
            judge: Judge::new(plan.watch.unhealthy_after, plan.watch.grace),
            attempt: None,
            next_attempt: Duration::ZERO,
            is_late: false,
            is_blind: false,
            is_told: manager.is_none(),
            next_word: Duration::ZERO,
            counts: plan.watches.then(Counts::default),
            next_look: interval,
            access: unit.and_then(|(unit, of_user)| access::ask(unit, *of_user, Duration::ZERO).ok()),
            context,
            only_watches: false,
            launch: None,
            pid_file,
            manager,
            plan,
        }
    }
}
