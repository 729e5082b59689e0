#![forbid(unsafe_code)]
//! Writes program sections for supervisord 4 (http://supervisord.org/configuration.html).

use std::path::Path;

use super::Supervisord;
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::path::home;
use crate::supervisor::units::quote::supervisord;
use crate::supervisor::units::spec::Given;
use crate::supervisor::units::{Control, File, Scope, Started, UnitPath, UnitSpec, Units};

impl Units for Supervisord {
    fn word(&self) -> &'static str {
        "supervisord"
    }

    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File> {
        File::single(text(spec, given))
    }

    fn kept_path(&self, text: &str) -> Option<String> {
        let value = text.lines().find_map(|line| line.strip_prefix("environment=PATH="))?;
        Some(value.split('"').nth(1)?.replace("%%", "%"))
    }

    fn path(&self, scope: Scope, name: &str, dir: Option<&Path>, _: &Environment) -> Result<UnitPath, Error> {
        // The folders of Debian, Red Hat and Alpine, in this order.
        const FOLDERS: [(&str, &str); 3] =
            [("/etc/supervisor/conf.d", "conf"), ("/etc/supervisord.d", "ini"), ("/etc/supervisor.d", "ini")];
        let (folder, ending) = match (dir, scope) {
            (Some(dir), _) => (dir.to_owned(), "conf"),
            (None, Scope::User) => (home()?.join(".config/supervisor"), "conf"),
            (None, Scope::System) => {
                let there = FOLDERS.into_iter().find(|(folder, _)| Path::new(folder).is_dir());
                let (folder, ending) = there.unwrap_or(FOLDERS[0]);
                (folder.into(), ending)
            }
        };
        Ok(UnitPath::file(folder.join(format!("{name}.{ending}"))))
    }

    fn sends(&self, signal: i32) -> bool {
        stop_signal(signal).is_some()
    }

    fn refusal(&self, name: &str) -> Option<&'static str> {
        (name == "all").then_some("means every program to supervisorctl")
    }

    /// supervisord reads a value up to the next quote, takes ';' for a comment, and replaces '%(...)' first.
    fn can_hold(&self, text: &str) -> bool {
        !(text.contains(['"', ';', '\\']) || text.contains("%("))
    }

    fn command_in(&self, text: &str) -> Option<Started> {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
            lines.map(|value| value.split(" ;").next().unwrap_or_default().trim()).next_back()
        };
        Some(Started { argv: shlex::split(value("command")?)?, folder: value("directory").map(Into::into) })
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

fn text(spec: &UnitSpec, given: &Given) -> String {
    let name = &spec.name;
    let user = |user| format!("; {}\nuser={user}\n", spec.why_user());
    let user = spec.made.user.as_ref().map(user).unwrap_or_default();
    format!(
        "\
; {name}, started by forerun. Written by 'forerun unit supervisord'. To change it, edit forerun.toml or write it again
; with other flags: forerun unit supervisord --install
; {marker}

[program:{name}]
; forerun becomes the server, so this pid is the server's. forerun also sets its descriptor limit.
command={command}
{user}; PATH of the shell that created this unit, without temporary folders.
environment=PATH=\"{path}\"{state}
; Start together with supervisord.
autostart=true
; Restart after any exit except 78: that is a mistake in the configuration, which a restart cannot fix. If forerun exits
; with 78 within startsecs, supervisord counts a failed start: it tries three more times, then gives up (FATAL).
autorestart=unexpected
exitcodes=78
startsecs=1
; The grace: seconds from this signal to SIGKILL. Both go to the whole process group: 'npm start' and its like do not pass
; the signal on.
{undone}stopsignal={signal}
stopwaitsecs={grace}
stopasgroup=true
killasgroup=true
; Output of forerun and the server, in one log file, which supervisord keeps and rotates.
redirect_stderr=true
stdout_logfile={log}
",
        marker = given.marker,
        command = supervisord(&given.argv),
        path = spec.search_path.replace('%', "%%"),
        state = spec
            .made
            .state
            .as_ref()
            .map_or(String::new(), |state| { format!(",FORERUN_STATE_DIR=\"{}\"", state.replace('%', "%%")) }),
        undone = given.undone.iter().map(|line| format!("; {line}\n")).collect::<String>(),
        signal = stop_signal(spec.ending.signal).unwrap_or("TERM"),
        grace = spec.grace(),
        log = log_file(spec).replace('%', "%%"),
    )
}

/// A log with a name of its own: supervisord deletes one that it named, whenever it starts. The folder must be there.
fn log_file(spec: &UnitSpec) -> String {
    let folder = match spec.made.scope {
        Scope::System => Path::new("/var/log"),
        Scope::User => spec.path.unit.parent().unwrap_or(Path::new("/tmp")),
    };
    folder.join(format!("{}.log", spec.name)).to_string_lossy().into_owned()
}

/// The name of a signal that supervisord can send to stop a program. It knows no others.
fn stop_signal(number: i32) -> Option<&'static str> {
    const KNOWN: [(i32, &str); 7] = [
        (libc::SIGTERM, "TERM"),
        (libc::SIGHUP, "HUP"),
        (libc::SIGINT, "INT"),
        (libc::SIGQUIT, "QUIT"),
        (libc::SIGKILL, "KILL"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
    ];
    KNOWN.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}
