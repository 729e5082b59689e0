//! A control group of its own (cgroups(7), version 2) for a server that starts detached: everything that it starts is in
//! it, and nothing else, whatever became of session, parent and environment.
//!
//! There is one only where it costs nothing and is nobody else's to make: in the root group for root where no systemd
//! manages the tree, and in a group that was delegated. No controller is enabled, and where one is enabled for the groups
//! in that place, there is none: it would weigh the whole server like a single process. What does not work is silent.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::super::fd::try_lock;
use super::super::procfs;
use super::super::whole::note;

/// Where version 2 is, alone or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// There where the manager of the machine divides the tree (sd_booted(3)).
const MANAGED: &str = "/run/systemd/system";
/// By these systemd marks a group as delegated, for root and for everybody.
const DELEGATED: [&std::ffi::CStr; 2] = [c"user.delegate", c"trusted.delegate"];
const PREFIX: &str = "forerun-";
/// CLONE_INTO_CGROUP, which not every libc has.
const INTO_GROUP: u64 = 0x2_0000_0000;
const PROCS: &str = "cgroup.procs";
/// How long the kernel may take to let go of processes that have ended.
const TRIES: u32 = 20;
const STEP: Duration = Duration::from_millis(1);

/// The path of our control group, as systemd names it.
pub fn cgroup() -> Option<String> {
    cgroup_of(std::process::id() as i32)
}

/// The path of a process's control group, as systemd names it.
pub fn cgroup_of(pid: i32) -> Option<String> {
    procfs::group(&note(fs::read_to_string(format!("/proc/{pid}/cgroup"))).ok()?).map(str::to_owned)
}

/// A control group of our own. It is removed when this is dropped without [`OwnGroup::keep`].
pub struct OwnGroup {
    path: String,
    /// Locked, so that no other forerun takes an empty group for one that is left over.
    folder: OwnedFd,
    is_kept: bool,
}

impl OwnGroup {
    /// Makes a group, and removes those of instances that have ended by themselves. If we are in the group of another
    /// instance, we leave it first, because what we start is not of that one.
    pub fn make(name: &str) -> Option<Self> {
        let made = Self::try_make(name).inspect_err(|e| log::debug!("no control group for the server: {e}"));
        made.ok().flatten()
    }

    fn try_make(name: &str) -> io::Result<Option<Self>> {
        let text = fs::read_to_string("/proc/self/cgroup")?;
        let Some(ours) = procfs::group_v2(&text) else { return Ok(None) };
        let base = outside(ours);
        let is_inside = base != ours;
        let Some(mount) = mount() else { return Ok(None) };
        let place = within(mount, base);
        let may_be_divided = is_delegated(base, &place) || (base == "/" && is_for_root());
        if is_inside {
            fs::write(place.join(PROCS), "0")?;
        }
        let is_whole = || io::Result::Ok(procfs::shows_all_groups(&fs::read_to_string("/proc/self/mountinfo")?, mount));
        let is_free = || io::Result::Ok(fs::read_to_string(place.join("cgroup.subtree_control"))?.trim().is_empty());
        if !may_be_divided || !is_whole()? || !is_free()? {
            return Ok(None);
        }
        sweep(&place);
        let name = format!("{PREFIX}{name}");
        let folder = locked(&place.join(&name))?;
        let path = format!("{}/{name}", base.trim_end_matches('/'));
        Ok(Some(OwnGroup { path, folder, is_kept: false }))
    }

    /// Its path, as /proc shows it for every process in it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether a process is in it.
    pub fn holds(&self, pid: i32) -> bool {
        cgroup_of(pid).as_ref() == Some(&self.path)
    }

    /// Leaves it there.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl AsFd for OwnGroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        if !self.is_kept {
            remove_group(&self.path);
        }
    }
}

/// Removes a group that forerun made, unless a process is in it.
pub fn remove_group(path: &str) {
    end(path, false);
}

/// Removes a group that forerun made. What is in it goes on outside, as it would have been without it.
pub fn dissolve_group(path: &str) {
    end(path, true);
}

fn end(path: &str, moves_out: bool) {
    let base = outside(path);
    let Some(mount) = mount().filter(|_| base != path && !path.contains("/../")) else { return };
    let (folder, outside) = (within(mount, path), within(mount, base).join(PROCS));
    for _ in 0..TRIES {
        if !matches!(remove(&folder), Err(e) if e.kind() == io::ErrorKind::ResourceBusy) {
            return;
        }
        let inside = fs::read_to_string(folder.join(PROCS)).unwrap_or_default();
        // A process of another pid namespace is shown as 0, which would be ourselves.
        let moved = inside.lines().filter(|pid| moves_out && *pid != "0" && fs::write(&outside, pid).is_ok()).count();
        if moved == 0 && !inside.is_empty() {
            break;
        }
        if moved == 0 {
            std::thread::sleep(STEP);
        }
    }
    log::debug!("the control group '{}' is in use and stays", folder.display());
}

