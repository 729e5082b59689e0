#![forbid(unsafe_code)]
//! Writes service folders for s6 (https://skarnet.org/software/s6/servicedir.html).

use std::path::Path;

use super::S6;
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::path::{first_folder, home, linked};
use crate::supervisor::units::script::{self, Dialect};
use crate::supervisor::units::spec::Given;
use crate::supervisor::units::{Control, File, Scope, Started, UnitPath, UnitSpec, Units};

/// All files that a unit can have.
const FILES: [&str; 7] =
    ["run", "finish", "log/run", "notification-fd", "timeout-kill", "timeout-finish", "down-signal"];
/// Those of a unit whose marker lists none.
const USUAL: [&str; 2] = ["run", "finish"];
/// The descriptor on which s6 expects readiness if nobody sets another.
const NOTIFICATION_FD: i32 = 3;

const DIALECT: Dialect = Dialect {
    kind: "s6",
    change_user: "s6-setuidgid",
    is_wanted: "[ \"$(s6-svstat -o wantedup .)\" != false ]",
    stay_down: "\
# 78 is a mistake in the configuration, which a restart cannot fix: 125 tells s6 to stay down.
# After any other exit, s6 restarts the server after one second.
if [ \"$1\" = 78 ]; then exit 125; fi",
    logger: "s6-log -b T s1000000 n10",
};

impl Units for S6 {
    fn word(&self) -> &'static str {
        DIALECT.kind
    }

    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File> {
        let text = |name| match name {
            "run" => DIALECT.run(spec, given),
            "finish" => DIALECT.finish(spec),
            "log/run" => DIALECT.log(spec),
            "notification-fd" => format!("{}\n", spec.ready_fd.unwrap_or(NOTIFICATION_FD)),
            "down-signal" => format!("{}\n", spec.ending.signal),
            // In milliseconds. What `finish` ends gets the grace too.
            "timeout-finish" => format!("{}\n", (spec.grace() + 5) * 1000),
            // The grace in milliseconds, from SIGTERM to SIGKILL.
            _ => format!("{}\n", spec.grace() * 1000),
        };
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
        match is_script(name) {
            true => script::is_ours(text),
            false => FILES.contains(&name) && text.trim_end().bytes().all(|b| b.is_ascii_digit()),
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

    fn command_in(&self, text: &str) -> Option<Started> {
        script::command_in(text)
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

fn is_script(name: &str) -> bool {
    matches!(name, "run" | "finish" | "log/run")
}
