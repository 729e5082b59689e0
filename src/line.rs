#![forbid(unsafe_code)]
//! Writes lines to stderr. Each begins with `forerun: `; under journald its priority comes first.
//!
//! The contract: docs/reference.md, section 17.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::OnceLock;

use log::{LevelFilter, Log, Metadata, Record};
use serde_json::Value;

use crate::environment::Environment;
use crate::error::Error;
use crate::screen::{self, Screen, Tone};
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
    /// The filter of FORERUN_LOG, if it is set.
    filter: Option<env_logger::Logger>,
}

static LINES: OnceLock<Lines> = OnceLock::new();

/// Sets up the output. `verbose` is the number of `-v`.
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
        // Only forerun's own lines: those of ureq and rustls have URLs and headers in them, which may be secrets.
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

/// Prints a line about what happens, unless `-q` was given.
pub fn say(text: &str) {
    let lines = LINES.get();
    if !lines.is_some_and(|l| l.quiet) {
        print(lines.is_some_and(|l| l.journal), Priority::Info, text);
    }
}

/// Prints the error that ends forerun.
pub fn fail(error: &Error) {
    let text = error.to_string();
    if !text.is_empty() {
        print(LINES.get().is_some_and(|l| l.journal), Priority::Error, &text);
    }
}

/// The beginning of a line. Warnings and errors have a color.
fn prefix(priority: Priority, screen: &Screen) -> String {
    match priority {
        Priority::Error => format!("{} ", screen.paint(Tone::Bad, "forerun:")),
        _ => "forerun: ".to_owned(),
    }
}

/// Prints lines. An indented line belongs to the one before it. A failure is ignored: there is no place to report it.
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

/// The version of the JSON documents. It grows when a field changes its meaning or goes, not for a new field.
const SCHEMA: u32 = 1;

/// A JSON document with its version. In a list each object has it.
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

/// Prints a result as JSON if asked for, else as text. `-q` silences the text.
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

/// Writes a result to stdout.
///
/// # Errors
/// [`Error::State`] when stdout cannot be written. A reader or a terminal that has gone is no error.
pub fn print_result(text: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe && !is_hung_up(&e) => {
            Err(Error::State(format!("cannot write to stdout: {e}")))
        }
        _ => Ok(()),
    }
}

/// Whether the error comes from a terminal that nobody holds any more: forerun may have stopped the server that had it.
fn is_hung_up(e: &io::Error) -> bool {
    let is_device = || {
        let copy = io::stdout().as_fd().try_clone_to_owned();
        copy.and_then(|copy| File::from(copy).metadata()).is_ok_and(|m| m.file_type().is_char_device())
    };
    e.raw_os_error() == Some(libc::EIO) && is_device()
}
