#![forbid(unsafe_code)]
//! The command line: clap's definitions, and the plain values that parsing yields.

mod definition;
mod flags;
mod parse;
mod subcommands;
mod types;
mod usage;

pub use definition::{AFTER_HELP, USAGE, command, without_server};
pub use parse::{color, parse};
pub use types::{
    Color, Completions, Kinds, Logs, Notify, OnConflict, Output, Request, Restart, Shell, Start, StartFlags, Status,
    Stop, Unit, Which,
};
pub use usage::explain;
