#![forbid(unsafe_code)]
//! `forerun check`.

use clap::Command;

use super::by_hand::ByHand;
use super::definition::command_arg;
use super::flags::{StartFlags, check_args, health_args, service_args};
use super::output::output_args;
use super::parsed::Parsed;

/// The checks of a start, and no start.
#[derive(PartialEq, Debug)]
pub struct Check {
    pub flags: StartFlags,
    /// The health check too, though nothing is started.
    pub health: bool,
    /// From before the subcommand.
    pub by_hand: ByHand,
}

impl Check {
    pub fn read(parsed: &Parsed) -> Self {
        let flags = StartFlags::read(parsed);
        let health = flags.health.is_some();
        // Without a value it is the one of forerun.toml.
        let flags = StartFlags { health: flags.health.filter(|check| !check.is_empty()), ..flags };
        Check { flags, health, by_hand: ByHand::read(parsed) }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Run the requirements and waits and report; start nothing")
        .after_help("Example:\n  forerun check --require cmd:python3 --wait tcp:127.0.0.1:5432 --wait-timeout 5s")
        .defer(|c| {
            let [health, rest @ ..] = health_args();
            let health = health
                .num_args(0..=1)
                .default_missing_value("")
                .help("Try the health check too, this one or that of forerun.toml: the server must be up");
            let args = c.args(service_args()).args(check_args()).arg(health).args(rest);
            args.args(output_args()).arg(command_arg())
        })
}
