//! Executes programs: replaces forerun by the server, detaches the server, and runs commands for checks.

use std::ffi::{CString, NulError, OsStr, OsString, c_char};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::fd::close_on_exec_from;
use super::limits::{Nofile, set_nofile};
use super::pipe::blocking_pipe;
use super::signal::Dispositions;

/// A prepared execve(2). All memory is allocated in advance.
pub struct Execve {
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

/// The parameters of a detached start.
pub struct Detached<'a> {
    pub path: &'a Path,
    pub args: &'a [OsString],
    pub environment: &'a [OsString],
    pub log: &'a File,
    pub nofile: Option<Nofile>,
    pub dispositions: Dispositions,
}

/// A forked server that waits before its execve(2), so that its pid can be recorded first. It ends if it is dropped
/// without [`Held::let_go`], and also if forerun is killed, because nobody would know about it then.
pub struct Held {
    pid: i32,
    gate: Option<OwnedFd>,
    errors: File,
}

impl Held {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets the server execute.
    ///
    /// # Errors
    /// The error of its execve(2).
    pub fn let_go(mut self) -> io::Result<()> {
        if let Some(gate) = self.gate.take() {
            nix::unistd::write(&gate, &[1])
                .map_err(|_| io::Error::other("it was killed before it could be executed"))?;
        }
        let mut errno = [0; 4];
        match self.errors.read_exact(&mut errno) {
            Ok(()) => {
                reap(self.pid);
                Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))
            }
            // The execve closed the pipe without an error.
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.gate.take().is_some() {
            reap(self.pid);
        }
    }
}

/// Forks a server into a session of its own. Its stdin is /dev/null, its stdout and stderr are the log, and it gets no
/// other descriptor.
///
/// This does not use `Command` of `std`, whose `spawn` returns only after the execve: too late to record the pid. The
/// execve is the same as in the foreground, and unlike execvp(3) it never runs `sh` for a file that is not a program.
///
/// # Errors
/// When no process or descriptor is available, or /dev/null cannot be opened.
pub fn hold_detached(start: &Detached) -> io::Result<Held> {
    let execve = Execve::new(start.path, start.args, start.environment)?;
    let null = File::open("/dev/null").map_err(|e| io::Error::other(format!("cannot open /dev/null: {e}")))?;
    let (gate, opener) = blocking_pipe()?;
    let (errors, reporter) = blocking_pipe()?;
    // SAFETY: `child` never returns, and calls nothing that is not async-signal-safe.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => child(start, &execve, &null, Gate { gate, opener }, &reporter),
        pid => Ok(Held { pid, gate: Some(opener), errors: errors.into() }),
    }
}

/// Both ends of the gate, as the child has them.
struct Gate {
    gate: OwnedFd,
    opener: OwnedFd,
}

/// Runs in the forked child. All of it is async-signal-safe, and nothing allocates or panics.
fn child(start: &Detached, execve: &Execve, null: &File, Gate { gate, opener }: Gate, reporter: &OwnedFd) -> ! {
    // Otherwise the gate would stay open when forerun is killed.
    drop(opener);
    // SAFETY: integers, and descriptors that are open. All of ours are above 2, which were filled at the start.
    unsafe {
        libc::setsid();
        libc::dup2(null.as_raw_fd(), 0);
        libc::dup2(start.log.as_raw_fd(), 1);
        libc::dup2(start.log.as_raw_fd(), 2);
    }
    close_on_exec_from(3);
    start.nofile.map(set_nofile);
    start.dispositions.hand_on();
    if waits_until_open(&gate) {
        let errno = execve.run().raw_os_error().unwrap_or(0);
        let _ = nix::unistd::write(reporter, &errno.to_ne_bytes());
    }
    // SAFETY: ends this process, without what `exit` runs.
    unsafe { libc::_exit(127) }
}

/// False if the gate was closed without being opened.
fn waits_until_open(gate: &OwnedFd) -> bool {
    loop {
        match nix::unistd::read(gate, &mut [0]) {
            Err(Errno::EINTR) => {}
            answer => return answer == Ok(1),
        }
    }
}

fn reap(child: i32) {
    while waitpid(Pid::from_raw(child), None) == Err(Errno::EINTR) {}
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

/// A shell command in its own process group, with the given environment and none of our descriptors.
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
