#![forbid(unsafe_code)]
//! Launches the server, in the foreground or detached: takes name and port, runs the checks, executes the server.
//!
//! The contract: docs/reference.md, section 8.

pub mod checks;
mod detached;
mod foreground;
pub mod holder;
pub mod launch;
pub mod lock;
pub mod log_file;
mod log_path;
mod neighbours;
mod program;
pub mod progress;
mod record;
pub mod refresh;
pub mod role;
mod seat;
mod standby;
pub mod standing;
mod steps;
pub mod stopping;
mod unexecutable;
pub mod unfit;
pub mod unit;

pub use crate::error::unseen;

use crate::error::Error;
use crate::supervisor::decide::Mode;
use launch::{Given, Launch};

/// Starts the server. The current directory is the service's.
///
/// # Errors
/// All kinds. In the foreground this returns only with an error.
pub fn run(given: Given) -> Result<(), Error> {
    let launch = Launch::prepare(given)?;
    match launch.given.decision.mode {
        Mode::Foreground => foreground::start(launch),
        Mode::Detached => detached::start(launch),
    }
}
