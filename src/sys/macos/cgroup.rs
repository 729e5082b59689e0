//! Control groups: macOS has none.

use std::os::fd::{AsFd, BorrowedFd};

/// macOS has no control groups.
pub fn cgroup() -> Option<String> {
    None
}

/// macOS has no control groups.
pub fn cgroup_of(_pid: i32) -> Option<String> {
    None
}

/// A control group of our own: macOS has none.
pub enum OwnGroup {}

impl OwnGroup {
    pub fn make(_name: &str) -> Option<Self> {
        None
    }

    pub fn path(&self) -> &str {
        match *self {}
    }

    pub fn holds(&self, _pid: i32) -> bool {
        match *self {}
    }

    pub fn keep(self) {
        match self {}
    }
}

impl AsFd for OwnGroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

/// macOS has no control groups.
pub fn is_own_group(_path: &str) -> bool {
    false
}

/// macOS has no control groups.
pub fn remove_group(_path: &str) {}

/// macOS has no control groups.
pub fn dissolve_group(_path: &str) {}

/// fork(2).
///
/// # Safety
/// As for fork(2): the child may only call what is async-signal-safe.
pub unsafe fn fork_into(_group: Option<BorrowedFd>) -> i32 {
    // SAFETY: as our caller says.
    unsafe { libc::fork() }
}
