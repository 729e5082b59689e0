#![forbid(unsafe_code)]
//! Turns what clap has matched into a [`Request`].

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::definition::command;
use super::types::{
    Color, Completions, Kinds, Logs, Output, Request, Restart, Shell, Start, StartFlags, Status, Stop, Unit,
    UnitOptions, Which,
};

/// All options that were given, before it is known whose they are.
#[derive(Default)]
struct Raw {
    flags: StartFlags,
    output: Output,
    dry_run: bool,
    all: bool,
    lines: Option<usize>,
    follow: bool,
    unit: UnitOptions,
    shell: Option<Shell>,
    names: bool,
}

/// Parses the arguments, the program's name first.
///
/// # Errors
/// A usage error, or the text of `--help` and `--version`.
pub fn parse(args: Vec<OsString>, kinds: Kinds) -> Result<Request, clap::Error> {
    let mut definition = command(kinds);
    let matches = definition.try_get_matches_from_mut(args)?;
    let mut raw = Raw::default();
    raw.take(&matches);
    let Some((name, of_subcommand)) = matches.subcommand() else { return Ok(Request::Start(raw.start())) };
    match name {
        "check" | "doctor" => {}
        "unit" => refuse_what_no_unit_has(&mut definition, &matches)?,
        _ => refuse_options_of_a_start(&mut definition, &matches, name)?,
    }
    raw.take(of_subcommand);
    raw.request(name).ok_or_else(|| definition.error(clap::error::ErrorKind::InvalidSubcommand, name))
}

/// The `--color` of a command line that cannot be parsed.
pub fn color(args: Vec<OsString>, kinds: Kinds) -> Color {
    let mut raw = Raw::default();
    if let Ok(matches) = command(kinds).ignore_errors(true).try_get_matches_from(args) {
        raw.take(&matches);
    }
    raw.output.color
}

/// Rejects options of a start before a subcommand that starts nothing: they would have no effect.
fn refuse_options_of_a_start(definition: &mut Command, matches: &ArgMatches, name: &str) -> Result<(), clap::Error> {
    const OF_ALL: [&str; 7] = ["config", "name", "verbose", "quiet", "json", "no-progress", "color"];
    let given = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    match matches.ids().filter(given).find(|id| !OF_ALL.contains(&id.as_str())) {
        None => Ok(()),
        Some(id) => {
            let message = format!("'--{id}' is an option of a start; 'forerun {name}' does not take it");
            Err(definition.error(clap::error::ErrorKind::ArgumentConflict, message))
        }
    }
}

/// Rejects options that only make sense by hand: a unit describes a start under its supervisor.
fn refuse_what_no_unit_has(definition: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let given = |id: &&&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    match ["foreground", "detach", "dry-run", "replace", "log", "open"].iter().find(given) {
        None => Ok(()),
        Some(id) => {
            let message = format!("'--{id}' is an option of a start by hand; a unit does not have it");
            Err(definition.error(clap::error::ErrorKind::ArgumentConflict, message))
        }
    }
}

impl Raw {
    fn start(self) -> Start {
        Start { flags: self.flags, dry_run: self.dry_run, output: self.output }
    }

    /// The request of a subcommand. `None` for a name that is none.
    fn request(self, name: &str) -> Option<Request> {
        let which = || Which { name: self.flags.name.clone(), config: self.flags.config.clone() };
        let (all, grace, output) = (self.all, self.flags.grace, self.output);
        Some(match name {
            "check" => Request::Check(self.start()),
            "status" => Request::Status(Status { which: which(), all, output }),
            "stop" => Request::Stop(Stop { which: which(), all, grace, output }),
            "restart" => Request::Restart(Restart { which: which(), grace, output }),
            "reload" => Request::Reload(which(), output),
            "logs" => Request::Logs(Logs { which: which(), lines: self.lines, follow: self.follow, output }),
            "fds" => Request::Fds(which(), output),
            "forget" => Request::Forget(which(), output),
            "unit" => Request::Unit(Unit { unit: self.unit, flags: self.flags, output }),
            "doctor" => Request::Doctor(self.start()),
            "man" => Request::Man,
            "completions" => Request::Completions(Completions { shell: self.shell, names: self.names, output }),
            _ => return None,
        })
    }

