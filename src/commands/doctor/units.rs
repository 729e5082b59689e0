#![forbid(unsafe_code)]
//! What is to be said of units: of their text, and of what their supervisor says.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::cli::Kind;
use crate::environment::Environment;
use crate::error::Error;
use crate::report::doctor::Finding;
use crate::service::Service;
use crate::text::quoted;
use crate::unit::{self, Caller, Control, Draft, Found, Installed, Runs, Scope, State};

/// Where units are looked at from.
pub struct Site<'a> {
    pub environment: &'a Environment,
    pub arguments: &'a [OsString],
    pub here: &'a Path,
}

impl Site<'_> {
    /// All units of ours in their usual folders.
    pub fn all(&self) -> Vec<Finding> {
        unit::all(self.environment).iter().flat_map(|found| self.look(found)).collect()
    }

    /// The units of a service.
    pub fn of(&self, service: &Service) -> Vec<Finding> {
        let found = unit::find(&service.name, service.config.as_deref(), self.environment);
        if found.is_empty() {
            return vec![Finding::ok(
                "unit",
                "none of this service is installed; 'forerun unit KIND --install' makes one",
            )];
        }
        found.iter().flat_map(|found| self.look(found)).collect()
    }

    fn look(&self, found: &Found) -> Vec<Finding> {
        let mut findings = match self.text(found) {
            Ok(findings) => findings,
            Err(e) => {
                let uninstall = found.uninstall_command();
                let mend = format!("mend that, or remove the unit: {uninstall}");
                vec![Finding::problem("unit", format!("{} makes no service: {e}", quoted(&found.place.unit)), mend)]
            }
        };
        findings.extend(self.standing(found));
        findings
    }

    /// Whether its text is what forerun would write: of the service that it makes, with the flags that it has.
    fn text(&self, found: &Found) -> Result<Vec<Finding>, Error> {
        let (Some(marker), Installed::Unit(text)) = (found.marker(), &found.installed) else { return Ok(Vec::new()) };
        let options = marker.options()?;
        let service = Service::resolve(&options, self.here)?;
        let caller =
            Caller { options: &options, environment: self.environment, arguments: self.arguments, here: self.here };
        let Some(draft) = Draft::again(&caller, &service, found.kind, found.place.clone(), text)? else {
            return Ok(Vec::new());
        };
        let unit = quoted(&found.place.unit);
        let mut findings = vec![match found.installed.state(&draft, &draft.files()) {
            State::Edited => Finding::warning(
                "unit",
                format!("{unit} was edited; forerun leaves it as it is"),
                format!("see '{}'; then the same with --install --force, or keep it", found.command(&["--diff"])),
            ),
            State::Stale => Finding::warning(
                "unit",
                format!("{unit} is stale: forerun would write another one today"),
                found.command(&["--install", "--now"]),
            ),
            _ => Finding::ok("unit", format!("{unit} is forerun's, and up to date")),
        }];
        findings.extend(draft.guarded().map(|path| {
            let message = format!("{} is in a folder that macOS guards: a job may hang or fail there", quoted(path));
            Finding::warning("unit", message, "move it, or give the server Full Disk Access")
        }));
        Ok(findings)
    }

    /// What the supervisor says of it.
    fn standing(&self, found: &Found) -> Vec<Finding> {
        let Found { kind, scope, name, place, .. } = found;
        // It is only asked: how long a stop may take does not matter.
        let control =
            Control { kind: *kind, scope: *scope, name, place, environment: self.environment, grace: Duration::ZERO };
        let word = control.kind_word();
        let standing = match control.standing() {
            Ok(standing) => standing,
            Err(e) => return vec![Finding::warning(word, e.to_string(), format!("start {word}, or ask it yourself"))],
        };
        let runs = match &standing.runs {
            Runs::Yes(pid) => format!("runs it as pid {pid}"),
            Runs::Later(said) => format!("is starting or stopping it: {said}"),
            Runs::No(said) => format!("does not run it: {said}"),
        };
        let mut findings = vec![match (&standing.runs, standing.enabled) {
            (_, false) => Finding::warning(
                word,
                format!("{runs}, and does not start it by itself"),
                found.command(&["--install", "--now"]),
            ),
            (Runs::No(_), _) => Finding::problem(word, runs, control.start_command()),
            (Runs::Later(_), _) => {
                Finding::warning(word, runs, control.log_command().unwrap_or_else(|| "look again".to_owned()))
            }
            (Runs::Yes(_), _) => {
                match standing.standby().map(|said| said.rsplit_once("; ").unwrap_or((said, "end it"))) {
                    Some((said, what_to_do)) => Finding::warning(word, format!("{runs}, forerun: {said}"), what_to_do),
                    None => Finding::ok(word, runs),
                }
            }
        }];
        if standing.is_older {
            findings.push(Finding::warning(
                word,
                "has an older text of the unit than the file",
                control.reread_command(),
            ));
        }
        if *kind == Kind::Systemd && *scope == Scope::User && !unit::lingers() {
            findings.push(Finding::warning(word, "ends it when this user logs out", "loginctl enable-linger"));
        }
        findings
    }
}
