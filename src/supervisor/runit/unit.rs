#![forbid(unsafe_code)]
//! Writes service folders for runit (runsv(8)).

use std::path::{Path, PathBuf};

use super::Runit;
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::path::{first_folder, home, linked};
use crate::supervisor::units::spec::Given;
use crate::supervisor::units::{Control, File, Scope, UnitPath, UnitSpec, Units, script};

const FILES: [&str; 2] = ["run", "finish"];

impl Units for Runit {
    fn word(&self) -> &'static str {
        "runit"
    }

    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File> {
        vec![
            File { name: FILES[0], text: script::run("runit", "chpst -u", spec, given), executable: true },
            File { name: FILES[1], text: finish(), executable: true },
        ]
    }

    fn names(&self, _: &UnitSpec) -> Vec<&'static str> {
        FILES.to_vec()
    }

    fn all_files(&self) -> &'static [&'static str] {
        &FILES
    }

    fn is_ours(&self, name: &str, text: &str) -> bool {
        name == FILES[1] && text == finish()
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

    fn control(&self) -> &dyn Control {
        self
    }
}

fn finish() -> String {
    "\
#!/bin/sh
# 78 is a mistake in the configuration, which a restart cannot fix: stay down until somebody runs 'sv up'.
# After any other exit, runit restarts the server after one second.
[ \"$1\" = 78 ] || exit 0
exec sv down .
"
    .to_owned()
}
