#![forbid(unsafe_code)]
//! Which instance a subcommand is about.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Arg;
use clap::builder::OsStringValueParser;

use super::definition::{duration, path};
use super::parsed::Parsed;

/// The instance that a subcommand is about. Without both it is that of the current folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Which {
    /// `NAME|PID`.
    pub name: Option<OsString>,
    pub config: Option<PathBuf>,
}

impl Which {
    pub fn read(parsed: &Parsed) -> Self {
        Which { name: parsed.one("name"), config: parsed.one("config") }
    }
}

/// The arguments that choose the instance of a subcommand.
pub fn instance_args() -> [Arg; 2] {
    let name = Arg::new("name").value_name("NAME|PID").value_parser(OsStringValueParser::new());
    [
        name.help("The service, or the pid of its server [default: the service of this folder]"),
        path("config", "FILE", "Take the service from FILE").help_heading("Service"),
    ]
}

/// `--grace` of a command that stops an instance.
pub fn grace_arg() -> Arg {
    duration("grace", "Give the server this long to stop [default: that of its start, else 10s]")
}