/// Removes a group with the empty ones that a server left in it (a container's).
fn remove(folder: &Path) -> io::Result<()> {
    let removed = fs::remove_dir(folder);
    if !matches!(&removed, Err(e) if e.kind() == io::ErrorKind::ResourceBusy) {
        return removed;
    }
    let below = fs::read_dir(folder)?.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let count = below.filter(|entry| remove(&entry.path()).is_ok()).count();
    if count > 0 { fs::remove_dir(folder) } else { removed }
}

/// Makes a group that nobody takes for one that is left over. Whoever does so before it is locked has removed it, or is
/// about to.
fn locked(folder: &Path) -> io::Result<OwnedFd> {
    for _ in 0..TRIES {
        let made = fs::DirBuilder::new().mode(0o755).create(folder);
        made.or_else(|e| if e.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })?;
        match opened(folder) {
            Ok(opened) if try_lock(opened.as_fd()).unwrap_or(true) && folder.exists() => return Ok(opened),
            _ => std::thread::sleep(STEP),
        }
    }
    fs::remove_dir(folder)?;
    Err(io::Error::other("another forerun had it locked all the time"))
}

fn opened(folder: &Path) -> io::Result<OwnedFd> {
    Ok(open(folder, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Removes the groups in which nothing is left. Where another forerun is about to start a server, it has the lock.
fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_ours)) {
        let Ok(folder) = opened(&entry.path()) else { continue };
        // The lock is held until it is gone.
        if try_lock(folder.as_fd()).unwrap_or(false) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// fork(2), where the child is in this group from its first moment on. That takes no time, whereas moving a process
/// waits for all processors. Where it is not possible, the child is where we are.
///
/// # Safety
/// As for fork(2). What libc does at a fork is not done: the child may only call what is async-signal-safe.
pub unsafe fn fork_into(group: Option<BorrowedFd>) -> i32 {
    if let Some(group) = group {
        // SAFETY: zeros are valid for all of its fields.
        let mut request: libc::clone_args = unsafe { std::mem::zeroed() };
        request.flags = INTO_GROUP;
        request.exit_signal = libc::SIGCHLD as u64;
        request.cgroup = group.as_raw_fd() as u64;
        // SAFETY: the struct outlives the call. No memory is shared with the child, so that it needs no stack.
        let child = unsafe { libc::syscall(libc::SYS_clone3, &request, size_of_val(&request)) };
        if child >= 0 {
            return child as i32;
        }
    }
    // SAFETY: as our caller says.
    unsafe { libc::fork() }
}

/// Whether the last part of a path is a group that forerun made.
pub fn is_own_group(path: &str) -> bool {
    outside(path) != path
}

/// The group that the groups of forerun at the end of a path are in.
fn outside(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", name)) if is_ours(name) => "/",
        Some((above, name)) if is_ours(name) => outside(above),
        _ => path,
    }
}

/// Whether a group's name is one that forerun gives: `forerun-NAME-<16 hex digits>`.
fn is_ours(name: &str) -> bool {
    let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-')).map(|(_, digits)| digits);
    digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn within(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

/// The tree of version 2.
fn mount() -> Option<&'static Path> {
    let is_one = |path: &&Path| statfs(*path).is_ok_and(|status| status.filesystem_type() == CGROUP2_SUPER_MAGIC);
    MOUNTS.iter().map(Path::new).find(is_one)
}

/// Whether root may make groups at the top: nobody else divides it.
fn is_for_root() -> bool {
    nix::unistd::geteuid().is_root() && !is_divided()
}

/// Whether a manager of the machine divides the top into groups. Pid 1 is not at the top then: where there are groups
/// below it that do the work, no process may be in it (cgroups(7), "no internal processes").
fn is_divided() -> bool {
    let is_below = |text: String| procfs::group_v2(&text).is_some_and(|path| outside(path) != "/");
    Path::new(MANAGED).exists() || fs::read_to_string("/proc/1/cgroup").is_ok_and(is_below)
}

/// Whether a group is its users' to divide. The top is never so where a manager divides it.
fn is_delegated(base: &str, place: &Path) -> bool {
    let Ok(folder) = opened(place) else { return false };
    let is_marked = |name: &&std::ffi::CStr| {
        let mut value = [0u8; 2];
        // SAFETY: the name ends with a zero, and the value has as many bytes as it says.
        let length =
            unsafe { libc::fgetxattr(folder.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        length == 1 && value[0] == b'1'
    };
    DELEGATED.iter().any(is_marked) && (base != "/" || !is_divided())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_forerun_is_found_by_its_name_alone() {
        for (path, base) in [
            ("/", "/"),
            ("/forerun-web-0123456789abcdef", "/"),
            ("/a.service/forerun-web-0123456789abcdef", "/a.service"),
            ("/a.service/forerun-web-0123456789abcdef/forerun-b-c-0123456789abcdef", "/a.service"),
            ("/forerun-web-0123456789abcdef/crun", "/forerun-web-0123456789abcdef/crun"),
            ("/forerun-web-0123456789abcdeg", "/forerun-web-0123456789abcdeg"),
            ("/forerun-0123456789abcdef", "/forerun-0123456789abcdef"),
            ("/../forerun", "/../forerun"),
        ] {
            assert_eq!(outside(path), base, "{path}");
        }
    }
}
