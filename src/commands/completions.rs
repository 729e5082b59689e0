#![forbid(unsafe_code)]
//! `forerun completions`: scripts for shells, made from the definitions of the command line, and the names of
//! instances that the scripts ask for at each TAB.

use clap::Command;
use clap_complete::aot::{Bash, Fish, Zsh, generate};

use crate::args::{self, Completions, Shell};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::state;
use crate::line::print_result;
use crate::service::is_name;
use crate::supervisor;

/// How the scripts get the names. What goes wrong is no concern of somebody who types.
const NAMES: &str = "forerun completions --names 2>/dev/null";

/// Prints the completions of a shell, or the names.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(asked: Completions, environment: &Environment) -> Result<(), Error> {
    let shell = match asked {
        Completions::Names => return print_result(names(environment).as_bytes()),
        Completions::Script(shell) => shell,
    };
    let mut definition = args::without_server(supervisor::unit_words());
    definition.build();
    let script = match shell {
        Shell::Zsh => zsh(&mut definition),
        Shell::Fish => fish(&mut definition),
        Shell::Bash => bash(&mut definition),
    };
    print_result(script.as_bytes())
}

/// The names of this user's instances, one a line. Nothing is looked at but their folders: it is for a keystroke.
fn names(environment: &Environment) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let Ok(root) = state::root(environment, &here) else { return String::new() };
    // A lock alone is left of what was forgotten.
    let has = |name: &str, file: &str| root.join(name).join(file).is_file();
    let names = state::names(&root).unwrap_or_default().into_iter().filter(|name| is_name(name));
    let known = names.filter(|name| has(name, "record.json") || has(name, "server.log"));
    known.map(|name| name + "\n").collect()
}

fn generated(shell: impl clap_complete::aot::Generator, definition: &mut Command) -> String {
    let mut script = Vec::new();
    generate(shell, definition, "forerun", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The subcommands that are about an instance.
fn about_instances(definition: &Command) -> impl Iterator<Item = &Command> {
    let takes_name = |c: &&Command| c.get_positionals().any(|arg| arg.get_id() == "name");
    definition.get_subcommands().filter(takes_name)
}

fn joined(definition: &Command, between: &str) -> String {
    about_instances(definition).map(Command::get_name).collect::<Vec<_>>().join(between)
}

fn bash(definition: &mut Command) -> String {
    let script = generated(Bash, definition);
    let with_value = |c: &Command| -> Vec<String> {
        let args: Vec<_> = c.get_opts().filter(|arg| arg.get_action().takes_values()).collect();
        let long = args.iter().filter_map(|arg| Some(format!("--{}", arg.get_long()?)));
        let short = args.iter().filter_map(|arg| Some(format!("-{}", arg.get_short()?)));
        long.chain(short).collect()
    };
    let mut options: Vec<String> = about_instances(definition).flat_map(with_value).collect();
    options.sort();
    options.dedup();
    let (options, commands) = (options.join("|"), joined(definition, "|"));
    // The generated function knows no names. The one around it does, and is what TAB calls.
    let script = script.replace("complete -F _forerun ", "complete -F _forerun_or_names ");
    format!(
        r#"_forerun_or_names() {{
    _forerun "$@"
    local cur="${{COMP_WORDS[COMP_CWORD]}}" word names
    case "${{cur}}" in -*) return 0 ;; esac
    case "${{COMP_WORDS[COMP_CWORD-1]}}" in {options}) return 0 ;; esac
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "${{word}}" in
            --) return 0 ;;
            {commands})
                names=$({NAMES})
                COMPREPLY=($(compgen -W "${{names}}" -- "${{cur}}"))
                compopt +o default +o bashdefault 2>/dev/null
                return 0 ;;
        esac
    done
}}

{script}"#
    )
}

fn zsh(definition: &mut Command) -> String {
    let script = generated(Zsh, definition);
    let line = |line: &str| match line.strip_suffix(":_default' \\").filter(|_| line.starts_with("'::name -- ")) {
        Some(argument) => format!("{argument}:_forerun_names' \\\n"),
        None => format!("{line}\n"),
    };
    let function = format!(
        r#"(( $+functions[_forerun_names] )) ||
_forerun_names() {{
    local -a names; names=(${{(f)"$(_call_program names {NAMES})"}})
    _describe -t names 'instance' names
}}

"#
    );
    let script: String = script.lines().map(line).collect();
    let (functions, end) = script.split_once("if [ \"$funcstack[1]\"").unwrap_or((&script, ""));
    format!("{functions}{function}if [ \"$funcstack[1]\"{end}")
}

fn fish(definition: &mut Command) -> String {
    let script = generated(Fish, definition);
    let commands = joined(definition, " ");
    format!("{script}complete -c forerun -n \"__fish_forerun_using_subcommand {commands}\" -f -k -a \"({NAMES})\"\n")
}
