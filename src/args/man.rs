#![forbid(unsafe_code)]
//! `forerun man`.

use clap::Command;

pub fn define(command: Command) -> Command {
    command.about("Print the manual page").after_help("Example:\n  forerun man >/usr/local/share/man/man1/forerun.1")
}
