#![forbid(unsafe_code)]
//! The record of an instance. `kept` is what is recorded, `file` how it is read and written, `spent` what is left of it
//! once the instance has ended.

mod file;
mod kept;
mod spent;

pub use super::os_text::{OsText, os_strings};
pub use file::Unreadable;
pub use kept::{Phase, Record, Stopper};
