//! The controlling terminal and the user database.

use std::ffi::{CStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Group, User, geteuid};

/// Whether this process has a controlling terminal. Only then can /dev/tty be opened (tty(4)).
pub fn has_controlling_terminal() -> bool {
    open("/dev/tty", OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty()).is_ok()
}

/// The home of the effective user, from the user database. `HOME` differs between a shell, sudo and a system unit.
pub fn home_directory() -> Option<PathBuf> {
    User::from_uid(geteuid()).ok().flatten().map(|user| user.dir)
}

/// A user of this machine.
#[derive(Clone, Debug)]
pub struct Account {
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    pub name: String,
    pub home: PathBuf,
}

/// All users in the user database. Only for a single thread, because the C library keeps its position in the list.
pub fn accounts() -> Vec<Account> {
    let mut all = Vec::new();
    // SAFETY: there is one thread, and the entry that is returned is read before the next one is asked for.
    unsafe {
        libc::setpwent();
        while let Some(entry) = libc::getpwent().as_ref() {
            let text = |pointer| CStr::from_ptr(pointer).to_bytes().to_vec();
            all.push(Account {
                uid: entry.pw_uid,
                gid: entry.pw_gid,
                name: String::from_utf8_lossy(&text(entry.pw_name)).into_owned(),
                home: OsString::from_vec(text(entry.pw_dir)).into(),
            });
        }
        libc::endpwent();
    }
    all
}

/// The users in a group: those that the group database lists, and those whose primary group it is. Only for a single
/// thread, as [`accounts`].
pub fn members_of_group(gid: u32) -> Vec<u32> {
    let listed = Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.mem).unwrap_or_default();
    let listed = listed.iter().filter_map(|name| User::from_name(name).ok().flatten()).map(|user| user.uid.as_raw());
    let primary = accounts().into_iter().filter(|account| account.gid == gid).map(|account| account.uid);
    listed.chain(primary).collect()
}

/// The name of a user, or the number where the user database has none.
pub fn user_name(uid: u32) -> String {
    let user = User::from_uid(uid.into()).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}
