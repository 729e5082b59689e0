#![forbid(unsafe_code)]
//! Units, the service definitions of supervisors: how they are written, found, replaced and removed, whichever supervisor
//! they are for. What differs is in the supervisors' own folders: the traits [`Units`] and [`Control`].
//!
//! The contract: docs/reference.md, section 11.

pub mod argv;
pub mod foreign;
pub mod found;
pub mod installed;
pub mod leftover;
pub mod link;
pub mod marker;
pub mod path;
pub mod quote;
pub mod replace;
pub mod run;
pub mod script;
pub mod search;
pub mod spec;
pub mod unit;
pub mod user;
pub mod write;

pub use found::Found;
pub use installed::{Installed, State};
pub use spec::{File, Made, Scope, UnitPath, UnitSpec};
pub use unit::{Control, Hearing, Kind, Runs, Started, Unit, UnitStatus, Units};
