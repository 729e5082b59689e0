#![forbid(unsafe_code)]
//! `forerun man forerun.toml`: makes the manual page from the table of the keys.

use clap_mangen::roff::{Roff, bold, roman};

use crate::check;
use crate::error::Error;
use crate::line::print_result;
use crate::service::key_table::{Is, Key, TABLES, example, sentence};

const DESCRIPTION: &str = "forerun.toml lies beside a server and says everything that a flag of forerun can say. It is \
                           TOML. A path in it is relative to the file. An unknown key is an error that names the line. \
                           Flags beat the file.";
const EXAMPLE: &str = "\
command = [\"python3\", \"server.py\"]
env-file = \".env\"
wait = [\"postgres://127.0.0.1\"]

[health]
check = \"http://127.0.0.1:8787/health\"
timeout = \"25s\"";

/// Prints forerun.toml(5).
pub fn page() -> Result<(), Error> {
    let mut roff = Roff::new();
    roff.control("TH", ["forerun.toml", "5", "", &format!("forerun {}", env!("CARGO_PKG_VERSION")), "File Formats"]);
    section(&mut roff, "NAME", "forerun.toml - what a server needs, and how forerun starts it");
    section(&mut roff, "DESCRIPTION", DESCRIPTION);
    roff.control("SH", ["KEYS"]);
    for (heading, table) in TABLES {
        roff.control("SS", [heading]);
        table.iter().for_each(|key| entry(&mut roff, key));
    }
    section(&mut roff, "CHECKS", "A check is one of these, or a table with the keys of a check.");
    lines(&mut roff, check::forms());
    roff.control("SH", ["EXAMPLE"]);
    lines(&mut roff, EXAMPLE.lines());
    section(&mut roff, "SEE ALSO", "forerun(1). 'forerun schema' prints the JSON Schema of the file, for an editor.");
    print_result(roff.render().as_bytes())
}

fn section(roff: &mut Roff, heading: &str, text: &str) {
    roff.control("SH", [heading]);
    roff.text([roman(text)]);
}

fn entry(roff: &mut Roff, (key, is, about): &Key) {
    let choice = if matches!(is, Is::Choice(_)) { format!("; {}", sentence(key, is)) } else { String::new() };
    roff.control("TP", []);
    roff.text([bold(*key), roman(format!(" = {}", example(is)))]);
    roff.text([roman(format!("{about}{choice}"))]);
}

fn lines<'a>(roff: &mut Roff, lines: impl Iterator<Item = &'a str>) {
    roff.control("nf", []);
    lines.for_each(|line| {
        roff.text([roman(line)]);
    });
    roff.control("fi", []);
}
