#![forbid(unsafe_code)]
//! Units, the service definitions of supervisors. Pure functions write a unit from a service. Other functions read,
//! replace and remove installed units, and control the supervisor.

pub mod control;
pub mod found;
pub mod installed;
pub mod link;
pub mod marker;
pub mod path;
pub mod quote;
pub mod replace;
pub mod spec;
pub mod user;
pub mod words;

use std::path::{Path, PathBuf};

use crate::args::Kind;
use crate::environment::Environment;
use crate::supervisor::runit::unit as runit;
use crate::supervisor::s6::unit as s6;

pub use crate::supervisor::systemd::unit::lingers;
pub use control::{Control, Runs};
pub use found::{Found, all, find, in_the_way, strangers};
pub use installed::{Installed, LARGEST, State};
pub use marker::{Made, Marker};
pub use path::{Place, Scope, hidden_by, kind_word};
pub use replace::{remove, write};
pub use spec::{Caller, Draft, File, Site, refuse_name};
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
