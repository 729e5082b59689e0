#![forbid(unsafe_code)]
//! `forerun stop`.

use std::time::Duration;

use clap::Command;

use super::definition::flag;
use super::output::output_args_without;
use super::parsed::Parsed;
use super::which::{Which, grace_arg, instance_args};

/// The end of an instance.
#[derive(PartialEq, Debug)]
pub struct Stop {
    pub which: Which,
    /// Processes that left for a session of their own are stopped too.
    pub all: bool,
    pub grace: Option<Duration>,
}

impl Stop {
    pub fn read(parsed: &Parsed) -> Self {
        Stop { which: Which::read(parsed), all: parsed.has("all"), grace: parsed.one("grace") }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Stop an instance: the stop signal, and SIGKILL after the grace")
        .after_help("Example:\n  forerun stop webui --grace 30s")
        .defer(|c| {
            let all = flag("all", "Also stop processes that left for a session of their own, such as a tmux server");
            c.args(instance_args()).arg(all).arg(grace_arg()).args(output_args_without(&["no-progress"]))
        })
}
