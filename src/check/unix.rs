#![forbid(unsafe_code)]
//! Sockets of this machine that have a path, or a name in the abstract namespace.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use ureq::http::Uri;

use super::operand::Operand;
use crate::sys;

/// Where a socket is.
#[derive(Clone, PartialEq, Debug)]
pub enum Place {
    Path(PathBuf),
    Abstract(OsString),
}

/// The socket and the URL of an `http+unix:` check.
///
/// # Errors
/// What to write in their place.
pub fn http(operand: &Operand) -> Result<(Place, Uri), String> {
    let raw = operand.raw.as_bytes();
    if raw.starts_with(b"//") {
        return Err("a socket's path is no host; write http+unix:/run/web.sock:/health".to_owned());
    }
    let at = raw.windows(2).position(|w| w == b":/").unwrap_or(raw.len());
    let (path, url) = (OsStr::from_bytes(&raw[..at]), OsStr::from_bytes(raw.get(at + 1..).unwrap_or(b"/")));
    if path.is_empty() {
        return Err(format!("the path of the socket is missing; write {}", operand.form));
    }
    let place = Place::of(&Operand { raw: path, ..*operand })?;
    let text = url.to_str().ok_or("the URL is not UTF-8; write %XX")?;
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a URL has no spaces; write %20".to_owned());
    }
    let url = format!("http://localhost{text}").parse().map_err(|_| format!("not a URL; write {}", operand.form))?;
    Ok((place, url))
}

impl Place {
    /// The socket that an operand is.
    ///
    /// # Errors
    /// Why there is no such socket.
    pub fn of(operand: &Operand) -> Result<Self, String> {
        let place = match operand.raw.as_bytes() {
            [b'@', ..] if !sys::HAS_ABSTRACT_SOCKETS => {
                return Err("this system has no abstract sockets; write unix:PATH".to_owned());
            }
            [b'@'] => return Err("nothing after 'unix:@'; write unix:@NAME".to_owned()),
            [b'@', name @ ..] => Place::Abstract(OsStr::from_bytes(name).to_owned()),
            _ => Place::Path(operand.raw.into()),
        };
        place.fits().map(|()| place)
    }

    /// # Errors
    /// When no socket can have a path or a name of this length.
    pub fn fits(&self) -> Result<(), String> {
        let (what, length) = match self {
            Place::Path(path) => ("path", path.as_os_str().len()),
            Place::Abstract(name) => ("name", name.len()),
        };
        let most = sys::LONGEST_SOCKET_NAME;
        match length > most {
            true => Err(format!("its {what} has {length} bytes, and a socket's has at most {most}; use a shorter one")),
            false => Ok(()),
        }
    }

    /// The same socket, with a relative path taken from `folder`.
    pub fn resolved_against(self, folder: &Path) -> Self {
        match self {
            Place::Path(path) => Place::Path(folder.join(path)),
            Place::Abstract(_) => self,
        }
    }

    /// What is after the colon of a spec.
    pub fn operand(&self) -> OsString {
        match self {
            Place::Path(path) => path.clone().into(),
            Place::Abstract(name) => [OsStr::new("@"), name].into_iter().collect(),
        }
    }

    /// A connection to it.
    ///
    /// # Errors
    /// Why nobody accepts.
    pub fn connect(&self, limit: Duration) -> io::Result<Socket> {
        let address = match self {
            Place::Path(path) => SockAddr::unix(path)?,
            Place::Abstract(name) => SockAddr::unix(OsStr::from_bytes(&[b"\0", name.as_bytes()].concat()))?,
        };
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.connect_timeout(&address, limit)?;
        Ok(socket)
    }
}
