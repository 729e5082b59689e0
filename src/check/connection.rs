#![forbid(unsafe_code)]
//! The transport of HTTP checks: a connection that was made before the request, and the first bytes that came on it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use socket2::Socket;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

/// ureq's own sizes of a connection's buffers, in bytes.
pub const BUFFER: usize = 128 * 1024;
/// How many bytes of an answer tell which protocol it is.
const FIRST: usize = 64;

/// A connection on its way to the agent, which would resolve in a thread and make a socket for each attempt.
#[derive(Clone, Default, Debug)]
pub struct Connection {
    stream: Arc<Mutex<Option<Socket>>>,
    /// The first bytes that came on it.
    first: Arc<Mutex<Vec<u8>>>,
}

impl Connection {
    /// Hands a connection to the next request.
    pub fn put(&self, stream: Socket) {
        locked(&self.first).clear();
        *locked(&self.stream) = Some(stream);
    }

    /// The first bytes that the server sent.
    pub fn first(&self) -> Vec<u8> {
        locked(&self.first).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Resolver for Connection {
    /// The address is known already; ureq wants one all the same.
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(addresses)
    }
}

impl Connector<()> for Connection {
    type Out = Stream;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Stream>, ureq::Error> {
        let stream = locked(&self.stream).take();
        let first = Arc::clone(&self.first);
        Ok(stream.map(|stream| Stream { stream, first, buffers: LazyBuffers::new(BUFFER, BUFFER) }))
    }
}

/// The transport of such a connection.
#[derive(Debug)]
pub struct Stream {
    stream: Socket,
    first: Arc<Mutex<Vec<u8>>>,
    buffers: LazyBuffers,
}

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|t| *t))?;
        self.stream.write_all(&self.buffers.output()[..amount]).map_err(ureq::Error::Io)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        self.stream.set_read_timeout(timeout.not_zero().map(|t| *t))?;
        let input = self.buffers.input_append_buf();
        let count = self.stream.read(input)?;
        let mut first = locked(&self.first);
        let wanted = FIRST.saturating_sub(first.len()).min(count);
        first.extend_from_slice(&input[..wanted]);
        drop(first);
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        // Asked for before a connection is used again, which none is.
        false
    }
}
