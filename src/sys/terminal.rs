//! The terminal and the user database.

use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{User, geteuid};

/// Whether this process has a controlling terminal: /dev/tty opens only then.
pub fn has_controlling_terminal() -> bool {
    open("/dev/tty", OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty()).is_ok()
}

/// The effective user's home in the user database. `HOME` differs between a shell, sudo and a system unit.
pub fn home_directory() -> Option<PathBuf> {
    User::from_uid(geteuid()).ok().flatten().map(|user| user.dir)
}
