#![forbid(unsafe_code)]
//! The one look at readiness: what main executes, whether main itself listens, and who else is there. Whoever sees the
//! server become ready takes it, and the record keeps it. Once main has ended, it tells a server that took over from a
//! worker that was left.

use serde::{Deserialize, Serialize};

use super::family::Family;
use super::origin::{Noted, Origin};
use super::sight::{Look, Sight};
use crate::sys::{self, Process, Seen};

/// What was seen when the server became ready.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Readiness {
    /// The stack of main, if that identifies what it executes, or 0.
    pub stack: u64,
    /// Whether main itself listened on the service's port. `None` where it may not be looked into.
    pub listened: Option<bool>,
    /// The sockets that main opened and listened on, by their numbers.
    #[serde(default)]
    pub sockets: Vec<u64>,
    /// Who else was there.
    pub noted: Vec<Noted>,
}

/// Takes the look. `listening` are the processes that hold the service's port. A socket that was handed to the service
/// proves nothing, because others have it too: then `port` is none.
pub fn look(origin: &Origin, family: &Family, sight: &Sight, port: Option<u16>, listening: &[i32]) -> Readiness {
    let main = origin.main.pid;
    let is_main = |p: &&Process| Seen::from(*p) == origin.main;
    // An image of main that is about to execute something counts by where it is, because it will be no image then.
    let is_left = |p: &Process| family.left.iter().any(|left| left.pid == p.pid);
    let has_left = |p: &Process| is_left(p) || p.session != origin.session && !descends(p, main, family);
    let noted = family.all().filter(|p| !is_main(p)).map(|p| Noted {
        process: p.into(),
        stack: sight.stack(p),
        listened: listening.contains(&p.pid),
        left: has_left(p),
    });
    let may_be_seen = || sys::descriptor_count(main).is_some();
    Readiness {
        stack: family.all().find(is_main).map_or(0, |p| sight.stack(p)),
        listened: match listening.contains(&main) {
            true => Some(true),
            false => may_be_seen().then_some(false),
        },
        sockets: port.map(|port| sys::sockets_on(main, port)).unwrap_or_default(),
        noted: noted.collect(),
    }
}

/// Whether a member descends from main through living parents.
fn descends(p: &Process, main: i32, family: &Family) -> bool {
    let parent = |child: &&Process| family.all().find(|q| q.pid == child.parent);
    std::iter::successors(Some(p), parent).take(family.all().count() + 1).any(|q| q.pid == main)
}
