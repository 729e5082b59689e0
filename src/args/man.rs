#![forbid(unsafe_code)]
//! `forerun man`.

use clap::{Arg, Command};

use super::definition::one_of;
use super::parsed::Parsed;

/// A manual page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// forerun(1)
    Command,
    /// forerun.toml(5)
    File,
}

impl Page {
    pub fn read(parsed: &Parsed) -> Self {
        parsed.one("page").unwrap_or(Page::Command)
    }
}

pub fn define(command: Command) -> Command {
    const PAGES: [(&str, Page); 2] = [("forerun.toml", Page::File), ("forerun", Page::Command)];
    command
        .about("Print a manual page")
        .after_help(
            "Example:\n  forerun man >/usr/local/share/man/man1/forerun.1\n  \
             forerun man forerun.toml >/usr/local/share/man/man5/forerun.toml.5",
        )
        .defer(|c| {
            let page = Arg::new("page").value_name("PAGE").value_parser(one_of(&PAGES));
            c.arg(page.hide_possible_values(true).help("forerun (the default) or forerun.toml"))
        })
}
