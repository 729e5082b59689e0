#![forbid(unsafe_code)]
//! `--env-file FILE`, and `?FILE` for one that may be absent.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An env-file that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnvFile {
    pub path: PathBuf,
    pub may_be_absent: bool,
}

impl EnvFile {
    /// A name that begins with `?` is written `./?NAME`.
    pub fn read(word: &OsStr) -> Self {
        let bytes = word.as_bytes();
        let path = bytes.strip_prefix(b"?");
        EnvFile { path: OsStr::from_bytes(path.unwrap_or(bytes)).into(), may_be_absent: path.is_some() }
    }

    /// The same, seen from any folder.
    pub fn within(&self, folder: &Path) -> Self {
        EnvFile { path: folder.join(&self.path), may_be_absent: self.may_be_absent }
    }

    /// The word that it is read from.
    pub fn word(&self) -> OsString {
        let mut word = OsString::from(if self.may_be_absent { "?" } else { "" });
        word.push(&self.path);
        word
    }
}
