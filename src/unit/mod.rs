#![forbid(unsafe_code)]
//! Units, the service definitions of supervisors. Pure functions write a unit from a service. Other functions read,
//! replace and remove installed units, and control the supervisor.

mod ask;
mod control;
mod draft;
mod found;
mod harden;
mod installed;
mod launchctl;
mod launchd;
mod link;
mod main_pid;
mod marker;
mod place;
mod quote;
pub mod refresh;
mod replace;
mod runit;
mod s6;
mod supervisord;
mod systemd;
mod user;
mod words;

use std::path::{Path, PathBuf};

use crate::cli::Kind;
use crate::environment::Environment;

pub use control::{Control, Runs};
pub use draft::{Caller, Draft, File, Site, refuse_name};
pub use found::{Found, all, find, in_the_way, strangers};
pub use installed::{Installed, LARGEST, State};
pub use main_pid::active;
pub use marker::{Made, Marker};
pub use place::{Place, Scope, hidden_by, kind_word};
pub use replace::{remove, write};
pub use systemd::lingers;
pub use user::choose as choose_user;

/// The current folder, as the caller named it.
pub fn here(environment: &Environment, actual: &Path) -> PathBuf {
    words::here(environment, actual)
}

/// All files that a unit of this kind can have, if it is a folder.
pub fn all_files(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Runit => &runit::FILES,
        Kind::S6 => &s6::FILES,
        Kind::Systemd | Kind::Launchd | Kind::Supervisord => &[],
    }
}

/// The files of a unit that is a folder, if its marker does not list them.
pub fn usual_files(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Runit | Kind::S6 => &runit::FILES,
        Kind::Systemd | Kind::Launchd | Kind::Supervisord => &[],
    }
}
