#![forbid(unsafe_code)]
//! Follows a server that handed over: what serves and has taken over is the instance's main process from then on.
//!
//! The contract: docs/reference.md, section 9.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::check::port;
use crate::environment::Environment;
use crate::instance::after::{After, Asked, handed_over};
use crate::instance::family::{self, Family, Origin, Sight, look_at};
use crate::instance::identity::Life;
use crate::instance::ready::{self, Readiness};
use crate::instance::record::{Record, os_strings};
use crate::instance::state::Folder;
use crate::supervisor::{self, Supervised};
use crate::sys::{self, Host, Process, Sockets};

/// One look at the system, for one instance or for many.
#[derive(Default)]
pub struct Eyes {
    pub table: Vec<Process>,
    pub sight: Sight,
    pub sockets: Sockets,
}

impl Eyes {
    /// Reads the process table.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open() -> std::io::Result<Self> {
        Ok(Eyes { table: sys::processes()?, ..Eyes::default() })
    }

    /// The members that hold the recorded port.
    pub fn listening(&self, record: &Record, family: &Family) -> Vec<i32> {
        self.holders(record.host.as_deref(), record.port, family)
    }

    /// The members that hold a port of a host, and whoever else holds the same sockets.
    pub fn holders(&self, host: Option<&str>, port: Option<u16>, family: &Family) -> Vec<i32> {
        let Some(number) = port else { return Vec::new() };
        let members: Vec<i32> = family.all().map(|p| p.pid).collect();
        port::holders(&self.sockets, host, number, &members)
    }

    /// The look at readiness: what the instance of a record is now. `None` where a part of it could not be seen.
    pub fn ready(&self, record: &Record) -> Option<Readiness> {
        let origin = Origin::of(record);
        let port = record.port.filter(|_| !record.is_activated);
        let look = || {
            let family = look_at(&origin, &self.table, &self.sight);
            ready::look(&origin, &family, &self.sight, port, &self.listening(record, &family))
        };
        sys::whole(look).ok()
    }
}

/// What has become of a recorded instance.
pub enum Now {
    /// Its main process lives, or nobody can tell.
    Same,
    /// Another process of it is the server now: the record says which.
    HandedOver(Box<Record>),
    /// Its main process has ended.
    Ended(After),
}

/// Who looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Somebody who may ask systemd.
    Person,
    /// A start by a supervisor.
    Supervisor,
    Sidecar,
    /// root, who looks at another user's instance: nothing that the record names is opened, asked or looked up.
    Other,
}

impl By {
    pub fn start(supervised: bool) -> Self {
        if supervised { By::Supervisor } else { By::Person }
    }
}

/// Looks what has become of an instance.
///
/// # Errors
/// When a part could not be looked at: nothing may be concluded from what was not seen.
pub fn now(record: &Record, here: &Host, eyes: &Eyes, by: By) -> std::io::Result<Now> {
    sys::whole(|| found(record, here, eyes, by))
}

fn found(record: &Record, here: &Host, eyes: &Eyes, by: By) -> Now {
    if record.process.life(here) != Life::Dead || !record.process.host.is_same_as(here) {
        return Now::Same;
    }
    let asked = Asked {
        origin: &Origin::of(record),
        ready: record.ready.as_ref(),
        ended: record.ended,
        trace: record.trace,
        table: &eyes.table,
        sight: &eyes.sight,
        supervised: by == By::Supervisor,
    };
    let after = After::look(&asked, |family| eyes.listening(record, family));
    let named = || by_supervisor(record, by).or_else(|| by_pid_file(record, &after, by));
    match after.successor().or_else(named) {
        Some(process) => {
            let record = handed_over(record, &process, supervisor::recorded::follows(record));
            let ready = eyes.ready(&record);
            Now::HandedOver(Box::new(Record { ready, ..record }))
        }
        None => Now::Ended(after),
    }
}

/// The record of an instance as it is now, for those who only look. What is new is kept if nobody starts or stops the
/// service meanwhile.
pub fn current(record: Record, folder: &Folder, here: &Host, eyes: &Eyes) -> (Record, After) {
    let (new, after) = seen(record.clone(), here, eyes, By::Person);
    if new != record {
        keep(&record, &new, folder);
    }
    (new, after)
}

/// Like [`now`], for one instance. Looks at the system only where its main process has ended.
///
/// # Errors
/// As [`now`], and when the process table cannot be read.
pub fn look(record: &Record, here: &Host, by: By) -> std::io::Result<Now> {
    match record.process.life(here) {
        Life::Dead => now(record, here, &Eyes::open()?, by),
        Life::Alive | Life::Unknown(_) => Ok(Now::Same),
    }
}

