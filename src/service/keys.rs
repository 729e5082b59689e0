#![forbid(unsafe_code)]
//! The keys of forerun.toml: what the value of each is, and what was meant by a key that is not one. Everything is told
//! in the words of the file. A value is never shown here: it may be a secret.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key_table::{CHECK, CHECK_EXAMPLE, Is, Key, STEP, STEP_EXAMPLE, STOP, TABLES, TOP, sentence};
use super::strictness::Strictness;
use super::wrong::Wrong;
use crate::text::{nearest, one_line, whole_number};

/// Words that people write for a key of the top table, and for one of a check.
const MEANT_AT_THE_TOP: &[(&[&str], &str)] = &[
    (&["cmd", "exec", "run", "start", "program", "script", "entrypoint", "exec-start", "execstart"], "command"),
    (&["dir", "workdir", "working-dir", "working-directory", "workingdirectory", "directory", "chdir", "cd"], "cwd"),
    (&["environment", "envs", "variables", "vars"], "env"),
    (&["dotenv", "envfile", "environment-file", "environmentfile"], "env-file"),
    (&["requires", "requirements", "depends", "depends-on", "needs"], "require"),
    (&["waits", "wait-for", "waitfor", "after"], "wait"),
    (&["healthcheck", "health-check", "health-url", "ready", "readiness", "liveness", "probe"], "health"),
    (&["ulimit", "ulimits", "limit", "rlimit"], "limits"),
    (&["logfile", "log-file", "stdout", "stderr", "output"], "log"),
    (&["stop-timeout", "kill-timeout", "stop-grace", "grace-period"], "grace"),
    (&["service", "id", "title"], "name"),
    (&["watchdog", "monitor"], "watch"),
    (&["pidfile"], "pid-file"),
    (&["pre-start", "prestart", "exec-start-pre", "execstartpre", "steps", "migrate", "setup", "init"], "before"),
];
const MEANT_IN_A_STEP: &[(&[&str], &str)] = &[
    (&["command", "cmd", "exec", "script", "step", "sh", "shell", "check"], "run"),
    (&["before-timeout", "fix-timeout", "limit"], "timeout"),
    (&["fatal", "is-permanent"], "permanent"),
];
const MEANT_IN_STOP: &[(&[&str], &str)] = &[
    (&["stop-signal", "kill-signal", "killsignal", "stopsignal"], "signal"),
    (&["reload", "hup"], "reload-signal"),
    (&["command", "pre-stop", "prestop", "drain", "run", "exec"], "before"),
    (&["timeout"], "before-timeout"),
];
const MEANT_IN_A_CHECK: &[(&[&str], &str)] = &[
    (
        &["url", "uri", "http", "address", "path", "target", "endpoint", "test", "tcp", "cmd", "exec", "command"],
        "check",
    ),
    (&["header"], "headers"),
    (&["code", "codes", "statuses", "status-code"], "status"),
    (&["contains", "text", "body-contains"], "body"),
    (&["cacert", "ca-file", "ca-cert"], "ca"),
    (&["client-cert", "certificate", "cert-file"], "cert"),
    (&["client-key", "private-key", "key-file"], "key"),
    (&["verb"], "method"),
    (&["stable", "stay", "for", "success-duration"], "hold"),
    (&["period", "every", "delay"], "interval"),
    (&["per-attempt", "attempt", "request-timeout", "timeout-per-attempt"], "attempt-timeout"),
    (&["message", "help"], "hint"),
];

/// Looks at every key and the type of its value, before anything is read from them.
///
/// # Errors
/// The first that is wrong, with its place.
pub fn check(document: &Spanned<DeTable>, strictness: Strictness) -> Result<(), Wrong> {
    table(document.get_ref(), TOP, strictness)
}

/// Looks at the keys of one check's table.
///
/// # Errors
/// As [`check`].
pub fn check_table(document: &Spanned<DeTable>, strictness: Strictness) -> Result<(), Wrong> {
    table(document.get_ref(), CHECK, strictness)
}

