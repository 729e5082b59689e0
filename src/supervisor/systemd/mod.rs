#![forbid(unsafe_code)]
//! All that is known of systemd(1).

mod harden;
pub mod main_pid;
pub mod unit;
