#![forbid(unsafe_code)]
//! `forerun fds`.

use clap::Command;

use super::output::output_args_without;
use super::parsed::Parsed;
use super::which::{Which, instance_args};

/// The file descriptors of a server.
#[derive(PartialEq, Debug)]
pub struct Fds {
    pub which: Which,
}

impl Fds {
    pub fn read(parsed: &Parsed) -> Self {
        Fds { which: Which::read(parsed) }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Show the file descriptors of a server by kind and by path")
        .after_help("Example:\n  forerun fds webui --json")
        .defer(|c| {
            let [name, config] = instance_args();
            let name = name.help("The service, or the pid of any process [default: the service of this folder]");
            c.args([name, config]).args(output_args_without(&["no-progress"]))
        })
}
