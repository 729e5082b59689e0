//! Sockets that forerun was given open (sd_listen_fds(3)).

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::sys::socket::{getsockopt, sockopt};
use socket2::SockRef;

/// The first of the descriptors.
const FIRST: i32 = 3;
/// Where the path begins in the address of a unix socket, on every system.
const PATH: usize = 2;

/// Where a socket listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Held {
    Tcp(SocketAddr),
    Path(PathBuf),
    /// A name that is no path.
    Abstract(OsString),
}

/// Where the first `count` sockets listen that were passed. Others than listening stream sockets are left out.
pub fn held_sockets(count: i32) -> Vec<Held> {
    (FIRST..FIRST.saturating_add(count)).filter_map(held).collect()
}

fn held(number: i32) -> Option<Held> {
    // SAFETY: only asks; a number that is not open is answered with EBADF.
    let socket = unsafe { BorrowedFd::borrow_raw(number) };
    let listens = getsockopt(&socket, sockopt::AcceptConn).unwrap_or(false);
    let is_stream = getsockopt(&socket, sockopt::SockType) == Ok(nix::sys::socket::SockType::Stream);
    if !(listens && is_stream) {
        return None;
    }
    let address = SockRef::from(&socket).local_addr().ok()?;
    if let Some(address) = address.as_socket() {
        return Some(Held::Tcp(address));
    }
    if !address.is_unix() {
        return None;
    }
    // SAFETY: the address is as long as it says.
    let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.len() as usize) };
    let name = bytes.get(PATH..)?;
    match name.split_first()? {
        (0, name) => Some(Held::Abstract(OsStr::from_bytes(name).to_owned())),
        _ => {
            let path = name.split(|&b| b == 0).next().unwrap_or_default();
            Some(Held::Path(OsStr::from_bytes(path).into()))
        }
    }
}
