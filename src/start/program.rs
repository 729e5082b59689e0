#![forbid(unsafe_code)]
//! Which file a process runs once a command has been executed. The record keeps it, to tell what a dead server left
//! behind from other processes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::check;
use crate::environment::Environment;

/// The length of a script's first line that the kernel reads, in bytes (execve(2)).
const FIRST_LINE: u64 = 255;
/// How many interpreters of interpreters the kernel follows.
const DEPTH: usize = 4;

/// The program that a command at `path` runs as: a script runs as its interpreter, `env` as the command that it
/// executes. `None` where that cannot be known. What a shell script executes in the end is not looked at.
pub fn of(path: &Path, command: &[OsString], environment: &Environment, directory: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    let mut arguments = command.get(1..).unwrap_or_default().to_vec();
    for _ in 0..=DEPTH {
        if path.file_name() == Some(OsStr::new("env")) {
            let skipped = arguments.iter().take_while(|word| word.as_bytes().contains(&b'=')).count();
            arguments.drain(..skipped);
            // Options of `env` can change the search.
            let name = arguments.first().filter(|name| !name.as_bytes().starts_with(b"-"))?;
            path = check::find(name, environment, directory).ok()?;
            arguments.remove(0);
        } else if let Some((interpreter, argument)) = interpreter(&path) {
            arguments = argument.into_iter().chain([path.into()]).chain(arguments).collect();
            path = interpreter;
        } else {
            return path.canonicalize().ok();
        }
    }
    None
}

/// The interpreter of a script, and its one argument.
pub fn interpreter(path: &Path) -> Option<(PathBuf, Option<OsString>)> {
    let start = first_line(path)?;
    let line = start.strip_prefix(b"#!")?.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (interpreter, argument) = line.split_at(end);
    let argument = Some(argument.trim_ascii_start()).filter(|a| !a.is_empty()).map(|a| OsStr::from_bytes(a).to_owned());
    Some((OsStr::from_bytes(interpreter).into(), argument))
}

/// Whether the first line of a file ends as Windows ends lines.
pub fn has_carriage_return(path: &Path) -> bool {
    first_line(path).is_some_and(|line| line.ends_with(b"\r"))
}

/// The first line of a file, without its end.
fn first_line(path: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    // A FIFO without a writer must not block.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    file.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    start.truncate(start.iter().position(|&b| b == b'\n').unwrap_or(start.len()));
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_run_as_their_interpreters_and_env_as_what_it_executes() {
        let room = tempfile::tempdir().expect("a folder");
        let shell = Path::new("/bin/sh").canonicalize().expect("a shell");
        let environment = Environment::new(vec!["PATH=/usr/bin:/bin".into()]);
        let program = |text: &str, words: &[&str]| {
            let path = room.path().join("script");
            std::fs::write(&path, text).expect("written");
            let command: Vec<_> = words.iter().map(OsString::from).collect();
            of(&path, &command, &environment, room.path())
        };
        for text in ["#!/bin/sh\n", "#! /bin/sh -e\n", "#!/usr/bin/env sh\n", "#!/bin/sh"] {
            assert_eq!(program(text, &["script"]), Some(shell.clone()), "{text}");
        }
        let script = room.path().join("script").canonicalize().expect("there");
        assert_eq!(program("no script", &["script", "x"]), Some(script));
        assert_eq!(program("#!/usr/bin/env -S sh -e\n", &["script"]), None);
        let words: Vec<_> = ["env", "A=1", "sh"].iter().map(OsString::from).collect();
        assert_eq!(of(Path::new("/usr/bin/env"), &words, &environment, room.path()), Some(shell));
    }
}
