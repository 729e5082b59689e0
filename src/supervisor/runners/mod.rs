#![forbid(unsafe_code)]
//! Runners of a developer's processes: they start a command, and end or start it again when it ends.

pub mod circus;
pub mod pm2;
pub mod procfile;