/// The record with the main process that is the server now, if that is another than before.
///
/// # Errors
/// As [`look`].
pub fn new_main(record: &Record, here: &Host) -> std::io::Result<Option<Record>> {
    Ok(match look(record, here, By::Person)? {
        Now::HandedOver(new) => Some(*new),
        Now::Same | Now::Ended(_) => None,
    })
}

/// The record with the main process that is the server now, for those who have the lock. Otherwise it is as it was.
///
/// # Errors
/// As [`look`], and when the record cannot be written.
pub fn locked(record: Record, folder: &Folder, here: &Host) -> std::io::Result<Record> {
    let Some(new) = new_main(&record, here)? else { return Ok(record) };
    new.write(folder)?;
    Ok(new)
}

/// The same as [`current`] for a record that is not ours to write.
pub fn seen(record: Record, here: &Host, eyes: &Eyes, by: By) -> (Record, After) {
    match now(&record, here, eyes, by) {
        Ok(Now::Same) | Err(_) => (record, After::default()),
        // What may be the server still may be restarted.
        Ok(Now::Ended(after)) if !after.unclear().is_empty() => (record, after),
        Ok(Now::Ended(after)) => (record.spent(after.ended), after),
        Ok(Now::HandedOver(new)) => (*new, After::default()),
    }
}

/// Replaces a record that nobody changed meanwhile. Where that is not possible, the next look finds the same.
pub fn keep(old: &Record, new: &Record, folder: &Folder) {
    let Ok(Some(_lock)) = folder.try_lock() else { return };
    if Record::look(folder, &old.name).is_ok_and(|now| now.as_ref() == Some(old)) {
        let _ = new.write(folder);
    }
}

/// The process that systemd says is the main one of the instance's unit. Its word counts, whether that process shows
/// where it comes from or not: forerun never signals it. Asked only from outside: a start by systemd is that process.
fn by_supervisor(record: &Record, by: By) -> Option<Process> {
    let supervised = supervisor::of(record).filter(|_| by == By::Person)?;
    let active = supervised.active()?;
    // After a restart of the unit its main process is another start, and no successor.
    let environment = Environment::new(os_strings(&record.environment));
    environment.filled("INVOCATION_ID").filter(|of_launch| *of_launch == active.invocation.as_str())?;
    let path = sys::cgroup_of(active.main)?;
    sys::process(active.main).filter(|p| !p.zombie && supervised.has_group(&path))
}

/// systemd, where one of these processes is in the control group of a unit of it that is active:
/// then they are systemd's to end.
pub fn systemds<'a>(record: &Record, mut of: impl Iterator<Item = &'a Process>) -> Option<Supervised> {
    let supervised = supervisor::of(record)?;
    let is_in = |path: String| supervised.has_group(&path);
    if sys::cgroup().is_some_and(is_in) || !of.any(|p| sys::cgroup_of(p.pid).is_some_and(is_in)) {
        return None;
    }
    supervised.active()?;
    Some(supervised)
}

/// The member that the pid file names.
fn by_pid_file(record: &Record, after: &After, by: By) -> Option<Process> {
    if by == By::Other {
        return None;
    }
    let pid = read_pid_file(&PathBuf::from(OsString::from(record.pid_file.as_ref()?)))?;
    after.family.all().find(|p| p.pid == pid).copied()
}

/// The pid in a pid file, if root or the user of that process wrote it. Nothing else than a small regular file is read.
pub fn read_pid_file(path: &Path) -> Option<i32> {
    /// More than any pid needs, in bytes.
    const LONGEST: u64 = 32;
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let status = file.metadata().ok().filter(|status| status.is_file() && status.len() <= LONGEST)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let pid = text.trim().parse().ok()?;
    (status.uid() == 0 || sys::user_of(pid) == Some(status.uid())).then_some(pid)
}

/// Describes who listens on a port of a host on which the instance should, if that does not belong to it.
pub fn stranger(origin: &Origin, host: Option<&str>, port: Option<u16>) -> Option<String> {
    let mut family = None;
    port::stranger(host, port?, Some(origin.main), |pid| {
        // Who cannot be looked at now is not called a stranger.
        family.get_or_insert_with(|| family::look(origin).ok()).as_ref().is_none_or(|family| family.has(pid))
    })
}
