//! Datagrams that processes of this machine send to a socket of ours, and who sent them. nix gives up what came along
//! where a part of it was cut off, and then leaves descriptors open that nobody knows.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::os;

/// Room for as many descriptors as one message can bring (unix(7)), and for the credentials of its sender.
const CONTROL: usize = 2048;

#[repr(C, align(16))]
struct Control([u8; CONTROL]);

/// A datagram that was received.
#[derive(Debug)]
pub struct Datagram {
    /// How many bytes there are of it.
    pub length: usize,
    /// Nothing of it was cut off.
    pub is_whole: bool,
    /// The pid of its sender, if the kernel says it.
    pub sender: Option<i32>,
    /// What came along. It is closed with this, which is what a sender of BARRIER=1 waits for (sd_notify(3)).
    _passed: Vec<OwnedFd>,
}

/// Takes the next datagram, without waiting for one.
///
/// # Errors
/// `WouldBlock` when there is none; those of recvmsg(2).
pub fn receive(socket: BorrowedFd, bytes: &mut [u8]) -> io::Result<Datagram> {
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: a header of zeroes names no memory.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    let flags = libc::MSG_DONTWAIT | os::RECEIVED_CLOSE_ON_EXEC;
    // SAFETY: the header names buffers of ours, with their sizes, which outlive the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let mut datagram = Datagram {
        length,
        is_whole: message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) == 0,
        sender: None,
        _passed: Vec::new(),
    };
    // SAFETY: the kernel has filled the header and the buffer of control messages, which both live.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&message) };
    // SAFETY: it is null, or a control message in our buffer.
    while let Some(found) = unsafe { header.as_ref() } {
        // SAFETY: only computes where the content of this message begins.
        let content = unsafe { libc::CMSG_DATA(header) };
        #[allow(clippy::unnecessary_cast)] // socklen_t on macOS.
        let size = (found.cmsg_len as usize).saturating_sub(content as usize - header as usize);
        // SAFETY: the content is in our buffer, which is zeroed as far as the kernel wrote nothing.
        let content = unsafe { std::slice::from_raw_parts(content, size) };
        match (found.cmsg_level, found.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                let numbers = content.chunks_exact(size_of::<i32>()).map(number_of).filter(|&number| number >= 0);
                // SAFETY: the kernel opened them for us a moment ago, and nobody else knows them.
                datagram._passed.extend(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
            }
            (libc::SOL_SOCKET, kind) if Some(kind) == os::CREDENTIALS => {
                datagram.sender = content.get(..size_of::<i32>()).map(number_of);
            }
            _ => {}
        }
        // SAFETY: both belong together, as above.
        header = unsafe { libc::CMSG_NXTHDR(&message, header) };
    }
    Ok(datagram)
}

fn number_of(bytes: &[u8]) -> i32 {
    bytes.try_into().map(i32::from_ne_bytes).unwrap_or(-1)
}
