#![forbid(unsafe_code)]
//! Says why a command cannot be executed, and what to type instead.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::program;
use crate::check::Lookup;
use crate::error::Error;
use crate::text::{one_line, quoted, shell_words};

/// Words that only a shell knows, and that people write where a program belongs.
const OF_THE_SHELL: [&str; 10] = ["cd", "source", ".", "export", "exec", "set", "ulimit", "umask", "alias", "eval"];

/// The error for a command that was looked for in `directory` and cannot be executed.
pub fn not_found(command: &[OsString], lookup: Lookup, directory: &Path) -> Error {
    let name = &command[0];
    let what = format!("cannot execute {}", quoted(name));
    match lookup {
        Lookup::NotFound(reason) => match hint(command, directory) {
            Some(hint) => Error::NotFound(format!("{what}: {reason}; {hint}")),
            None => Error::NotFound(format!("{what}: {reason}")),
        },
        Lookup::NotExecutable(e) => {
            Error::CannotExecute(format!("{what}: {e}{}", permission_hint(name, &e, directory)))
        }
    }
}

/// The error that an execve of `path` ended with.
pub fn exec_error(command: &[OsString], path: &Path, error: &io::Error) -> Error {
    let message = format!("cannot execute {}: {error}", quoted(&command[0]));
    match error.raw_os_error() {
        // The state of the system, not the command: a supervisor does right to try again.
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => {
            Error::Exhausted(format!("{message}; raise the limits or try again"))
        }
        Some(libc::ENOENT) => Error::NotFound(message + &interpreter_hint(path)),
        Some(libc::ENOEXEC) => {
            Error::CannotExecute(format!("{message}; a script begins with '#!' and its interpreter"))
        }
        Some(libc::E2BIG) => Error::CannotExecute(format!("{message}; {} is too long", quoted(&shell_words(command)))),
        _ => Error::CannotExecute(message),
    }
}

/// The file is there, so it is what should run it that is not.
fn interpreter_hint(path: &Path) -> String {
    let interpreter = program::interpreter(path).map(|(interpreter, _)| interpreter);
    match interpreter.filter(|interpreter| !interpreter.as_os_str().is_empty()) {
        // The kernel takes the carriage return for a part of the name.
        Some(interpreter) if program::has_carriage_return(path) => format!(
            "; its first line ends with a carriage return (CRLF, as Windows writes), so {} is not found; convert the \
             line ends: sed -i 's/\\r$//' {}",
            quoted(&interpreter),
            typed(&[path])
        ),
        Some(interpreter) => {
            format!("; its first line names the interpreter {}, which is not there", quoted(&interpreter))
        }
        None => "; it is there, but its loader is not: it was built for another system".to_owned(),
    }
}

fn permission_hint(name: &OsStr, error: &io::Error, directory: &Path) -> String {
    let is_plain_file = || name.as_bytes().contains(&b'/') && directory.join(name).is_file();
    match error.raw_os_error() {
        Some(libc::EACCES) if is_plain_file() => {
            format!("; make it executable: chmod +x {}", typed(&[name]))
        }
        _ => String::new(),
    }
}

/// What was meant, where a command's name is none that is there.
fn hint(command: &[OsString], directory: &Path) -> Option<String> {
    let name = command[0].to_str()?;
    let whole = typed(&[name]);
    if name.starts_with('-') {
        return Some("options of forerun come before '--', and the command behind it".to_owned());
    }
    if name.contains(char::is_whitespace) && command.len() == 1 {
        return Some(format!("the command is one word: leave its quotes away, or write sh -c {whole}"));
    }
    if name.split_once('=').is_some_and(|(variable, _)| is_variable(variable)) {
        let rest = typed(&command[1..]);
        return Some(format!("a variable is given with --env: forerun --env {whole} -- {rest}"));
    }
    if OF_THE_SHELL.contains(&name) {
        let other = if name == "cd" { "; or give the folder with --cwd" } else { "" };
        return Some(format!("'{name}' is a word of the shell; write sh -c '{name} ...'{other}"));
    }
    if !name.contains('/') && directory.join(name).is_file() {
        return Some(format!("the file is here: write ./{}", one_line(name)));
    }
    None
}

/// Words to type, without what may be a password.
fn typed<S: AsRef<OsStr>>(words: &[S]) -> String {
    one_line(&shell_words(words))
}

fn is_variable(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_said() {
        let room = tempfile::tempdir().expect("a folder");
        std::fs::write(room.path().join("server.py"), "").expect("written");
        for (words, part) in [
            (&["sleep 100"][..], Some("sh -c 'sleep 100'")),
            (&["cd", "x"], Some("--cwd")),
            (&["source", "venv/bin/activate"], Some("sh -c 'source ...'")),
            (&["FOO=1", "cmd", "a b"], Some("forerun --env 'FOO=1' -- cmd 'a b'")),
            (&["server.py"], Some("write ./server.py")),
            (&["1=2"], None),
            (&["--port", "8080", "server"], Some("come before '--'")),
            (&["nothing"], None),
            (&["curl http://me:S3CRET@h/"], Some("sh -c 'curl http://h/'")),
            (&["A=http://me:S3CRET@h/", "x"], Some("--env 'A=http://h/' -- x")),
        ] {
            let command: Vec<OsString> = words.iter().map(OsString::from).collect();
            let said = hint(&command, room.path());
            assert_eq!(said.is_some(), part.is_some(), "{words:?}: {said:?}");
            let said = said.unwrap_or_default();
            assert!(said.contains(part.unwrap_or_default()) && !said.contains("S3CRET"), "{words:?}: {said}");
        }
    }
}
