#![forbid(unsafe_code)]
//! All that is known of launchd(8).

mod control;
mod unit;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::clues::Clues;
use super::evidence::{Evidence, Rank};
use super::job::{Argv, Job, Recorded, Verb};
use super::kind::Supervisor;
use super::units::Kind;
use crate::environment::UNIT_FILE;

pub struct Launchd;

impl Supervisor for Launchd {
    fn word(&self) -> &'static str {
        "launchd"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        if clues.has("LAUNCHD_SOCKET") {
            return Some(Evidence::new(Rank::Variable, "LAUNCHD_SOCKET is set"));
        }
        // Everything below an editor or a runner that launchd started has the variable. launchd is pid 1.
        let of_parent = clues.parent.pid != 1;
        let is_near = !of_parent || clues.grandparent.as_ref().is_some_and(|above| above.pid == 1);
        let label = clues.variable("XPC_SERVICE_NAME").filter(|name| is_label(name));
        let label = label.filter(|_| is_near && !clues.stderr_is_terminal)?;
        let reason = format!("XPC_SERVICE_NAME is '{label}' and stderr is not a terminal");
        Some(Evidence { of_parent, ..Evidence::new(Rank::Inherited, reason) })
    }

    fn job(&self, recorded: &Recorded) -> Job {
        Job {
            name: recorded.variable("XPC_SERVICE_NAME").map(OsStr::to_owned),
            of_user: is_agent(recorded.variable(UNIT_FILE)),
            ..Job::default()
        }
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        let verb: &[&str] = match verb {
            Verb::Stop => &["bootout"],
            Verb::Restart => &["kickstart", "-k"],
            Verb::Logs { .. } => return None,
        };
        let mut target = OsString::from(domain(job.of_user) + "/");
        target.push(job.name.as_deref()?);
        Some(["launchctl"].iter().chain(verb).map(OsString::from).chain([target]).collect())
    }

    fn units(&self) -> Option<Kind> {
        Some(&Launchd)
    }
}

/// A label of launchd. `0` is a shell's, and applications have one that is made up for them.
fn is_label(name: &str) -> bool {
    !(name.is_empty() || name == "0" || name.starts_with("application."))
}

/// The launchd domain of a job: the machine's, or that of this user's login at the screen (launchctl(1)).
pub fn domain(of_user: bool) -> String {
    if of_user { format!("gui/{}", nix::unistd::geteuid()) } else { "system".to_owned() }
}

/// Whether a job of launchd is an agent. The folder of its plist decides. If forerun did not write the plist, root's
/// jobs count as daemons and all others as agents.
fn is_agent(unit_file: Option<&OsStr>) -> bool {
    let us = nix::unistd::geteuid();
    unit_file.map_or(!us.is_root(), |file| !Path::new(file).starts_with("/Library/LaunchDaemons"))
}

/// The launchd label of a service. The prefix keeps it apart from the names of applications.
pub fn label(name: &str) -> String {
    format!("forerun.{name}")
}
