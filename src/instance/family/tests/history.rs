//! A history of processes around one launch: what happens in it.

use super::super::{Origin, find};
use super::kernel::{Cookie, Kernel, Task};
use crate::sys::Seen;

/// No more processes than this, so that each has a share in what happens.
const MOST: usize = 14;

/// What happens, to whom, and how. Each means something in every situation, so that any step can be left out.
pub type Step = [u32; 3];

/// A history that can be played again.
#[derive(Clone)]
pub struct History {
    pub setting: u32,
    pub before: Vec<Step>,
    /// While forerun prepares the launch.
    pub between: Vec<Step>,
    pub after: Vec<Step>,
}

/// How far it has come.
pub struct World {
    pub kernel: Kernel,
    pub origin: Origin,
    /// The process that becomes main, and cannot do anything else before.
    pub busy: Option<Seen>,
    pub launched: bool,
    /// What main and the others executed when somebody looked.
    pub images: Vec<u64>,
    pub is_activated: bool,
    pub is_in_container: bool,
    pub log: Option<Vec<String>>,
}

impl History {
    /// Plays it. Returns the number of tables that were looked at, or what is wrong in the last one.
    pub fn play(&self, world: &mut World) -> Result<usize, String> {
        world.begin(self.setting);
        self.before.iter().for_each(|step| world.act(*step));
        world.call(self.setting);
        self.between.iter().for_each(|step| world.act(*step));
        world.launch(self.setting)?;
        let mut count = 0;
        for step in &self.after {
            world.act(*step);
            world.check(step[2] as usize)?;
            count += 1;
            if !world.kernel.tasks.iter().any(|t| t.is_ours) {
                break;
            }
        }
        Ok(count)
    }
}

impl World {
    pub fn new(log: bool) -> Self {
        World {
            kernel: Kernel { tick: 100, ..Kernel::default() },
            origin: Origin::default(),
            busy: None,
            launched: false,
            images: Vec::new(),
            is_activated: false,
            is_in_container: false,
            log: log.then(Vec::new),
        }
    }

