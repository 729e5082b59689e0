#![forbid(unsafe_code)]
//! The wait for the lock of a service.

use std::time::Duration;

use crate::error::Error;
use crate::instance::record::Record;
use crate::instance::state::{Folder, Lock};
use crate::line::say;
use crate::sys::Events;
use crate::text::quoted;

/// How long to wait before a line is printed.
const NOTEWORTHY: Duration = Duration::from_secs(1);

/// Takes a service's lock. Waits while another forerun starts or stops the service, and calls `meanwhile` with the time
/// waited.
///
/// # Errors
/// [`Error::Interrupted`]; [`Error::State`] when the file system of the folder does not support locks.
pub fn take(events: &Events, folder: &Folder, name: &str, mut meanwhile: impl FnMut(Duration)) -> Result<Lock, Error> {
    let (mut waited, mut said) = (Duration::ZERO, false);
    loop {
        if let Some(signal) = events.signal() {
            return Err(Error::Interrupted(signal));
        }
        let folder_name = quoted(&folder.path);
        let failed =
            |e| Error::State(format!("cannot lock the state folder {folder_name}: {e}; set FORERUN_STATE_DIR"));
        if let Some(lock) = folder.try_lock().map_err(failed)? {
            Record::tidy(folder);
            return Ok(lock);
        }
        if !said && waited >= NOTEWORTHY {
            say(&format!("waiting for another start or stop of {}", quoted(name)));
            said = true;
        }
        meanwhile(waited);
        let step = (waited / 50).clamp(Duration::from_millis(1), Duration::from_millis(50));
        events.wait(None, step);
        waited += step;
    }
}
