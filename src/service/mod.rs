#![forbid(unsafe_code)]
//! The service: merges the command line, forerun.toml and the environment, and validates all of it before anything
//! is tried.
//!
//! The contract: docs/reference.md, section 4.

mod command;
mod expected;
mod file;
mod inline;
mod keys;
mod name;
mod named;
mod probes;
pub mod request;
mod resolve;
mod stop;
#[cfg(test)]
mod tests;
pub mod trust;
mod values;
mod variables;
mod watch;
mod way;
mod wrong;

pub use name::is_name;
pub use named::{Named, named};
pub use probes::{Fix, Requirement};
pub use resolve::Service;
#[cfg(test)]
pub use tests::targets as fuzzed;
pub use way::components;

pub use crate::args::{OnConflict, Speaker};
pub use crate::instance::watch::Action;
pub use crate::sys::is_same_file;
