#![forbid(unsafe_code)]
//! `forerun completions`.

use clap::{Arg, Command};

use super::definition::{flag, one_of};
use super::parsed::Parsed;

/// A shell that `forerun completions` knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// What a shell needs to complete what is typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completions {
    /// The script of a shell.
    Script(Shell),
    /// The names of the instances, which the scripts ask for.
    Names,
}

impl Completions {
    pub fn read(parsed: &Parsed) -> Self {
        // clap requires one of the two.
        parsed.one("shell").map_or(Completions::Names, Completions::Script)
    }
}

pub fn define(command: Command) -> Command {
    const SHELLS: [(&str, Shell); 3] = [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];
    command
        .about("Print completions for a shell")
        .after_help("Example:\n  forerun completions bash >/etc/bash_completion.d/forerun")
        .defer(|c| {
            let shell = Arg::new("shell").value_name("SHELL").required_unless_present("names");
            let names = flag("names", "Print the names of your instances, one a line (the scripts call this)");
            c.arg(names.conflicts_with("shell"))
                .arg(shell.value_parser(one_of(&SHELLS)).hide_possible_values(true).help("bash, zsh or fish"))
        })
}
