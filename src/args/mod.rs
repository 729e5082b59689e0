#![forbid(unsafe_code)]
//! The command line: clap's definitions, and the plain values that parsing yields.

mod usage;

pub use usage::explain;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{
    NonEmptyStringValueParser, OsStringValueParser, PathBufValueParser, PossibleValuesParser, TypedValueParser,
};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What the command line asks for: a start, or a subcommand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Task {
    #[default]
    Start,
    Check,
    Status,
    Stop,
    Restart,
    Reload,
    Logs,
    Fds,
    Forget,
    Unit,
    Doctor,
    Man,
    Completions,
}

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

/// The command line, parsed but not yet understood.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    pub task: Task,
    pub foreground: bool,
    pub detach: bool,
    pub dry_run: bool,
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
    pub on_conflict: Option<String>,
    pub replace: bool,
    pub log: Option<PathBuf>,
    pub open: bool,
    pub grace: Option<Duration>,
    pub notify: Option<String>,
    pub ready_fd: Option<i32>,
    pub watch: bool,
    pub verbose: u8,
    pub quiet: bool,
    pub json: bool,
    pub no_progress: bool,
    pub color: Color,
    /// `stop --all`, `status --all`.
    pub all: bool,
    /// `logs -n`.
    pub lines: Option<usize>,
    /// `logs -f`.
    pub follow: bool,
    pub unit: UnitOptions,
    /// `completions SHELL`.
    pub shell: Option<Shell>,
    /// `completions --names`.
    pub names: bool,
    pub command: Vec<OsString>,
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

/// Parses the arguments, the program's name first.
///
/// # Errors
/// A usage error, or the text of `--help` and `--version`.
pub fn parse(args: Vec<OsString>, kinds: Kinds) -> Result<Options, clap::Error> {
    let mut definition = command(kinds);
    let matches = definition.try_get_matches_from_mut(args)?;
    let mut options = Options::default();
    options.take(&matches);
    let Some((name, of_subcommand)) = matches.subcommand() else { return Ok(options) };
    options.task = match name {
        "check" => Task::Check,
        "status" => Task::Status,
        "stop" => Task::Stop,
        "restart" => Task::Restart,
        "reload" => Task::Reload,
        "fds" => Task::Fds,
        "forget" => Task::Forget,
        "unit" => Task::Unit,
        "doctor" => Task::Doctor,
        "man" => Task::Man,
        "completions" => Task::Completions,
        _ => Task::Logs,
    };
    match options.task {
        Task::Check | Task::Doctor => {}
        Task::Unit => refuse_what_no_unit_has(&mut definition, &matches)?,
        _ => refuse_options_of_a_start(&mut definition, &matches, name)?,
    }
    options.take(of_subcommand);
    Ok(options)
}

