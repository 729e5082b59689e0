#![forbid(unsafe_code)]
//! Turns a mistake on the command line into one line that says what to type instead.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::unit::{Kinds, listed};
use crate::text::{nearest, one_line, quoted, shell_words};

/// Words that other tools have for a start. forerun has none: it starts when no subcommand is given.
const STARTS: [&str; 8] = ["start", "run", "exec", "up", "launch", "daemon", "serve", "wait"];

/// Words that other tools have for commands of forerun.
const OF_OTHERS: [(&[&str], &str); 5] = [
    (&["ps", "ls", "list", "info", "show"], "status"),
    (&["kill", "down", "end", "quit"], "stop"),
    (&["bounce"], "restart"),
    (&["hup", "refresh"], "reload"),
    (&["log", "tail", "journal"], "logs"),
];

/// The message for `error`, which parsing `args` (the program's name first) gave.
pub fn explain(error: &clap::Error, args: &[OsString], kinds: Kinds) -> String {
    let mut definition = super::command(kinds);
    definition.build();
    let place = Place::find(args, &definition);
    let invalid = text_of(error, ContextKind::InvalidArg).or_else(|| text_of(error, ContextKind::InvalidSubcommand));
    let message = match (error.kind(), invalid) {
        (ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand, Some(word)) => unknown(&word, args, &place),
        (ErrorKind::MissingRequiredArgument, Some(missing)) => missing_argument(&missing, error, kinds),
        _ => first_line(error),
    };
    one_line(&format!("{message}; see '{}'", place.help()))
}

/// The part of the command line that an error is about.
struct Place<'a> {
    definition: &'a Command,
    /// Its subcommand, where there is one.
    subcommand: Option<&'a Command>,
}

impl<'a> Place<'a> {
    /// Looks for the subcommand as clap does: the first word that is neither an option nor an option's value.
    fn find(args: &[OsString], definition: &'a Command) -> Self {
        let mut rest = args.iter().skip(1);
        while let Some(word) = rest.next() {
            let word = word.to_string_lossy();
            if let Some(subcommand) = definition.find_subcommand(word.as_ref()) {
                return Place { definition, subcommand: Some(subcommand) };
            }
            if word == "--" || !word.starts_with('-') {
                break;
            }
            if option_of(definition, &word).is_some_and(takes_value) && !word.contains('=') {
                rest.next();
            }
        }
        Place { definition, subcommand: None }
    }

    fn command(&self) -> &'a Command {
        self.subcommand.unwrap_or(self.definition)
    }

    fn help(&self) -> String {
        match self.subcommand {
            Some(command) if command.get_name() != "help" => format!("forerun {} --help", command.get_name()),
            _ => "forerun --help".to_owned(),
        }
    }

    /// The subcommand that a word is a misspelling of.
    fn nearest_command(&self, word: &str) -> Option<&'a str> {
        nearest(word, self.definition.get_subcommands().map(Command::get_name))
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// The option that a word such as `--name` or `--name=x` stands for.
fn option_of<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let word = word.split('=').next().unwrap_or_default();
    command.get_arguments().find(|arg| match (word.strip_prefix("--"), word.strip_prefix('-')) {
        (Some(long), _) => arg.get_long() == Some(long),
        (None, Some(short)) => arg.get_short().is_some_and(|known| short == known.to_string()),
        (None, None) => false,
    })
}

/// A word that nothing on the command line is called.
fn unknown(word: &str, args: &[OsString], place: &Place) -> String {
    match word.starts_with('-') {
        true => unknown_option(word, args, place),
        false => unknown_word(word, args, place),
    }
}

fn unknown_option(word: &str, args: &[OsString], place: &Place) -> String {
    let option = word.split('=').next().unwrap_or_default();
    let (shown, name) = (quoted(option), option.trim_start_matches('-'));
    let has = |command: &Command, name: &str| command.get_arguments().any(|arg| arg.get_long() == Some(name));
    // `-name` is `-n` to clap.
    let whole =
        args.iter().map(|arg| arg.to_string_lossy()).find(|arg| !arg.starts_with("--") && arg.starts_with(word));
    let long = whole.as_ref().and_then(|arg| arg.strip_prefix('-')).filter(|name| name.len() > 1);
    if let Some(known) = long.filter(|name| has(place.command(), name)) {
        return format!("unknown option '-{known}'; did you mean '--{known}'?");
    }
    let what = match place.subcommand {
        Some(command) => format!("'forerun {}' has no option {shown}", command.get_name()),
        None => format!("unknown option {shown}"),
    };
    let known = place.command().get_arguments().filter_map(Arg::get_long);
    if let Some(near) = nearest(name, known) {
        return format!("{what}; did you mean '--{near}'?");
    }
    let other = place.definition.get_subcommands().find(|command| has(command, name));
    match (place.subcommand, other) {
        (None, Some(other)) => format!("{what}; it is an option of 'forerun {}'", other.get_name()),
        (Some(_), _) if has(place.definition, name) => format!("{what}; it is an option of a start"),
        _ => what,
    }
}

