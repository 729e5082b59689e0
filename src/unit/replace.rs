#![forbid(unsafe_code)]
//! A unit's files, written and removed so that whoever is killed over it leaves one unit or the other.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::File;
use super::installed::Installed;
use crate::sys;

/// Writes a unit. Each file is replaced as a whole: whoever reads it sees the old one or the new one, also after a
/// power failure. What was of the one that is `there` and is not of this one goes.
///
/// # Errors
/// Those of the files; nothing half-written is left in the place of one.
pub fn write(unit: &Path, files: &[File], there: &Installed) -> io::Result<()> {
    let is_folder = files.iter().any(|file| !file.name.is_empty());
    let folder = if is_folder { unit } else { unit.parent().unwrap_or(Path::new("/")) };
    if is_folder && unit.is_symlink() {
        // Not through it: what it leads to is somebody else's.
        fs::remove_file(unit)?;
    }
    fs::create_dir_all(folder)?;
    let is_ours = matches!(there, Installed::Unit(text) if text.marker.is_some());
    let path = |file: &File| if is_folder { unit.join(file.name) } else { unit.to_owned() };
    // All are there before the first is replaced, so that whoever is killed leaves one unit or the other. The marker's
    // file comes last: it says that the others are there.
    let ready: Vec<Ready> =
        files.iter().rev().map(|file| Ready::new(&path(file), file, is_ours)).collect::<io::Result<_>>()?;
    ready.into_iter().try_for_each(Ready::put)?;
    if let Installed::Unit(old) = there {
        for (name, _) in old.files.iter().filter(|(old, _)| !files.iter().any(|file| file.name == old)) {
            gone(fs::remove_file(unit.join(name)))?;
        }
    }
    fs::File::open(folder)?.sync_all()
}

/// That a file is not there is what was asked for.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A file that is written, beside its place.
struct Ready {
    path: PathBuf,
    /// Nothing, once it is in its place.
    temporary: Option<PathBuf>,
}

impl Ready {
    /// `keeps_mode`: who may read the one that is there may read the new one, and nobody else.
    fn new(path: &Path, file: &File, keeps_mode: bool) -> io::Result<Ready> {
        sweep(path);
        let temporary = beside(path, &std::process::id().to_string());
        let ready = Ready { path: path.to_owned(), temporary: Some(temporary.clone()) };
        let there = path.symlink_metadata().ok().filter(|there| keeps_mode && there.is_file());
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        out.write_all(file.text.as_bytes())?;
        let mut mode = there.as_ref().map_or(0o644, |there| there.mode() & 0o777);
        if let Some(there) = there {
            let is_same = out.metadata()?.gid() == there.gid();
            if !is_same && std::os::unix::fs::fchown(&out, None, Some(there.gid())).is_err() {
                // It is ours to read, and not our group's.
                mode &= 0o707;
            }
        }
        if file.executable {
            mode |= (mode & 0o444) >> 2;
        }
        out.set_permissions(fs::Permissions::from_mode(mode))?;
        out.sync_all()?;
        Ok(ready)
    }

    fn put(mut self) -> io::Result<()> {
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path)?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.temporary.take().map(fs::remove_file);
    }
}

/// What a file is called before it is in its place. No supervisor reads a name that begins with a dot.
fn beside(path: &Path, whose: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.forerun-{whose}"))
}

/// Whether a file is called so.
pub fn is_beside(name: &str) -> bool {
    name.starts_with('.') && name.contains(".forerun-")
}

/// What a forerun that was killed left beside a file.
pub fn left_beside(path: &Path) -> Vec<PathBuf> {
    let prefix = beside(path, "").file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(entries) = path.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return Vec::new() };
    let is_left = |name: &str| {
        let pid = name.strip_prefix(&prefix).and_then(|pid| pid.parse::<i32>().ok());
        pid.is_some_and(|pid| sys::process(pid).is_none() || pid == std::process::id() as i32)
    };
    let entries = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_left));
    entries.map(|entry| entry.path()).collect()
}

/// Removes that.
pub fn sweep(path: &Path) {
    left_beside(path).into_iter().for_each(|path| {
        let _ = fs::remove_file(path);
    });
}

/// Removes a unit: the files of these names (none: it is one file), what the supervisor keeps in its folder, and the
/// folder. Says whether something else is in that, and stays.
///
/// # Errors
/// Those of the files.
pub fn remove(unit: &Path, names: &[&str], kept_by_supervisor: &[&str]) -> io::Result<bool> {
    if names.is_empty() || unit.is_symlink() {
        sweep(unit);
        return gone(fs::remove_file(unit)).map(|()| false);
    }
    // The file with the marker last: as long as it is there, whoever comes next knows whose the rest is.
    for name in kept_by_supervisor {
        let path = unit.join(name);
        match path.symlink_metadata() {
            Ok(m) if m.is_dir() => gone(fs::remove_dir_all(&path))?,
            Ok(_) => gone(fs::remove_file(&path))?,
            Err(_) => {}
        }
    }
    for name in names.iter().rev() {
        sweep(&unit.join(name));
        gone(fs::remove_file(unit.join(name)))?;
    }
    match fs::remove_dir(unit) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => Ok(true),
        other => gone(other).map(|()| false),
    }
}
