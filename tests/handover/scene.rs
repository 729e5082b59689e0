//! A server in its place, with strangers beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::client::Asks;
use crate::common::process::{pids, send};
use crate::common::{Done, Room, alive, done, fixture, free_port, holds_within, is};
use crate::harness::{Kind, Service, Supervisor, script};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Place {
    Detached,
    Under(Kind),
}

pub const PLACES: [Place; 5] = [
    Place::Detached,
    Place::Under(Kind::Systemd),
    Place::Under(Kind::Runit),
    Place::Under(Kind::S6),
    Place::Under(Kind::Supervisord),
];

/// How a server is started.
pub struct Server {
    pub command: Vec<String>,
    pub options: Vec<String>,
    pub asks: Asks,
    /// It puts itself into the background, and writes this. systemd must know of it: it ends what is left of a unit
    /// whose main process ends.
    pub pid_file: Option<&'static str>,
}

pub struct Scene {
    pub room: Room,
    pub port: u16,
    pub place: Place,
    pub watch: bool,
    pub asks: Asks,
    supervisor: Option<Supervisor>,
}

/// Long enough for a change to happen, and short enough for a table of those that do not.
pub const SOON: Duration = Duration::from_secs(20);

impl Scene {
    /// Starts the server and returns once it serves.
    pub fn new(room: Room, port: u16, server: &Server, place: Place, watch: bool) -> Self {
        let folder = room.path().to_owned();
        std::fs::create_dir(folder.join("strangers")).expect("a folder");
        let quoted = |words: &[String]| words.iter().map(|w| format!("'{w}' ")).collect::<String>();
        let asked = if watch { "--watch" } else { "" };
        let forerun = |mode: &str| {
            format!(
                "exec {} {mode} {asked} --name web {} -- {}\n",
                crate::common::Forerun,
                quoted(&server.options),
                quoted(&server.command)
            )
        };
        let here = format!(
            "#!/bin/sh\ncd {0}\nexport HOME={0} FORERUN_STATE_DIR={1}\n",
            folder.display(),
            room.state().display()
        );
        script(&folder.join("by-hand.sh"), &format!("{here}{}", forerun("--detach")));
        script(&folder.join("strangers.sh"), &strangers());
        let foreground = if place == Place::Detached { "--detach" } else { "--foreground" };
        // They are of the main process's own session where that is the shell's, and children of its process: systemd
        // ends what is in the unit, so there they are outside.
        let beside = match place {
            Place::Under(Kind::Systemd) => "",
            _ => "[ -e strangers/there ] || . ./strangers.sh\n",
        };
        script(&folder.join("start.sh"), &format!("{here}{beside}{}", forerun(foreground)));
        let mut scene = Scene { room, port, place, watch, asks: server.asks, supervisor: None };
        match place {
            Place::Detached => {
                scene.shell("start.sh").expect_code(0);
            }
            Place::Under(kind) => {
                let start = folder.join("start.sh").display().to_string();
                let pid_file = server.pid_file.filter(|_| kind == Kind::Systemd).map(|name| folder.join(name));
                let more = pid_file.map(|file| format!("Type=forking\nPIDFile={}", file.display())).unwrap_or_default();
                let service = Service { more: &more, ..Service::new("web", start) };
                let supervisor = Supervisor::boot(kind, &scene.room, &[service]);
                if kind == Kind::Systemd {
                    let file = folder.join("strangers.sh").display().to_string();
                    supervisor.inside(&["sh", "-c", &format!("cd {}; . {file}", folder.display())]);
                }
                scene.supervisor = Some(supervisor);
            }
        }
        // Of one that has left its supervisor it may be all that is known that it serves.
        let left = place != Place::Detached && server.pid_file.is_some();
        let runs = || left || scene.status().code == Some(0);
        let up = || scene.serves() && runs() && scene.strangers().len() == STRANGERS;
        let is_up = holds_within(2 * SOON, up);
        assert!(is_up, "it is not up: {}\nthe log: {}", scene.status().stdout, scene.log());
        scene
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    pub fn supervisor(&self) -> &Supervisor {
        self.supervisor.as_ref().expect("a supervisor")
    }

    pub fn serves(&self) -> bool {
        self.asks.answered(self.port)
    }

    /// Runs a script of the room where the server is.
    fn shell(&self, script: &str) -> Done {
        let file = self.path(script);
        match &self.supervisor {
            Some(supervisor) => supervisor.done_inside(&["sh", file.to_str().expect("UTF-8")]),
            None => done(Command::new("sh").arg(file).current_dir(self.room.path()).stdin(std::process::Stdio::null())),
        }
    }

    /// Starts the same service by hand.
    pub fn by_hand(&self) -> Done {
        self.shell("by-hand.sh")
    }

    pub fn forerun(&self, words: &[&str]) -> Done {
        match &self.supervisor {
            Some(supervisor) => supervisor.forerun(&self.room, words),
            None => self.room.run(words),
        }
    }

    pub fn status(&self) -> Done {
        self.forerun(&["status", "web"])
    }

    /// The pid that `status` names, as it is outside.
    pub fn status_pid(&self) -> Option<i32> {
        let done = self.forerun(&["status", "web", "--json"]);
        let value: serde_json::Value = serde_json::from_str(&done.stdout).ok()?;
        let pid = value["pid"].as_i64()? as i32;
        self.processes().into_iter().find(|&outside| inside(outside) == Some(pid))
    }

    /// What it wrote, wherever it is.
    pub fn log(&self) -> String {
        let files = [self.room.state().join("web/server.log"), self.path("log")];
        files.map(|file| std::fs::read_to_string(file).unwrap_or_default()).concat()
    }

    fn below(&self, folder: &Path) -> Vec<i32> {
        let ours = |pid: &i32| {
            let at = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            at.starts_with(folder) && alive(*pid)
        };
        pids().into_iter().filter(ours).collect()
    }

    /// The server's processes: by the folder that they run in, for most overwrite their environment. Not forerun's.
    pub fn processes(&self) -> Vec<i32> {
        let forerun = is(Path::new(env!("CARGO_BIN_EXE_forerun")));
        let (strangers, supervisor) = (self.path("strangers"), self.path("supervisor"));
        let others = |pid: &i32| {
            let link = |file| std::fs::read_link(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let (at, line) = (link("cwd"), std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
            // A script that is about to become forerun.
            let starts = line.starts_with(b"/bin/sh\0") && line.ends_with(b".sh\0");
            at.starts_with(&strangers) || at.starts_with(&supervisor) || link("exe") == forerun || starts
        };
        self.below(self.room.path()).into_iter().filter(|pid| !others(pid)).collect()
    }

    pub fn strangers(&self) -> Vec<i32> {
        self.below(&self.path("strangers"))
    }

    /// Those of the server that no other of the server started.
    pub fn roots(&self) -> Vec<i32> {
        let all = self.processes();
        all.iter().copied().filter(|&pid| !all.contains(&parent(pid))).collect()
    }

    /// The main process, once there is one that is nobody's child.
    pub fn main(&self) -> i32 {
        let mut roots = Vec::new();
        let one = holds_within(SOON, || {
            roots = self.roots();
            roots.len() == 1
        });
        assert!(one, "not one main process: {roots:?} of {:?}", self.described(&self.processes()));
        roots[0]
    }

    /// The main process of a server in the background, which wrote its pid.
    pub fn daemon(&self, pid_file: &str) -> i32 {
        let text = || std::fs::read_to_string(self.path(pid_file)).unwrap_or_default();
        let wrote = |root: &i32| text().lines().next().and_then(|l| l.trim().parse().ok()) == inside(*root);
        let one = holds_within(SOON, || matches!(&self.roots()[..], [root] if wrote(root)));
        assert!(one, "not one daemon: {:?}", self.described(&self.processes()));
        self.main()
    }

    pub fn children(&self, parent: i32) -> Vec<i32> {
        self.processes().into_iter().filter(|&pid| self::parent(pid) == parent).collect()
    }

    pub fn described(&self, list: &[i32]) -> String {
        let line = |pid: &i32| {
            let text = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            format!("{pid} ({})", String::from_utf8_lossy(&text).replace('\0', " ").trim_end())
        };
        list.iter().map(line).collect::<Vec<_>>().join(", ")
    }

    /// The number of starts that the supervisor made, without the first.
    pub fn restarts(&self) -> usize {
        self.supervisor().restarts(&self.room, "web")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // First who would start it again.
        drop(self.supervisor.take());
        let left = || self.below(self.room.path());
        holds_within(SOON, || {
            left().into_iter().for_each(|pid| send(pid, libc::SIGKILL));
            left().is_empty()
        });
    }
}

/// Nobody's where it has gone.
fn parent(pid: i32) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}

/// A pid as the process itself has it.
pub fn inside(pid: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?.parse().ok()
}

pub const STRANGERS: usize = 3;

/// One that overwrites its name and environment, one with an empty environment, one that listens elsewhere.
fn strangers() -> String {
    let elsewhere = free_port();
    format!(
        "mkdir -p strangers/there\n\
         (cd strangers; exec perl -e '$0 = \"logger\"; sleep 1000') </dev/null >/dev/null 2>&1 &\n\
         (cd strangers; exec env -i {} 1000) </dev/null >/dev/null 2>&1 &\n\
         (cd strangers; exec {} serve {elsewhere}) </dev/null >/dev/null 2>&1 &\n",
        sleep().display(),
        fixture().display(),
    )
}

fn sleep() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("sleep")).find(|p| p.is_file()).expect("sleep")
}
