#![forbid(unsafe_code)]
//! `forerun doctor`.

use clap::Command;

use super::by_hand::ByHand;
use super::definition::command_arg;
use super::flags::{StartFlags, check_args, health_args, service_args, sidecar_args};
use super::output::output_args_without;
use super::parsed::Parsed;

/// A look at the environment of a start.
#[derive(PartialEq, Debug)]
pub struct Doctor {
    pub flags: StartFlags,
    /// From before the subcommand.
    pub by_hand: ByHand,
}

impl Doctor {
    pub fn read(parsed: &Parsed) -> Self {
        Doctor { flags: StartFlags::read(parsed), by_hand: ByHand::read(parsed) }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Explain this environment and find problems: mode, limits, units, conflicts")
        .after_help("Exits 1 if it finds a problem.\n\nExample:\n  forerun doctor --config /srv/web/forerun.toml")
        .defer(|c| {
            c.args(service_args())
                .args(check_args())
                .args(health_args())
                .args(sidecar_args())
                .args(output_args_without(&["no-progress"]))
                .arg(command_arg())
        })
}
