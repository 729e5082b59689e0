#![forbid(unsafe_code)]
//! What checks see of the service.

use std::path::PathBuf;
use std::sync::Arc;

use super::log::OwnLog;
use super::neighbour::Services;
use super::notify::Mailbox;
use crate::environment::Environment;
use crate::sys::Nofile;

/// What checks see of the service.
#[derive(Clone, Debug)]
pub struct Context {
    /// The server's environment, less what only the server may answer to.
    pub environment: Environment,
    /// Where commands run.
    pub directory: PathBuf,
    /// The limits that the server will have.
    pub nofile: Nofile,
    /// Where the server that starts says that it is ready.
    pub mailbox: Option<Arc<Mailbox>>,
    /// The log of the server that starts.
    pub log: Option<Arc<OwnLog>>,
    /// The other services.
    pub services: Option<Arc<dyn Services>>,
}

impl Context {
    /// What checks see that ask nothing of the server that starts, and of other services.
    pub fn new(environment: Environment, directory: PathBuf, nofile: Nofile) -> Self {
        Context { environment, directory, nofile, mailbox: None, log: None, services: None }
    }
}
