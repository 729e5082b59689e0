//! Asks Linux for listening sockets: sock_diag(7), NETLINK_SOCK_DIAG. For one address this costs a quarter of an
//! attempt to connect, which sends a packet through the loopback device and back. For a port it takes microseconds,
//! while reading /proc/net/tcp walks the whole table of connections for milliseconds.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Length of a `struct nlmsghdr` with a `struct inet_diag_req_v2`.
const LENGTH: usize = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Lengths of a `struct nlmsghdr`, and of one with a `struct inet_diag_msg`.
const HEADER: usize = 16;
const MESSAGE: usize = HEADER + 72;
const TCP_LISTEN: u32 = 10;
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// A query to the kernel that can be repeated.
#[derive(Debug, Default)]
pub struct Listening {
    /// `None` if the kernel does not answer (a seccomp filter).
    socket: Option<Socket>,
}

impl Listening {
    /// Whether it is certain that no socket listens on `address`. The address may still be reachable, because packet
    /// filters can redirect packets.
    pub fn nobody(&mut self, address: &SocketAddr) -> bool {
        if self.socket.is_none() {
            self.socket = open();
        }
        let answer = self.socket.as_ref().and_then(|socket| ask(socket, address));
        if answer.is_none() {
            self.socket = None;
        }
        answer == Some(-libc::ENOENT)
    }
}

fn open() -> Option<Socket> {
    let protocol = Protocol::from(libc::NETLINK_SOCK_DIAG);
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::from(libc::SOCK_RAW), Some(protocol)).ok()?;
    socket.set_read_timeout(Some(Duration::from_millis(100))).ok()?;
    Some(socket)
}

/// The error with which the kernel answers. 0 if somebody listens.
fn ask(mut socket: &Socket, address: &SocketAddr) -> Option<i32> {
    socket.send(&request(address, NLM_F_REQUEST)).ok()?;
    let mut answer = [0; 4096];
    let length = socket.read(&mut answer).ok()?;
    let answer = &answer[..length];
    match u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?) {
        NLMSG_ERROR => Some(i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?)),
        _ => Some(0),
    }
}

/// The addresses and inodes of all listening TCP sockets. `None` if the kernel does not answer.
pub fn all() -> Option<Vec<(SocketAddr, u64)>> {
    let mut found = Vec::new();
    for unspecified in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        let mut socket = open()?;
        socket.send(&request(&SocketAddr::new(unspecified, 0), NLM_F_REQUEST | NLM_F_DUMP)).ok()?;
        let mut answer = vec![0; 64 * 1024];
        'dump: loop {
            let length = socket.read(&mut answer).ok()?;
            let mut rest = &answer[..length];
            while !rest.is_empty() {
                let message = rest.get(..u32::from_ne_bytes(*rest.first_chunk()?) as usize)?;
                match u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?) {
                    NLMSG_DONE => break 'dump,
                    NLMSG_ERROR => return None,
                    _ => found.extend(listener(message)),
                }
                rest = &rest[message.len().max(HEADER).next_multiple_of(4).min(rest.len())..];
            }
        }
    }
    Some(found)
}

/// The local address and the inode in one message of a dump.
fn listener(message: &[u8]) -> Option<(SocketAddr, u64)> {
    let body = message.get(HEADER..MESSAGE)?;
    let ip = match i32::from(body[0]) {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::from(*body[8..].first_chunk::<4>()?)),
        _ => IpAddr::V6(Ipv6Addr::from(*body[8..].first_chunk::<16>()?)),
    };
    let port = u16::from_be_bytes(*body[4..].first_chunk()?);
    Some((SocketAddr::new(ip, port), u64::from(u32::from_ne_bytes(*body[68..].first_chunk()?))))
}

/// A query for listening sockets with this local address. All other fields of the socket's identity are zero.
fn request(address: &SocketAddr, flags: u16) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0..4].copy_from_slice(&(LENGTH as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes[16] = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u8;
    bytes[17] = libc::IPPROTO_TCP as u8;
    bytes[20..24].copy_from_slice(&(1u32 << TCP_LISTEN).to_ne_bytes());
    bytes[24..26].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => bytes[28..32].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes[28..44].copy_from_slice(&ip.octets()),
    }
    bytes[64..72].copy_from_slice(&NO_COOKIE);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_seen_on_every_address_that_it_answers_on() {
        for (bound, asked) in [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1")]
        {
            let Ok(listener) = TcpListener::bind((bound, 0)) else { continue };
            let port = listener.local_addr().expect("an address").port();
            let address = SocketAddr::new(asked.parse().expect("an address"), port);
            let mut listening = Listening::default();
            assert!(!listening.nobody(&address), "{bound} for {asked}");
            let all = all().unwrap_or_default();
            let is_it = |at: &SocketAddr| at.port() == port && at.ip().to_string() == bound;
            assert!(listening.socket.is_none() || all.iter().any(|(at, inode)| is_it(at) && *inode > 0), "{all:?}");
            drop(listener);
            assert!(listening.nobody(&address) || listening.socket.is_none(), "{bound} for {asked}, closed");
        }
    }
}
