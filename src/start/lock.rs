#![forbid(unsafe_code)]
//! The wait for the lock of a service.

use std::io;
use std::path::Path;
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
pub fn take(events: &Events, folder: &Folder, name: &str, meanwhile: impl FnMut(Duration)) -> Result<Lock, Error> {
    let lock = wait(events, name, meanwhile, || folder.try_lock())?;
    let folder_name = quoted(&folder.path);
    let failed = |e| Error::State(format!("cannot lock the state folder {folder_name}: {e}; set FORERUN_STATE_DIR"));
    let lock = lock.map_err(failed)?;
    Record::tidy(folder);
    Ok(lock)
}

/// Locks forerun.toml, where there is no folder for a lock.
///
/// # Errors
/// [`Error::Interrupted`]; [`Error::State`] when it cannot be locked.
pub fn take_file(events: &Events, file: &Path, name: &str, meanwhile: impl FnMut(Duration)) -> Result<Lock, Error> {
    let lock = wait(events, name, meanwhile, || Lock::try_file(file))?;
    lock.map_err(|e| Error::State(format!("cannot lock {}: {e}", quoted(file))))
}

/// Tries until nobody else has the lock.
fn wait(
    events: &Events,
    name: &str,
    mut meanwhile: impl FnMut(Duration),
    attempt: impl Fn() -> io::Result<Option<Lock>>,
) -> Result<io::Result<Lock>, Error> {
    let (mut waited, mut said) = (Duration::ZERO, false);
    loop {
        if let Some(signal) = events.signal() {
            return Err(Error::Interrupted(signal));
        }
        if let Some(lock) = attempt().transpose() {
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
