#![forbid(unsafe_code)]
//! Everything that a person sees. It gets values and looks nothing up.
//!
//! The contract: docs/reference.md, section 16.

pub mod doctor;
pub mod fds;
mod layout;
pub mod plan;
pub mod result;
pub mod status;
mod table;
