//! The launcher: a process between forerun and a server that starts detached. It has no child but the server.
//!
//! On Linux it is a subreaper, so that every process that loses its parent below the server becomes its child, and
//! nothing else does: what forerun's caller had started before never comes to it. It reaps them at once, because a
//! server may wait until a daemon of its own is gone. It ends with forerun, and leaves the server to init.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, read, write};

use super::exec::Execve;
use super::fd::{close_from_but, close_on_exec_from};
use super::limits::{Nofile, set_nofile};
use super::os::{self, ExitWatch, OwnGroup};
use super::pipe::{blocking_pipe, wait_readable};
use super::process::Waited;
use super::signal::{Dispositions, handle};

/// How long to wait until a server is reaped that was never executed.
const REAPED: Duration = Duration::from_secs(1);

/// The parameters of a detached start.
pub struct Detached<'a> {
    pub path: &'a Path,
    pub args: &'a [OsString],
    pub environment: &'a [OsString],
    pub log: &'a File,
    pub nofile: Option<Nofile>,
    pub dispositions: Dispositions,
    /// The control group that the server is forked into.
    pub group: Option<&'a OwnGroup>,
}

/// A forked server that waits before its execve(2), so that its pid can be recorded first. It ends if it is dropped
/// without [`Held::let_go`], and also if forerun is killed, because nobody would know about it then.
pub struct Held {
    launched: Launched,
    errors: File,
}

impl Held {
    pub fn pid(&self) -> i32 {
        self.launched.main
    }

    /// Lets the server execute.
    ///
    /// # Errors
    /// The error of its execve(2).
    pub fn let_go(mut self) -> io::Result<Launched> {
        if let Some(gate) = self.launched.gate.take() {
            write(&gate, &[1]).map_err(|_| io::Error::other("it was killed before it could be executed"))?;
        }
        let mut errno = [0; 4];
        match self.errors.read_exact(&mut errno) {
            Ok(()) => {
                self.launched.settle();
                Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))
            }
            // The execve closed the pipe without an error.
            Err(_) => Ok(self.launched),
        }
    }
}

/// A server below its launcher. When this is dropped, the launcher ends and the server runs on.
pub struct Launched {
    launcher: i32,
    main: i32,
    report: OwnedFd,
    /// Closes when we are killed, and ends the launcher.
    control: Option<OwnedFd>,
    /// As long as the server was not executed.
    gate: Option<OwnedFd>,
    /// Shows the end of the server if somebody killed the launcher.
    watch: ExitWatch,
    launcher_is_lost: Cell<bool>,
    how: Cell<Waited>,
}

impl Launched {
    pub fn launcher(&self) -> i32 {
        self.launcher
    }

    /// A descriptor that is readable once [`Launched::wait`] has something new to say.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        if self.launcher_is_lost.get() { self.watch.descriptor() } else { Some(self.report.as_fd()) }
    }

    /// The state of the server. Never blocks.
    pub fn wait(&self) -> Waited {
        let is_readable = |fd: Option<BorrowedFd>| wait_readable([fd], Duration::ZERO)[0];
        if self.how.get() == Waited::Running && !self.launcher_is_lost.get() && is_readable(self.descriptor()) {
            match number_from(&self.report) {
                Some(status) => self.how.set(Waited::of(status)),
                None => self.launcher_is_lost.set(true),
            }
        }
        if self.how.get() == Waited::Running && self.launcher_is_lost.get() && is_readable(self.descriptor()) {
            self.how.set(self.watch.how_it_ended().unwrap_or(Waited::Unseen));
        }
        self.how.get()
    }

    /// Whether nothing is left below the launcher: neither the server nor anything that it started.
    pub fn is_over(&self) -> bool {
        self.wait() != Waited::Running && wait_readable([self.descriptor()], Duration::ZERO)[0]
    }

    /// Ends the launcher. The server's parent is init then.
    pub fn dismiss(self) {}

    /// Waits until a server that ends by itself was reaped.
    fn settle(&self) {
        wait_readable([self.descriptor()], REAPED);
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if self.gate.take().is_some() {
            self.settle();
        }
        // A filter of system calls can refuse the signal: then this ends the launcher.
        self.control = None;
        // SAFETY: integers; the launcher is a child of ours that was not reaped.
        unsafe { libc::kill(self.launcher, libc::SIGKILL) };
        reap(self.launcher);
    }
}

