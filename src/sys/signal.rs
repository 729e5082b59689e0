//! Signals: the dispositions that the server must get back, and the four signals that end a wait.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, sigprocmask};

use super::os;

/// Signals that must not kill forerun, or that it must not ignore. A write to a closed pipe or beyond the file size
/// limit must be an ordinary error. If SIGCHLD is ignored, nobody learns how a child ended.
const TAKEN: [Signal; 3] = [Signal::SIGPIPE, Signal::SIGXFSZ, Signal::SIGCHLD];

/// The dispositions of those signals when forerun was started. The server gets them back, whether they were ignored or
/// not.
#[derive(Clone, Copy)]
pub struct Dispositions {
    ignored: [bool; TAKEN.len()],
    /// SIGCHLD was blocked and pending when forerun was started.
    child_ended: bool,
}

impl Dispositions {
    /// Records the dispositions and sets forerun's own.
    #[cfg(not(test))]
    pub fn take_over() -> Self {
        let came = Dispositions { ignored: TAKEN.map(is_ignored), child_ended: is_pending(Signal::SIGCHLD) };
        came.set_own();
        came
    }

    /// Sets forerun's own dispositions: a handler that does nothing. Ignoring a signal would discard one that is
    /// blocked and pending, and that one belongs to the server.
    pub fn set_own(self) {
        for (signal, ignored) in TAKEN.into_iter().zip(self.ignored) {
            if ignored == (signal == Signal::SIGCHLD) {
                set(signal, SigHandler::Handler(on_taken));
            }
        }
    }

    /// Restores the dispositions that the signals came with. Safe between fork and exec.
    pub fn hand_on(self) {
        for (signal, ignored) in TAKEN.into_iter().zip(self.ignored) {
            // The default disposition discards a pending SIGCHLD. That is fine for our own, but not if the caller had
            // children.
            let is_the_servers = signal == Signal::SIGCHLD && (self.child_ended || has_children());
            match ignored {
                true if !is_ignored(signal) => drop(set(signal, SigHandler::SigIgn)),
                false if !is_the_servers => drop(set(signal, SigHandler::SigDfl)),
                _ => {}
            }
            if ignored && signal == Signal::SIGCHLD {
                reap_all();
            }
        }
    }
}

/// Signals that end a wait.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// The first of them that came, and the descriptor that its handler writes to.
static CAUGHT: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicI32 = AtomicI32::new(0);
static BELL: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_taken(_: i32) {}

extern "C" fn on_signal(signal: i32) {
    let saved = nix::errno::Errno::last_raw();
    let _ = CAUGHT.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
    COUNT.fetch_add(1, Ordering::SeqCst);
    let bell = BELL.load(Ordering::SeqCst);
    if bell >= 0 {
        // SAFETY: write(2) is async-signal-safe and the byte outlives the call. The bell is a non-blocking pipe
        // that is forgotten (BELL = -1) before it is closed.
        unsafe { libc::write(bell, [0u8].as_ptr().cast(), 1) };
    }
    nix::errno::Errno::set_raw(saved);
}

/// Catches the ending signals while it exists. A signal that was ignored stays ignored (nohup).
pub struct Caught {
    previous: Vec<(Signal, SigAction)>,
    bell: i32,
}

/// Catches the ending signals from now on. Each one writes to `bell`, the write end of a non-blocking pipe.
pub fn catch_signals(bell: BorrowedFd) -> Caught {
    BELL.store(bell.as_raw_fd(), Ordering::SeqCst);
    let mut previous = Vec::with_capacity(ENDING.len());
    for signal in ENDING.into_iter().filter(|&signal| !is_ignored(signal)) {
        previous.extend(set(signal, SigHandler::Handler(on_signal)).map(|old| (signal, old)));
    }
    Caught { previous, bell: bell.as_raw_fd() }
}

impl Drop for Caught {
    /// The bell may be closed from here on. The signals stay caught: a command that waited ends soon, with its own code.
    fn drop(&mut self) {
        let _ = BELL.compare_exchange(self.bell, -1, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Caught {
    /// The first ending signal that came, if any.
    pub fn signal(&self) -> Option<i32> {
        Some(CAUGHT.load(Ordering::SeqCst)).filter(|&s| s != 0)
    }

    /// The number of ending signals that came so far.
    pub fn count(&self) -> i32 {
        COUNT.load(Ordering::SeqCst)
    }

    /// Restores the dispositions. Signals that come meanwhile are held back until that is done, so that none is lost
    /// between the last look and the exec. They then do what they would have done without forerun.
    pub fn release(self) -> Option<i32> {
        let mut held = SigSet::empty();
        self.previous.iter().for_each(|(signal, _)| held.add(*signal));
        let mut mask = SigSet::empty();
        let blocked = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&held), Some(&mut mask)).is_ok();
        for (signal, old) in &self.previous {
            // SAFETY: `old` is what sigaction returned for this signal: nothing of ours, or the default.
            let _ = unsafe { sigaction(*signal, old) };
        }
        BELL.store(-1, Ordering::SeqCst);
        let caught = self.signal();
        if blocked {
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
        }
        caught
    }
}

/// Gives every signal its default. Safe between fork and exec.
pub fn reset_all() {
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        set(signal, SigHandler::SigDfl);
    }
    for number in [&CAUGHT, &COUNT] {
        number.store(0, Ordering::SeqCst);
    }
}

