//! Tells what is not there from what could not be looked at this time.

use std::cell::Cell;
use std::io;

thread_local! {
    /// How many looks of this thread failed, and the error of the last one.
    static FAILED: Cell<(u64, i32)> = const { Cell::new((0, 0)) };
}

/// Counts an error that says nothing about the thing itself: descriptors or memory were used up, a signal came, or
/// whoever was asked took too long.
pub fn note<T>(result: io::Result<T>) -> io::Result<T> {
    const PASSING: [i32; 6] = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN, libc::EINTR, libc::ETIMEDOUT];
    let errno = result.as_ref().err().and_then(|e| match e.kind() {
        io::ErrorKind::TimedOut => Some(libc::ETIMEDOUT),
        _ => e.raw_os_error(),
    });
    if let Some(errno) = errno.filter(|errno| PASSING.contains(errno)) {
        FAILED.set((FAILED.get().0 + 1, errno));
    }
    result
}

/// Looks at the system. What was not seen then was not there.
///
/// # Errors
/// When a part of it could not be looked at.
pub fn whole<T>(look: impl FnOnce() -> T) -> io::Result<T> {
    let (before, _) = FAILED.get();
    let seen = look();
    let (failed, errno) = FAILED.get();
    if failed == before { Ok(seen) } else { Err(io::Error::from_raw_os_error(errno)) }
}
