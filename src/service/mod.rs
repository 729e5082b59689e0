#![forbid(unsafe_code)]
//! The service: merges the command line, forerun.toml and the environment, and validates all of it before anything
//! is tried.
//!
//! The contract: docs/reference.md, section 4.

mod address;
mod command;
mod document;
mod env_file;
mod expand;
mod expected;
mod file;
mod inline;
pub mod key_table;
mod keys;
mod known;
mod name;
mod named;
mod probes;
mod ready;
mod refs;
pub mod request;
mod resolve;
mod schema;
mod script;
mod steps;
mod stop;
mod strictness;
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
pub use probes::{Awaited, Fix, Requirement};
pub use resolve::Service;
pub use schema::schema;
pub use steps::Step;
#[cfg(test)]
pub use tests::targets as fuzzed;
pub use variables::Variables;
pub use way::components;

pub use crate::args::{OnConflict, Speaker};
pub use crate::instance::watch::Action;
pub use crate::sys::is_same_file;
