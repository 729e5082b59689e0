#![forbid(unsafe_code)]
//! Writes units for systemd 245 and later, and controls it through systemctl.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::{User, geteuid};

use crate::error::Error;
use crate::line::say;
use crate::service::{Action, Speaker};
use crate::supervisor::ask::Words;
use crate::supervisor::systemd::harden::{harden, lives_in_tmp};
use crate::supervisor::units::control::{Control, Runs, Standing};
use crate::supervisor::units::quote::{sh, systemd, systemd_word};
use crate::supervisor::units::spec::whole_seconds;
use crate::supervisor::units::{Draft, File, Scope};
use crate::sys;
use crate::text::{quoted, shell_words};

pub fn files(draft: &Draft) -> Vec<File> {
    vec![File { name: "", text: text(draft), executable: false }]
}

/// The PATH in a unit that forerun wrote.
pub fn kept_path(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("Environment="))?;
    let value = line.trim_matches('"').strip_prefix("PATH=")?;
    // A PATH of ours contains no other character that systemd escapes.
    Some(value.replace("%%", "%"))
}

fn text(draft: &Draft) -> String {
    let Draft { service, made, .. } = draft;
    let scope = &made.scope;
    let name = &service.name;
    let user_flag = if *scope == Scope::User { "--user " } else { "" };
    let mut out = Lines::default();
    out.say(&format!(
        "{name}, started by forerun. Written by 'forerun unit systemd'. To change it, edit forerun.toml or run that command\n\
         again with other flags. Settings for this machine only belong in a drop-in: systemctl {user_flag}edit {name}\n\
         forerun keeps this file up to date as long as nobody edits it. It leaves an edited file alone."
    ));
    out.say(&draft.marker());
    out.section("Unit");
    out.set("Name of the service in systemctl and the journal.", "Description", &format!("{name} (forerun)"));
    if *scope == Scope::System {
        out.set(
            "Stop the service before the network. At the start, forerun itself waits for what the service needs.",
            "After",
            "network.target",
        );
    }
    out.set(
        "Restart without a limit, every RestartSec: what the service waits for may come back in an hour.",
        "StartLimitIntervalSec",
        "0",
    );

    out.section("Service");
    let (started, how) = match (service.notify, &service.health) {
        (Speaker::Server, _) => ("when the server says so", "notify"),
        (_, Some(_)) => ("when the server is healthy", "notify"),
        (_, None) => ("when forerun is executed", "exec"),
    };
    let why = format!("The unit counts as started {started}. forerun becomes the server, so this pid is the server's.");
    out.set(&why, "Type", how);
    if service.health.is_some() {
        let timeout = service.health_timeout.as_millis().div_ceil(1000) + 5;
        let why = "--health-timeout and 5 seconds more. During waits and fixes forerun asks systemd for more time.";
        out.set(why, "TimeoutStartSec", &format!("{timeout}s"));
    }
    let why = match service.notify {
        Speaker::Server => "Any process of the server may report to systemd.",
        _ => "forerun's sidecar, which is not the main process, reports readiness and feeds the watchdog.",
    };
    out.set(why, "NotifyAccess", "all");
    if service.watches && service.watch.on_unhealthy == Action::Restart && service.health.is_some() {
        let why = "on-unhealthy = \"restart\": systemd restarts a server that runs but no longer answers.";
        out.set(why, "WatchdogSec", "30s");
    }
    match (&draft.made.user, scope) {
        (Some(user), _) => out.set(draft.why_user(), "User", user),
        (None, Scope::System) => out.say(
            "Runs as root. To run it as another user, make it as that user, or write it again with --as USER:\n\
             forerun unit systemd --install --as USER",
        ),
        (None, Scope::User) => {}
    }
    let why =
        "PATH of the shell that created this unit, without temporary folders. systemd's own PATH has no ~/.local/bin.";
    out.set(why, "Environment", &assignment("PATH", &draft.path));
    if let Some(state) = &draft.made.state {
        let why = "State folder of the shell that created this unit, so that both find the same record.";
        out.set(why, "Environment", &assignment("FORERUN_STATE_DIR", state));
    }
    let why = "Path of this file, so that forerun can keep it up to date. The server does not see this variable.";
    out.set(why, "Environment", &assignment("FORERUN_UNIT", &draft.place.unit.to_string_lossy()));
    out.set("Checks what the server needs, then becomes the server.", "ExecStart", &systemd(&draft.words()));
    let (soft, hard) = draft.nofile();
    let why = "The usual limit of 1024 is low for a server. If the server calls select(2), use --nofile 1024.";
    out.set(why, "LimitNOFILE", &format!("{soft}:{hard}"));
    out.set("Restart the server whenever it ends,", "Restart", "always");
    out.set("after a pause,", "RestartSec", "2s");
    let why = "except after exit code 78: a mistake in the configuration, which a restart cannot fix.";
    out.set(why, "RestartPreventExitStatus", "78");
    set_stop(&mut out, draft);
    if draft.made.harden {
        harden(&mut out, *scope, lives_in_tmp(draft));
    }

    out.section("Install");
    match scope {
        Scope::System => out.set("Start at boot, once the unit is enabled.", "WantedBy", "multi-user.target"),
        Scope::User => {
            out.set(
                "Start at login, once the unit is enabled. With lingering, start at boot.",
                "WantedBy",
                "default.target",
            );
        }
    }
    out.0
}

