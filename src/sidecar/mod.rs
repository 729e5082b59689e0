#![forbid(unsafe_code)]
//! The sidecar: a small process beside the server. It reports readiness, feeds the watchdog while the server is
//! healthy, warns of leaks, and ends with the server.
//!
//! The sidecar is forerun executed again, which keeps its memory small. It is reparented before forerun execs the
//! server, so that the server has no child that it did not start.

mod access;
mod after;
mod attempt;
mod clock;
mod counts;
mod entry;
mod health;
mod leaks;
mod pid_file;
mod plan;
mod run;
mod start;

pub use entry::run;
pub use start::{Role, start};

/// The hidden subcommand that runs the sidecar. It is not in the help, because nobody types it.
pub const WORD: &str = "sidecar";
