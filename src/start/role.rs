#![forbid(unsafe_code)]
//! The tasks of the sidecar of a service, and what it is told about it.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::check::{Check, Context};
use crate::instance::family::Origin;
use crate::instance::record::OsText;
use crate::line;
use crate::service::{Service, Speaker};
use crate::sidecar::{self, Health, Plan, Speaks};
use crate::supervisor::decide::Decision;
use crate::supervisor::notify::Manager;
use crate::supervisor::service_of_group;
use crate::sys;

/// The tasks of a sidecar.
pub struct Role<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    /// The service manager, if the sidecar reports to it.
    pub manager: Option<&'a Manager>,
    pub ready_fd: Option<i32>,
    /// It listens to the server itself, which has no service manager to talk to.
    pub hears: bool,
    /// A supervisor would restart the server.
    pub supervised: bool,
    /// forerun wrote the unit, which accepts the sidecar's messages. systemd need not be asked.
    pub is_heard: bool,
}

impl<'a> Role<'a> {
    /// The role in the foreground. The sidecar reports to the service manager if `--notify` asks for that, or if there
    /// is a health check to report.
    pub fn in_foreground(
        service: &'a Service,
        decision: &'a Decision,
        manager: Option<&'a Manager>,
        is_heard: bool,
    ) -> Self {
        let health = service.health.as_ref().map(|health| &health.probe.check);
        let says_it_itself = health == Some(&Check::Notify);
        let hears = says_it_itself && manager.is_none();
        let speaks = match service.notify {
            Speaker::Auto => health.is_some() && !says_it_itself,
            Speaker::Sidecar => true,
            Speaker::Server => false,
        };
        let manager = manager.filter(|_| speaks);
        // A descriptor that was not inherited may be one of our own by now.
        let ready_fd = service.ready_fd.filter(|&number| sys::is_inheritable(number));
        Role { service, decision, manager, ready_fd, hears, supervised: decision.supervised, is_heard }
    }

    /// The role beside a detached server: watch only. No supervisor would restart the server, and forerun itself
    /// reports readiness.
    pub fn detached(service: &'a Service, decision: &'a Decision) -> Self {
        Role { service, decision, manager: None, ready_fd: None, hears: false, supervised: false, is_heard: false }
    }

    /// Whether the sidecar has any task.
    pub fn is_needed(&self) -> bool {
        !self.tasks().is_empty()
    }

    /// The tasks, for people.
    pub fn tasks(&self) -> Vec<&'static str> {
        let has_watchdog = self.manager.is_some_and(|manager| manager.watchdog.is_some());
        let tasks = [
            ("READY=1", self.manager.is_some()),
            ("watchdog", has_watchdog),
            ("notify:", self.hears),
            ("--ready-fd", self.ready_fd.is_some()),
            ("health and leaks", self.service.watches),
        ];
        tasks.into_iter().filter_map(|(task, is_ours)| is_ours.then_some(task)).collect()
    }

    /// Starts the sidecar of the server that `origin` is about.
    ///
    /// # Errors
    /// The reason why there is no sidecar.
    pub fn start(
        &self,
        origin: Origin,
        hears: Option<&OsStr>,
        context: &Context,
        state: Option<&Path>,
        stderr: BorrowedFd,
    ) -> Result<sidecar::Started, String> {
        let plan = Plan { hears: hears.map(OsText::from), ..self.plan(origin, context, state) };
        sidecar::start(&plan, &context.environment, stderr)
    }

    fn plan(&self, origin: Origin, context: &Context, state: Option<&Path>) -> Plan {
        let Role { service, decision, manager, ready_fd, hears, supervised, is_heard } = *self;
        // What the server says elsewhere, the sidecar cannot hear.
        let health = service.health.as_ref().map(|health| &health.probe);
        let health = health.filter(|probe| hears || !probe.check.is_told());
        let is_systemd = decision.recognised.is_some_and(|by| by.knows_all_messages());
        let unit = || {
            let unit = sys::cgroup().and_then(|path| service_of_group(&path).map(str::to_owned))?;
            Some((unit, context.environment.filled("MANAGERPID").is_some()))
        };
        let (verbose, _) = line::loudness();
        Plan {
            name: service.name.clone(),
            origin,
            state: state.map(|root| OsText::from(root.as_os_str())),
            port: service.port,
            host: service.host.clone(),
            grace: service.grace,
            ending: service.ending.clone(),
            pid_file: service.pid_file.as_ref().map(|path| OsText::from(path.as_os_str())),
            directory: OsText::from(context.directory.as_os_str()),
            nofile: context.nofile,
            checks_nofile: sys::nofile(),
            hears: None,
            health: health.map(Health::of),
            watch_check: service.watch_check.as_ref().map(Health::of),
            watch: service.watch.clone(),
            watches: service.watches,
            manager: manager
                .map(|manager| Speaks::new(manager, is_systemd, unit().filter(|_| is_systemd && !is_heard))),
            ready_fd,
            supervised,
            verbose,
        }
    }
}
