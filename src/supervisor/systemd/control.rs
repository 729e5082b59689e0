#![forbid(unsafe_code)]
//! Controls systemd through systemctl(1).

use std::time::{Duration, Instant};

use super::Systemd;
use crate::error::Error;
use crate::line::say;
use crate::supervisor::ask::{Argv, argv};
use crate::supervisor::units::{Control, Hearing, Runs, Scope, Unit, UnitStatus};
use crate::text::{quoted, shell_words};

impl Control for Systemd {
    fn program(&self) -> &'static str {
        "systemctl"
    }

    fn start_commands(&self, unit: &Unit, restart: bool) -> Vec<Argv> {
        let service = service(unit);
        // systemd does not search other folders, so a unit there is enabled by its path.
        let usual = unit.path.unit.starts_with("/etc/systemd")
            || unit.path.unit.ends_with(format!(".config/systemd/user/{service}"));
        let enabled = if usual { service.clone() } else { unit.path.unit.to_string_lossy().into_owned() };
        vec![
            reload(unit.scope),
            systemctl(unit, &["enable", &enabled]),
            systemctl(unit, &[if restart { "restart" } else { "start" }, &service]),
        ]
    }

    fn start(&self, unit: &Unit, changed: bool) -> Result<(), Error> {
        // The running process may have an older text, because a start or a person replaced the file since.
        let standing = self.status(unit)?;
        // A unit in its pause before the next start is restarted without the pause.
        let is_other = changed || standing.is_older || standing.has_ended;
        let restart = is_other && matches!(standing.runs, Runs::Yes(_) | Runs::Later(_));
        let mut commands = self.start_commands(unit, restart);
        // The caller watches the unit after this. It sees more than whether the start worked: what forerun waits for, and
        // that it stands by.
        if let Some(last) = commands.last_mut() {
            last.push("--no-block".into());
        }
        commands.iter().try_for_each(|words| unit.order(words))?;
        if restart { wait_for_another(unit, &standing) } else { Ok(()) }
    }

    fn status(&self, unit: &Unit) -> Result<UnitStatus, Error> {
        const ASKED: &str = "--property=ActiveState,SubState,MainPID,UnitFileState,StatusText,Result,NotifyAccess,\
                             NeedDaemonReload,Job,InvocationID,TimeoutStartUSec,ExecMainStatus";
        let answer = unit.ask(&systemctl(unit, &["show", ASKED, &service(unit)]))?;
        if answer.code != Some(0) {
            return Err(unit.failed("systemctl show", &answer));
        }
        let value = |key: &str| {
            let line = answer.out.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().to_owned()
        };
        let state = format!("{} ({})", value("ActiveState"), value("SubState"));
        // systemd keeps some values of a process that has ended.
        let has_ended = value("SubState").starts_with("auto-restart");
        let is_up = !has_ended && !matches!(value("ActiveState").as_str(), "inactive" | "failed");
        let has_job = !matches!(value("Job").as_str(), "" | "0");
        let status = Some(value("StatusText")).filter(|text| is_up && !text.is_empty());
        let said = match (status.clone().unwrap_or_default(), value("Result")) {
            (status, _) if !status.is_empty() => format!("{state}: {status}"),
            (_, result) if result == "exit-code" => match value("ExecMainStatus").as_str() {
                "78" => format!("{state}: exit code 78, a mistake in the configuration"),
                code => format!("{state}: exit code {code}"),
            },
            (_, result) if !matches!(result.as_str(), "" | "success") => format!("{state}: {result}"),
            _ => state,
        };
        let pid = value("MainPID").parse().ok().filter(|&pid| pid > 0);
        let runs = match (value("ActiveState").as_str(), pid) {
            ("active" | "reloading", Some(pid)) => Runs::Yes(pid),
            // A unit that is being stopped may be started again in a moment.
            ("activating" | "deactivating", _) => Runs::Later(said),
            _ if has_job => Runs::Later(format!("{said}, and its job waits for another unit")),
            _ => Runs::No(said),
        };
        let is_held_up = value("ActiveState") == "deactivating" || (!is_up && has_job && !has_ended);
        Ok(UnitStatus {
            enabled: matches!(value("UnitFileState").as_str(), "enabled" | "enabled-runtime"),
            runs,
            text: status,
            hearing: Some(hearing(unit, &value("NotifyAccess"))),
            is_older: value("NeedDaemonReload") == "yes",
            has_ended,
            is_held_up,
            starting: pid,
            invocation: value("InvocationID"),
            limit: humantime::parse_duration(&value("TimeoutStartUSec")).ok(),
        })
    }

    fn stop(&self, unit: &Unit) -> Result<(), Error> {
        match self.status(unit) {
            // systemd did not boot this machine or container, so nothing runs.
            Err(e) => log::warn!("{e}; continuing"),
            Ok(UnitStatus { runs: Runs::No(_), .. }) => {}
            Ok(_) => unit.order(&systemctl(unit, &["stop", &service(unit)]))?,
        }
        unit.order(&systemctl(unit, &["disable", &service(unit)])).or_else(|e| {
            // systemd cannot disable a unit whose text it cannot read.
            log::warn!("{e}; continuing");
            let wanted = unit.path.unit.parent().into_iter().flat_map(|folder| WANTS.map(|wants| folder.join(wants)));
            let mut links = wanted.map(|wants| wants.join(service(unit))).filter(|link| link.is_symlink());
            links
                .try_for_each(std::fs::remove_file)
                .map_err(|e| Error::State(format!("cannot disable {}: {e}", quoted(&unit.path.unit))))
        })
    }

    fn forget(&self, unit: &Unit) -> Result<(), Error> {
        if self.status(unit).is_err() {
            return Ok(());
        }
        unit.order(&reload(unit.scope))?;
        // Otherwise systemd remembers a failed unit. If the unit did not fail, the command reports an error, which does not
        // matter.
        unit.attempt(&systemctl(unit, &["reset-failed", &service(unit)])).map(drop)
    }

    fn reread_command(&self, unit: &Unit) -> String {
        shell_words(&reload(unit.scope))
    }

    fn log_command(&self, unit: &Unit) -> Option<String> {
        let of_user = if unit.scope == Scope::User { "--user " } else { "" };
        Some(format!("journalctl {of_user}-n 20 -u {}.service", unit.name))
    }
}