fn unknown_word(word: &str, args: &[OsString], place: &Place) -> String {
    let shown = quoted(word);
    if place.command().get_name() == "help" {
        let near = place.nearest_command(word).map(|near| format!("; did you mean 'forerun {near}'?"));
        return format!("{shown} is not a command of forerun{}", near.unwrap_or_default());
    }
    let takes_command = place.command().get_arguments().any(|arg| arg.get_id() == "command");
    if !takes_command {
        return format!("{shown} is one word too many");
    }
    if place.subcommand.is_none() {
        if word == "version" {
            return format!("{shown} is not a command of forerun; type 'forerun --version'");
        }
        if STARTS.contains(&word) {
            return format!(
                "{shown} is not a command of forerun, a start needs none; type 'forerun -- COMMAND', \
                 or only 'forerun' where forerun.toml says the command"
            );
        }
        let other = OF_OTHERS.iter().find(|(words, _)| words.contains(&word)).map(|(_, known)| *known);
        if let Some(near) = other.or_else(|| place.nearest_command(word)) {
            return format!("{shown} is not a command of forerun; did you mean 'forerun {near}'?");
        }
        if word.ends_with(".toml") {
            return format!("a file is given with --config; type: forerun --config {}", shell_words(&[word]));
        }
    }
    // A dash that a word processor made longer.
    if let Some(name) = word.strip_prefix(['\u{2013}', '\u{2014}']) {
        return format!("{shown} begins with a long dash; type --{}", name.trim_start_matches('-'));
    }
    format!("the server's command comes after '--'; type: {}", with_dashes(word, args))
}

/// The command line with `--` before the first word of the server's command.
fn with_dashes(word: &str, args: &[OsString]) -> String {
    let at = args.iter().skip(1).position(|arg| arg.to_string_lossy() == word).map_or(args.len(), |at| at + 1);
    let (before, command) = args.split_at(at);
    let words = before.iter().skip(1).map(OsString::as_os_str);
    let command = command.iter().map(OsString::as_os_str).filter(|word| *word != "--");
    let dashes = [OsStr::new("--")];
    let all: Vec<_> = [OsStr::new("forerun")].into_iter().chain(words).chain(dashes).chain(command).collect();
    shell_words(&all)
}

fn missing_argument(missing: &str, error: &clap::Error, kinds: Kinds) -> String {
    match missing {
        "<KIND>" => format!("no kind of unit was given; say {}", listed(kinds)),
        "<SHELL>" => "no shell was given; say bash, zsh or fish".to_owned(),
        "--install" => "'--now' needs '--install'".to_owned(),
        _ => first_line(error),
    }
}

/// clap's own first paragraph, on one line.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    // A list of what is possible ends the line.
    match line.rsplit_once(" [possible values: ") {
        Some((what, values)) => format!("{what}; it is one of {}", values.trim_end_matches(']')),
        None => line.to_owned(),
    }
}

fn text_of(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(list) => list.first().cloned(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn said(words: &str) -> String {
        let args: Vec<OsString> = ["forerun"].into_iter().chain(words.split(' ')).map(OsString::from).collect();
        let error = super::super::parse(args.clone(), &["systemd", "launchd"]).expect_err(words);
        explain(&error, &args, &["systemd", "launchd"])
    }

    #[test]
    fn a_mistake_is_answered_with_what_to_type() {
        for (words, part) in [
            ("python3 server.py", "comes after '--'; type: forerun -- python3 server.py; see 'forerun --help'"),
            ("--port 80 ./server", "type: forerun --port 80 -- ./server"),
            ("--port 80 server -- x", "type: forerun --port 80 -- server x"),
            ("check python3", "type: forerun check -- python3; see 'forerun check --help'"),
            ("start", "type 'forerun -- COMMAND'"),
            ("version", "type 'forerun --version'"),
            ("stauts", "did you mean 'forerun status'?"),
            ("lgos", "did you mean 'forerun logs'?"),
            ("ps", "did you mean 'forerun status'?"),
            ("kill", "did you mean 'forerun stop'?"),
            ("examples/forerun.toml", "type: forerun --config examples/forerun.toml"),
            ("-name web -- true", "unknown option '-name'; did you mean '--name'?"),
            ("\u{2014}name web", "begins with a long dash; type --name"),
            ("--heath http://a/ -- true", "unknown option '--heath'; did you mean '--health'?"),
            ("--xyzzy -- true", "unknown option '--xyzzy'; see 'forerun --help'"),
            ("--install -- true", "it is an option of 'forerun unit'"),
            ("stop --bogus", "'forerun stop' has no option '--bogus'; see 'forerun stop --help'"),
            ("stop --foreground", "it is an option of a start"),
            ("stop a b", "'b' is one word too many; see 'forerun stop --help'"),
            ("--name web stop --grase 1s", "did you mean '--grace'?; see 'forerun stop --help'"),
            ("unit", "say systemd or launchd; see"),
            ("unit docker", "'docker'"),
            ("completions", "say bash, zsh or fish"),
            ("unit systemd --now", "'--now' needs '--install'; see 'forerun unit --help'"),
            ("--foreground --detach -- x", "cannot be used with"),
            ("help stauts", "did you mean 'forerun status'?"),
        ] {
            let message = said(words);
            assert!(message.contains(part), "{words}: {message}");
            assert!(!message.contains("-- --"), "{words}: {message}");
        }
    }

    #[test]
    fn a_word_that_is_not_text_and_a_secret_stay_out_of_sight() {
        let message = said("--healt=http://u:secret@h/ -- x");
        assert!(!message.contains("secret"), "{message}");
        let shown = quoted(OsStr::from_bytes(b"a\xff"));
        assert_eq!(shown, "'a\\xff'");
    }
}