/// The `--color` of a command line that cannot be parsed.
pub fn color(args: Vec<OsString>, kinds: Kinds) -> Color {
    let mut options = Options::default();
    if let Ok(matches) = command(kinds).ignore_errors(true).try_get_matches_from(args) {
        options.take(&matches);
    }
    options.color
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

/// The definitions of all options and subcommands.
pub fn command(kinds: Kinds) -> Command {
    without_server(kinds).arg(command_arg())
}

/// The definitions without COMMAND. Completions know a subcommand only where no operand can come before it.
pub fn without_server(kinds: Kinds) -> Command {
    let check = subcommand("check", "Run the requirements and waits and report; start nothing")
        .after_help("Example:\n  forerun check --require cmd:python3 --wait tcp:127.0.0.1:5432 --wait-timeout 5s")
        .defer(|c| c.args(service_args()).args(check_args()).args(output_args()).arg(command_arg()));
    let status =
        subcommand("status", "Show how an instance is, or all of them; exit 1 if one is not running or not healthy")
            .after_help("Examples:\n  forerun status webui --json\n  forerun status --all")
            .defer(|c| {
                let all = flag("all", "List all instances, even in the folder of a service").conflicts_with("name");
                c.args(instance_args()).arg(all).args(output_args_without(&["no-progress"]))
            });
    let stop = subcommand("stop", "Stop an instance: the stop signal, and SIGKILL after the grace")
        .after_help("Example:\n  forerun stop webui --grace 30s")
        .defer(|c| {
            let all = flag("all", "Also stop processes that left for a session of their own, such as a tmux server");
            c.args(instance_args()).arg(all).arg(grace_arg()).args(output_args_without(&["no-progress"]))
        });
    let restart =
        subcommand("restart", "Stop an instance and start it again with the same flags, folder and environment")
            .after_help("Example:\n  forerun restart webui")
            .defer(|c| c.args(instance_args()).arg(grace_arg()).args(output_args()));
    let reload = subcommand("reload", "Send the reload signal of an instance, SIGHUP, and wait until it is healthy")
        .after_help("Example:\n  forerun reload webui")
        .defer(|c| c.args(instance_args()).args(output_args()));
    let logs = subcommand("logs", "Show the last lines of an instance's log")
        .after_help("Example:\n  forerun logs webui -n 100 -f")
        .defer(|c| {
            let lines = Arg::new("lines").short('n').value_name("N").value_parser(crate::text::whole_number::<usize>);
            let follow = Arg::new("follow").short('f').action(ArgAction::SetTrue);
            c.args(instance_args())
                .arg(lines.help("Show N lines [default: 50]"))
                .arg(follow.help("Follow the log as it grows, across rotation"))
                .args(output_args_without(&["json", "no-progress"]))
        });
    let fds = subcommand("fds", "Show the file descriptors of a server by kind and by path")
        .after_help("Example:\n  forerun fds webui --json")
        .defer(|c| {
            let [name, config] = instance_args();
            let name = name.help("The service, or the pid of any process [default: the service of this folder]");
            c.args([name, config]).args(output_args_without(&["no-progress"]))
        });
    let forget = subcommand("forget", "Drop the record of an instance that does not run; keep its log")
        .after_help("Example:\n  forerun forget webui")
        .defer(|c| c.args(instance_args()).args(output_args_without(&["no-progress"])));
    let unit = subcommand("unit", "Print a unit for a supervisor, or install it")
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
                .args(
                    detached_args().into_iter().filter(|arg| ["on-conflict", "grace"].contains(&arg.get_id().as_str())),
                )
                .args(sidecar_args())
                .args(output_args_without(&["no-progress"]))
                .arg(command_arg())
        });
    let doctor = subcommand("doctor", "Explain this environment and find problems: mode, limits, units, conflicts")
        .after_help("Exits 1 if it finds a problem.\n\nExample:\n  forerun doctor --config /srv/web/forerun.toml")
        .defer(|c| {
            c.args(service_args())
                .args(check_args())
                .args(health_args())
                .args(sidecar_args())
                .args(output_args_without(&["no-progress"]))
                .arg(command_arg())
        });
    let man = subcommand("man", "Print the manual page")
        .after_help("Example:\n  forerun man >/usr/local/share/man/man1/forerun.1");
    let completions = subcommand("completions", "Print completions for a shell")
        .after_help("Example:\n  forerun completions bash >/etc/bash_completion.d/forerun")
        .defer(|c| {
            let shell = Arg::new("shell").value_name("SHELL").required_unless_present("names");
            let names = flag("names", "Print the names of your instances, one a line (the scripts call this)");
            c.arg(names.conflicts_with("shell")).arg(
                shell
                    .value_parser(one_of(&[("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)]))
                    .hide_possible_values(true)
                    .help("bash, zsh or fish"),
            )
        });
    Command::new("forerun")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Checks what a server needs, then becomes it: exec under a supervisor, detach in a terminal.")
        .override_usage(USAGE)
        .after_help(AFTER_HELP)
        .args(mode_args())
        .args(service_args())
        .args(check_args())
        .args(health_args())
        .args(detached_args())
        .args(sidecar_args())
        .args(output_args())
        .arg(color_arg())
        .subcommands([check, status, stop, restart, reload, logs, fds, forget, unit, doctor, man, completions])
}

fn subcommand(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).disable_version_flag(true)
}

pub const USAGE: &str = "\
forerun [OPTIONS] [-- COMMAND [ARG]...]
       forerun status|stop|restart|reload|logs|fds|forget [NAME|PID]
       forerun check|unit|doctor|man|completions|help [OPTIONS]";

pub const AFTER_HELP: &str = "\
CHECK is one of  cmd:NAME  file:PATH  dir:PATH  env:NAME  tcp:HOST:PORT  unix:PATH  http[s]://...
                 exec:COMMAND  free:[HOST:]PORT  fds:N  ptys:N    (headers, status, hints: forerun.toml)
DUR reads 500ms, 2s, 1m30s.

Examples:
  forerun --wait tcp:127.0.0.1:5432 --health http://127.0.0.1:8787/health -- python3 server.py
  forerun --foreground -- nginx -g 'daemon off;'

Exit codes: 0 done, healthy or already running, 1 died, not healthy or not running, 2 usage, 69 a wait timed out,
  73 state or log not writable, 75 conflict, 78 configuration, 126 not executable, 127 not found";

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(PathBufValueParser::new())
}

fn duration(name: &'static str, help: &'static str) -> Arg {
    option(name, "DUR", help).value_parser(crate::text::duration)
}

fn repeated(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).action(ArgAction::Append).value_parser(OsStringValueParser::new())
}

