//! A shell command that ends with us, however we end: a step of a start.
//!
//! Between us and the command is the keeper. It is a fork of ours, so that it has our locks as long as it lives. It ends
//! the command when we tell it to or are killed: its process group, and on Linux all that it started. It goes only when
//! nothing of that is left: whoever gets the lock then can be sure of that.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, read, write};

use super::exec::Execve;
use super::fd::close_on_exec_from;
use super::orphans::{end_children, end_group};
use super::os;
use super::pipe::blocking_pipe;
use super::process::Waited;
use super::processes::kill_group;
use super::relay::{Relay, ready};
use super::signal::{Dispositions, handle};

/// What the keeper or the command adds to the number of an error in the place of a status.
const OF_FOLDER: i32 = 1 << 16;

/// A shell command in a process group of its own. Its stdin is /dev/null. What it prints goes to `output`. It gets none
/// of our descriptors; limits and signals are those that we came with.
pub struct StepCommand<'a> {
    pub script: &'a OsStr,
    pub environment: &'a [OsString],
    pub directory: &'a Path,
    pub output: BorrowedFd<'a>,
    pub dispositions: Dispositions,
}

/// A command that runs. When this is dropped, it is killed and nothing of it is left.
pub struct Step {
    keeper: i32,
    /// Closed to end the command. The system closes it when we are killed.
    control: Option<OwnedFd>,
    report: File,
}

/// What is known of a command that has ended.
pub struct StepEnd {
    pub how: Waited,
    /// The end of what it said on stderr.
    pub said: Vec<u8>,
    /// Why it was not run at all.
    pub unrun: Option<Unrun>,
}

/// Why a command was not run.
pub enum Unrun {
    Folder(io::Error),
    Shell(io::Error),
}

impl Unrun {
    /// Whether it is too large to be run, with its environment.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Unrun::Shell(error) if error.raw_os_error() == Some(libc::E2BIG))
    }

    /// As the keeper and the command say it: a negative number is no status of waitpid(2).
    fn of(status: i32) -> Option<Self> {
        let error = |number| io::Error::from_raw_os_error(number);
        match -status {
            ..=0 => None,
            number if number >= OF_FOLDER => Some(Unrun::Folder(error(number - OF_FOLDER))),
            number => Some(Unrun::Shell(error(number))),
        }
    }
}

impl std::fmt::Display for Unrun {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Unrun::Folder(error) => write!(f, "cannot enter its folder: {error}"),
            Unrun::Shell(error) => write!(f, "cannot run /bin/sh: {error}"),
        }
    }
}

impl StepCommand<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// When no process or descriptor is available, or /dev/null cannot be opened.
    pub fn start(&self) -> io::Result<Step> {
        let words = ["sh".into(), "-c".into(), self.script.to_owned()];
        let execve = Execve::new(Path::new("/bin/sh"), &words, self.environment)?;
        let directory = std::ffi::CString::new(self.directory.as_os_str().as_bytes())?;
        let null = File::open("/dev/null")?;
        let (control, held) = blocking_pipe()?;
        let (report, reports) = blocking_pipe()?;
        let (stderr, said) = blocking_pipe()?;
        let (bell, rung) = blocking_pipe()?;
        for fd in [&stderr, &bell, &rung] {
            fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        // No signal that was sent to us may reach the keeper before it has blocked them.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        // SAFETY: `keep` never returns, and calls nothing that is not async-signal-safe.
        let keeper = match unsafe { libc::fork() } {
            0 => {
                // Otherwise it would stay open when we are killed.
                drop(held);
                keep(Keeper {
                    command: self,
                    execve,
                    directory: &directory,
                    null,
                    control,
                    reports,
                    stderr,
                    said,
                    bell,
                    rung,
                    mask,
                })
            }
            forked => forked,
        };
        let forked = if keeper < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        let _ = mask.thread_set_mask();
        forked?;
        Ok(Step { keeper, control: Some(held), report: report.into() })
    }
}

impl Step {
    /// A descriptor that is readable once the command has ended.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// Kills the command with all that it started, if it still runs, and waits until nothing of it is left.
    pub fn kill(&mut self) -> StepEnd {
        self.control = None;
        self.end()
    }

    /// Waits for the end of the command.
    pub fn end(&mut self) -> StepEnd {
        let mut bytes = Vec::new();
        let _ = self.report.read_to_end(&mut bytes);
        self.reap();
        match bytes.split_first_chunk() {
            Some((status, said)) => {
                let status = i32::from_ne_bytes(*status);
                StepEnd { how: Waited::of(status), said: said.to_vec(), unrun: Unrun::of(status) }
            }
            // Somebody killed the keeper. The system ends the shell with it.
            None => StepEnd { how: Waited::Unseen, said: Vec::new(), unrun: None },
        }
    }

    fn reap(&mut self) {
        if self.keeper > 0 {
            while waitpid(Pid::from_raw(self.keeper), None) == Err(Errno::EINTR) {}
            self.keeper = 0;
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.control = None;
        self.reap();
    }
}

/// What the keeper and the command have.
struct Keeper<'a> {
    command: &'a StepCommand<'a>,
    execve: Execve,
    directory: &'a CStr,
    null: File,
    control: OwnedFd,
    reports: OwnedFd,
    stderr: OwnedFd,
    said: OwnedFd,
    bell: OwnedFd,
    rung: OwnedFd,
    /// The signal mask that forerun came with.
    mask: SigSet,
}

/// The descriptor that the keeper's handler writes to.
static RUNG: AtomicI32 = AtomicI32::new(-1);

