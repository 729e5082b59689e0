#![forbid(unsafe_code)]
//! `forerun check`.

use clap::Command;

use super::by_hand::ByHand;
use super::definition::command_arg;
use super::flags::{StartFlags, check_args, service_args};
use super::output::output_args;
use super::parsed::Parsed;

/// The checks of a start, and no start.
#[derive(PartialEq, Debug)]
pub struct Check {
    pub flags: StartFlags,
    /// From before the subcommand.
    pub by_hand: ByHand,
}

impl Check {
    pub fn read(parsed: &Parsed) -> Self {
        Check { flags: StartFlags::read(parsed), by_hand: ByHand::read(parsed) }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Run the requirements and waits and report; start nothing")
        .after_help("Example:\n  forerun check --require cmd:python3 --wait tcp:127.0.0.1:5432 --wait-timeout 5s")
        .defer(|c| c.args(service_args()).args(check_args()).args(output_args()).arg(command_arg()))
}
