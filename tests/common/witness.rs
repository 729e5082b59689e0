//! A server that changes nothing of what it was started with, for tests that look at it through /proc.
//!
//!     witness FILE [ARG]...   writes to FILE what /proc does not show, then sleeps until it is killed
//!
//! It has no `main` of Rust's: the runtime would change SIGPIPE and open descriptors 0 to 2.
#![no_main]

use std::ffi::{CStr, c_char, c_int, c_ulong};

// SAFETY: this is the one definition of `main` in the program.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, args: *const *const c_char) -> c_int {
    if count < 2 {
        return 64;
    }
    // SAFETY: the C runtime hands `main` that many strings.
    let file = unsafe { CStr::from_ptr(*args.add(1)) }.to_str().expect("UTF-8");
    let (mut subreaper, mut death_signal): (c_int, c_int) = (0, 0);
    let mut timer = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 0 },
    };
    // SAFETY: all three write to variables of ours.
    let alarm = unsafe {
        libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &mut subreaper as *mut c_int as c_ulong, 0, 0, 0);
        libc::prctl(libc::PR_GET_PDEATHSIG, &mut death_signal as *mut c_int as c_ulong, 0, 0, 0);
        libc::getitimer(libc::ITIMER_REAL, &mut timer);
        timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0
    };
    let temporary = format!("{file}.tmp");
    let text = format!("subreaper {subreaper}, death signal {death_signal}, alarm {alarm}\n");
    std::fs::write(&temporary, text).expect("written");
    std::fs::rename(&temporary, file).expect("renamed");
    loop {
        // SAFETY: pause takes nothing.
        unsafe { libc::pause() };
    }
}
