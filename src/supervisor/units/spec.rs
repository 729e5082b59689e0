#![forbid(unsafe_code)]
//! A unit before it is written: everything that its text depends on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};

use crate::instance::ending::Ending;

/// The user that no unit needs to name.
pub const ROOT: &str = "root";

/// The soft limit of open descriptors if nobody sets one.
pub const NOFILE: u64 = 8192;
/// The hard limit in a unit that must name one: that of systemd (`DefaultLimitNOFILE=` of systemd-system.conf(5)), and
/// more than any other system gives. It lowers none: Go, Java and Node raise the soft limit to the hard one.
const HARD_NOFILE: u64 = 524_288;

/// Limits of open descriptors in a unit: soft, hard.
pub type Limits = (u64, u64);

/// Whether a unit belongs to a user's supervisor or to the machine's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    User,
    System,
}

/// The location of a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitPath {
    /// The file, or the folder of a unit that has several.
    pub unit: PathBuf,
    /// The symlink in the folder that the supervisor scans. It makes the supervisor run the unit.
    pub link: Option<PathBuf>,
}

impl UnitPath {
    /// A unit that needs no link.
    pub fn file(path: PathBuf) -> Self {
        UnitPath { unit: path, link: None }
    }

    /// The path of one of its files. `name` is empty if the unit is a single file.
    pub fn of(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.unit.clone() } else { self.unit.join(name) }
    }
}

/// How a unit was made, as far as the service does not determine it. Its marker keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    pub scope: Scope,
    pub harden: bool,
    /// The user that the service runs as, if that is not the user of the supervisor.
    pub user: Option<String>,
    /// FORERUN_STATE_DIR, if it was set. Commands about the service must find the same record.
    pub state: Option<String>,
    /// The folder that the supervisor scans.
    pub scanned: Option<PathBuf>,
    /// The path of forerun.
    pub program: PathBuf,
    /// The arguments of forerun after the config file.
    pub flags: Vec<OsString>,
}

/// Everything that determines the text of a unit.
#[derive(Clone, Debug)]
pub struct UnitSpec {
    pub path: UnitPath,
    pub made: Made,
    /// PATH for the unit. An installed unit keeps the folders of its first PATH.
    pub search_path: String,
    pub name: String,
    pub config: Option<PathBuf>,
    pub directory: PathBuf,
    /// The server and its arguments.
    pub command: Vec<OsString>,
    pub health: Option<Health>,
    /// The server itself reports to its service manager.
    pub server_notifies: bool,
    /// The supervisor ends a server that does not answer for this long.
    pub watchdog: Option<Duration>,
    /// The limits of open descriptors, if the service sets any. Without a hard one the usual one counts.
    pub nofile: Option<(u64, Option<u64>)>,
    /// The descriptor of `--ready-fd`.
    pub ready_fd: Option<i32>,
    pub ending: Ending,
    /// From the stop signal to SIGKILL.
    pub grace: Duration,
}

/// The health check of a service, as far as a unit knows it.
#[derive(Clone, Debug)]
pub struct Health {
    pub timeout: Duration,
}

/// What every unit has, in the words of its supervisor.
pub struct Given {
    /// The marker line, without its digest.
    pub marker: String,
    /// forerun and its arguments.
    pub argv: Vec<OsString>,
    /// What `[stop]` says and this supervisor does not do, a line each.
    pub undone: Vec<String>,
    /// The command that writes this unit again.
    pub install_command: String,
}

/// One file of a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Empty if the unit is a single file.
    pub name: &'static str,
    pub text: String,
    pub executable: bool,
}

impl File {
    /// The only file of a unit.
    pub fn single(text: String) -> Vec<File> {
        vec![File { name: "", text, executable: false }]
    }
}

impl UnitSpec {
    /// The user that the service runs as: the one that the unit names, else who makes it.
    pub fn runs_as(&self) -> Uid {
        let user = self.made.user.as_ref().and_then(|user| User::from_name(user).ok().flatten());
        user.map_or(geteuid(), |user| user.uid)
    }

    /// The comment on the user.
    pub fn why_user(&self) -> &'static str {
        match self.lesser_user() {
            Some(_) => "Not root: this unit was made by this user, or for this user.",
            // No two dashes: XML has none in a comment.
            None => "Root: whoever made this unit said so.",
        }
    }

    /// The user, if the unit gives up root's rights for that.
    pub fn lesser_user(&self) -> Option<&str> {
        self.made.user.as_deref().filter(|user| *user != ROOT)
    }

    /// The limits of open descriptors.
    pub fn nofile(&self) -> Limits {
        match self.nofile {
            None => (NOFILE, HARD_NOFILE),
            Some((soft, hard)) => (soft, hard.unwrap_or(HARD_NOFILE.max(soft))),
        }
    }

    /// How long the server may take to stop, in whole seconds. At least one, because launchd takes 0 as "for ever".
    pub fn grace(&self) -> u64 {
        whole_seconds(self.grace)
    }

    /// The paths of forerun, the server and everything that they read.
    pub fn paths(&self) -> Vec<&Path> {
        let programs = [self.made.program.as_path(), Path::new(&self.command[0])];
        let all = programs.into_iter().chain([self.directory.as_path()]).chain(self.config.as_deref());
        all.chain(self.made.state.as_deref().map(Path::new)).collect()
    }
}

/// Rounds up to whole seconds, at least one.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).max(1) as u64
}
