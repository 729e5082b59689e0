#![forbid(unsafe_code)]
//! `forerun unit`.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::{Arg, Command};

use super::definition::{command_arg, flag, option, path};
use super::flags::{StartFlags, check_args, grace_arg, health_args, on_conflict_arg, service_args, sidecar_args};
use super::output::output_args_without;
use super::parsed::Parsed;

/// The words of the supervisors that forerun writes units for.
pub type Kinds = &'static [&'static str];

/// What is done with a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitAction {
    Print,
    Diff,
    /// `now`: the service is started too.
    Install {
        now: bool,
    },
    Uninstall,
}

/// The manager that a unit is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitManager {
    /// `--user`.
    User,
    /// `--system`.
    System,
}

/// A unit of a service, and what is done with it.
#[derive(PartialEq, Debug)]
pub struct Unit {
    /// The word of a supervisor that forerun writes units for.
    pub kind: String,
    pub action: UnitAction,
    pub manager: Option<UnitManager>,
    pub dir: Option<PathBuf>,
    pub harden: bool,
    /// `--as USER`.
    pub run_as: Option<String>,
    pub force: bool,
    pub flags: StartFlags,
}

impl Unit {
    pub fn read(parsed: &Parsed) -> Self {
        let action = match (parsed.has("install"), parsed.has("uninstall"), parsed.has("diff")) {
            (true, ..) => UnitAction::Install { now: parsed.has("now") },
            (_, true, _) => UnitAction::Uninstall,
            (.., true) => UnitAction::Diff,
            (false, false, false) => UnitAction::Print,
        };
        let manager = match (parsed.has("user"), parsed.has("system")) {
            (true, _) => Some(UnitManager::User),
            (false, true) => Some(UnitManager::System),
            (false, false) => None,
        };
        Unit {
            // clap requires it.
            kind: parsed.one("kind").unwrap_or_default(),
            action,
            manager,
            dir: parsed.one("dir"),
            harden: parsed.has("harden"),
            run_as: parsed.one("as"),
            force: parsed.has("force"),
            flags: StartFlags::read(parsed),
        }
    }
}

pub fn define(command: Command, kinds: Kinds) -> Command {
    command
        .about("Print a unit for a supervisor, or install it")
        .after_help(
            "Examples:\n  forerun unit systemd\n  forerun unit launchd --install --now\n  \
             forerun unit systemd --name web --health http://127.0.0.1:8080/ --install -- python3 server.py",
        )
        .override_usage(format!("forerun unit {} [OPTIONS] [-- COMMAND [ARG]...]", kinds.join("|")))
        .arg(kind_arg(kinds))
        .defer(|c| {
            c.args(unit_args())
                .args(service_args())
                .args(check_args())
                .args(health_args())
                .args([on_conflict_arg(), grace_arg()])
                .args(sidecar_args())
                .args(output_args_without(&["no-progress"]))
                .arg(command_arg())
        })
}

/// The kinds of unit, as a sentence has them.
pub fn listed(kinds: Kinds) -> String {
    match kinds.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => kinds.concat(),
    }
}

fn kind_arg(kinds: Kinds) -> Arg {
    let kind = Arg::new("kind").value_name("KIND").required(true).value_parser(PossibleValuesParser::new(kinds));
    kind.hide_possible_values(true).help(listed(kinds))
}

fn unit_args() -> [Arg; 10] {
    [
        flag("install", "Write the unit where KIND reads it, and print what is left to do")
            .conflicts_with_all(["uninstall", "diff"]),
        flag("now", "With --install: start the service, and make sure that it runs").requires("install"),
        flag("uninstall", "Stop the service, and remove the unit").conflicts_with("diff"),
        flag("diff", "Show how the installed unit differs from today's"),
        flag("force", "Replace or remove a unit that was edited or is not forerun's").conflicts_with("diff"),
        flag("user", "Use this user's own manager").conflicts_with("system"),
        flag("system", "Use the system's manager [default for root]"),
        option("as", "USER", "Run the service as USER [default: who makes the unit, or calls sudo; FILE's owner]")
            .value_parser(NonEmptyStringValueParser::new())
            .conflicts_with_all(["user", "uninstall"]),
        path("dir", "DIR", "Put the unit into DIR [default: where KIND reads units]"),
        flag("harden", "systemd: add sandboxing; each line says what it may break"),
    ]
    .map(|a| a.help_heading("Unit"))
}
