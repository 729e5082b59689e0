//! Attributes of this very process (prctl(2)), and its children.

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

/// Writes down the children of this thread, as many as there is room for, and returns how many. Zero also where /proc does
/// not show them. Async-signal-safe.
pub fn own_children(found: &mut [i32]) -> usize {
    // SAFETY: a C string and flags.
    let file = unsafe { libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return 0;
    }
    let (mut count, mut pid) = (0, 0i32);
    let mut bytes = [0u8; 512];
    loop {
        // SAFETY: the buffer is ours and outlives the call.
        let length = unsafe { libc::read(file, bytes.as_mut_ptr().cast(), bytes.len()) };
        let Some(read) = usize::try_from(length).ok().filter(|&length| length > 0) else { break };
        for &byte in &bytes[..read] {
            match (byte, found.get_mut(count)) {
                (b'0'..=b'9', _) => pid = pid.saturating_mul(10).saturating_add(i32::from(byte - b'0')),
                (_, Some(place)) if pid > 0 => {
                    *place = pid;
                    (count, pid) = (count + 1, 0);
                }
                _ => pid = 0,
            }
        }
    }
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(file) };
    count
}
