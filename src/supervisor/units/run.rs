#![forbid(unsafe_code)]
//! Runs a supervisor's commands for a unit. This never happens from inside a service that the supervisor runs.

use std::io;
use std::time::{Duration, Instant};

use super::spec::Scope;
use super::unit::Unit;
use crate::error::Error;
use crate::line::say;
use crate::supervisor::ask::{self, Answer, Argv};
use crate::text::{one_line, quoted, shell_words};

/// How long a supervisor may take to answer a query.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command as it is named in a message.
pub fn spoken(words: &Argv) -> String {
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

impl Unit<'_> {
    /// Prints the command that is about to run.
    pub fn say(&self, words: &Argv) {
        say(&shell_words(words));
    }

    /// Prints a command and runs it, for as long as it takes.
    ///
    /// # Errors
    /// As [`Unit::start`].
    pub fn order(&self, words: &Argv) -> Result<(), Error> {
        self.say(words);
        let answer = self.attempt(words)?;
        if answer.code == Some(0) { Ok(()) } else { Err(self.failed(&spoken(words), &answer)) }
    }

    /// Runs a command and returns its output.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the program is missing, [`Error::NotReady`] when it does not answer in time.
    pub fn ask(&self, words: &Argv) -> Result<Answer, Error> {
        self.run(words, Some(PATIENCE))
    }

    /// Runs a command for as long as it takes and returns its output. A failure of the command is not an error here.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the program is missing.
    pub fn attempt(&self, words: &Argv) -> Result<Answer, Error> {
        self.run(words, None)
    }

    fn run(&self, words: &Argv, limit: Option<Duration>) -> Result<Answer, Error> {
        ask::run(words, self.scope == Scope::User, Some(self.environment), limit).map_err(|e| match e.kind() {
            io::ErrorKind::TimedOut => Error::NotReady(format!("cannot run {}: {e}", quoted(&spoken(words)))),
            _ => Error::NotFound(format!("cannot execute {}: {e}; install it or add it to PATH", quoted(&words[0]))),
        })
    }

    /// The error for a command that failed, with what the command printed.
    pub fn failed(&self, command: &str, answer: &Answer) -> Error {
        let said = if answer.err.trim().is_empty() { &answer.out } else { &answer.err };
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let code = answer.code.map_or("ended by a signal".to_owned(), |code| format!("exit code {code}"));
        Error::NotReady(format!("cannot run {}: {code}: {}", quoted(command), one_line(&said)))
    }

    /// Repeats `attempt` until it returns something, for at most `patience`.
    ///
    /// # Errors
    /// Those of `attempt`.
    pub fn poll<T>(
        &self,
        patience: Duration,
        interval: Duration,
        mut attempt: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let deadline = Instant::now() + patience;
        loop {
            let found = attempt()?;
            if found.is_some() || Instant::now() >= deadline {
                return Ok(found);
            }
            std::thread::sleep(interval);
        }
    }
}
