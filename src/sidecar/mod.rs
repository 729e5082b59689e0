#![forbid(unsafe_code)]
//! The sidecar: a small process beside the server, which says when it is ready, feeds the watchdog while it is
//! healthy, warns of leaks, and ends with it.
//!
//! It is forerun itself, executed again for as little memory as can be, and reparented before the server's exec, so
//! that the server has no child that it did not start.

mod access;
mod attempt;
mod clock;
mod counts;
mod entry;
mod health;
mod leaks;
mod plan;
mod run;
mod start;

pub use entry::run;
pub use start::{Role, start};

/// The word that makes forerun a sidecar. Not in the help: nobody types it.
pub const WORD: &str = "sidecar";
