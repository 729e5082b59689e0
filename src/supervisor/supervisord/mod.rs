#![forbid(unsafe_code)]
//! All that is known of supervisord.

pub mod unit;
