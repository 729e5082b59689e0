#![forbid(unsafe_code)]
//! Writes units for systemd 245 and later (systemd.service(5)).

use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use super::Systemd;
use super::harden::{harden, lives_in_tmp};
use super::lines::Lines;
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::path::home;
use crate::supervisor::units::quote::{sh, systemd, systemd_word};
use crate::supervisor::units::spec::{Given, whole_seconds};
use crate::supervisor::units::{Control, File, Scope, Started, UnitPath, UnitSpec, Units};
use crate::sys;

impl Units for Systemd {
    fn word(&self) -> &'static str {
        "systemd"
    }

    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File> {
        File::single(text(spec, given))
    }

    fn kept_path(&self, text: &str) -> Option<String> {
        let line = text.lines().find_map(|line| line.strip_prefix("Environment="))?;
        let value = line.trim_matches('"').strip_prefix("PATH=")?;
        // A PATH of ours contains no other character that systemd escapes.
        Some(value.replace("%%", "%"))
    }

    fn path(&self, scope: Scope, name: &str, dir: Option<&Path>, _: &Environment) -> Result<UnitPath, Error> {
        let folder = match (dir, scope) {
            (Some(dir), _) => dir.to_owned(),
            (None, Scope::System) => "/etc/systemd/system".into(),
            (None, Scope::User) => home()?.join(".config/systemd/user"),
        };
        Ok(UnitPath::file(folder.join(format!("{name}.service"))))
    }

    /// systemd uses only the first unit of a name in its list of folders.
    fn hidden_by(&self, scope: Scope, name: &str) -> Option<PathBuf> {
        let whose = if scope == Scope::System { "system" } else { "user" };
        // The template of `web@1.service` is `web@.service`.
        let template = name.split_once('@').map(|(before, _)| format!("{before}@"));
        let names = [Some(name.to_owned()), template].into_iter().flatten();
        let folders = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"];
        let paths = |name: String| folders.map(|folder| Path::new(folder).join(whose).join(format!("{name}.service")));
        names.flat_map(paths).find(|path| path.symlink_metadata().is_ok())
    }

    fn sets_limits(&self, _: Scope) -> bool {
        true
    }

    fn sends(&self, _: i32) -> bool {
        true
    }

    fn runs_before_stop(&self) -> bool {
        true
    }

    fn refusal(&self, name: &str) -> Option<&'static str> {
        match name {
            _ if name.ends_with('@') => Some("is that of a template, which systemd does not run"),
            _ if name.starts_with('@') => Some("has no template before the '@'"),
            _ => None,
        }
    }

    fn can_harden(&self) -> bool {
        true
    }

    fn needs_login(&self, scope: Scope) -> Option<(&'static str, &'static str)> {
        let needs = scope == Scope::User && !lingers();
        needs.then_some(("stops it when this user logs out", "loginctl enable-linger"))
    }

    fn heals(&self, unit: &Path, environment: &Environment) -> bool {
        unit.extension().is_some_and(|ending| ending == "service") && is_of_us(environment)
    }

    fn is_overridden(&self, unit: &Path) -> bool {
        has_drop_ins(unit)
    }

    fn command_in(&self, text: &str) -> Option<Started> {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
            lines.map(str::trim).rfind(|value| !value.is_empty())
        };
        // The prefixes of systemd.service(5), "COMMAND LINES".
        let command = value("ExecStart")?.trim_start_matches(['-', '+', '!', '@', ':', '|']);
        let folder = value("WorkingDirectory").map(|folder| PathBuf::from(folder.trim_start_matches('-')));
        Some(Started { argv: shlex::split(command)?, folder })
    }

    fn other_folders(&self, scope: Scope) -> Vec<PathBuf> {
        let whose = if scope == Scope::System { "system" } else { "user" };
        let roots = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];
        roots.map(|root| Path::new(root).join(whose)).into()
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

/// Whether systemd started this process itself. systemd before 248 does not set SYSTEMD_EXEC_PID.
fn is_of_us(environment: &Environment) -> bool {
    let said = environment.filled("SYSTEMD_EXEC_PID").and_then(|pid| pid.to_str()?.parse::<u32>().ok());
    said.is_none_or(|pid| pid == std::process::id())
}

