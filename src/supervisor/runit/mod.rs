#![forbid(unsafe_code)]
//! All that is known of runit: runsv(8).

pub mod unit;
