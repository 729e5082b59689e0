#![forbid(unsafe_code)]
//! The scripts in a folder of a service, for supervisors that have one: `run`, `finish`, `log/run`, `check`.

use std::path::{Path, PathBuf};

use nix::unistd::User;

use super::path::home;
use super::quote::{sh, sh_word};
use super::spec::{Given, Scope, UnitSpec};
use super::unit::Started;

/// The first lines of a script that has no marker.
const OURS: &str = "#!/bin/sh\n# Written by forerun, with the script 'run'.\n";

/// The words of a supervisor in its scripts.
pub struct Dialect {
    pub kind: &'static str,
    /// The command that runs another one as a user, without that user.
    pub change_user: &'static str,
    /// A test that fails where somebody has told the supervisor to keep the service down.
    pub is_wanted: &'static str,
    /// What `finish` does after a mistake in the configuration, with the reason.
    pub stay_down: &'static str,
    /// The program that keeps and rotates a log, without its folder.
    pub logger: &'static str,
}

/// The PATH in a script that forerun wrote.
pub fn kept_path(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("export PATH="))?;
    shlex::split(value)?.pop()
}

/// Whether forerun wrote this script, which has no marker.
pub fn is_ours(text: &str) -> bool {
    text.starts_with(OURS)
}

/// The command that a script ends with, and the folder that it changes to.
pub fn command_in(text: &str) -> Option<Started> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<&str> = lines.collect();
    let folder =
        lines.iter().rev().find_map(|line| line.strip_prefix("cd ")).and_then(|rest| shlex::split(rest)?.pop());
    let words = shlex::split(lines.last()?)?;
    let argv = words.into_iter().skip_while(|word| word == "exec").collect();
    Some(Started { argv, folder: folder.map(PathBuf::from) })
}

impl Dialect {
    /// The script that becomes the server.
    pub fn run(&self, spec: &UnitSpec, given: &Given) -> String {
        format!(
            "\
#!/bin/sh
# {name}, started by forerun. Written by 'forerun unit {kind}'. To change it, edit forerun.toml or write it again
# with other flags: {install}
# {marker}
{user}{undone}\
# Send stderr to where stdout goes: to the logger.
exec 2>&1
# PATH of the shell that created this unit, without temporary folders.
export PATH={path}
{state}\
# forerun becomes the server, so this pid is the server's. forerun also sets its descriptor limit, as {kind} sets none.
exec {change}{command}
",
            name = spec.name,
            kind = self.kind,
            install = given.install_command,
            marker = given.marker,
            user = user(spec, true),
            undone = given.undone.iter().map(|line| format!("# {line}\n")).collect::<String>(),
            path = sh_word(&spec.search_path),
            state = state(spec, true),
            change = self.change(spec),
            command = sh(&given.argv),
        )
    }

    /// The script after the end of the server.
    pub fn finish(&self, spec: &UnitSpec) -> String {
        format!(
            "\
{OURS}\
{stay_down}
# The service was told to stop: end what the server left behind. After any other end the next start sees what is left,
# and what has taken over.
if {is_wanted}; then exit 0; fi
{surroundings}\
exec {command} >/dev/null
",
            stay_down = self.stay_down,
            is_wanted = self.is_wanted,
            surroundings = surroundings(spec),
            command = self.forerun(spec, "stop"),
        )
    }

    /// The script that says whether the server is healthy.
    pub fn check(&self, spec: &UnitSpec) -> String {
        format!(
            "{OURS}# Whether the server is healthy: 'sv check' and 'sv start' wait for that.\n{}exec {} >/dev/null 2>&1\n",
            surroundings(spec),
            self.forerun(spec, "status"),
        )
    }

    /// The script of the log service. The folder is made if it is missing.
    pub fn log(&self, spec: &UnitSpec) -> String {
        let folder = sh_word(&log_folder(spec.made.scope, &spec.name).to_string_lossy());
        let owner = spec.lesser_user().map(|user| format!(" && chown {} {folder}", sh_word(user))).unwrap_or_default();
        format!(
            "{OURS}# Keeps and rotates the output of forerun and the server.\nmkdir -p {folder}{owner}\nexec {}{} {folder}\n",
            self.change(spec),
            self.logger,
        )
    }

    /// These supervisors have no setting for the user: a program of theirs changes it.
    fn change(&self, spec: &UnitSpec) -> String {
        spec.lesser_user().map(|user| format!("{} {} ", self.change_user, sh_word(user))).unwrap_or_default()
    }

    fn forerun(&self, spec: &UnitSpec, verb: &str) -> String {
        let words = [spec.made.program.clone().into_os_string(), verb.into(), spec.name.clone().into()];
        format!("{}{}", self.change(spec), sh(&words))
    }
}

/// The folder of the log of a service.
pub fn log_folder(scope: Scope, name: &str) -> PathBuf {
    let root = match scope {
        Scope::System => Path::new("/var/log").to_owned(),
        Scope::User => home().unwrap_or_default().join(".local/state/log"),
    };
    root.join(name)
}

/// Variables that forerun needs in order to see what the server's forerun saw.
fn surroundings(spec: &UnitSpec) -> String {
    format!("{}export PATH={}\n{}", user(spec, false), sh_word(&spec.search_path), state(spec, false))
}

fn user(spec: &UnitSpec, with_reason: bool) -> String {
    let Some(user) = spec.lesser_user() else { return String::new() };
    let home = User::from_name(user).ok().flatten().map_or(PathBuf::from("/"), |user| user.dir);
    let why = if with_reason { format!("# {}\n", spec.why_user()) } else { String::new() };
    let (home, user) = (sh_word(&home.to_string_lossy()), sh_word(user));
    format!("{why}export HOME={home} USER={user} LOGNAME={user}\n")
}

fn state(spec: &UnitSpec, with_reason: bool) -> String {
    let Some(state) = &spec.made.state else { return String::new() };
    let why = "# State folder of the shell that created this unit, so that both find the same record.\n";
    format!("{}export FORERUN_STATE_DIR={}\n", if with_reason { why } else { "" }, sh_word(state))
}
