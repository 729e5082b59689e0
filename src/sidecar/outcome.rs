#![forbid(unsafe_code)]
//! The result of an attempt of the health check.

/// The result of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Holds,
    Fails(String),
    /// The attempt could not be made. This says nothing about the server.
    Unknown(String),
}
