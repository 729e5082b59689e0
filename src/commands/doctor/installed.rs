#![forbid(unsafe_code)]
//! Findings about units: about their text, and about what their supervisor reports.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::Error;
use crate::report::doctor::Finding;
use crate::service::{Service, is_same_file};
use crate::start::unit::{self, Caller};
use crate::supervisor::units::search;
use crate::supervisor::units::{Found, Hearing, Runs, Scope, State, UnitSpec, write};
use crate::text::quoted;

/// The topic of findings about messages of the sidecar.
pub const SIDECAR: &str = "sidecar";

/// All units that forerun wrote, in their usual folders.
pub fn all(caller: &Caller) -> Vec<Finding> {
    let mut silent = HashSet::new();
    search::all(caller.environment).iter().flat_map(|found| look(found, caller, &mut silent).0).collect()
}

/// The units of a service, and the processes that their supervisors run. `found` are the units with the name of the
/// service.
pub fn of(service: &Service, found: &[Found], caller: &Caller) -> (Vec<Finding>, Vec<i32>) {
    let (name, config) = (&service.name, service.config.as_deref());
    // Units of this config file under an earlier name.
    let renamed: Vec<Found> = search::all(caller.environment)
        .into_iter()
        .filter(|found| {
            let theirs = found.marker().and_then(|marker| marker.config.as_deref());
            found.name != *name && matches!((config, theirs), (Some(ours), Some(theirs)) if is_same_file(ours, theirs))
        })
        .collect();
    let (mut findings, mut served, mut silent) = (Vec::new(), Vec::new(), HashSet::new());
    for (mut said, pid) in found.iter().chain(&renamed).map(|found| look(found, caller, &mut silent)) {
        findings.append(&mut said);
        served.extend(pid);
    }
    findings.extend(search::strangers(name, config, caller.environment).into_iter().map(|(unit, why)| {
        let message = format!("{} is in the place of this service's unit: {why}", quoted(&unit));
        Finding::warning("unit", message, "give the service another name, or compare: forerun unit KIND --diff")
    }));
    if findings.is_empty() {
        let none = "no unit of this service is installed; 'forerun unit KIND --install' writes one";
        findings.push(Finding::ok("unit", none));
    }
    (findings, served)
}

/// Supervisors that did not answer. They are not queried again, because each query takes its time.
type Silent = HashSet<(&'static str, bool)>;

fn look(found: &Found, caller: &Caller, silent: &mut Silent) -> (Vec<Finding>, Option<i32>) {
    let today = unit::today(found, caller).map(|spec| {
        let state = found.installed.state(&spec, &write::files(found.kind, &spec));
        (text(found, &spec, &state), spec.health.is_some(), state)
    });
    let (mut findings, has_health, state) = today.unwrap_or_else(|e| {
        let message = format!("{} does not describe a service: {e}", quoted(&found.path.unit));
        let mend = format!("correct that, or remove the unit: {}", found.uninstall_command());
        let config = found.marker().and_then(|marker| marker.config.as_ref());
        let denied = config.and_then(|config| std::fs::File::open(config).err()).map(|e| e.kind())
            == Some(ErrorKind::PermissionDenied);
        let finding = match denied {
            true => Finding::warning("unit", message, "run it as root: sudo forerun doctor"),
            false => Finding::problem("unit", message, mend),
        };
        (vec![finding], false, State::Foreign(String::new()))
    });
    let whom = (found.kind.word(), found.scope == Scope::User);
    if silent.contains(&whom) {
        return (findings, None);
    }
    match status(found, caller.environment, has_health, &state) {
        Ok((said, pid)) => {
            findings.extend(said);
            (findings, pid)
        }
        Err(e) => {
            silent.insert(whom);
            findings.push(Finding::warning(whom.0, e.to_string(), format!("start {}, or query it yourself", whom.0)));
            (findings, None)
        }
    }
}

/// Whether the text of the unit is what forerun would write.
fn text(found: &Found, spec: &UnitSpec, state: &State) -> Vec<Finding> {
    let unit = quoted(&found.path.unit);
    let mut findings = vec![match state {
        State::Edited => Finding::warning(
            "unit",
            format!("{unit} was edited, so forerun does not update it"),
            format!(
                "compare: '{}'; then either replace it (--install --force instead of --diff) or keep it",
                found.command(&["--diff"])
            ),
        ),
        State::Stale => Finding::warning(
            "unit",
            format!("{unit} is out of date: forerun would write another text today"),
            found.command(&["--install", "--now"]),
        ),
        State::Foreign(why) => Finding::problem(
            "unit",
            format!("{unit} is the unit of {}, which is now called {}: {why}", quoted(&found.name), quoted(&spec.name)),
            found.uninstall_command(),
        ),
        _ => Finding::ok("unit", format!("{unit} was written by forerun and is up to date")),
    }];
    findings.extend(found.kind.guarded(&spec.paths()).map(|path| {
        let message = format!("{} is in a folder that macOS protects: a job may hang or fail there", quoted(path));
        Finding::warning("unit", message, "move it, or give the server Full Disk Access")
    }));
    findings
}

/// What the supervisor reports, and the process that it runs. `has_health`: the sidecar has something to report.
fn status(
    found: &Found,
    environment: &Environment,
    has_health: bool,
    state: &State,
) -> Result<(Vec<Finding>, Option<i32>), Error> {
    let Found { kind, scope, .. } = found;
    // This only queries, so the grace does not matter.
    let unit = found.unit(environment, Duration::ZERO);
    let word = kind.word();
    let status = unit.status()?;
    let runs = match &status.runs {
        Runs::Yes(pid) => format!("runs it as pid {pid}"),
        Runs::Later(said) => format!("is starting or stopping it: {said}"),
        Runs::No(said) => format!("does not run it: {said}"),
    };
    let standby = status.standby().map(|said| said.rsplit_once("; ").unwrap_or((said, "end it")));
    let mut findings = vec![match (&status.runs, status.enabled, standby) {
        (_, false, _) => Finding::warning(
            word,
            format!("{runs}, and does not start it at boot or login"),
            match state {
                State::Current | State::Stale => found.command(&["--install", "--now"]),
                // A foreign unit would be refused, and an edited one would be replaced.
                _ => unit.start_commands(false).join("; "),
            },
        ),
        (Runs::No(_), ..) => Finding::problem(word, runs, unit.start_command()),
        (Runs::Yes(_), _, Some((said, what_to_do))) => {
            Finding::warning(word, format!("{runs}, forerun: {said}"), what_to_do)
        }
        (Runs::Later(_), _, Some((said, what_to_do))) => {
            Finding::warning(word, format!("is starting it, forerun: {said}"), what_to_do)
        }
        (Runs::Later(_), ..) => {
            Finding::warning(word, runs, unit.log_command().unwrap_or_else(|| "run doctor again".to_owned()))
        }
        (Runs::Yes(_), ..) => Finding::ok(word, runs),
    }];
    if status.is_older {
        findings.push(Finding::warning(word, "has loaded an older text of the unit", unit.reread_command()));
    }
    if let Some((what, mend)) = kind.needs_login(*scope) {
        findings.push(Finding::warning(word, what, mend));
    }
    if let (Some(Hearing::No { why, what_to_do }), true, false) = (status.hearing, has_health, status.is_older) {
        findings.push(Finding::problem(SIDECAR, why, what_to_do));
    }
    let pid = if let Runs::Yes(pid) = status.runs { Some(pid) } else { None };
    Ok((findings, pid))
}
