#![forbid(unsafe_code)]
//! The supervisor of an instance: what it calls the instance, and its own commands for it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::record::{Record, os_strings};
use crate::environment::{Environment, UNIT_FILE};
use crate::sys;
use crate::text::shell_words;

/// What can be asked of a supervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Stop,
    Restart,
}

impl Verb {
    pub fn word(self) -> &'static str {
        match self {
            Verb::Stop => "stop",
            Verb::Restart => "restart",
        }
    }
}

/// A supervisor and the instance that it runs.
#[derive(Debug)]
pub struct Supervised {
    /// What recognised it says: `systemd`, `runit`, ...
    pub kind: String,
    /// The unit, the label, the program's name or the service's folder, where that is known.
    pub unit: Option<OsString>,
    /// It is the user's own manager, not the system's.
    of_user: bool,
}

/// The supervisor of a recorded instance, where one was recognised.
pub fn of(record: &Record) -> Option<Supervised> {
    let kind = record.supervisor.clone()?;
    let environment = Environment::new(os_strings(&record.environment));
    let get = |name: &str| environment.filled(name).map(OsStr::to_owned);
    let parent = || record.process.verified().map(|p| p.parent);
    // runsv and s6-supervise work in the folder of their service; so does their ./run, at first.
    let folder =
        || parent().and_then(sys::working_directory).or(Some(PathBuf::from(OsString::from(&record.called_in))));
    let unit = match kind.as_str() {
        "systemd" | "a service manager" if is_its_own_unit(record, get("SYSTEMD_EXEC_PID")) => {
            record.cgroup.as_deref().and_then(unit_of_cgroup).map(OsString::from)
        }
        "launchd" => get("XPC_SERVICE_NAME"),
        "supervisord" => get("SUPERVISOR_PROCESS_NAME").map(|process| match get("SUPERVISOR_GROUP_NAME") {
            Some(group) if group != process => [group, process].join(OsStr::new(":")),
            _ => process,
        }),
        "runit" | "s6" | "daemontools" => folder().map(OsString::from),
        // supervise-daemon has the service's name for its first argument.
        "OpenRC" => parent().and_then(sys::command_line).and_then(|words| words.into_iter().nth(1)),
        _ => None,
    };
    let of_user = if kind == "launchd" { is_agent(get(UNIT_FILE)) } else { get("MANAGERPID").is_some() };
    Some(Supervised { kind, unit, of_user })
}

/// Whether systemd started the process itself, or its parent; else the control group is that of a cron job or a
/// terminal's service. Systemd before 248 does not say.
fn is_its_own_unit(record: &Record, exec_pid: Option<OsString>) -> bool {
    let Some(exec_pid) = exec_pid.and_then(|pid| pid.to_str()?.parse::<i32>().ok()) else { return true };
    exec_pid == record.process.pid || record.process.verified().is_some_and(|p| p.parent == exec_pid)
}

/// The service in a control group's path, which may have groups of its own below it. A scope is none, and its user's
/// manager is not its unit.
pub fn unit_of_cgroup(path: &str) -> Option<&str> {
    let unit = path.rsplit('/').find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
    (unit.ends_with(".service") && !unit.starts_with("user@")).then_some(unit)
}

impl Supervised {
    /// What to do, in words and with the supervisor's own command.
    pub fn advice(&self, verb: Verb) -> String {
        let word = verb.word();
        match (self.command(verb), self.kind.as_str()) {
            (Some(command), _) => format!("{word} it: {command}"),
            (None, "a container") => format!("{word} the container"),
            (None, kind) => format!("{word} it through {kind}"),
        }
    }

    /// The supervisor's own command, to be typed, where its name for the service is known.
    pub fn command(&self, verb: Verb) -> Option<String> {
        let (stop, word) = (verb == Verb::Stop, verb.word());
        let unit = self.unit.as_ref()?;
        let words: Vec<&OsStr> = match self.kind.as_str() {
            "systemd" | "a service manager" if self.of_user => {
                vec!["systemctl".as_ref(), "--user".as_ref(), word.as_ref(), unit]
            }
            "systemd" | "a service manager" => vec!["systemctl".as_ref(), word.as_ref(), unit],
            "supervisord" => vec!["supervisorctl".as_ref(), word.as_ref(), unit],
            "runit" => vec!["sv".as_ref(), word.as_ref(), unit],
            "s6" => vec!["s6-svc".as_ref(), if stop { "-d" } else { "-r" }.as_ref(), unit],
            "daemontools" => vec!["svc".as_ref(), if stop { "-d" } else { "-t" }.as_ref(), unit],
            "OpenRC" => vec!["rc-service".as_ref(), unit, word.as_ref()],
            "launchd" => {
                let mut target = OsString::from(launchd_domain(self.of_user) + "/");
                target.push(unit);
                let verb: &[&str] = if stop { &["bootout"] } else { &["kickstart", "-k"] };
                let words: Vec<OsString> =
                    ["launchctl"].iter().chain(verb).map(OsString::from).chain([target]).collect();
                return Some(shell_words(&words));
            }
            _ => return None,
        };
        Some(shell_words(&words))
    }

