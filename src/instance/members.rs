#![forbid(unsafe_code)]
//! Which processes belong to an instance.

use std::collections::HashSet;

use crate::environment::COOKIE;
use crate::sys::{self, Process};

/// The processes of `table` that descend from `main`, or are in the session or process group that it leads;
/// `main` itself with them. `forerun` is us: what a server's processes left behind came to us, where we
/// asked for that, and is of the instance too; we are not.
pub fn members(table: &[Process], main: i32, forerun: i32) -> Vec<Process> {
    let mut family = HashSet::from([main, forerun]);
    loop {
        let before = family.len();
        family.extend(table.iter().filter(|p| family.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>());
        if family.len() == before {
            break;
        }
    }
    let is_member =
        |p: &&Process| p.pid != forerun && (family.contains(&p.pid) || p.session == main || p.group == main);
    table.iter().filter(is_member).copied().collect()
}

/// Whether a process shows the cookie. No proof where it does not: servers overwrite their environment.
pub fn shows_cookie(pid: i32, cookie: &str) -> bool {
    sys::environment_value(pid, COOKIE).is_some_and(|value| value == cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> Process {
        Process { pid, parent, group: session, session, start: 1, zombie: false }
    }

    #[test]
    fn family_session_and_orphans_are_members_and_we_are_not() {
        let table = [
            process(1, 0, 1),
            process(50, 1, 50),  // us
            process(60, 50, 60), // main
            process(61, 60, 60), // worker
            process(62, 61, 62), // worker's child in a session of its own
            process(63, 1, 60),  // orphan in main's session
            process(64, 50, 64), // orphan that came to us
            process(70, 1, 70),  // a stranger
        ];
        let found: Vec<_> = members(&table, 60, 50).iter().map(|p| p.pid).collect();
        assert_eq!(found, [60, 61, 62, 63, 64]);
    }
}
