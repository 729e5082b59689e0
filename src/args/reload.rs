#![forbid(unsafe_code)]
//! `forerun reload`.

use clap::Command;

use super::output::output_args;
use super::parsed::Parsed;
use super::which::{Which, instance_args};

/// The reload signal of an instance.
#[derive(PartialEq, Debug)]
pub struct Reload {
    pub which: Which,
}

impl Reload {
    pub fn read(parsed: &Parsed) -> Self {
        Reload { which: Which::read(parsed) }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Send the reload signal of an instance, SIGHUP, and wait until it is healthy")
        .after_help("Example:\n  forerun reload webui")
        .defer(|c| c.args(instance_args()).args(output_args()))
}
