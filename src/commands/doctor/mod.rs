#![forbid(unsafe_code)]
//! `forerun doctor`: how things stand here, and what mends what is wrong. It looks, and changes nothing.

mod machine;
mod script;
mod units;

use std::ffi::OsString;
use std::path::Path;

use nix::unistd::geteuid;

use super::current_folder;
use crate::check::port::{self, Port};
use crate::check::{self, Lookup};
use crate::cli::{Kind, Options};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::identity::Life;
use crate::instance::members::{self, Marks};
use crate::instance::record::{Record, Unreadable};
use crate::instance::state::{self, Folder};
use crate::instance::supervisor::{self, Supervised};
use crate::launch::{place, unseen};
use crate::report::doctor::{Finding, Level, json, text};
use crate::report::line::print_result;
use crate::service::Service;
use crate::situation;
use crate::sys::{self, Host};
use crate::text::{quoted, shell_words};
use crate::unit::{self, Control, Scope};

use units::Site;

pub fn run(options: &Options, environment: &Environment, arguments: &[OsString]) -> Result<(), Error> {
    let here = current_folder(environment)?;
    let mut findings = Vec::new();
    let service = match Service::resolve(options, &here) {
        Ok(service) => Some(service),
        Err(e) => {
            findings.push(Finding::problem("config", e.to_string(), "edit it, and look again: forerun check"));
            None
        }
    };
    let asked = service.as_ref().and_then(|service| service.asked_mode);
    match situation::decide(options, environment, asked) {
        Ok(decision) => findings.extend(machine::mode(&decision, environment)),
        Err(e) => findings.push(Finding::problem("mode", e.to_string(), "unset FORERUN_FOREGROUND")),
    }
    findings.extend(machine::pools(service.as_ref()));
    let root = state::root(environment, &here);
    let folder = machine::state_folder(&root);
    // What is said of the folder need not be said of the record in it.
    let root = root.ok().filter(|_| folder.level == Level::Ok);
    findings.push(folder);
    if let Some(service) = service.as_ref().filter(|service| !service.command.is_empty()) {
        let room = Room {
            service,
            site: Site { environment, arguments, here: &here },
            host: sys::host().map_err(unseen)?,
            record: root.as_deref().map_or(Ok(None), |root| record(service, root)),
        };
        findings.extend(room.look());
    } else if service.is_some() {
        let what = "no service here: no forerun.toml, and no command after '--'";
        findings.push(Finding::ok("service", what));
        findings.extend(Site { environment, arguments, here: &here }.all());
    }
    print_result(if options.json { json(&findings) } else { text(&findings) }.as_bytes())?;
    match findings.iter().any(|finding| finding.level == Level::Problem) {
        true => Err(Error::Said(1)),
        false => Ok(()),
    }
}

/// The service's record, or what is wrong with it.
fn record(service: &Service, root: &Path) -> Result<Option<Record>, String> {
    let Some(folder) = Folder::existing(root, &service.name, geteuid().as_raw())? else { return Ok(None) };
    Record::look(&folder, &service.name).map_err(|e| {
        let untrusted = matches!(e, Unreadable::Untrusted(_));
        e.message(&folder) + if untrusted { "; remove it" } else { "" }
    })
}

/// What there is to see of one service.
struct Room<'a> {
    service: &'a Service,
    site: Site<'a>,
    host: Host,
    record: Result<Option<Record>, String>,
}

