#![forbid(unsafe_code)]
//! Instances: which processes they have, the record of each, and how one is stopped.

pub mod after;
pub mod cookie;
pub mod descriptors;
pub mod ending;
pub mod family;
pub mod identity;
pub mod mode;
pub mod ready;
pub mod record;
pub mod state;
pub mod stop;
pub mod succession;
pub mod watch;
