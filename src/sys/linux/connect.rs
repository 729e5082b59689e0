//! Connecting within a time.

use std::io;
use std::time::Duration;

use socket2::{SockAddr, Socket};

/// A socket whose connection was refused can try again.
pub const REFUSED_SOCKETS_STAY_GOOD: bool = true;

/// Whether a socket can have a name that is no path.
pub const HAS_ABSTRACT_SOCKETS: bool = true;
/// The most bytes of a socket's path (unix(4), unix(7)), without the end of the text.
pub const LONGEST_SOCKET_NAME: usize = 107;

/// Connects a new socket, or one that was refused before, within `limit`. Leaves it blocking and without a timeout.
///
/// # Errors
/// Those of connect(2), and `TimedOut`.
pub fn connect(socket: &Socket, address: &SockAddr, limit: Duration) -> io::Result<()> {
    // One system call for each attempt. A non-blocking connect takes five.
    socket.set_write_timeout(Some(limit))?;
    match socket.connect(address) {
        Ok(()) => socket.set_write_timeout(None),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Err(io::ErrorKind::TimedOut.into()),
        Err(e) => Err(e),
    }
}
