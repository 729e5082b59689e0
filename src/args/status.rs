#![forbid(unsafe_code)]
//! `forerun status`.

use clap::Command;

use super::definition::flag;
use super::output::output_args_without;
use super::parsed::Parsed;
use super::which::{Which, instance_args};

/// How an instance is, or all of them.
#[derive(PartialEq, Debug)]
pub struct Status {
    pub which: Which,
    pub all: bool,
}

impl Status {
    pub fn read(parsed: &Parsed) -> Self {
        Status { which: Which::read(parsed), all: parsed.has("all") }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Show how an instance is, or all of them; exit 1 if one is not running or not healthy")
        .after_help("Examples:\n  forerun status webui --json\n  forerun status --all")
        .defer(|c| {
            let all = flag("all", "List all instances, even in the folder of a service").conflicts_with("name");
            c.args(instance_args()).arg(all).args(output_args_without(&["no-progress"]))
        })
}
