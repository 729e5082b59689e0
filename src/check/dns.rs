#![forbid(unsafe_code)]
//! Names that must resolve.

use std::io;
use std::net::IpAddr;

use super::address::is_host;
use super::net::Dialler;
use super::operand::Operand;
use crate::text::quoted;

/// The name that an operand is.
///
/// # Errors
/// What to write in its place.
pub fn name_of(operand: &Operand) -> Result<String, String> {
    let name = operand.text()?;
    if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err("an address needs no resolver; write tcp:HOST:PORT".to_owned());
    }
    match is_host(name) {
        true => Ok(name.to_owned()),
        false => Err(format!("{} is not a name; write {}", quoted(name), operand.form)),
    }
}

/// # Errors
/// What the resolver says.
pub fn resolves(dialler: &mut Dialler, name: &str) -> io::Result<()> {
    dialler.resolve(name, 0).map(drop)
}
