#![forbid(unsafe_code)]
//! The name of a service.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::file::File;
use super::wrong::Fault;
use super::wrong::Wrong;
pub use crate::text::is_service_name as is_name;
use crate::text::{SERVICE_NAMES as EXPECTED, quoted};

/// A name from the command line.
pub fn asked(name: &OsStr) -> Result<String, Fault> {
    let valid = name.to_str().filter(|n| is_name(n));
    valid.map(str::to_owned).ok_or_else(|| Fault::Usage(format!("invalid name {}: {EXPECTED}", quoted(name))))
}

/// The name that was asked for, else the folder's, else the command's: `/`, a unit's default folder, has no name.
pub fn resolve(given: Option<&OsStr>, file: &File, directory: &Path, command: &[OsString]) -> Result<String, Fault> {
    if let Some(name) = given {
        return asked(name);
    }
    if let Some(name) = &file.name {
        return match is_name(name.get_ref()) {
            true => Ok(name.get_ref().clone()),
            false => Err(Wrong::at(name, format!("invalid name {}: {EXPECTED}", quoted(name.get_ref()))).into()),
        };
    }
    let program = command.first().and_then(|c| Path::new(c).file_name());
    let name = directory.file_name().and_then(as_name).or(program.and_then(as_name));
    Ok(name.unwrap_or_else(|| "server".to_owned()))
}

/// Makes a service's name of a file's: bytes that a name cannot have become `-`.
fn as_name(file_name: &OsStr) -> Option<String> {
    let bytes = file_name.as_bytes().iter().take(64);
    let name: String =
        bytes.map(|&b| if b.is_ascii() && is_name(&format!("x{}", b as char)) { b as char } else { '-' }).collect();
    Some(name).filter(|n| is_name(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_and_folders_become_names() {
        for good in ["a", "web.ui_2@x-1", "..."] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(as_name(OsStr::new("my app")), Some("my-app".to_owned()));
        assert_eq!(as_name(OsStr::from_bytes(b"\xff\n")), Some("--".to_owned()));
        assert_eq!(as_name(OsStr::new(&"x".repeat(200))).map(|n| n.len()), Some(64));
    }
}
