#![forbid(unsafe_code)]
//! What the command line asks for: one struct for each subcommand.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The words of the supervisors that forerun writes units for.
pub type Kinds = &'static [&'static str];

/// A shell that `forerun completions` knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// When results and lines have colors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Color {
    /// On a terminal that shows them.
    #[default]
    Auto,
    Always,
    Never,
}

/// The options of `forerun unit`.
#[derive(Debug, Default, PartialEq)]
pub struct UnitOptions {
    /// The word of a supervisor that forerun writes units for.
    pub kind: Option<String>,
    pub user: bool,
    pub system: bool,
    pub dir: Option<PathBuf>,
    pub harden: bool,
    /// `--as USER`.
    pub run_as: Option<String>,
    pub install: bool,
    pub now: bool,
    pub uninstall: bool,
    pub diff: bool,
    pub force: bool,
}

/// A parsed command line.
#[derive(Debug, PartialEq)]
pub enum Request {
    Start(Start),
    Check(Start),
    Status(Status),
    Stop(Stop),
    Restart(Restart),
    Reload(Which, Output),
    Logs(Logs),
    Fds(Which, Output),
    Forget(Which, Output),
    Unit(Unit),
    Doctor(Start),
    Man,
    Completions(Completions),
}

/// The options of a start that describe the service and how it is launched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartFlags {
    pub foreground: bool,
    pub detach: bool,
    pub config: Option<PathBuf>,
    pub name: Option<OsString>,
    pub cwd: Option<PathBuf>,
    pub env: Vec<OsString>,
    pub env_file: Option<PathBuf>,
    pub port: Option<u16>,
    pub nofile: Option<String>,
    pub close_fds: bool,
    pub require: Vec<OsString>,
    pub wait: Vec<OsString>,
    pub wait_timeout: Option<Duration>,
    pub no_fix: bool,
    pub health: Option<OsString>,
    pub health_timeout: Option<Duration>,
    pub health_body: Option<String>,
    pub insecure: bool,
    pub on_conflict: Option<OnConflict>,
    pub replace: bool,
    pub log: Option<PathBuf>,
    pub open: bool,
    pub grace: Option<Duration>,
    pub notify: Option<Notify>,
    pub ready_fd: Option<i32>,
    pub watch: bool,
    pub command: Vec<OsString>,
}

/// `--on-conflict`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnConflict {
    Standby,
    Fail,
}

impl OnConflict {
    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            OnConflict::Standby => "standby",
            OnConflict::Fail => "fail",
        }
    }
}

/// `--notify`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notify {
    Auto,
    Sidecar,
    Server,
}

impl Notify {
    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Notify::Auto => "auto",
            Notify::Sidecar => "sidecar",
            Notify::Server => "server",
        }
    }
}

/// What is printed, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Output {
    /// How often `-v` was given.
    pub verbose: u8,
    pub quiet: bool,
    pub json: bool,
    pub no_progress: bool,
    pub color: Color,
}

/// Which instance a subcommand is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Which {
    /// A name, or the pid of its server.
    pub name: Option<OsString>,
    pub config: Option<PathBuf>,
}

/// A start; also `check` and `doctor`, which look at what a start would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    pub flags: StartFlags,
    pub dry_run: bool,
    pub output: Output,
}

/// `forerun status`.
#[derive(Debug, Default, PartialEq)]
pub struct Status {
    pub which: Which,
    pub all: bool,
    pub output: Output,
}

/// `forerun stop`.
#[derive(Debug, Default, PartialEq)]
pub struct Stop {
    pub which: Which,
    /// Also processes that left for a session of their own.
    pub all: bool,
    pub grace: Option<Duration>,
    pub output: Output,
}

/// `forerun restart`.
#[derive(Debug, Default, PartialEq)]
pub struct Restart {
    pub which: Which,
    pub grace: Option<Duration>,
    pub output: Output,
}

/// `forerun logs`.
#[derive(Debug, Default, PartialEq)]
pub struct Logs {
    pub which: Which,
    /// How many of the last lines.
    pub lines: Option<usize>,
    pub follow: bool,
    pub output: Output,
}

/// `forerun unit`.
#[derive(Debug, Default, PartialEq)]
pub struct Unit {
    pub unit: UnitOptions,
    pub flags: StartFlags,
    pub output: Output,
}

/// `forerun completions`.
#[derive(Debug, Default, PartialEq)]
pub struct Completions {
    pub shell: Option<Shell>,
    /// Print the names of instances instead.
    pub names: bool,
    pub output: Output,
}

impl Start {
    /// The instance that it is about.
    pub fn which(&self) -> Which {
        Which { name: self.flags.name.clone(), config: self.flags.config.clone() }
    }
}

impl Unit {
    /// The service that it is about.
    pub fn which(&self) -> Which {
        Which { name: self.flags.name.clone(), config: self.flags.config.clone() }
    }
}

impl Request {
    /// What is printed, and how.
    pub fn output(&self) -> Output {
        match self {
            Request::Start(start) | Request::Check(start) | Request::Doctor(start) => start.output,
            Request::Status(status) => status.output,
            Request::Stop(stop) => stop.output,
            Request::Restart(restart) => restart.output,
            Request::Logs(logs) => logs.output,
            Request::Unit(unit) => unit.output,
            Request::Completions(completions) => completions.output,
            Request::Reload(_, output) | Request::Fds(_, output) | Request::Forget(_, output) => *output,
            Request::Man => Output::default(),
        }
    }
}
