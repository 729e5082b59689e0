//! Which machine, boot, namespaces and container this is (namespaces(7), machine-id(5)).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::container;
use super::super::process::Host;
use super::proc::read;
use super::table::pids;

/// Identifies this boot of this machine, our namespaces and our container. A value that does not exist is empty.
///
/// # Errors
/// When a value cannot be read this time. If it were empty now, a record would seem to come from another machine later.
pub fn host() -> io::Result<Host> {
    let text = |path| lasting(read(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let line = |path| text(path).map(|text| text.trim().to_owned());
    let namespace = |path| lasting(fs::read_link(path)).map(|link: PathBuf| link.to_string_lossy().into_owned());
    let mut host = Host {
        machine: line("/etc/machine-id")?,
        boot: line("/proc/sys/kernel/random/boot_id")?,
        pid_namespace: namespace("/proc/self/ns/pid")?,
        time_namespace: namespace("/proc/self/ns/time")?,
        container: String::new(),
    };
    if host.is_container() {
        host.container = container::name(&text("/proc/self/mountinfo")?, &line("/proc/sys/kernel/hostname")?);
    }
    Ok(host)
}

/// Whether a process that we see is in this pid namespace. Processes that we may not look into are left out.
pub fn is_pid_namespace_in_use(namespace: &str) -> bool {
    let is_in = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|link| link.as_os_str() == namespace);
    pids().unwrap_or_default().into_iter().any(is_in)
}

/// Whether this is a user namespace below the machine's own, where most users of the machine are "nobody".
pub fn has_users_of_its_own() -> bool {
    /// The inode of the machine's own user namespace (PROC_USER_INIT_INO of include/linux/proc_ns.h).
    const OUTERMOST: &str = "user:[4026531837]";
    fs::read_link("/proc/self/ns/user").is_ok_and(|namespace| namespace != Path::new(OUTERMOST))
}

/// Missing or unreadable files count as empty, because that answer is stable. Other errors are returned.
fn lasting<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(T::default()),
        result => result,
    }
}
