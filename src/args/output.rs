#![forbid(unsafe_code)]
//! The options of what is printed.

use clap::{Arg, ArgAction};

use super::definition::{flag, one_of, option};
use super::parsed::Parsed;

/// When results and lines have colors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Color {
    /// On a terminal that shows them.
    #[default]
    Auto,
    Always,
    Never,
}

/// What is printed, and how. A subcommand that does not take one of them after its name ignores it before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Output {
    /// How often `-v` was given.
    pub verbose: u8,
    pub quiet: bool,
    pub json: bool,
    pub no_progress: bool,
    pub color: Color,
}

impl Output {
    pub fn read(parsed: &Parsed) -> Self {
        Output {
            verbose: parsed.count("verbose"),
            quiet: parsed.has("quiet"),
            json: parsed.has("json"),
            no_progress: parsed.has("no-progress"),
            color: parsed.one("color").unwrap_or_default(),
        }
    }

    /// Whether lines that are drawn again are wanted, where there is a terminal.
    pub fn is_drawn(&self) -> bool {
        !self.no_progress && !self.quiet
    }
}

pub fn output_args() -> [Arg; 4] {
    [
        Arg::new("verbose").short('v').action(ArgAction::Count).help("Print more; twice for debugging"),
        Arg::new("quiet").short('q').action(ArgAction::SetTrue).help("Print only errors").conflicts_with("verbose"),
        flag("json", "Print the result as JSON"),
        flag("no-progress", "Do not draw progress lines"),
    ]
    .map(|a| a.help_heading("Output"))
}

/// Those of a command that draws nothing.
pub fn output_args_without(names: &[&str]) -> Vec<Arg> {
    output_args().into_iter().filter(|arg| !names.contains(&arg.get_id().as_str())).collect()
}

/// Every command takes it, before its name and after.
pub fn color_arg() -> Arg {
    const WORDS: [(&str, Color); 3] = [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];
    option("color", "WHEN", "Use colors: auto, always or never [default: auto]")
        .value_parser(one_of(&WORDS))
        .hide_possible_values(true)
        .help_heading("Output")
        .global(true)
}
