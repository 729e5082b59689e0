#![forbid(unsafe_code)]
//! The command line: clap's definitions, and the plain values that parsing yields. Each subcommand has a struct of its
//! own, in a file with its definition.
//!
//! The contract: docs/reference.md, sections 2 and 3.

mod argv;
mod by_hand;
mod check;
mod completions;
mod definition;
mod doctor;
mod env_file;
mod fds;
mod flags;
mod forget;
mod logs;
mod man;
mod output;
mod parsed;
mod reload;
mod restart;
mod schema;
mod start;
mod status;
mod stop;
mod unit;
mod usage;
mod which;

pub use by_hand::{AskedMode, ByHand};
pub use check::Check;
pub use completions::{Completions, Shell};
pub use doctor::Doctor;
pub use env_file::EnvFile;
pub use fds::Fds;
pub use flags::{OnConflict, Speaker, StartFlags};
pub use forget::Forget;
pub use logs::Logs;
pub use man::Page;
pub use output::{Color, Output};
pub use reload::Reload;
pub use restart::Restart;
pub use start::Start;
pub use status::Status;
pub use stop::Stop;
pub use unit::{Kinds, Unit, UnitAction, UnitManager};
pub use usage::explain;
pub use which::Which;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use parsed::Parsed;

/// What the command line asks for: a start, or a subcommand.
#[derive(PartialEq, Debug)]
pub enum Task {
    Start(Start),
    Check(Check),
    Status(Status),
    Stop(Stop),
    Restart(Restart),
    Reload(Reload),
    Logs(Logs),
    Fds(Fds),
    Forget(Forget),
    Unit(Unit),
    Doctor(Doctor),
    Man(Page),
    Schema,
    Completions(Completions),
}

/// A command line that was parsed.
#[derive(PartialEq, Debug)]
pub struct CommandLine {
    pub output: Output,
    pub task: Task,
}

/// Which options of a start may come before the name of a subcommand.
#[derive(Clone, Copy)]
enum Before {
    /// All of them: it looks at what a start would do.
    All,
    /// Those that a unit can have.
    NotByHand,
    /// Those that choose an instance. The others would have no effect.
    Instance,
}

