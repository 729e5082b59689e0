#![forbid(unsafe_code)]
//! `forerun status`: shows one instance, or all of them. It changes nothing but the record: who is main now, what the
//! look at readiness saw, and that an instance has ended.

mod look;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{User, getegid, geteuid};

use super::common::{catch_events, homes};
use super::target;
use crate::args::{Output, Status};
use crate::environment::Environment;
use crate::error::Error;
use crate::follow::Eyes;
use crate::instance::record::Record;
use crate::instance::state::{self, Folder};
use crate::report::status::{Scope, State, print_all, print_one};
use crate::service::{self, Named, is_name};
use crate::start::unseen;
use crate::sys::{self, Account};
use look::{Looked, Nobody, View, condition, health};

pub fn run(asked: &Status, output: &Output, environment: &Environment) -> Result<(), Error> {
    let here = std::env::current_dir().unwrap_or_default();
    let (roots, scope) = roots(environment, &here)?;
    let one = one(asked, &roots[0], &here, environment)?;
    let events = catch_events()?;
    let view = View {
        host: sys::host().map_err(unseen)?,
        eyes: Eyes::open().map_err(unseen)?,
        pipe: Arc::clone(events.pipe()),
    };
    let mut instances = Vec::new();
    for (root, account) in &roots {
        let names = match &one {
            Some(name) => vec![name.clone()],
            None => target::names(root)?,
        };
        for name in names.iter().filter(|name| is_name(name)) {
            instances.extend(view.instance(root, name, account)?);
        }
    }
    let mut states = Vec::with_capacity(instances.len());
    for Looked { mut state, run, record } in instances {
        if let Some(mut run) = run {
            run.wait(None, &events, &mut Nobody)?;
            state.health = health(run.progress().remove(0), &state);
        }
        state.condition = condition(&state);
        record.into_iter().for_each(|(folder, record)| view.note(&state, &folder, &record));
        states.push(state);
    }
    let is_heard_of = |name: &str| {
        roots.iter().any(|(root, _)| root.join(name).is_dir())
            || target::is_in_file(name, asked.which.config.as_deref(), &here, environment)
    };
    let good = match &one {
        Some(name) if states.is_empty() && !is_heard_of(name) => {
            return Err(target::unknown(name, &roots[0].0, asked.which.name.is_some()));
        }
        Some(name) => {
            print_one(name, &states, &scope, output.json)?;
            !states.is_empty() && states.iter().all(State::is_good)
        }
        None => {
            print_all(&states, &scope, output.json)?;
            states.iter().any(State::is_good) && states.iter().all(|state| state.is_good() || state.is_history)
        }
    };
    if good { Ok(()) } else { Err(Error::Said(1)) }
}

/// The name of the one instance to show, or `None` for all. Without a NAME and a forerun.toml, the instance of this
/// folder's name is shown if there is one.
fn one(
    asked: &Status,
    own: &(PathBuf, Account),
    here: &Path,
    environment: &Environment,
) -> Result<Option<String>, Error> {
    if asked.all {
        return Ok(None);
    }
    let (root, account) = own;
    let folder = |name: &str| Folder::existing(root, name, account.uid).ok().flatten();
    let is_recorded = |name: &str| folder(name).is_some_and(|folder| !matches!(Record::look(&folder, name), Ok(None)));
    Ok(match service::named(asked.which.name.as_deref(), asked.which.config.as_deref(), here, environment)? {
        Named::Folder(name) => Some(name).filter(|name| is_recorded(name)),
        Named::File(name, _) => Some(name),
        Named::Asked(name) => Some(target::by_pid(name, root, geteuid())?),
    })
}

/// The state folders to look in, and whose they are. Every user sees their own, root sees all.
fn roots(environment: &Environment, here: &Path) -> Result<(Vec<(PathBuf, Account)>, Scope), Error> {
    let us = geteuid();
    let name = User::from_uid(us).ok().flatten().map_or_else(|| us.to_string(), |user| user.name);
    let own = state::root(environment, here).map_err(Error::State)?;
    let mut roots = vec![(
        own.clone(),
        Account { uid: us.as_raw(), gid: getegid().as_raw(), name: name.clone(), home: PathBuf::new() },
    )];
    if state::chosen_root(environment, here).is_some() {
        // The state folder of a unit with DynamicUser= is its user's.
        let whose = std::fs::metadata(&own).ok().filter(|folder| us.is_root() && folder.uid() != 0);
        if let Some(folder) = whose {
            let account = &mut roots[0].1;
            (account.uid, account.gid, account.name) = (folder.uid(), folder.gid(), sys::user_name(folder.uid()));
        }
        return Ok((roots, Scope::Folder(own)));
    }
    if !us.is_root() {
        return Ok((roots, Scope::User));
    }
    for (root, account) in homes() {
        if root.is_dir() && roots.iter().all(|(known, _)| *known != root) {
            roots.push((root, account));
        }
    }
    Ok((roots, Scope::Everybody))
}
