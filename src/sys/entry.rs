//! The C `main`. Rust's own start-up code would change SIGPIPE and open descriptors 0 to 2 before any code of ours runs
//! (std::sys::pal::unix::init). The server would inherit both. So this `main` replaces that start-up code.

use std::ffi::OsString;
#[cfg(not(test))]
use std::ffi::{CStr, c_char, c_int};
#[cfg(not(test))]
use std::os::unix::ffi::OsStringExt;

use super::signal::Dispositions;

/// What the process was started with.
pub struct Started {
    /// The arguments, the program's name first.
    pub args: Vec<OsString>,
    /// The entries of the environment as they came, with their order, duplicates and entries without `=`.
    pub environment: Vec<OsString>,
    /// The signal dispositions that the server must get back.
    pub dispositions: Dispositions,
}

/// The program's entry point.
// SAFETY: this is the one definition of `main` in the program; the test harness brings its own.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub extern "C" fn main(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) -> c_int {
    super::fd::fill_standard_descriptors();
    let started = Started {
        // SAFETY: the C runtime hands `main` argc strings and an environment that ends with a null pointer.
        args: unsafe { strings(argv, argc as usize) },
        // SAFETY: as above.
        environment: unsafe { strings(envp, usize::MAX) },
        dispositions: Dispositions::take_over(),
    };
    crate::run(started)
}

/// Copies up to `most` C strings from an array that may end earlier with a null pointer.
///
/// # Safety
/// `array` points to `most` valid C strings, or to fewer that are followed by a null pointer.
#[cfg(not(test))]
unsafe fn strings(array: *const *const c_char, most: usize) -> Vec<OsString> {
    let mut strings = Vec::with_capacity(48);
    for i in 0..most {
        // SAFETY: the caller's promise: everything before the end or the null pointer is valid.
        let string = unsafe {
            let pointer = *array.add(i);
            if pointer.is_null() {
                break;
            }
            CStr::from_ptr(pointer)
        };
        strings.push(OsString::from_vec(string.to_bytes().to_vec()));
    }
    strings
}
