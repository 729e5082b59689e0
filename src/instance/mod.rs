#![forbid(unsafe_code)]
//! Instances: which processes they have, the record of each, and how one is stopped.

pub mod cookie;
pub mod ending;
pub mod identity;
pub mod members;
pub mod record;
pub mod state;
pub mod stop;
pub mod supervisor;
