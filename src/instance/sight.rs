#![forbid(unsafe_code)]
//! Questions about a single process that decide whose it is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::origin::Origin;
use crate::environment::{COOKIE, Environment};
use crate::sys::{self, Process, Seen};

/// Questions about a single process.
pub trait Look {
    /// Whether its environment is whole and shows this cookie.
    fn shows(&self, process: &Process, cookie: &str) -> bool;
    /// Whether it shows that it is of another instance, by a whole environment or by a control group of forerun's.
    fn is_of_another(&self, process: &Process, origin: &Origin) -> bool;
    /// Its stack, if that identifies what it executes, or 0.
    fn stack(&self, process: &Process) -> u64;
    /// Whether it holds one of these sockets.
    fn holds(&self, process: &Process, sockets: &[u64]) -> bool;
    /// Whether it is in this control group.
    fn is_in_group(&self, process: &Process, group: &str) -> bool;
}

/// Asks the system. Each process is looked into once, even for many instances, because what it tells does not change.
#[derive(Default)]
pub struct Sight {
    cookies: RefCell<HashMap<Seen, Option<OsString>>>,
    random: RefCell<HashMap<Seen, bool>>,
    groups: RefCell<HashMap<Seen, Option<String>>>,
}

impl Sight {
    /// The cookie that a process shows.
    fn cookie(&self, process: &Process) -> Option<OsString> {
        let mut seen = self.cookies.borrow_mut();
        ask(&mut seen, process, |pid| sys::environment_of(pid).and_then(shown)).flatten()
    }

    fn group(&self, process: &Process) -> Option<String> {
        ask(&mut self.groups.borrow_mut(), process, sys::cgroup_of).flatten()
    }
}

impl Look for Sight {
    fn shows(&self, process: &Process, cookie: &str) -> bool {
        self.cookie(process).is_some_and(|shown| shown == cookie)
    }

    fn is_of_another(&self, process: &Process, origin: &Origin) -> bool {
        let group = self.group(process).filter(|path| sys::is_own_group(path));
        self.cookie(process).is_some_and(|shown| shown != *origin.cookie)
            || group.is_some_and(|path| Some(path) != origin.group)
    }

    fn stack(&self, process: &Process) -> u64 {
        let mut random = self.random.borrow_mut();
        let is_random = process.stack != 0 && ask(&mut random, process, sys::has_random_stack).unwrap_or(false);
        if is_random { process.stack } else { 0 }
    }

    fn holds(&self, process: &Process, sockets: &[u64]) -> bool {
        sys::sockets_of(process.pid).iter().any(|socket| sockets.contains(socket))
    }

    fn is_in_group(&self, process: &Process, group: &str) -> bool {
        self.group(process).is_some_and(|path| path == group)
    }
}

/// The answer about a process, which is kept unless it could not be looked at this time.
fn ask<T: Clone>(known: &mut HashMap<Seen, T>, process: &Process, look: impl FnOnce(i32) -> T) -> Option<T> {
    match known.get(&process.into()) {
        Some(answer) => Some(answer.clone()),
        None => {
            let answer = sys::whole(|| look(process.pid)).ok()?;
            known.insert(process.into(), answer.clone());
            Some(answer)
        }
    }
}

/// The cookie of an environment. One that a server overwrote consists of empty entries or a title, and shows nothing.
fn shown(entries: Vec<OsString>) -> Option<OsString> {
    let is_whole = entries.iter().all(|entry| entry.as_bytes().contains(&b'='));
    is_whole.then(|| Environment::new(entries).get(COOKIE).map(ToOwned::to_owned)).flatten()
}
