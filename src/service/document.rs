#![forbid(unsafe_code)]
//! forerun.toml between its text and its values: the references in its strings are replaced, before a value is validated.

use std::borrow::Cow;
use std::ffi::OsStr;

use serde::de::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::command::sign_of_a_shell;
use super::expand::Expander;
use super::file::{CheckTable, File};
use super::known::Known;
use super::refs;
use super::strictness::Strictness;
use super::wrong::{Fault, Wrong};
use super::{key_table, keys};
use crate::args::EnvFile;
use crate::check::{self, Written};
use crate::text::{one_line, quoted};

/// Keys whose value is a script of a shell, or has some in a list.
const SCRIPTS: [&str; 4] = ["fix", "before", "run", "on-loop"];
/// Keys whose value is a check, or has some in a list.
const CHECKS: [&str; 4] = ["check", "health", "wait", "require"];
/// Keys that say what the service is called.
const NAMING: [&str; 3] = ["name", "cwd", "command"];

/// forerun.toml, or the table of one check.
pub struct Document<'a>(Spanned<DeTable<'a>>);

/// What was replaced in a document.
#[derive(Default)]
pub struct Replaced {
    texts: Vec<Reworded>,
    /// Without a check: what references gave.
    written: Written,
    /// The words of `command`.
    pub command: Option<Vec<String>>,
}

/// A string that had references.
struct Reworded {
    /// Its offset in bytes.
    at: usize,
    key: String,
    written: String,
}

impl<'a> Document<'a> {
    /// Parses the text of a forerun.toml, and writes its short forms out.
    ///
    /// # Errors
    /// The first mistake and its place, in the words of the file.
    pub fn parse(text: &'a str) -> Result<Self, Wrong> {
        let mut table = DeTable::parse(text).map_err(|error| unparsed(text, &error))?;
        keys::check(&table, Strictness::BeforeReplacing)?;
        keys::expand(&mut table);
        Ok(Document(table))
    }

    /// Parses the text of one check's table.
    ///
    /// # Errors
    /// The first mistake, in the words of the file.
    pub fn parse_check(text: &'a str) -> Result<Self, Wrong> {
        let table = DeTable::parse(text).map_err(|error| unparsed(text, &error))?;
        keys::check_table(&table, Strictness::BeforeReplacing)?;
        Ok(Document(table))
    }

    /// The env-files that it names. Their references see the environment alone.
    ///
    /// # Errors
    /// The first mistake, and its place.
    pub fn env_files(&mut self, environment: &Known) -> Result<Vec<EnvFile>, Wrong> {
        let Some(named) = self.0.get_mut().remove("env-file") else { return Ok(Vec::new()) };
        let file = |value: &Spanned<DeValue>| {
            let text = value.get_ref().as_str().unwrap_or_default();
            let path = Expander::new(environment).text(text.as_bytes());
            let path = path.map_err(|why| Wrong::at(value, format!("env-file: {why}")))?;
            let path = String::from_utf8(path).map_err(|_| Wrong::at(value, "env-file is not UTF-8"))?;
            match path.trim_start_matches('?').is_empty() || path.contains('\0') {
                true => Err(Wrong::at(value, "env-file is empty or has a NUL byte")),
                false => Ok(EnvFile::read(OsStr::new(&path))),
            }
        };
        match named.get_ref() {
            DeValue::Array(all) => all.iter().map(file).collect(),
            _ => file(&named).map(|file| vec![file]),
        }
    }

    /// Leaves out what has references and does not say what the service is called: a subcommand about a running service
    /// must not need the variables of its start.
    pub fn keep_what_names(&mut self) {
        let table = self.0.get_mut();
        let is_named = table.contains_key("name");
        let goes = |key: &str, value: &DeValue| {
            let names = if is_named { key == "name" } else { NAMING.contains(&key) };
            !names && key != "env-file" && has_reference(value)
        };
        let all = table.iter().filter(|(key, value)| goes(key.get_ref(), value.get_ref()));
        let gone: Vec<_> = all.map(|(key, _)| key.get_ref().to_string()).collect();
        gone.iter().for_each(|key| drop(table.remove(key.as_str())));
    }

    /// Whether anything but the names of env-files has a reference.
    pub fn has_references(&self) -> bool {
        let mut values = self.0.get_ref().iter().filter(|(key, _)| key.get_ref() != "env-file");
        values.any(|(_, value)| has_reference(value.get_ref()))
    }

