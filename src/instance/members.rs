#![forbid(unsafe_code)]
//! Decides which processes belong to an instance.
//!
//! Four kinds belong to it: the main process, its descendants, the session and process group that it led, and every
//! process that shows the cookie. Once main is gone, a process in that session or group belongs only if it runs the
//! same executable.
//!
//! A process that shows the cookie but left into a session of its own has escaped (a tmux server that was started from
//! a web terminal). It belongs to a person, unless it holds the service's port.
//!
//! A process that does not show the cookie may still belong, because servers overwrite their environment. forerun and
//! its ancestors never belong to an instance.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::record::Record;
use crate::environment::{COOKIE, Environment};
use crate::sys::{self, Process};

/// What identifies the processes of an instance.
#[derive(Clone, Debug)]
pub struct Marks {
    /// The main process as it was launched.
    pub main: Process,
    pub cookie: String,
    /// The cookies of the instances before this one.
    pub former: Vec<String>,
    /// The executable of main, if it is known.
    pub executable: Option<PathBuf>,
    pub port: Option<u16>,
    /// The launcher, as long as it lives. Whatever is its child descends from main.
    pub launcher: Option<i32>,
}

impl Marks {
    pub fn of(record: &Record) -> Self {
        let identity = &record.process;
        Marks {
            main: Process {
                pid: identity.pid,
                parent: 0,
                group: record.group,
                session: record.session,
                start: identity.start,
                zombie: false,
            },
            cookie: record.cookie.clone(),
            former: record.former.clone(),
            executable: record.executable.as_ref().map(|path| OsString::from(path).into()),
            port: record.port,
            launcher: None,
        }
    }

    /// Whether main leads its session.
    fn leads_session(&self) -> bool {
        self.main.session == self.main.pid
    }

    fn leads_group(&self) -> bool {
        self.main.group == self.main.pid
    }

    /// Whether anything may be left of an instance whose main process is gone. This is cheap if nothing is left: it
    /// looks only at the session and group that main led, or at the cookies in the session that main shared.
    pub fn may_have_remains(&self) -> bool {
        let group = self.leads_group().then_some(self.main.group);
        let Ok(there) = sys::in_session_or_group(self.main.session, group) else { return true };
        match self.leads_session() || self.leads_group() {
            true => !there.is_empty(),
            false => there.into_iter().any(|pid| shows_cookie(pid, &self.cookie)),
        }
    }
}

/// What the environment of a process tells about where it belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Says {
    /// It has the cookie of this instance.
    Ours,
    /// It has the cookie of an instance before this one.
    Former,
    /// It is complete and has another cookie or none.
    NotOurs,
    /// It cannot be read, or the process overwrote it.
    Nothing,
}

/// Questions about a single process.
pub trait Look {
    fn environment(&self, process: &Process, marks: &Marks) -> Says;
    fn executable(&self, pid: i32) -> Option<PathBuf>;
    fn listens(&self, pid: i32, port: u16) -> bool;
}

/// What the environment of a process shows, whichever instance asks.
struct Shown {
    cookie: Option<OsString>,
    is_whole: bool,
}

/// Asks the system. Each environment is read once, even for many instances, because what it tells does not change.
#[derive(Default)]
pub struct Sight {
    seen: RefCell<HashMap<(i32, u64), Option<Shown>>>,
}

impl Look for Sight {
    fn environment(&self, process: &Process, marks: &Marks) -> Says {
        let mut seen = self.seen.borrow_mut();
        let shown =
            seen.entry((process.pid, process.start)).or_insert_with(|| sys::environment_of(process.pid).map(shown));
        says(shown.as_ref(), &marks.cookie, &marks.former)
    }

    fn executable(&self, pid: i32) -> Option<PathBuf> {
        sys::executable(pid)
    }

    fn listens(&self, pid: i32, port: u16) -> bool {
        sys::listens(pid, port).unwrap_or(false)
    }
}

/// Whether the environment of a process has the cookie.
pub fn shows_cookie(pid: i32, cookie: &str) -> bool {
    sys::has_entry(pid, format!("{COOKIE}={cookie}").as_bytes())
}