/// Forks the launcher, and below it a server in a session of its own. The server's stdin is /dev/null, its stdout and
/// stderr are the log, and it gets no other descriptor.
///
/// This does not use `Command` of `std`, whose `spawn` returns only after the execve: too late to record the pid. The
/// execve is the same as in the foreground, and unlike execvp(3) it never runs `sh` for a file that is not a program.
///
/// # Errors
/// When no process or descriptor is available, or /dev/null cannot be opened.
pub fn hold_detached(start: &Detached) -> io::Result<Held> {
    let execve = Execve::new(start.path, start.args, start.environment)?;
    let null = File::open("/dev/null").map_err(|e| match e.raw_os_error() {
        // That is no fault of the file.
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => e,
        _ => io::Error::other(format!("cannot open /dev/null: {e}")),
    })?;
    let (gate, opener) = blocking_pipe()?;
    let (errors, reporter) = blocking_pipe()?;
    let (control, held) = blocking_pipe()?;
    let (report, reports) = blocking_pipe()?;
    // No signal that was sent to us may reach the launcher before it has blocked them.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    // SAFETY: `launch` never returns, and calls nothing that is not async-signal-safe.
    let launcher = match unsafe { libc::fork() } {
        0 => {
            // Otherwise they would stay open when forerun is killed.
            drop((opener, held));
            launch(&Launch { start, execve, null, gate, reporter, control, reports, mask })
        }
        forked => forked,
    };
    let forked = if launcher < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    let _ = mask.thread_set_mask();
    forked?;
    drop(reports);
    match number_from(&report) {
        Some(main) if main > 0 => {
            let watch = ExitWatch::new(main);
            let (launcher_is_lost, how) = (Cell::new(false), Cell::new(Waited::Running));
            let (gate, control) = (Some(opener), Some(held));
            let launched = Launched { launcher, main, report, control, gate, watch, launcher_is_lost, how };
            Ok(Held { launched, errors: errors.into() })
        }
        errno => {
            reap(launcher);
            Err(io::Error::from_raw_os_error(errno.map_or(libc::EAGAIN, |errno| -errno)))
        }
    }
}

/// What the launcher and the server have.
struct Launch<'a> {
    start: &'a Detached<'a>,
    execve: Execve,
    null: File,
    gate: OwnedFd,
    reporter: OwnedFd,
    control: OwnedFd,
    reports: OwnedFd,
    /// The signal mask that forerun came with.
    mask: SigSet,
}

/// The launcher's child, and where to report its end.
static MAIN: AtomicI32 = AtomicI32::new(0);
static REPORTS: AtomicI32 = AtomicI32::new(-1);

