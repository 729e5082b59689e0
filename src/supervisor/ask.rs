#![forbid(unsafe_code)]
//! Runs the supervisors' own commands, to query them and to give them orders. This never happens from inside a service
//! that the supervisor runs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::environment::Environment;
use crate::sys;
use crate::text::elapsed;

/// The longest answer that is read, in bytes.
const MOST: usize = 1 << 20;
/// How often to look whether a command that closed its output has ended.
const TICK: Duration = Duration::from_millis(5);

/// A command of a supervisor, word by word.
pub type Argv = Vec<OsString>;

/// The result of a command. `code` is `None` if a signal ended it.
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a supervisor's command to its end. Kills it at its limit. `of_user`: it is about the user's own manager.
///
/// # Errors
/// When it cannot be executed, and `TimedOut`.
pub fn run(
    argv: &[impl AsRef<OsStr>],
    of_user: bool,
    environment: Option<&Environment>,
    limit: Option<Duration>,
) -> io::Result<Answer> {
    let mut command = Command::new(&argv[0]);
    // `su` and `sudo -u` may remove XDG_RUNTIME_DIR, where the user's manager listens, or leave that of another user.
    let us = nix::unistd::geteuid().as_raw();
    let runtime = environment.and_then(|environment| environment.filled("XDG_RUNTIME_DIR"));
    let runtime = runtime.and_then(|folder| Path::new(folder).metadata().ok());
    if of_user && environment.is_some() && runtime.is_none_or(|folder| folder.uid() != us) {
        let folder = PathBuf::from(format!("/run/user/{us}"));
        if folder.is_dir() {
            command.env("XDG_RUNTIME_DIR", folder);
        }
    }
    command.env("LC_ALL", "C").args(&argv[1..]).stdin(Stdio::null());
    said_by(&mut command, limit)
}

/// A command that is under way. Its output is read at its end.
pub struct Pending(Child);

/// Begins a command. Its errors are not read.
///
/// # Errors
/// When it cannot be executed, or no process or descriptor is available.
pub fn begin(argv: &[OsString]) -> io::Result<Pending> {
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map(Pending)
}

impl Pending {
    /// The descriptor that becomes readable when the answer arrives.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.stdout.as_ref().map(AsFd::as_fd)
    }

    /// The output, once the command has ended.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn answer(self) -> io::Result<Vec<u8>> {
        Ok(self.0.wait_with_output()?.stdout)
    }

    /// Ends the command without an answer.
    pub fn give_up(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Executes a supervisor's command in place of this process. Returns only if that fails.
pub fn become_program(argv: &[OsString]) -> io::Error {
    Command::new(&argv[0]).args(&argv[1..]).exec()
}

/// A command of its words.
pub fn argv<T: AsRef<OsStr>>(words: impl IntoIterator<Item = T>) -> Argv {
    words.into_iter().map(|word| word.as_ref().to_owned()).collect()
}

/// Runs a command to its end. Kills it at its limit.
///
/// # Errors
/// When it cannot be executed, and `TimedOut`.
fn said_by(command: &mut Command, limit: Option<Duration>) -> io::Result<Answer> {
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
