#![forbid(unsafe_code)]
//! Runs the steps before the server, `[[before]]`, one after another, under the lock of the service.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::launch::Launch;
use super::log_file::Log;
use crate::check::run::{Job, Observer, Progress, Work};
use crate::error::Error;
use crate::instance::state::Lock;
use crate::line::say;
use crate::service::Step;
use crate::sys::{Events, StepCommand, StepEnd, Unrun, Waited, Woken};
use crate::text::{elapsed, one_line, quoted};

/// How long a signal that ended a step may take to reach us, too.
const REACHED: Duration = Duration::from_millis(500);

/// Where steps print.
pub enum Output<'a> {
    /// stdout is the server's.
    Stderr,
    Log(&'a Log),
}

/// Runs all steps, until one fails.
///
/// # Errors
/// [`Error::TimedOut`] or [`Error::Unmet`] for a step that failed; [`Error::Interrupted`]; [`Error::Exhausted`].
pub fn run(launch: &mut Launch, output: &Output) -> Result<(), Error> {
    let steps = &launch.given.service.before;
    for (at, step) in steps.iter().enumerate() {
        let place = format!("step {} of {}", at + 1, steps.len());
        if let Err(failure) = run_one(launch, step, &place, output)? {
            return Err(failed(launch, step, &failure, output));
        }
    }
    Ok(())
}

/// The lock that steps have where there is none in a state folder: forerun.toml is where they come from. Where that
/// cannot be locked, nothing keeps two starts apart.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn own_lock(launch: &mut Launch) -> Result<Option<Lock>, Error> {
    let service = launch.given.service;
    let Some(file) = service.config.as_ref().filter(|_| !service.before.is_empty()) else { return Ok(None) };
    match launch.lock_file(file) {
        Err(Error::State(message)) => {
            log::warn!("{message}; two starts at once can both run the steps of [[before]]; continuing");
            Ok(None)
        }
        lock => lock.map(Some),
    }
}

/// Why a step failed.
struct Failure {
    why: String,
    /// Trying again cannot help.
    is_permanent: bool,
}

/// Runs a step. Returns why it failed.
fn run_one(launch: &mut Launch, step: &Step, place: &str, output: &Output) -> Result<Result<(), Failure>, Error> {
    let Launch { context, events, progress_line, given, .. } = launch;
    let stderr = io::stderr();
    let is_ours = matches!(output, Output::Stderr);
    let output: BorrowedFd = match output {
        Output::Stderr => stderr.as_fd(),
        Output::Log(log) => log.file.as_fd(),
    };
    let command = StepCommand {
        script: &step.run,
        environment: context.environment.entries(),
        directory: &context.directory,
        output,
        dispositions: given.dispositions,
    };
    let (label, begun) = (step.called(), Instant::now());
    let status = format!("running {place}: {label}");
    if is_ours {
        say(&format!("running {place}: {}, at most {}", quoted(&label), elapsed(step.timeout)));
    }
    let exhausted = |e| Error::Exhausted(format!("cannot run {place}: {e}; raise the limits or try again"));
    let mut running = command.start().map_err(exhausted)?;
    let jobs = [Job { label, work: Work::Fix(step.run.clone()), deadline: step.timeout }];
    let mut progress = [Progress { attempts: 1, ..Progress::default() }];
    let end = loop {
        if let Some(signal) = events.signal() {
            running.kill();
            progress_line.end();
            return Err(Error::Interrupted(signal));
        }
        let left = step.timeout.saturating_sub(begun.elapsed());
        if left.is_zero() {
            break Err(running.kill());
        }
        // What a step prints would be drawn over.
        if !is_ours {
            progress_line.look(&jobs, &progress, begun.elapsed());
        }
        progress_line.status(&status);
        if events.wait(Some(running.descriptor()), left.min(progress_line.interval())) == Woken::Other {
            break Ok(running.end());
        }
    };
    if let Some(signal) = end.as_ref().ok().and_then(|end| of_all(end, events)) {
        progress_line.end();
        return Err(Error::Interrupted(signal));
    }
    let result = match end {
        Ok(StepEnd { how: Waited::Exited(0), .. }) => Ok(()),
        Ok(end) => Err(failure(step, &end)),
        Err(end) => Err(Failure { why: late(&end, step), is_permanent: step.is_permanent }),
    };
    progress[0].outcome = Some((result.is_ok(), begun.elapsed()));
    if !is_ours {
        progress_line.look(&jobs, &progress, begun.elapsed());
    }
    progress_line.end();
    Ok(result)
}

/// The signal that ended the step, if it was sent to all of us: a service manager and a terminal do that, and nobody
/// knows whom it reaches first.
fn of_all(end: &StepEnd, events: &Events) -> Option<i32> {
    let ended_by = match end.how {
        Waited::Killed { signal, .. } => signal,
        // As a shell says it of its command.
        Waited::Exited(code) => code - 128,
        _ => return None,
    };
    let is_asked_to_end = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM].contains(&ended_by);
    let deadline = Instant::now() + REACHED;
    while is_asked_to_end && events.signal().is_none() && Instant::now() < deadline {
        events.wait(None, deadline.saturating_duration_since(Instant::now()));
    }
    events.signal().filter(|_| is_asked_to_end)
}

/// Why a step failed that ended by itself.
fn failure(step: &Step, end: &StepEnd) -> Failure {
    let why = match (&end.unrun, last_line(step, &end.said)) {
        (Some(unrun), _) => unrun.to_string(),
        (None, Some(line)) => format!("{line} (it {})", end.how),
        (None, None) => format!("it {}", end.how),
    };
    Failure { why, is_permanent: step.is_permanent || end.unrun.as_ref().is_some_and(Unrun::is_too_large) }
}

/// Why a step failed that did not end in time.
fn late(end: &StepEnd, step: &Step) -> String {
    let said = last_line(step, &end.said).map(|line| format!("; it said last: {line}")).unwrap_or_default();
    format!("it did not end within {}, and was killed with its process group{said}", elapsed(step.timeout))
}

/// The last line that a step said, without what references gave.
fn last_line(step: &Step, text: &[u8]) -> Option<String> {
    let mut lines = text.split(|&b| b == b'\n' || b == b'\r').rev().map(<[u8]>::trim_ascii);
    lines.find(|line| !line.is_empty()).map(|line| step.written.masked(&one_line(OsStr::from_bytes(line))))
}

/// The error for a step that failed.
fn failed(launch: &Launch, step: &Step, failure: &Failure, output: &Output) -> Error {
    let Failure { why, is_permanent } = failure;
    let stopped = if launch.reached.checked { "; the server that ran before was stopped" } else { "" };
    let log = match output {
        Output::Stderr => String::new(),
        Output::Log(log) => format!("; its output is in the log {}", quoted(&log.path)),
    };
    let what_to_do = if *is_permanent { "and start again" } else { "the next start runs the steps again" };
    let joint = if *is_permanent { " " } else { "; " };
    let message = format!(
        "step {} of [[before]] failed: {why}{stopped}{log}; mend it{joint}{what_to_do}",
        quoted(&step.called())
    );
    if *is_permanent { Error::Unmet(message) } else { Error::TimedOut(message) }
}
