#![forbid(unsafe_code)]
//! The commands: a start, its dry run, and `check`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use crate::check::{self, Context, Lookup};
use crate::cli::{Options, Task};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::state;
use crate::launch::{Launch, checks};
use crate::mode::{Decision, Mode};
use crate::report::line::{print_result, say};
use crate::report::plan::Plan;
use crate::report::progress::Teller;
use crate::report::result::{Checked, print_checks};
use crate::service::Service;
use crate::situation;
use crate::sys::{self, Dispositions, Wake};
use crate::text::quoted;

/// Does what the command line asks for.
///
/// # Errors
/// All of them. In the foreground it returns only with one.
pub fn run(
    options: &Options,
    inherited: &Environment,
    arguments: &[OsString],
    dispositions: Dispositions,
) -> Result<(), Error> {
    if options.dry_run && options.task != Task::Start {
        return Err(Error::Usage("'--dry-run' is of a start; 'forerun check' starts nothing".to_owned()));
    }
    let service = Service::resolve(options)?;
    let decision = situation::decide(options, inherited, service.asked_mode)?;
    log::info!("{} mode: {}", decision.mode, decision.reason);
    for key in &service.without_effect {
        log::warn!("'{key}' in the file has no effect in this version of forerun; continuing");
    }
    if options.dry_run {
        let called_in = std::env::current_dir().unwrap_or_default();
        return dry_run(&service, &decision, state::root(inherited, &called_in).ok(), inherited, options.json);
    }
    let result = carry_out(&service, &decision, options, inherited, arguments, dispositions);
    if let (Err(Error::Interrupted(signal)), Mode::Foreground) = (&result, decision.mode) {
        // What a supervisor sends is a clean end only when it is what we die of.
        sys::die_of(*signal);
    }
    result
}

/// Runs the checks, and starts the server unless it is they that were asked for.
fn carry_out(
    service: &Service,
    decision: &Decision,
    options: &Options,
    inherited: &Environment,
    arguments: &[OsString],
    dispositions: Dispositions,
) -> Result<(), Error> {
    let (limits, clamped) = service.server_nofile();
    let called_in = std::env::current_dir().unwrap_or_default();
    if service.directory != called_in {
        std::env::set_current_dir(&service.directory).map_err(|e| {
            Error::Config(format!("cannot change to the directory {}: {e}", quoted(&service.directory)))
        })?;
    }
    let wake =
        Wake::new().map_err(|e| Error::Exhausted(format!("cannot open a pipe: {e}; raise the limits or try again")))?;
    let wake = Arc::new(wake);
    let signals = sys::catch_signals(wake.bell());
    let on_terminal = io::stderr().is_terminal() && !options.no_progress && !options.quiet;
    let notify = decision.may_notify && decision.mode == Mode::Foreground && options.task == Task::Start;
    let teller = Teller::new(inherited, on_terminal, notify);
    let context = Arc::new(Context {
        environment: service.variables.added_to(inherited.for_checks()),
        directory: service.directory.clone(),
        nofile: limits,
    });
    if options.task == Task::Check {
        return run_checks(
            service,
            checks::Room { context: &context, wake: &wake, signals: &signals, teller: &mut { teller } },
            options.json,
        );
    }
    explain(decision);
    if clamped {
        log::warn!("--nofile is more than this process may have; continuing with {}:{}", limits.soft, limits.hard);
    }
    let nofile = service.nofile.map(|_| limits);
    let json = options.json;
    Launch {
        service,
        decision,
        inherited,
        arguments,
        dispositions,
        host: sys::host(),
        called_in,
        nofile,
        context,
        wake,
        signals,
        teller,
        json,
    }
    .start()
}

/// What a person should know of how we were started.
fn explain(decision: &Decision) {
    if decision.mode == Mode::Detached {
        if let Some(why) = &decision.disproved {
            say(&format!("detaching: {why}"));
        }
        if let Some(supervisor) = decision.recognised {
            log::warn!("detaching below {supervisor}, which will not see the server; continuing");
        }
    }
    if decision.parent_supervised && decision.mode == Mode::Foreground {
        let parent = std::os::unix::process::parent_id() as i32;
        let who = check::port::describe(parent);
        log::warn!("systemd started our parent, {who}, and not us: write 'exec' before forerun there; continuing");
    }
}

fn dry_run(
    service: &Service,
    decision: &Decision,
    state: Option<PathBuf>,
    inherited: &Environment,
    json: bool,
) -> Result<(), Error> {
    let environment = service.variables.added_to(inherited.clone());
    let executable = check::find(&service.command[0], &environment, &service.directory).map_err(|e| match e {
        Lookup::NotFound(reason) => reason,
        Lookup::NotExecutable(e) => e.to_string(),
    });
    let log = service.log.clone().or_else(|| state.map(|root| root.join(&service.name).join("server.log")));
    let nofile = service.nofile.map(|_| service.server_nofile().0);
    let plan = Plan { service, decision, executable, nofile, log };
    print_result(if json { plan.json() } else { plan.text() }.as_bytes())
}

/// `forerun check`: everything is tried, and reported, also what a start would not come to.
fn run_checks(service: &Service, mut room: checks::Room, json: bool) -> Result<(), Error> {
    let requirements = checks::requirements(service, &mut room)?;
    let waits = checks::waits(service, &mut room)?;
    let required = service.requirements.iter().zip(&requirements).map(|(r, progress)| Checked {
        kind: "require",
        check: r.probe.check.to_string(),
        progress,
        hint: r.hint.as_deref(),
        has_fix: r.fix.is_some(),
    });
    let awaited = service.waits.iter().zip(&waits).map(|(w, progress)| Checked {
        kind: "wait",
        check: w.probe.check.to_string(),
        progress,
        hint: w.hint.as_deref(),
        has_fix: false,
    });
    print_checks(&service.name, &required.chain(awaited).collect::<Vec<_>>(), json)?;
    if requirements.iter().any(|p| !p.holds()) {
        return Err(Error::Said(78));
    }
    if waits.iter().any(|p| !p.holds()) {
        return Err(Error::Said(69));
    }
    Ok(())
}
