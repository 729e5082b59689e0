#![forbid(unsafe_code)]
//! Writes service folders for s6 (https://skarnet.org/software/s6/servicedir.html).

use std::path::Path;

use super::S6;
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::path::{first_folder, home, linked};
use crate::supervisor::units::spec::Given;
use crate::supervisor::units::{Control, File, Scope, UnitPath, UnitSpec, Units, script};

/// All files that a unit can have.
const FILES: [&str; 5] = ["run", "finish", "notification-fd", "timeout-kill", "down-signal"];
/// Those of a unit whose marker lists none.
const USUAL: [&str; 2] = ["run", "finish"];
/// The descriptor on which s6 expects readiness if nobody sets another.
const NOTIFICATION_FD: i32 = 3;

impl Units for S6 {
    fn word(&self) -> &'static str {
        "s6"
    }

    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File> {
        let text = |name| match name {
            "run" => script::run("s6", "s6-setuidgid", spec, given),
            "finish" => finish(),
            "notification-fd" => format!("{}\n", spec.ready_fd.unwrap_or(NOTIFICATION_FD)),
            "down-signal" => format!("{}\n", spec.ending.signal),
            // The grace in milliseconds, from SIGTERM to SIGKILL.
            _ => format!("{}\n", spec.grace() * 1000),
        };
        let is_script = |name| matches!(name, "run" | "finish");
        let names = self.names(spec).into_iter();
        names.map(|name| File { name, text: text(name), executable: is_script(name) }).collect()
    }

    fn names(&self, spec: &UnitSpec) -> Vec<&'static str> {
        let needs = |name: &&str| match *name {
            "notification-fd" => spec.health.is_some(),
            // s6 sends SIGTERM anyway.
            "down-signal" => spec.ending.signal != libc::SIGTERM,
            _ => true,
        };
        FILES.into_iter().filter(needs).collect()
    }

    fn all_files(&self) -> &'static [&'static str] {
        &FILES
    }

    fn usual_files(&self) -> &'static [&'static str] {
        &USUAL
    }

    fn is_ours(&self, name: &str, text: &str) -> bool {
        match name {
            "finish" => text == finish(),
            "notification-fd" | "timeout-kill" | "down-signal" => text.trim_end().bytes().all(|b| b.is_ascii_digit()),
            _ => false,
        }
    }

    fn kept_path(&self, text: &str) -> Option<String> {
        script::kept_path(text)
    }

    fn path(&self, scope: Scope, name: &str, dir: Option<&Path>, _: &Environment) -> Result<UnitPath, Error> {
        let services = match scope {
            Scope::System => "/etc/s6/sv".into(),
            Scope::User => home()?.join(".config/s6/sv"),
        };
        let scanned = match (dir, scope) {
            (Some(dir), _) => dir.to_owned(),
            (None, Scope::System) => first_folder(&["/run/service", "/service"]),
            (None, Scope::User) => home()?.join("service"),
        };
        Ok(linked(&services, &scanned, name))
    }

    fn notification_fd(&self) -> Option<i32> {
        Some(NOTIFICATION_FD)
    }

    fn sends(&self, _: i32) -> bool {
        true
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

fn finish() -> String {
    "\
#!/bin/sh
# 78 is a mistake in the configuration, which a restart cannot fix: 125 tells s6 to stay down.
# After any other exit, s6 restarts the server after one second.
[ \"$1\" = 78 ] || exit 0
exit 125
"
    .to_owned()
}
