#![forbid(unsafe_code)]
//! The command of a service.

use std::ffi::OsString;

use super::file::File;
use super::wrong::{Fault, Wrong};

/// The command of the command line, else of the file. The file's is validated even if it is not used.
/// `is_optional`: nothing is started.
pub fn command(given: &[OsString], file: &File, is_optional: bool) -> Result<Vec<OsString>, Fault> {
    let mut words = given.to_vec();
    if let Some(list) = &file.command {
        let in_file = &list.get_ref().0;
        if in_file.first().is_none_or(String::is_empty) || in_file.iter().any(|w| w.contains('\0')) {
            return Err(Wrong::at(list, "the command is empty or has a NUL byte").into());
        }
        if words.is_empty() {
            words = in_file.iter().map(OsString::from).collect();
        }
    }
    match words.first() {
        Some(name) if name.is_empty() => Err(Fault::Usage("the command's name is empty".to_owned())),
        None if !is_optional => {
            Err(Fault::Usage("no command: write it after '--', or as 'command' in forerun.toml".to_owned()))
        }
        _ => Ok(words),
    }
}
