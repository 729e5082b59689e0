#![forbid(unsafe_code)]
//! An environment as a list of entries. Entries that forerun does not change are passed on unchanged and in their
//! order.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Marks a process as part of an instance. Every descendant of the server inherits it.
pub const COOKIE: &str = "FORERUN_INSTANCE";
/// Path of the unit file that started us. Only units that forerun wrote set it.
pub const UNIT_FILE: &str = "FORERUN_UNIT";
/// The socket for readiness messages (sd_notify(3)).
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The file of a notification socket of forerun's own in a service's folder, and what its name begins with where it is no
/// path.
pub const OWN_SOCKET: &str = "forerun.notify";
pub const OWN_SOCKET_NAME: &str = "@forerun/";

/// Variables that only the process that a supervisor started may use. They are listed by name, because a prefix would
/// match LISTEN_ADDR, a setting of many servers.
const NOTIFICATION: [&str; 7] =
    [NOTIFY_SOCKET, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "WATCHDOG_USEC", "WATCHDOG_PID"];
/// Variables for the process that reports to the service manager.
const SPEAKERS: [&str; 3] = [NOTIFY_SOCKET, "WATCHDOG_USEC", "WATCHDOG_PID"];
/// Variables that say which unit a process belongs to.
const UNIT: [&str; 3] = ["INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"];
/// Variables that only forerun reads.
const OURS: [&str; 2] = [UNIT_FILE, "FORERUN_FOREGROUND"];

/// A list of `NAME=value` entries.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<OsString>);

impl Environment {
    pub fn new(entries: Vec<OsString>) -> Self {
        Environment(entries)
    }

    /// The entries as execve(2) takes them.
    pub fn entries(&self) -> &[OsString] {
        &self.0
    }

    /// The value of the first entry with this name.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find_map(|entry| value_of(entry, name.as_bytes()))
    }

    /// The value, if it is not empty.
    pub fn filled(&self, name: &str) -> Option<&OsStr> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// Sets a variable in place of the first entry with this name, and removes the others. Programs differ in which of
    /// several entries they use (getenv(3) the first, a shell the last).
    pub fn set(&mut self, name: &OsStr, value: &OsStr) {
        let mut entry = name.to_owned();
        entry.push("=");
        entry.push(value);
        let first = self.0.iter().position(|e| value_of(e, name.as_bytes()).is_some());
        self.0.retain(|e| value_of(e, name.as_bytes()).is_none());
        self.0.insert(first.unwrap_or(self.0.len()), entry);
    }

    /// The environment for checks and fixes: without variables that only the supervised process may use.
    pub fn for_checks(&self) -> Self {
        self.without(&NOTIFICATION).without(&[UNIT_FILE])
    }

    /// The environment for a server in the foreground.
    pub fn for_server(&self) -> Self {
        self.without(&OURS)
    }

    /// The environment for a server whose sidecar reports to the service manager.
    pub fn for_silent_server(&self) -> Self {
        self.without(&SPEAKERS)
    }

    /// The environment for a detached server: also without variables that would assign it to another unit.
    pub fn for_detached(&self) -> Self {
        self.for_checks().without(&UNIT).without(&OURS)
    }

    /// The environment without a notification socket that is forerun's own: it shows no service manager to those below
    /// the server that it is for.
    pub fn without_own_socket(&self) -> Self {
        let is_own = |address: &OsStr| {
            let bytes = address.as_bytes();
            bytes.starts_with(OWN_SOCKET_NAME.as_bytes()) || bytes.ends_with(format!("/{OWN_SOCKET}").as_bytes())
        };
        if self.get(NOTIFY_SOCKET).is_some_and(is_own) { self.without(&[NOTIFY_SOCKET]) } else { self.clone() }
    }

    /// The environment without these variables.
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
    fn entries_keep_their_order_even_without_an_equals_sign() {
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
    fn a_detached_server_belongs_to_no_other_unit() {
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
