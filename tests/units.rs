//! Units: printed, installed, kept up to date and removed. Also `forerun doctor` and the manual page.

mod common;
#[path = "supervisors/harness.rs"]
mod harness;

/// Skips a test if the supervisor cannot run.
macro_rules! needs {
    ($kind:expr) => {
        let missing = $kind.missing();
        skip_unless!(missing.is_none(), "{:?}: {}", $kind, missing.unwrap_or_default());
    };
}

#[path = "units/doctor.rs"]
mod doctor;
#[path = "units/install.rs"]
mod install;
#[path = "units/launchctl.rs"]
mod launchctl;
#[path = "units/manual.rs"]
mod manual;
#[path = "units/others.rs"]
mod others;
#[path = "units/refresh.rs"]
mod refresh;
#[path = "units/systemd.rs"]
mod systemd;
#[path = "units/text.rs"]
mod text;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::{Room, fixture};

const KINDS: [&str; 5] = ["systemd", "launchd", "supervisord", "runit", "s6"];

/// forerun.toml of a server with a health check.
fn config(room: &Room, name: &str, port: u16, more: &str) -> String {
    let text = format!(
        "name = '{name}'\ncommand = ['{}', 'serve', '{port}', '--answer-pid']\n{more}\n[health]\ncheck = 'http://127.0.0.1:{port}/'\n",
        fixture().display()
    );
    room.file("forerun.toml", &text).display().to_string()
}

/// A name for which no other test and nobody on this machine has a unit.
fn unique(name: &str) -> String {
    format!("forerun-test-{name}-{}", std::process::id())
}

/// The printed text of a unit of one kind.
fn unit(room: &Room, kind: &str, words: &[&str]) -> String {
    room.run(&[&["unit", kind], words].concat()).expect_code(0).stdout
}

/// The command line of a process.
fn words_of(cmdline: &Path) -> Vec<OsString> {
    let bytes = std::fs::read(cmdline).expect("a command line");
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    bytes.split(|&b| b == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect()
}
