//! Real supervisors, each in its own folder. One ends when its value is dropped, and also when the test process is
//! killed (keep.sh and systemd.sh end what they keep when their stdin closes).
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::common::{Done, Room, done, eventually, has, holds_within, is_root};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/supervisors");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Systemd,
    Runit,
    S6,
    Supervisord,
}

impl Kind {
    /// The reason why it cannot run here.
    pub fn missing(self) -> Option<&'static str> {
        if !has("bash") {
            return Some("no bash");
        }
        if self == Kind::Systemd {
            return systemd_missing();
        }
        let program = match self {
            Kind::Runit => "runsvdir",
            Kind::S6 => "s6-svscan",
            _ => "supervisord",
        };
        let resets = Command::new("env").args(["--default-signal=INT", "true"]).stderr(Stdio::null()).status();
        match (has(program), resets) {
            (false, _) => Some("it is not installed"),
            (_, Ok(status)) if status.success() => None,
            _ => Some("env knows no --default-signal (coreutils 8.31)"),
        }
    }
}

fn systemd_missing() -> Option<&'static str> {
    if !is_root() {
        return Some("it needs root");
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        return Some("it is not installed");
    }
    let namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--cgroup", "--uts", "--ipc", "true"];
    let status = Command::new("unshare").args(namespaces).stderr(Stdio::null()).status();
    (!status.is_ok_and(|s| s.success())).then_some("namespaces are not permitted")
}

/// A service that any of the supervisors can run.
pub struct Service<'a> {
    pub name: &'a str,
    /// A command line that a shell, systemd and supervisord read in the same way.
    pub command: String,
    /// Lines for the `[Service]` or `[program:]` section. For runit and s6: the body of ./finish.
    pub more: &'a str,
}

impl<'a> Service<'a> {
    pub fn new(name: &'a str, command: impl Into<String>) -> Self {
        Service { name, command: command.into(), more: "" }
    }
}

/// A running supervisor.
pub struct Supervisor {
    kind: Kind,
    folder: PathBuf,
    keeper: Child,
    /// The pid of the private systemd.
    init: String,
}

impl Supervisor {
    /// Boots a supervisor that runs `services`.
    pub fn boot(kind: Kind, room: &Room, services: &[Service]) -> Self {
        let folder = room.path().join("supervisor");
        fs::create_dir(&folder).expect("a folder");
        let mut command = Command::new("bash");
        match kind {
            Kind::Systemd => command.arg(format!("{SCRIPTS}/systemd.sh")).arg(&folder),
            _ => {
                let mark = format!("FORERUN_STATE_DIR={}", room.state().display());
                command.arg(format!("{SCRIPTS}/keep.sh")).arg(mark)
            }
        };
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        match kind {
            Kind::Systemd => command.stdout(Stdio::piped()),
            Kind::Runit => command.arg("runsvdir").arg(&folder),
            Kind::S6 => command.arg("s6-svscan").arg(&folder),
            Kind::Supervisord => command.args(["supervisord", "-n", "-c"]).arg(folder.join("conf")),
        };
        if kind != Kind::Systemd {
            write_services(kind, room, &folder, services);
        }
        let keeper = command.spawn().expect("bash");
        let mut supervisor = Supervisor { kind, folder, keeper, init: String::new() };
        if kind == Kind::Systemd {
            supervisor.read_init();
            for service in services {
                supervisor.unit(&format!("{}.service", service.name), &unit(room, service));
            }
            let mut start = vec!["start"];
            start.extend(services.iter().map(|s| s.name));
            supervisor.systemctl(&["daemon-reload"]);
            if !services.is_empty() {
                supervisor.systemctl(&start);
            }
        } else {
            eventually("the supervisor is up", || {
                supervisor.is_up() && services.iter().all(|s| supervisor.knows(s.name))
            });
        }
        supervisor
    }

    /// Boots a supervisord that reads this folder of units. `supervisorctl` finds it from the supervisor's folder.
    pub fn boot_with(room: &Room, unit: &str) -> Self {
        let units = room.path().join("units");
        fs::create_dir_all(&units).expect("a folder");
        fs::write(units.join("unit.conf"), unit).expect("written");
        Self::boot(Kind::Supervisord, room, &[])
    }

