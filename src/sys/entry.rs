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

/// Defines the program's entry point, which calls a `fn(Started) -> i32` and ends with the status that it returns.
#[cfg(not(test))]
macro_rules! entry {
    ($run:path) => {
        // SAFETY: this is the one definition of `main` in the program; the test harness brings its own.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn main(
            argc: std::ffi::c_int,
            argv: *const *const std::ffi::c_char,
            envp: *const *const std::ffi::c_char,
        ) -> std::ffi::c_int {
            // SAFETY: the C runtime hands `main` argc strings and an environment that ends with a null pointer.
            $run(unsafe { $crate::sys::begin(argc, argv, envp) })
        }
    };
}
#[cfg(not(test))]
pub(crate) use entry;

/// What the C runtime handed to `main`. Fills the standard descriptors, and sets forerun's own signal dispositions.
///
/// # Safety
/// `argv` points to `argc` valid C strings, and `envp` to valid C strings that are followed by a null pointer.
#[cfg(not(test))]
pub unsafe fn begin(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) -> Started {
    super::fd::fill_standard_descriptors();
    Started {
        // SAFETY: as our caller says.
        args: unsafe { strings(argv, argc as usize) },
        // SAFETY: as above.
        environment: unsafe { strings(envp, usize::MAX) },
        dispositions: Dispositions::take_over(),
    }
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
