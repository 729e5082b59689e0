#![forbid(unsafe_code)]
//! Lines on stderr. Each begins with `forerun: `, under journald with its priority before it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::OnceLock;

use log::{LevelFilter, Log, Metadata, Record};
use serde_json::Value;

use super::screen::{self, Screen, Tone};
use crate::environment::Environment;
use crate::error::Error;
use crate::sys;

/// syslog(3) priorities, as `<N>` before a line of the journal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Priority {
    Error = 3,
    Warning = 4,
    Info = 6,
    Debug = 7,
}

const WARNING: &str = "warning:";

struct Lines {
    journal: bool,
    verbose: u8,
    quiet: bool,
    level: LevelFilter,
    /// FORERUN_LOG, where it is set.
    filter: Option<env_logger::Logger>,
}

static LINES: OnceLock<Lines> = OnceLock::new();

/// Sets up what is said: `verbose` is the number of `-v`.
pub fn init(environment: &Environment, verbose: u8, quiet: bool) {
    let journal = environment.filled("JOURNAL_STREAM").is_some_and(sys::stderr_is_journal);
    let filter = environment
        .filled("FORERUN_LOG")
        .map(|filters| env_logger::Builder::new().parse_filters(&filters.to_string_lossy()).build());
    let level = match verbose {
        _ if quiet => LevelFilter::Error,
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let most = filter.as_ref().map_or(level, |f| f.filter().max(level));
    if log::set_logger(LINES.get_or_init(|| Lines { journal, verbose, quiet, level, filter })).is_ok() {
        log::set_max_level(most);
    }
}

/// How many `-v` and whether `-q` were given.
pub fn loudness() -> (u8, bool) {
    LINES.get().map_or((0, false), |lines| (lines.verbose, lines.quiet))
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // Only our own words: ureq's and rustls' have URLs and headers in them, which may be secrets.
        metadata.target().starts_with("forerun")
    }

    fn log(&self, record: &Record) {
        let filtered = self.filter.as_ref().is_some_and(|f| f.matches(record));
        if !self.enabled(record.metadata()) || !(filtered || record.level() <= self.level) {
            return;
        }
        let (priority, prefix) = match record.level() {
            log::Level::Error => (Priority::Error, ""),
            log::Level::Warn => (Priority::Warning, "warning: "),
            log::Level::Info => (Priority::Info, ""),
            log::Level::Debug | log::Level::Trace => (Priority::Debug, "debug: "),
        };
        print(self.journal, priority, &format!("{prefix}{}", record.args()));
    }

    fn flush(&self) {}
}

/// Says what happens, unless `-q` was given.
pub fn say(text: &str) {
    let lines = LINES.get();
    if !lines.is_some_and(|l| l.quiet) {
        print(lines.is_some_and(|l| l.journal), Priority::Info, text);
    }
}

/// Says why forerun gives up.
pub fn fail(error: &Error) {
    let text = error.to_string();
    if !text.is_empty() {
        print(LINES.get().is_some_and(|l| l.journal), Priority::Error, &text);
    }
}

/// What a line begins with, in color where it is no mere information.
fn prefix(priority: Priority, screen: &Screen) -> String {
    match priority {
        Priority::Error => format!("{} ", screen.paint(Tone::Bad, "forerun:")),
        _ => "forerun: ".to_owned(),
    }
}

/// Indented lines belong to the one before them. Nothing can be done where stderr cannot be written.
fn print(journal: bool, priority: Priority, text: &str) {
    let screen = screen::stderr();
    let mut out = String::new();
    for line in text.lines() {
        if journal {
            out.push_str(&format!("<{}>", priority as u8));
        }
        if !line.starts_with("  ") {
            out.push_str(&prefix(priority, &screen));
        }
        match line.strip_prefix(WARNING).filter(|_| priority == Priority::Warning) {
            Some(rest) => out += &(screen.paint(Tone::Notable, WARNING) + rest),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    let _ = io::stderr().write_all(out.as_bytes());
}

/// The version of the JSON documents. It grows when a field changes its meaning or goes; a new field is no new version.
const SCHEMA: u32 = 1;

/// A JSON document with its version; a list has one in each of its objects.
pub fn document(mut value: Value) -> String {
    let objects = match &mut value {
        Value::Array(list) => list.iter_mut().collect(),
        single => vec![single],
    };
    for object in objects.into_iter().filter_map(Value::as_object_mut) {
        object.insert("schema".to_owned(), SCHEMA.into());
    }
    format!("{value}\n")
}

/// Prints a result: as JSON where that was asked for, else as text, which `-q` silences.
///
/// # Errors
/// As [`print_result`].
pub fn print_summary(text: &str, value: Value, json: bool) -> Result<(), Error> {
    match json {
        true => print_result(document(value).as_bytes()),
        false if LINES.get().is_some_and(|lines| lines.quiet) => Ok(()),
        false => print_result(text.as_bytes()),
    }
}

/// Writes a result to stdout, all of it or an error.
///
/// # Errors
/// [`Error::State`] when stdout cannot be written; a reader that has gone is none, and nor is a terminal.
pub fn print_result(text: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe && !is_hung_up(&e) => {
            Err(Error::State(format!("cannot write to stdout: {e}")))
        }
        _ => Ok(()),
    }
}

/// What a terminal answers once nobody has its other end: a server's, when forerun has stopped that server.
fn is_hung_up(e: &io::Error) -> bool {
    let is_device = || {
        let copy = io::stdout().as_fd().try_clone_to_owned();
        copy.and_then(|copy| File::from(copy).metadata()).is_ok_and(|m| m.file_type().is_char_device())
    };
    e.raw_os_error() == Some(libc::EIO) && is_device()
}
