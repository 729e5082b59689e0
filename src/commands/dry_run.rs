#![forbid(unsafe_code)]
//! `--dry-run`: what a start would do.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::check::{self, Lookup, Probe};
use crate::environment::Environment;
use crate::error::Error;
use crate::line::print_result;
use crate::report::plan::{self, Plan, Timed};
use crate::screen;
use crate::service::trust::{Doubt, Trust};
use crate::service::{Service, Step};
use crate::supervisor::decide::{Decision, Mode};

/// What a start has found out.
pub struct Found<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    pub trust: &'a Trust,
    /// The environment that the server's is based on.
    pub inherited: &'a Environment,
    /// The log of a detached server.
    pub log: Option<PathBuf>,
    /// The tasks of the sidecar.
    pub sidecar: Vec<&'static str>,
}

/// Prints what a start would do.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(found: Found, json: bool) -> Result<(), Error> {
    let Found { service, decision, trust, inherited, log, sidecar } = found;
    let environment = service.variables.added_to(inherited.clone());
    let executable = check::find(&service.command[0], &environment, &service.directory).map_err(|e| match e {
        Lookup::NotFound(reason) => reason,
        Lookup::NotExecutable(e) => e.to_string(),
    });
    let requirements = service.requirements.iter();
    let plan = Plan {
        mode: decision.mode.to_string(),
        reason: decision.reason.clone(),
        supervisor: decision.recognised.map(|known| known.word()),
        name: service.name.clone(),
        config: service.config.clone(),
        cwd: service.directory.clone(),
        command: service.shown_command.clone(),
        executable,
        sets: service.variables.names().map(OsString::from).collect(),
        requirements: requirements
            .map(|r| (r.probe.to_string(), r.fix.as_ref().map(|fix| fix.shown.clone())))
            .collect(),
        waits: service.waits.iter().map(|wait| timed(&wait.probe)).collect(),
        before: service.before.iter().map(step).collect(),
        health: service.health.as_ref().map(|health| timed(&health.probe)),
        watch: service.watch_check.as_ref().map(|probe| probe.to_string()),
        port: service.port,
        url: service.url.clone(),
        nofile: service.nofile.map(|_| service.server_nofile().0).map(|limits| [limits.soft, limits.hard]),
        log,
        is_logged: decision.mode == Mode::Detached,
        sidecar,
        refused: trust.refused.iter().map(Doubt::line).collect(),
        warnings: trust.foreign.iter().map(Doubt::line).collect(),
    };
    print_result(if json { plan.json() } else { plan.text(&screen::stdout()) }.as_bytes())
}

fn step(step: &Step) -> plan::Step {
    plan::Step { run: step.shown.clone(), timeout: step.timeout, is_permanent: step.is_permanent }
}

fn timed(probe: &Probe) -> Timed {
    Timed { check: probe.to_string(), timeout: probe.timeout }
}
