#![forbid(unsafe_code)]
//! `forerun forget`.

use clap::Command;

use super::output::output_args_without;
use super::parsed::Parsed;
use super::which::{Which, instance_args};

/// The end of a record.
#[derive(PartialEq, Debug)]
pub struct Forget {
    pub which: Which,
}

impl Forget {
    pub fn read(parsed: &Parsed) -> Self {
        Forget { which: Which::read(parsed) }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Drop the record of an instance that does not run; keep its log")
        .after_help("Example:\n  forerun forget webui")
        .defer(|c| c.args(instance_args()).args(output_args_without(&["no-progress"])))
}
