#![forbid(unsafe_code)]
//! Decides between foreground and detached, and gives the reason. Pure: another module looks up the [`Situation`].
//!
//! The rules are tried in order, and the first one that matches wins. Every variable that marks a supervisor is
//! inherited by all processes below it. So a mark does not count if it is proved to belong to another process.

use std::fmt;

/// How the server is launched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Foreground,
    Detached,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Mode::Foreground => "foreground",
            Mode::Detached => "detached",
        })
    }
}

/// The name of a supervisor in messages and records.
pub type Supervisor = &'static str;

/// Everything that the decision depends on.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// `--foreground` or `--detach`, from the command line or the file.
    pub asked: Option<(Mode, &'static str)>,
    /// The mode that FORERUN_FOREGROUND asks for.
    pub forced: Option<Mode>,
    pub launchd_socket: bool,
    pub notify_socket: bool,
    pub invocation_id: bool,
    pub xpc_service_name: Option<String>,
    pub supervisor_enabled: bool,
    /// SYSTEMD_EXEC_PID, if it is a number.
    pub systemd_exec_pid: Option<i32>,
    pub pid: i32,
    /// 0 if the parent is outside our pid namespace.
    pub parent: i32,
    pub parent_name: Option<String>,
    /// The name of pid 1, looked up only if it is our parent.
    pub init_name: Option<String>,
    pub stdin_is_terminal: bool,
    pub stderr_is_terminal: bool,
    pub controlling_terminal: bool,
    pub cgroup_leaf: Option<String>,
}

/// The decision, with its reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    pub mode: Mode,
    pub reason: String,
    /// The supervisor that rules 3 to 6 recognise, even if another rule decided.
    pub recognised: Option<Supervisor>,
    /// A supervisor was recognised, or `--foreground` was given without a controlling terminal.
    pub supervised: bool,
    /// Why systemd's variables do not count, if they were there.
    pub disproved: Option<String>,
    /// The supervisor started our parent: a start script without `exec`.
    pub parent_supervised: bool,
    /// forerun may send messages to NOTIFY_SOCKET.
    pub may_notify: bool,
}

const INITS: [&str; 13] = [
    "systemd",
    "init",
    "launchd",
    "runit",
    "runit-init",
    "s6-svscan",
    "s6-linux-init",
    "dinit",
    "openrc-init",
    "shepherd",
    "finit",
    "sinit",
    "procd",
];

/// Applies the rules.
pub fn decide(s: &Situation) -> Decision {
    let disproved = disproof(s);
    let found = recognise(s, disproved.is_none());
    let (mode, reason) = if let Some((mode, flag)) = s.asked {
        (mode, format!("{flag} was given"))
    } else if let Some(mode) = s.forced {
        (mode, "FORERUN_FOREGROUND says so".to_owned())
    } else if let Some((_, why)) = &found {
        (Mode::Foreground, why.clone())
    } else if let Some(why) = &disproved {
        (Mode::Detached, why.clone())
    } else {
        (Mode::Detached, "no supervisor was recognised".to_owned())
    };
    let recognised = found.map(|(supervisor, _)| supervisor);
    let asked_foreground = matches!(s.asked, Some((Mode::Foreground, _)));
    let ours = s.systemd_exec_pid.is_none_or(|pid| pid == s.pid || pid == s.parent);
    Decision {
        mode,
        reason,
        recognised,
        supervised: recognised.is_some() || (asked_foreground && !s.controlling_terminal),
        parent_supervised: s.systemd_exec_pid == Some(s.parent) && s.parent != s.pid && disproved.is_none(),
        may_notify: s.notify_socket && ours && disproved.is_none(),
        disproved,
    }
}

