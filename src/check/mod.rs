#![forbid(unsafe_code)]
//! Checks: one condition that can be tried. [`spec`] has the grammar, [`run`] tries many at once, and the other
//! files are one family of checks each. An attempt says why it failed in a few words, without the operand.

mod answer;
mod before;
mod exec;
mod hint;
mod http;
mod local;
mod net;
pub mod port;
pub mod run;
pub mod spec;
mod tls;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

pub use before::before_stop;
pub use http::{Expectation, certificates};
pub use local::{Lookup, find};
pub use net::{is_loopback_name, is_unspecified};
pub use spec::Check;

use crate::environment::Environment;
use crate::sys::Nofile;

/// How long one attempt of a command may take.
pub const EXEC_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an attempt failed. Put into words only when it is another reason than the last time: most attempts of a
/// wait fail alike.
#[derive(PartialEq, Eq, Debug)]
enum Reason {
    Os(i32),
    Text(String),
}

impl From<std::io::Error> for Reason {
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or_else(|| Reason::Text(net::reason(&error)), Reason::Os)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Reason::Text(text)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Reason::Os(errno) => f.write_str(&net::reason(&std::io::Error::from_raw_os_error(*errno))),
            Reason::Text(text) => f.write_str(text),
        }
    }
}

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
    fn attempt(&mut self, context: &Context, limit: Duration, cancel: BorrowedFd) -> Result<(), Reason> {
        match &self.probe.check {
            Check::Command(name) => Ok(local::command(name, context)?),
            Check::File(path) => local::file(path),
            Check::Directory(path) => local::directory(path),
            Check::Variable(name) => Ok(local::variable(name, context)?),
            Check::Tcp { host, port } => Ok(net::tcp(&mut self.dialler, host, *port, limit)?),
            Check::Unix(path) => Ok(net::unix(path, limit)?),
            Check::Http(url) => {
                let client = self.http.get_or_insert_with(|| http::Client::new(url, self.probe));
                client.attempt(&mut self.dialler, url, &self.probe.expect, limit)
            }
            Check::Exec(script) => Ok(exec::check(script, context, limit.min(EXEC_TIMEOUT), cancel)?),
            Check::Free { host, port } => match port::guard(host.as_deref(), *port) {
                port::Port::Free => Ok(()),
                port::Port::Held { who, .. } => Err(Reason::Text(format!("held by {who}"))),
                port::Port::Closing => Err(Reason::Text(port::CLOSING.to_owned())),
                port::Port::Unknown(why) => Err(Reason::Text(why)),
            },
            Check::Descriptors(count) => Ok(local::descriptors(*count, context)?),
            Check::Ptys(count) => Ok(local::ptys(*count)?),
        }
    }
}
