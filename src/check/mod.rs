#![forbid(unsafe_code)]
//! Checks: one condition that can be tried. `kinds` is the table of them, `spec` reads one as a person writes it, [`run`]
//! tries many at once, and the other files are one family of checks each, or what several of them share.
//!
//! The contract: docs/reference.md, section 5.

mod address;
mod answer;
mod before;
mod connection;
mod context;
mod dns;
mod exec;
mod expect;
mod frames;
mod grpc;
mod hint;
mod hpack;
mod http;
mod in_flight;
mod job;
mod kinds;
mod local;
mod log;
mod mysql;
mod neighbour;
mod net;
mod notify;
mod operand;
mod pace;
pub mod port;
mod postgres;
mod probe;
mod proxy;
mod purpose;
mod reason;
mod redis;
pub mod run;
mod server;
mod spec;
#[cfg(test)]
mod tests;
mod tls;
mod unix;
mod wire;
mod worker;
mod written;

pub use before::{Script, before_stop};
pub use context::Context;
pub use exec::TIMEOUT as EXEC_TIMEOUT;
pub use expect::{Expectation, Identity, Method, certificates};
pub use kinds::{Check, form, forms, has_no_blanks};
pub use local::{Lookup, find};
pub use log::OwnLog;
pub use neighbour::Services;
pub use net::{is_loopback_name, is_unspecified};
pub use notify::Mailbox;
pub use pace::Pace;
pub use probe::Probe;
pub use purpose::Purpose;
pub use reason::NO_ANSWER;
#[cfg(test)]
pub use tests::targets as fuzzed;
pub use written::Written;
