//! Which machine and boot this is (gethostuuid(2)).

use std::ffi::CStr;
use std::io;

use super::super::process::Host;
use super::sysctl::sysctl;

/// Identifies this boot of this machine. macOS has no namespaces and no containers. A value that cannot be read is empty.
pub fn host() -> io::Result<Host> {
    let text = |name: &CStr| {
        let bytes = sysctl(name).unwrap_or_default();
        String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(&bytes)).into_owned()
    };
    let [pid_namespace, time_namespace, container] = Default::default();
    Ok(Host { machine: machine(), boot: text(c"kern.bootsessionuuid"), pid_namespace, time_namespace, container })
}

/// There are none.
pub fn is_pid_namespace_in_use(_namespace: &str) -> bool {
    false
}

/// There are none.
pub fn is_unique_container(_name: &str) -> bool {
    false
}

/// macOS has no namespaces.
pub fn has_users_of_its_own() -> bool {
    false
}

/// Identifies this machine. (`kern.uuid` identifies the kernel: all machines with the same version have the same one.)
fn machine() -> String {
    let mut uuid = [0; 16];
    let limit = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    // SAFETY: a UUID has 16 bytes, and the time is only read.
    match unsafe { libc::gethostuuid(uuid.as_mut_ptr(), &limit) } {
        0 => format!("{:032x}", u128::from_be_bytes(uuid)),
        _ => String::new(),
    }
}
