//! What a wait listens to: caught signals, and the threads of this process.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::pipe::{SelfPipe, Woken};
use super::signal::{Caught, catch_signals};

/// The ending signals, caught while it exists, and the self-pipe (<https://cr.yp.to/docs/selfpipe.html>) that they and
/// threads write to.
pub struct Events {
    pipe: Arc<SelfPipe>,
    signals: Caught,
}

impl Events {
    /// Catches the ending signals from now on. A signal that was ignored stays ignored (nohup).
    ///
    /// # Errors
    /// When the process or the system has no descriptors left.
    pub fn catch() -> io::Result<Self> {
        let pipe = Arc::new(SelfPipe::new()?);
        let signals = catch_signals(pipe.bell());
        Ok(Events { pipe, signals })
    }

    /// The pipe, for threads that have something to tell.
    pub fn pipe(&self) -> &Arc<SelfPipe> {
        &self.pipe
    }

    /// The first ending signal that came, if any.
    pub fn signal(&self) -> Option<i32> {
        self.signals.signal()
    }

    /// The number of ending signals that came so far.
    pub fn count(&self) -> i32 {
        self.signals.count()
    }

    /// Waits until something happens, until `other` is readable or at its end, or until `timeout`.
    pub fn wait(&self, other: Option<BorrowedFd>, timeout: Duration) -> Woken {
        self.pipe.wait(other, timeout)
    }

    /// Gives the signals back what they did before. Returns one that came meanwhile.
    pub fn release(self) -> Option<i32> {
        self.signals.release()
    }
}
