#![forbid(unsafe_code)]
//! What ends a run early, and the exit code that says so.

use std::fmt;

/// Why forerun gives up. Each carries its message, complete but for the prefix `forerun: `; several lines
/// where several things failed at once.
#[derive(Debug)]
pub enum Error {
    /// The command line makes no sense.
    Usage(String),
    /// The file, or a value in it or in the environment, makes no sense.
    Config(String),
    /// Requirements that do not hold.
    Unmet(String),
    /// Waits that timed out.
    TimedOut(String),
    /// The state folder or the log cannot be had.
    State(String),
    /// The port or the name is held by something that is not ours to stop.
    Conflict(String),
    /// The command cannot be executed.
    CannotExecute(String),
    /// The command is not found.
    NotFound(String),
    /// The server died or did not become healthy.
    NotReady(String),
    /// A signal ended the wait.
    Interrupted(i32),
    /// The system has no thread, process or descriptor left for us.
    Exhausted(String),
    /// Everything has been said already.
    Said(u8),
}

impl Error {
    /// The exit code. `recognised`: a supervisor started us, whose unit can name only one code that a restart
    /// cannot help against.
    pub fn exit_code(&self, recognised: bool) -> u8 {
        let code = match self {
            Error::Usage(_) => 2,
            Error::Config(_) | Error::Unmet(_) => 78,
            Error::TimedOut(_) | Error::Exhausted(_) => 69,
            Error::State(_) => 73,
            Error::Conflict(_) => 75,
            Error::CannotExecute(_) => 126,
            Error::NotFound(_) => 127,
            Error::NotReady(_) => 1,
            Error::Interrupted(signal) => 128u8.saturating_add(*signal as u8),
            Error::Said(code) => *code,
        };
        if recognised && matches!(code, 2 | 73 | 126 | 127) { 78 } else { code }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Usage(m)
            | Error::Config(m)
            | Error::Unmet(m)
            | Error::TimedOut(m)
            | Error::State(m)
            | Error::Conflict(m)
            | Error::CannotExecute(m)
            | Error::NotFound(m)
            | Error::NotReady(m)
            | Error::Exhausted(m) => f.write_str(m),
            Error::Interrupted(_) | Error::Said(_) => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recognised_supervisor_sees_one_code_for_what_is_permanent() {
        let e = |f: fn(String) -> Error| f(String::new());
        for (error, plain, recognised) in [
            (e(Error::Usage), 2, 78),
            (e(Error::Config), 78, 78),
            (e(Error::Unmet), 78, 78),
            (e(Error::TimedOut), 69, 69),
            (e(Error::State), 73, 78),
            (e(Error::Conflict), 75, 75),
            (e(Error::CannotExecute), 126, 78),
            (e(Error::NotFound), 127, 78),
            (e(Error::NotReady), 1, 1),
            (Error::Interrupted(15), 143, 143),
        ] {
            assert_eq!((error.exit_code(false), error.exit_code(true)), (plain, recognised));
        }
    }
}