/// Whether a drop-in changes a unit of systemd (systemd.unit(5)).
fn has_drop_ins(unit: &Path) -> bool {
    let file = unit.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Drop-ins of `web-1.service` may also be in `web-.service.d`, and those of all services in `service.d`.
    let prefixes = file.match_indices('-').map(|(at, _)| format!("{}.service.d", &file[..=at]));
    let names: Vec<String> = prefixes.chain([format!("{file}.d"), "service.d".to_owned()]).collect();
    let folders = ["/etc/systemd", "/run/systemd"]
        .iter()
        .flat_map(|root| ["system", "user", "system.control", "user.control"].map(|whose| Path::new(root).join(whose)));
    let mut folders = folders.chain(unit.parent().map(Path::to_owned));
    folders.any(|folder| names.iter().any(|name| folder.join(name).is_dir()))
}

fn text(spec: &UnitSpec, given: &Given) -> String {
    let scope = spec.made.scope;
    let mut out = Lines::default();
    set_unit(&mut out, spec, given);
    out.section("Service");
    set_readiness(&mut out, spec);
    set_user(&mut out, spec);
    set_environment(&mut out, spec);
    out.set("Checks what the server needs, then becomes the server.", "ExecStart", &systemd(&given.argv));
    let (soft, hard) = spec.nofile();
    let why = "The usual limit of 1024 is low for a server. If the server calls select(2), use --nofile 1024.";
    out.set(why, "LimitNOFILE", &format!("{soft}:{hard}"));
    out.set("Restart the server whenever it ends,", "Restart", "always");
    out.set("after a pause,", "RestartSec", "2s");
    let why = "except after exit code 78: a mistake in the configuration, which a restart cannot fix.";
    out.set(why, "RestartPreventExitStatus", "78");
    set_stop(&mut out, spec);
    if spec.made.harden {
        harden(&mut out, scope, lives_in_tmp(spec));
    }

    out.section("Install");
    let (why, target) = match scope {
        Scope::System => ("Start at boot, once the unit is enabled.", "multi-user.target"),
        Scope::User => ("Start at login, once the unit is enabled. With lingering, start at boot.", "default.target"),
    };
    out.set(why, "WantedBy", target);
    out.0
}

/// The head, and the lines about the unit itself.
fn set_unit(out: &mut Lines, spec: &UnitSpec, given: &Given) {
    let (name, scope) = (&spec.name, spec.made.scope);
    let user_flag = if scope == Scope::User { "--user " } else { "" };
    out.say(&format!(
        "{name}, started by forerun. Written by 'forerun unit systemd'. To change it, edit forerun.toml or run that command\n\
         again with other flags. Settings for this machine only belong in a drop-in: systemctl {user_flag}edit {name}\n\
         forerun keeps this file up to date as long as nobody edits it. It leaves an edited file alone."
    ));
    out.say(&given.marker);
    out.section("Unit");
    out.set("Name of the service in systemctl and the journal.", "Description", &format!("{name} (forerun)"));
    if scope == Scope::System {
        let why = "Stop the service before the network. At the start, forerun itself waits for what the service needs.";
        out.set(why, "After", "network.target");
    }
    let why = "Restart without a limit, every RestartSec: what the service waits for may come back in an hour.";
    out.set(why, "StartLimitIntervalSec", "0");
}

/// The lines about when the server counts as started, and about who tells systemd.
fn set_readiness(out: &mut Lines, spec: &UnitSpec) {
    let (started, how) = match (spec.server_notifies, &spec.health) {
        (true, _) => ("when the server says so", "notify"),
        (_, Some(_)) => ("when the server is healthy", "notify"),
        (_, None) => ("when forerun is executed", "exec"),
    };
    let why = format!("The unit counts as started {started}. forerun becomes the server, so this pid is the server's.");
    out.set(&why, "Type", how);
    if let Some(health) = &spec.health {
        let timeout = health.timeout.as_millis().div_ceil(1000) + 5;
        let why =
            "--health-timeout and 5 seconds more. During waits, fixes and steps forerun asks systemd for more time.";
        out.set(why, "TimeoutStartSec", &format!("{timeout}s"));
    }
    let why = match spec.server_notifies {
        true => "Any process of the server may report to systemd.",
        _ => "forerun's sidecar, which is not the main process, reports readiness and feeds the watchdog.",
    };
    out.set(why, "NotifyAccess", "all");
    if let Some(watchdog) = spec.watchdog {
        let why = "on-unhealthy = \"restart\": systemd restarts a server that runs but no longer answers.";
        out.set(why, "WatchdogSec", &format!("{}s", whole_seconds(watchdog)));
    }
}

