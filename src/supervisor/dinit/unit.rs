#![forbid(unsafe_code)]
//! Writes service descriptions for dinit 0.17 and later (dinit-service(5)).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Dinit;
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::path::home;
use crate::supervisor::units::quote::through_printf;
use crate::supervisor::units::spec::Given;
use crate::supervisor::units::{Control, File, Scope, Started, UnitPath, UnitSpec, Units};
use crate::sys;

/// The descriptor on which dinit expects readiness if nobody sets another.
const READY_FD: i32 = 3;
/// The signals that `term-signal` knows.
const SIGNALS: [i32; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGKILL, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM];

impl Units for Dinit {
    fn word(&self) -> &'static str {
        "dinit"
    }

    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File> {
        File::single(text(self, spec, given))
    }

    fn kept_path(&self, text: &str) -> Option<String> {
        let command = words_in(text.lines().find_map(|line| line.strip_prefix("command = "))?)?;
        command.iter().find_map(|word| word.strip_prefix("PATH=")).map(str::to_owned)
    }

    fn path(&self, scope: Scope, name: &str, dir: Option<&Path>, _: &Environment) -> Result<UnitPath, Error> {
        let folder = match (dir, scope) {
            (Some(dir), _) => dir.to_owned(),
            (None, Scope::System) => "/etc/dinit.d".into(),
            (None, Scope::User) => home()?.join(".config/dinit.d"),
        };
        Ok(UnitPath::file(folder.join(name)))
    }

    fn sets_limits(&self, _: Scope) -> bool {
        // `rlimit-nofile` knows no "at least".
        false
    }

    fn notification_fd(&self) -> Option<i32> {
        Some(READY_FD)
    }

    fn sends(&self, signal: i32) -> bool {
        SIGNALS.contains(&signal)
    }

    /// A service with an argument has `@` in its name: `NAME@ARGUMENT`.
    fn refusal(&self, name: &str) -> Option<&'static str> {
        name.contains('@').then_some("means a service with an argument to dinit")
    }

    fn command_in(&self, text: &str) -> Option<Started> {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
            lines.map(str::trim).next_back()
        };
        let folder = value("working-dir").map(PathBuf::from);
        Some(Started { argv: words_in(value("command")?)?, folder })
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

fn text(kind: &Dinit, spec: &UnitSpec, given: &Given) -> String {
    let mut environment: Vec<OsString> = vec!["/usr/bin/env".into(), format!("PATH={}", spec.search_path).into()];
    environment.extend(spec.made.state.iter().map(|state| format!("FORERUN_STATE_DIR={state}").into()));
    let ready = spec.health.as_ref().map(|_| {
        let number = spec.ready_fd.unwrap_or(READY_FD);
        format!("# Counts as started once the server is healthy: forerun's sidecar says so.\nready-notification = pipefd:{number}\n")
    });
    let user = spec.made.user.as_ref().map(|user| format!("# {}\nrun-as = {user}\n", spec.why_user()));
    let signal = if kind.sends(spec.ending.signal) { spec.ending.signal } else { libc::SIGTERM };
    format!(
        "\
# {name}, started by forerun. Written by 'forerun unit dinit'. To change it, edit forerun.toml or write it again
# with other flags: {install}
# {marker}
type = process
# forerun becomes the server, so this pid is the server's. forerun also sets its descriptor limit. PATH is that of the
# shell that created this file, without temporary folders.
command = {command}
{user}\
# HOME, USER and the like of the user, and the name of the service, by which 'forerun stop' names dinit's command.
load-options = export-passwd-vars export-service-name
{ready}\
# Without a limit: forerun ends by itself when a wait is over, and says why.
start-timeout = 0
# Start again after a pause. dinit gives up after three times in ten seconds (restart-limit-count), so that a 78, a mistake in
# the configuration, does not loop.
restart = true
restart-delay = 2
{undone}\
# The grace: seconds from this signal to SIGKILL. Both go to the whole process group.
term-signal = {signal}
stop-timeout = {grace}
# Output of forerun and the server. The folder must be there; logrotate(8) with copytruncate keeps it small.
logfile = {log}
logfile-permissions = 640
",
        name = spec.name,
        install = given.install_command,
        marker = given.marker,
        command = quoted(&[&environment[..], &given.argv].concat()),
        user = user.unwrap_or_default(),
        ready = ready.unwrap_or_default(),
        undone = given.undone.iter().map(|line| format!("# {line}\n")).collect::<String>(),
        signal = sys::signal_name(signal).trim_start_matches("SIG"),
        grace = spec.grace(),
        log = quoted_word(&log_file(spec).to_string_lossy()),
    )
}

fn log_file(spec: &UnitSpec) -> PathBuf {
    let folder = match spec.made.scope {
        Scope::System => Path::new("/var/log"),
        Scope::User => spec.path.unit.parent().unwrap_or(Path::new("/tmp")),
    };
    folder.join(format!("{}.log", spec.name))
}

/// A command line. A value ends with its line, so that words with control characters go through printf(1).
fn quoted(words: &[OsString]) -> String {
    let is_plain = |word: &OsString| word.to_str().is_some_and(|text| !text.contains(char::is_control));
    let words = if words.iter().all(is_plain) { words.to_vec() } else { through_printf(words) };
    words.iter().map(|word| quoted_word(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// One word: in double quotes where it has more than letters, with `$$` for `$`.
fn quoted_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '$' => quoted.push_str("$$"),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The words of a command line.
fn words_in(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut in_quotes) = (Vec::new(), None::<String>, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                in_quotes = !in_quotes;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            '$' if characters.peek() == Some(&'$') => {
                characters.next();
                word.get_or_insert_default().push('$');
            }
            c if c.is_whitespace() && !in_quotes => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (!in_quotes).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_read_as_it_was_written() {
        let words = ["/usr/bin/env", "PATH=/my bin:/bin", "$HOME", "a\"b\\c", "", "#", "it's", "\u{e9}"];
        let line = quoted(&words.map(OsString::from));
        assert_eq!(words_in(&line).expect("words"), words, "{line}");
        assert_eq!(quoted(&["a\nb".into()]).lines().count(), 1);
        assert_eq!(words_in("\"a"), None);
    }
}
