#![forbid(unsafe_code)]
//! The command line in a unit, and what of the caller's surroundings it needs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::spec::{NOFILE, UnitSpec};
use super::unit::Kind;
use crate::environment::Environment;
use crate::sys::{self, is_same_file};

/// The first flags: the mode, and the config file if there is one.
pub fn base(config: Option<&Path>) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--foreground".into()];
    words.extend(config.into_iter().flat_map(|config| ["--config".into(), config.into()]));
    words
}

/// Flags for defaults that this kind of unit has no setting for.
pub fn defaults(kind: Kind, spec: &UnitSpec) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    if spec.nofile.is_none() && !kind.sets_limits(spec.made.scope) {
        // Without a hard limit the one that is there stays.
        words.extend(["--nofile".into(), NOFILE.to_string().into()]);
    }
    if let Some(number) = kind.notification_fd().filter(|_| spec.health.is_some() && spec.ready_fd.is_none()) {
        words.extend(["--ready-fd".into(), number.to_string().into()]);
    }
    words
}

/// The path of forerun as it was called. A symlink is not resolved, because the target of a package manager's symlink
/// moves with every release.
pub fn own_program(arguments: &[OsString], environment: &Environment, here: &Path) -> Option<PathBuf> {
    let running = sys::own_executable().ok()?;
    let is_us = |path: &PathBuf| is_same_file(path, &running);
    let name = Path::new(arguments.first()?);
    let named = match name.components().count() {
        1 if !arguments[0].as_encoded_bytes().contains(&b'/') => {
            let folders = environment.filled("PATH").map(std::env::split_paths).into_iter().flatten();
            folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(is_us)
        }
        _ => std::path::absolute(here.join(name)).ok().filter(is_us),
    };
    named.or_else(|| running.canonicalize().ok())
}

/// Whether a program is in a folder that is cleaned from time to time: the caches of uv and npx, and those that the
/// system has for caches (XDG_CACHE_HOME; ~/Library/Caches).
pub fn is_in_cache(program: &Path) -> bool {
    const CACHES: [&str; 4] = [".cache", "_npx", "_cacache", "Caches"];
    program.components().any(|part| CACHES.iter().any(|cache| part.as_os_str() == *cache))
}

/// The current folder through the symlinks that the caller used (`PWD` of the shell).
pub fn here(environment: &Environment, actual: &Path) -> PathBuf {
    let named = environment.filled("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    named.filter(|path| is_same_file(path, actual)).unwrap_or(actual.to_owned())
}

/// PATH for the unit: the caller's, without folders that are temporary or that some unit format cannot hold.
pub fn search_path(environment: &Environment) -> String {
    const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const TEMPORARY: [&str; 9] = [
        "/tmp",
        "/var/tmp",
        "/dev",
        "/run",
        "/proc",
        "/private/tmp",
        "/private/var/tmp",
        "/var/folders",
        "/private/var/folders",
    ];
    let temporary = environment.filled("TMPDIR").map(PathBuf::from).filter(|t| t.is_absolute() && t.parent().is_some());
    let mut kept: Vec<String> = Vec::new();
    for folder in environment.filled("PATH").map(std::env::split_paths).into_iter().flatten() {
        let lasts = folder.is_absolute()
            && !TEMPORARY.iter().any(|t| folder.starts_with(t))
            && !temporary.as_ref().is_some_and(|t| folder.starts_with(t));
        match folder.into_os_string().into_string() {
            Ok(folder) if lasts && !kept.contains(&folder) && !folder.contains(is_awkward) => kept.push(folder),
            _ => {}
        }
    }
    if kept.is_empty() { USUAL.to_owned() } else { kept.join(":") }
}

/// Characters that no folder of installed programs contains in practice.
fn is_awkward(c: char) -> bool {
    c.is_control() || "\"'\\;#".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(entries: &[&str]) -> Environment {
        Environment::new(entries.iter().map(OsString::from).collect())
    }

    #[test]
    fn a_path_is_kept_without_its_temporary_folders() {
        for (path, kept) in [
            ("/usr/bin:/tmp/x:/usr/bin:relative:/opt/my bin:/var/folders/a/T", "/usr/bin:/opt/my bin"),
            ("/tmp", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("/a\nb:/c;d:/e", "/e"),
            ("/scratch/bin:/usr/bin:/scratchy", "/usr/bin:/scratchy"),
        ] {
            let environment = environment(&[&format!("PATH={path}"), "TMPDIR=/scratch"]);
            assert_eq!(search_path(&environment), kept, "{path}");
        }
    }
}
