#![forbid(unsafe_code)]
//! Writes and removes the files of a unit. A forerun that is killed meanwhile leaves either the old unit or the new
//! one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::installed::Installed;
use super::leftover::{left_beside, name_beside};
use super::spec::File;

/// Writes a unit. Each file is replaced as a whole, so a reader sees the old file or the new one, even after a power
/// failure. Files of the old unit (`there`) that the new one does not have are removed.
///
/// # Errors
/// Those of the files. No file is left half-written.
pub fn write(unit: &Path, files: &[File], there: &Installed) -> io::Result<()> {
    let is_folder = files.iter().any(|file| !file.name.is_empty());
    let folder = if is_folder { unit } else { unit.parent().unwrap_or(Path::new("/")) };
    if is_folder && unit.is_symlink() {
        // We do not write through the symlink, because its target belongs to somebody else.
        fs::remove_file(unit)?;
    }
    fs::create_dir_all(folder)?;
    let is_ours = matches!(there, Installed::Unit(text) if text.marker.is_some());
    let path = |file: &File| if is_folder { unit.join(file.name) } else { unit.to_owned() };
    files.iter().try_for_each(|file| make_folder(unit, file.name))?;
    // All new files are complete before the first one is put in place. The file with the marker comes last: it shows
    // that the others are there.
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

/// Makes the folder of a file in a unit (`log/run`). A symlink in its place leads to somebody else's folder.
fn make_folder(unit: &Path, name: &str) -> io::Result<()> {
    let Some((folder, _)) = name.split_once('/') else { return Ok(()) };
    let folder = unit.join(folder);
    match folder.is_symlink() {
        true => Err(io::Error::other(format!("'{}' is a symlink; remove it", folder.display()))),
        false => fs::create_dir_all(folder),
    }
}

/// A file that is missing already counts as removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A new file that is complete and not yet in its place.
struct Ready {
    path: PathBuf,
    /// `None` once the file is in its place.
    temporary: Option<PathBuf>,
}

impl Ready {
    /// `keeps_mode`: the new file keeps mode and group of the old one, so that the same users may read it.
    fn new(path: &Path, file: &File, keeps_mode: bool) -> io::Result<Ready> {
        sweep(path);
        let temporary = name_beside(path, &std::process::id().to_string());
        let ready = Ready { path: path.to_owned(), temporary: Some(temporary.clone()) };
        let there = path.symlink_metadata().ok().filter(|there| keeps_mode && there.is_file());
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        out.write_all(file.text.as_bytes())?;
        let mut mode = there.as_ref().map_or(0o644, |there| there.mode() & 0o777);
        if let Some(there) = there {
            let is_same = out.metadata()?.gid() == there.gid();
            if !is_same && std::os::unix::fs::fchown(&out, None, Some(there.gid())).is_err() {
                // We cannot give the file to the old group, and our own group must not read it instead.
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

/// Removes temporary files that a killed forerun left beside a file.
pub fn sweep(path: &Path) {
    left_beside(path).into_iter().for_each(|path| {
        let _ = fs::remove_file(path);
    });
}

/// Removes a unit: the files of these names (no names: a single file), what the supervisor put into the folder, and the
/// folder. True if the folder stays because it contains other files.
///
/// # Errors
/// Those of the files.
pub fn remove(unit: &Path, names: &[&str], kept_by_supervisor: &[&str]) -> io::Result<bool> {
    if names.is_empty() || unit.is_symlink() {
        sweep(unit);
        return gone(fs::remove_file(unit)).map(|()| false);
    }
    // The file with the marker goes last. As long as it exists, it tells whose the other files are.
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
    for (folder, _) in names.iter().filter_map(|name| name.split_once('/')) {
        // It stays where it has other files, and with it the unit.
        let _ = fs::remove_dir(unit.join(folder));
    }
    match fs::remove_dir(unit) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => Ok(true),
        other => gone(other).map(|()| false),
    }
}
