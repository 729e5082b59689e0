#![forbid(unsafe_code)]
//! `forerun doctor`: examines the environment and says how to fix each problem. It changes nothing.

mod installed;
mod instance;
mod machine;
mod script;

use std::ffi::OsString;
use std::path::Path;

use nix::unistd::User;

use super::common::current_folder;
use crate::args::{Doctor, Output};
use crate::check::{self, Lookup};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::state;
use crate::line::print_result;
use crate::report::doctor::{Finding, Level, json, text};
use crate::screen;
use crate::service::trust::Trust;
use crate::service::{Service, is_same_file};
use crate::start::unit::{self, Caller};
use crate::start::unseen;
use crate::supervisor;
use crate::supervisor::mode;
use crate::supervisor::units::{Found, Hearing, Scope, Unit, UnitPath, search};
use crate::text::{quoted, shell_words};

use instance::Instance;

pub fn run(asked: &Doctor, output: &Output, environment: &Environment, arguments: &[OsString]) -> Result<(), Error> {
    let here = current_folder(environment)?;
    let mut findings = Vec::new();
    let service = match Service::resolve_for_a_look(&asked.flags, &asked.by_hand, &here, environment) {
        Ok(service) => Some(service),
        Err(e) => {
            findings.push(Finding::problem("config", e.to_string(), "correct it, then run: forerun check"));
            None
        }
    };
    let asked_mode = service.as_ref().and_then(|service| service.asked_mode);
    match mode::decide(asked_mode, environment) {
        Ok(decision) => findings.extend(machine::mode(&decision, environment)),
        Err(e) => {
            findings.push(Finding::problem("mode", e.to_string(), "set FORERUN_FOREGROUND to 1 or 0, or unset it"))
        }
    }
    findings.extend(machine::pools(service.as_ref()));
    let root = state::root(environment, &here);
    let folder = machine::state_folder(&root, state::chosen_root(environment, &here).is_some());
    // A bad folder was reported already, so the record in it is not examined.
    let root = root.ok().filter(|_| folder.level == Level::Ok);
    findings.push(folder);
    if let Some(service) = service.as_ref().filter(|service| !service.command.is_empty()) {
        let caller = Caller { environment, arguments, here: &here };
        let units = search::find(&service.name, service.config.as_deref(), environment);
        let instance = Instance::find(service, root.as_deref(), &units, &caller).map_err(unseen)?;
        findings.extend(Room { service, caller, units, instance }.look());
    } else if service.is_some() {
        let what = "no service here: no forerun.toml, and no command after '--'";
        findings.push(Finding::ok("service", what));
        findings.extend(installed::all(&Caller { environment, arguments, here: &here }));
    }
    print_result(if output.json { json(&findings) } else { text(&findings, &screen::stdout()) }.as_bytes())?;
    match findings.iter().any(|finding| finding.level == Level::Problem) {
        true => Err(Error::Said(1)),
        false => Ok(()),
    }
}

/// Everything that is examined about one service.
struct Room<'a> {
    service: &'a Service,
    caller: Caller<'a>,
    units: Vec<Found>,
    instance: Instance<'a>,
}

