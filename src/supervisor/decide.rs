#![forbid(unsafe_code)]
//! Decides between foreground and detached, and gives the reason. Pure: another module looks up the [`Clues`].
//!
//! The rules are tried in order, and the first one that matches wins. Every variable that marks a supervisor is
//! inherited by all processes below it. So a mark does not count if it is proved to belong to another process.

use super::all::ALL;
use super::clues::Clues;
use super::evidence::Remark;
use super::kind::Known;
pub use crate::instance::mode::Mode;

/// What a person asked for.
#[derive(Clone, Copy, Default, Debug)]
pub struct Asked {
    /// `--foreground` or `--detach`, from the command line or the file, and what said so.
    pub flag: Option<(Mode, &'static str)>,
    /// The mode that FORERUN_FOREGROUND asks for.
    pub variable: Option<Mode>,
}

/// The decision, with its reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    pub mode: Mode,
    pub reason: String,
    /// The supervisor that rules 3 to 6 recognise, even if another rule decided.
    pub recognised: Option<Known>,
    /// A supervisor was recognised, or `--foreground` was given without a controlling terminal.
    pub supervised: bool,
    /// Why a supervisor's variables do not count, if they were there.
    pub disproved: Option<String>,
    /// The supervisor started our parent: a start script without `exec`.
    pub parent_supervised: bool,
    /// What a server below the supervisor lacks.
    pub remark: Option<Remark>,
    /// Nothing was asked for and nothing recognised, and there is no terminal at all: the log of a supervisor that
    /// nobody knows must show why the server left.
    pub is_unexplained: bool,
    /// forerun may send messages to NOTIFY_SOCKET.
    pub may_notify: bool,
}

