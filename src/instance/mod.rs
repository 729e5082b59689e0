#![forbid(unsafe_code)]
//! Instances: who they are, where they are written down, how one is stopped.

pub mod cookie;
pub mod identity;
pub mod members;
pub mod record;
pub mod state;
pub mod stop;
pub mod supervisor;
