#![forbid(unsafe_code)]
//! Checks of this machine: executables, files, variables, pools.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::operand::Operand;
use super::port;
use super::reason::Reason;
use crate::environment::Environment;
use crate::sys;
use crate::text::{one_line, quoted};

/// Where commands are looked for when there is no PATH, as execvp(3) does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Why a command cannot be executed.
#[derive(Debug)]
pub enum Lookup {
    NotFound(String),
    NotExecutable(io::Error),
}

/// The file that a command's name stands for, on the PATH of `environment`.
///
/// # Errors
/// Tells what is not there from what is there and cannot be executed.
pub fn find(name: &OsStr, environment: &Environment, directory: &Path) -> Result<PathBuf, Lookup> {
    if name.as_bytes().contains(&b'/') {
        let path = directory.join(name);
        return match fs::metadata(&path) {
            Ok(file) if file.is_dir() => Err(Lookup::NotExecutable(io::ErrorKind::IsADirectory.into())),
            Ok(file) if file.permissions().mode() & 0o111 == 0 => {
                Err(Lookup::NotExecutable(io::Error::from_raw_os_error(libc::EACCES)))
            }
            Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(Lookup::NotExecutable(e))
            }
            Err(e) => Err(Lookup::NotFound(e.to_string())),
            Ok(_) => Ok(path),
        };
    }
    let path = environment.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
    // Its error's text has no operand, and calls a file without the x bit "not found".
    if let Some(found) = which::which_in_all(name, Some(path), directory).ok().and_then(|mut all| all.next()) {
        return Ok(found);
    }
    let there = std::env::split_paths(path)
        .any(|folder| fs::metadata(directory.join(folder).join(name)).is_ok_and(|f| f.is_file()));
    match there && !name.is_empty() {
        true => Err(Lookup::NotExecutable(io::Error::from_raw_os_error(libc::EACCES))),
        false => Err(Lookup::NotFound(format!("not found in PATH {}", quoted(path)))),
    }
}

pub fn command(name: &OsString, context: &Context) -> Result<(), String> {
    match find(name, &context.environment, &context.directory) {
        Ok(_) => Ok(()),
        Err(Lookup::NotFound(reason)) => Err(reason),
        Err(Lookup::NotExecutable(error)) => Err(error.to_string()),
    }
}

pub fn file(path: &Path) -> Result<(), Reason> {
    // A FIFO or a device is looked at, not opened: opening can block, or do something.
    let file = fs::metadata(path)?;
    if file.is_dir() {
        return Err(Reason::Text("it is a directory".to_owned()));
    }
    if file.is_file() {
        fs::File::open(path)?;
    }
    Ok(())
}

pub fn directory(path: &Path) -> Result<(), Reason> {
    Ok(fs::read_dir(path).map(drop)?)
}

/// The name that an operand is.
///
/// # Errors
/// What to write in its place.
pub fn name_of_variable(operand: &Operand) -> Result<String, String> {
    match operand.raw.as_bytes().iter().position(|&b| b == b'=') {
        Some(at) => {
            let name = one_line(OsStr::from_bytes(&operand.raw.as_bytes()[..at]));
            Err(format!("a variable's name has no '='; write env:{name}"))
        }
        None => operand.text().map(ToOwned::to_owned),
    }
}

pub fn variable(name: &str, context: &Context) -> Result<(), String> {
    match context.environment.get(name) {
        Some(value) if !value.is_empty() => Ok(()),
        Some(_) => Err("it is empty".to_owned()),
        None => Err("it is not set".to_owned()),
    }
}

pub fn descriptors(count: u64, context: &Context) -> Result<(), String> {
    let limit = context.nofile.soft;
    let free = limit.saturating_sub(sys::open_descriptors().len() as u64);
    match free >= count {
        true => Ok(()),
        false => Err(format!("{free} descriptors can be opened under the limit of {limit}; raise it with --nofile")),
    }
}

pub fn ptys(count: u64) -> Result<(), String> {
    let (used, most) = sys::ptys().map_err(|e| e.to_string())?;
    let free = most.saturating_sub(used);
    if free >= count {
        return Ok(());
    }
    let holder = sys::most_ptys().map(|(pid, held)| format!("; {} holds {held}", port::describe(pid)));
    Err(format!("{free} pseudo-terminals are free, of {most}{}", holder.unwrap_or_default()))
}
