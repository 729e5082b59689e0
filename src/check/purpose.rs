#![forbid(unsafe_code)]
//! What a check can be for. Not every kind can be everything.

use super::kinds::Check;
use crate::sys::{Held, is_same_file};

use super::port;
use super::unix::Place;

/// What a check is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Require,
    Wait,
    Health,
    /// The sidecar tries it again and again.
    Watch,
}

impl Check {
    /// Whether it holds by what the server that starts says, once. Then nobody can ask again.
    pub fn is_told(&self) -> bool {
        matches!(self, Check::Notify | Check::Log(_))
    }

    /// # Errors
    /// Why it cannot be for that, and what to write.
    pub fn serves(&self, purpose: Purpose) -> Result<(), &'static str> {
        match (self, purpose) {
            (Check::Notify | Check::Log(_), Purpose::Require | Purpose::Wait) => {
                Err("it is what the server that is started says; it can only be its health check")
            }
            (Check::Notify | Check::Log(_), Purpose::Watch) => {
                Err("it holds for ever once it held, so it shows nothing; write a check that asks the server")
            }
            (Check::Service(_), Purpose::Health | Purpose::Watch) => {
                Err("it is about another service; it can only be a requirement or a wait")
            }
            _ => Ok(()),
        }
    }

    /// Whether the kernel accepts what this check tries on one of these sockets, which others than the server hold open:
    /// then it holds without a server.
    pub fn proves_nothing_on(&self, held: &[Held]) -> bool {
        held.iter().any(|held| match (self, held) {
            (Check::Tcp { host, port }, Held::Tcp(at)) => *port == at.port() && port::answers(Some(host), at.ip()),
            (Check::Unix(Place::Path(path)), Held::Path(at)) => is_same_file(path, at),
            (Check::Unix(Place::Abstract(name)), Held::Abstract(at)) => name == at,
            _ => false,
        })
    }
}
