//! Values of the kernel by their names (sysctlbyname(3)).

use std::ffi::CStr;

pub fn number(name: &CStr) -> Option<u64> {
    let bytes = sysctl(name)?;
    match bytes.len() {
        4 => i32::from_ne_bytes(bytes.try_into().ok()?).try_into().ok(),
        8 => i64::from_ne_bytes(bytes.try_into().ok()?).try_into().ok(),
        _ => None,
    }
}

pub fn sysctl(name: &CStr) -> Option<Vec<u8>> {
    let mut bytes = vec![0u8; 256];
    let mut size = bytes.len();
    // SAFETY: the name is a C string and the buffer as large as `size` says.
    let done =
        unsafe { libc::sysctlbyname(name.as_ptr(), bytes.as_mut_ptr().cast(), &mut size, std::ptr::null_mut(), 0) };
    bytes.truncate(size);
    (done == 0).then_some(bytes)
}
