#![forbid(unsafe_code)]
//! Which processes belong to an instance.

use std::collections::HashSet;

use crate::environment::COOKIE;
use crate::sys::{self, Process};

/// The processes of `table` that descend from `main`, or are in the session or process group that it leads;
/// `main` itself with them. `forerun` is us: what a server of ours left behind came to us, where we asked for
/// that, and is of the instance too; we are not.
pub fn members(table: &[Process], main: &Process, forerun: i32) -> Vec<Process> {
    let session = table.iter().find(|p| p.pid == forerun).map(|p| p.session);
    // A child that our caller had before it executed us is none of the server's. It is older, or in our
    // session, in which nothing of the server can be: that began a session of its own.
    let came_to_us = |p: &&Process| {
        main.parent == forerun && p.parent == forerun && p.start >= main.start && Some(p.session) != session
    };
    let mut family: HashSet<i32> = table.iter().filter(came_to_us).map(|p| p.pid).chain([main.pid]).collect();
    loop {
        let before = family.len();
        family.extend(table.iter().filter(|p| family.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>());
        if family.len() == before {
            break;
        }
    }
    let is_member =
        |p: &&Process| p.pid != forerun && (family.contains(&p.pid) || p.session == main.pid || p.group == main.pid);
    table.iter().filter(is_member).copied().collect()
}

/// Whether a process shows the cookie. No proof where it does not: servers overwrite their environment.
pub fn shows_cookie(pid: i32, cookie: &str) -> bool {
    sys::environment_value(pid, COOKIE).is_some_and(|value| value == cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32, start: u64) -> Process {
        Process { pid, parent, group: session, session, start, zombie: false }
    }

    #[test]
    fn family_session_and_orphans_are_members_and_we_and_our_callers_children_are_not() {
        let table = [
            process(1, 0, 1, 1),
            process(50, 1, 40, 4),  // us
            process(51, 50, 40, 3), // a child that our caller had
            process(52, 50, 40, 9), // what that one left behind
            process(53, 50, 53, 3), // another, in a session of its own
            process(60, 50, 60, 5), // main
            process(61, 60, 60, 6), // worker
            process(62, 61, 62, 7), // worker's child in a session of its own
            process(63, 1, 60, 8),  // orphan in main's session
            process(64, 50, 64, 8), // orphan that came to us
            process(70, 1, 70, 9),  // a stranger
        ];
        let pids = |main: &Process| members(&table, main, 50).iter().map(|p| p.pid).collect::<Vec<_>>();
        assert_eq!(pids(&table[5]), [60, 61, 62, 63, 64]);
        // One that another forerun started.
        assert_eq!(pids(&Process { parent: 1, ..table[5] }), [60, 61, 62, 63]);
    }
}
