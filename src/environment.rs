#![forbid(unsafe_code)]
//! An environment, entry by entry: what forerun does not touch goes on to the byte and in its order.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Says who speaks for which instance; inherited by every descendant of the server.
pub const COOKIE: &str = "FORERUN_INSTANCE";
/// Which file the unit is that started us, of those that forerun wrote.
pub const UNIT_FILE: &str = "FORERUN_UNIT";
/// Where readiness is told.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// What only the process that a supervisor started may answer to. By name, not by prefix: LISTEN_ADDR is
/// a setting of many servers.
const NOTIFICATION: [&str; 7] =
    [NOTIFY_SOCKET, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "WATCHDOG_USEC", "WATCHDOG_PID"];
/// What the one who speaks to the service manager has, and nobody else.
const SPEAKERS: [&str; 3] = [NOTIFY_SOCKET, "WATCHDOG_USEC", "WATCHDOG_PID"];
/// What says which unit a process belongs to.
const UNIT: [&str; 3] = ["INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"];
/// What is said to forerun alone.
const OURS: [&str; 2] = [UNIT_FILE, "FORERUN_FOREGROUND"];

/// A list of `NAME=value` entries.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<OsString>);

impl Environment {
    pub fn new(entries: Vec<OsString>) -> Self {
        Environment(entries)
    }

    /// The entries as they are handed to execve.
    pub fn entries(&self) -> &[OsString] {
        &self.0
    }

    /// The value of the first entry of that name.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find_map(|entry| value_of(entry, name.as_bytes()))
    }

    /// The value, where there is one that is not empty.
    pub fn filled(&self, name: &str) -> Option<&OsStr> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// Sets a variable, in the place of the first entry of its name. Further ones go: which of them counts
    /// differs from one program to the next (getenv(3) takes the first, a shell the last).
    pub fn set(&mut self, name: &OsStr, value: &OsStr) {
        let mut entry = name.to_owned();
        entry.push("=");
        entry.push(value);
        let first = self.0.iter().position(|e| value_of(e, name.as_bytes()).is_some());
        self.0.retain(|e| value_of(e, name.as_bytes()).is_none());
        self.0.insert(first.unwrap_or(self.0.len()), entry);
    }

    /// For a check or a fix: without what only the supervised process may answer to.
    pub fn for_checks(&self) -> Self {
        self.without(&NOTIFICATION).without(&[UNIT_FILE])
    }

    /// For a server in the foreground.
    pub fn for_server(&self) -> Self {
        self.without(&OURS)
    }

    /// For a server that does not speak to the service manager: the sidecar does.
    pub fn for_silent_server(&self) -> Self {
        self.without(&SPEAKERS)
    }

    /// For a detached server: also without what says that it is of somebody else's unit.
    pub fn for_detached(&self) -> Self {
        self.for_checks().without(&UNIT).without(&OURS)
    }

    /// Less these variables.
    pub fn without(&self, names: &[&str]) -> Self {
        let goes = |entry: &OsString| names.iter().any(|name| value_of(entry, name.as_bytes()).is_some());
        Environment(self.0.iter().filter(|e| !goes(e)).cloned().collect())
    }
}

fn value_of<'a>(entry: &'a OsStr, name: &[u8]) -> Option<&'a OsStr> {
    entry.as_bytes().strip_prefix(name)?.strip_prefix(b"=").map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(entries: &[&str]) -> Environment {
        Environment::new(entries.iter().map(OsString::from).collect())
    }

    #[test]
    fn entries_keep_their_order_and_what_is_no_pair_stays() {
        let mut e = environment(&["B=1", "broken", "A=2", "=odd", "A=3"]);
        e.set("B".as_ref(), "9".as_ref());
        e.set("C".as_ref(), "".as_ref());
        assert_eq!(e.entries(), environment(&["B=9", "broken", "A=2", "=odd", "A=3", "C="]).entries());
        assert_eq!(e.get("A"), Some("2".as_ref()));
        assert_eq!(e.filled("C"), None);
        e.set("A".as_ref(), "4".as_ref());
        assert_eq!(e.entries(), environment(&["B=9", "broken", "A=4", "=odd", "C="]).entries());
    }

    #[test]
    fn a_detached_server_is_of_nobody_elses_unit() {
        let e = environment(&[
            "NOTIFY_SOCKET=/n",
            "LISTEN_FDS=1",
            "WATCHDOG_USEC=1",
            "INVOCATION_ID=a",
            "LISTEN_ADDR=b",
            "FORERUN_UNIT=u",
        ]);
        assert_eq!(e.for_checks().entries(), environment(&["INVOCATION_ID=a", "LISTEN_ADDR=b"]).entries());
        assert_eq!(e.for_server().entries().len(), e.entries().len() - 1);
        assert_eq!(e.for_detached().entries(), environment(&["LISTEN_ADDR=b"]).entries());
    }
}