    pub fn tell(&mut self, what: impl FnOnce(&Kernel) -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("tick {}: {}", self.kernel.tick, what(&self.kernel)));
        }
    }

    /// A process that can do something.
    fn actor(&self, number: u32) -> Option<usize> {
        let is_free = |t: &Task| {
            let seen = Seen::from(&t.process);
            !t.process.zombie && self.busy != Some(seen) && self.origin.launcher != Some(seen)
        };
        let count = self.kernel.tasks.len();
        (0..count).map(|at| (at + number as usize) % count).find(|&at| is_free(&self.kernel.tasks[at]))
    }

    fn act(&mut self, [what, who, how]: Step) {
        if what >> 16 & 3 == 0 {
            self.kernel.tick += 1;
        }
        let Some(mut at) = self.actor(who) else { return };
        // Main and what is below it do most of what happens.
        if self.launched && who >> 16 & 1 == 0 {
            let count = self.kernel.tasks.len();
            let of_ours = |at: &usize| self.kernel.tasks[*at].is_ours && !self.kernel.tasks[*at].process.zombie;
            at = (0..count).map(|next| (next + who as usize) % count).find(of_ours).unwrap_or(at);
        }
        let is_full = self.kernel.tasks.len() >= MOST;
        let pid = self.kernel.tasks[at].process.pid;
        match what % 32 {
            0..=7 if is_full => self.exit(at, how),
            0..=5 => {
                let child = self.kernel.fork(at);
                self.tell(|kernel| format!("pid {pid} forks pid {}", kernel.tasks[child].process.pid));
            }
            6..=7 => self.double_fork(at, how),
            8..=12 => self.exec(at, how),
            13 => {
                self.kernel.setsid(at);
                self.tell(|_| format!("pid {pid} begins a session"));
            }
            14 => {
                let process = &mut self.kernel.tasks[at].process;
                process.group = process.pid;
                self.tell(|_| format!("pid {pid} begins a group"));
            }
            15..=21 => self.exit(at, how),
            22 => {
                let task = &mut self.kernel.tasks[at];
                task.subreaper = true;
                self.tell(|_| format!("pid {pid} becomes a subreaper"));
            }
            23 => {
                self.kernel.tasks[at].overwritten = true;
                self.tell(|_| format!("pid {pid} overwrites its environment"));
            }
            24 => {
                self.kernel.tasks[at].hidden = true;
                self.tell(|_| format!("pid {pid} becomes another user's"));
            }
            25 => {
                self.kernel.tasks[at].random = how & 8 != 0;
                self.tell(|kernel| format!("pid {pid}: random addresses from here on: {}", kernel.tasks[at].random));
                self.exec(at, how >> 4);
            }
            26..=27 => {
                let number = self.kernel.number();
                self.kernel.tasks[at].socket = if how & 7 == 0 { 0 } else { number };
                self.tell(|_| format!("pid {pid} listens on socket {number}, or no longer"));
            }
            28 if self.is_in_container && how & 1 == 0 && !is_full => {
                let new = self.kernel.appear();
                self.tell(|kernel| format!("pid {} is brought into the container", kernel.tasks[new].process.pid));
            }
            28 => self.launcher_ends(how & 2 == 0),
            29 => self.look(),
            30 => self.hand_over(how),
            _ => {
                let reaped = self.kernel.tasks.iter().position(|t| t.process.zombie);
                if let Some(at) = reaped {
                    self.kernel.tasks.swap_remove(at);
                }
            }
        }
    }

    fn exec(&mut self, at: usize, how: u32) {
        let kernel = &mut self.kernel;
        let task = &mut kernel.tasks[at];
        match how % 8 {
            0 => task.cookie = Cookie::No,
            1 => task.cookie = Cookie::Other,
            _ if task.overwritten => task.cookie = Cookie::No,
            _ => {}
        }
        if how & 64 == 0 {
            task.hidden = false;
        }
        let pid = task.process.pid;
        kernel.exec(at);
        self.tell(|kernel| format!("pid {pid} executes something, with cookie {:?}", kernel.tasks[at].cookie));
    }

    /// How a daemon begins.
    fn double_fork(&mut self, at: usize, how: u32) {
        let kernel = &mut self.kernel;
        let between = kernel.fork(at);
        let child = kernel.fork(between);
        let seen = Seen::from(&kernel.tasks[child].process);
        if how & 1 == 0 {
            kernel.setsid(between);
            (kernel.tasks[child].process.session, kernel.tasks[child].process.group) =
                (kernel.tasks[between].process.session, kernel.tasks[between].process.group);
        }
        kernel.exit(between, true);
        if let Some(at) = self.kernel.at(seen.pid).filter(|_| how & 2 == 0) {
            self.exec(at, how >> 2);
        }
        self.tell(|_| format!("pid {} was double-forked", seen.pid));
    }

    fn exit(&mut self, at: usize, how: u32) {
        let process = self.kernel.tasks[at].process;
        // Init never ends, and main lives longer than others.
        if process.pid == 1 || Seen::from(&process) == self.origin.main && how >> 8 & 3 != 0 {
            return;
        }
        let is_init = |pid: i32| pid <= 1 && self.origin.main.pid != 1;
        self.kernel.exit(at, how & 3 != 0 || is_init(process.parent));
        self.tell(|_| format!("pid {} ends", process.pid));
    }

    /// It ends with forerun, which knows, or somebody kills it.
    fn launcher_ends(&mut self, is_known: bool) {
        let Some(launcher) = self.origin.launcher else { return };
        if is_known {
            self.origin.launcher = None;
        }
        let there = self.kernel.at(launcher.pid);
        if let Some(at) = there.filter(|&at| Seen::from(&self.kernel.tasks[at].process) == launcher) {
            self.kernel.exit(at, true);
            self.tell(|_| "the launcher ends".to_owned());
        }
    }

    /// The look at readiness, once.
    fn look(&mut self) {
        let main_lives = self.kernel.find(self.origin.main).is_some_and(|main| !main.process.zombie);
        if self.launched && main_lives && self.origin.noted.is_empty() && self.origin.stack == 0 {
            self.note();
            let origin = self.origin.clone();
            self.tell(|_| format!("somebody looks: {origin:?}"));
        }
    }

    fn note(&mut self) {
        self.origin = self.kernel.looked(&self.origin, self.is_activated);
        let noted = self.origin.noted.iter().map(|noted| noted.stack);
        self.images = noted.chain([self.origin.stack]).filter(|stack| *stack != 0).collect();
    }

    /// Another process is main from now on.
    fn hand_over(&mut self, how: u32) {
        if !self.launched || self.kernel.find(self.origin.main).is_some() {
            return;
        }
        let found = find(&self.origin, &self.kernel.table(), &[], &self.kernel);
        let all: Vec<_> =
            found.all().filter(|p| self.kernel.find((*p).into()).is_some_and(|t| t.socket != 0)).collect();
        if all.is_empty() {
            return;
        }
        let new = *all[how as usize % all.len()];
        self.launcher_ends(true);
        self.origin.earlier_children.clear();
        (self.origin.main, self.origin.session) = ((&new).into(), new.session);
        self.note();
        self.tell(|_| format!("pid {} is main from now on", new.pid));
    }
}
