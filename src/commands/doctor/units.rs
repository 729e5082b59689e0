#![forbid(unsafe_code)]
//! What is to be said of units: of their text, and of what their supervisor says.

use std::time::Duration;

use crate::cli::Kind;
use crate::environment::Environment;
use crate::report::doctor::Finding;
use crate::text::quoted;
use crate::unit::{self, Control, Found, Marker, Runs, Scope, State};

/// What a supervisor is asked where no service says how long its server may take to stop. It is only asked.
const NO_GRACE: Duration = Duration::ZERO;

/// All units of ours in their usual folders, where no service is at hand to compare them with.
pub fn all(environment: &Environment) -> Vec<Finding> {
    let look = |(found, marker): (Found, Marker)| {
        let control = control(&found, environment, NO_GRACE);
        let state = found.installed.whose(&marker.name, None);
        let gone = marker.config.as_ref().filter(|config| config.symlink_metadata().is_err());
        let text = match gone {
            Some(config) => Finding::problem(
                "unit",
                format!("{} is of {}, which is not there", quoted(&found.place.unit), quoted(config)),
                format!("forerun unit {} --name {} --uninstall", flags(&found), marker.name),
            ),
            None if state == State::Edited => text(&found, state),
            None => {
                let by = marker.config.as_ref().map_or(String::new(), |config| format!(", by {}", quoted(config)));
                Finding::ok(
                    "unit",
                    format!("{} is forerun's, of {}{by}", quoted(&found.place.unit), quoted(&marker.name)),
                )
            }
        };
        [vec![text], standing(&control, &found)].concat()
    };
    unit::all(environment).into_iter().flat_map(look).collect()
}

/// Asks the supervisor of a unit.
pub fn control<'a>(found: &'a Found, environment: &'a Environment, grace: Duration) -> Control<'a> {
    let Found { kind, scope, name, place, .. } = found;
    Control { kind: *kind, scope: *scope, name, place, environment, grace }
}

/// Whether its text is what forerun would write.
pub fn text(found: &Found, state: State) -> Finding {
    let (unit, flags) = (quoted(&found.place.unit), flags(found));
    match state {
        State::Edited => Finding::warning(
            "unit",
            format!("{unit} was edited; forerun leaves it as it is"),
            format!("see 'forerun unit {flags} --diff', then --install --force, or keep it"),
        ),
        State::Stale => Finding::warning(
            "unit",
            format!("{unit} is stale: forerun would write another one from here"),
            format!("forerun unit {flags} --install --now"),
        ),
        _ => Finding::ok("unit", format!("{unit} is forerun's, and up to date")),
    }
}

/// What the supervisor says of it.
pub fn standing(control: &Control, found: &Found) -> Vec<Finding> {
    let (kind, flags) = (control.kind_word(), flags(found));
    let standing = match control.standing() {
        Ok(standing) => standing,
        Err(e) => return vec![Finding::warning(kind, e.to_string(), format!("start {kind}, or ask it yourself"))],
    };
    let runs = match &standing.runs {
        Runs::Yes(pid) => format!("runs it as pid {pid}"),
        Runs::Later(said) => format!("is starting it: {said}"),
        Runs::No(said) => format!("does not run it: {said}"),
    };
    let mut findings = vec![match (&standing.runs, standing.enabled) {
        (_, false) => Finding::warning(
            kind,
            format!("{runs}, and does not start it by itself"),
            format!("forerun unit {flags} --install --now"),
        ),
        (Runs::No(_), _) => Finding::problem(kind, runs, control.start_command()),
        (Runs::Later(_), _) => {
            Finding::warning(kind, runs, control.log_command().unwrap_or_else(|| "look again".to_owned()))
        }
        (Runs::Yes(_), _) => Finding::ok(kind, runs),
    }];
    let of_user = found.scope == Scope::User;
    if standing.is_older {
        let reload = if of_user { "systemctl --user daemon-reload" } else { "systemctl daemon-reload" };
        findings.push(Finding::warning(kind, "has an older text of the unit than the file", reload));
    }
    if found.kind == Kind::Systemd && of_user && !unit::lingers() {
        findings.push(Finding::warning(kind, "ends it when this user logs out", "loginctl enable-linger"));
    }
    findings
}

/// What says on the command line which unit is meant.
fn flags(found: &Found) -> String {
    let scope = if found.scope == Scope::System { "--system" } else { "--user" };
    format!("{} {scope}", unit::kind_word(found.kind))
}
