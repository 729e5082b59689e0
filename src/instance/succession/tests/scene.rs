//! A server and its processes, beside strangers, up to its end.

use crate::instance::family::Origin;
use crate::instance::family::tests::kernel::{Cookie, Kernel};
use crate::instance::succession::Relation;
use crate::sys::{Seen, Waited};

/// The session in which main runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Its own, as after a detached start and under systemd.
    Own,
    /// That of its supervisor and of strangers (runit, a pipeline).
    Shared,
}

/// What is known of main once it has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// Somebody looked at readiness, and saw how main ended.
    All,
    /// Somebody looked at readiness.
    NotTheEnd,
    /// Nobody looked.
    Nothing,
}

/// A process of a scene.
pub type Who = Seen;

pub const KILLED: Waited = Waited::Killed { signal: 9, core: false };
pub const TERMED: Waited = Waited::Killed { signal: 15, core: false };
pub const GOOD: Waited = Waited::Exited(0);

pub struct Scene {
    pub kernel: Kernel,
    pub origin: Origin,
    pub main_listened: Option<bool>,
    pub was_seen: bool,
    pub ended: Option<(Waited, u64)>,
    pub in_launch: bool,
    pub known: Known,
    place: Place,
    pub main: Who,
    shell: Who,
    /// What each process that is left is. All others are strangers.
    pub expected: Vec<(Who, Relation)>,
    /// What may be signalled, because nobody needs it any more.
    pub spent: Vec<Who>,
    /// What a supervisor's start ends if nobody saw how the wrapper ended. Otherwise each start would fail.
    pub in_a_loop: Vec<Who>,
    /// What a person started.
    pub persons: Vec<Who>,
}

impl Scene {
    /// Main was launched a moment ago.
    pub fn new(place: Place, known: Known) -> Self {
        let mut kernel = Kernel { tick: 100, ..Kernel::default() };
        kernel.appear();
        let shell = kernel.fork(0);
        kernel.setsid(shell);
        kernel.exec(shell);
        let shell = Seen::from(&kernel.tasks[shell].process);
        let mut scene = Scene {
            kernel,
            origin: Origin { cookie: "ours".to_owned(), ..Origin::default() },
            main_listened: None,
            was_seen: false,
            ended: None,
            in_launch: false,
            known,
            place,
            main: Seen::default(),
            shell,
            expected: Vec::new(),
            spent: Vec::new(),
            in_a_loop: Vec::new(),
            persons: Vec::new(),
        };
        // Strangers: one with a title, one without an environment, one that came before main.
        let titled = scene.stranger();
        scene.title(titled);
        scene.stranger();
        scene.later();
        scene.launch();
        scene.later();
        // One that came after main, and one that listens elsewhere.
        scene.stranger();
        let elsewhere = scene.stranger();
        scene.listen(elsewhere);
        scene
    }

    fn stranger(&mut self) -> Who {
        let stranger = self.fork(self.shell);
        self.exec(stranger);
        stranger
    }

    fn launch(&mut self) {
        let forerun = self.fork(self.shell);
        self.exec(forerun);
        self.origin.launched = self.kernel.tick;
        self.main = forerun;
        if self.place == Place::Own {
            let launcher = self.fork(forerun);
            let at = self.at(launcher);
            self.kernel.tasks[at].subreaper = true;
            self.main = self.fork(launcher);
            self.setsid(self.main);
            self.origin.launcher = Some(launcher);
        }
        self.exec(self.main);
        let at = self.at(self.main);
        let task = &mut self.kernel.tasks[at];
        (task.cookie, task.is_ours) = (Cookie::Ours, true);
        (self.origin.main, self.origin.session) = (self.main, task.process.session);
    }

    fn at(&self, who: Who) -> usize {
        self.kernel.at(who.pid).expect("a living process")
    }

    pub fn later(&mut self) {
        self.kernel.tick += 1;
    }

    pub fn fork(&mut self, of: Who) -> Who {
        let child = self.kernel.fork(self.at(of));
        Seen::from(&self.kernel.tasks[child].process)
    }

    pub fn exec(&mut self, who: Who) {
        self.kernel.exec(self.at(who));
    }

