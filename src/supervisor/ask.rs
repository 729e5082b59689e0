#![forbid(unsafe_code)]
//! Runs the supervisors' own commands, to query them and to give them orders. This never happens from inside a service
//! that the supervisor runs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::line::say;
use crate::supervisor::units::Scope;
use crate::supervisor::units::control::Control;
use crate::sys;
use crate::text::{elapsed, one_line, quoted, shell_words};

/// How long a supervisor may take to answer a query.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const MOST: usize = 1 << 20;
/// How often to look whether a command that closed its output has ended.
const TICK: Duration = Duration::from_millis(5);

/// A command of a supervisor, word by word.
pub type Words = Vec<String>;

/// The result of a command. `code` is `None` if a signal ended it.
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Control<'_> {
    /// Prints the command that is about to run.
    pub fn say(&self, words: &Words) {
        say(&shell_words(words));
    }

    /// Prints a command and runs it, for as long as it takes.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn order(&self, words: &Words) -> Result<(), Error> {
        self.say(words);
        let answer = self.attempt(words)?;
        if answer.code == Some(0) { Ok(()) } else { Err(self.failed(&words.join(" "), &answer)) }
    }

    /// Runs a command and returns its output.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the program is missing, [`Error::NotReady`] when it does not answer in time.
    pub fn ask(&self, words: &Words) -> Result<Answer, Error> {
        self.run(words, Some(PATIENCE))
    }

    /// Runs a command for as long as it takes and returns its output. A failure of the command is not an error here.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the program is missing.
    pub fn attempt(&self, words: &Words) -> Result<Answer, Error> {
        self.run(words, None)
    }

    fn run(&self, words: &Words, limit: Option<Duration>) -> Result<Answer, Error> {
        let mut command = Command::new(&words[0]);
        // `su` and `sudo -u` may remove XDG_RUNTIME_DIR, where the user's manager listens, or leave that of another
        // user.
        let us = nix::unistd::geteuid().as_raw();
        let runtime = self.environment.filled("XDG_RUNTIME_DIR").and_then(|folder| Path::new(folder).metadata().ok());
        if self.scope == Scope::User && runtime.is_none_or(|folder| folder.uid() != us) {
            let folder = PathBuf::from(format!("/run/user/{us}"));
            if folder.is_dir() {
                command.env("XDG_RUNTIME_DIR", folder);
            }
        }
        command.env("LC_ALL", "C").args(&words[1..]).stdin(Stdio::null());
        said_by(&mut command, limit).map_err(|e| match e.kind() {
            io::ErrorKind::TimedOut => Error::NotReady(format!("cannot run {}: {e}", quoted(&words.join(" ")))),
            _ => Error::NotFound(format!("cannot execute {}: {e}; install it or add it to PATH", quoted(&words[0]))),
        })
    }

    /// The error for a command that failed, with what the command printed.
    pub fn failed(&self, command: &str, answer: &Answer) -> Error {
        let said = if answer.err.trim().is_empty() { &answer.out } else { &answer.err };
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let code = answer.code.map_or("ended by a signal".to_owned(), |code| format!("exit code {code}"));
        Error::NotReady(format!("cannot run {}: {code}: {}", quoted(command), one_line(&said)))
    }

    /// Repeats `attempt` until it returns something, for at most `patience`.
    ///
    /// # Errors
    /// Those of `attempt`.
    pub fn poll<T>(
        &self,
        patience: Duration,
        interval: Duration,
        mut attempt: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let deadline = Instant::now() + patience;
        loop {
            let found = attempt()?;
            if found.is_some() || Instant::now() >= deadline {
                return Ok(found);
            }
            std::thread::sleep(interval);
        }
    }
}

/// Runs a command to its end. Kills it at its limit.
///
/// # Errors
/// When it cannot be executed, and `TimedOut`.
pub fn said_by(command: &mut Command, limit: Option<Duration>) -> io::Result<Answer> {
    let begun = Instant::now();
    // The process group lets us kill the command's own children with it.
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let mut out = Output { pipe: child.stdout.take().map(OwnedFd::from), said: Vec::new() };
    let mut err = Output { pipe: child.stderr.take().map(OwnedFd::from), said: Vec::new() };
    loop {
        // Query the status before reading the output, so that the last output of an ended command is read too.
        let status = child.try_wait()?;
        out.read();
        err.read();
        if let Some(status) = status {
            let text = |output: Output| String::from_utf8_lossy(&output.said).into_owned();
            return Ok(Answer { code: status.code(), out: text(out), err: text(err) });
        }
        if let Some(limit) = limit.filter(|&limit| begun.elapsed() >= limit) {
            sys::kill_group(child.id() as i32);
            let _ = child.wait();
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {}", elapsed(limit))));
        }
        let tick = if out.pipe.is_some() || err.pipe.is_some() { 20 * TICK } else { TICK };
        sys::wait_readable([out.pipe.as_ref().map(AsFd::as_fd), err.pipe.as_ref().map(AsFd::as_fd)], tick);
    }
}

/// One output of a command. It is not read to its end, because a process that the command left running may keep the
/// pipe open.
struct Output {
    pipe: Option<OwnedFd>,
    said: Vec<u8>,
}

impl Output {
    fn read(&mut self) {
        let mut bytes = [0; 4096];
        while let Some(pipe) = &self.pipe {
            if !sys::wait_readable([Some(pipe.as_fd())], Duration::ZERO)[0] {
                return;
            }
            match nix::unistd::read(pipe, &mut bytes) {
                Ok(0) => self.pipe = None,
                Ok(_) if self.said.len() > MOST => self.pipe = None,
                Ok(count) => self.said.extend_from_slice(&bytes[..count]),
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => self.pipe = None,
            }
        }
    }
}
