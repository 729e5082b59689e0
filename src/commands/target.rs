#![forbid(unsafe_code)]
//! Finds the service that a subcommand is about: by its name, by the pid of its server, or by the current folder.

use std::path::{Path, PathBuf};

use nix::unistd::{Uid, geteuid};

use super::common::homes;
use crate::args::Which;
use crate::environment::Environment;
use crate::error::Error;
use crate::follow;
use crate::instance::identity::Identity;
use crate::instance::record::{Record, Unreadable};
use crate::instance::state::{self, Folder};
use crate::service::{self, Named};
use crate::start::unseen;
use crate::sys::{self, Account, Host, Process};
use crate::text::{nearest, one_line, quoted, whole_number};

/// The service that a subcommand is about.
pub struct Target {
    pub name: String,
    pub root: PathBuf,
    /// Its state folder. Nothing where no service of this name was ever started.
    pub folder: Option<Folder>,
}

impl Target {
    /// Finds it. It need not run.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that is not one, [`Error::Config`] for a bad file, [`Error::Conflict`] where the
    /// service is another user's, [`Error::NotReady`] for a name that was never heard of: no state folder and no
    /// forerun.toml here has it.
    pub fn find(which: &Which, environment: &Environment) -> Result<Target, Error> {
        let here = std::env::current_dir().unwrap_or_default();
        let config = which.config.as_deref();
        let named = service::named(which.name.as_deref(), config, &here, environment)?;
        let root = state::root(environment, &here).map_err(Error::State)?;
        let us = geteuid();
        let comes_from_file = matches!(named, Named::File(..));
        let name = match named {
            Named::Asked(name) => by_pid(name, &root, us)?,
            Named::File(name, _) | Named::Folder(name) => name,
        };
        let folder = Folder::existing(&root, &name, us.as_raw()).map_err(Error::State)?;
        if folder.is_none() && us.is_root() && state::chosen_root(environment, &here).is_none() {
            if let Some(user) = whose(&name) {
                let what_to_do = format!("do it as that user: sudo -u {} forerun", one_line(&user));
                return Err(Error::Conflict(format!(
                    "{} is an instance of {}; {what_to_do}",
                    quoted(&name),
                    quoted(&user)
                )));
            }
        }
        match folder.is_some() || comes_from_file || is_in_file(&name, config, &here, environment) {
            true => Ok(Target { name, root, folder }),
            false => Err(unknown(&name, &root, which.name.is_some())),
        }
    }

    /// The record as it is now; nothing is changed.
    ///
    /// # Errors
    /// [`Error::State`] when it cannot be read or trusted.
    pub fn record(&self) -> Result<Option<Record>, Error> {
        let Some(folder) = &self.folder else { return Ok(None) };
        Record::look(folder, &self.name).map_err(|e| {
            let what_to_do = if matches!(e, Unreadable::Untrusted(_)) { "; remove it" } else { "" };
            Error::State(e.message(folder) + what_to_do)
        })
    }

    /// The record with the main process that is the server now: it may have handed over.
    ///
    /// # Errors
    /// As [`Target::record`], and [`Error::Exhausted`].
    pub fn followed(&self, here: &Host) -> Result<Option<Record>, Error> {
        let (Some(record), Some(folder)) = (self.record()?, &self.folder) else { return Ok(None) };
        let Some(new) = follow::new_main(&record, here).map_err(unseen)? else { return Ok(Some(record)) };
        follow::keep(&record, &new, folder);
        Ok(Some(new))
    }
}

/// Whether the forerun.toml of the folder `here` is of a service of this name, whether it ever ran or not. `config`: the
/// file that was given.
pub fn is_in_file(name: &str, config: Option<&Path>, here: &Path, environment: &Environment) -> bool {
    let of_file = service::named(None, config, here, environment);
    matches!(of_file, Ok(Named::File(known, _)) if known == name)
}