impl Room<'_> {
    fn look(&self) -> Vec<Finding> {
        let mut findings = vec![self.command()];
        findings.extend(self.trust());
        findings.extend(
            self.service.without_effect.iter().map(|why| Finding::warning("config", *why, "edit forerun.toml")),
        );
        let beside = self.service.config.as_deref().and_then(Path::parent);
        let beside = beside.filter(|folder| !is_same_file(folder, &self.service.directory));
        findings.extend(
            [Some(self.service.directory.as_path()), beside].into_iter().flatten().flat_map(script::start_scripts),
        );
        let (units, served) = installed::of(self.service, &self.units, &self.caller);
        findings.push(self.instance.look());
        findings.extend(self.instance.port(&served));
        let is_told = units.iter().any(|finding| finding.topic == installed::SIDECAR);
        findings.extend(units);
        findings.extend(self.messages().filter(|_| !is_told));
        findings
    }

    fn command(&self) -> Finding {
        let service = self.service;
        // A unit has its own PATH, not that of the caller.
        let path =
            self.units.iter().find_map(|found| unit::today(found, &self.caller).ok().map(|spec| spec.search_path));
        let mut environment = self.caller.environment.clone();
        path.iter().for_each(|path| environment.set("PATH".as_ref(), path.as_ref()));
        let environment = service.variables.added_to(environment);
        let from = service.config.as_ref().map_or("the command line".to_owned(), quoted);
        let what = format!("{}, by {from}: {}", quoted(&service.name), quoted(&shell_words(&service.shown_command)));
        match check::find(&service.command[0], &environment, &service.directory) {
            Ok(path) => Finding::ok("service", format!("{what}, {}", quoted(&path))),
            Err(Lookup::NotFound(why)) if self.instance.alive().is_some() => Finding::warning(
                "service",
                format!("{what}: {why}, but the instance runs"),
                "run doctor with the PATH of the instance",
            ),
            Err(Lookup::NotFound(why)) => {
                Finding::problem("service", format!("{what}: {why}"), "install it, or add it to PATH")
            }
            Err(Lookup::NotExecutable(e)) => {
                Finding::problem("service", format!("{what}: {e}"), "make it executable: chmod +x")
            }
        }
    }

    /// What root must not trust, and what it has to know. A user that a unit of the service names may own the files.
    fn trust(&self) -> Vec<Finding> {
        let of_unit = |found: &Found| User::from_name(found.marker()?.made.user.as_ref()?).ok()?;
        let users = self.units.iter().filter_map(of_unit).map(|user| user.uid.as_raw());
        let trusted: Vec<u32> = [0].into_iter().chain(users).collect();
        let trust = Trust::of(self.service, self.service.log.as_deref(), &trusted);
        let refused = trust.refused.into_iter().map(|doubt| Finding::problem("trust", doubt.what, doubt.mend));
        let foreign = trust.foreign.into_iter().map(|doubt| Finding::warning("trust", doubt.what, doubt.mend));
        refused.chain(foreign).collect()
    }

    /// Whether the systemd that runs the instance accepts messages from a sidecar.
    fn messages(&self) -> Option<Finding> {
        let service = self.service;
        let supervised = self.instance.alive().and_then(supervisor::of);
        let Some((s, unit)) = supervised.as_ref().and_then(|s| Some((s, s.job()?.to_str()?))) else {
            return Some(Finding::ok(
                installed::SIDECAR,
                match service.health {
                    Some(_) => "not under a supervisor. (Under systemd the unit needs NotifyAccess=all.)",
                    None => "not needed: there is no health check",
                },
            ));
        };
        if !s.follows() || service.health.is_none() {
            return Some(Finding::ok(
                installed::SIDECAR,
                "not needed: the supervisor takes no messages, or there is no health check",
            ));
        }
        let of_user = supervised.as_ref().is_some_and(|s| s.is_of_user());
        if of_user && !self.instance.is_ours() {
            let what = format!("{} belongs to another user's manager, which only that user can query", quoted(unit));
            return Some(Finding::ok(installed::SIDECAR, what));
        }
        let name = unit.strip_suffix(".service")?;
        let path = UnitPath::file(unit.into());
        let scope = if of_user { Scope::User } else { Scope::System };
        let environment = self.caller.environment;
        let kind = s.units()?;
        let target = Unit { kind, scope, name, path: &path, environment, grace: service.grace };
        match target.status().map(|status| status.hearing) {
            Ok(hearing) => hearing.map(|hearing| match hearing {
                Hearing::Yes(why) => Finding::ok(installed::SIDECAR, why),
                Hearing::No { why, what_to_do } => Finding::problem(installed::SIDECAR, why, what_to_do),
            }),
            Err(e) => {
                let what_to_do = format!("query {} yourself", kind.word());
                Some(Finding::warning(installed::SIDECAR, e.to_string(), what_to_do))
            }
        }
    }
}