/// Runs in the launcher, with every signal blocked. All of it is async-signal-safe, and nothing allocates or panics.
///
/// It stays in forerun's session and group, so that it ends where forerun is killed with its group. The signals that
/// would end it sooner, such as those of a terminal, stay blocked: forerun gets them too, and stops the server then.
fn launch(launch: &Launch) -> ! {
    os::set_subreaper();
    handle(Signal::SIGCHLD, on_child);
    // SAFETY: `serve` never returns, and calls nothing that is not async-signal-safe.
    let main = match unsafe { os::fork_into(launch.start.group.map(AsFd::as_fd)) } {
        0 => serve(launch),
        -1 => -Errno::last_raw(),
        main => main,
    };
    MAIN.store(main, Ordering::SeqCst);
    REPORTS.store(launch.reports.as_raw_fd(), Ordering::SeqCst);
    for number in 0..3 {
        // SAFETY: a descriptor that is open, and numbers that nothing of this process uses.
        unsafe { libc::dup2(launch.null.as_raw_fd(), number) };
    }
    close_from_but(3, [launch.control.as_raw_fd(), launch.reports.as_raw_fd()]);
    let is_told = write(&launch.reports, &main.to_ne_bytes()) == Ok(4);
    // forerun would wait for the number for ever. Without us it gives up, and the server ends at the gate.
    if main > 0 && is_told {
        // A server that has ended by now is reaped as soon as the signal is let in.
        let mut child = SigSet::empty();
        child.add(Signal::SIGCHLD);
        let _ = child.thread_unblock();
        // Nothing is ever written: this ends when forerun closes its end, or is killed.
        while read(&launch.control, &mut [0]) == Err(Errno::EINTR) {}
    }
    // SAFETY: ends this process, without what `exit` runs.
    unsafe { libc::_exit(0) }
}

/// Reaps all children that have ended.
extern "C" fn on_child(_: i32) {
    let saved = Errno::last_raw();
    loop {
        let mut status = 0;
        // SAFETY: `status` is ours and outlives the call.
        let child = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if child < 0 && Errno::last() == Errno::ECHILD {
            // Nothing is left below us. The end of the report says so.
            // SAFETY: ends this process, without what `exit` runs.
            unsafe { libc::_exit(0) };
        }
        if child <= 0 {
            break;
        }
        if child == MAIN.load(Ordering::SeqCst) {
            // Another child may get the number.
            MAIN.store(0, Ordering::SeqCst);
            // SAFETY: the descriptor stays open as long as this process lives, and the bytes outlive the call. The pipe
            // holds a few bytes at most.
            let told = unsafe { libc::write(REPORTS.load(Ordering::SeqCst), status.to_ne_bytes().as_ptr().cast(), 4) };
            if told != 4 {
                // forerun has another way to see the end, and takes it when we are gone.
                // SAFETY: ends this process, without what `exit` runs.
                unsafe { libc::_exit(0) };
            }
        }
    }
    Errno::set_raw(saved);
}

/// Runs in the server before its execve. All of it is async-signal-safe, and nothing allocates or panics.
fn serve(launch: &Launch) -> ! {
    let start = launch.start;
    // SAFETY: integers, and descriptors that are open. All of ours are above 2, which were filled at the start.
    unsafe {
        // Otherwise forerun would not see that the launcher was killed before it told who we are.
        libc::close(launch.reports.as_raw_fd());
        libc::setsid();
        libc::dup2(launch.null.as_raw_fd(), 0);
        libc::dup2(start.log.as_raw_fd(), 1);
        libc::dup2(start.log.as_raw_fd(), 2);
    }
    close_on_exec_from(3);
    start.nofile.map(set_nofile);
    start.dispositions.hand_on();
    if is_opened(&launch.gate) {
        let _ = launch.mask.thread_set_mask();
        let errno = launch.execve.run().raw_os_error().unwrap_or(0);
        let _ = write(&launch.reporter, &errno.to_ne_bytes());
    }
    // SAFETY: ends this process, without what `exit` runs.
    unsafe { libc::_exit(127) }
}

/// Waits at the gate. False if it was closed without being opened.
fn is_opened(gate: &OwnedFd) -> bool {
    loop {
        match read(gate, &mut [0]) {
            Err(Errno::EINTR) => {}
            answer => return answer == Ok(1),
        }
    }
}

/// A number that the launcher wrote. `None` once it has ended.
fn number_from(report: &OwnedFd) -> Option<i32> {
    let mut bytes = [0; 4];
    loop {
        match read(report, &mut bytes) {
            Err(Errno::EINTR) => {}
            answer => return (answer == Ok(4)).then_some(i32::from_ne_bytes(bytes)),
        }
    }
}

fn reap(child: i32) {
    while waitpid(Pid::from_raw(child), None) == Err(Errno::EINTR) {}
}
