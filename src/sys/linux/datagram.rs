//! Who sent a datagram (unix(7)).

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

/// The flag with which received descriptors are close-on-exec.
pub const RECEIVED_CLOSE_ON_EXEC: i32 = libc::MSG_CMSG_CLOEXEC;
/// The control message that says who sent a datagram. It begins with the pid.
pub const CREDENTIALS: Option<i32> = Some(libc::SCM_CREDENTIALS);

/// Has the kernel say with each datagram who sent it. False where it cannot.
///
/// # Errors
/// Those of setsockopt(2).
pub fn ask_for_senders(socket: &impl AsFd) -> io::Result<bool> {
    setsockopt(socket, sockopt::PassCred, &true)?;
    Ok(true)
}