/// Rules 3 to 6.
fn recognise(s: &Situation, systemd_counts: bool) -> Option<(Supervisor, String)> {
    let is_set = |name: &str| format!("{name} is set");
    if s.launchd_socket {
        return Some(("launchd", is_set("LAUNCHD_SOCKET")));
    }
    if s.invocation_id && systemd_counts {
        return Some(("systemd", is_set("INVOCATION_ID")));
    }
    if s.notify_socket && systemd_counts {
        return Some(("a service manager", is_set("NOTIFY_SOCKET")));
    }
    if !s.stderr_is_terminal {
        if let Some(label) = s.xpc_service_name.as_deref().filter(|l| is_launchd_label(l)) {
            return Some(("launchd", format!("XPC_SERVICE_NAME is '{label}' and stderr is not a terminal")));
        }
        if s.supervisor_enabled {
            return Some(("supervisord", "SUPERVISOR_ENABLED is set and stderr is not a terminal".to_owned()));
        }
    }
    if s.pid == 1 {
        return Some(("a container", "we are pid 1".to_owned()));
    }
    if s.parent == 1 {
        // If the name is unknown, pid 1 may still be an init, because /proc can hide the name.
        if let Some(name) = s.init_name.as_deref().filter(|n| !INITS.contains(n)) {
            return Some(("a container", format!("our parent is pid 1, '{name}', which is not the system's init")));
        }
    }
    if s.parent == 0 && !s.controlling_terminal {
        return Some((
            "a container",
            "our parent is outside our pid namespace and there is no controlling terminal".to_owned(),
        ));
    }
    let supervisor = match s.parent_name.as_deref()? {
        "runsv" => "runit",
        "s6-supervise" => "s6",
        "supervise" => "daemontools",
        "supervise-daemon" => "OpenRC",
        "dinit" => "dinit",
        _ => return None,
    };
    Some((supervisor, format!("our parent is '{}'", s.parent_name.as_deref()?)))
}

/// Proof that INVOCATION_ID and NOTIFY_SOCKET belong to another process.
fn disproof(s: &Situation) -> Option<String> {
    if !(s.invocation_id || s.notify_socket) || !(s.stdin_is_terminal && s.stderr_is_terminal) {
        return None;
    }
    let whose = "systemd's variables were inherited from another unit";
    match s.systemd_exec_pid {
        Some(pid) if pid != s.pid && pid != s.parent => {
            return Some(format!("{whose}: stdin and stderr are a terminal and SYSTEMD_EXEC_PID is {pid}"));
        }
        _ => {}
    }
    let scope = s.cgroup_leaf.as_deref().filter(|leaf| leaf.ends_with(".scope"))?;
    Some(format!("{whose}: stdin and stderr are a terminal and we are in '{scope}'"))
}

fn is_launchd_label(name: &str) -> bool {
    !(name.is_empty() || name == "0" || name.starts_with("application."))
}

