#![forbid(unsafe_code)]
//! The lock and the record of the service that a unit starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};

use crate::follow;
use crate::instance::identity::Life;
use crate::instance::record::Record;
use crate::instance::state::{self, Folder, Lock};
use crate::line::say;
use crate::start::unit::Caller;
use crate::supervisor::units::Made;
use crate::sys;
use crate::text::quoted;

/// Takes the lock for installing or removing a unit, and waits while another forerun has it. Without a usable lock
/// nobody waits.
pub fn lock(name: &str, caller: &Caller) -> Option<Lock> {
    let root = state::root(caller.environment, caller.here).ok()?;
    let folder = Folder::open(&root, name).ok()?;
    let mut said = false;
    loop {
        match folder.try_lock_unit() {
            Ok(None) => {
                if !std::mem::replace(&mut said, true) {
                    say(&format!("waiting for another installation of {}", quoted(name)));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            taken => return taken.ok().flatten(),
        }
    }
}

/// The record that the unit's service writes, and whether its process runs.
pub fn recorded(made: &Made, name: &str) -> Option<(Record, Life)> {
    let user = made.user.as_ref().and_then(|user| User::from_name(user).ok().flatten());
    let root = match (&made.state, &user) {
        (Some(state), _) => PathBuf::from(state),
        (None, Some(user)) => state::home_root(&user.dir),
        (None, None) => state::home_root(&sys::home_directory()?),
    };
    let owner = user.map_or(geteuid(), |user| user.uid);
    record_in(&root, owner, name)
}

pub fn record_in(root: &Path, owner: Uid, name: &str) -> Option<(Record, Life)> {
    let folder = Folder::existing(root, name, owner.as_raw()).ok().flatten()?;
    let record = Record::look(&folder, name).ok().flatten()?;
    let here = sys::host().ok()?;
    let record = follow::new_main(&record, &here).ok()?.unwrap_or(record);
    let life = record.process.life(&here);
    Some((record, life))
}
