//! Listening sockets and who holds them.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};

use super::super::process::Listener;
use super::super::procfs::inode;
use super::super::whole::{note, whole};
use super::sock_diag;
use super::table::pids;

/// The sockets that listen on a TCP port.
///
/// # Errors
/// As [`Sockets::listeners`].
pub fn listeners(port: u16, likely: &[i32]) -> io::Result<Vec<Listener>> {
    Sockets::default().listeners(port, likely)
}

/// Finds the holders of sockets, for one query or many. The descriptors of all processes are read once, and only if a
/// holder must be searched.
#[derive(Default)]
pub struct Sockets {
    holders: OnceCell<HashMap<u64, Vec<i32>>>,
}

impl Sockets {
    /// The sockets that listen on a TCP port, with their owners. Searches `likely` first, and all processes only if
    /// none of those holds the socket.
    ///
    /// # Errors
    /// When neither sock_diag(7) nor /proc answers.
    pub fn listeners(&self, port: u16, likely: &[i32]) -> io::Result<Vec<Listener>> {
        let listeners = listening_on(port)?.into_iter().map(|(address, inode)| {
            let mut owners: Vec<_> = likely.iter().copied().filter(|&pid| holds(pid, inode)).collect();
            if owners.is_empty() {
                owners = self.holders_of(inode);
            }
            Listener { address, owners }
        });
        Ok(listeners.collect())
    }

    /// All holders of a socket. What could not be seen whole is not kept.
    fn holders_of(&self, inode: u64) -> Vec<i32> {
        let of = |all: &HashMap<u64, Vec<i32>>| all.get(&inode).cloned().unwrap_or_default();
        match self.holders.get() {
            Some(all) => of(all),
            None => whole(holders).map(|all| of(self.holders.get_or_init(|| all))).unwrap_or_default(),
        }
    }
}

/// Whether any socket listens on a TCP port. Does not search for the owner, which would look into all processes.
///
/// # Errors
/// As [`listeners`].
pub fn is_listened_on(port: u16) -> io::Result<bool> {
    listening_on(port).map(|sockets| !sockets.is_empty())
}

/// The TCP addresses that these processes listen on. Processes that we may not look into are left out.
pub fn listens_on(pids: &[i32]) -> Vec<SocketAddr> {
    let held: HashSet<u64> = pids.iter().flat_map(|&pid| inodes_of(pid)).collect();
    let all = listening().unwrap_or_default().into_iter();
    all.filter(|(_, inode)| held.contains(inode)).map(|(address, _)| address).collect()
}

fn listening_on(port: u16) -> io::Result<Vec<(IpAddr, u64)>> {
    let on_port = listening()?.into_iter().filter(|(address, _)| address.port() == port);
    Ok(on_port.map(|(address, inode)| (address.ip(), inode)).collect())
}

/// All listening TCP sockets, with their inodes.
fn listening() -> io::Result<Vec<(SocketAddr, u64)>> {
    sock_diag::all().map_or_else(from_proc, Ok)
}

fn from_proc() -> io::Result<Vec<(SocketAddr, u64)>> {
    let mut entries = seen(tcp())?;
    entries.extend(seen(tcp6()).unwrap_or_default());
    entries.retain(|e: &TcpNetEntry| e.state == TcpState::Listen);
    Ok(entries.into_iter().map(|e| (e.local_address, e.inode)).collect())
}

/// The same with the error of the system.
fn seen<T>(result: procfs::ProcResult<T>) -> io::Result<T> {
    note(result.map_err(|e| match e {
        procfs::ProcError::Io(e, _) => e,
        other => io::Error::other(other),
    }))
}

/// The numbers of the sockets that a process holds, as far as we may see them.
pub fn sockets_of(pid: i32) -> Vec<u64> {
    inodes_of(pid).collect()
}

/// The numbers of the sockets of a process that listen on a TCP port.
pub fn sockets_on(pid: i32, port: u16) -> Vec<u64> {
    let listening = listening_on(port).unwrap_or_default();
    inodes_of(pid).filter(|inode| listening.iter().any(|(_, socket)| socket == inode)).collect()
}

/// The inodes of the sockets that a process holds.
fn inodes_of(pid: i32) -> impl Iterator<Item = u64> {
    let entries = note(fs::read_dir(format!("/proc/{pid}/fd")));
    entries.into_iter().flatten().filter_map(|entry| {
        let link = note(entry.and_then(|entry| fs::read_link(entry.path()))).ok()?;
        inode(link.as_os_str().as_bytes(), b"socket:[")
    })
}

fn holds(pid: i32, inode: u64) -> bool {
    inodes_of(pid).any(|socket| socket == inode)
}

/// The sockets of all processes, each with its holders.
fn holders() -> HashMap<u64, Vec<i32>> {
    let mut holders = HashMap::<u64, Vec<i32>>::new();
    for pid in pids().unwrap_or_default() {
        for inode in inodes_of(pid) {
            let owners = holders.entry(inode).or_default();
            // A process counts once, even if several of its descriptors refer to the socket.
            if owners.last() != Some(&pid) {
                owners.push(pid);
            }
        }
    }
    holders
}

/// Whether connections of ended programs on a local TCP port are still closing (TIME_WAIT and what comes before it),
/// and keep others from binding it.
pub fn is_closing(port: u16) -> bool {
    use TcpState::{Closing, FinWait1, FinWait2, LastAck, TimeWait};
    let closing = [Closing, FinWait1, FinWait2, LastAck, TimeWait];
    let mut entries = tcp().unwrap_or_default();
    entries.extend(tcp6().unwrap_or_default());
    // A socket that nobody holds any more has no inode.
    let is_its = |e: &TcpNetEntry| e.local_address.port() == port && e.inode == 0 && closing.contains(&e.state);
    entries.iter().any(is_its)
}
