#![forbid(unsafe_code)]
//! Controls launchd through launchctl(1), which returns too early and reports errors for orders that worked.

use std::path::Path;
use std::time::Duration;

use plist::Value;

use super::{Launchd, label};
use crate::error::Error;
use crate::supervisor::ask::{Argv, argv};
use crate::supervisor::units::run::spoken;
use crate::supervisor::units::{Control, Runs, Scope, Unit, UnitStatus};
use crate::text::{quoted, shell_words};

/// How long launchd may take to remove a job, and to load it again. `bootout` returns early, and a `bootstrap` that
/// follows too soon fails with "5: Input/output error".
const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(500);
/// The exit code of `launchctl print` for a job that does not exist.
const NO_SUCH_SERVICE: i32 = 113;
/// The longest ExitTimeOut that launchd has been seen to accept, in seconds.
const LONGEST_EXIT: u64 = 60;
const NOBODY: &str = "this user is not logged in at the screen";

impl Control for Launchd {
    fn program(&self) -> &'static str {
        "launchctl"
    }

    fn start_commands(&self, unit: &Unit, restart: bool) -> Vec<Argv> {
        let (domain, target) = (domain(unit.scope), target(unit));
        let plist = unit.path.unit.to_string_lossy().into_owned();
        let gone = [launchctl(&["bootout", &target]), argv(["sleep", "10"])];
        let rest = [
            launchctl(&["enable", &target]),
            launchctl(&["bootstrap", &domain, &plist]),
            launchctl(&["kickstart", &target]),
        ];
        gone.into_iter().filter(|_| restart).chain(rest).collect()
    }

    fn could_start(&self, unit: &Unit) -> Result<(), Error> {
        match has_domain(unit)? {
            true => Ok(()),
            false => Err(Error::NotReady(format!(
                "cannot start {} under launchd: {NOBODY}, and an agent runs only while its user is; log in there, or install a daemon: \
                 sudo forerun unit launchd --install --now",
                quoted(unit.name)
            ))),
        }
    }

    fn start(&self, unit: &Unit, changed: bool) -> Result<(), Error> {
        let [enable, bootstrap, kickstart] = &self.start_commands(unit, false)[..] else { return Ok(()) };
        let runs = || Ok(matches!(self.status(unit)?.runs, Runs::Yes(_)));
        if let Some(loaded) = loaded(unit)? {
            // `kickstart` does not read the plist again.
            if !changed && !is_older(unit, &loaded) {
                return insist(unit, kickstart, runs);
            }
            self.stop(unit)?;
        }
        unit.order(enable)?;
        insist(unit, bootstrap, || Ok(self::loaded(unit)?.is_some()))?;
        insist(unit, kickstart, runs)
    }

    fn status(&self, unit: &Unit) -> Result<UnitStatus, Error> {
        let loaded = loaded(unit)?;
        let runs = match &loaded {
            None if has_domain(unit)? => Runs::No("not loaded".to_owned()),
            None => Runs::No(NOBODY.to_owned()),
            Some(job) => match (value(job, "state"), value(job, "pid").parse().ok()) {
                // In other states the pid belongs to a process of launchd that will execute the job.
                ("running", Some(pid)) => Runs::Yes(pid),
                (state, _) => Runs::Later(format!(
                    "{state}, last exit code {}",
                    value(job, "last exit code").replace("(never exited)", "none")
                )),
            },
        };
        let is_older = loaded.is_some_and(|job| is_older(unit, &job));
        Ok(UnitStatus { is_older, ..UnitStatus::of(!is_disabled(unit)?, runs) })
    }

    fn stop(&self, unit: &Unit) -> Result<(), Error> {
        let Some(job) = loaded(unit)? else { return Ok(()) };
        let bootout = launchctl(&["bootout", &target(unit)]);
        unit.say(&bootout);
        // `bootout` fails with "36: Operation now in progress" if the job takes long to end. Only whether the job is gone
        // counts.
        let answer = unit.attempt(&bootout)?;
        let its_own = value(&job, "exit timeout").parse().map_or(Duration::ZERO, Duration::from_secs);
        let patience = PATIENCE + unit.grace.max(its_own);
        let gone = unit.poll(patience, INTERVAL, || Ok(loaded(unit)?.is_none().then_some(())))?;
        gone.ok_or_else(|| unit.failed(&spoken(&bootout), &answer))
    }

    fn start_command(&self, unit: &Unit) -> Argv {
        let mut commands = self.start_commands(unit, false);
        if matches!(loaded(unit), Ok(Some(_))) { commands.pop() } else { commands.drain(..).nth(1) }.unwrap_or_default()
    }

    fn restart_command(&self, unit: &Unit) -> Argv {
        launchctl(&["kickstart", "-k", &target(unit)])
    }

    fn reread_command(&self, unit: &Unit) -> String {
        load_again(unit.scope, unit.name, &unit.path.unit)
    }
}