/// The error for a name that was never heard of: a script must not take it for a service that was stopped. `asked`:
/// the command line said it.
pub fn unknown(name: &str, root: &Path, asked: bool) -> Error {
    let shown = quoted(name);
    if !asked {
        return Error::NotReady(format!("nothing was ever started here as {shown}; start it, or give a NAME"));
    }
    if name.bytes().all(|b| b.is_ascii_digit()) {
        return Error::NotReady(format!("no service and no process is called {shown}; see 'forerun status --all'"));
    }
    let names = state::names(root).unwrap_or_default();
    let what_to_do = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean '{}'?", one_line(near)),
        None => "see 'forerun status --all'".to_owned(),
    };
    Error::NotReady(format!("no service is called {shown}; {what_to_do}"))
}

/// The number that a name may be.
pub fn pid(name: &str) -> Option<i32> {
    whole_number(name).ok().filter(|&pid: &i32| pid > 0)
}

/// The name that was asked for. A number that no service is called stands for the instance whose main process has that
/// pid.
///
/// # Errors
/// As [`instance_of`].
pub fn by_pid(name: String, root: &Path, us: Uid) -> Result<String, Error> {
    match (pid(&name), Folder::existing(root, &name, us.as_raw())) {
        (Some(pid), Ok(None)) => Ok(instance_of(root, us, pid)?.unwrap_or(name)),
        _ => Ok(name),
    }
}

/// The names of all services that have a folder in `root`.
///
/// # Errors
/// [`Error::State`] where the state folder cannot be read.
pub fn names(root: &Path) -> Result<Vec<String>, Error> {
    state::names(root).map_err(|e| Error::State(format!("cannot read the state folder {}: {e}", quoted(root))))
}

/// The instance whose main process has this pid.
///
/// # Errors
/// [`Error::Conflict`] where the process is another one of an instance: what was meant is asked, not guessed.
/// [`Error::State`] and [`Error::Exhausted`] where it cannot be told.
fn instance_of(root: &Path, us: Uid, pid: i32) -> Result<Option<String>, Error> {
    let process = sys::look_up(pid).map_err(unseen)?.filter(|process| !process.zombie);
    let Some(process) = process else { return Ok(None) };
    let lineage = lineage(process);
    let is_in = |identity: &Identity| lineage.iter().any(|p| (p.pid, p.start) == (identity.pid, identity.start));
    let names =
        state::names(root).map_err(|e| Error::State(format!("cannot read the state folder {}: {e}", quoted(root))))?;
    let mut unreadable = None;
    for name in names {
        let Ok(Some(folder)) = Folder::existing(root, &name, us.as_raw()) else { continue };
        let record = match Record::look(&folder, &name) {
            Ok(Some(record)) => record,
            Ok(None) => continue,
            Err(e) => {
                unreadable = Some(e.message(&folder));
                continue;
            }
        };
        if record.process.pid == pid && record.process.start == process.start {
            return Ok(Some(name));
        }
        if is_in(&record.process) {
            let message = format!(
                "pid {pid} is a process of {}, whose main process is pid {}; name that",
                quoted(&name),
                record.process.pid
            );
            return Err(Error::Conflict(message));
        }
    }
    match unreadable {
        Some(why) => Err(Error::State(format!("cannot tell whose process pid {pid} is: {why}"))),
        None => Err(Error::NotReady(format!("pid {pid} is not of an instance; see 'forerun status --all'"))),
    }
}

/// A process and its ancestors.
fn lineage(process: Process) -> Vec<Process> {
    let parent = |child: &Process| sys::process(child.parent).filter(|parent| parent.start <= child.start);
    std::iter::successors(Some(process), parent).take_while(|p| p.pid > 1).collect()
}

/// The other user who has an instance of this name: root sees all, and stops its own.
fn whose(name: &str) -> Option<String> {
    let has = |(root, account): &(PathBuf, Account)| {
        let folder = Folder::existing(root, name, account.uid);
        folder.ok().flatten().is_some_and(|folder| matches!(Record::look(&folder, name), Ok(Some(_))))
    };
    homes().find(has).map(|(_, account)| account.name)
}