/// Runs in the keeper, with every signal blocked. All of it is async-signal-safe, and nothing allocates or panics.
///
/// It has a group of its own: who kills the whole group of forerun must not kill it too.
fn keep(keeper: Keeper) -> ! {
    // Otherwise init would get the orphans of the group, and nobody here could wait for them.
    os::set_subreaper();
    RUNG.store(keeper.rung.as_raw_fd(), Ordering::SeqCst);
    handle(Signal::SIGCHLD, on_child);
    // SAFETY: integers. `execute` never returns, and calls nothing that is not async-signal-safe.
    let step = unsafe {
        libc::setpgid(0, 0);
        let us = libc::getpid();
        match libc::fork() {
            0 => execute(&keeper, us),
            step => step,
        }
    };
    if step < 0 {
        report(&keeper.reports, -Errno::last_raw(), &[]);
    }
    // SAFETY: integers. The child does the same: whoever comes first.
    unsafe { libc::setpgid(step, step) };
    let Keeper { command, control, reports, stderr, said, bell, mask: _, .. } = keeper;
    drop(said);
    let mut child = SigSet::empty();
    child.add(Signal::SIGCHLD);
    let _ = child.thread_unblock();
    let mut relay = Relay::new(&stderr, command.output);
    let killed = !copy_until_end(step, &mut relay, &control, &bell);
    let mut status = 0;
    let failed = killed || !has_succeeded(step);
    if failed {
        // The leader was not reaped, so the number is still its group's.
        kill_group(step);
    }
    while waitpid_raw(step, &mut status) == Err(Errno::EINTR) {}
    if failed {
        end_group(step);
        end_children();
    }
    relay.rest();
    report(&reports, status, relay.kept())
}

/// Runs in the command before its execve.
fn execute(keeper: &Keeper, parent: i32) -> ! {
    let command = keeper.command;
    // If somebody kills the keeper too, the shell at least must not go on.
    os::end_with_parent(libc::SIGKILL);
    // SAFETY: integers, a C string, and descriptors that are open. All of ours are above 2, which were filled at the start.
    let is_ready = unsafe {
        libc::setpgid(0, 0);
        libc::dup2(keeper.null.as_raw_fd(), 0);
        libc::dup2(command.output.as_raw_fd(), 1);
        libc::dup2(keeper.said.as_raw_fd(), 2);
        libc::getppid() == parent && libc::chdir(keeper.directory.as_ptr()) == 0
    };
    let of_folder = OF_FOLDER + Errno::last_raw();
    close_on_exec_from(3);
    command.dispositions.hand_on();
    let _ = keeper.mask.thread_set_mask();
    let number = if is_ready { keeper.execve.run().raw_os_error().unwrap_or(libc::EIO) } else { of_folder };
    // This comes before what the keeper reports.
    let _ = write(&keeper.reports, &(-number).to_ne_bytes());
    // SAFETY: ends this process, without what `exit` runs.
    unsafe { libc::_exit(127) }
}

extern "C" fn on_child(_: i32) {
    let saved = Errno::last_raw();
    // SAFETY: write(2) is async-signal-safe and the byte outlives the call. The pipe is non-blocking and never closed.
    unsafe { libc::write(RUNG.load(Ordering::SeqCst), [0u8].as_ptr().cast(), 1) };
    Errno::set_raw(saved);
}

/// A child that has ended, which stays unreaped: the one with this pid, or any (0).
fn ended(child: i32) -> Option<libc::siginfo_t> {
    // SAFETY: all of it is integers and pointers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let which = if child > 0 { libc::P_PID } else { libc::P_ALL };
    // SAFETY: `info` is ours and outlives the call.
    let asked =
        unsafe { libc::waitid(which, child as libc::id_t, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) };
    (asked == 0 && info.si_signo == libc::SIGCHLD).then_some(info)
}

/// Reaps orphans that came to us: whoever started them may wait until they are gone.
fn reap_adopted(step: i32) {
    while let Some(info) = ended(0) {
        // SAFETY: the system filled it in for a child that has ended.
        let child = unsafe { info.si_pid() };
        if child == step || waitpid_raw(child, &mut 0).is_err() {
            return;
        }
    }
}

/// Whether a child that has ended did so with status 0. (After a signal this has its number.)
fn has_succeeded(child: i32) -> bool {
    // SAFETY: the system filled it in for a child that has ended.
    ended(child).is_some_and(|info| unsafe { info.si_status() } == 0)
}

fn waitpid_raw(child: i32, status: &mut i32) -> Result<i32, Errno> {
    // SAFETY: `status` is ours and outlives the call.
    Errno::result(unsafe { libc::waitpid(child, status, 0) })
}

/// Copies until the command has ended. False if `control` was closed before.
fn copy_until_end(step: i32, relay: &mut Relay, control: &OwnedFd, bell: &OwnedFd) -> bool {
    loop {
        if ended(step).is_some() {
            return true;
        }
        reap_adopted(step);
        let [input, output] = relay.wanted();
        let fds = [(control.as_raw_fd(), libc::POLLIN), (bell.as_raw_fd(), libc::POLLIN), input, output];
        let [told, rung, readable, writable] = ready(fds, -1);
        if told {
            return false;
        }
        if rung {
            let _ = read(bell, &mut [0; 64]);
        }
        relay.go_on([readable, writable]);
    }
}

/// Tells forerun how the command ended, and ends the keeper. A pipe takes all of it at once.
fn report(reports: &OwnedFd, status: i32, said: &[u8]) -> ! {
    let _ = write(reports, &status.to_ne_bytes());
    let _ = write(reports, said);
    // SAFETY: ends this process, without what `exit` runs.
    unsafe { libc::_exit(0) }
}
