#![forbid(unsafe_code)]
//! What checks see of the service.

use std::path::PathBuf;

use crate::environment::Environment;
use crate::sys::Nofile;

/// What checks see of the service.
#[derive(Debug)]
pub struct Context {
    /// The server's environment, less what only the server may answer to.
    pub environment: Environment,
    /// Where commands run.
    pub directory: PathBuf,
    /// The limits that the server will have.
    pub nofile: Nofile,
}
