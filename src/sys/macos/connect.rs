//! Connecting within a time.

use std::io;
use std::time::Duration;

use socket2::{SockAddr, Socket};

/// A socket whose connection was refused cannot try again.
pub const REFUSED_SOCKETS_STAY_GOOD: bool = false;

/// Whether a socket can have a name that is no path.
pub const HAS_ABSTRACT_SOCKETS: bool = false;
/// The most bytes of a socket's path (unix(4), unix(7)), without the end of the text.
pub const LONGEST_SOCKET_NAME: usize = 103;

/// Connects a new socket within `limit` and leaves it blocking. (SO_SNDTIMEO does not apply to connect(2) here.)
///
/// # Errors
/// Those of connect(2), and `TimedOut`.
pub fn connect(socket: &Socket, address: &SockAddr, limit: Duration) -> io::Result<()> {
    socket.connect_timeout(address, limit)
}
