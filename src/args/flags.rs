#![forbid(unsafe_code)]
//! The flags of a start that describe the service: their definitions, what they say, and the words that say it again.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Arg;
use clap::builder::NonEmptyStringValueParser;

use super::argv::Argv;
use super::definition::{duration, flag, one_of, option, path, repeated, words};
use super::env_file::EnvFile;
use super::parsed::Parsed;

/// What a start does when its name or port is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnConflict {
    Standby,
    Fail,
}

impl OnConflict {
    /// The words for it.
    pub const WORDS: [(&str, OnConflict); 2] = [("standby", OnConflict::Standby), ("fail", OnConflict::Fail)];
}

/// Who uses NOTIFY_SOCKET and WATCHDOG_USEC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Speaker {
    /// The sidecar if there is a health check, else the server.
    #[default]
    Auto,
    Sidecar,
    Server,
}

impl Speaker {
    /// The words for it.
    pub const WORDS: [(&str, Speaker); 3] =
        [("auto", Speaker::Auto), ("sidecar", Speaker::Sidecar), ("server", Speaker::Server)];
}

/// The flags that describe a service. Relative paths are seen from the folder that forerun was called in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StartFlags {
    pub config: Option<PathBuf>,
    pub name: Option<OsString>,
    pub cwd: Option<PathBuf>,
    /// Each is `NAME=VALUE`.
    pub env: Vec<OsString>,
    /// Later ones win.
    pub env_file: Vec<EnvFile>,
    /// As it is written: a number, or what a reference gives. 0: no port is guarded.
    pub port: Option<String>,
    /// `SOFT[:HARD]`.
    pub nofile: Option<String>,
    pub close_fds: bool,
    /// Each is a CHECK.
    pub require: Vec<OsString>,
    pub wait: Vec<OsString>,
    pub wait_timeout: Option<Duration>,
    pub no_fix: bool,
    /// A CHECK.
    pub health: Option<OsString>,
    pub health_timeout: Option<Duration>,
    pub health_body: Option<String>,
    pub insecure: bool,
    pub on_conflict: Option<OnConflict>,
    pub grace: Option<Duration>,
    pub notify: Option<Speaker>,
    /// The number of a descriptor.
    pub ready_fd: Option<i32>,
    pub watch: bool,
    /// The server and its arguments.
    pub command: Vec<OsString>,
}

impl StartFlags {
    pub fn read(parsed: &Parsed) -> Self {
        StartFlags {
            config: parsed.one("config"),
            name: parsed.one("name"),
            cwd: parsed.one("cwd"),
            env: parsed.many("env"),
            env_file: parsed.many("env-file").iter().map(|word| EnvFile::read(word)).collect(),
            port: parsed.one("port"),
            nofile: parsed.one("nofile"),
            close_fds: parsed.has("close-fds"),
            require: parsed.many("require"),
            wait: parsed.many("wait"),
            wait_timeout: parsed.one("wait-timeout"),
            no_fix: parsed.has("no-fix"),
            health: parsed.one("health"),
            health_timeout: parsed.one("health-timeout"),
            health_body: parsed.one("health-body"),
            insecure: parsed.has("insecure"),
            on_conflict: parsed.one("on-conflict"),
            grace: parsed.one("grace"),
            notify: parsed.one("notify"),
            ready_fd: parsed.one("ready-fd"),
            watch: parsed.has("watch"),
            command: parsed.many("command"),
        }
    }