    /// A child that executes another program.
    pub fn spawn(&mut self, of: Who) -> Who {
        let child = self.fork(of);
        self.exec(child);
        child
    }

    pub fn setsid(&mut self, who: Who) {
        self.kernel.setsid(self.at(who));
    }

    /// A session of its own, on a terminal of its own.
    pub fn terminal(&mut self, who: Who) {
        self.setsid(who);
        let at = self.at(who);
        self.kernel.tasks[at].process.terminal = true;
    }

    /// It overwrites its environment.
    pub fn title(&mut self, who: Who) {
        let at = self.at(who);
        self.kernel.tasks[at].overwritten = true;
    }

    /// It loses the environment (`env -i`, `sudo`).
    pub fn clean(&mut self, who: Who) {
        let at = self.at(who);
        self.kernel.tasks[at].cookie = Cookie::No;
    }

    /// It becomes another user's.
    pub fn hide(&mut self, who: Who) {
        let at = self.at(who);
        self.kernel.tasks[at].hidden = true;
    }

    pub fn listen(&mut self, who: Who) {
        let (at, number) = (self.at(who), self.kernel.number());
        self.kernel.tasks[at].socket = number;
    }

    /// It closes the listening socket that it inherited.
    pub fn close(&mut self, who: Who) {
        let at = self.at(who);
        self.kernel.tasks[at].socket = 0;
    }

    /// A child that puts itself into the background: a session of its own, and no parent.
    pub fn daemon(&mut self, of: Who) -> Who {
        let child = self.fork(of);
        self.setsid(child);
        let daemon = self.fork(child);
        self.exit(child);
        daemon
    }

    /// The server is ready. The launcher ends, after somebody looked.
    pub fn ready(&mut self) {
        if self.known != Known::Nothing {
            let at = self.at(self.main);
            let main = &self.kernel.tasks[at];
            self.main_listened = (!main.hidden).then_some(main.socket != 0);
            self.origin = self.kernel.looked(&self.origin, false);
            self.was_seen = true;
        }
        self.launcher_ends();
        self.later();
    }

    fn launcher_ends(&mut self) {
        if let Some(launcher) = self.origin.launcher.take() {
            self.exit(launcher);
        }
    }

    pub fn exit(&mut self, who: Who) {
        self.kernel.exit(self.at(who), true);
    }

    /// Main ends while the server is launched. Nobody but the launcher of a detached start sees that.
    pub fn ends_in_launch(&mut self, how: Waited) {
        self.in_launch = self.place == Place::Own;
        self.ends(how);
    }

    pub fn ends(&mut self, how: Waited) {
        self.later();
        self.ended = Some((how, self.kernel.tick));
        self.exit(self.main);
        self.later();
    }

    pub fn is(&mut self, who: Who, relation: Relation) {
        self.expected.push((who, relation));
        if matches!(relation, Relation::Orphan | Relation::Remains) {
            self.spent.push(who);
        }
    }

    /// It is kept, although nobody needs it any more.
    pub fn keeps(&mut self, who: Who, relation: Relation) {
        self.expected.push((who, relation));
        self.spent.push(who);
    }

    /// It has the port, and was there beside a wrapper that ended well.
    pub fn is_unclear(&mut self, who: Who) {
        self.expected.push((who, Relation::Unclear));
        self.in_a_loop.push(who);
    }

    /// A person's own program, which no stop may end.
    pub fn is_persons(&mut self, who: Who, relation: Relation) {
        self.expected.push((who, relation));
        self.persons.push(who);
    }

    pub fn place(&self) -> Place {
        self.place
    }

    pub fn shows(&self, who: Who) -> bool {
        !self.kernel.tasks[self.at(who)].overwritten
    }

    pub fn listens(&self, who: Who) -> bool {
        self.kernel.tasks[self.at(who)].socket != 0
    }

    /// Whether something is kept that could have gone.
    pub fn keeps_something(&self) -> bool {
        let goes = |relation: &Relation| matches!(relation, Relation::Orphan | Relation::Remains);
        self.expected.iter().any(|(who, relation)| self.spent.contains(who) && !goes(relation))
    }
}