/// A subcommand: its name, what may come before it, its definition, and how it is read. They are one row, so that none
/// can have only some of them.
struct Subcommand(&'static str, Before, fn(Command, Kinds) -> Command, fn(&Parsed) -> Task);

/// All subcommands, in the order of the help.
const SUBCOMMANDS: [Subcommand; 13] = [
    Subcommand("check", Before::All, |c, _| check::define(c), |p| Task::Check(Check::read(p))),
    Subcommand("status", Before::Instance, |c, _| status::define(c), |p| Task::Status(Status::read(p))),
    Subcommand("stop", Before::Instance, |c, _| stop::define(c), |p| Task::Stop(Stop::read(p))),
    Subcommand("restart", Before::Instance, |c, _| restart::define(c), |p| Task::Restart(Restart::read(p))),
    Subcommand("reload", Before::Instance, |c, _| reload::define(c), |p| Task::Reload(Reload::read(p))),
    Subcommand("logs", Before::Instance, |c, _| logs::define(c), |p| Task::Logs(Logs::read(p))),
    Subcommand("fds", Before::Instance, |c, _| fds::define(c), |p| Task::Fds(Fds::read(p))),
    Subcommand("forget", Before::Instance, |c, _| forget::define(c), |p| Task::Forget(Forget::read(p))),
    Subcommand("unit", Before::NotByHand, unit::define, |p| Task::Unit(Unit::read(p))),
    Subcommand("doctor", Before::All, |c, _| doctor::define(c), |p| Task::Doctor(Doctor::read(p))),
    Subcommand("man", Before::Instance, |c, _| man::define(c), |p| Task::Man(Page::read(p))),
    Subcommand("schema", Before::Instance, |c, _| schema::define(c), |_| Task::Schema),
    Subcommand(
        "completions",
        Before::Instance,
        |c, _| completions::define(c),
        |p| Task::Completions(Completions::read(p)),
    ),
];

/// Parses the arguments, the program's name first.
///
/// # Errors
/// A usage error, or the text of `--help` and `--version`.
pub fn parse(args: Vec<OsString>, kinds: Kinds) -> Result<CommandLine, clap::Error> {
    let mut definition = command(kinds);
    let matches = definition.try_get_matches_from_mut(args)?;
    let subcommand = matches.subcommand();
    let parsed = Parsed::new(&matches, subcommand.map(|(_, after)| after));
    let row = subcommand.and_then(|(name, _)| SUBCOMMANDS.iter().find(|row| row.0 == name));
    let task = match row {
        None => Task::Start(Start::read(&parsed)),
        Some(Subcommand(name, before, _, read)) => {
            refuse_without_effect(&mut definition, &matches, name, *before)?;
            read(&parsed)
        }
    };
    Ok(CommandLine { output: Output::read(&parsed), task })
}

/// Parses the arguments of a start, the program's name first.
///
/// # Errors
/// Why they are those of no start, in one line.
pub fn parse_start(args: Vec<OsString>) -> Result<Start, String> {
    match parse(args, &[]) {
        Ok(CommandLine { task: Task::Start(start), .. }) => Ok(start),
        Ok(_) => Err("it is not a start".to_owned()),
        Err(e) => Err(crate::text::one_line(e.to_string().lines().next().unwrap_or_default())),
    }
}

/// The `--color` of a command line that cannot be parsed.
pub fn color(args: Vec<OsString>, kinds: Kinds) -> Color {
    let matches = command(kinds).ignore_errors(true).try_get_matches_from(args);
    matches.map_or_else(|_| Color::default(), |matches| Output::read(&Parsed::new(&matches, None)).color)
}

/// Rejects options before a subcommand that would have no effect there.
fn refuse_without_effect(
    definition: &mut Command,
    matches: &ArgMatches,
    name: &str,
    before: Before,
) -> Result<(), clap::Error> {
    const OF_ALL: [&str; 7] = ["config", "name", "verbose", "quiet", "json", "no-progress", "color"];
    let is_given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let message = match before {
        Before::All => None,
        Before::NotByHand => by_hand::NAMES
            .into_iter()
            .find(is_given)
            .map(|id| format!("'--{id}' is an option of a start by hand; a unit does not have it")),
        Before::Instance => matches
            .ids()
            .map(clap::Id::as_str)
            .filter(is_given)
            .find(|id| !OF_ALL.contains(id))
            .map(|id| format!("'--{id}' is an option of a start; 'forerun {name}' does not take it")),
    };
    message.map_or(Ok(()), |message| Err(definition.error(ErrorKind::ArgumentConflict, message)))
}

/// The definitions of all options and subcommands.
pub fn command(kinds: Kinds) -> Command {
    without_server(kinds).arg(definition::command_arg())
}

/// The definitions without COMMAND. Completions know a subcommand only where no operand can come before it.
pub fn without_server(kinds: Kinds) -> Command {
    let subcommands =
        SUBCOMMANDS.map(|Subcommand(name, _, define, _)| define(Command::new(name).disable_version_flag(true), kinds));
    let whole = Command::new("forerun")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Checks what a server needs, then becomes it: exec under a supervisor, detach in a terminal.")
        .override_usage(USAGE)
        .after_help(AFTER_HELP);
    start::define(whole).arg(output::color_arg()).subcommands(subcommands)
}

pub const USAGE: &str = "\
forerun [OPTIONS] [-- COMMAND [ARG]...]
       forerun status|stop|restart|reload|logs|fds|forget [NAME|PID]
       forerun check|unit|doctor|man|completions|help [OPTIONS]";

pub const AFTER_HELP: &str = "\
CHECK is one of  cmd:NAME  file:PATH  dir:PATH  env:NAME  tcp:HOST:PORT  unix:PATH  http[s]://...  service:NAME
  http+unix:PATH:/URL  postgres://HOST  mysql://HOST  redis[s]://HOST  grpc[s]://HOST:PORT  dns:NAME
  exec:COMMAND  free:[HOST:]PORT  fds:N  ptys:N  and, as health, notify:  log:REGEX
  Keys go behind it: 'http://HOST/ status=200 body=ok headers.X=y timeout=5s'. DUR reads 500ms, 2s, 1m30s.

Example:
  forerun --wait tcp:127.0.0.1:5432 --health http://127.0.0.1:8787/health -- python3 server.py

Exit codes: 0 done, healthy or already running, 1 died, not healthy or not running, 2 usage, 69 a wait timed out,
  73 state or log not writable, 75 conflict, 78 configuration, 126 not executable, 127 not found";

#[cfg(test)]
mod tests;
