#![forbid(unsafe_code)]
//! Everything that is known of supervisors, one file or folder each: how it is recognised, its words, its commands, its
//! units. A new one is one of those and one line in `all.rs`.
//!
//! The contract: docs/reference.md, section 7.

mod all;
pub mod ask;
pub mod clues;
mod container;
mod daemontools;
pub mod decide;
mod dinit;
mod evidence;
pub mod job;
mod kind;
mod launchd;
pub mod mode;
pub mod notify;
mod openrc;
pub mod recorded;
mod runit;
mod runners;
mod s6;
mod start_stop_daemon;
mod supervisord;
pub mod systemd;
pub mod units;

pub use all::{service_of_group, unit_words, units as unit_kinds};
pub use job::Verb;
pub use recorded::{Supervised, of};
