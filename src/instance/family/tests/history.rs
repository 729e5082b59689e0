//! A history of processes around one launch, and what must hold after each step of it.

use super::super::{Origin, find, lineage};
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
    kernel: Kernel,
    origin: Origin,
    /// The process that becomes main, and cannot do anything else before.
    busy: Option<Seen>,
    launched: bool,
    /// What main and the others executed when somebody looked.
    images: Vec<u64>,
    is_activated: bool,
    is_in_container: bool,
    pub log: Option<Vec<String>>,
}

/// Where main began.
const IN_CONTAINER: u32 = 1;
const DETACHED: u32 = 2;
const ACTIVATED: u32 = 4;
const GROUPED: u32 = 8;
const WITH_SIDECAR: u32 = 16;
const CALLER_IS_SUBREAPER: u32 = 32;
const HAS_HELPER: u32 = 64;

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

    fn tell(&mut self, what: impl FnOnce(&Kernel) -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("tick {}: {}", self.kernel.tick, what(&self.kernel)));
        }
    }

    /// Init, and a shell that calls forerun.
    fn begin(&mut self, setting: u32) {
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
    fn call(&mut self, setting: u32) {
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
            before: children.map(|t| (&t.process).into()).collect(),
            group: (setting & GROUPED != 0).then(|| "group".to_owned()),
            ..Origin::default()
        };
        self.busy = Some(self.origin.main);
        self.tell(|_| format!("forerun is called: pid {}", us.pid));
    }

    /// The sidecar, and main: forerun itself, or below a launcher.
    fn launch(&mut self, setting: u32) -> Result<(), String> {
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
            self.origin.before.clear();
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
            28 => self.launcher_ends(),
            29 => self.look(),
            30 => self.hand_over(how),
            _ => {
                let reaped = self.kernel.tasks.iter().position(|t| t.process.zombie);
                reaped.into_iter().for_each(|at| drop(self.kernel.tasks.swap_remove(at)));
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

    fn launcher_ends(&mut self) {
        if let Some(at) = self.origin.launcher.take().and_then(|launcher| self.kernel.at(launcher.pid)) {
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
        self.launcher_ends();
        self.origin.before.clear();
        (self.origin.main, self.origin.session) = ((&new).into(), new.session);
        self.note();
        self.tell(|_| format!("pid {} is main from now on", new.pid));
    }

    /// What must hold.
    fn check(&self, observer: usize) -> Result<(), String> {
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
        let may_adopt = origin.main.pid == 1 || !origin.before.is_empty();
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
            } else if is_seen && task.cookie == Cookie::Ours && !task.overwritten {
                Some("shows the cookie")
            } else if task.process.forked && task.socket != 0 && self.images.iter().any(|stack| is_image(*stack)) {
                Some("is a worker without a leader that holds the port")
            } else if main.is_none() && is_seen && origin.sockets.contains(&task.socket) {
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