/// Applies the rules.
pub fn decide(asked: Asked, clues: &Clues) -> Decision {
    let disproved = ALL.iter().find_map(|supervisor| supervisor.disproof(clues));
    let found = ALL.iter().filter_map(|&supervisor| Some((supervisor, supervisor.recognise(clues)?)));
    // The first of those with the least rank.
    let found = found.min_by_key(|(_, evidence)| evidence.rank);
    let (mode, reason) = match (asked.flag, asked.variable, &found, &disproved) {
        (Some((mode, flag)), ..) => (mode, format!("{flag} was given")),
        (_, Some(mode), ..) => (mode, "FORERUN_FOREGROUND says so".to_owned()),
        (_, _, Some((_, evidence)), _) => (Mode::Foreground, evidence.reason.clone()),
        (_, _, None, Some(why)) => (Mode::Detached, why.clone()),
        (_, _, None, None) => (Mode::Detached, "no supervisor was recognised".to_owned()),
    };
    let recognised = found.as_ref().map(|(supervisor, _)| *supervisor);
    let asked_foreground = matches!(asked.flag, Some((Mode::Foreground, _)));
    let was_asked = asked.flag.is_some() || asked.variable.is_some();
    Decision {
        mode,
        reason,
        recognised,
        supervised: recognised.is_some() || (asked_foreground && !clues.controlling_terminal),
        parent_supervised: found.is_some_and(|(_, evidence)| evidence.of_parent),
        remark: recognised.and_then(|supervisor| supervisor.remark(clues)),
        is_unexplained: recognised.is_none() && disproved.is_none() && !was_asked && !clues.has_terminal(),
        may_notify: disproved.is_none() && clues.may_notify(),
        disproved,
    }
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
    use crate::environment::Environment;
    use crate::supervisor::clues::Ancestor;

    fn ancestor(pid: i32, name: &str) -> Ancestor {
        Ancestor { pid, session: pid, name: Some(name.into()) }
    }

    /// A plain shell in a terminal.
    fn shell() -> Clues {
        Clues {
            pid: 500,
            session: 400,
            parent: ancestor(400, "bash"),
            grandparent: Some(ancestor(300, "sshd")),
            stdin_is_terminal: true,
            stderr_is_terminal: true,
            controlling_terminal: true,
            ..Clues::default()
        }
    }

    /// A process that a supervisor started: no terminal anywhere.
    fn service() -> Clues {
        Clues {
            stdin_is_terminal: false,
            stderr_is_terminal: false,
            controlling_terminal: false,
            session: 500,
            parent: ancestor(1, "systemd"),
            grandparent: Some(Ancestor::default()),
            ..shell()
        }
    }

    fn with(variables: &[&str], clues: Clues) -> Clues {
        Clues { environment: Environment::new(variables.iter().map(Into::into).collect()), ..clues }
    }

    fn below(parent: Ancestor, clues: Clues) -> Clues {
        Clues { parent, ..clues }
    }

    /// In a start script, itself started by `above`, in the session of one of them.
    fn in_script(above: Ancestor, session: i32) -> Clues {
        Clues { parent: ancestor(400, "sh"), grandparent: Some(above), session, ..service() }
    }

    fn word(decision: &Decision) -> Option<&'static str> {
        decision.recognised.map(|known| known.word())
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        use Mode::{Detached, Foreground};
        let none = Asked::default();
        let flag = |mode, flag| Asked { flag: Some((mode, flag)), ..none };
        let forced = Asked { variable: Some(Foreground), ..none };
        let both = Asked { variable: Some(Foreground), ..flag(Detached, "--detach") };
        let one = &["INVOCATION_ID=1"];
        let label = &["XPC_SERVICE_NAME=org.x.web"];
        let editor = ancestor(400, "editor");
        let unknown = Ancestor { name: None, ..ancestor(1, "") };
        let outside = ancestor(0, "");
        type Row = (&'static str, Asked, Clues, Mode, Option<&'static str>);
        let table: Vec<Row> = vec![
            ("a terminal", none, shell(), Detached, None),
            ("cron", none, service(), Detached, None),
            ("--foreground", flag(Foreground, "--foreground"), shell(), Foreground, None),
            ("forced", forced, shell(), Foreground, None),
            ("--detach beats FORERUN_FOREGROUND", both, with(one, service()), Detached, Some("systemd")),
            ("systemd", none, with(one, service()), Foreground, Some("systemd")),
            ("notified", none, with(&["NOTIFY_SOCKET=/x"], service()), Foreground, Some("a service manager")),
            ("LAUNCHD_SOCKET", none, with(&["LAUNCHD_SOCKET=/x"], shell()), Foreground, Some("launchd")),
            ("a label", none, with(label, service()), Foreground, Some("launchd")),
            ("a label in a terminal", none, with(label, shell()), Detached, None),
            ("an editor of launchd's", none, below(editor, with(label, service())), Detached, None),
            ("XPC 0", none, with(&["XPC_SERVICE_NAME=0"], service()), Detached, None),
            ("an app", none, with(&["XPC_SERVICE_NAME=application.x.1"], service()), Detached, None),
            ("supervisord", none, with(&["SUPERVISOR_ENABLED=1"], service()), Foreground, Some("supervisord")),
            ("below it, in a terminal", none, with(&["SUPERVISOR_ENABLED=1"], shell()), Detached, None),
            ("pid 1", none, Clues { pid: 1, parent: outside.clone(), ..service() }, Foreground, Some("a container")),
            ("tini", none, below(ancestor(1, "tini"), service()), Foreground, Some("a container")),
            ("an unknown pid 1", none, below(unknown, service()), Detached, None),
            ("docker exec -t", none, below(outside.clone(), shell()), Detached, None),
            ("docker exec", none, below(outside, service()), Foreground, Some("a container")),
            ("runit", none, below(ancestor(400, "runsv"), shell()), Foreground, Some("runit")),
            ("s6", none, below(ancestor(400, "s6-supervise"), shell()), Foreground, Some("s6")),
            ("daemontools", none, below(ancestor(400, "supervise"), shell()), Foreground, Some("daemontools")),
            ("OpenRC", none, below(ancestor(400, "supervise-daemon"), shell()), Foreground, Some("OpenRC")),
            ("dinit", none, below(ancestor(400, "dinit"), shell()), Foreground, Some("dinit")),
            ("a script of runit", none, in_script(ancestor(300, "runsv"), 300), Foreground, Some("runit")),
            ("a script of s6", none, in_script(ancestor(300, "s6-supervise"), 400), Foreground, Some("s6")),
            ("a script of tini", none, in_script(ancestor(1, "tini"), 1), Foreground, Some("a container")),
            ("a session of its own", none, in_script(ancestor(1, "bash"), 400), Detached, None),
            ("a job of a service", none, in_script(ancestor(300, "runsv"), 450), Detached, None),
            (
                "a web terminal below runit",
                none,
                Clues { controlling_terminal: true, ..in_script(ancestor(300, "runsv"), 400) },
                Detached,
                None,
            ),
        ];
        for (what, asked, clues, mode, recognised) in table {
            let decision = decide(asked, &clues);
            assert_eq!((decision.mode, word(&decision)), (mode, recognised), "{what}: {decision:?}");
        }
    }

    #[test]
    fn inherited_variables_are_ignored_only_with_proof() {
        let inherited = |exec_pid: Option<i32>, leaf: Option<&str>, clues: Clues| {
            let exec_pid = exec_pid.map(|pid| format!("SYSTEMD_EXEC_PID={pid}")).unwrap_or_default();
            let cgroup_leaf = leaf.map(str::to_owned);
            Clues { cgroup_leaf, ..with(&["INVOCATION_ID=1", "NOTIFY_SOCKET=/x", &exec_pid], clues) }
        };
        let piped_in = Clues { stdin_is_terminal: false, ..shell() };
        let piped_out = Clues { stderr_is_terminal: false, ..shell() };
        for (clues, mode, may_notify) in [
            (inherited(None, None, shell()), Mode::Foreground, true),
            (inherited(Some(7), None, shell()), Mode::Detached, false),
            (inherited(None, Some("app-7.scope"), shell()), Mode::Detached, false),
            (inherited(None, Some("web.service"), shell()), Mode::Foreground, true),
            (inherited(Some(500), Some("web.service"), shell()), Mode::Foreground, true),
            (inherited(Some(400), Some("web.service"), shell()), Mode::Foreground, true),
            (inherited(Some(7), None, piped_in), Mode::Foreground, false),
            (inherited(None, Some("a.scope"), piped_out), Mode::Foreground, true),
        ] {
            let decision = decide(Asked::default(), &clues);
            assert_eq!((decision.mode, decision.may_notify), (mode, may_notify), "{clues:?}");
            assert_eq!(decision.disproved.is_some(), mode == Mode::Detached, "{clues:?}");
        }
    }

    #[test]
    fn a_disproof_does_not_affect_the_other_rules() {
        let clues = below(ancestor(400, "runsv"), shell());
        let decision = decide(Asked::default(), &with(&["INVOCATION_ID=1", "SYSTEMD_EXEC_PID=7"], clues));
        assert_eq!(word(&decision), Some("runit"));
    }

    #[test]
    fn supervised_is_recognised_or_foreground_without_a_terminal() {
        let asked = Asked { flag: Some((Mode::Foreground, "--foreground")), ..Asked::default() };
        let forced = Asked { variable: Some(Mode::Foreground), ..Asked::default() };
        assert!(!decide(asked, &shell()).supervised);
        assert!(decide(asked, &service()).supervised);
        assert_eq!(decide(asked, &service()).recognised, None);
        assert!(decide(Asked::default(), &with(&["INVOCATION_ID=1"], service())).supervised);
        assert!(!decide(forced, &service()).supervised);
    }

    #[test]
    fn a_start_script_without_exec_is_noticed() {
        let of_systemd = |pid: i32| {
            let variables = ["INVOCATION_ID=1", &format!("SYSTEMD_EXEC_PID={pid}")];
            decide(Asked::default(), &below(ancestor(400, "sh"), with(&variables, service()))).parent_supervised
        };
        assert!(of_systemd(400) && !of_systemd(500));
        let decision = |clues| decide(Asked::default(), &clues).parent_supervised;
        assert!(decision(in_script(ancestor(300, "runsv"), 300)));
        assert!(!decision(below(ancestor(300, "runsv"), service())));
        let above = Some(ancestor(300, "supervisord"));
        let script = Clues { grandparent: above, ..below(ancestor(400, "sh"), service()) };
        assert!(decision(with(&["SUPERVISOR_ENABLED=1"], Clues { session: 400, ..script })));
    }

    #[test]
    fn a_detached_start_that_nobody_asked_for_is_explained_where_no_terminal_is() {
        let detach = Asked { flag: Some((Mode::Detached, "--detach")), ..Asked::default() };
        assert!(decide(Asked::default(), &service()).is_unexplained);
        assert!(!decide(Asked::default(), &shell()).is_unexplained);
        assert!(!decide(detach, &service()).is_unexplained);
        assert!(!decide(Asked::default(), &with(&["INVOCATION_ID=1"], service())).is_unexplained);
    }

    #[test]
    fn forerun_foreground_accepts_its_words() {
        assert_eq!(forced("Yes"), Ok(Some(Mode::Foreground)));
        assert_eq!(forced("off"), Ok(Some(Mode::Detached)));
        assert_eq!(forced(""), Ok(None));
        assert_eq!(forced("maybe"), Err(()));
    }
}