/// Ends this process by `signal`, as if it had never been caught. Returns only if the kernel does not allow that: pid 1
/// ignores the default action.
pub fn die_of(signal: i32) {
    let Ok(signal) = Signal::try_from(signal) else { return };
    set(signal, SigHandler::SigDfl);
    let _ = raise(signal);
}

/// The number of a signal that is written as in KillSignal= of systemd.exec(5), in any case: `SIGTERM`, `term`, `15`,
/// `RTMIN+3`.
pub fn signal_number(text: &str) -> Option<i32> {
    let realtime = os::realtime_signals();
    let is_known = |&number: &i32| Signal::try_from(number).is_ok() || realtime.contains(&number);
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(is_known);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char| match rest.strip_prefix(sign) {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<i32>().ok(),
        None if rest.is_empty() => Some(0),
        _ => None,
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => realtime.start().checked_add(offset(rest, '+')?)?,
        (_, Some(rest)) => realtime.end().checked_sub(offset(rest, '-')?)?,
        _ => return format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32),
    };
    Some(number).filter(|number| realtime.contains(number))
}

/// The name of a signal, which [`signal_number`] reads.
pub fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("SIGRTMIN+{}", number - os::realtime_signals().start()),
    }
}

/// Whether a signal is ignored. This only queries: setting the disposition and restoring it would open a gap for
/// signals.
fn is_ignored(signal: Signal) -> bool {
    // SAFETY: all of it is integers and pointers, for which zero is a value.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null pointer changes nothing, and `old` is ours.
    let asked = unsafe { libc::sigaction(signal as i32, std::ptr::null(), &mut old) };
    asked == 0 && old.sa_sigaction == libc::SIG_IGN
}

#[cfg(not(test))]
fn is_pending(signal: Signal) -> bool {
    // SAFETY: all of it is integers, for which zero is a value.
    let mut pending: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours, and filled before it is asked.
    unsafe { libc::sigpending(&mut pending) == 0 && libc::sigismember(&pending, signal as i32) == 1 }
}

/// Whether there is any child, running or not.
fn has_children() -> bool {
    // SAFETY: all of it is integers and pointers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is ours; the options ask without waiting and reap nothing.
    unsafe { libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) == 0 }
}

/// Reaps children that ended while forerun did not ignore SIGCHLD. Otherwise the kernel would have reaped them.
fn reap_all() {
    // SAFETY: a null pointer is for a status that nobody wants.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// Handles a signal from now on. Safe between fork and exec, for a handler that is async-signal-safe.
pub fn handle(signal: Signal, handler: extern "C" fn(i32)) {
    set(signal, SigHandler::Handler(handler));
}

fn set(signal: Signal, handler: SigHandler) -> Option<SigAction> {
    // SA_RESTART lets reads go on. It does not apply to poll(2), by which forerun waits (signal(7)).
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handlers that are ever installed are ours and async-signal-safe.
    unsafe { sigaction(signal, &action) }.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_as_systemd_reads_it_in_any_case() {
        for (text, number) in [
            ("SIGTERM", libc::SIGTERM),
            ("TERM", libc::SIGTERM),
            ("sigusr1", libc::SIGUSR1),
            ("quit", libc::SIGQUIT),
            ("15", 15),
        ] {
            assert_eq!(signal_number(text), Some(number), "{text}");
        }
        for bad in
            ["", "SIG", "SIGTER", "0", "-1", "+15", "999", "99999999999", "TERM ", "RTMIN+99", "RTMIN3", "SIGSIGTERM"]
        {
            assert_eq!(signal_number(bad), None, "{bad}");
        }
        for number in (1..=libc::SIGSYS).chain(os::realtime_signals()) {
            let known = Signal::try_from(number).is_ok() || os::realtime_signals().contains(&number);
            assert!(!known || signal_number(&signal_name(number)) == Some(number), "{number}");
        }
    }
}
