#![forbid(unsafe_code)]
//! Small parts that the definitions of options are made of.

use clap::builder::{OsStringValueParser, PathBufValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction};

/// An option without a value.
pub fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// An option with a value; any text is one.
pub fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// An option whose value need not be UTF-8.
pub fn words(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(OsStringValueParser::new())
}

/// An option that is a path.
pub fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(PathBufValueParser::new())
}

/// An option that is a duration.
pub fn duration(name: &'static str, help: &'static str) -> Arg {
    option(name, "DUR", help).value_parser(crate::text::duration)
}

/// An option that may be given several times.
pub fn repeated(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    words(name, value, help).action(ArgAction::Append)
}

/// Accepts one of some words and yields what it stands for.
pub fn one_of<T: Copy + Send + Sync>(words: &'static [(&'static str, T)]) -> impl TypedValueParser<Value = T> {
    let meaning = |word: String| words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
    // Unknown words do not come this far.
    PossibleValuesParser::new(words.iter().map(|(word, _)| *word)).try_map(move |word| meaning(word).ok_or("unknown"))
}

/// COMMAND, which comes last.
pub fn command_arg() -> Arg {
    Arg::new("command")
        .value_name("COMMAND")
        .help("The server and its arguments")
        .num_args(1..)
        .last(true)
        .hide(true)
        .value_parser(OsStringValueParser::new())
}
