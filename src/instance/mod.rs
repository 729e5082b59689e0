#![forbid(unsafe_code)]
//! Instances: which processes they have, the record of each, and how one is stopped.
//!
//! The contract: docs/reference.md, section 9.

pub mod after;
pub mod cookie;
pub mod descriptors;
pub mod end;
pub mod ending;
pub mod family;
pub mod identity;
pub mod mode;
pub mod notify_socket;
mod origin;
mod os_text;
mod proof;
pub mod ready;
pub mod record;
mod sight;
pub mod state;
pub mod stop;
pub mod succession;
pub mod watch;
