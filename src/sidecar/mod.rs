#![forbid(unsafe_code)]
//! The sidecar: a small process beside the server. It reports readiness, feeds the watchdog while the server is
//! healthy, warns of leaks, and ends with the server.
//!
//! The sidecar is forerun executed again, which keeps its memory small. It is reparented before forerun execs the
//! server, so that the server has no child that it did not start.
//!
//! The contract: docs/reference.md, section 10.

mod after;
mod attempt;
mod check_health;
mod clock;
mod counts;
mod end;
mod entry;
mod health;
mod hears;
mod leaks;
mod outcome;
mod pid_file;
mod plan;
mod readiness;
mod run;
mod speak;
mod start;
mod state;
mod watch_leaks;
mod watching;

pub use entry::run;
pub use plan::{Health, Plan, Speaks};
pub use start::{Started, start};

/// The hidden subcommand that runs the sidecar. It is not in the help, because nobody types it.
pub const WORD: &str = "sidecar";
