//! How forerun is called in a history, and how it launches main.

use super::super::Origin;
use super::history::World;
use super::kernel::Cookie;
use crate::sys::Seen;

/// Where main began.
const IN_CONTAINER: u32 = 1;
const DETACHED: u32 = 2;
const ACTIVATED: u32 = 4;
const GROUPED: u32 = 8;
const WITH_SIDECAR: u32 = 16;
const CALLER_IS_SUBREAPER: u32 = 32;
const HAS_HELPER: u32 = 64;

impl World {
    /// Init, and a shell that calls forerun.
    pub fn begin(&mut self, setting: u32) {
        self.is_in_container = setting & IN_CONTAINER != 0;
        let kernel = &mut self.kernel;
        kernel.appear();
        if setting & IN_CONTAINER == 0 {
            let login = kernel.fork(0);
            kernel.setsid(login);
            kernel.exec(login);
            kernel.tasks[login].subreaper = setting & CALLER_IS_SUBREAPER != 0 && setting & DETACHED != 0;
            let shell = kernel.fork(login);
            kernel.exec(shell);
        }
        self.tell(|_| "init (pid 1), a login (pid 2) and its shell (pid 3), or init alone".to_owned());
    }

    /// forerun is called: by the oldest process in the foreground, or as a child of it.
    pub fn call(&mut self, setting: u32) {
        let kernel = &mut self.kernel;
        let mut at = match setting & IN_CONTAINER {
            0 => kernel.tasks.iter().rposition(|t| !t.process.zombie && t.process.pid != 1).unwrap_or(0),
            _ => 0,
        };
        if setting & IN_CONTAINER == 0 && kernel.tasks[at].process.pid == 1 {
            at = kernel.fork(0);
        }
        if setting & HAS_HELPER != 0 {
            kernel.fork(at);
        }
        if setting & DETACHED != 0 {
            at = kernel.fork(at);
        } else if setting & CALLER_IS_SUBREAPER != 0 {
            kernel.tasks[at].subreaper = true;
        }
        kernel.exec(at);
        kernel.tasks[at].hidden = false;
        let us = kernel.tasks[at].process;
        let children = kernel.tasks.iter().filter(|t| t.process.parent == us.pid);
        self.origin = Origin {
            main: (&us).into(),
            launched: kernel.tick,
            cookie: "ours".to_owned(),
            earlier_children: children.map(|t| (&t.process).into()).collect(),
            group: (setting & GROUPED != 0).then(|| "group".to_owned()),
            ..Origin::default()
        };
        self.busy = Some(self.origin.main);
        self.tell(|_| format!("forerun is called: pid {}", us.pid));
    }

    /// The sidecar, and main: forerun itself, or below a launcher.
    pub fn launch(&mut self, setting: u32) -> Result<(), String> {
        let kernel = &mut self.kernel;
        let forerun = self.origin.main.pid;
        let at = kernel.at(forerun).expect("forerun");
        let is_first = self.origin.main.pid == 1;
        if setting & WITH_SIDECAR != 0 && !is_first {
            let between = kernel.fork(at);
            let sidecar = kernel.fork(between);
            kernel.setsid(sidecar);
            kernel.exec(sidecar);
            kernel.tasks[sidecar].socket = 0;
            let seen = Seen::from(&kernel.tasks[sidecar].process);
            kernel.exit(between, true);
            // It ends if it is the server's child.
            match kernel.at(seen.pid) {
                Some(at) if kernel.tasks[at].process.parent == self.origin.main.pid => kernel.exit(at, true),
                _ => self.origin.sidecar = Some(seen),
            }
        }
        let mut main = kernel.at(self.origin.main.pid).expect("forerun");
        if setting & DETACHED != 0 && !is_first {
            let launcher = kernel.fork(main);
            kernel.tasks[launcher].subreaper = true;
            let between = kernel.fork(launcher);
            let child = kernel.fork(between);
            kernel.setsid(child);
            let seen = Seen::from(&kernel.tasks[child].process);
            self.origin.launcher = Some((&kernel.tasks[launcher].process).into());
            self.origin.launched = seen.start;
            // It is another process than the one that had children.
            self.origin.earlier_children.clear();
            kernel.exit(between, true);
            self.origin.main = seen;
            main = kernel.at(seen.pid).expect("main");
        }
        // Somebody may look before it executes the server.
        kernel.tasks[main].is_ours = true;
        self.origin.session = kernel.tasks[main].process.session;
        self.check(0)?;
        let kernel = &mut self.kernel;
        kernel.exec(main);
        let number = kernel.number();
        let task = &mut kernel.tasks[main];
        (task.cookie, task.overwritten) = (Cookie::Ours, false);
        task.in_group = setting & GROUPED != 0;
        // A detached server inherits no descriptor. Otherwise whoever made the socket has it too.
        if task.process.pid != forerun {
            task.socket = 0;
        } else if setting & ACTIVATED != 0 && task.socket == 0 {
            task.socket = number;
            let parent = task.process.parent;
            if let Some(parent) = kernel.at(parent) {
                kernel.tasks[parent].socket = number;
            }
        }
        self.is_activated = kernel.tasks[main].socket != 0;
        (self.busy, self.launched) = (None, true);
        let origin = self.origin.clone();
        self.tell(|_| format!("launch: {origin:?}"));
        Ok(())
    }
}
