#![forbid(unsafe_code)]
//! What a detached start hears of its server: what the server says on a socket of ours, and its log.

use std::ffi::OsString;
use std::sync::Arc;

use crate::check::{Check, Context, Mailbox, OwnLog};
use crate::error::Error;
use crate::instance::family::Origin;
use crate::instance::notify_socket::{self, NotifySocket};
use crate::service::Service;
use crate::start::log_file::Log;
use crate::start::seat::Seat;
use crate::text::quoted;

/// What a start listens with, as far as its health check needs it. The socket goes with this.
#[derive(Default)]
pub struct Ears {
    socket: Option<NotifySocket>,
    log: Option<Arc<OwnLog>>,
    /// The address of the socket, for the server.
    pub address: Option<OsString>,
}

impl Ears {
    /// Opens what the health check needs, before the server starts.
    ///
    /// # Errors
    /// [`Error::State`] without a socket; [`Error::Config`] for a log that cannot be read.
    pub fn open(service: &Service, seat: &Seat, log: &Log) -> Result<Self, Error> {
        match service.health.as_ref().map(|health| (&health.probe, &health.probe.check)) {
            Some((_, Check::Notify)) => {
                let failed = |why: String| {
                    Error::State(format!("cannot listen to the server for its health check 'notify:': {why}"))
                };
                let address = notify_socket::address(seat.folder(), seat.cookie()).map_err(failed)?;
                let socket = NotifySocket::bind(&address).map_err(|e| failed(e.to_string()))?;
                Ok(Ears { socket: Some(socket), log: None, address: Some(address) })
            }
            Some((probe, Check::Log(_))) => match log.own() {
                Some(own) => Ok(Ears { log: Some(Arc::new(own)), ..Ears::default() }),
                None => Err(Error::Config(format!(
                    "cannot use the health check {}: the log {} is no file that can be read; choose another with --log",
                    quoted(&probe.to_string()),
                    quoted(&log.path)
                ))),
            },
            _ => Ok(Ears::default()),
        }
    }

    /// What the health check sees of the server that `origin` is about.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn context(&self, context: &Arc<Context>, origin: Origin) -> std::io::Result<Arc<Context>> {
        let mailbox = |socket: &NotifySocket| {
            let copy = socket.socket.try_clone()?;
            Ok::<_, std::io::Error>(Arc::new(Mailbox::new(copy, socket.senders(origin))))
        };
        let mailbox = self.socket.as_ref().map(mailbox).transpose()?;
        Ok(match (&mailbox, &self.log) {
            (None, None) => Arc::clone(context),
            _ => Arc::new(Context { mailbox, log: self.log.clone(), ..Context::clone(context) }),
        })
    }
}
