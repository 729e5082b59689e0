#![forbid(unsafe_code)]
//! The connection of an attempt that waits for its answer. Another thread can end it, and say what is silent.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard};

use socket2::Socket;

use super::answer;
use super::reason::NO_ANSWER;

/// The connection of one attempt at a time.
#[derive(Clone, Default, Debug)]
pub struct InFlight(Arc<Mutex<State>>);

#[derive(Default, Debug)]
struct State {
    /// The same connection by a descriptor of our own: the other one may be closed at any moment.
    socket: Option<Socket>,
    is_over: bool,
    /// The proxy that is between.
    proxy: Option<String>,
}

impl InFlight {
    /// Notes a connection on which an answer is waited for.
    ///
    /// # Errors
    /// When no answer is wanted any more, or no descriptor is left.
    pub fn note(&self, connection: impl AsFd) -> io::Result<()> {
        let mut state = self.lock();
        if state.is_over {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.socket = Some(connection.as_fd().try_clone_to_owned()?.into());
        Ok(())
    }

    /// The attempt is over.
    pub fn clear(&self) {
        self.lock().socket = None;
    }

    /// Notes the proxy that the attempts go through.
    pub fn goes_through(&self, proxy: &str) {
        self.lock().proxy = Some(proxy.to_owned());
    }

    /// The words for an attempt that gets no answer.
    pub fn silence(&self) -> String {
        let proxy = self.lock().proxy.clone();
        proxy.map_or_else(|| NO_ANSWER.to_owned(), |proxy| answer::through(&proxy, NO_ANSWER))
    }

    /// Whether an attempt is connected and waits.
    pub fn waits(&self) -> bool {
        self.lock().socket.is_some()
    }

    /// Ends the attempt, and each later one.
    pub fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        if let Some(socket) = state.socket.take() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