/// Reads the cookie of an environment. One that a server overwrote consists of empty entries or a title.
fn shown(entries: Vec<OsString>) -> Shown {
    let is_whole = entries.iter().all(|entry| entry.as_bytes().contains(&b'='));
    Shown { cookie: Environment::new(entries).get(COOKIE).map(OsStr::to_owned), is_whole }
}

fn says(shown: Option<&Shown>, cookie: &str, former: &[String]) -> Says {
    match shown {
        None => Says::Nothing,
        Some(Shown { cookie: Some(value), .. }) if value == cookie => Says::Ours,
        Some(Shown { cookie: Some(value), .. }) if former.iter().any(|former| value == former.as_str()) => Says::Former,
        Some(Shown { is_whole: true, .. }) => Says::NotOurs,
        Some(_) => Says::Nothing,
    }
}

/// The processes of an instance.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    pub members: Vec<Process>,
    /// Processes that show the cookie and left.
    pub escaped: Vec<Process>,
}

/// Finds the processes of an instance as they are now.
///
/// # Errors
/// When the process table cannot be read.
pub fn look(marks: &Marks) -> io::Result<Found> {
    Ok(look_at(marks, &sys::processes()?, &Sight::default()))
}

/// Like [`look`], with a process table that was read already and what was seen of its processes so far.
pub fn look_at(marks: &Marks, table: &[Process], sight: &Sight) -> Found {
    let us = std::process::id() as i32;
    find(marks, table, &spared(table, us, &marks.main), sight)
}

/// Finds the processes of an instance in `table`. `spared` are forerun and its ancestors.
pub fn find(marks: &Marks, table: &[Process], spared: &HashSet<i32>, look: &impl Look) -> Found {
    let main = &marks.main;
    let now = table.iter().find(|p| p.pid == main.pid);
    let lives = now.is_some_and(|p| p.start == main.start && !p.zombie);
    // The kernel does not reuse the number of a session or group while a process is in it. If main's pid is reused,
    // nothing is left in them.
    let recycled = now.is_some_and(|p| p.start != main.start);
    let may_be = |p: &&Process| !p.zombie && !spared.contains(&p.pid);

    let led =
        |p: &Process| (marks.leads_session() && p.session == main.pid) || (marks.leads_group() && p.group == main.pid);
    // Main's number may have belonged to another process since, which is gone too and left a session behind.
    let may_be_its = |p: &Process| look.environment(p, marks) != Says::NotOurs;
    let same_program = |p: &Process| marks.executable.is_some() && look.executable(p.pid) == marks.executable;
    let came_to_launcher = |p: &Process| marks.launcher == Some(p.parent);
    let stayed_with_cookie = |p: &Process| p.session == main.session && look.environment(p, marks) == Says::Ours;
    // Under a supervisor that shares its session (runit), main leads no session or group. A worker that overwrote its
    // environment shows no cookie. So an orphan of the same program that listens on our port counts as a worker.
    let is_orphan = |p: &Process| {
        !lives
            && !recycled
            && (p.session, p.group) == (main.session, main.group)
            && p.start >= main.start
            && !table.iter().any(|q| q.pid == p.parent && q.session == p.session)
            && same_program(p)
            && look.environment(p, marks) == Says::Nothing
            && marks.port.is_some_and(|port| look.listens(p.pid, port))
    };
    let is_root = |p: &&Process| {
        // A process that a shell put into our group (`forerun ... | tee log`) is not the server's.
        let is_neighbour = !marks.leads_session() && look.environment(p, marks) == Says::NotOurs;
        let by_number = !recycled && led(p) && !is_neighbour && (lives || (same_program(p) && may_be_its(p)));
        (lives && p.pid == main.pid) || by_number || is_orphan(p) || came_to_launcher(p) || stayed_with_cookie(p)
    };
    // A descendant counts even if the path to it runs through forerun's own ancestors.
    let family: HashSet<i32> = table.iter().filter(may_be).filter(is_root).map(|p| p.pid).collect();
    let mut family = descendants(table, family);
    let shows_any_cookie = |p: &Process| matches!(look.environment(p, marks), Says::Ours | Says::Former);
    let has_left = |p: &&Process| !family.contains(&p.pid) && shows_any_cookie(p);
    let (holding, escaped): (Vec<&Process>, Vec<&Process>) = table
        .iter()
        .filter(may_be)
        .filter(has_left)
        .partition(|p: &&Process| marks.port.is_some_and(|port| look.listens(p.pid, port)));
    family.extend(holding.iter().map(|p| p.pid));
    let family = descendants(table, family);
    Found {
        members: table.iter().filter(may_be).filter(|p| family.contains(&p.pid)).copied().collect(),
        escaped: escaped.into_iter().filter(|p| !family.contains(&p.pid)).copied().collect(),
    }
}

