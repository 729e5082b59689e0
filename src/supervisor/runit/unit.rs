#![forbid(unsafe_code)]
//! Writes service folders for runit (runsv(8)).

use std::path::{Path, PathBuf};

use super::Runit;
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::path::{first_folder, home, linked};
use crate::supervisor::units::script::{self, Dialect};
use crate::supervisor::units::spec::Given;
use crate::supervisor::units::{Control, File, Scope, Started, UnitPath, UnitSpec, Units};

/// All files that a unit can have.
const FILES: [&str; 4] = ["run", "finish", "log/run", "check"];

const DIALECT: Dialect = Dialect {
    kind: "runit",
    change_user: "chpst -u",
    is_wanted: "! grep -q 'want down' supervise/stat",
    stay_down: "\
# 78 is a mistake in the configuration, which a restart cannot fix: stay down until somebody runs 'sv up'.
# After any other exit, runit restarts the server after one second.
if [ \"$1\" = 78 ]; then exec sv down .; fi",
    logger: "svlogd -tt",
};

impl Units for Runit {
    fn word(&self) -> &'static str {
        DIALECT.kind
    }

    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File> {
        let text = |name| match name {
            "run" => DIALECT.run(spec, given),
            "finish" => DIALECT.finish(spec),
            "check" => DIALECT.check(spec),
            _ => DIALECT.log(spec),
        };
        self.names(spec).into_iter().map(|name| File { name, text: text(name), executable: true }).collect()
    }

    fn names(&self, spec: &UnitSpec) -> Vec<&'static str> {
        FILES.into_iter().filter(|name| *name != "check" || spec.health.is_some()).collect()
    }

    fn all_files(&self) -> &'static [&'static str] {
        &FILES
    }

    fn is_ours(&self, name: &str, text: &str) -> bool {
        FILES.contains(&name) && script::is_ours(text)
    }

    fn kept_path(&self, text: &str) -> Option<String> {
        script::kept_path(text)
    }

    fn path(&self, scope: Scope, name: &str, dir: Option<&Path>, environment: &Environment) -> Result<UnitPath, Error> {
        let services = match scope {
            Scope::System => "/etc/sv".into(),
            Scope::User => home()?.join(".config/sv"),
        };
        let asked = environment.filled("SVDIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let scanned = match (dir.map(Path::to_owned).or(asked), scope) {
            (Some(dir), _) => dir,
            (None, Scope::System) => first_folder(&["/etc/service", "/var/service", "/run/runit/service"]),
            (None, Scope::User) => home()?.join("service"),
        };
        Ok(linked(&services, &scanned, name))
    }

    fn command_in(&self, text: &str) -> Option<Started> {
        script::command_in(text)
    }

    fn control(&self) -> &dyn Control {
        self
    }
}