    /// Replaces all references.
    ///
    /// # Errors
    /// The first mistake, with its key and place.
    pub fn replace(&mut self, expander: &mut Expander) -> Result<Replaced, Wrong> {
        let mut run = Run { expander, texts: Vec::new() };
        let command = self.0.get_mut().get_mut("command").map(|command| run.command(command)).transpose()?;
        run.table(self.0.get_mut(), false)?;
        let texts = run.texts;
        Ok(Replaced { texts, written: expander.written(None), command })
    }

    /// Its values.
    ///
    /// # Errors
    /// The first mistake and its place, in the words of the file.
    pub fn file(mut self, replaced: &Replaced) -> Result<File, Wrong> {
        self.0.get_mut().remove("env-file");
        replaced.make_flags(self.0.get_mut());
        keys::check(&self.0, Strictness::Whole)?;
        let mut file = File::deserialize(toml::de::Deserializer::from(self.0)).map_err(|error| wrong(&error))?;
        let watched = file.watch.as_mut().and_then(|watch| watch.check.as_mut());
        let checks = file.require.iter_mut().chain(&mut file.wait).chain(&mut file.health).chain(watched);
        checks.for_each(|table| replaced.fill(table));
        file.before.iter_mut().for_each(|step| step.written = replaced.written_at(step.run.span().start));
        file.stop.written_before =
            file.stop.before.as_ref().and_then(|before| replaced.as_written(before.span().start));
        Ok(file)
    }

    /// The values of one check's table.
    ///
    /// # Errors
    /// As [`Document::file`].
    pub fn check(mut self, replaced: &Replaced) -> Result<CheckTable, Wrong> {
        replaced.make_flags(self.0.get_mut());
        keys::check_table(&self.0, Strictness::Whole)?;
        let mut table = CheckTable::deserialize(toml::de::Deserializer::from(self.0)).map_err(|error| wrong(&error))?;
        replaced.fill(&mut table);
        Ok(table)
    }
}

impl Replaced {
    /// Makes true and false of strings that have become that.
    fn make_flags(&self, table: &mut DeTable) {
        for (key, value) in table.iter_mut().filter(|(key, _)| !is_own_words(key.get_ref())) {
            let at = value.span().start;
            match value.get_mut() {
                DeValue::Table(table) => self.make_flags(table),
                DeValue::Array(list) => {
                    list.iter_mut()
                        .filter_map(|value| as_table(value.get_mut()))
                        .for_each(|table| self.make_flags(table));
                }
                DeValue::String(text)
                    if key_table::is_flag(key.get_ref()) && self.texts.iter().any(|text| text.at == at) =>
                {
                    if let Ok(is) = text.parse() {
                        *value.get_mut() = DeValue::Boolean(is);
                    }
                }
                _ => {}
            }
        }
    }

    fn fill(&self, table: &mut CheckTable) {
        table.written = self.written_at(table.check.span().start);
        // A hint is shown.
        if let Some(hint) = &mut table.hint {
            if let Some(written) = self.as_written(hint.span().start) {
                *hint.get_mut() = written;
            }
        }
        table.written_fix = table.fix.as_ref().and_then(|fix| self.as_written(fix.span().start));
    }

    /// The same with all that references gave.
    fn written_at(&self, at: usize) -> Written {
        Written { check: self.as_written(at), ..self.written.clone() }
    }

    /// The string at this offset, if it had a reference.
    fn as_written(&self, at: usize) -> Option<String> {
        self.texts.iter().find(|text| text.at == at).map(|text| text.written.clone())
    }

    /// A mistake without a value in its message.
    pub fn safe(&self, wrong: Wrong) -> Wrong {
        let text = self.texts.iter().find(|text| text.at == wrong.at);
        Wrong { message: self.safe_message(wrong.message, text), ..wrong }
    }

    fn safe_message(&self, message: String, text: Option<&Reworded>) -> String {
        let masked = self.written.masked(&message);
        match text.filter(|_| self.written.is_in(&masked)) {
            Some(text) => {
                let what_to_do = check::form(text.written.as_ref()).map(|form| format!("; write {form}"));
                let what_to_do = what_to_do.filter(|_| CHECKS.contains(&text.key.as_str())).unwrap_or_default();
                format!("{}, and {} gives none{what_to_do}", key_table::what_is(&text.key), quoted(&text.written))
            }
            None => masked,
        }
    }

    /// The same for any mistake.
    pub fn safe_fault(&self, fault: Fault) -> Fault {
        match fault {
            Fault::File(wrong) => Fault::File(self.safe(wrong)),
            other => other,
        }
    }
}

struct Run<'a, 'k> {
    expander: &'a mut Expander<'k>,
    texts: Vec<Reworded>,
}

