#![forbid(unsafe_code)]
//! The temporary files of a replacement, which a killed forerun leaves beside the files of a unit.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sys;

/// The temporary name of a file. It begins with a dot, because no supervisor reads such names.
pub fn name_beside(path: &Path, whose: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.forerun-{whose}"))
}

/// Whether a name is such a temporary name.
pub fn is_beside(name: &str) -> bool {
    name.starts_with('.') && name.contains(".forerun-")
}

/// Temporary files that a killed forerun left beside a file.
pub fn left_beside(path: &Path) -> Vec<PathBuf> {
    let prefix = name_beside(path, "").file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(entries) = path.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return Vec::new() };
    let is_left = |name: &str| {
        let pid = name.strip_prefix(&prefix).and_then(|pid| pid.parse::<i32>().ok());
        pid.is_some_and(|pid| sys::process(pid).is_none() || pid == std::process::id() as i32)
    };
    let entries = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_left));
    entries.map(|entry| entry.path()).collect()
}
