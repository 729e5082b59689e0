#![forbid(unsafe_code)]
//! Listens to a server that says itself that it is ready, and goes over to watching it.

use std::sync::Arc;

use super::state::Sidecar;
use crate::check::{Context, Mailbox};
use crate::instance::family::{self, Origin};
use crate::instance::notify_socket::NotifySocket;
use crate::text::quoted;

/// What an attempt sees, with the messages of the server that `origin` is about.
pub(super) fn hearing(context: &Arc<Context>, socket: Option<&NotifySocket>, origin: &Origin) -> Arc<Context> {
    let Some((copy, socket)) = socket.and_then(|socket| Some((socket.socket.try_clone().ok()?, socket))) else {
        return Arc::clone(context);
    };
    let origin = origin.clone();
    let is_of_server = move |pid| family::look(&origin).is_ok_and(|family| family.has(pid));
    let known = socket.knows_senders.then(|| Box::new(is_of_server) as _);
    Arc::new(Context { mailbox: Some(Arc::new(Mailbox::new(copy, known))), ..Context::clone(context) })
}

impl Sidecar {
    /// From here on the server is watched. It is heard no more: a server that sends on to a socket that nobody reads
    /// would stand still once that is full.
    pub(super) fn goes_over_to_watching(&mut self) {
        self.hears = None;
        let Some(attempter) = &mut self.attempter else { return };
        attempter.context = Arc::clone(&self.context);
        match self.watch_check.take() {
            Some(probe) => {
                self.check = quoted(&probe.to_string());
                attempter.probe = probe;
            }
            None if attempter.probe.check.is_told() => self.attempter = None,
            None => {}
        }
    }
}
