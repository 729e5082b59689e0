#![forbid(unsafe_code)]
//! The two ways to launch a server.

use std::fmt;

/// How the server is launched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Foreground,
    Detached,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Mode::Foreground => "foreground",
            Mode::Detached => "detached",
        })
    }
}
