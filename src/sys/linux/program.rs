//! What a process executes, and what it was given: /proc/PID/{comm,cmdline,environ,exe,cwd,personality}.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::procfs::strings;
use super::proc::read;

/// The flag of a process whose addresses are not random (personality(2)).
const NO_RANDOM_ADDRESSES: u32 = 0x0004_0000;

/// Whether the stack of a process begins at a random address, so that it identifies what the process executed.
pub fn has_random_stack(pid: i32) -> bool {
    let text = |path: &str| read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let is_on = text("/proc/sys/kernel/randomize_va_space").is_some_and(|text| text.trim() != "0");
    let personality = text(&format!("/proc/{pid}/personality"));
    let personality = personality.and_then(|text| u32::from_str_radix(text.trim(), 16).ok());
    is_on && personality.is_some_and(|flags| flags & NO_RANDOM_ADDRESSES == 0)
}

/// The number of bytes that the kernel keeps of a process name.
const LONGEST_NAME: usize = 15;

/// The name of the program that a process runs.
pub fn process_name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned();
    // The kernel cuts the name there (`supervise-daemon` is one byte longer). The command line has all of it.
    if name.len() < LONGEST_NAME {
        return Some(name);
    }
    let whole = command_line(pid).and_then(|words| {
        let file = Path::new(words.first()?).file_name()?.to_str()?.to_owned();
        file.starts_with(&name).then_some(file)
    });
    whole.or(Some(name))
}

/// The arguments of a process, as far as it shows them.
pub fn command_line(pid: i32) -> Option<Vec<OsString>> {
    Some(strings(&fs::read(format!("/proc/{pid}/cmdline")).ok()?))
}

/// The environment that a process was started with, as far as it shows it. A server may have overwritten it.
pub fn environment_of(pid: i32) -> Option<Vec<OsString>> {
    Some(strings(&read(&format!("/proc/{pid}/environ")).ok()?))
}

/// The executable of a process.
pub fn executable(pid: i32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    // After an upgrade the old file is gone, while processes still run it.
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(bytes) => Some(OsStr::from_bytes(bytes).into()),
        None => Some(path),
    }
}

/// The current folder of a process.
pub fn working_directory(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}