/// Accepts one of some words and yields what it stands for.
fn one_of<T: Copy + Send + Sync>(words: &'static [(&'static str, T)]) -> impl TypedValueParser<Value = T> {
    let meaning = |word: String| words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
    // Unknown words do not come this far.
    PossibleValuesParser::new(words.iter().map(|(word, _)| *word)).try_map(move |word| meaning(word).ok_or("unknown"))
}

fn mode_args() -> [Arg; 3] {
    [
        flag("foreground", "Become the server: same pid, no process left behind").conflicts_with("detach"),
        flag("detach", "Start the server in the background and wait until it is healthy"),
        flag("dry-run", "Print the mode and its reason, the checks and the exact command; run nothing"),
    ]
    .map(|a| a.help_heading("Mode"))
}

fn service_args() -> [Arg; 8] {
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

fn check_args() -> [Arg; 4] {
    [
        repeated("require", "CHECK", "Start only if CHECK holds now"),
        repeated("wait", "CHECK", "Wait until CHECK holds; all waits run at once"),
        duration("wait-timeout", "Give each wait this long [default: 60s]"),
        flag("no-fix", "Do not run the fixes of requirements that do not hold"),
    ]
    .map(|a| a.help_heading("Checks"))
}

fn health_args() -> [Arg; 4] {
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
fn instance_args() -> [Arg; 2] {
    let name = Arg::new("name").value_name("NAME|PID").value_parser(OsStringValueParser::new());
    [
        name.help("The service, or the pid of its server [default: the service of this folder]"),
        path("config", "FILE", "Take the service from FILE").help_heading("Service"),
    ]
}

fn grace_arg() -> Arg {
    duration("grace", "Give the server this long to stop [default: that of its start, else 10s]")
}

fn detached_args() -> [Arg; 5] {
    let on_conflict = option(
        "on-conflict",
        "standby|fail",
        "Name or port is taken: wait, or exit 75 [default: standby if supervised]",
    );
    [
        on_conflict.value_parser(["standby", "fail"]).hide_possible_values(true).help_heading("Conflict"),
        flag("replace", "Detached: stop the running instance first").help_heading("Conflict"),
        path("log", "FILE", "Append the server's output to FILE").help_heading("Detached"),
        flag("open", "Open the URL in a browser once the server is ready").help_heading("Detached"),
        duration("grace", "Give the server this long to stop [default: 10s]").help_heading("Detached"),
    ]
}

fn kind_arg(kinds: Kinds) -> Arg {
    let kind = Arg::new("kind").value_name("KIND").required(true).value_parser(PossibleValuesParser::new(kinds));
    kind.hide_possible_values(true).help(listed(kinds))
}

/// The kinds of unit, as a sentence has them.
fn listed(kinds: Kinds) -> String {
    match kinds.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => kinds.concat(),
    }
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

fn sidecar_args() -> [Arg; 3] {
    [
        option("notify", "WHO", "Who uses NOTIFY_SOCKET: auto, sidecar or server [default: auto]")
            .value_parser(["auto", "sidecar", "server"])
            .hide_possible_values(true),
        option("ready-fd", "N", "Write a newline to descriptor N once the server is healthy (s6, dinit)")
            .value_parser(crate::text::whole_number::<i32>),
        flag("watch", "Watch the server's health, descriptors, terminals and processes"),
    ]
    .map(|a| a.help_heading("Sidecar"))
}

fn output_args() -> [Arg; 4] {
    [
        Arg::new("verbose").short('v').action(ArgAction::Count).help("Print more; twice for debugging"),
        Arg::new("quiet").short('q').action(ArgAction::SetTrue).help("Print only errors").conflicts_with("verbose"),
        flag("json", "Print the result as JSON"),
        flag("no-progress", "Do not draw progress lines"),
    ]
    .map(|a| a.help_heading("Output"))
}

/// Every command takes it, before its name and after.
fn color_arg() -> Arg {
    const WORDS: [(&str, Color); 3] = [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];
    option("color", "WHEN", "Use colors: auto, always or never [default: auto]")
        .value_parser(one_of(&WORDS))
        .hide_possible_values(true)
        .help_heading("Output")
        .global(true)
}

fn output_args_without(names: &[&str]) -> Vec<Arg> {
    output_args().into_iter().filter(|arg| !names.contains(&arg.get_id().as_str())).collect()
}

fn command_arg() -> Arg {
    Arg::new("command")
        .value_name("COMMAND")
        .help("The server and its arguments")
        .num_args(1..)
        .last(true)
        .hide(true)
        .value_parser(OsStringValueParser::new())
}

impl Options {
    /// Takes what `matches` has. An option after the subcommand wins over one before it.
    fn take(&mut self, matches: &ArgMatches) {
        let m = matches;
        self.foreground |= has(m, "foreground");
        self.detach |= has(m, "detach");
        self.dry_run |= has(m, "dry-run");
        one(m, "config", &mut self.config);
        one(m, "name", &mut self.name);
        one(m, "cwd", &mut self.cwd);
        many(m, "env", &mut self.env);
        one(m, "env-file", &mut self.env_file);
        one(m, "port", &mut self.port);
        one(m, "nofile", &mut self.nofile);
        self.close_fds |= has(m, "close-fds");
        many(m, "require", &mut self.require);
        many(m, "wait", &mut self.wait);
        one(m, "wait-timeout", &mut self.wait_timeout);
        self.no_fix |= has(m, "no-fix");
        one(m, "health", &mut self.health);
        one(m, "health-timeout", &mut self.health_timeout);
        one(m, "health-body", &mut self.health_body);
        self.insecure |= has(m, "insecure");
        one(m, "on-conflict", &mut self.on_conflict);
        self.replace |= has(m, "replace");
        one(m, "log", &mut self.log);
        self.open |= has(m, "open");
        one(m, "grace", &mut self.grace);
        one(m, "notify", &mut self.notify);
        one(m, "ready-fd", &mut self.ready_fd);
        self.watch |= has(m, "watch");
        self.verbose += m.try_get_one("verbose").ok().flatten().copied().unwrap_or(0);
        self.quiet |= has(m, "quiet");
        self.json |= has(m, "json");
        self.no_progress |= has(m, "no-progress");
        if let Some(color) = m.try_get_one("color").ok().flatten() {
            self.color = *color;
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
        many(m, "command", &mut self.command);
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
    #[test]
    fn the_definitions_are_sound() {
        super::command(&["a", "b"]).help_expected(true).debug_assert();
    }
}