impl Room<'_> {
    fn look(&self) -> Vec<Finding> {
        let mut findings = vec![self.command()];
        findings.extend(
            self.service.without_effect.iter().map(|why| Finding::warning("config", *why, "edit forerun.toml")),
        );
        findings.extend(script::start_script(&self.service.directory));
        findings.push(self.instance());
        findings.extend(self.port());
        findings.extend(self.site.of(self.service));
        findings.extend(self.messages());
        findings
    }

    fn record(&self) -> Option<&Record> {
        self.record.as_ref().ok().and_then(Option::as_ref)
    }

    fn command(&self) -> Finding {
        let service = self.service;
        let environment = service.variables.added_to(self.site.environment.clone());
        let from = service.config.as_ref().map_or("the command line".to_owned(), quoted);
        let what = format!("{}, by {from}: {}", quoted(&service.name), quoted(&shell_words(&service.command)));
        match check::find(&service.command[0], &environment, &service.directory) {
            Ok(path) => Finding::ok("service", format!("{what}, {}", quoted(&path))),
            Err(Lookup::NotFound(why)) => {
                Finding::problem("service", format!("{what}: {why}"), "install it, or put it on PATH")
            }
            Err(Lookup::NotExecutable(e)) => Finding::problem("service", format!("{what}: {e}"), "chmod +x"),
        }
    }

    fn instance(&self) -> Finding {
        let name = &self.service.name;
        let record = match &self.record {
            Err(why) => {
                return Finding::problem("instance", why.clone(), "remove the record, or set FORERUN_STATE_DIR");
            }
            Ok(None) => return Finding::ok("instance", "none is recorded"),
            Ok(Some(record)) => record,
        };
        match record.process.life(&self.host) {
            Life::Alive => Finding::ok("instance", format!("runs: {}", place::whereabouts(record))),
            Life::Unknown(why) => {
                let message = format!("cannot tell whether {} runs: {why}", place::whereabouts(record));
                Finding::warning("instance", message, format!("if it is gone: forerun stop {name}"))
            }
            Life::Dead => {
                let marks = Marks::of(record);
                let here = record.process.host == self.host;
                let left = if here { members::look(&marks).unwrap_or_default().members } else { Vec::new() };
                let pid = record.process.pid;
                match left.first() {
                    Some(first) => {
                        let message = format!(
                            "pid {pid} is gone and left {} running, {} the first",
                            left.len(),
                            port::describe(first.pid)
                        );
                        Finding::problem(
                            "instance",
                            message,
                            format!("forerun stop {name}; the next start does it too"),
                        )
                    }
                    None => Finding::ok(
                        "instance",
                        format!("not running; the record of pid {pid} is stale, and the next start replaces it"),
                    ),
                }
            }
        }
    }

    fn port(&self) -> Option<Finding> {
        let service = self.service;
        let number = service.port?;
        let is_its = |pid: i32| {
            let found = self.record().and_then(|record| members::look(&Marks::of(record)).ok());
            found.is_some_and(|found| found.members.iter().any(|process| process.pid == pid))
        };
        Some(match port::guard(service.host.as_deref(), number) {
            Port::Free => Finding::ok("port", format!("{number} is free")),
            Port::Held { who, pid } if pid.is_some_and(is_its) => {
                Finding::ok("port", format!("{number} is the instance's: {who}"))
            }
            Port::Held { who, pid } => {
                let stop = pid.map_or("stop it".to_owned(), |pid| format!("stop it, by its supervisor or kill {pid}"));
                Finding::problem(
                    "port",
                    format!("{number} is held by {who}"),
                    format!("{stop}; or choose another port"),
                )
            }
            Port::Unknown(why) => Finding::warning(
                "port",
                format!("cannot tell whether {number} is free: {why}"),
                "choose another, or guard none with --port 0",
            ),
        })
    }

    /// Whether a sidecar is heard by the systemd that runs the instance.
    fn messages(&self) -> Option<Finding> {
        let service = self.service;
        let supervised =
            self.record().filter(|record| record.process.life(&self.host) == Life::Alive).and_then(supervisor::of);
        let Some((Supervised { kind, .. }, unit)) =
            supervised.as_ref().and_then(|s| Some((s, s.unit.as_ref()?.to_str()?)))
        else {
            return Some(Finding::ok(
                "sidecar",
                match service.health {
                    Some(_) => {
                        "nothing is told here; under systemd a unit needs NotifyAccess=all, which forerun's have"
                    }
                    None => "has nothing to tell: there is no health check",
                },
            ));
        };
        if !kind.starts_with("systemd") || service.health.is_none() {
            return Some(Finding::ok("sidecar", "has nobody to tell, or nothing"));
        }
        let name = unit.strip_suffix(".service")?;
        let place = unit::Place { unit: unit.into(), link: None };
        let scope = if supervised.as_ref().is_some_and(Supervised::is_of_user) { Scope::User } else { Scope::System };
        let environment = self.site.environment;
        let control = Control { kind: Kind::Systemd, scope, name, place: &place, environment, grace: service.grace };
        Some(match control.standing().map(|standing| standing.hears_sidecar) {
            Ok(Some(true)) => Finding::ok("sidecar", format!("is heard: {} has NotifyAccess=all", quoted(unit))),
            Ok(_) => Finding::problem(
                "sidecar",
                format!("is not heard: {} does not have NotifyAccess=all", quoted(unit)),
                format!("write NotifyAccess=all under [Service]: systemctl edit {name}"),
            ),
            Err(e) => Finding::warning("sidecar", e.to_string(), "ask systemd yourself"),
        })
    }
}