    /// The folder that it scans, or that contains its configuration.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn read_init(&mut self) {
        let stdout = self.keeper.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut self.init).expect("read");
        self.init = self.init.trim().to_owned();
        assert!(!self.init.is_empty(), "the private systemd did not come up");
    }

    /// Runs a command inside the supervisor's namespaces and returns its output.
    #[track_caller]
    pub fn inside(&self, words: &[&str]) -> String {
        let done = self.done_inside(words);
        done.stdout.trim_end().to_owned() + if done.code == Some(0) { "" } else { done.stderr.trim_end() }
    }

    /// Runs a command inside the supervisor's namespaces, to its end.
    #[track_caller]
    pub fn done_inside(&self, words: &[&str]) -> Done {
        let mut command = match self.kind {
            Kind::Systemd => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &self.init, "-m", "-u", "-i", "-p", "-C", "--"]).arg(words[0]);
                command
            }
            _ => Command::new(words[0]),
        };
        done(command.args(&words[1..]).current_dir("/").stdin(Stdio::null()))
    }

    /// Runs forerun inside the supervisor's namespaces.
    #[track_caller]
    pub fn forerun(&self, room: &Room, words: &[&str]) -> Done {
        let state = format!("FORERUN_STATE_DIR={}", room.state().display());
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        self.done_inside(&[&["env", "-i", path, &state, env!("CARGO_BIN_EXE_forerun")], words].concat())
    }

    /// Runs a command that forerun printed as the supervisor's own.
    #[track_caller]
    pub fn obey(&self, command: &str) {
        let conf = self.folder.join("conf");
        let conf = conf.to_str().expect("UTF-8");
        // A person keeps the configuration where supervisorctl looks for it.
        let mut words: Vec<_> = command.split(' ').collect();
        if self.kind == Kind::Supervisord {
            words.splice(1..1, ["-c", conf]);
        }
        self.done_inside(&words).expect_code(0);
    }

    /// Runs systemctl, which must succeed.
    #[track_caller]
    pub fn systemctl(&self, words: &[&str]) {
        let said = self.inside(&[&["systemctl", "--quiet"], words].concat());
        assert!(said.is_empty(), "systemctl {words:?}: {said}");
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.inside(&["systemctl", "show", "-P", name, unit])
    }

    /// Writes a unit. systemd knows it after a daemon-reload.
    pub fn unit(&self, name: &str, text: &str) {
        fs::write(format!("/proc/{}/root/run/systemd/system/{name}", self.init), text).expect("written");
    }

    fn supervisorctl(&self, words: &[&str]) -> String {
        let conf = self.folder.join("conf");
        self.inside(&[&["supervisorctl", "-c", conf.to_str().expect("UTF-8")], words].concat())
    }

    fn is_up(&self) -> bool {
        let folder = self.folder.to_str().expect("UTF-8");
        match self.kind {
            Kind::Supervisord => self.supervisorctl(&["pid"]).parse::<i32>().is_ok(),
            Kind::S6 => self.done_inside(&["s6-svscanctl", "-a", folder]).code == Some(0),
            Kind::Runit | Kind::Systemd => true,
        }
    }

    fn knows(&self, service: &str) -> bool {
        match self.kind {
            Kind::Supervisord => self.supervisorctl(&["pid", service]).parse::<i32>().is_ok(),
            _ => self.folder.join(service).join("supervise/status").exists(),
        }
    }

    /// The supervisor's own report about a service.
    pub fn status(&self, service: &str) -> String {
        let folder = self.folder.join(service);
        let folder = folder.to_str().expect("UTF-8");
        match self.kind {
            Kind::Systemd => format!("{} {}", self.property(service, "ActiveState"), self.property(service, "Result")),
            Kind::Runit => self.inside(&["sv", "status", folder]),
            Kind::S6 => self.inside(&["s6-svstat", folder]),
            Kind::Supervisord => self.supervisorctl(&["status", service]),
        }
    }

    /// The pid that the supervisor has for the service.
    pub fn pid(&self, service: &str) -> Option<i32> {
        let folder = self.folder.join(service);
        let pid = match self.kind {
            Kind::Systemd => self.property(service, "MainPID"),
            Kind::Runit => {
                let status = self.status(service);
                status.split_once("(pid ")?.1.split_once(')')?.0.to_owned()
            }
            Kind::S6 => self.inside(&["s6-svstat", "-o", "pid", folder.to_str()?]),
            Kind::Supervisord => self.supervisorctl(&["pid", service]),
        };
        pid.parse().ok().filter(|&pid| pid > 0)
    }

    /// How often the supervisor restarted the service, by its own count if it has one.
    pub fn restarts(&self, room: &Room, service: &str) -> usize {
        let starts = match self.kind {
            Kind::Systemd => return self.property(service, "NRestarts").parse().expect("a number"),
            Kind::Runit | Kind::S6 => lines(&room.path().join("log"), &format!("started {service}")),
            Kind::Supervisord => lines(&self.folder.join("log"), &format!("spawned: '{service}'")),
        };
        starts.saturating_sub(1)
    }

    /// Kills a process, given its pid inside.
    pub fn kill(&self, pid: i32) {
        assert_eq!(self.inside(&["kill", "-KILL", &pid.to_string()]), "");
    }

    /// The /proc of the supervisor's pid namespace.
    pub fn proc(&self, pid: i32, file: &str) -> PathBuf {
        let root = if self.kind == Kind::Systemd { format!("/proc/{}/root", self.init) } else { String::new() };
        format!("{root}/proc/{pid}/{file}").into()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        if !holds_within(Duration::from_secs(20), || matches!(self.keeper.try_wait(), Ok(Some(_)) | Err(_))) {
            let _ = self.keeper.kill();
            let _ = self.keeper.wait();
        }
    }
}

