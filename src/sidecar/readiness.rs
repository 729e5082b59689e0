#![forbid(unsafe_code)]
//! The look at a server that just became healthy.

use crate::follow::{self, Eyes};
use crate::instance::family::Origin;
use crate::instance::record::{Phase, Record};
use crate::instance::state::Folder;
use crate::sys::Seen;

/// Keeps what is seen of a server that just became healthy, in the record that names it.
pub(super) fn note(origin: &Origin, folder: &Folder, name: &str) {
    let Some(record) = Record::look(folder, name).ok().flatten() else { return };
    if record.ready.is_some() || Seen::from(&record.process) != origin.main || record.phase != Phase::Running {
        return;
    }
    if let Ok(eyes) = Eyes::open() {
        let ready = eyes.ready(&record);
        follow::keep(&record, &Record { ready, ..record.clone() }, folder);
    }
}