/// The command line that makes launchd load a plist again, for a person to type.
pub fn load_again(scope: Scope, name: &str, plist: &Path) -> String {
    let domain = domain(scope);
    let plist = shell_words(&[plist]);
    format!("launchctl bootout {domain}/{}; until launchctl bootstrap {domain} {plist}; do sleep 1; done", label(name))
}

/// Whether somebody disabled the job. A job that is not loaded is loaded at the next login or boot otherwise.
fn is_disabled(unit: &Unit) -> Result<bool, Error> {
    let said = unit.ask(&launchctl(&["print-disabled", &domain(unit.scope)]))?.out;
    let ours = format!("\"{}\" => ", label(unit.name));
    let mut lines = said.lines().filter_map(|line| line.trim().strip_prefix(&ours));
    Ok(lines.any(|state| matches!(state, "disabled" | "true")))
}

/// Whether launchd has loaded an older plist than the file, as far as `launchctl print` shows.
fn is_older(unit: &Unit, job: &str) -> bool {
    let Ok(Value::Dictionary(plist)) = Value::from_file(&unit.path.unit) else { return false };
    let shown = value(job, "exit timeout").parse::<u64>().ok();
    let written = plist.get("ExitTimeOut").and_then(Value::as_unsigned_integer);
    let differs = |(shown, written): (u64, u64)| shown.min(LONGEST_EXIT) != written.min(LONGEST_EXIT);
    let arguments = plist.get("ProgramArguments").and_then(Value::as_array);
    let arguments: Option<Vec<&str>> = arguments.and_then(|all| all.iter().map(Value::as_string).collect());
    // An argument with a newline looks like several arguments in the output.
    let arguments = arguments.filter(|all| !all.iter().any(|argument| argument.contains('\n')));
    shown.zip(written).is_some_and(differs)
        || list(job, "arguments").zip(arguments).is_some_and(|(shown, written)| shown != written)
}

/// What `launchctl print` shows of the job. `None` if launchd has not loaded it.
fn loaded(unit: &Unit) -> Result<Option<String>, Error> {
    let print = launchctl(&["print", &target(unit)]);
    let answer = unit.ask(&print)?;
    match answer.code {
        Some(0) => Ok(Some(answer.out)),
        Some(NO_SUCH_SERVICE) => Ok(None),
        _ if !has_domain(unit)? => Ok(None),
        _ => Err(unit.failed(&spoken(&print), &answer)),
    }
}

/// Whether the domain exists. The machine's always does; a user's does while that user is logged in at the screen.
fn has_domain(unit: &Unit) -> Result<bool, Error> {
    Ok(unit.scope == Scope::System || unit.ask(&launchctl(&["print", &domain(unit.scope)]))?.code == Some(0))
}

/// The value of a key of the job itself. Keys of its parts are indented more.
fn value<'a>(job: &'a str, key: &str) -> &'a str {
    let line = |line: &'a str| line.strip_prefix('\t')?.strip_prefix(key)?.strip_prefix(" = ");
    job.lines().find_map(line).unwrap_or_default()
}

/// The lines of a list in the output.
fn list<'a>(job: &'a str, key: &str) -> Option<Vec<&'a str>> {
    let begin = format!("\t{key} = {{");
    let mut lines = job.lines().skip_while(|line| **line != *begin);
    lines.next()?;
    Some(lines.map_while(|line| line.strip_prefix("\t\t")).collect())
}

/// Repeats a command until it succeeds or its effect is there. launchctl also fails with "5: Input/output error" or
/// "37: Operation already in progress" when the order worked.
fn insist(unit: &Unit, words: &Argv, is_so: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
    unit.say(words);
    let mut last = None;
    let done = unit.poll(PATIENCE, INTERVAL, || {
        let answer = unit.attempt(words)?;
        let succeeded = answer.code == Some(0) || is_so()?;
        last = Some(answer);
        Ok(succeeded.then_some(()))
    })?;
    match (done, last) {
        (None, Some(answer)) => Err(unit.failed(&spoken(words), &answer)),
        _ => Ok(()),
    }
}

fn domain(scope: Scope) -> String {
    super::domain(scope == Scope::User)
}

fn target(unit: &Unit) -> String {
    format!("{}/{}", domain(unit.scope), label(unit.name))
}

fn launchctl(words: &[&str]) -> Argv {
    argv(["launchctl"].iter().chain(words))
}
