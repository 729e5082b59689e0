#![forbid(unsafe_code)]
//! `forerun man`: makes the manual page from the definitions of the command line.

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args;
use crate::error::Error;
use crate::line::print_result;
use crate::supervisor;

/// Prints forerun(1): the options of a start, and a section for each subcommand.
pub fn page() -> Result<(), Error> {
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = write_page(&mut page);
    print_result(&page)
}

fn write_page(out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut definition = args::command(supervisor::unit_words());
    definition.build();
    let man = Man::new(definition.clone()).manual("User Commands");
    man.render_title(out)?;
    man.render_name_section(out)?;
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.control("nf", []);
    for line in args::USAGE.lines() {
        synopsis.text([roman(line.trim_start())]);
    }
    synopsis.control("fi", []);
    synopsis.to_writer(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    commands.to_writer(out)?;
    for command in definition.get_subcommands() {
        let mut section = Roff::new();
        section.control("SS", [format!("forerun {}", command.get_name()).as_str()]);
        section.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
        section.to_writer(out)?;
        let mut options = Vec::new();
        Man::new(command.clone()).render_options_section(&mut options)?;
        // A heading of a subcommand would be one of the page.
        let is_heading = |line: &&[u8]| line.starts_with(b".SH");
        for line in options.split_inclusive(|&byte| byte == b'\n').filter(|line| !is_heading(line)) {
            out.extend_from_slice(line);
        }
        if let Some(example) = command.get_after_help() {
            example_of(&example.to_string()).to_writer(out)?;
        }
    }
    let mut rest = Roff::new();
    rest.control("SH", ["CHECKS, EXAMPLES AND EXIT CODES"]);
    rest.control("nf", []);
    for line in args::AFTER_HELP.lines() {
        rest.text([roman(line)]);
    }
    rest.control("fi", []);
    rest.control("SH", ["FILES"]);
    rest.text([bold("./forerun.toml"), roman(" says everything that a flag can say.")]);
    rest.control("PP", []);
    rest.text([bold("~/.local/state/forerun/NAME"), roman(" has the record and the log of an instance.")]);
    rest.to_writer(out)
}

fn example_of(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("PP", []);
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}