/// The number of lines of a file that contain `part`.
pub fn lines(file: &Path, part: &str) -> usize {
    let text = fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter(|line| line.contains(part)).count()
}

/// A unit that restarts without end and logs to `log`.
pub fn unit(room: &Room, service: &Service) -> String {
    format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=20ms\n\
         Environment=FORERUN_STATE_DIR={}\nStandardOutput=append:{}\nStandardError=inherit\nExecStart={}\n{}\n",
        room.state().display(),
        room.path().join("log").display(),
        service.command,
        service.more,
    )
}

/// Service folders for supervisors that read only their folder.
fn write_services(kind: Kind, room: &Room, folder: &Path, services: &[Service]) {
    let log = room.path().join("log").display().to_string();
    if kind == Kind::Supervisord {
        let include = format!("[include]\nfiles={}/*.conf\n", room.path().join("units").display());
        let conf = supervisord_conf(&folder.display().to_string(), &log, services) + &include;
        fs::write(folder.join("conf"), conf).expect("written");
        std::os::unix::fs::symlink("conf", folder.join("supervisord.conf")).expect("a symlink");
        return;
    }
    for Service { name, command, more } in services {
        let folder = folder.join(name);
        fs::create_dir(&folder).expect("a folder");
        let run = format!("#!/bin/sh\nexec >>{log} 2>&1\necho started {name}\nexec {command}\n");
        script(&folder.join("run"), &run);
        if !more.is_empty() {
            script(&folder.join("finish"), &format!("#!/bin/sh\n{more}\n"));
        }
    }
    // runsvdir ignores a folder that has just been changed.
    let hour = Duration::from_secs(3600);
    File::open(folder).and_then(|f| f.set_modified(SystemTime::now() - hour)).expect("touched");
}

fn supervisord_conf(folder: &str, log: &str, services: &[Service]) -> String {
    let mut text = format!(
        "[unix_http_server]\nfile={folder}/socket\n[supervisorctl]\nserverurl=unix://{folder}/socket\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisord]\nnodaemon=true\nlogfile={folder}/log\npidfile={folder}/pid\nchildlogdir={folder}\n"
    );
    for Service { name, command, more } in services {
        let common = "autorestart=true\nstartsecs=0\nredirect_stderr=true";
        // A duplicate key is an error.
        let common =
            if more.contains("autorestart") { common.replace("autorestart=true\n", "") } else { common.into() };
        text += &format!("[program:{name}]\ncommand={command}\nstdout_logfile={log}\n{common}\n{more}\n");
    }
    text
}

/// Writes an executable file.
pub fn script(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("made executable");
}