/// The lines about the end of the server, and about its reload.
fn set_stop(out: &mut Lines, draft: &Draft) {
    let ending = &draft.service.ending;
    let signal = sys::signal_name(ending.signal);
    let why = "Signal the main process, which lets its workers finish. SIGKILL then ends what is left of the unit.";
    out.set(why, "KillMode", "mixed");
    if ending.signal != libc::SIGTERM {
        out.set("[stop] signal.", "KillSignal", &signal);
    }
    let mut timeout = draft.grace();
    if let Some(before) = &ending.before {
        let seconds = whole_seconds(ending.before_timeout);
        timeout = timeout.max(seconds);
        let folder = sh(&[draft.service.directory.clone().into()]);
        let command = sh(&["timeout".into(), seconds.to_string().into(), "/bin/sh".into(), "-c".into(), before.into()]);
        // systemd runs it too after a server has ended by itself.
        let script = format!("[ -z \"$MAINPID\" ] || {{ cd {folder} && {command}; }}");
        let why = "[stop] before, ahead of the signal. It has this unit's environment, without env-file and [env].";
        let command = systemd(&["/bin/sh".into(), "-c".into(), script.into()]);
        out.set(why, "ExecStop", &format!("-{command}"));
    }
    let why = match timeout > draft.grace() {
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
    let words = [draft.made.program.clone().into(), "reload".into(), draft.service.name.clone().into()];
    let why = format!("Sends {} to the server, and waits until it is healthy.", sys::signal_name(ending.reload_signal));
    out.set(&why, "ExecReload", &systemd(&words));
}

fn assignment(name: &str, value: &str) -> String {
    systemd_word(&format!("{name}={value}"), false)
}

/// The commands that make a unit run. `restart`: it may run already, with an older text.
pub fn start_commands(control: &Control, restart: bool) -> Vec<Words> {
    let unit = unit(control);
    // systemd does not search other folders, so a unit there is enabled by its path.
    let usual = control.place.unit.starts_with("/etc/systemd")
        || control.place.unit.ends_with(format!(".config/systemd/user/{unit}"));
    let enabled = if usual { unit.clone() } else { control.place.unit.to_string_lossy().into_owned() };
    vec![
        reload(control.scope),
        systemctl(control, &["enable", &enabled]),
        systemctl(control, &[if restart { "restart" } else { "start" }, &unit]),
    ]
}

pub fn start(control: &Control, changed: bool) -> Result<(), Error> {
    // The running process may have an older text, because a start or a person replaced the file since.
    let standing = standing(control)?;
    // A unit in its pause before the next start is restarted without the pause.
    let is_other = changed || standing.is_older || standing.has_ended;
    let restart = is_other && matches!(standing.runs, Runs::Yes(_) | Runs::Later(_));
    let mut commands = start_commands(control, restart);
    // The caller watches the unit after this. It sees more than whether the start worked: what forerun waits for, and
    // that it stands by.
    if let Some(last) = commands.last_mut() {
        last.push("--no-block".to_owned());
    }
    commands.iter().try_for_each(|words| control.order(words))?;
    if restart { wait_for_another(control, &standing) } else { Ok(()) }
}

/// Waits until the new start is under way. The process that ran before does not count.
fn wait_for_another(control: &Control, before: &Standing) -> Result<(), Error> {
    let mut said = false;
    let mut begun = Instant::now();
    loop {
        let now = standing(control)?;
        let is_other =
            if now.invocation.is_empty() { now.runs != before.runs } else { now.invocation != before.invocation };
        if is_other || matches!(now.runs, Runs::No(_)) {
            return Ok(());
        }
        match &now.runs {
            Runs::Later(why) if now.is_held_up => {
                if !std::mem::replace(&mut said, true) {
                    say(&format!("waiting for {}: {why}", quoted(control.name)));
                }
                // systemd has its own timeout for this, so our time starts again.
                begun = Instant::now();
            }
            _ => {}
        }
        if begun.elapsed() > control.grace + Duration::from_secs(10) {
            let look = shell_words(&systemctl(control, &["status", &unit(control)]));
            return Err(Error::NotReady(format!("{} does not end; see: {look}", quoted(control.name))));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Queries systemd about the unit.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    const ASKED: &str = "--property=ActiveState,SubState,MainPID,UnitFileState,StatusText,Result,NotifyAccess,\
                         NeedDaemonReload,Job,InvocationID,TimeoutStartUSec,ExecMainStatus";
    let answer = control.ask(&systemctl(control, &["show", ASKED, &unit(control)]))?;
    if answer.code != Some(0) {
        return Err(control.failed("systemctl show", &answer));
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
    Ok(Standing {
        enabled: matches!(value("UnitFileState").as_str(), "enabled" | "enabled-runtime"),
        runs,
        status,
        hears_sidecar: Some(value("NotifyAccess") == "all"),
        is_older: value("NeedDaemonReload") == "yes",
        has_ended,
        is_held_up,
        starting: pid,
        invocation: value("InvocationID"),
        limit: humantime::parse_duration(&value("TimeoutStartUSec")).ok(),
    })
}

pub fn stop(control: &Control) -> Result<(), Error> {
    match standing(control) {
        // systemd did not boot this machine or container, so nothing runs.
        Err(e) => log::warn!("{e}; continuing"),
        Ok(Standing { runs: Runs::No(_), .. }) => {}
        Ok(_) => control.order(&systemctl(control, &["stop", &unit(control)]))?,
    }
    control.order(&systemctl(control, &["disable", &unit(control)])).or_else(|e| {
        // systemd cannot disable a unit whose text it cannot read.
        log::warn!("{e}; continuing");
        let wanted = control.place.unit.parent().into_iter().flat_map(|folder| WANTS.map(|wants| folder.join(wants)));
        let mut links = wanted.map(|wants| wants.join(unit(control))).filter(|link| link.is_symlink());
        links
            .try_for_each(std::fs::remove_file)
            .map_err(|e| Error::State(format!("cannot disable {}: {e}", quoted(&control.place.unit))))
    })
}

/// The folders in which `systemctl enable` puts its links for the targets of our units.
const WANTS: [&str; 2] = ["multi-user.target.wants", "default.target.wants"];

/// Makes systemd forget a unit whose file is gone.
pub fn forget(control: &Control) -> Result<(), Error> {
    if standing(control).is_err() {
        return Ok(());
    }
    control.order(&reload(control.scope))?;
    // Otherwise systemd remembers a failed unit. If the unit did not fail, the command reports an error, which does not
    // matter.
    control.attempt(&systemctl(control, &["reset-failed", &unit(control)])).map(drop)
}

/// Whether systemd runs this user's manager without a login.
pub fn lingers() -> bool {
    let us = User::from_uid(geteuid()).ok().flatten();
    us.is_some_and(|us| Path::new("/var/lib/systemd/linger").join(us.name).exists())
}

fn unit(control: &Control) -> String {
    format!("{}.service", control.name)
}

/// The command that makes systemd read its units again.
pub fn reload(scope: Scope) -> Words {
    of(scope, &["daemon-reload"])
}

fn systemctl(control: &Control, words: &[&str]) -> Words {
    of(control.scope, words)
}

fn of(scope: Scope, words: &[&str]) -> Words {
    let of_user = (scope == Scope::User).then_some("--user");
    ["systemctl"].into_iter().chain(of_user).chain(words.iter().copied()).map(str::to_owned).collect()
}

/// The lines of a unit.
#[derive(Default)]
pub struct Lines(String);

impl Lines {
    pub fn say(&mut self, comment: &str) {
        comment.lines().for_each(|line| self.0 += &format!("# {}\n", line.trim_start()));
    }

    fn section(&mut self, name: &str) {
        self.0 += &format!("\n[{name}]\n");
    }

    /// A setting, below a comment with its reason.
    pub fn set(&mut self, why: &str, key: &str, value: &str) {
        self.say(why);
        self.0 += &format!("{key}={value}\n");
    }
}
