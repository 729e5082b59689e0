//! What the tests get from whoever runs them is made plain before the first of them: `nohup`, an editor, a service
//! manager and a login shell hand on other signals, descriptors, variables and another umask. Each program that a
//! test starts, by whatever way, then begins alike.

use std::ffi::{OsStr, c_int};
use std::os::unix::ffi::OsStrExt;

/// Called before `main`, where there is one thread.
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static BEFORE_MAIN: extern "C" fn() = begin_plainly;

extern "C" fn begin_plainly() {
    plain_signals();
    close_descriptors();
    // SAFETY: an integer.
    unsafe { libc::umask(0o022) };
    for (name, value) in std::env::vars_os() {
        if !is_kept(&name, &value) {
            // SAFETY: there is one thread.
            unsafe { std::env::remove_var(name) };
        }
    }
}

/// What is ignored here is at its default in what is started: a handler does not survive an exec. We go on to
/// ignore it: who runs the tests below `nohup` wants them to outlive the terminal.
fn plain_signals() {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: all structs are ours; what is no signal, or not ours to change, is refused. The handler does nothing.
    unsafe {
        for signal in 1..=64 {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN {
                action.sa_flags = libc::SA_RESTART;
                action.sa_sigaction = match signal {
                    libc::SIGCHLD => libc::SIG_DFL,
                    _ => nothing as extern "C" fn(c_int) as libc::sighandler_t,
                };
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

fn close_descriptors() {
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return };
    let numbers: Vec<c_int> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|&number| number > 2) {
        // SAFETY: an integer. Nothing in this process has opened anything yet; the folder's own is closed already.
        unsafe { libc::close(number) };
    }
}

/// What finds programs and folders, and what cargo, the test runner and the tests themselves are told by. Many tests
/// write the path of their folder into a unit or a script as a word: it is one.
fn is_kept(name: &OsStr, value: &OsStr) -> bool {
    match name.as_bytes() {
        b"PATH" | b"HOME" | b"USER" | b"LOGNAME" | b"LD_LIBRARY_PATH" | b"LLVM_PROFILE_FILE" => true,
        b"TMPDIR" => super::is_plain(value),
        name => [&b"CARGO"[..], b"RUST", b"NEXTEST", b"FORERUN_TEST_"].iter().any(|begin| name.starts_with(begin)),
    }
}
