#![forbid(unsafe_code)]
//! Everything that is known of supervisors.

pub mod ask;
pub mod clues;
pub mod decide;
pub mod job;
pub mod launchd;
pub mod notify;
pub mod runit;
pub mod s6;
pub mod supervisord;
pub mod systemd;
pub mod units;
