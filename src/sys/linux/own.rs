//! Attributes of this very process (prctl(2)).

/// Makes this process the parent of orphans among its descendants. Children do not inherit this.
pub fn set_subreaper() {
    // SAFETY: prctl with this option takes one integer and changes only this process's attribute.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Makes the kernel send this child a signal when we end.
pub fn end_with_parent(signal: i32) {
    // SAFETY: prctl with this option takes one integer and changes only this process's attribute.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) };
}

/// Sets the name that `ps` shows. Otherwise it would be the name of the link that was executed.
pub fn set_name(name: &std::ffi::CStr) {
    // SAFETY: the name is a C string, of which the kernel copies 16 bytes at most.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}