/// These processes and all their descendants.
pub fn descendants(table: &[Process], mut family: HashSet<i32>) -> HashSet<i32> {
    loop {
        let before = family.len();
        let children: Vec<_> = table.iter().filter(|p| family.contains(&p.parent)).map(|p| p.pid).collect();
        family.extend(children);
        if family.len() == before {
            return family;
        }
    }
}

/// forerun and its ancestors, without main itself: main ends even if the stop comes from within.
pub fn spared(table: &[Process], us: i32, main: &Process) -> HashSet<i32> {
    let parent = |pid: i32| table.iter().find(|p| p.pid == pid).map(|p| p.parent);
    let mut spared = HashSet::new();
    let mut next = Some(us);
    while let Some(pid) = next.filter(|pid| *pid > 0 && !spared.contains(pid)) {
        spared.insert(pid);
        next = parent(pid);
    }
    spared.remove(&main.pid);
    spared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32, start: u64) -> Process {
        Process { pid, parent, group: session, session, start, zombie: false }
    }

    /// Says which processes show the cookie, run the server's program, or listen on its port.
    #[derive(Default)]
    struct Fake {
        cookies: Vec<i32>,
        /// Processes whose environment is complete and not the server's.
        others: Vec<i32>,
        same: Vec<i32>,
        listening: Vec<i32>,
    }

    impl Look for Fake {
        fn environment(&self, process: &Process, _: &Marks) -> Says {
            match process.pid {
                pid if self.cookies.contains(&pid) => Says::Ours,
                pid if self.others.contains(&pid) => Says::NotOurs,
                _ => Says::Nothing,
            }
        }

        fn executable(&self, pid: i32) -> Option<PathBuf> {
            Some(if self.same.contains(&pid) { "/server".into() } else { "/other".into() })
        }

        fn listens(&self, pid: i32, port: u16) -> bool {
            port == 80 && self.listening.contains(&pid)
        }
    }

    fn marks(main: Process) -> Marks {
        let executable = Some("/server".into());
        Marks { main, cookie: "web/1".into(), former: vec![], executable, port: Some(80), launcher: None }
    }

    fn found(marks: &Marks, table: &[Process], us: i32, look: &Fake) -> (Vec<i32>, Vec<i32>) {
        let pids = |list: Vec<Process>| list.iter().map(|p| p.pid).collect();
        let found = find(marks, table, &spared(table, us, &marks.main), look);
        (pids(found.members), pids(found.escaped))
    }

    #[test]
    fn family_session_and_orphans_are_members_but_forerun_and_its_callers_children_are_not() {
        let table = [
            process(1, 0, 1, 1),
            process(50, 1, 40, 4),  // us
            process(51, 50, 40, 3), // a child that our caller had before
            process(52, 1, 52, 9),  // what that one left behind
            process(55, 50, 40, 5), // the launcher
            process(60, 55, 60, 5), // main
            process(61, 60, 60, 6), // worker
            process(62, 61, 62, 7), // worker's child in a session of its own
            process(63, 1, 60, 8),  // orphan in main's session
            process(64, 55, 64, 8), // orphan that came to the launcher
            process(70, 1, 70, 9),  // a stranger
        ];
        let look = Fake::default();
        let launched = Marks { launcher: Some(55), ..marks(table[5]) };
        assert_eq!(found(&launched, &table, 50, &look).0, [60, 61, 62, 63, 64]);
        // Another forerun started it.
        assert_eq!(found(&marks(table[5]), &table, 50, &look).0, [60, 61, 62, 63]);
    }

    #[test]
    fn once_main_is_gone_its_session_counts_with_its_program_or_the_cookie() {
        let table = [
            process(1, 0, 1, 1),
            process(50, 1, 40, 4),  // us
            process(61, 1, 60, 6),  // a worker of the same program
            process(62, 1, 60, 6),  // another program
            process(63, 1, 60, 6),  // another program, with the cookie
            process(64, 63, 64, 7), // its child
            process(65, 1, 60, 9),  // the same program, of somebody who had main's number after it
        ];
        let look = Fake { cookies: vec![63], same: vec![61, 65], others: vec![65], ..Fake::default() };
        let gone = marks(process(60, 1, 60, 5));
        assert_eq!(found(&gone, &table, 50, &look).0, [61, 63, 64]);
        let nobody_knows = Marks { executable: None, ..gone.clone() };
        assert_eq!(found(&nobody_knows, &table, 50, &look).0, [63, 64]);
        // Main's number belongs to another process by now, and so do session and group.
        let mut recycled = table.to_vec();
        recycled.push(process(60, 1, 60, 99));
        assert_eq!(found(&gone, &recycled, 50, &Fake { cookies: vec![], ..look }).0, [0; 0]);
    }

    #[test]
    fn an_overwritten_environment_tells_nothing() {
        let says = |entries: &[&str]| {
            let shown = shown(entries.iter().map(OsString::from).collect());
            super::says(Some(&shown), "web/1", &["web/0".into()])
        };
        assert_eq!(says(&["A=1", "FORERUN_INSTANCE=web/1"]), Says::Ours);
        assert_eq!(says(&["A=1", "FORERUN_INSTANCE=web/0"]), Says::Former);
        assert_eq!(says(&["A=1", "FORERUN_INSTANCE=web/2"]), Says::NotOurs);
        assert_eq!(says(&["A=1"]), Says::NotOurs);
        assert_eq!(says(&["server: worker", "", ""]), Says::Nothing);
        assert_eq!(says(&[""]), Says::Nothing);
        assert_eq!(super::says(None, "web/1", &[]), Says::Nothing);
    }

    #[test]
    fn in_a_shared_session_only_the_cookie_counts() {
        // Below runit: session and group are the supervisor's.
        let table = [process(50, 1, 40, 4), process(61, 1, 10, 6), process(62, 1, 10, 6)];
        let look = Fake { cookies: vec![62], same: vec![61, 62], ..Fake::default() };
        assert_eq!(found(&marks(process(60, 9, 10, 5)), &table, 50, &look).0, [62]);
    }

    #[test]
    fn an_escaped_process_is_a_member_only_if_it_holds_the_port() {
        let table = [
            process(50, 1, 40, 4),  // us
            process(60, 1, 60, 5),  // main
            process(61, 1, 61, 6),  // a tmux server
            process(62, 61, 62, 7), // its shell
            process(63, 1, 63, 6),  // a worker in a session of its own
        ];
        let look = Fake { cookies: vec![60, 61, 62, 63], listening: vec![63], ..Fake::default() };
        assert_eq!(found(&marks(table[1]), &table, 50, &look), (vec![60, 63], vec![61, 62]));
        let unguarded = Marks { port: None, ..marks(table[1]) };
        assert_eq!(found(&unguarded, &table, 50, &look), (vec![60], vec![61, 62, 63]));
    }

    #[test]
    fn a_stop_from_within_ends_main_and_spares_our_ancestors() {
        let table = [
            process(60, 1, 60, 5),  // main
            process(61, 60, 61, 6), // a shell in its terminal
            process(62, 61, 61, 7), // a job of that shell
            process(50, 61, 61, 8), // us
        ];
        let look = Fake { cookies: vec![60, 61, 62, 50], ..Fake::default() };
        assert_eq!(found(&marks(table[0]), &table, 50, &look), (vec![60, 62], vec![]));
    }
}
