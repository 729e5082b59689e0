#![forbid(unsafe_code)]
//! Checks that connect. Names are resolved here for every check that has one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::address::host_and_port;
use super::operand::Operand;
use crate::sys;

/// How long an answer of the resolver is used: attempts come up to a thousand times a second.
const FRESH: Duration = Duration::from_secs(1);

/// Connects to one host, over and over. Keeps the resolver's answer while it is fresh, and, where the kernel
/// allows it, the sockets that were refused: making and closing one costs more than the attempt itself.
#[derive(Default, Debug)]
pub struct Dialler {
    answer: Option<(Instant, Vec<SocketAddr>)>,
    refused: [Option<Socket>; 2],
    listening: sys::Listening,
    /// When the first attempt was, and the last one that did not take the kernel's word.
    attempts: Option<(Instant, Instant)>,
}

impl Dialler {
    /// A connection to any of the host's addresses, which share `limit`.
    pub fn dial(&mut self, host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
        let addresses = self.resolve(host, port)?;
        let now = Instant::now();
        let end = now + limit;
        let mut last = io::Error::other("the name has no address");
        let ask_first = self.may_ask_first(now);
        for (at, address) in addresses.iter().enumerate() {
            let share = end.saturating_duration_since(Instant::now()) / (addresses.len() - at) as u32;
            if ask_first && is_loopback(&address.ip()) && self.listening.nobody(address) {
                last = io::Error::from_raw_os_error(libc::ECONNREFUSED);
                continue;
            }
            match self.connect(*address, share.max(Duration::from_millis(1))) {
                Ok(stream) => return Ok(stream),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Whether the kernel may be asked in the place of an attempt. A packet filter can send what goes to our
    /// loopback to somebody who listens elsewhere, so the first attempt and one each tenth of the time that was
    /// waited since are real.
    fn may_ask_first(&mut self, now: Instant) -> bool {
        let (first, real) = *self.attempts.get_or_insert((now, now));
        let due = now == first || now - real > ((now - first) / 10).max(Duration::from_millis(50));
        if due {
            self.attempts = Some((first, now));
        }
        !due
    }

    /// The addresses of a host.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Some((asked, addresses)) = &self.answer {
            if asked.elapsed() < FRESH {
                return Ok(addresses.clone());
            }
        }
        let addresses = resolve(host, port)?;
        self.answer = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }

    fn connect(&mut self, address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
        let refused = &mut self.refused[usize::from(address.is_ipv6())];
        let socket = match refused.take() {
            Some(socket) => socket,
            None => Socket::new(Domain::for_address(address), Type::STREAM, None)?,
        };
        let connected = sys::connect(&socket, &address.into(), limit);
        if let Err(e) = connected {
            if e.kind() == io::ErrorKind::ConnectionRefused && sys::REFUSED_SOCKETS_STAY_GOOD {
                *refused = Some(socket);
            }
            return Err(e);
        }
        let stream = TcpStream::from(socket);
        // A port of the ephemeral range that nobody listens on can be given to our own end: then we have
        // connected to ourselves. Reset, so that it is free again for the server at once.
        if stream.local_addr().is_ok_and(|own| own == address) {
            let _ = Socket::from(stream).set_linger(Some(Duration::ZERO));
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(stream)
    }
}

/// The addresses of a host. May block for as long as the system's resolver likes: whoever waits for a check
/// does not wait for its thread beyond the deadline.
///
/// # Errors
/// When the name does not resolve.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if is_localhost(host) {
        // RFC 6761, section 6.3: needs no resolver, which reads files for each question.
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(both.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    // The resolver's own words, without std's "failed to lookup address information:" before them.
    let strip = |e: io::Error| {
        let text = e.to_string();
        io::Error::other(text.rsplit(": ").next().unwrap_or(&text).to_owned())
    };
    let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(strip)?.collect();
    if addresses.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(addresses) }
}

/// Whether a host is the address that stands for all of this machine's: `0.0.0.0` or `::`.
pub fn is_unspecified(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

/// Whether a name is a loopback host by itself, without asking a resolver.
pub fn is_loopback_name(host: &str) -> bool {
    host.parse::<IpAddr>().map_or_else(|_| is_localhost(host), |ip| is_loopback(&ip))
}

/// Whether an address is of this machine's loopback, an IPv4 one in IPv6 notation too.
pub fn is_loopback(ip: &IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Host and port of a `tcp:` check.
///
/// # Errors
/// What to write in its place.
pub fn host_and_port_of(operand: &Operand) -> Result<(String, u16), String> {
    let address = operand.text()?;
    let (host, port) = host_and_port(operand.word, address.strip_prefix("//").unwrap_or(address))?;
    let host = host.ok_or_else(|| format!("the host is missing; write tcp:127.0.0.1:{port}"))?;
    Ok((host, port))
}

pub fn tcp(dialler: &mut Dialler, host: &str, port: u16, limit: Duration) -> io::Result<()> {
    dialler.dial(host, port, limit).map(drop)
}
