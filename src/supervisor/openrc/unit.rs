#![forbid(unsafe_code)]
//! Writes init scripts for OpenRC: openrc-run(8) reads them, supervise-daemon(8) runs the server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::OpenRc;
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::path::home;
use crate::supervisor::units::quote::{plain, sh, sh_word};
use crate::supervisor::units::spec::Given;
use crate::supervisor::units::{Control, File, Scope, Started, UnitPath, UnitSpec, Units};
use crate::sys;

impl Units for OpenRc {
    fn word(&self) -> &'static str {
        "openrc"
    }

    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File> {
        vec![File { name: "", text: text(spec, given), executable: true }]
    }

    fn kept_path(&self, text: &str) -> Option<String> {
        let value = value_in(text, "supervise_daemon_args")?;
        let words = shlex::split(&value)?;
        words.iter().find_map(|word| word.strip_prefix("PATH=")).map(str::to_owned)
    }

    fn path(&self, scope: Scope, name: &str, dir: Option<&Path>, _: &Environment) -> Result<UnitPath, Error> {
        let folder = match (dir, scope) {
            (Some(dir), _) => dir.to_owned(),
            (None, Scope::System) => "/etc/init.d".into(),
            (None, Scope::User) => home()?.join(".config/rc/init.d"),
        };
        Ok(UnitPath::file(folder.join(name)))
    }

    fn sends(&self, _: i32) -> bool {
        true
    }

    fn command_in(&self, text: &str) -> Option<Started> {
        let value = |name| value_in(text, name);
        let command = format!("{} {}", value("command")?, value("command_args").unwrap_or_default());
        Some(Started { argv: shlex::split(&command)?, folder: value("directory").map(PathBuf::from) })
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

/// The value of a variable that a script sets to one word.
fn value_in(text: &str, name: &str) -> Option<String> {
    let value = text.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    shlex::split(value)?.into_iter().next()
}

fn text(spec: &UnitSpec, given: &Given) -> String {
    let words: Vec<OsString> = plain(&given.argv).into_iter().map(OsString::from).collect();
    let (program, arguments) = words.split_at(1);
    let user = spec.made.user.as_ref().map(|user| format!("# {}\ncommand_user={}\n", spec.why_user(), sh_word(user)));
    // openrc-run gives these values to `eval`, so that they are quoted twice.
    format!(
        "\
#!/sbin/openrc-run
# {name}, started by forerun. Written by 'forerun unit openrc'. To change it, edit forerun.toml or write it again
# with other flags: {install}
# {marker}
{undone}\
description={description}
# supervise-daemon starts the server again whenever it ends.
supervisor=supervise-daemon
# forerun becomes the server, so the pid that supervise-daemon watches is the server's. forerun also sets its limits.
command={program}
command_args={arguments}
{user}\
# PATH of the shell that created this script, without temporary folders, and the folder of forerun's records.
supervise_daemon_args={variables}
# Start again after a pause, without a limit. supervise-daemon has no exit code that stops this: after a 78 (a mistake in
# the configuration) it tries again.
respawn_delay=2
respawn_max=0
# The signal, the grace in seconds, and then SIGKILL.
retry={signal}/{grace}/KILL/5
# Output of forerun and the server.
output_log={log}
error_log=$output_log
extra_started_commands=reload
{functions}",
        name = spec.name,
        install = given.install_command,
        marker = given.marker,
        undone = given.undone.iter().map(|line| format!("# {line}\n")).collect::<String>(),
        description = sh_word(&format!("{} (forerun)", spec.name)),
        program = sh_word(&sh(program)),
        arguments = sh_word(&sh(arguments)),
        user = user.unwrap_or_default(),
        variables = sh_word(&variables(spec)),
        signal = sys::signal_name(spec.ending.signal),
        grace = spec.grace(),
        log = sh_word(&log_file(spec).to_string_lossy()),
        functions = functions(spec),
    )
}

/// What openrc-run calls of the script.
fn functions(spec: &UnitSpec) -> String {
    format!(
        "
depend() {{
	use net logger
	after bootmisc
}}

reload() {{
	ebegin \"Reloading $RC_SVCNAME\"
	{reload}
	eend $?
}}

# Ends what the server left behind.
stop_post() {{
	{stop} >/dev/null 2>&1 || true
}}
",
        reload = forerun(spec, "reload"),
        stop = forerun(spec, "stop"),
    )
}

/// The variables of the service, as options of supervise-daemon.
fn variables(spec: &UnitSpec) -> String {
    let all = [("PATH", Some(&spec.search_path)), ("FORERUN_STATE_DIR", spec.made.state.as_ref())];
    let all = all.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    all.map(|entry| format!("--env {}", sh_word(&entry))).collect::<Vec<_>>().join(" ")
}

/// A command of forerun about the service, as its user.
fn forerun(spec: &UnitSpec, verb: &str) -> String {
    let state = spec.made.state.as_ref().map(|state| format!("FORERUN_STATE_DIR={} ", sh_word(state)));
    let words = [spec.made.program.clone().into_os_string(), verb.into(), spec.name.clone().into()];
    let command = format!("{}{}", state.unwrap_or_default(), sh(&words));
    match spec.lesser_user() {
        Some(user) => format!("su -s /bin/sh {} -c {}", sh_word(user), sh_word(&command)),
        None => command,
    }
}

fn log_file(spec: &UnitSpec) -> PathBuf {
    let folder = match spec.made.scope {
        Scope::System => Path::new("/var/log"),
        Scope::User => spec.path.unit.parent().unwrap_or(Path::new("/tmp")),
    };
    folder.join(format!("{}.log", spec.name))
}
