#![forbid(unsafe_code)]
//! All that is known of systemd(1), and of other service managers that set `NOTIFY_SOCKET` as it does.

pub mod access;
mod control;
mod harden;
mod lines;
mod main_pid;
mod unit;

use std::ffi::{OsStr, OsString};

use super::clues::Clues;
use super::evidence::{Evidence, Proof, Rank};
use super::job::{Active, Argv, Job, Recorded, Verb, argv};
use super::kind::Supervisor;
use super::units::Kind;
use crate::environment::NOTIFY_SOCKET;
use crate::text::one_line;

/// systemd, known by `INVOCATION_ID` (systemd.exec(5)).
pub struct Systemd;

/// A service manager that sets `NOTIFY_SOCKET` and no `INVOCATION_ID`: systemd before 232, or one that speaks its
/// protocol (sd_notify(3)). It has systemd's commands.
pub struct Manager;

impl Supervisor for Systemd {
    fn word(&self) -> &'static str {
        "systemd"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        recognise(clues, "INVOCATION_ID")
    }

    fn disproof(&self, clues: &Clues) -> Option<String> {
        disproof(clues)
    }

    fn proof(&self, clues: &Clues) -> Option<Proof> {
        let exec_pid = clues.variable("SYSTEMD_EXEC_PID");
        let may_be_inherited = exec_pid.as_ref().is_some_and(|pid| *pid != clues.pid.to_string());
        Some(Proof { may_be_inherited, text: proof(exec_pid, clues.pid) })
    }

    fn job(&self, recorded: &Recorded) -> Job {
        job(recorded)
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        command(verb, job)
    }

    fn follows(&self) -> bool {
        true
    }

    fn knows_all_messages(&self) -> bool {
        true
    }

    fn active(&self, job: &Job) -> Option<Active> {
        main_pid::active(job)
    }

    fn service_of_group<'a>(&self, path: &'a str) -> Option<&'a str> {
        unit_of_group(path)
    }

    fn units(&self) -> Option<Kind> {
        Some(&Systemd)
    }
}

impl Supervisor for Manager {
    fn word(&self) -> &'static str {
        "a service manager"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        if clues.has("INVOCATION_ID") { None } else { recognise(clues, NOTIFY_SOCKET) }
    }

    fn proof(&self, clues: &Clues) -> Option<Proof> {
        let text = proof(clues.variable("SYSTEMD_EXEC_PID"), clues.pid);
        Some(Proof { may_be_inherited: false, text })
    }

    fn job(&self, recorded: &Recorded) -> Job {
        job(recorded)
    }

    fn command(&self, verb: Verb, job: &Job) -> Option<Argv> {
        command(verb, job)
    }

    fn follows(&self) -> bool {
        true
    }

    fn active(&self, job: &Job) -> Option<Active> {
        main_pid::active(job)
    }

    fn service_of_group<'a>(&self, path: &'a str) -> Option<&'a str> {
        unit_of_group(path)
    }
}

/// A variable of systemd's counts unless it is proved to be another process's.
fn recognise(clues: &Clues, variable: &str) -> Option<Evidence> {
    if !clues.has(variable) || disproof(clues).is_some() {
        return None;
    }
    let of_parent = clues.started_by_systemd() == Some(clues.parent.pid) && clues.parent.pid != clues.pid;
    Some(Evidence { of_parent, ..Evidence::new(Rank::Variable, format!("{variable} is set")) })
}

/// Proof that INVOCATION_ID and NOTIFY_SOCKET belong to another process: all shells of a terminal inherit them.
fn disproof(clues: &Clues) -> Option<String> {
    let are_there = clues.has("INVOCATION_ID") || clues.has(NOTIFY_SOCKET);
    let is_on_terminal = clues.stdin_is_terminal && clues.stderr_is_terminal;
    if !(are_there && is_on_terminal) {
        return None;
    }
    let whose = "systemd's variables were inherited from another unit";
    if let Some(pid) = clues.started_by_systemd().filter(|pid| *pid != clues.pid && *pid != clues.parent.pid) {
        return Some(format!("{whose}: stdin and stderr are a terminal and SYSTEMD_EXEC_PID is {pid}"));
    }
    let scope = clues.cgroup_leaf.as_deref().filter(|leaf| leaf.ends_with(".scope"))?;
    Some(format!("{whose}: stdin and stderr are a terminal and we are in '{scope}'"))
}

/// What SYSTEMD_EXEC_PID says, as the end of a sentence.
fn proof(exec_pid: Option<String>, us: i32) -> String {
    match exec_pid {
        Some(pid) if pid == us.to_string() => "; the proof: SYSTEMD_EXEC_PID is our own pid".to_owned(),
        Some(pid) => format!("; this is not proved: SYSTEMD_EXEC_PID is {}, another process", one_line(&pid)),
        None => {
            "; this is not proved: SYSTEMD_EXEC_PID is not set (it is systemd before 248, or not systemd)".to_owned()
        }
    }
}

fn job(recorded: &Recorded) -> Job {
    let group = recorded.record.cgroup.as_deref().filter(|_| is_its_own_unit(recorded));
    Job {
        name: group.and_then(unit_of_group).map(OsString::from),
        of_user: recorded.variable("MANAGERPID").is_some(),
        is_activated: recorded.variable("LISTEN_FDS").is_some(),
        ..Job::default()
    }
}

/// Whether systemd started the process itself or its parent. Otherwise the control group belongs to a cron job or to
/// the service of a terminal. systemd before 248 does not set SYSTEMD_EXEC_PID.
fn is_its_own_unit(recorded: &Recorded) -> bool {
    let exec_pid = recorded.variable("SYSTEMD_EXEC_PID").and_then(|pid| pid.to_str()?.parse::<i32>().ok());
    let Some(exec_pid) = exec_pid else { return true };
    let record = recorded.record;
    [record.process.pid, record.first].contains(&exec_pid) || recorded.main().is_some_and(|p| p.parent == exec_pid)
}

fn command(verb: Verb, job: &Job) -> Option<Argv> {
    let unit = job.name.as_deref()?;
    let word = OsStr::new(verb.word());
    let Verb::Logs { lines, follow } = verb else {
        let mut words = argv(["systemctl"]);
        words.extend(job.of_user.then(|| "--user".into()));
        words.push(word.to_owned());
        // A socket that stays would start the service at the next connection.
        if verb == Verb::Stop && job.is_activated {
            words.extend(main_pid::triggers(job));
        }
        words.push(unit.to_owned());
        return Some(words);
    };
    let of = if job.of_user { "--user-unit" } else { "-u" };
    let lines = lines.to_string();
    let words = ["journalctl".as_ref(), of.as_ref(), unit, "-n".as_ref(), lines.as_ref(), "--no-pager".as_ref()];
    let mut words = argv(words);
    words.extend(follow.then(|| "-f".into()));
    Some(words)
}

/// The service in the path of a control group, which may have groups of its own below it. A scope is not a service, and
/// neither is the manager of a user.
fn unit_of_group(path: &str) -> Option<&str> {
    let unit = path.rsplit('/').find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
    (unit.ends_with(".service") && !unit.starts_with("user@")).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(unit_of_group(path), unit, "{path}");
        }
    }
}
