#![forbid(unsafe_code)]
//! The way to a file: every folder and symlink from `/` on, and the file, as the file system has them. Who may change
//! one of them decides what the path leads to.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::sys;

/// As many symlinks as the kernel follows.
const MOST_LINKS: usize = 40;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Folder,
    Link,
    File,
    /// A device, a pipe or a socket: what is written there is kept by nobody.
    Other,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Its path, without symlinks before its last component.
    pub path: PathBuf,
    pub kind: Kind,
    pub uid: u32,
    pub mode: u32,
    /// The group may write it, and has other members than root and the owner.
    pub is_shared: bool,
}

/// The way to a file, as far as it exists and can be seen. `path` is absolute.
pub fn to(path: &Path) -> Vec<Step> {
    let mut steps: Vec<Step> = step(Path::new("/")).into_iter().collect();
    let mut left = components(path);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(name) = left.pop() {
        if name == ".." {
            // `at` has no symlinks, so the folder above is the one that its path names.
            at.pop();
            continue;
        }
        let path = at.join(&name);
        let Some(step) = step(&path) else { break };
        let kind = step.kind;
        if !steps.contains(&step) {
            steps.push(step);
        }
        match (kind, path.read_link()) {
            (Kind::Link, Ok(target)) if links < MOST_LINKS => {
                links += 1;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                left.extend(components(&target));
            }
            (Kind::Link, _) => break,
            _ => at = path,
        }
    }
    steps
}

/// The components of a path, the last one first.
pub fn components(path: &Path) -> Vec<OsString> {
    let is_kept = |component: &Component| matches!(component, Component::Normal(_) | Component::ParentDir);
    path.components().rev().filter(is_kept).map(|component| component.as_os_str().to_owned()).collect()
}

fn step(path: &Path) -> Option<Step> {
    let status = fs::symlink_metadata(path).ok()?;
    let (uid, mode) = (status.uid(), status.mode() & 0o7777);
    let kind = match status.file_type() {
        kind if kind.is_dir() => Kind::Folder,
        kind if kind.is_symlink() => Kind::Link,
        kind if kind.is_file() => Kind::File,
        _ => Kind::Other,
    };
    let is_open = mode & 0o020 != 0 && matches!(kind, Kind::Folder | Kind::File);
    let is_shared = is_open && sys::members_of_group(status.gid()).iter().any(|&member| member != 0 && member != uid);
    Some(Step { path: path.to_owned(), kind, uid, mode, is_shared })
}
