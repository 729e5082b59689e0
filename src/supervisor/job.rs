#![forbid(unsafe_code)]
//! The supervisor of an instance: its name for the instance, and its commands for it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::environment::{Environment, UNIT_FILE};
use crate::instance::record::{Record, os_strings};
use crate::sys;
use crate::text::shell_words;

/// The words of systemd.
pub const SYSTEMD: [&str; 2] = ["systemd", "a service manager"];

/// What a supervisor can be asked to do.
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

/// An instance as its supervisor knows it.
#[derive(Debug)]
pub struct Supervised {
    /// The supervisor: `systemd`, `runit`, ...
    pub kind: String,
    /// The supervisor's name for it, if known: the unit, the label, the program or the folder of the service.
    pub unit: Option<OsString>,
    /// The supervisor is the user's own manager, not the system's.
    of_user: bool,
}

/// The supervisor of a recorded instance, if one was recognised.
pub fn of(record: &Record) -> Option<Supervised> {
    let kind = record.supervisor.clone()?;
    let environment = Environment::new(os_strings(&record.environment));
    let get = |name: &str| environment.filled(name).map(OsStr::to_owned);
    let parent = || record.process.verified().map(|p| p.parent);
    // runsv and s6-supervise run in the folder of their service. So does ./run at first.
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
        // The first argument of supervise-daemon is the name of the service.
        "OpenRC" => parent().and_then(sys::command_line).and_then(|words| words.into_iter().nth(1)),
        _ => None,
    };
    let of_user = if kind == "launchd" { is_agent(get(UNIT_FILE)) } else { get("MANAGERPID").is_some() };
    Some(Supervised { kind, unit, of_user })
}

/// Whether systemd started the process itself or its parent. Otherwise the control group belongs to a cron job or to
/// the service of a terminal. systemd before 248 does not set SYSTEMD_EXEC_PID.
fn is_its_own_unit(record: &Record, exec_pid: Option<OsString>) -> bool {
    let Some(exec_pid) = exec_pid.and_then(|pid| pid.to_str()?.parse::<i32>().ok()) else { return true };
    [record.process.pid, record.first].contains(&exec_pid)
        || record.process.verified().is_some_and(|p| p.parent == exec_pid)
}

/// The service in the path of a control group, which may have groups of its own below it. A scope is not a service, and
/// neither is the manager of a user.
pub fn unit_of_cgroup(path: &str) -> Option<&str> {
    let unit = path.rsplit('/').find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
    (unit.ends_with(".service") && !unit.starts_with("user@")).then_some(unit)
}

impl Supervised {
    /// Its unit, where systemd runs it.
    pub fn systemd_unit(&self) -> Option<&OsStr> {
        self.unit.as_deref().filter(|_| SYSTEMD.contains(&self.kind.as_str()))
    }

    /// Tells the user what to do, with the supervisor's own command if it is known.
    pub fn advice(&self, verb: Verb) -> String {
        let word = verb.word();
        match (self.command(verb), self.kind.as_str()) {
            (Some(command), _) => format!("{word} it: {command}"),
            (None, "a container") => format!("{word} the container"),
            (None, kind) => format!("{word} it through {kind}"),
        }
    }

    /// The supervisor's own command, ready to be typed. `None` if its name for the service is unknown.
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

    /// The command that shows the last `lines` lines of the log, if the supervisor has one.
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

    /// Whether the supervisor is the user's own manager, not the system's.
    pub fn is_of_user(&self) -> bool {
        self.of_user
    }

    /// The supervisor and its name for the unit, for people.
    pub fn describe(&self) -> String {
        match &self.unit {
            Some(unit) => format!("{} ({})", self.kind, crate::text::one_line(unit)),
            None => self.kind.clone(),
        }
    }
}

/// The launchd domain of a job: the machine's, or that of this user's login at the screen (launchctl(1)).
pub fn launchd_domain(of_user: bool) -> String {
    if of_user { format!("gui/{}", nix::unistd::geteuid()) } else { "system".to_owned() }
}

/// Whether a job of launchd is an agent. The folder of its plist decides. If forerun did not write the plist, root's
/// jobs count as daemons and all others as agents.
fn is_agent(unit_file: Option<OsString>) -> bool {
    let us = nix::unistd::geteuid();
    unit_file.map_or(!us.is_root(), |file| !PathBuf::from(file).starts_with("/Library/LaunchDaemons"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_supervisor_has_its_own_commands() {
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
    fn without_a_known_command_the_advice_is_in_words() {
        let of = |kind: &str| Supervised { kind: kind.into(), unit: None, of_user: false };
        assert_eq!(of("systemd").advice(Verb::Restart), "restart it through systemd");
        assert_eq!(of("a container").advice(Verb::Stop), "stop the container");
    }

    #[test]
    fn a_unit_is_found_above_its_delegated_groups() {
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
