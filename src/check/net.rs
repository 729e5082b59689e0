#![forbid(unsafe_code)]
//! Checks that connect: TCP and unix sockets. Names are resolved here for every check that has one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

/// How long an answer of the resolver is used: attempts come up to a thousand times a second.
const FRESH: Duration = Duration::from_secs(1);

/// The addresses of a host, asked for anew when they are no longer fresh.
#[derive(Default, Debug)]
pub struct Resolver {
    answer: Option<(Instant, Vec<SocketAddr>)>,
}

impl Resolver {
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

pub fn tcp(resolver: &mut Resolver, host: &str, port: u16, limit: Duration) -> Result<(), String> {
    let addresses = resolver.resolve(host, port).map_err(|e| e.to_string())?;
    let end = Instant::now() + limit;
    let mut last = String::new();
    for (at, address) in addresses.iter().enumerate() {
        let share = end.saturating_duration_since(Instant::now()) / (addresses.len() - at) as u32;
        match connect(address, share.max(Duration::from_millis(1))) {
            Ok(()) => return Ok(()),
            Err(e) => last = reason(&e),
        }
    }
    Err(last)
}

fn connect(address: &SocketAddr, limit: Duration) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(address, limit)?;
    // A port of the ephemeral range that nobody listens on can be given to our own end: then we have
    // connected to ourselves. Reset, so that it is free again for the server at once.
    if stream.local_addr().is_ok_and(|own| own == *address) {
        let _ = Socket::from(stream).set_linger(Some(Duration::ZERO));
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

pub fn unix(path: &Path, limit: Duration) -> Result<(), String> {
    let attempt = || -> io::Result<()> {
        let address = SockAddr::unix(path)?;
        Socket::new(Domain::UNIX, Type::STREAM, None)?.connect_timeout(&address, limit)
    };
    attempt().map_err(|e| reason(&e))
}

/// An error's words. std's own time-outs carry no number.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer".to_owned(),
        _ => error.to_string(),
    }
}
