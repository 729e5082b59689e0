#![forbid(unsafe_code)]
//! All that is known of launchd(8).

pub mod control;
pub mod unit;