    /// Takes what `matches` has. An option after the subcommand wins over one before it.
    fn take(&mut self, matches: &ArgMatches) {
        let m = matches;
        self.flags.foreground |= has(m, "foreground");
        self.flags.detach |= has(m, "detach");
        self.dry_run |= has(m, "dry-run");
        one(m, "config", &mut self.flags.config);
        one(m, "name", &mut self.flags.name);
        one(m, "cwd", &mut self.flags.cwd);
        many(m, "env", &mut self.flags.env);
        one(m, "env-file", &mut self.flags.env_file);
        one(m, "port", &mut self.flags.port);
        one(m, "nofile", &mut self.flags.nofile);
        self.flags.close_fds |= has(m, "close-fds");
        many(m, "require", &mut self.flags.require);
        many(m, "wait", &mut self.flags.wait);
        one(m, "wait-timeout", &mut self.flags.wait_timeout);
        self.flags.no_fix |= has(m, "no-fix");
        one(m, "health", &mut self.flags.health);
        one(m, "health-timeout", &mut self.flags.health_timeout);
        one(m, "health-body", &mut self.flags.health_body);
        self.flags.insecure |= has(m, "insecure");
        one(m, "on-conflict", &mut self.flags.on_conflict);
        self.flags.replace |= has(m, "replace");
        one(m, "log", &mut self.flags.log);
        self.flags.open |= has(m, "open");
        one(m, "grace", &mut self.flags.grace);
        one(m, "notify", &mut self.flags.notify);
        one(m, "ready-fd", &mut self.flags.ready_fd);
        self.flags.watch |= has(m, "watch");
        self.output.verbose += m.try_get_one("verbose").ok().flatten().copied().unwrap_or(0);
        self.output.quiet |= has(m, "quiet");
        self.output.json |= has(m, "json");
        self.output.no_progress |= has(m, "no-progress");
        if let Some(color) = m.try_get_one("color").ok().flatten() {
            self.output.color = *color;
        }
        self.all |= has(m, "all");
        one(m, "lines", &mut self.lines);
        self.follow |= has(m, "follow");
        one(m, "shell", &mut self.shell);
        self.names |= has(m, "names");
        one(m, "kind", &mut self.unit.kind);
        self.unit.user |= has(m, "user");
        self.unit.system |= has(m, "system");
        one(m, "dir", &mut self.unit.dir);
        self.unit.harden |= has(m, "harden");
        one(m, "as", &mut self.unit.run_as);
        self.unit.install |= has(m, "install");
        self.unit.now |= has(m, "now");
        self.unit.uninstall |= has(m, "uninstall");
        self.unit.diff |= has(m, "diff");
        self.unit.force |= has(m, "force");
        many(m, "command", &mut self.flags.command);
    }
}

fn has(matches: &ArgMatches, name: &str) -> bool {
    matches.try_get_one(name).ok().flatten().copied().unwrap_or(false)
}

fn one<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str, value: &mut Option<T>) {
    if let Some(given) = matches.try_get_one::<T>(name).ok().flatten() {
        *value = Some(given.clone());
    }
}

fn many(matches: &ArgMatches, name: &str, values: &mut Vec<OsString>) {
    if let Some(given) = matches.try_get_many::<OsString>(name).ok().flatten() {
        values.extend(given.cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subcommand_is_a_request() {
        for subcommand in command(&["systemd"]).get_subcommands() {
            let name = subcommand.get_name();
            assert!(Raw::default().request(name).is_some(), "{name} is forgotten");
        }
    }
}
