//! Executes programs: replaces forerun by the server, and runs commands for checks.

use std::ffi::{CString, NulError, OsStr, OsString, c_char};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::fd::close_on_exec_from;
use super::signal::Dispositions;

/// A prepared execve(2). All memory is allocated in advance.
pub struct Execve {
    path: CString,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    _strings: [Vec<CString>; 2],
}

impl Execve {
    pub fn new(path: &Path, args: &[OsString], environment: &[OsString]) -> io::Result<Self> {
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

    /// Executes the program. Safe between fork and exec. Returns only if it fails, with the reason.
    pub fn run(&self) -> io::Error {
        // SAFETY: the path is a C string, both arrays end with a null pointer, and what they point to is alive.
        unsafe { libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// Replaces this process by the server. Returns only if that fails, with the reason.
///
/// `exec` of `std` would set SIGPIPE to its default and rebuild the environment. execve(2) changes nothing.
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

/// Forks. The child begins a session of its own and gets `None`. The parent gets the child's pid.
///
/// # Errors
/// When no process is available.
pub fn fork_into_own_session() -> io::Result<Option<i32>> {
    // SAFETY: forerun has no threads but while checks run, and none runs when this is called.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: takes nothing. It cannot fail: a child leads no group.
            unsafe { libc::setsid() };
            Ok(None)
        }
        child => Ok(Some(child)),
    }
}

/// Where a command prints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Prints {
    /// Its stderr comes to us, and its stdout goes nowhere.
    ToUs,
    /// Both go to our stderr.
    ToStderr,
}

/// A shell command in its own process group, with the given environment and none of our descriptors. Its stdin is
/// /dev/null.
pub struct GroupCommand<'a> {
    pub script: &'a OsStr,
    pub environment: &'a [OsString],
    pub directory: &'a Path,
    pub prints: Prints,
}

/// A command that runs. Whoever started it reaps it.
pub struct GroupChild {
    /// Its pid, which is its group's too.
    pub group: i32,
    /// The read end of its stderr, with [`Prints::ToUs`].
    pub stderr: Option<OwnedFd>,
}

impl GroupCommand<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// When /bin/sh cannot be executed, the directory does not exist, or no process or descriptor is available.
    pub fn start(&self) -> io::Result<GroupChild> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(self.script).current_dir(self.directory).process_group(0).stdin(Stdio::null());
        match self.prints {
            Prints::ToUs => command.stdout(Stdio::null()).stderr(Stdio::piped()),
            Prints::ToStderr => {
                let ours = || io::stderr().as_fd().try_clone_to_owned();
                command.stdout(ours()?).stderr(ours()?)
            }
        };
        set_environment(&mut command, self.environment);
        // SAFETY: fcntl and close_range are async-signal-safe, and nothing is captured.
        unsafe {
            command.pre_exec(|| {
                close_on_exec_from(3);
                Ok(())
            });
        }
        let mut child = command.spawn()?;
        Ok(GroupChild { group: child.id() as i32, stderr: child.stderr.take().map(OwnedFd::from) })
    }
}

/// `Command` takes pairs, so an entry without `=` cannot be passed to a child.
fn set_environment(command: &mut Command, environment: &[OsString]) {
    command.env_clear();
    for entry in environment {
        let bytes = entry.as_bytes();
        if let Some(at) = bytes.iter().skip(1).position(|&b| b == b'=') {
            command.env(OsStr::from_bytes(&bytes[..at + 1]), OsStr::from_bytes(&bytes[at + 2..]));
        }
    }
}
