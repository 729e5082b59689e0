#![forbid(unsafe_code)]
//! The user that a service of the system's manager runs as.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{User, geteuid};

use super::spec::Scope;
use crate::environment::Environment;
use crate::error::Error;
use crate::text::quoted;

/// Why a service runs as a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// `--as` says so.
    Said,
    /// That user makes the unit.
    Makes,
    /// That user called sudo.
    CalledSudo,
    /// forerun.toml belongs to that user, who could otherwise change what root starts.
    OwnsFile,
}

/// A user, and the reason.
pub type Choice = Option<(String, Why)>;

/// The user that a new unit names. `None`: the supervisor's own.
///
/// # Errors
/// [`Error::Usage`] for an `--as` that makes no sense, [`Error::Config`] when the owner of forerun.toml has no name.
pub fn choose(
    asked: Option<&str>,
    scope: Scope,
    config: Option<&Path>,
    environment: &Environment,
) -> Result<Choice, Error> {
    let Some(user) = asked else {
        if scope == Scope::User {
            return Ok(None);
        }
        let owner = config.and_then(|config| fs::metadata(config).ok()).map(|status| status.uid());
        let (uid, why) = decide(geteuid().as_raw(), of_sudo(environment), owner);
        return match (by_uid(uid), why) {
            (_, None) => Ok(None),
            (Some(name), Some(why)) => Ok(Some((name, why))),
            (None, Some(Why::OwnsFile)) => Err(Error::Config(format!(
                "the owner of {}, user {uid}, is not in the user database; say who runs the service: --as USER",
                config.map(quoted).unwrap_or_default(),
            ))),
            (None, Some(_)) => Ok(None),
        };
    };
    if scope == Scope::User {
        return Err(Error::Usage(
            "'--as' is of a unit of the system's manager; give --system, or leave it out".to_owned(),
        ));
    }
    let by_number = || by_uid(user.parse().ok()?);
    match User::from_name(user).ok().flatten().map(|user| user.name).or_else(by_number) {
        Some(name) => Ok(Some((name, Why::Said))),
        None => Err(Error::Usage(format!("invalid '--as': no user is called {}", quoted(user)))),
    }
}

/// Root makes a unit for whoever called sudo, else for the owner of the config file. Others make it for themselves.
fn decide(us: u32, of_sudo: Option<u32>, owner: Option<u32>) -> (u32, Option<Why>) {
    let other = |uid: &u32| *uid != 0;
    match (of_sudo.filter(other), owner.filter(other)) {
        _ if us != 0 => (us, Some(Why::Makes)),
        (Some(caller), _) => (caller, Some(Why::CalledSudo)),
        (None, Some(owner)) => (owner, Some(Why::OwnsFile)),
        (None, None) => (us, None),
    }
}

/// The user who called sudo, if sudo started us.
fn of_sudo(environment: &Environment) -> Option<u32> {
    let text = |name: &str| environment.filled(name)?.to_str();
    let by_name = || Some(User::from_name(text("SUDO_USER")?).ok()??.uid.as_raw());
    text("SUDO_UID").and_then(|uid| uid.parse().ok()).or_else(by_name)
}

fn by_uid(uid: u32) -> Option<String> {
    User::from_uid(uid.into()).ok().flatten().map(|user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_makes_a_unit_for_the_caller_of_sudo_or_the_owner_of_the_file() {
        for (us, of_sudo, owner, expected) in [
            (7, Some(8), Some(9), (7, Some(Why::Makes))),
            (0, Some(8), Some(9), (8, Some(Why::CalledSudo))),
            (0, Some(0), Some(9), (9, Some(Why::OwnsFile))),
            (0, None, Some(9), (9, Some(Why::OwnsFile))),
            (0, Some(8), None, (8, Some(Why::CalledSudo))),
            (0, None, Some(0), (0, None)),
            (0, None, None, (0, None)),
        ] {
            assert_eq!(decide(us, of_sudo, owner), expected);
        }
    }
}
