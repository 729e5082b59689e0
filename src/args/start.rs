#![forbid(unsafe_code)]
//! A start: no subcommand is given.

use clap::Command;

use super::by_hand::{ByHand, detached_args, mode_args, replace_arg};
use super::flags::{StartFlags, check_args, grace_arg, health_args, on_conflict_arg, service_args, sidecar_args};
use super::output::output_args;
use super::parsed::Parsed;

/// A start, or its dry run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Start {
    pub flags: StartFlags,
    pub by_hand: ByHand,
}

impl Start {
    pub fn read(parsed: &Parsed) -> Self {
        Start { flags: StartFlags::read(parsed), by_hand: ByHand::read(parsed) }
    }
}

/// Adds the options of a start, without COMMAND.
pub fn define(command: Command) -> Command {
    let [log, open] = detached_args();
    command
        .args(mode_args())
        .args(service_args())
        .args(check_args())
        .args(health_args())
        .args([on_conflict_arg(), replace_arg(), log, open, grace_arg()])
        .args(sidecar_args())
        .args(output_args())
}