    /// The command that shows the last `lines` of its log, where the supervisor has one.
    pub fn log_command(&self, lines: usize, follow: bool) -> Option<Vec<OsString>> {
        let unit = self.unit.clone()?;
        let mut words: Vec<OsString> = match self.kind.as_str() {
            "systemd" if self.of_user => vec!["journalctl".into(), "--user-unit".into(), unit],
            "systemd" => vec!["journalctl".into(), "-u".into(), unit],
            _ => return None,
        };
        words.extend(["-n".into(), lines.to_string().into(), "--no-pager".into()]);
        if follow {
            words.push("-f".into());
        }
        Some(words)
    }

    /// Whether it is the user's own manager, not the system's.
    pub fn is_of_user(&self) -> bool {
        self.of_user
    }

    /// Its name and unit, for people.
    pub fn describe(&self) -> String {
        match &self.unit {
            Some(unit) => format!("{} ({})", self.kind, crate::text::one_line(unit)),
            None => self.kind.clone(),
        }
    }
}

/// Where launchd keeps a job: the machine's, or those of this user, who is logged in at the screen.
pub fn launchd_domain(of_user: bool) -> String {
    if of_user { format!("gui/{}", nix::unistd::geteuid()) } else { "system".to_owned() }
}

/// Whether a job of launchd is an agent: that is where its plist is. Without one of ours root's jobs are daemons.
fn is_agent(unit_file: Option<OsString>) -> bool {
    let us = nix::unistd::geteuid();
    unit_file.map_or(!us.is_root(), |file| !PathBuf::from(file).starts_with("/Library/LaunchDaemons"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_supervisor_has_its_own_words() {
        let of = |kind: &str, unit: Option<&str>, of_user| Supervised {
            kind: kind.into(),
            unit: unit.map(OsString::from),
            of_user,
        };
        for (supervised, stop, restart) in [
            (of("systemd", Some("web.service"), false), "systemctl stop web.service", "systemctl restart web.service"),
            (
                of("systemd", Some("web@a.service"), true),
                "systemctl --user stop web@a.service",
                "systemctl --user restart web@a.service",
            ),
            (of("supervisord", Some("g:web"), false), "supervisorctl stop g:web", "supervisorctl restart g:web"),
            (of("runit", Some("/etc/sv/my web"), false), "sv stop '/etc/sv/my web'", "sv restart '/etc/sv/my web'"),
            (of("s6", Some("/run/s/web"), false), "s6-svc -d /run/s/web", "s6-svc -r /run/s/web"),
            (of("OpenRC", Some("web"), false), "rc-service web stop", "rc-service web restart"),
        ] {
            let (stop, restart) = (Some(stop.to_owned()), Some(restart.to_owned()));
            assert_eq!((supervised.command(Verb::Stop), supervised.command(Verb::Restart)), (stop, restart));
        }
    }

    #[test]
    fn where_no_command_is_known_there_are_words() {
        let of = |kind: &str| Supervised { kind: kind.into(), unit: None, of_user: false };
        assert_eq!(of("systemd").advice(Verb::Restart), "restart it through systemd");
        assert_eq!(of("a container").advice(Verb::Stop), "stop the container");
    }

    #[test]
    fn a_unit_is_found_above_the_groups_that_it_delegates() {
        for (path, unit) in [
            ("/system.slice/web.service", Some("web.service")),
            ("/user.slice/user-1.slice/user@1.service/app.slice/web.service/payload", Some("web.service")),
            ("/user.slice/user-1.slice/session-3.scope", None),
            ("/user.slice/user-1.slice/user@1.service/app.slice/app-terminal.scope", None),
            ("/user.slice/user-1.slice/user@1.service", None),
            ("/", None),
        ] {
            assert_eq!(unit_of_cgroup(path), unit, "{path}");
        }
    }
}
