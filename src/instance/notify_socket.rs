#![forbid(unsafe_code)]
//! The socket to which a server says that it is ready, where no service manager has one for it (sd_notify(3)).

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::family::{self, Origin};
use super::state::Folder;
use crate::environment::{OWN_SOCKET, OWN_SOCKET_NAME};
use crate::sys;

/// The address for the instance with this cookie: a path in the folder of the service, or a name where the path is too
/// long for a socket.
///
/// # Errors
/// Why there is none.
pub fn address(folder: Option<&Folder>, cookie: &str) -> Result<OsString, String> {
    let path = folder.map(|folder| folder.path.join(OWN_SOCKET));
    match path.filter(|path| path.is_absolute() && path.as_os_str().len() <= sys::LONGEST_SOCKET_NAME) {
        Some(path) => Ok(path.into()),
        None if sys::HAS_ABSTRACT_SOCKETS => Ok(format!("{OWN_SOCKET_NAME}{cookie}").into()),
        None => Err("the path of its socket would be too long; set FORERUN_STATE_DIR to a shorter one".to_owned()),
    }
}

/// A socket that listens to what a server says. Its file goes with it.
#[derive(Debug)]
pub struct NotifySocket {
    pub socket: UnixDatagram,
    /// Whether the kernel says who sends.
    knows_senders: bool,
    file: Option<File>,
    /// The process that made it.
    owner: u32,
}

/// The file of a socket, which may be another's by now.
#[derive(Debug)]
struct File {
    path: PathBuf,
    id: (u64, u64),
}

impl NotifySocket {
    /// Listens at an address of [`address`], under the lock of the service: what is there is left from a forerun that was
    /// killed.
    ///
    /// # Errors
    /// Those of the file system and of the socket.
    pub fn bind(address: &OsStr) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        let knows_senders = sys::ask_for_senders(&socket)?;
        let file = match address.as_bytes() {
            [b'@', name @ ..] => {
                socket.bind(&SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat()))?)?;
                None
            }
            _ => {
                let path = PathBuf::from(address);
                if fs::symlink_metadata(&path).is_ok_and(|status| status.file_type().is_socket()) {
                    fs::remove_file(&path)?;
                }
                socket.bind(&SockAddr::unix(&path)?)?;
                fs::set_permissions(&path, Permissions::from_mode(0o600))?;
                let id = id(&path).ok_or(io::ErrorKind::NotFound)?;
                Some(File { path, id })
            }
        };
        let socket = UnixDatagram::from(OwnedFd::from(socket));
        Ok(NotifySocket { socket, knows_senders, file, owner: std::process::id() })
    }

    /// Tells whether a sender is of the instance. Nothing where the kernel does not say who sends: then only this user can
    /// reach the socket.
    pub fn senders(&self, origin: Origin) -> Option<Box<dyn Fn(i32) -> bool + Send + Sync>> {
        let is_of_it = move |pid| family::look(&origin).is_ok_and(|family| family.has(pid));
        self.knows_senders.then(|| Box::new(is_of_it) as _)
    }
}

impl Drop for NotifySocket {
    /// A process that was forked meanwhile, and one that comes late, removes nothing of another's.
    fn drop(&mut self) {
        let is_ours = |file: &&File| self.owner == std::process::id() && id(&file.path) == Some(file.id);
        if let Some(file) = self.file.as_ref().filter(is_ours) {
            let _ = fs::remove_file(&file.path);
        }
    }
}

fn id(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|status| (status.dev(), status.ino()))
}
