#![forbid(unsafe_code)]
//! Listens to a server that says itself that it is ready.

use std::sync::Arc;

use crate::check::{Context, Mailbox};
use crate::instance::family::Origin;
use crate::instance::notify_socket::NotifySocket;

/// What an attempt sees, with the messages of the server that `origin` is about.
pub fn hearing(context: &Arc<Context>, socket: Option<&NotifySocket>, origin: &Origin) -> Arc<Context> {
    let Some((socket, copy)) = socket.and_then(|socket| Some((socket, socket.socket.try_clone().ok()?))) else {
        return Arc::clone(context);
    };
    let mailbox = Some(Arc::new(Mailbox::new(copy, socket.senders(origin.clone()))));
    Arc::new(Context { mailbox, ..Context::clone(context) })
}
