#![forbid(unsafe_code)]
//! Everything that a person sees. It gets values and looks nothing up.

pub mod doctor;
pub mod fds;
mod layout;
pub mod line;
pub mod notify;
pub mod plan;
pub mod progress;
pub mod result;
pub mod screen;
pub mod status;
mod table;
