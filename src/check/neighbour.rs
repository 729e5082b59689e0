#![forbid(unsafe_code)]
//! Another service of this machine. What an instance is, is known above this room, so whoever runs checks says how to ask.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::operand::Operand;
use super::reason::Reason;
use crate::text::{SERVICE_NAMES, is_service_name, quoted};

/// The instances that this user can see.
pub trait Services: fmt::Debug + Send + Sync {
    /// Looks at an instance, and tries its health check, for at most `limit`.
    ///
    /// # Errors
    /// Why it is not running and healthy.
    fn is_well(&self, name: &str, limit: Duration, cancel: BorrowedFd) -> Result<(), String>;
}

/// The name that an operand is.
///
/// # Errors
/// When no service can have it.
pub fn name_of(operand: &Operand) -> Result<String, String> {
    let name = operand.text()?;
    match is_service_name(name) {
        true => Ok(name.to_owned()),
        false => Err(format!("no service is called {}: {SERVICE_NAMES}; write {}", quoted(name), operand.form)),
    }
}

/// # Errors
/// Why it is not running and healthy.
pub fn is_well(services: Option<&dyn Services>, name: &str, limit: Duration, cancel: BorrowedFd) -> Result<(), Reason> {
    let Some(services) = services else { return Err(Reason::Text("the state folder is not known".to_owned())) };
    Ok(services.is_well(name, limit, cancel)?)
}