/// The mode that FORERUN_FOREGROUND asks for. `Err` if it is none of the accepted words.
pub fn forced(value: &str) -> Result<Option<Mode>, ()> {
    match value.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "1" | "true" | "yes" | "on" => Ok(Some(Mode::Foreground)),
        "0" | "false" | "no" | "off" => Ok(Some(Mode::Detached)),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain shell in a terminal.
    fn shell() -> Situation {
        Situation {
            pid: 500,
            parent: 400,
            parent_name: Some("bash".into()),
            stdin_is_terminal: true,
            stderr_is_terminal: true,
            controlling_terminal: true,
            ..Situation::default()
        }
    }

    /// A process that a supervisor started: no terminal anywhere.
    fn service() -> Situation {
        Situation {
            stdin_is_terminal: false,
            stderr_is_terminal: false,
            controlling_terminal: false,
            parent: 1,
            init_name: Some("systemd".into()),
            parent_name: Some("systemd".into()),
            ..shell()
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        use Mode::{Detached, Foreground};
        let s = |f: fn(&mut Situation), mut s: Situation| {
            f(&mut s);
            s
        };
        type Row = (&'static str, Situation, Mode, Option<Supervisor>);
        let table: Vec<Row> = vec![
            ("a terminal", shell(), Detached, None),
            ("cron", service(), Detached, None),
            ("--foreground", s(|s| s.asked = Some((Foreground, "--foreground")), shell()), Foreground, None),
            ("forced", s(|s| s.forced = Some(Foreground), shell()), Foreground, None),
            (
                "--detach beats FORERUN_FOREGROUND and keeps what was recognised",
                s(
                    |s| {
                        s.asked = Some((Detached, "--detach"));
                        s.forced = Some(Foreground);
                        s.invocation_id = true;
                    },
                    service(),
                ),
                Detached,
                Some("systemd"),
            ),
            ("systemd", s(|s| s.invocation_id = true, service()), Foreground, Some("systemd")),
            ("NOTIFY_SOCKET alone", s(|s| s.notify_socket = true, service()), Foreground, Some("a service manager")),
            ("LAUNCHD_SOCKET", s(|s| s.launchd_socket = true, shell()), Foreground, Some("launchd")),
            ("a label", s(|s| s.xpc_service_name = Some("org.x.web".into()), service()), Foreground, Some("launchd")),
            ("a label in a terminal", s(|s| s.xpc_service_name = Some("org.x.web".into()), shell()), Detached, None),
            ("XPC 0", s(|s| s.xpc_service_name = Some("0".into()), service()), Detached, None),
            ("an app", s(|s| s.xpc_service_name = Some("application.x.1.2".into()), service()), Detached, None),
            ("supervisord", s(|s| s.supervisor_enabled = true, service()), Foreground, Some("supervisord")),
            ("below supervisord, in a terminal", s(|s| s.supervisor_enabled = true, shell()), Detached, None),
            ("pid 1", s(|s| (s.pid, s.parent) = (1, 0), service()), Foreground, Some("a container")),
            ("tini", s(|s| s.init_name = Some("tini".into()), service()), Foreground, Some("a container")),
            ("an unknown pid 1", s(|s| s.init_name = None, service()), Detached, None),
            ("docker exec -t", s(|s| s.parent = 0, shell()), Detached, None),
            ("docker exec", s(|s| s.parent = 0, service()), Foreground, Some("a container")),
            ("runit", s(|s| s.parent_name = Some("runsv".into()), shell()), Foreground, Some("runit")),
            ("s6", s(|s| s.parent_name = Some("s6-supervise".into()), shell()), Foreground, Some("s6")),
            ("daemontools", s(|s| s.parent_name = Some("supervise".into()), shell()), Foreground, Some("daemontools")),
            ("OpenRC", s(|s| s.parent_name = Some("supervise-daemon".into()), shell()), Foreground, Some("OpenRC")),
            ("dinit", s(|s| s.parent_name = Some("dinit".into()), shell()), Foreground, Some("dinit")),
        ];
        for (what, situation, mode, recognised) in table {
            let decision = decide(&situation);
            assert_eq!((decision.mode, decision.recognised), (mode, recognised), "{what}: {decision:?}");
        }
    }

    #[test]
    fn inherited_variables_are_ignored_only_with_proof() {
        let inherited = Situation { invocation_id: true, notify_socket: true, ..shell() };
        let with = |exec_pid, leaf: Option<&str>| Situation {
            systemd_exec_pid: exec_pid,
            cgroup_leaf: leaf.map(str::to_owned),
            ..inherited.clone()
        };
        for (situation, mode, may_notify) in [
            (with(None, None), Mode::Foreground, true),
            (with(Some(7), None), Mode::Detached, false),
            (with(None, Some("app-7.scope")), Mode::Detached, false),
            (with(None, Some("web.service")), Mode::Foreground, true),
            (with(Some(500), Some("web.service")), Mode::Foreground, true),
            (with(Some(400), Some("web.service")), Mode::Foreground, true),
            (Situation { stdin_is_terminal: false, ..with(Some(7), None) }, Mode::Foreground, false),
            (Situation { stderr_is_terminal: false, ..with(None, Some("a.scope")) }, Mode::Foreground, true),
        ] {
            let decision = decide(&situation);
            assert_eq!((decision.mode, decision.may_notify), (mode, may_notify), "{situation:?}");
            assert_eq!(decision.disproved.is_some(), mode == Mode::Detached, "{situation:?}");
        }
    }

    #[test]
    fn a_disproof_does_not_affect_the_other_rules() {
        let s = Situation { parent_name: Some("runsv".into()), ..shell() };
        let s = Situation { invocation_id: true, systemd_exec_pid: Some(7), ..s };
        assert_eq!(decide(&s).recognised, Some("runit"));
    }

    #[test]
    fn supervised_is_recognised_or_foreground_without_a_terminal() {
        let asked = |s: Situation| Situation { asked: Some((Mode::Foreground, "--foreground")), ..s };
        assert!(!decide(&asked(shell())).supervised);
        assert!(decide(&asked(service())).supervised);
        assert_eq!(decide(&asked(service())).recognised, None);
        assert!(decide(&Situation { invocation_id: true, ..service() }).supervised);
        assert!(!decide(&Situation { forced: Some(Mode::Foreground), ..service() }).supervised);
    }

    #[test]
    fn a_start_script_without_exec_is_noticed() {
        let s = |pid| Situation { invocation_id: true, systemd_exec_pid: Some(pid), ..service() };
        assert!(decide(&Situation { parent: 400, ..s(400) }).parent_supervised);
        assert!(!decide(&s(500)).parent_supervised);
    }

    #[test]
    fn forerun_foreground_accepts_its_words() {
        assert_eq!(forced("Yes"), Ok(Some(Mode::Foreground)));
        assert_eq!(forced("off"), Ok(Some(Mode::Detached)));
        assert_eq!(forced(""), Ok(None));
        assert_eq!(forced("maybe"), Err(()));
    }
}
