use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::*;

const KINDS: Kinds = &["a", "b"];

/// Words of which each value that an option takes is one, twice over.
const VALUES: [&str; 9] = ["1", "2s", "a", "b", "fail", "server", "always", "bash", "forerun.toml"];

fn parsed(words: &[&str]) -> Option<CommandLine> {
    parse(["forerun"].iter().chain(words).map(OsString::from).collect(), KINDS).ok()
}

/// The options and operands of a command, each in all words that may be meant.
fn ways(arg: &clap::Arg) -> Vec<String> {
    let name = match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => return VALUES.iter().map(|&value| value.to_owned()).collect(),
    };
    match arg.get_action().takes_values() {
        true => VALUES.iter().map(|value| format!("{name}={value}")).collect(),
        false => vec![name],
    }
}

#[test]
fn the_definitions_are_sound() {
    command(KINDS).help_expected(true).debug_assert();
}

/// An option that is defined and not read would have no effect.
#[test]
fn each_option_of_each_command_is_read() {
    let mut definition = command(KINDS);
    definition.build();
    let mut looked_at = 0;
    for command in [&definition].into_iter().chain(definition.get_subcommands()).filter(|c| c.get_name() != "help") {
        let name = Some(command.get_name()).filter(|name| *name != "forerun");
        let given = |words: &[&str]| parsed(&name.into_iter().chain(words.iter().copied()).collect::<Vec<_>>());
        for arg in
            command.get_arguments().filter(|arg| !["help", "version", "command"].contains(&arg.get_id().as_str()))
        {
            let is_read = |before: &[&str]| {
                let without = given(before);
                let differs = |with: &CommandLine| without.as_ref() != Some(with);
                ways(arg).iter().any(|way| given(&[before, &[way]].concat()).as_ref().is_some_and(differs))
            };
            let is_operand_of_unit = arg.get_id() == "kind";
            let befores: &[&[&str]] = match command.get_name() {
                "unit" if !is_operand_of_unit => &[&["a"], &["a", "--install"]],
                "completions" if arg.get_id() == "color" => &[&["bash"]],
                _ => &[&[]],
            };
            assert!(befores.iter().any(|before| is_read(before)), "{} {}", command.get_name(), arg.get_id());
            looked_at += 1;
        }
    }
    assert!(looked_at > 100, "{looked_at}");
}

#[test]
fn each_flag_of_a_service_is_said_again() {
    let definition = command(KINDS);
    let words = |flags: &StartFlags| flags.argv(Path::new("/"), None, OsStr::to_owned);
    let mut said = 0;
    for arg in definition.get_arguments() {
        for way in ways(arg) {
            let Some(CommandLine { task: Task::Start(start), .. }) = parsed(&[&way]) else { continue };
            if start.flags == StartFlags::default() || start.flags.config.is_some() {
                continue;
            }
            let again = parse_start([OsString::from("forerun")].into_iter().chain(words(&start.flags)).collect());
            let again = again.expect(&way).flags;
            // Only paths differ, which became absolute.
            let absolute = StartFlags {
                cwd: start.flags.cwd.as_ref().map(|path| Path::new("/").join(path)),
                env_file: start.flags.env_file.iter().map(|file| file.within(Path::new("/"))).collect(),
                ..start.flags
            };
            assert_eq!(again, absolute, "{way}");
            said += 1;
        }
    }
    assert!(said > 60, "{said}");
}

#[test]
fn what_comes_after_a_subcommand_wins() {
    let line =
        parsed(&["--name", "a", "-v", "--env", "A=1", "check", "--name", "b", "-v", "--env", "B=2"]).expect("parses");
    let Task::Check(check) = line.task else { panic!("{line:?}") };
    assert_eq!((check.flags.name, line.output.verbose), (Some("b".into()), 2));
    assert_eq!(check.flags.env, ["A=1", "B=2"]);
}

#[test]
fn what_has_no_effect_is_refused() {
    for (words, id) in [
        (&["--port", "1", "stop", "a"][..], "'--port' is an option of a start; 'forerun stop' does not take it"),
        (&["--watch", "man"], "'--watch' is an option of a start; 'forerun man' does not take it"),
        (&["--log", "x", "unit", "a"], "'--log' is an option of a start by hand; a unit does not have it"),
    ] {
        let error = parse(["forerun"].iter().chain(words).map(OsString::from).collect(), KINDS).expect_err(id);
        assert!(error.to_string().contains(id), "{error}");
    }
    for words in
        [&["--name", "a", "--no-progress", "stop"][..], &["--log", "x", "check"], &["--port", "1", "unit", "a"]]
    {
        assert!(parsed(words).is_some(), "{words:?}");
    }
}
