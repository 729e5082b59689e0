#![forbid(unsafe_code)]
//! `forerun logs`: shows the end of an instance's log and follows it. Where a supervisor keeps the log, its own command
//! shows it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::target::Target;
use crate::args::Logs;
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::record::Record;
use crate::instance::state::Folder;
use crate::line::say;
use crate::start::log_file;
use crate::supervisor::{self, Verb, ask};
use crate::sys::Events;
use crate::text::{quoted, shell_words};

/// How many lines are shown.
const LINES: usize = 50;
/// How often a followed log is read.
const INTERVAL: Duration = Duration::from_millis(100);
const BLOCK: u64 = 64 << 10;

pub fn run(asked: &Logs, environment: &Environment) -> Result<(), Error> {
    let target = Target::find(&asked.which, environment)?;
    let lines = asked.lines.unwrap_or(LINES);
    let record = target.record()?;
    // A log that is a file is not in the journal.
    let of_supervisor = record.as_ref().filter(|record| record.log.is_none()).and_then(supervisor::of);
    if let Some(command) = of_supervisor.and_then(|s| s.argv(Verb::Logs { lines, follow: asked.follow })) {
        return Err(become_shower(&command));
    }
    let path = log_of(&target, record.as_ref())?;
    let failed = |e: io::Error| Error::State(format!("cannot read the log {}: {e}", quoted(&path)));
    let is_own = path == log_file::default(&target.root, &target.name);
    let log = Log { path: &path, folder: target.folder.as_ref().filter(|_| is_own) };
    let file = log.open().map_err(failed)?;
    let mut stdout = io::stdout().lock();
    let shown = show(&log, file, lines, asked.follow, &mut stdout);
    match shown {
        Err(Shown::Stdout(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Shown::Stdout(e)) => Err(Error::State(format!("cannot write to stdout: {e}"))),
        Err(Shown::Log(e)) => Err(failed(e)),
        Ok(signal) => signal.map_or(Ok(()), |signal| Err(Error::Interrupted(signal))),
    }
}

/// The path of the file that the server writes to.
fn log_of(target: &Target, record: Option<&Record>) -> Result<PathBuf, Error> {
    let name = quoted(&target.name);
    match record.map(|record| (record, &record.log)) {
        Some((record, Some(log))) => {
            let path = PathBuf::from(OsString::from(log));
            if let Some(supervised) = supervisor::of(record) {
                say(&format!("{name} is run by {}; its output goes to {}", supervised.describe(), quoted(&path)));
            }
            Ok(path)
        }
        Some((record, None)) => {
            let whose = match supervisor::of(record) {
                Some(supervised) => format!("run by {}, which takes its output", supervised.describe()),
                None => "in the foreground, where its output goes".to_owned(),
            };
            Err(Error::State(format!("{name} has no log file: it is {whose}; look there")))
        }
        None => {
            let path = log_file::default(&target.root, &target.name);
            let is_there = path.symlink_metadata().is_ok_and(|m| m.is_file());
            is_there
                .then_some(path)
                .ok_or_else(|| Error::NotReady(format!("{name} has no log; nothing of it was ever started detached")))
        }
    }
}

fn become_shower(command: &[OsString]) -> Error {
    say(&format!("its output is in the journal: {}", shell_words(command)));
    let error = ask::become_program(command);
    Error::NotFound(format!("cannot execute {}: {error}", quoted(&command[0])))
}

struct Log<'a> {
    path: &'a Path,
    /// The state folder, if the log is in it: nothing there is opened through a symlink.
    folder: Option<&'a Folder>,
}

impl Log<'_> {
    /// Opens the log, which must be a regular file.
    fn open(&self) -> io::Result<File> {
        let place = self.folder.map_or_else(|| log_file::Place::find(self.path), log_file::own)?;
        let file = place.read()?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("it is no regular file")),
        }
    }
}

/// Which side failed: the log, or stdout.
enum Shown {
    Log(io::Error),
    Stdout(io::Error),
}

/// Shows the last lines. With `follow` it goes on until a signal, and returns that.
fn show(log: &Log, mut file: File, lines: usize, follow: bool, out: &mut impl Write) -> Result<Option<i32>, Shown> {
    let mut at = beginning_of_last(&mut file, lines).map_err(Shown::Log)?;
    at += copy(&mut file, at, out)?;
    if !follow {
        return Ok(None);
    }
    let events = Events::catch().map_err(Shown::Log)?;
    loop {
        events.wait(None, INTERVAL);
        if let Some(signal) = events.signal() {
            return Ok(Some(signal));
        }
        let now = log.open().ok();
        // Somebody emptied it (`: >server.log`): all of it is new.
        if file.metadata().map_err(Shown::Log)?.len() < at {
            at = 0;
        }
        // The rest of a rotated log comes first.
        at += copy(&mut file, at, out)?;
        let identity = |file: &File| file.metadata().map(|m| (m.dev(), m.ino())).ok();
        if let Some(next) = now.filter(|next| identity(next) != identity(&file)) {
            (file, at) = (next, 0);
            at += copy(&mut file, at, out)?;
        }
    }
}

/// Copies what the file has from `at` on. Returns the number of bytes.
fn copy(file: &mut File, at: u64, out: &mut impl Write) -> Result<u64, Shown> {
    file.seek(SeekFrom::Start(at)).map_err(Shown::Log)?;
    // Only as much as is there now: a server may write faster than we do.
    let mut there = file.metadata().map_err(Shown::Log)?.len().saturating_sub(at);
    let mut copied = 0;
    let mut block = vec![0; BLOCK as usize];
    while there > 0 {
        let count = file.read(&mut block).map_err(Shown::Log)?;
        if count == 0 {
            break;
        }
        out.write_all(&block[..count]).map_err(Shown::Stdout)?;
        copied += count as u64;
        there = there.saturating_sub(count as u64);
    }
    out.flush().map_err(Shown::Stdout)?;
    Ok(copied)
}

/// The offset at which the last `lines` lines begin. A last line without a newline counts.
fn beginning_of_last(file: &mut File, lines: usize) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut left = lines;
    let mut from = end;
    while from > 0 {
        let size = from.min(BLOCK);
        from -= size;
        file.seek(SeekFrom::Start(from))?;
        let mut block = Vec::with_capacity(size as usize);
        Read::take(&mut *file, size).read_to_end(&mut block)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = from + index as u64 + 1;
            // No line begins behind the last newline.
            if after == end {
                continue;
            }
            if left <= 1 {
                return Ok(if left == 0 { end } else { after });
            }
            left -= 1;
        }
    }
    Ok(if lines == 0 { end } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found_across_blocks() {
        let last = |text: &str, lines: usize| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            let at = beginning_of_last(&mut file, lines).expect("found");
            text[at as usize..].to_owned()
        };
        for (text, lines, shown) in [
            ("", 5, ""),
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\nb\nc\n", 0, ""),
            ("\n\n\n", 1, "\n"),
            ("a", 0, ""),
        ] {
            assert_eq!(last(text, lines), shown, "{text:?}, {lines}");
        }
        let long = "x".repeat(BLOCK as usize * 2);
        assert_eq!(last(&format!("first\n{long}\nlast\n"), 2), format!("{long}\nlast\n"));
        assert_eq!(last(&format!("{long}\nlast\n"), 1), "last\n");
    }
}
