#![forbid(unsafe_code)]
//! The options of a start that only make sense by hand: a unit describes a start under its supervisor.

use std::path::PathBuf;

use clap::Arg;

use super::definition::{flag, path};
use super::parsed::Parsed;

/// The options of [`ByHand`].
pub const NAMES: [&str; 6] = ["foreground", "detach", "dry-run", "replace", "log", "open"];

/// The mode that the command line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AskedMode {
    /// `--foreground`.
    Foreground,
    /// `--detach`.
    Detached,
}

/// What a start by hand can have, and a unit cannot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ByHand {
    pub mode: Option<AskedMode>,
    pub dry_run: bool,
    pub replace: bool,
    pub log: Option<PathBuf>,
    pub open: bool,
}

impl ByHand {
    pub fn read(parsed: &Parsed) -> Self {
        let mode = match (parsed.has("foreground"), parsed.has("detach")) {
            (true, _) => Some(AskedMode::Foreground),
            (false, true) => Some(AskedMode::Detached),
            (false, false) => None,
        };
        ByHand {
            mode,
            dry_run: parsed.has("dry-run"),
            replace: parsed.has("replace"),
            log: parsed.one("log"),
            open: parsed.has("open"),
        }
    }
}

pub fn mode_args() -> [Arg; 3] {
    [
        flag("foreground", "Become the server: same pid, no process left behind").conflicts_with("detach"),
        flag("detach", "Start the server in the background and wait until it is healthy"),
        flag("dry-run", "Print the mode and its reason, the checks and the exact command; run nothing"),
    ]
    .map(|a| a.help_heading("Mode"))
}

pub fn replace_arg() -> Arg {
    flag("replace", "Detached: stop the running instance first").help_heading("Conflict")
}

pub fn detached_args() -> [Arg; 2] {
    [
        path("log", "FILE", "Append the server's output to FILE"),
        flag("open", "Open the URL in a browser once the server is ready"),
    ]
    .map(|a| a.help_heading("Detached"))
}
