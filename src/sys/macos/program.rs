//! What a process executes, and what it was given: libproc, and KERN_PROCARGS2 of sysctl(3).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::super::darwin;

/// Whether the stack of a process identifies what it executed. macOS does not show it.
pub fn has_random_stack(_pid: i32) -> bool {
    false
}

/// The name of the program that a process runs.
pub fn process_name(pid: i32) -> Option<String> {
    let mut name = [0u8; 64];
    // SAFETY: the buffer is as large as said; the call returns how many bytes it wrote.
    let length = unsafe { libc::proc_name(pid, name.as_mut_ptr().cast(), name.len() as u32) };
    let name = name.get(..usize::try_from(length).ok()?)?;
    if name.is_empty() {
        // For a process of another user (pid 1, or a supervisor that runs as root), the path is still visible.
        return executable(pid)?.file_name().map(|name| name.to_string_lossy().into_owned());
    }
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The arguments of a process, as far as it shows them.
pub fn command_line(pid: i32) -> Option<Vec<OsString>> {
    arguments_and_environment(pid).map(|(arguments, _)| arguments)
}

/// The environment that a process was started with, as far as it shows it.
pub fn environment_of(pid: i32) -> Option<Vec<OsString>> {
    arguments_and_environment(pid).map(|(_, environment)| environment)
}

/// Asks for KERN_PROCARGS2.
fn arguments_and_environment(pid: i32) -> Option<(Vec<OsString>, Vec<OsString>)> {
    let mut mib = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let mut bytes = vec![0u8; 1 << 20];
    let mut size = bytes.len();
    // SAFETY: the mib has three integers, and the buffer is as large as `size` says.
    let done =
        unsafe { libc::sysctl(mib.as_mut_ptr(), 3, bytes.as_mut_ptr().cast(), &mut size, std::ptr::null_mut(), 0) };
    if done != 0 {
        return None;
    }
    darwin::arguments_and_environment(bytes.get(..size)?)
}

/// The executable of a process.
pub fn executable(pid: i32) -> Option<PathBuf> {
    let mut path = vec![0u8; libc::PROC_PIDPATHINFO_MAXSIZE as usize];
    // SAFETY: the buffer is as large as said; the call returns how many bytes it wrote.
    let length = unsafe { libc::proc_pidpath(pid, path.as_mut_ptr().cast(), path.len() as u32) };
    path.truncate(usize::try_from(length).ok().filter(|&l| l > 0)?);
    Some(OsString::from_vec(path).into())
}

/// The current folder of a process.
pub fn working_directory(pid: i32) -> Option<PathBuf> {
    // SAFETY: an all-zero value is valid: it has only integers and arrays of them.
    let mut info: libc::proc_vnodepathinfo = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::proc_vnodepathinfo>() as i32;
    // SAFETY: the buffer is as large as said; the kernel fills all of it or reports fewer bytes.
    let got = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDVNODEPATHINFO, 0, (&raw mut info).cast(), size) };
    if got != size {
        return None;
    }
    let bytes: Vec<u8> = info.pvi_cdir.vip_path.as_flattened().iter().map(|&c| c as u8).collect();
    let path = bytes.split(|&b| b == 0).next().filter(|path| !path.is_empty())?;
    Some(OsStr::from_bytes(path).into())
}
