#![forbid(unsafe_code)]
//! Commands: `exec:` checks and fixes. Each has a process group of its own, which is killed and reaped as a
//! whole when its time is over. So is that of a check that fails: a wait tries it over and over.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::context::Context;
use super::reason::Reason;
use crate::sys::{self, ExitWatch, GroupCommand, Prints, Waited};
use crate::text::{elapsed, one_line};

/// How long one attempt of a command may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of stderr is kept for its last line.
const KEPT: usize = 4096;
/// How often a child is asked after where the kernel has nothing to wait on.
const TICK: Duration = Duration::from_millis(20);

/// One attempt of an `exec:` check.
///
/// # Errors
/// What it said last on stderr, or how it ended.
pub fn check(script: &OsStr, context: &Context, limit: Duration, cancel: BorrowedFd) -> Result<(), Reason> {
    run(script, context, Prints::ToUs, limit, cancel)
}

/// A fix. What it prints goes to our stderr: stdout is the server's.
///
/// # Errors
/// How it ended.
pub fn fix(script: &OsStr, context: &Context, limit: Duration, cancel: BorrowedFd) -> Result<(), String> {
    run(script, context, Prints::ToStderr, limit, cancel).map_err(|reason| reason.to_string())
}

fn run(script: &OsStr, context: &Context, prints: Prints, limit: Duration, cancel: BorrowedFd) -> Result<(), Reason> {
    let end = Instant::now() + limit;
    let (environment, directory) = (context.environment.entries(), &*context.directory);
    let command = GroupCommand { script, environment, directory, prints };
    let child = command.start().map_err(|e| unrun(&e))?;
    let group = child.group;
    let watch = ExitWatch::new(group);
    let mut output = Tail { pipe: child.stderr.map(File::from), kept: Vec::new() };
    loop {
        // The status before the output: what the command said last is there once it has ended.
        let status = sys::look_at_child(group).map_err(|e| format!("cannot be waited for: {e}"))?;
        output.read();
        let left = end.saturating_duration_since(Instant::now());
        match status {
            Waited::Running if left.is_zero() || sys::wait_readable([Some(cancel)], Duration::ZERO)[0] => {
                sys::kill_group(group);
                sys::reap_group(group);
                let said = output.last_line().map(|line| format!("; it said: {line}")).unwrap_or_default();
                return Err(format!("did not end within {}{said}", elapsed(limit)).into());
            }
            Waited::Running => {
                let tick = if watch.descriptor().is_some() { left } else { left.min(TICK) };
                sys::wait_readable([watch.descriptor(), output.pipe.as_ref().map(AsFd::as_fd), Some(cancel)], tick);
            }
            other => {
                // Not reaped yet, so that the number is still its group's.
                if other != Waited::Exited(0) && prints == Prints::ToUs {
                    sys::kill_group(group);
                    sys::reap_group(group);
                }
                let _ = sys::wait_for(group);
                return match other {
                    Waited::Exited(0) => Ok(()),
                    other => Err(output.last_line().unwrap_or_else(|| other.to_string()).into()),
                };
            }
        }
    }
}

/// Why no shell could be run.
fn unrun(error: &std::io::Error) -> Reason {
    let words = format!("cannot run /bin/sh: {error}");
    // What is too large stays too large.
    if error.kind() == ErrorKind::ArgumentListTooLong { Reason::Final(words) } else { Reason::Text(words) }
}

/// The end of what a command says on stderr.
struct Tail {
    pipe: Option<File>,
    kept: Vec<u8>,
}

impl Tail {
    /// Reads what is there. Never blocks, and never reads to the end: a grandchild may keep the pipe open, or
    /// may write without end.
    fn read(&mut self) {
        let mut bytes = [0; KEPT];
        for _ in 0..64 {
            let Some(pipe) = self.pipe.as_mut() else { return };
            if !sys::wait_readable([Some(pipe.as_fd())], Duration::ZERO)[0] {
                return;
            }
            match pipe.read(&mut bytes) {
                Ok(0) | Err(_) => self.pipe = None,
                Ok(count) => {
                    self.kept.extend_from_slice(&bytes[..count]);
                    self.kept.drain(..self.kept.len().saturating_sub(KEPT));
                }
            }
        }
    }

    fn last_line(&self) -> Option<String> {
        let mut lines = self.kept.split(|&b| b == b'\n' || b == b'\r').rev().map(<[u8]>::trim_ascii);
        lines.find(|line| !line.is_empty()).map(|line| one_line(OsStr::from_bytes(line)))
    }
}