fn set_user(out: &mut Lines, spec: &UnitSpec) {
    match (&spec.made.user, spec.made.scope) {
        (Some(user), _) => out.set(spec.why_user(), "User", user),
        (None, Scope::System) => out.say(
            "Runs as root. To run it as another user, make it as that user, or write it again with --as USER:\n\
             forerun unit systemd --install --as USER",
        ),
        (None, Scope::User) => {}
    }
}

fn set_environment(out: &mut Lines, spec: &UnitSpec) {
    let why =
        "PATH of the shell that created this unit, without temporary folders. systemd's own PATH has no ~/.local/bin.";
    out.set(why, "Environment", &assignment("PATH", &spec.search_path));
    if let Some(state) = &spec.made.state {
        let why = "State folder of the shell that created this unit, so that both find the same record.";
        out.set(why, "Environment", &assignment("FORERUN_STATE_DIR", state));
    }
    let why = "Path of this file, so that forerun can keep it up to date. The server does not see this variable.";
    out.set(why, "Environment", &assignment("FORERUN_UNIT", &spec.path.unit.to_string_lossy()));
}

/// The lines about the end of the server, and about its reload.
fn set_stop(out: &mut Lines, spec: &UnitSpec) {
    let ending = &spec.ending;
    let signal = sys::signal_name(ending.signal);
    let why = "Signal the main process, which lets its workers finish. SIGKILL then ends what is left of the unit.";
    out.set(why, "KillMode", "mixed");
    if ending.signal != libc::SIGTERM {
        out.set("[stop] signal.", "KillSignal", &signal);
    }
    let mut timeout = spec.grace();
    if let Some(before) = &ending.before {
        let seconds = whole_seconds(ending.before_timeout);
        timeout = timeout.max(seconds);
        let folder = sh(&[spec.directory.clone().into()]);
        let command = sh(&["timeout".into(), seconds.to_string().into(), "/bin/sh".into(), "-c".into(), before.into()]);
        // systemd runs it too after a server has ended by itself.
        let script = format!("[ -z \"$MAINPID\" ] || {{ cd {folder} && {command}; }}");
        let why = "[stop] before, ahead of the signal. It has this unit's environment, without env-file and [env].";
        let command = systemd(&["/bin/sh".into(), "-c".into(), script.into()]);
        out.set(why, "ExecStop", &format!("-{command}"));
    }
    let why = match timeout > spec.grace() {
        true => format!("The time for ExecStop, and then from {signal} to SIGKILL."),
        false => format!("The grace: time from {signal} to SIGKILL."),
    };
    out.set(&why, "TimeoutStopSec", &format!("{timeout}s"));
    let mut clean = (128 + ending.signal).to_string();
    // systemd.service(5) has these four for a clean end anyway.
    if ![libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE].contains(&ending.signal) {
        clean += &format!(" {signal}");
    }
    out.set("The end of a server that was told to end is no failure.", "SuccessExitStatus", &clean);
    let words = [spec.made.program.clone().into(), "reload".into(), spec.name.clone().into()];
    let why = format!("Sends {} to the server, and waits until it is healthy.", sys::signal_name(ending.reload_signal));
    out.set(&why, "ExecReload", &systemd(&words));
}

fn assignment(name: &str, value: &str) -> String {
    systemd_word(&format!("{name}={value}"), false)
}

/// Whether systemd runs this user's manager without a login.
pub fn lingers() -> bool {
    let us = User::from_uid(geteuid()).ok().flatten();
    us.is_some_and(|us| Path::new("/var/lib/systemd/linger").join(us.name).exists())
}
