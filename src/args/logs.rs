#![forbid(unsafe_code)]
//! `forerun logs`.

use clap::{Arg, ArgAction, Command};

use super::output::output_args_without;
use super::parsed::Parsed;
use super::which::{Which, instance_args};

/// The last lines of a log.
#[derive(PartialEq, Debug)]
pub struct Logs {
    pub which: Which,
    /// How many; otherwise as many as `forerun logs` shows.
    pub lines: Option<usize>,
    pub follow: bool,
}

impl Logs {
    pub fn read(parsed: &Parsed) -> Self {
        Logs { which: Which::read(parsed), lines: parsed.one("lines"), follow: parsed.has("follow") }
    }
}

pub fn define(command: Command) -> Command {
    command
        .about("Show the last lines of an instance's log")
        .after_help("Example:\n  forerun logs webui -n 100 -f")
        .defer(|c| {
            let lines = Arg::new("lines").short('n').value_name("N").value_parser(crate::text::whole_number::<usize>);
            let follow = Arg::new("follow").short('f').action(ArgAction::SetTrue);
            c.args(instance_args())
                .arg(lines.help("Show N lines [default: 50]"))
                .arg(follow.help("Follow the log as it grows, across rotation"))
                .args(output_args_without(&["json", "no-progress"]))
        })
}
