//! Listening sockets and who holds them, as far as libproc shows them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::super::process::Listener;

/// The sockets that listen on a TCP port, of the processes that we may look into.
///
/// # Errors
/// When libproc refuses.
pub fn listeners(port: u16, likely: &[i32]) -> io::Result<Vec<Listener>> {
    Sockets::default().listeners(port, likely)
}

/// Finds the holders of sockets, for one query or many. libproc is called once.
#[derive(Default)]
pub struct Sockets {
    /// Address, port and owner of each listening socket.
    listening: OnceCell<Vec<(IpAddr, u16, i32)>>,
}

impl Sockets {
    /// As [`listeners`].
    pub fn listeners(&self, port: u16, _likely: &[i32]) -> io::Result<Vec<Listener>> {
        let listening = match self.listening.get() {
            Some(listening) => listening,
            None => {
                let found = listening()?;
                self.listening.get_or_init(|| found)
            }
        };
        // A socket is listed once for each process that holds it. launchd holds the sockets of its jobs.
        let mut sockets = BTreeMap::<IpAddr, Vec<i32>>::new();
        for (address, _, owner) in listening.iter().filter(|(_, number, _)| *number == port) {
            sockets.entry(*address).or_default().push(*owner);
        }
        Ok(sockets.into_iter().map(|(address, owners)| Listener { address, owners }).collect())
    }
}

fn listening() -> io::Result<Vec<(IpAddr, u16, i32)>> {
    use listeners::{Protocol, SocketState};
    let all = listeners::get_all().map_err(|e| io::Error::other(e.to_string()))?;
    let listening =
        all.into_iter().filter(|l| matches!(l.protocol, Protocol::TCP) && matches!(l.state, SocketState::Listen));
    Ok(listening.map(|l| (l.socket.ip(), l.socket.port(), l.process.pid as i32)).collect())
}

/// macOS gives a socket no number that a process could be asked for later.
pub fn sockets_of(_pid: i32) -> Vec<u64> {
    Vec::new()
}

/// As [`sockets_of`].
pub fn sockets_on(_pid: i32, _port: u16) -> Vec<u64> {
    Vec::new()
}

/// The TCP addresses that these processes listen on. Processes that we may not look into are left out.
pub fn listens_on(pids: &[i32]) -> Vec<SocketAddr> {
    let all = listening().unwrap_or_default().into_iter();
    all.filter(|(_, _, owner)| pids.contains(owner)).map(|(ip, port, _)| SocketAddr::new(ip, port)).collect()
}

/// Whether any socket that we can see listens on a TCP port.
///
/// # Errors
/// As [`listeners`].
pub fn is_listened_on(port: u16) -> io::Result<bool> {
    listeners(port, &[]).map(|all| !all.is_empty())
}

/// Whether connections that are still closing keep others from binding a TCP port. With SO_REUSEADDR they never do on
/// BSD systems.
pub fn is_closing(_: u16) -> bool {
    false
}

/// macOS cannot tell whether anybody listens, except by looking into all processes.
#[derive(Debug, Default)]
pub struct Listening;

impl Listening {
    /// The answer is never certain.
    pub fn nobody(&mut self, _address: &SocketAddr) -> bool {
        false
    }
}
