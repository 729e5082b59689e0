#![forbid(unsafe_code)]
//! The errors that end a run, and their exit codes (docs/reference.md, section 6).

use std::fmt;

/// Why forerun gives up. Each carries its whole message without the prefix `forerun: `. If several things failed at
/// once, it has several lines.
#[derive(Debug)]
pub enum Error {
    /// The command line is wrong.
    Usage(String),
    /// The file is wrong, or a value in it or in the environment.
    Config(String),
    /// Requirements that do not hold.
    Unmet(String),
    /// Waits that timed out.
    TimedOut(String),
    /// The state folder or the log cannot be created, read or written.
    State(String),
    /// The port or the name is held by something that forerun must not stop.
    Conflict(String),
    /// The command cannot be executed.
    CannotExecute(String),
    /// The command is not found.
    NotFound(String),
    /// The server died or did not become healthy.
    NotReady(String),
    /// A signal ended the wait.
    Interrupted(i32),
    /// The system has no thread, process or descriptor left.
    Exhausted(String),
    /// The messages are out already; only the exit code is left.
    Said(u8),
}

/// The error for a process table that cannot be read.
pub fn unseen(e: std::io::Error) -> Error {
    Error::Exhausted(format!("cannot look at the system's processes: {e}; raise the limits or try again"))
}

/// The error for a self-pipe that cannot be opened.
pub fn no_pipe(e: std::io::Error) -> Error {
    Error::Exhausted(format!("cannot open a pipe: {e}; raise the limits or try again"))
}

impl Error {
    /// The exit code. `recognised`: a supervisor started us. Its unit can name only one code that must not be
    /// restarted, so all permanent failures become that one.
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

impl Error {
    /// The same with more at the end of its message.
    pub fn with(mut self, more: &str) -> Self {
        match &mut self {
            Error::Usage(m)
            | Error::Config(m)
            | Error::Unmet(m)
            | Error::TimedOut(m)
            | Error::State(m)
            | Error::Conflict(m)
            | Error::CannotExecute(m)
            | Error::NotFound(m)
            | Error::NotReady(m)
            | Error::Exhausted(m) => m.push_str(more),
            Error::Interrupted(_) | Error::Said(_) => {}
        }
        self
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