fn table(table: &DeTable, keys: &'static [Key], strictness: Strictness) -> Result<(), Wrong> {
    for (name, found) in table {
        let word = name.get_ref().as_ref();
        let Some((word, is, _)) = keys.iter().find(|(known, ..)| *known == word) else {
            return Err(Wrong::at(name, unknown(word, keys)));
        };
        value(word, is, found, strictness)?;
    }
    Ok(())
}

fn value(key: &str, is: &Is, found: &Spanned<DeValue>, strictness: Strictness) -> Result<(), Wrong> {
    let at = |at: &Spanned<DeValue>, message: String| Err(Wrong::at(at, message));
    let fits = match (is, found.get_ref()) {
        (Is::Flag | Is::Number(..) | Is::Choice(_), DeValue::String(text)) if strictness.awaits(text) => true,
        (Is::Number(_, most), DeValue::String(text)) => whole_number::<u64>(text).is_ok_and(|n| n <= *most),
        (Is::Paths, DeValue::String(_)) => true,
        (Is::Text(..), DeValue::String(_)) => true,
        (Is::TextOrNumber(..), DeValue::String(_)) => true,
        (Is::TextOrNumber(..), DeValue::Integer(_)) => number(found).is_some(),
        (Is::Number(_, most), DeValue::Integer(_)) => number(found).is_some_and(|n| n >= 0 && n as u64 <= *most),
        (Is::Flag, DeValue::Boolean(_)) => true,
        (Is::Choice(words), DeValue::String(word)) if !words.contains(&word.as_ref()) => {
            return at(found, format!("{}, not '{}'", sentence(key, is), one_line(word.as_ref())));
        }
        (Is::Choice(_), DeValue::String(_)) => true,
        (Is::Words, DeValue::String(_)) => true,
        (Is::Words | Is::Paths, DeValue::Array(words)) => words.iter().all(|word| word.get_ref().is_str()),
        (Is::Texts(called), DeValue::Table(texts)) => match texts.iter().find(|(_, text)| !text.get_ref().is_str()) {
            Some((name, text)) => {
                let name = one_line(name.get_ref().as_ref());
                return at(text, format!("{name} in {called} is text, in quotes: {name} = \"...\""));
            }
            None => true,
        },
        (Is::Check | Is::Checks | Is::Steps, DeValue::String(_)) => true,
        (Is::Check | Is::Checks | Is::Steps, DeValue::Table(keys)) => {
            let (known, main, example) = match is {
                Is::Steps => (STEP, "run", STEP_EXAMPLE),
                _ => (CHECK, "check", CHECK_EXAMPLE),
            };
            table(keys, known, strictness)?;
            if !keys.contains_key(main) {
                return at(found, format!("{key} has no {main}: {main} = {example}"));
            }
            true
        }
        (Is::Checks | Is::Steps, DeValue::Array(all)) => {
            for one in all.iter() {
                match one.get_ref() {
                    DeValue::String(_) | DeValue::Table(_) => value(key, is, one, strictness)?,
                    _ => return at(one, sentence(key, is)),
                }
            }
            true
        }
        (Is::Table(_, keys), DeValue::Table(found)) => return table(found, keys, strictness),
        _ => false,
    };
    if fits { Ok(()) } else { at(found, sentence(key, is)) }
}