/// The sidecar is not the main process, so that systemd must take messages of all (`NotifyAccess=` of
/// systemd.service(5)).
fn hearing(unit: &Unit, access: &str) -> Hearing {
    let file = quoted(&unit.path.unit);
    if access == "all" {
        return Hearing::Yes(format!("systemd accepts its messages: {file} has NotifyAccess=all"));
    }
    let edit = shell_words(&systemctl(unit, &["edit", unit.name]));
    Hearing::No {
        why: format!("systemd ignores its messages: {file} does not have NotifyAccess=all"),
        what_to_do: format!("add NotifyAccess=all under [Service]: {edit}"),
    }
}

/// Waits until the new start is under way. The process that ran before does not count.
fn wait_for_another(unit: &Unit, before: &UnitStatus) -> Result<(), Error> {
    let mut said = false;
    let mut begun = Instant::now();
    loop {
        let now = Systemd.status(unit)?;
        let is_other =
            if now.invocation.is_empty() { now.runs != before.runs } else { now.invocation != before.invocation };
        if is_other || matches!(now.runs, Runs::No(_)) {
            return Ok(());
        }
        match &now.runs {
            Runs::Later(why) if now.is_held_up => {
                if !std::mem::replace(&mut said, true) {
                    say(&format!("waiting for {}: {why}", quoted(unit.name)));
                }
                // systemd has its own timeout for this, so our time starts again.
                begun = Instant::now();
            }
            _ => {}
        }
        if begun.elapsed() > unit.grace + Duration::from_secs(10) {
            let look = shell_words(&systemctl(unit, &["status", &service(unit)]));
            return Err(Error::NotReady(format!("{} does not end; see: {look}", quoted(unit.name))));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The folders in which `systemctl enable` puts its links for the targets of our units.
const WANTS: [&str; 2] = ["multi-user.target.wants", "default.target.wants"];

fn service(unit: &Unit) -> String {
    format!("{}.service", unit.name)
}

/// The command that makes systemd read its units again.
pub fn reload(scope: Scope) -> Argv {
    of(scope, &["daemon-reload"])
}

fn systemctl(unit: &Unit, words: &[&str]) -> Argv {
    of(unit.scope, words)
}

fn of(scope: Scope, words: &[&str]) -> Argv {
    let of_user = (scope == Scope::User).then_some("--user");
    argv(["systemctl"].into_iter().chain(of_user).chain(words.iter().copied()))
}
