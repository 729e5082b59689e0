//! Processes of our own: one that outlives us and is not our child, and a child that does one task.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::exec::Execve;
use super::fd::close_on_exec_from;
use super::pipe::blocking_pipe;
use super::{os, signal};

/// A program that runs beside us and is not our child.
pub struct Beside<'a> {
    pub path: &'a Path,
    pub args: &'a [OsString],
    pub environment: &'a [OsString],
    pub stdin: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// A descriptor that the program gets under the same number.
    pub keep: Option<RawFd>,
}

impl Beside<'_> {
    /// Starts the program in its own session and in the root folder. No signal is ignored or blocked, and it gets no
    /// descriptor except those named here. Its parent has ended when this returns, so init or a subreaper has adopted
    /// it. If it cannot be executed, the other end of its stdin shows that.
    ///
    /// # Errors
    /// When no process is available, or /dev/null cannot be opened.
    pub fn start(&self) -> io::Result<()> {
        let execve = Execve::new(self.path, self.args, self.environment)?;
        let null = File::options().write(true).open("/dev/null")?;
        // SAFETY: neither child returns, and both call nothing that is not async-signal-safe.
        let fork = || unsafe { libc::fork() };
        let between = match fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => match fork() {
                0 => self.run(&execve, &null),
                // SAFETY: ends this process, without what `exit` runs.
                child => unsafe { libc::_exit(i32::from(child < 0)) },
            },
            between => between,
        };
        let status = loop {
            match waitpid(Pid::from_raw(between), None) {
                Err(Errno::EINTR) => {}
                status => break status?,
            }
        };
        match status {
            nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        }
    }

    /// Runs in the grandchild. All of it is async-signal-safe, and nothing allocates or panics.
    fn run(&self, execve: &Execve, null: &File) -> ! {
        // SAFETY: integers, a C string, and descriptors that are open. None of ours is below 3: 0 to 2 were filled at
        // the start.
        unsafe {
            libc::setsid();
            libc::chdir(c"/".as_ptr());
            libc::dup2(self.stderr.as_raw_fd(), 2);
            libc::dup2(self.stdin.as_raw_fd(), 0);
            libc::dup2(null.as_raw_fd(), 1);
        }
        close_on_exec_from(3);
        if let Some(number) = self.keep {
            // SAFETY: sets a flag; a number that is not open is answered with EBADF.
            let _ = fcntl(unsafe { BorrowedFd::borrow_raw(number) }, FcntlArg::F_SETFD(FdFlag::empty()));
        }
        signal::reset_all();
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
        execve.run();
        // SAFETY: ends this process, without what `exit` runs.
        unsafe { libc::_exit(127) }
    }
}

/// A child that does one task and writes the result to a pipe.
pub struct Errand {
    pid: i32,
    output: File,
}

impl Errand {
    /// Forks a child for `work`. Where the system supports it, the child ends when we end. Only for single-threaded
    /// programs, because the child allocates.
    ///
    /// # Errors
    /// When no process or descriptor is available.
    pub fn start(work: impl FnOnce() -> Vec<u8>) -> io::Result<Self> {
        let (read, write) = blocking_pipe()?;
        // SAFETY: there is one thread, so that the child has all locks that it may take.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(read);
                signal::reset_all();
                os::end_with_parent(libc::SIGTERM);
                let output = work();
                let _ = nix::unistd::write(&write, &output[..output.len().min(libc::PIPE_BUF)]);
                // SAFETY: ends this process, without what `exit` runs.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(Errand { pid, output: read.into() }),
        }
    }

    /// A descriptor that is readable once the child has a result or has ended.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.output)
    }

    /// Waits for the end of the child and returns its result. Empty if the child wrote nothing.
    pub fn finish(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = io::Read::read_to_end(&mut self.output, &mut bytes);
        self.reap();
        bytes
    }

    /// Tells the child to end and does not wait for it.
    pub fn abandon(self) {
        self.signal(libc::SIGTERM);
    }

    /// Kills the child.
    pub fn kill(self) {
        self.signal(libc::SIGKILL);
        self.reap();
    }

    fn signal(&self, signal: i32) {
        // SAFETY: integers; the pid is that of a child of ours that was not reaped.
        unsafe { libc::kill(self.pid, signal) };
    }

    fn reap(&self) {
        while waitpid(Pid::from_raw(self.pid), None) == Err(Errno::EINTR) {}
    }
}

/// Returns what stdin was, and opens /dev/null as the new stdin.
///
/// # Errors
/// When no descriptor is available, or /dev/null cannot be opened.
pub fn take_stdin() -> io::Result<OwnedFd> {
    let stdin = nix::unistd::dup(std::io::stdin())?;
    // SAFETY: sets a flag of a descriptor that is ours.
    fcntl(&stdin, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let null = File::open("/dev/null")?;
    // SAFETY: both descriptors are open; nobody else uses 0 meanwhile.
    unsafe { libc::dup2(null.as_raw_fd(), 0) };
    Ok(stdin)
}
