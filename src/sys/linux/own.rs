//! Attributes of this very process (prctl(2)).

/// Makes this process the parent of orphans among its descendants. Children do not inherit this.
pub fn set_subreaper() {
    // SAFETY: prctl with this option takes one integer and changes only this process's attribute.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Makes the kernel tell this child to end when we end.
pub fn end_with_parent() {
    // SAFETY: prctl with this option takes one integer and changes only this process's attribute.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0) };
}

/// Sets the name that `ps` shows. Otherwise it would be the name of the link that was executed.
pub fn set_name(name: &std::ffi::CStr) {
    // SAFETY: the name is a C string, of which the kernel copies 16 bytes at most.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}
