#![forbid(unsafe_code)]
//! `forerun restart`.

use std::time::Duration;

use clap::Command;

use super::output::output_args;
use super::parsed::Parsed;
use super::which::{Which, grace_arg, instance_args};

/// The end of an instance, and its start again.
#[derive(PartialEq, Debug)]
pub struct Restart {
    pub which: Which,
    pub grace: Option<Duration>,
}

impl Restart {
    pub fn read(parsed: &Parsed) -> Self {
        Restart { which: Which::read(parsed), grace: parsed.one("grace") }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Stop an instance and start it again with the same flags, folder and environment")
        .after_help("Example:\n  forerun restart webui")
        .defer(|c| c.args(instance_args()).arg(grace_arg()).args(output_args()))
}
