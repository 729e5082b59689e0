//! What must hold in each table of a history.

use super::super::{find, lineage};
use super::history::World;
use super::kernel::{Cookie, Task};
use crate::sys::Seen;

impl World {
    /// What is wrong, as one of the processes sees it.
    pub fn check(&self, observer: usize) -> Result<(), String> {
        let (kernel, origin) = (&self.kernel, &self.origin);
        let table = kernel.table();
        let us = match observer & 3 {
            0 => {
                kernel.tasks.get((observer >> 2) % kernel.tasks.len()).filter(|t| Seen::from(&t.process) != origin.main)
            }
            _ => None,
        };
        let us = us.map_or(Vec::new(), |t| lineage(&table, t.process.pid));
        let found = find(origin, &table, &us, kernel);
        let mut pids = 0_u64;
        for process in found.all() {
            let task = kernel.find(process.into()).ok_or("a process that does not exist")?;
            let pid = process.pid;
            let wrong = match () {
                () if !task.is_ours => "does not descend from main since the launch",
                () if process.zombie => "has ended",
                () if origin.sidecar == Some(process.into()) => "is the sidecar",
                () if us.first() == Some(&pid) => "is forerun itself",
                () if pids & 1 << pid != 0 => "is in the family twice",
                () => {
                    pids |= 1 << pid;
                    continue;
                }
            };
            return Err(format!("pid {pid} {wrong}, but is in the family: {found:?}; us: {us:?}"));
        }
        let is_found = |task: &Task| pids & 1 << task.process.pid != 0;
        let has = |task: &Task| is_found(task) || us.first() == Some(&task.process.pid);
        let main = kernel.find(origin.main).filter(|main| !main.process.zombie);
        let ours = kernel.tasks.iter().filter(|t| t.is_ours && !t.process.zombie);
        // Init adopts, and a main that had children before may have adopted what they left.
        let may_adopt = origin.main.pid == 1 || !origin.earlier_children.is_empty();
        for task in ours {
            let is_forked_by = |parent: &Task| task.origin == (&parent.process).into();
            let parent = kernel.at(task.process.parent).map(|at| &kernel.tasks[at]).filter(|p| is_forked_by(p));
            let is_main = |t: &Task| Seen::from(&t.process) == origin.main;
            let is_seen = !task.hidden && !task.process.zombie;
            let is_image = |stack: u64| task.process.forked && task.random && is_seen && task.process.stack == stack;
            let must = if is_main(task) {
                Some("is main")
            } else if parent.is_some_and(|p| is_found(p) && (!is_main(p) || !may_adopt)) {
                Some("was forked by a member that lives")
            } else if main.zip(parent).is_some_and(|(m, p)| is_main(p) && !m.hidden && is_image(m.process.stack)) {
                Some("is a fork of main that executed nothing")
            } else if task.cookie != Cookie::Other
                && origin.launcher.and_then(|l| kernel.find(l)).is_some_and(|l| l.process.pid == task.process.parent)
            {
                Some("came to the launcher")
            } else if is_seen && task.cookie == Cookie::Ours && !task.overwritten {
                Some("shows the cookie")
            } else if task.process.forked && task.socket != 0 && self.images.iter().any(|stack| is_image(*stack)) {
                Some("is a worker without a leader that holds the port")
            } else if main.is_none()
                && is_seen
                && origin.sockets.contains(&task.socket)
                && origin.led_session
                && task.process.session == origin.session
            {
                Some("holds main's socket, and main has ended")
            } else if origin.noted.iter().any(|noted| noted.process == (&task.process).into()) {
                Some("was noted")
            } else if origin.group.is_some() && task.in_group {
                Some("is in the instance's control group")
            } else {
                None
            };
            if let Some(why) = must.filter(|_| !has(task)) {
                return Err(format!("pid {} {why}, but is not in the family: {found:?}; us: {us:?}", task.process.pid));
            }
        }
        Ok(())
    }

    /// What is there at the end, for people.
    pub fn describe(&self) -> String {
        self.kernel.tasks.iter().map(|t| format!("{t:?}\n")).collect()
    }
}
