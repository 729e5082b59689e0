//! Connecting within a time.

use std::io;
use std::time::Duration;

use socket2::{SockAddr, Socket};

/// A socket whose connection was refused cannot try again.
pub const REFUSED_SOCKETS_STAY_GOOD: bool = false;

/// Connects a new socket within `limit` and leaves it blocking. (SO_SNDTIMEO does not apply to connect(2) here.)
///
/// # Errors
/// Those of connect(2), and `TimedOut`.
pub fn connect(socket: &Socket, address: &SockAddr, limit: Duration) -> io::Result<()> {
    socket.connect_timeout(address, limit)
}
