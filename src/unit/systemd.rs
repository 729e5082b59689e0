#![forbid(unsafe_code)]
//! Units of systemd 245 and later.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::{User, geteuid};

use super::ask::Words;
use super::control::{Control, Runs, Standing};
use super::harden::{harden, lives_in_tmp};
use super::quote::{systemd, systemd_word};
use super::{Draft, File, Scope};
use crate::error::Error;
use crate::report::line::say;
use crate::service::{Action, Speaker};
use crate::text::{quoted, shell_words};

pub fn files(draft: &Draft) -> Vec<File> {
    vec![File { name: "", text: text(draft), executable: false }]
}

/// The PATH that a unit of ours has.
pub fn kept_path(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("Environment="))?;
    let value = line.trim_matches('"').strip_prefix("PATH=")?;
    // What else would be escaped no PATH of ours has.
    Some(value.replace("%%", "%"))
}

fn text(draft: &Draft) -> String {
    let Draft { service, made, .. } = draft;
    let scope = &made.scope;
    let name = &service.name;
    let user_flag = if *scope == Scope::User { "--user " } else { "" };
    let mut out = Lines::default();
    out.say(&format!(
        "{name}, started by forerun. Made by 'forerun unit systemd'. Change forerun.toml, or the flags below by making it\n\
         anew. What is this machine's only belongs in a drop-in: systemctl {user_flag}edit {name}. As long as nobody edits this\n\
         file forerun keeps it up to date; once edited it is left alone."
    ));
    out.say(&draft.marker());
    out.section("Unit");
    out.set("What systemctl and the journal call it.", "Description", &format!("{name} (forerun)"));
    if *scope == Scope::System {
        out.set(
            "Stopped before the network is; what it needs at the start forerun waits for.",
            "After",
            "network.target",
        );
    }
    out.set(
        "Tried again for ever, every RestartSec: what it waits for may come back in an hour.",
        "StartLimitIntervalSec",
        "0",
    );

    out.section("Service");
    let (started, how) = match (service.notify, &service.health) {
        (Speaker::Server, _) => ("that the server says so", "notify"),
        (_, Some(_)) => ("healthy", "notify"),
        (_, None) => ("executed", "exec"),
    };
    let why = format!("Started means {started}. forerun becomes the server, so that this pid is the server's.");
    out.set(&why, "Type", how);
    if service.health.is_some() {
        let timeout = service.health_timeout.as_millis().div_ceil(1000) + 5;
        let why = "--health-timeout and a little; for waits and fixes forerun asks for more.";
        out.set(why, "TimeoutStartSec", &format!("{timeout}s"));
    }
    let why = match service.notify {
        Speaker::Server => "The server speaks for itself, and whatever process of it does.",
        _ => "Whatever is told (readiness, the watchdog) forerun's sidecar tells, which is not the main process.",
    };
    out.set(why, "NotifyAccess", "all");
    if service.watches && service.watch.on_unhealthy == Action::Restart && service.health.is_some() {
        let why = "on-unhealthy = \"restart\": a server that is alive and no longer answers is restarted.";
        out.set(why, "WatchdogSec", "30s");
    }
    match (&draft.made.user, scope) {
        (Some(user), _) => out.set("Not root: it was made by this user, or for it.", "User", user),
        (None, Scope::System) => out.say(&format!(
            "Runs as root. For another user make it as that user (forerun unit systemd --system), or say\n\
             User= in a drop-in: systemctl edit {name}"
        )),
        (None, Scope::User) => {}
    }
    let why = "The PATH of who made this unit, less temporary folders: a unit's own has no ~/.local/bin.";
    out.set(why, "Environment", &assignment("PATH", &draft.path));
    if let Some(state) = &draft.made.state {
        let why = "Where its record is, as for who made this unit.";
        out.set(why, "Environment", &assignment("FORERUN_STATE_DIR", state));
    }
    let why = "Which file this is, for forerun to keep it up to date. The server does not see it.";
    out.set(why, "Environment", &assignment("FORERUN_UNIT", &draft.place.unit.to_string_lossy()));
    out.set("Checks what the server needs, and then becomes it.", "ExecStart", &systemd(&draft.words()));
    let (soft, hard) = draft.nofile();
    let why = "The usual 1024 is little for a server; for one that calls select(2): --nofile 1024.";
    out.set(why, "LimitNOFILE", &format!("{soft}:{hard}"));
    out.set("Whatever it ended with, it is started again,", "Restart", "always");
    out.set("after a pause,", "RestartSec", "2s");
    let why = "but not after 78: a mistake in the configuration, which a restart cannot mend.";
    out.set(why, "RestartPreventExitStatus", "78");
    out.set("The grace: SIGTERM, and after this long SIGKILL.", "TimeoutStopSec", &format!("{}s", draft.grace()));
    if draft.made.harden {
        harden(&mut out, *scope, lives_in_tmp(draft));
    }

    out.section("Install");
    match scope {
        Scope::System => out.set("From boot on, once it is enabled.", "WantedBy", "multi-user.target"),
        Scope::User => {
            out.set("From login on, once it is enabled; with lingering from boot on.", "WantedBy", "default.target");
        }
    }
    out.0
}

