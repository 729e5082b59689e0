#![forbid(unsafe_code)]
//! What the proof begins with: main, how it was launched, and what was seen of it.

use serde::{Deserialize, Serialize};

use crate::sys::{Process, Seen};

/// A member that was seen when the server became ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Noted {
    #[serde(flatten)]
    pub process: Seen,
    /// Its stack, if that identifies what it executes, or 0.
    pub stack: u64,
    /// It listened on the service's port.
    pub listened: bool,
    /// It had left for a session of its own.
    pub left: bool,
}

/// What the proof begins with.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    pub main: Seen,
    /// The session of main.
    pub session: i32,
    /// The start time of the launch. Nothing that began before it is of the instance, but main.
    pub launched: u64,
    pub cookie: String,
    /// The children that main's process had before the launch.
    pub earlier_children: Vec<Seen>,
    /// The launcher of a detached start that is still going on. Its children descend from main, whatever they did.
    pub launcher: Option<Seen>,
    /// The stack of main, if that identifies what main executes, or 0.
    pub stack: u64,
    pub noted: Vec<Noted>,
    /// The sockets that main itself opened and listened on, by their numbers.
    pub sockets: Vec<u64>,
    /// The first main led its session.
    pub led_session: bool,
    /// The process group of main.
    pub process_group: i32,
    /// The sidecar.
    pub sidecar: Option<Seen>,
    /// The control group that forerun made for the instance.
    pub group: Option<String>,
}

impl Origin {
    /// Whether a process is where only a descendant of main can be. Main may hand its socket to anybody, so that the
    /// socket alone proves nothing. Nobody gets into a session that main led but by descent. Into another one somebody
    /// may, but not into main's process group, and without a parent in that session.
    pub fn is_where_main_was(&self, p: &Process, parent: Option<&Process>) -> bool {
        let is_orphan = parent.is_none_or(|parent| parent.session != self.session);
        p.session == self.session && (self.led_session || p.group == self.process_group && is_orphan)
    }
}
