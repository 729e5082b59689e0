#![forbid(unsafe_code)]
//! Checks: one condition that can be tried. [`spec`] has the grammar, [`run`] tries many at once, and the other
//! files are one family of checks each. An attempt says why it failed in a few words, without the operand.

mod exec;
mod http;
mod local;
mod net;
pub mod port;
pub mod run;
pub mod spec;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

pub use http::Expectation;
pub use local::{Lookup, find};
pub use net::is_loopback_name;
pub use spec::Check;

use crate::environment::Environment;
use crate::sys::Nofile;

/// How long one attempt of a command may take.
pub const EXEC_TIMEOUT: Duration = Duration::from_secs(10);

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

/// A check and what its answer must be.
#[derive(Clone, Debug)]
pub struct Probe {
    pub check: Check,
    pub timeout: Duration,
    pub expect: Expectation,
}

/// Tries one probe, over and over; keeps what an attempt can leave to the next one.
struct Attempter<'a> {
    probe: &'a Probe,
    dialler: net::Dialler,
    http: Option<http::Client>,
}

impl<'a> Attempter<'a> {
    fn new(probe: &'a Probe) -> Self {
        Attempter { probe, dialler: net::Dialler::default(), http: None }
    }

    /// One attempt, for at most `limit`; sooner when `cancel` becomes readable and a command is running.
    fn attempt(&mut self, context: &Context, limit: Duration, cancel: BorrowedFd) -> Result<(), String> {
        match &self.probe.check {
            Check::Command(name) => local::command(name, context),
            Check::File(path) => local::file(path),
            Check::Directory(path) => local::directory(path),
            Check::Variable(name) => local::variable(name, context),
            Check::Tcp { host, port } => net::tcp(&mut self.dialler, host, *port, limit),
            Check::Unix(path) => net::unix(path, limit),
            Check::Http(url) => {
                let client = self.http.get_or_insert_with(|| http::Client::new(url, self.probe));
                client.attempt(&mut self.dialler, url, &self.probe.expect, limit)
            }
            Check::Exec(script) => exec::check(script, context, limit.min(EXEC_TIMEOUT), cancel),
            Check::Free { host, port } => match port::guard(host.as_deref(), *port) {
                port::Port::Free => Ok(()),
                port::Port::Held(who) => Err(format!("held by {who}")),
                port::Port::Unknown(why) => Err(why),
            },
            Check::Descriptors(count) => local::descriptors(*count, context),
            Check::Ptys(count) => local::ptys(*count),
        }
    }
}