fn assignment(name: &str, value: &str) -> String {
    systemd_word(&format!("{name}={value}"), false)
}

/// The commands that make a unit run: also one that ran as it was before.
pub fn start_commands(control: &Control, restart: bool) -> Vec<Words> {
    let unit = unit(control);
    // One that is not where systemd looks is linked by its path.
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
    // What runs may be of a text that was replaced since, by a start of its own or by hand.
    let standing = standing(control)?;
    // One that pauses before its next start need not.
    let is_other = changed || standing.is_older || standing.has_ended;
    let restart = is_other && matches!(standing.runs, Runs::Yes(_) | Runs::Later(_));
    let mut commands = start_commands(control, restart);
    // Whoever looks at it then knows more than whether it got ready: what it waits for, and that it stands by.
    if let Some(last) = commands.last_mut() {
        last.push("--no-block".to_owned());
    }
    commands.iter().try_for_each(|words| control.order(words))?;
    if restart { wait_for_another(control, &standing) } else { Ok(()) }
}

/// Waits until the start is under way that is to come: what ran before is not what is asked for.
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
                // Systemd has a limit of its own for it.
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

/// What systemd says of the unit.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    const ASKED: &str = "--property=ActiveState,SubState,MainPID,UnitFileState,StatusText,Result,NotifyAccess,\
                         NeedDaemonReload,Job,InvocationID,TimeoutStartUSec";
    let answer = control.ask(&systemctl(control, &["show", ASKED, &unit(control)]))?;
    if answer.code != Some(0) {
        return Err(control.failed("systemctl show", &answer));
    }
    let value = |key: &str| {
        let line = answer.out.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    let state = format!("{} ({})", value("ActiveState"), value("SubState"));
    // It is kept of what has ended.
    let has_ended = value("SubState").starts_with("auto-restart");
    let is_up = !has_ended && !matches!(value("ActiveState").as_str(), "inactive" | "failed");
    let has_job = !matches!(value("Job").as_str(), "" | "0");
    let status = Some(value("StatusText")).filter(|text| is_up && !text.is_empty());
    let said = match (status.clone().unwrap_or_default(), value("Result")) {
        (status, _) if !status.is_empty() => format!("{state}: {status}"),
        (_, result) if !matches!(result.as_str(), "" | "success") => format!("{state}: {result}"),
        _ => state,
    };
    let pid = value("MainPID").parse().ok().filter(|&pid| pid > 0);
    let runs = match (value("ActiveState").as_str(), pid) {
        ("active" | "reloading", Some(pid)) => Runs::Yes(pid),
        // What is being stopped may be started again in a moment.
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
        // Systemd is not what booted this machine or container: there is nothing to stop.
        Err(e) => log::warn!("{e}; continuing"),
        Ok(Standing { runs: Runs::No(_), .. }) => {}
        Ok(_) => control.order(&systemctl(control, &["stop", &unit(control)]))?,
    }
    control.order(&systemctl(control, &["disable", &unit(control)])).or_else(|e| {
        // A text that systemd cannot read cannot be disabled either.
        log::warn!("{e}; continuing");
        let wanted = control.place.unit.parent().into_iter().flat_map(|folder| WANTS.map(|wants| folder.join(wants)));
        let mut links = wanted.map(|wants| wants.join(unit(control))).filter(|link| link.is_symlink());
        links.try_for_each(std::fs::remove_file).map_err(|e| Error::State(format!("cannot disable it: {e}")))
    })
}

/// Where `systemctl enable` puts its links, for the targets that our units name.
const WANTS: [&str; 2] = ["multi-user.target.wants", "default.target.wants"];

/// What is left to do once the file is gone.
pub fn forget(control: &Control) -> Result<(), Error> {
    if standing(control).is_err() {
        return Ok(());
    }
    control.order(&reload(control.scope))?;
    // One that failed is remembered otherwise, and one that did not is none: no error.
    control.attempt(&systemctl(control, &["reset-failed", &unit(control)])).map(drop)
}

/// Whether this user's manager runs without a login.
pub fn lingers() -> bool {
    let us = User::from_uid(geteuid()).ok().flatten();
    us.is_some_and(|us| Path::new("/var/lib/systemd/linger").join(us.name).exists())
}

fn unit(control: &Control) -> String {
    format!("{}.service", control.name)
}

/// What makes systemd read its units.
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

    /// A line below its reason.
    pub fn set(&mut self, why: &str, key: &str, value: &str) {
        self.say(why);
        self.0 += &format!("{key}={value}\n");
    }
}