impl Run<'_, '_> {
    fn table(&mut self, table: &mut DeTable, is_texts: bool) -> Result<(), Wrong> {
        for (key, value) in table.iter_mut() {
            let key = key.get_ref().to_string();
            // The words of the command are replaced already, and what was put in is not looked at again.
            if key == "command" && !is_texts {
                continue;
            }
            self.value(&key, value, is_texts || is_own_words(&key))?;
        }
        Ok(())
    }

    /// `is_texts`: the keys are a person's own words.
    fn value(&mut self, key: &str, value: &mut Spanned<DeValue>, is_texts: bool) -> Result<(), Wrong> {
        let at = value.span().start;
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, is_texts),
            DeValue::Array(list) => list.iter_mut().try_for_each(|value| self.value(key, value, is_texts)),
            DeValue::String(text) => self.text(key, text, at, is_texts),
            _ => Ok(()),
        }
    }

    fn text(&mut self, key: &str, text: &mut Cow<str>, at: usize, is_texts: bool) -> Result<(), Wrong> {
        if !refs::has_any(text.as_bytes()) {
            return Ok(());
        }
        let replaced = match key {
            _ if is_texts => self.expander.text(text.as_bytes()),
            "check" => self.expander.check(text.as_bytes()),
            key if SCRIPTS.contains(&key) => self.expander.script(text.as_bytes()),
            _ => self.expander.text(text.as_bytes()),
        };
        let not_utf8 = |_| "what its references give is not UTF-8".to_owned();
        let replaced = replaced.and_then(|bytes| String::from_utf8(bytes).map_err(not_utf8));
        let replaced = replaced.map_err(|why| Wrong { at, message: format!("{}: {why}", one_line(key)) })?;
        self.texts.push(Reworded { at, key: key.to_owned(), written: text.to_string() });
        *text = Cow::Owned(replaced);
        Ok(())
    }

    /// Splits a command into words, before a reference in it is replaced. Returns the words as they are written.
    fn command(&mut self, command: &mut Spanned<DeValue>) -> Result<Vec<String>, Wrong> {
        if let Some(sign) = command.get_ref().as_str().and_then(sign_of_a_shell) {
            let sign = one_line(sign);
            let what_to_do = "no shell runs; write command = [\"/bin/sh\", \"-c\", \"...\"]";
            return Err(Wrong::at(command, format!("'{sign}' in the command is for a shell: {what_to_do}")));
        }
        let span = command.span();
        let has_any = |text: &Cow<str>| refs::has_any(text.as_bytes());
        let split = command.get_ref().as_str().map(Cow::Borrowed).filter(has_any).and_then(|text| shlex::split(&text));
        if let Some(words) = split {
            let mut list = DeArray::new();
            let word = |word: String| Spanned::new(span.clone(), DeValue::String(Cow::Owned(word)));
            words.into_iter().map(word).for_each(|word| list.push(word));
            *command.get_mut() = DeValue::Array(list);
        }
        let written = match command.get_ref() {
            DeValue::Array(words) => {
                words.iter().filter_map(|word| word.get_ref().as_str()).map(str::to_owned).collect()
            }
            DeValue::String(text) => shlex::split(text).unwrap_or_default(),
            _ => Vec::new(),
        };
        self.value("command", command, false)?;
        Ok(written)
    }
}

/// Whether the keys of a table are a person's own words.
fn is_own_words(key: &str) -> bool {
    matches!(key, "env" | "headers")
}

fn as_table<'a, 'b>(value: &'a mut DeValue<'b>) -> Option<&'a mut DeTable<'b>> {
    match value {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn has_reference(value: &DeValue) -> bool {
    match value {
        DeValue::String(text) => refs::has_any(text.as_bytes()),
        DeValue::Array(list) => list.iter().any(|value| has_reference(value.get_ref())),
        DeValue::Table(table) => table.iter().any(|(_, value)| has_reference(value.get_ref())),
        _ => false,
    }
}

/// A mistake in the text.
fn unparsed(text: &str, error: &toml::de::Error) -> Wrong {
    let key = error.span().filter(|_| error.message().trim_end() == "duplicate key").and_then(|span| text.get(span));
    match key {
        Some(key) => {
            let key = key.trim_matches(['"', '\'', ' ']);
            let message = format!("duplicate key: {} is there twice; leave one out", quoted(key));
            Wrong { at: error.span().map_or(0, |span| span.start), message }
        }
        None => wrong(error),
    }
}

fn wrong(error: &toml::de::Error) -> Wrong {
    let at = error.span().map_or(0, |span| span.start);
    Wrong { at, message: error.message().trim_end().replace('`', "'") }
}
