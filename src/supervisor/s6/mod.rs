#![forbid(unsafe_code)]
//! All that is known of s6: s6-supervise.

pub mod unit;
