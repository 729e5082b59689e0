#![forbid(unsafe_code)]
//! Starts a sidecar and waits until it is there. Only then is the server executed.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::WORD;
use super::plan::{END, Health, Plan, Speaks};
use crate::check::Context;
use crate::environment::{COOKIE, Environment};
use crate::instance::family::Origin;
use crate::instance::identity::Identity;
use crate::instance::record::OsText;
use crate::line;
use crate::service::{Service, Speaker};
use crate::supervisor::decide::Decision;
use crate::supervisor::notify::Manager;
use crate::supervisor::service_of_group;
use crate::sys::{self, Beside};
use crate::text::one_line;

/// How long a new sidecar may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tasks of a sidecar.
pub struct Role<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    /// The service manager, if the sidecar reports to it.
    pub manager: Option<&'a Manager>,
    pub ready_fd: Option<i32>,
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
        let speaks = match service.notify {
            Speaker::Auto => service.health.is_some(),
            Speaker::Sidecar => true,
            Speaker::Server => false,
        };
        let manager = manager.filter(|_| speaks);
        // A descriptor that was not inherited may be one of our own by now.
        let ready_fd = service.ready_fd.filter(|&number| sys::is_inheritable(number));
        Role { service, decision, manager, ready_fd, supervised: decision.supervised, is_heard }
    }

    /// The role beside a detached server: watch only. No supervisor would restart the server, and forerun itself
    /// reports readiness.
    pub fn detached(service: &'a Service, decision: &'a Decision) -> Self {
        Role { service, decision, manager: None, ready_fd: None, supervised: false, is_heard: false }
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
            ("--ready-fd", self.ready_fd.is_some()),
            ("health and leaks", self.service.watches),
        ];
        tasks.into_iter().filter_map(|(task, is_ours)| is_ours.then_some(task)).collect()
    }
}

/// Starts the sidecar of a server, which is this process or the launcher's child, and waits until the sidecar is there.
///
/// # Errors
/// The reason why there is no sidecar.
pub fn start(
    role: &Role,
    origin: Origin,
    context: &Context,
    state: Option<&Path>,
    stderr: BorrowedFd,
) -> Result<Started, String> {
    if origin.main.pid == 1 {
        return Err(
            "as pid 1 the server would become its parent; run the container with an init (docker --init)".into()
        );
    }
    let Role { service, decision, manager, ready_fd, supervised, is_heard } = *role;
    let is_systemd = decision.recognised.is_some_and(|by| by.knows_all_messages());
    let unit = || {
        let unit = sys::cgroup().and_then(|path| service_of_group(&path).map(str::to_owned))?;
        Some((unit, context.environment.filled("MANAGERPID").is_some()))
    };
    let (verbose, _) = line::loudness();
    let plan = Plan {
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
        health: service.health.as_ref().map(|health| Health::of(&health.probe)),
        watch: service.watch.clone(),
        watches: service.watches,
        manager: manager.map(|manager| Speaks::new(manager, is_systemd, unit().filter(|_| is_systemd && !is_heard))),
        ready_fd,
        supervised,
        verbose,
    };
    spawn(&plan, &context.environment, stderr)
}

/// A sidecar that is there.
pub struct Started {
    pub identity: Identity,
    /// Closes at the exec of this process. The sidecar sees by that that the server runs.
    pub link: UnixStream,
}

fn spawn(plan: &Plan, environment: &Environment, stderr: BorrowedFd) -> Result<Started, String> {
    let failed = |e: std::io::Error| e.to_string();
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    let args = ["forerun".into(), WORD.into(), OsString::from(&plan.name), plan.origin.main.pid.to_string().into()];
    // An entry without `=` may come from a server that overwrote its environment. The environment of a sidecar must be
    // recognisable as whole, so it gets only real pairs.
    let pairs = environment.without(&[COOKIE]);
    let pairs: Vec<_> = pairs.entries().iter().filter(|e| e.as_bytes().contains(&b'=')).cloned().collect();
    Beside {
        path: &sys::own_executable().map_err(failed)?,
        args: &args,
        environment: &pairs,
        stdin: theirs.as_fd(),
        stderr,
        keep: plan.ready_fd,
    }
    .start()
    .map_err(failed)?;
    drop(theirs);
    ours.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    ours.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut plan = serde_json::to_vec(plan).map_err(|e| e.to_string())?;
    plan.push(END);
    let mut answer = String::new();
    ours.write_all(&plan).and_then(|()| ours.read_to_string(&mut answer)).map_err(failed)?;
    match answer.split_once(' ') {
        Some(("ok", identity)) => {
            let identity = serde_json::from_str(identity).map_err(|e| e.to_string())?;
            Ok(Started { identity, link: ours })
        }
        _ if answer.is_empty() => Err("forerun cannot execute itself again".to_owned()),
        _ => Err(one_line(&answer)),
    }
}
