#![forbid(unsafe_code)]
//! The options of all subcommands, one function for each group.

use clap::builder::{
    NonEmptyStringValueParser, OsStringValueParser, PathBufValueParser, PossibleValuesParser, TypedValueParser,
};
use clap::{Arg, ArgAction};

use super::types::{Color, Kinds, Notify, OnConflict};

pub fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

pub fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

pub fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(PathBufValueParser::new())
}

pub fn duration(name: &'static str, help: &'static str) -> Arg {
    option(name, "DUR", help).value_parser(crate::text::duration)
}

pub fn repeated(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).action(ArgAction::Append).value_parser(OsStringValueParser::new())
}

/// Accepts one of some words and yields what it stands for.
pub fn one_of<T: Copy + Send + Sync>(words: &'static [(&'static str, T)]) -> impl TypedValueParser<Value = T> {
    let meaning = |word: String| words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
    // Unknown words do not come this far.
    PossibleValuesParser::new(words.iter().map(|(word, _)| *word)).try_map(move |word| meaning(word).ok_or("unknown"))
}

pub fn mode_args() -> [Arg; 3] {
    [
        flag("foreground", "Become the server: same pid, no process left behind").conflicts_with("detach"),
        flag("detach", "Start the server in the background and wait until it is healthy"),
        flag("dry-run", "Print the mode and its reason, the checks and the exact command; run nothing"),
    ]
    .map(|a| a.help_heading("Mode"))
}

pub fn service_args() -> [Arg; 8] {
    [
        path("config", "FILE", "Read FILE [default: ./forerun.toml if there]"),
        option("name", "NAME", "Name the service [default: the folder's name]")
            .value_parser(OsStringValueParser::new()),
        path("cwd", "DIR", "Run the server in DIR"),
        repeated("env", "K=V", "Set a variable of the server's environment"),
        path("env-file", "FILE", "Read variables from FILE; the environment wins over it"),
        option("port", "N", "Guard port N [default: that of a loopback health URL; 0: none]")
            .value_parser(crate::text::port),
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
        option("health", "URL-or-CHECK", "The server is ready when this holds")
            .value_parser(OsStringValueParser::new()),
        duration("health-timeout", "Give the server this long to get healthy [default: 30s]"),
        option("health-body", "TEXT", "The answer must contain TEXT").value_parser(NonEmptyStringValueParser::new()),
        flag("insecure", "Accept any TLS certificate from the health URL"),
    ]
    .map(|a| a.help_heading("Health"))
}

/// The arguments that choose the instance of a subcommand.
pub fn instance_args() -> [Arg; 2] {
    let name = Arg::new("name").value_name("NAME|PID").value_parser(OsStringValueParser::new());
    [
        name.help("The service, or the pid of its server [default: the service of this folder]"),
        path("config", "FILE", "Take the service from FILE").help_heading("Service"),
    ]
}

pub fn grace_arg() -> Arg {
    duration("grace", "Give the server this long to stop [default: that of its start, else 10s]")
}

pub fn detached_args() -> [Arg; 5] {
    let on_conflict = option(
        "on-conflict",
        "standby|fail",
        "Name or port is taken: wait, or exit 75 [default: standby if supervised]",
    );
    [
        on_conflict.value_parser(one_of(&CONFLICTS)).hide_possible_values(true).help_heading("Conflict"),
        flag("replace", "Detached: stop the running instance first").help_heading("Conflict"),
        path("log", "FILE", "Append the server's output to FILE").help_heading("Detached"),
        flag("open", "Open the URL in a browser once the server is ready").help_heading("Detached"),
        duration("grace", "Give the server this long to stop [default: 10s]").help_heading("Detached"),
    ]
}

pub fn kind_arg(kinds: Kinds) -> Arg {
    let kind = Arg::new("kind").value_name("KIND").required(true).value_parser(PossibleValuesParser::new(kinds));
    kind.hide_possible_values(true).help(listed(kinds))
}

/// The kinds of unit, as a sentence has them.
pub fn listed(kinds: Kinds) -> String {
    match kinds.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => kinds.concat(),
    }
}

pub fn unit_args() -> [Arg; 10] {
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

const CONFLICTS: [(&str, OnConflict); 2] = [("standby", OnConflict::Standby), ("fail", OnConflict::Fail)];
const SPEAKERS: [(&str, Notify); 3] =
    [("auto", Notify::Auto), ("sidecar", Notify::Sidecar), ("server", Notify::Server)];

pub fn sidecar_args() -> [Arg; 3] {
    [
        option("notify", "WHO", "Who uses NOTIFY_SOCKET: auto, sidecar or server [default: auto]")
            .value_parser(one_of(&SPEAKERS))
            .hide_possible_values(true),
        option("ready-fd", "N", "Write a newline to descriptor N once the server is healthy (s6, dinit)")
            .value_parser(crate::text::whole_number::<i32>),
        flag("watch", "Watch the server's health, descriptors, terminals and processes"),
    ]
    .map(|a| a.help_heading("Sidecar"))
}

pub fn output_args() -> [Arg; 4] {
    [
        Arg::new("verbose").short('v').action(ArgAction::Count).help("Print more; twice for debugging"),
        Arg::new("quiet").short('q').action(ArgAction::SetTrue).help("Print only errors").conflicts_with("verbose"),
        flag("json", "Print the result as JSON"),
        flag("no-progress", "Do not draw progress lines"),
    ]
    .map(|a| a.help_heading("Output"))
}

/// Every command takes it, before its name and after.
pub fn color_arg() -> Arg {
    const WORDS: [(&str, Color); 3] = [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];
    option("color", "WHEN", "Use colors: auto, always or never [default: auto]")
        .value_parser(one_of(&WORDS))
        .hide_possible_values(true)
        .help_heading("Output")
        .global(true)
}

pub fn output_args_without(names: &[&str]) -> Vec<Arg> {
    output_args().into_iter().filter(|arg| !names.contains(&arg.get_id().as_str())).collect()
}

pub fn command_arg() -> Arg {
    Arg::new("command")
        .value_name("COMMAND")
        .help("The server and its arguments")
        .num_args(1..)
        .last(true)
        .hide(true)
        .value_parser(OsStringValueParser::new())
}