fn number(value: &Spanned<DeValue>) -> Option<i64> {
    let integer = value.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// An unknown key, and what was meant where that is near.
fn unknown(word: &str, keys: &'static [Key]) -> String {
    let what = format!("unknown key '{}'", one_line(word));
    let spelt = word.to_lowercase().replace('_', "-");
    let has = |keys: &[Key]| keys.iter().any(|(known, ..)| *known == spelt);
    let is = |table: &'static [Key]| std::ptr::eq(keys, table);
    let meant = match () {
        () if is(TOP) => MEANT_AT_THE_TOP,
        () if is(CHECK) => MEANT_IN_A_CHECK,
        () if is(STOP) => MEANT_IN_STOP,
        () if is(STEP) => MEANT_IN_A_STEP,
        () => &[],
    };
    let meant = meant.iter().find(|(words, _)| words.contains(&spelt.as_str())).map(|(_, known)| *known);
    if let Some(known) = meant.or_else(|| nearest(&spelt, keys.iter().map(|(known, ..)| *known))) {
        return format!("{what}; did you mean '{known}'?");
    }
    let homes: Vec<_> = TABLES.iter().filter(|(_, table)| has(table)).map(|(home, _)| *home).collect();
    if homes.is_empty() { what } else { format!("{what}; it belongs in {}", homes.join(" or ")) }
}

/// Writes the short forms out: a check or a step that is a string becomes a table, and a single one a list.
pub fn expand(document: &mut Spanned<DeTable>) {
    for (name, value) in document.get_mut().iter_mut() {
        match name.get_ref().as_ref() {
            "health" => table_of(value, "check"),
            "watch" => {
                if let DeValue::Table(watch) = value.get_mut() {
                    watch
                        .iter_mut()
                        .filter(|(key, _)| key.get_ref() == "check")
                        .for_each(|(_, check)| table_of(check, "check"));
                }
            }
            key @ ("require" | "wait" | "before") => {
                let main = if key == "before" { "run" } else { "check" };
                if !value.get_ref().is_array() {
                    let span = value.span();
                    let single = std::mem::replace(value.get_mut(), DeValue::Array(Default::default()));
                    if let DeValue::Array(list) = value.get_mut() {
                        list.push(Spanned::new(span, single));
                    }
                }
                if let DeValue::Array(list) = value.get_mut() {
                    list.iter_mut().for_each(|one| table_of(one, main));
                }
            }
            _ => {}
        }
    }
}

fn table_of(value: &mut Spanned<DeValue>, key: &'static str) {
    let span = value.span();
    if let DeValue::String(text) = value.get_ref() {
        let text = Spanned::new(span.clone(), DeValue::String(text.clone()));
        let mut table = DeTable::new();
        table.insert(Spanned::new(span, Cow::Borrowed(key)), text);
        *value.get_mut() = DeValue::Table(table);
    }
}

#[cfg(test)]
mod tests {
    use super::super::key_table::example;
    use super::*;

    fn wrong(text: &str) -> Option<String> {
        let document = DeTable::parse(text).expect(text);
        check(&document, Strictness::Whole).err().map(|wrong| wrong.message)
    }

    /// Every key with the table that it belongs in.
    fn every_key() -> impl Iterator<Item = (String, &'static Key)> {
        let head = |table: &str| match table {
            table if !table.starts_with('[') => String::new(),
            "[[before]]" => "[[before]]\nrun = 'a'\n".to_owned(),
            table if table.contains("[[wait]]") => "[health]\ncheck = 'cmd:a'\n".to_owned(),
            table => format!("{table}\n"),
        };
        TABLES.into_iter().flat_map(move |(table, keys)| keys.iter().map(move |key| (head(table), key)))
    }

    /// The head of a table without the key that is tried.
    fn without(key: &str, head: &str) -> String {
        match key {
            "check" => head.replace("check = 'cmd:a'\n", ""),
            "run" => "[[before]]\n".to_owned(),
            _ => head.to_owned(),
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_told_in_the_words_of_the_file() {
        let secret = "hunter2";
        let values = [
            "'hunter2'",
            "12",
            "-12",
            "1.5",
            "true",
            "1979-05-27",
            "[1, 'hunter2']",
            "[[1]]",
            "{ hunter2 = 1 }",
            "[{ hunter2 = 1 }]",
            "99999999999999999999",
            "nan",
        ];
        let mut refused = 0;
        for (head, (key, ..)) in every_key() {
            for value in values {
                let head = without(key, &head);
                let text = format!("{head}{key} = {value}\n");
                // A number that TOML itself does not know is its own fault.
                let Ok(document) = DeTable::parse(&text) else { continue };
                let Err(wrong) = super::check(&document, Strictness::Whole) else { continue };
                refused += 1;
                let message = wrong.message;
                let is_of_rust = |word: &str| message.split(|c: char| !c.is_alphanumeric()).any(|w| w == word);
                for word in [
                    "invalid", "expected", "struct", "field", "variant", "u16", "i64", "u64", "string", "sequence",
                    "map",
                ] {
                    assert!(!is_of_rust(word), "{text}: {message}");
                }
                assert!(message.contains(key) || message.contains("unknown key"), "{text}: {message}");
                assert!(
                    !message.contains(secret)
                        || message.ends_with("not 'hunter2'")
                        || message.contains("key 'hunter2'")
                        || message.contains("hunter2 in"),
                    "{text}: {message}"
                );
                assert!(!message.contains('\n'), "{text}: {message}");
            }
        }
        assert!(refused > 300, "{refused}");
    }

    #[test]
    fn every_example_is_right() {
        for (head, (key, is, _)) in every_key() {
            let example = example(is);
            let head = without(key, &head);
            let text = format!("{head}{key} = {example}\n");
            assert_eq!(wrong(&text), None, "{text}");
        }
    }

    #[test]
    fn a_key_that_is_none_leads_to_the_one_that_was_meant() {
        for (text, said) in [
            ("prot = 1", "unknown key 'prot'; did you mean 'port'?"),
            ("env_file = '.env'", "unknown key 'env_file'; did you mean 'env-file'?"),
            ("Port = 1", "unknown key 'Port'; did you mean 'port'?"),
            ("user = 'nobody'", "unknown key 'user'"),
            ("cmd = 'a'", "unknown key 'cmd'; did you mean 'command'?"),
            ("workdir = 'a'", "unknown key 'workdir'; did you mean 'cwd'?"),
            ("environment = 'a'", "unknown key 'environment'; did you mean 'env'?"),
            ("healthcheck = 'a'", "unknown key 'healthcheck'; did you mean 'health'?"),
            ("nofile = 1", "unknown key 'nofile'; it belongs in [limits]"),
            ("max-fds = 1", "unknown key 'max-fds'; it belongs in [watch]"),
            ("timeout = '1s'", "unknown key 'timeout'; it belongs in [health], [[wait]] or [[require]] or [[before]]"),
            ("[[before]]\ncommand = 'a'", "unknown key 'command'; did you mean 'run'?"),
            ("permanent = true", "unknown key 'permanent'; it belongs in [[before]]"),
            ("ExecStartPre = 'a'", "unknown key 'ExecStartPre'; did you mean 'before'?"),
            ("[health]\nurl = 'http://a/'", "unknown key 'url'; did you mean 'check'?"),
            (
                "[stop]\ninterval = '1s'",
                "unknown key 'interval'; it belongs in [watch] or [health], [[wait]] or [[require]]",
            ),
            ("[limits]\nport = 1", "unknown key 'port'; it belongs in the part before the first table"),
            ("before-timeout = '1s'", "unknown key 'before-timeout'; it belongs in [stop]"),
            ("[stop]\ngrace = '1s'", "unknown key 'grace'; it belongs in the part before the first table or [watch]"),
            ("[stop]\nKillSignal = 'TERM'", "unknown key 'KillSignal'; did you mean 'signal'?"),
            ("[watch]\nintervall = '1s'", "unknown key 'intervall'; did you mean 'interval'?"),
            ("\"a\\u007fb\" = 1", "unknown key 'a\\u{7f}b'"),
        ] {
            assert_eq!(wrong(text).as_deref(), Some(said), "{text}");
        }
    }
}
