#![forbid(unsafe_code)]
//! Controls launchd through launchctl(1), which returns too early and reports errors for orders that worked.

use std::path::Path;
use std::time::Duration;

use plist::Value;

use crate::error::Error;
use crate::supervisor::ask::Words;
use crate::supervisor::units::Scope;
use crate::supervisor::units::control::{Control, Runs, Standing};
use crate::supervisor::units::path::label;
use crate::text::{quoted, shell_words};

/// How long launchd may take to remove a job, and to load it again. `bootout` returns early, and a `bootstrap` that
/// follows too soon fails with "5: Input/output error".
const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(500);
/// The exit code of `launchctl print` for a job that does not exist.
const NO_SUCH_SERVICE: i32 = 113;
/// The longest ExitTimeOut that launchd has been seen to accept, in seconds.
const LONGEST_EXIT: u64 = 60;

pub fn start_commands(control: &Control, restart: bool) -> Vec<Words> {
    let (domain, target) = (domain(control.scope), target(control));
    let plist = control.place.unit.to_string_lossy().into_owned();
    let gone = [launchctl(&["bootout", &target]), ["sleep", "10"].map(str::to_owned).into()];
    let rest = [
        launchctl(&["enable", &target]),
        launchctl(&["bootstrap", &domain, &plist]),
        launchctl(&["kickstart", &target]),
    ];
    gone.into_iter().filter(|_| restart).chain(rest).collect()
}

/// The command line that makes launchd load a plist again, for a person to type.
pub fn load_again(scope: Scope, name: &str, plist: &Path) -> String {
    let domain = domain(scope);
    let plist = shell_words(&[plist]);
    format!("launchctl bootout {domain}/{}; until launchctl bootstrap {domain} {plist}; do sleep 1; done", label(name))
}

/// Whether the launchd domain of the job exists.
///
/// # Errors
/// [`Error::NotReady`] when nobody is logged in, [`Error::NotFound`] when launchctl is missing.
pub fn could_start(control: &Control) -> Result<(), Error> {
    match has_domain(control)? {
        true => Ok(()),
        false => Err(Error::NotReady(format!(
            "cannot start {} under launchd: {NOBODY}, and an agent runs only while its user is; log in there, or install a daemon: \
             sudo forerun unit launchd --install --now",
            quoted(control.name)
        ))),
    }
}

const NOBODY: &str = "this user is not logged in at the screen";

pub fn start(control: &Control, changed: bool) -> Result<(), Error> {
    let [enable, bootstrap, kickstart] = &start_commands(control, false)[..] else { return Ok(()) };
    let runs = || Ok(matches!(standing(control)?.runs, Runs::Yes(_)));
    if let Some(loaded) = loaded(control)? {
        // `kickstart` does not read the plist again.
        if !changed && !is_older(control, &loaded) {
            return insist(control, kickstart, runs);
        }
        stop(control)?;
    }
    control.order(enable)?;
    insist(control, bootstrap, || Ok(self::loaded(control)?.is_some()))?;
    insist(control, kickstart, runs)
}

/// Queries launchd about the job. The output of `launchctl print` is meant for people, but these lines have been the
/// same for years.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    let loaded = loaded(control)?;
    let runs = match &loaded {
        None if has_domain(control)? => Runs::No("not loaded".to_owned()),
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
    let is_older = loaded.is_some_and(|job| is_older(control, &job));
    Ok(Standing { is_older, ..Standing::of(!is_disabled(control)?, runs) })
}

/// Removes the job and waits until it is gone.
pub fn stop(control: &Control) -> Result<(), Error> {
    let Some(job) = loaded(control)? else { return Ok(()) };
    let bootout = launchctl(&["bootout", &target(control)]);
    control.say(&bootout);
    // `bootout` fails with "36: Operation now in progress" if the job takes long to end. Only whether the job is gone
    // counts.
    let answer = control.attempt(&bootout)?;
    let its_own = value(&job, "exit timeout").parse().map_or(Duration::ZERO, Duration::from_secs);
    let patience = PATIENCE + control.grace.max(its_own);
    let gone = control.poll(patience, INTERVAL, || Ok(loaded(control)?.is_none().then_some(())))?;
    gone.ok_or_else(|| control.failed(&bootout.join(" "), &answer))
}

/// Whether somebody disabled the job. A job that is not loaded is loaded at the next login or boot otherwise.
fn is_disabled(control: &Control) -> Result<bool, Error> {
    let said = control.ask(&launchctl(&["print-disabled", &domain(control.scope)]))?.out;
    let ours = format!("\"{}\" => ", label(control.name));
    let mut lines = said.lines().filter_map(|line| line.trim().strip_prefix(&ours));
    Ok(lines.any(|state| matches!(state, "disabled" | "true")))
}

/// Whether launchd has loaded an older plist than the file, as far as `launchctl print` shows.
fn is_older(control: &Control, job: &str) -> bool {
    let Ok(Value::Dictionary(plist)) = Value::from_file(&control.place.unit) else { return false };
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

pub fn start_again(control: &Control) -> Words {
    let mut commands = start_commands(control, false);
    if matches!(loaded(control), Ok(Some(_))) { commands.pop() } else { commands.drain(..).nth(1) }.unwrap_or_default()
}

pub fn restart(control: &Control) -> Words {
    launchctl(&["kickstart", "-k", &target(control)])
}

/// What `launchctl print` shows of the job. `None` if launchd has not loaded it.
fn loaded(control: &Control) -> Result<Option<String>, Error> {
    let print = launchctl(&["print", &target(control)]);
    let answer = control.ask(&print)?;
    match answer.code {
        Some(0) => Ok(Some(answer.out)),
        Some(NO_SUCH_SERVICE) => Ok(None),
        _ if !has_domain(control)? => Ok(None),
        _ => Err(control.failed(&print.join(" "), &answer)),
    }
}

/// Whether the domain exists. The machine's always does; a user's does while that user is logged in at the screen.
fn has_domain(control: &Control) -> Result<bool, Error> {
    Ok(control.scope == Scope::System || control.ask(&launchctl(&["print", &domain(control.scope)]))?.code == Some(0))
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
fn insist(control: &Control, words: &Words, is_so: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
    control.say(words);
    let mut last = None;
    let done = control.poll(PATIENCE, INTERVAL, || {
        let answer = control.attempt(words)?;
        let succeeded = answer.code == Some(0) || is_so()?;
        last = Some(answer);
        Ok(succeeded.then_some(()))
    })?;
    match (done, last) {
        (None, Some(answer)) => Err(control.failed(&words.join(" "), &answer)),
        _ => Ok(()),
    }
}

fn domain(scope: Scope) -> String {
    super::domain(scope == Scope::User)
}

fn target(control: &Control) -> String {
    format!("{}/{}", domain(control.scope), label(control.name))
}

fn launchctl(words: &[&str]) -> Words {
    ["launchctl"].iter().chain(words).map(|word| (*word).to_owned()).collect()
}
