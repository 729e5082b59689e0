#![forbid(unsafe_code)]
//! Out of the instance that is to end: from a terminal that the server itself serves, forerun would go down with it.

use std::time::Duration;

use crate::environment::{COOKIE, Environment};
use crate::error::Error;
use crate::instance::record::Record;
use crate::sys::{self, Events, ExitWatch, Waited};

/// What a person sends from the keyboard.
const KEYS: [i32; 2] = [libc::SIGINT, libc::SIGQUIT];

/// Goes on in a process of a session of its own where this one is of the instance. Returns there; what is left
/// behind waits for it, and ends with its exit code.
///
/// # Errors
/// [`Error::Said`] in the process that was left behind; [`Error::Exhausted`].
pub fn go(record: &Record, environment: &Environment) -> Result<(), Error> {
    if !is_within(record, environment) {
        return Ok(());
    }
    let exhausted = |e| Error::Exhausted(format!("cannot leave the instance that is to end: {e}; raise the limits"));
    match sys::fork_into_own_session().map_err(exhausted)? {
        None => Ok(()),
        Some(child) => Err(Error::Said(wait_for(child).map_err(exhausted)?)),
    }
}

/// Whether we carry its cookie, or its main process is an ancestor of ours.
fn is_within(record: &Record, environment: &Environment) -> bool {
    let cookie = environment.get(COOKIE).and_then(|cookie| cookie.to_str());
    let mut ancestor = sys::process(std::process::id() as i32);
    while let Some(process) = ancestor.filter(|p| p.pid > 1) {
        if (process.pid, process.start) == (record.process.pid, record.process.start) {
            return true;
        }
        ancestor = sys::process(process.parent);
    }
    cookie == Some(record.cookie.as_str())
}

/// Hands on a key that interrupts, and then the exit code. The end of the terminal is no reason to end; nor is
/// SIGTERM, which a server that is told to end sends to its children.
fn wait_for(child: i32) -> std::io::Result<u8> {
    let events = Events::catch()?;
    let watch = ExitWatch::new(child);
    let mut handed_on = false;
    loop {
        match sys::wait_for(child)? {
            Waited::Exited(code) => return Ok(code as u8),
            Waited::Killed { signal, .. } => return Ok(128u8.saturating_add(signal as u8)),
            Waited::Running | Waited::Unseen => {}
        }
        if let Some(signal) = events.signal().filter(|signal| KEYS.contains(signal) && !handed_on) {
            let _ = watch.signal(signal);
            handed_on = true;
        }
        events.wait(watch.descriptor(), Duration::from_secs(1));
    }
}