    /// The words that these flags were parsed from, as seen from any folder: paths become absolute from the folder
    /// `here`, but are not resolved, so that a symlink stays a symlink. Parsing the words gives the same flags.
    ///
    /// `cwd`: the folder that the server runs in where no flag says so. `resolved`: a CHECK with an absolute path;
    /// which CHECK has one is not for the command line to know. `config` is left out: whoever writes the words knows
    /// the file that was found, which need not be given.
    pub fn argv(&self, here: &Path, cwd: Option<&Path>, resolved: impl Fn(&OsStr) -> OsString) -> Vec<OsString> {
        // Without `..`, so that a flag that is forgotten here does not compile.
        let StartFlags {
            config: _,
            name,
            cwd: asked,
            env,
            env_file,
            port,
            nofile,
            close_fds,
            require,
            wait,
            wait_timeout,
            no_fix,
            health,
            health_timeout,
            health_body,
            insecure,
            on_conflict,
            grace,
            notify,
            ready_fd,
            watch,
            command,
        } = self;
        let absolute = |path: &Path| here.join(path);
        let mut argv = Argv::default();
        argv.maybe("--cwd", asked.as_deref().or(cwd).map(absolute));
        argv.maybe("--name", name.as_ref());
        argv.each("--env", env);
        argv.each("--env-file", env_file.iter().map(|file| file.within(here).word()));
        argv.maybe("--port", port.as_ref());
        argv.maybe("--nofile", nofile.as_ref());
        argv.flag("--close-fds", *close_fds);
        argv.each("--require", require.iter().map(|check| resolved(check)));
        argv.each("--wait", wait.iter().map(|check| resolved(check)));
        argv.duration("--wait-timeout", *wait_timeout);
        argv.flag("--no-fix", *no_fix);
        argv.maybe("--health", health.as_ref().map(|check| resolved(check)));
        argv.duration("--health-timeout", *health_timeout);
        argv.maybe("--health-body", health_body.as_ref());
        argv.flag("--insecure", *insecure);
        argv.word_of("--on-conflict", *on_conflict, &OnConflict::WORDS);
        argv.duration("--grace", *grace);
        argv.word_of("--notify", *notify, &Speaker::WORDS);
        argv.maybe("--ready-fd", ready_fd.map(|number| number.to_string()));
        argv.flag("--watch", *watch);
        argv.ending_with(command)
    }
}

/// A port, or what a reference makes one of.
fn port(text: &str) -> Result<String, String> {
    match text.contains("${") {
        true => Ok(text.to_owned()),
        false => crate::text::port(text).map(|port| port.to_string()),
    }
}

pub fn service_args() -> [Arg; 8] {
    [
        path("config", "FILE", "Read FILE [default: ./forerun.toml if there]"),
        words("name", "NAME", "Name the service [default: the folder's name]"),
        path("cwd", "DIR", "Run the server in DIR"),
        repeated("env", "K=V", "Set a variable of the server's environment"),
        repeated("env-file", "FILE", "Read variables from FILE; ?FILE: if it is there; the environment wins"),
        option("port", "N", "Guard port N [default: that of a loopback health URL; 0: none]").value_parser(port),
        option("nofile", "SOFT[:HARD]", "Limit the server's open file descriptors"),
        flag("close-fds", "Pass on only descriptors 0 to 2 and the LISTEN_FDS range"),
    ]
    .map(|a| a.help_heading("Service"))
}

pub fn check_args() -> [Arg; 4] {
    [
        repeated("require", "CHECK", "Start only if CHECK holds now"),
        repeated("wait", "CHECK", "Wait until CHECK holds; all waits run at once"),
        duration("wait-timeout", "Give each wait this long [default: 60s]"),
        flag("no-fix", "Do not run the fixes of requirements that do not hold"),
    ]
    .map(|a| a.help_heading("Checks"))
}

pub fn health_args() -> [Arg; 4] {
    [
        words("health", "URL-or-CHECK", "The server is ready when this holds"),
        duration("health-timeout", "Give the server this long to get healthy [default: 30s]"),
        option("health-body", "TEXT", "The answer must contain TEXT").value_parser(NonEmptyStringValueParser::new()),
        flag("insecure", "Accept any TLS certificate from the health URL"),
    ]
    .map(|a| a.help_heading("Health"))
}

pub fn on_conflict_arg() -> Arg {
    option("on-conflict", "standby|fail", "Name or port is taken: wait, or exit 75 [default: standby if supervised]")
        .value_parser(one_of(&OnConflict::WORDS))
        .hide_possible_values(true)
        .help_heading("Conflict")
}

pub fn grace_arg() -> Arg {
    duration("grace", "Give the server this long to stop [default: 10s]").help_heading("Detached")
}

pub fn sidecar_args() -> [Arg; 3] {
    [
        option("notify", "WHO", "Who uses NOTIFY_SOCKET: auto, sidecar or server [default: auto]")
            .value_parser(one_of(&Speaker::WORDS))
            .hide_possible_values(true),
        option("ready-fd", "N", "Write a newline to descriptor N once the server is healthy (s6, dinit)")
            .value_parser(crate::text::whole_number::<i32>),
        flag("watch", "Watch the server's health, descriptors, terminals and processes"),
    ]
    .map(|a| a.help_heading("Sidecar"))
}
