//! Executing: becoming the server, detaching it, running a check.

use std::ffi::{CString, NulError, OsStr, OsString, c_char};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::fd::close_on_exec_from;
use super::limits::{Nofile, set_nofile};
use super::signal::Dispositions;

/// An execve that is ready to run: everything that needs memory is done.
struct Execve {
    path: CString,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    _strings: [Vec<CString>; 2],
}

// SAFETY: the pointers point into `_strings`, whose heap buffers stay where they are, and are only read.
unsafe impl Send for Execve {}
// SAFETY: as above.
unsafe impl Sync for Execve {}

impl Execve {
    fn new(path: &Path, args: &[OsString], environment: &[OsString]) -> io::Result<Self> {
        let strings = |list: &[OsString]| -> Result<Vec<CString>, NulError> {
            list.iter().map(|s| CString::new(s.as_bytes())).collect()
        };
        let pointers = |list: &[CString]| list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        let strings = [strings(args)?, strings(environment)?];
        Ok(Execve {
            path: CString::new(path.as_os_str().as_bytes())?,
            argv: pointers(&strings[0]),
            envp: pointers(&strings[1]),
            _strings: strings,
        })
    }

    /// Runs it. Safe between fork and exec. Returns only with the reason why it could not.
    fn run(&self) -> io::Error {
        // SAFETY: the path is a C string, both arrays end with a null pointer, and what they point to is alive.
        unsafe { libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// Replaces this process. Returns only with the reason why it could not.
///
/// `std`'s `exec` would set SIGPIPE to its default and rebuild the environment; execve changes nothing.
pub fn become_command(
    path: &Path,
    args: &[OsString],
    environment: &[OsString],
    dispositions: Dispositions,
) -> io::Error {
    match Execve::new(path, args, environment) {
        Ok(execve) => {
            dispositions.hand_on();
            let error = execve.run();
            dispositions.set_own();
            error
        }
        Err(error) => error,
    }
}

/// How a detached server is started.
pub struct Detached<'a> {
    pub path: &'a Path,
    pub args: &'a [OsString],
    pub environment: &'a [OsString],
    pub log: &'a File,
    pub nofile: Option<Nofile>,
    pub dispositions: Dispositions,
}

/// Starts a server in a session of its own: stdin from /dev/null, stdout and stderr to the log, no other
/// descriptor.
///
/// # Errors
/// Those of fork and of the child's execve, with the errno that it met.
pub fn spawn_detached(start: &Detached) -> io::Result<Child> {
    let Detached { nofile, dispositions, .. } = *start;
    let execve = Execve::new(start.path, start.args, start.environment)?;
    let mut command = Command::new(start.path);
    command.stdin(Stdio::null()).stdout(start.log.try_clone()?).stderr(start.log.try_clone()?);
    // SAFETY: setsid, fcntl, close_range, setrlimit, sigaction and execve are async-signal-safe, and nothing
    // allocates. The execve is ours, not std's: the same one as in the foreground, without execvp's `sh` for
    // files that are no programs. It runs after std has reset SIGPIPE; its errno comes back from `spawn`.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::setsid()?;
            close_on_exec_from(3);
            nofile.map(set_nofile);
            dispositions.hand_on();
            Err(execve.run())
        });
    }
    command.spawn()
}

/// A shell command in a process group of its own, with the environment given and none of our descriptors.
pub fn group_command(script: &OsStr, environment: &[OsString], directory: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).current_dir(directory).process_group(0).stdin(Stdio::null());
    set_environment(&mut command, environment);
    // SAFETY: fcntl and close_range are async-signal-safe, and nothing is captured.
    unsafe {
        command.pre_exec(|| {
            close_on_exec_from(3);
            Ok(())
        });
    }
    command
}

/// `Command` takes pairs: an entry without `=` cannot be handed to a child of ours.
fn set_environment(command: &mut Command, environment: &[OsString]) {
    command.env_clear();
    for entry in environment {
        let bytes = entry.as_bytes();
        if let Some(at) = bytes.iter().skip(1).position(|&b| b == b'=') {
            command.env(OsStr::from_bytes(&bytes[..at + 1]), OsStr::from_bytes(&bytes[at + 2..]));
        }
    }
}
