#![forbid(unsafe_code)]
//! `forerun schema`.

use clap::Command;

pub fn define(command: Command) -> Command {
    command
        .about("Print the JSON Schema of forerun.toml, for an editor")
        .after_help("Example:\n  forerun schema >forerun.schema.json    # and as the first line of forerun.toml: #:schema ./forerun.schema.json")
}
