#![forbid(unsafe_code)]
//! Whether a port is free: by binding it, never by listening on it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use super::net;
use crate::sys::{self, Listener, Seen, Sockets};
use crate::text::{one_line, shell_words};

/// The programs of container runtimes that listen for a server in a container.
const PROXIES: [&str; 5] = ["docker-proxy", "rootlessport", "pasta", "pasta.avx2", "slirp4netns"];

/// What is known of a port.
#[derive(PartialEq, Eq, Debug)]
pub enum Port {
    Free,
    /// Held, by whom, and by which process where that can be seen.
    Held {
        who: String,
        pid: Option<i32>,
    },
    /// By connections of ended programs that are still closing: free in a minute at most.
    Closing,
    /// Could not be found out, which is not "free".
    Unknown(String),
}

/// What [`Port::Closing`] means, in words.
pub const CLOSING: &str = "held by connections of an ended server that are still closing";

/// Looks at `port` on the addresses of `host`, or on all of this machine's.
pub fn guard(host: Option<&str>, port: u16) -> Port {
    let addresses = match addresses(host, port) {
        Ok(addresses) => addresses,
        Err(e) => return Port::Unknown(e),
    };
    let (mut bound, mut failure) = (false, None);
    for address in addresses {
        match bind(address) {
            Ok(()) => bound = true,
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => return holder(port),
            Err(e) => failure = Some((address, e)),
        }
    }
    match failure {
        _ if bound => Port::Free,
        // A port below 1024 that the server may bind and we may not: the kernel's table knows.
        Some((_, e)) if e.kind() == io::ErrorKind::PermissionDenied => match sys::listeners(port, &[]) {
            Ok(all) if all.is_empty() => Port::Free,
            Ok(_) => holder(port),
            Err(e) => Port::Unknown(e.to_string()),
        },
        Some((address, e)) => Port::Unknown(format!("cannot bind {}: {e}", address.ip())),
        None => Port::Unknown("no address".to_owned()),
    }
}

/// One attempt of a `free:` check.
///
/// # Errors
/// Who holds the port, or why that cannot be found out.
pub fn free(host: Option<&str>, port: u16) -> Result<(), String> {
    match guard(host, port) {
        Port::Free => Ok(()),
        Port::Held { who, .. } => Err(format!("held by {who}")),
        Port::Closing => Err(CLOSING.to_owned()),
        Port::Unknown(why) => Err(why),
    }
}

/// Whether one of the addresses is in use, and no more: cheap.
pub fn is_held(host: Option<&str>, port: u16) -> bool {
    let is_held = |address| match bind(address).map_err(|e| e.kind()) {
        Err(io::ErrorKind::AddrInUse) => true,
        // Below 1024: the kernel's table knows. Where it cannot be read there is nothing new.
        Err(io::ErrorKind::PermissionDenied) => sys::is_listened_on(port).unwrap_or(true),
        _ => false,
    };
    addresses(host, port).is_ok_and(|all| all.into_iter().any(is_held))
}

fn addresses(host: Option<&str>, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Some(host) = host {
        return net::resolve(host, port).map_err(|e| e.to_string());
    }
    // The loopback ones too: macOS lets a wildcard and a single address be bound side by side.
    let all: [IpAddr; 4] = [
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    Ok(all.map(|ip| SocketAddr::new(ip, port)).to_vec())
}

/// Whether a socket that listens on `address` answers those who connect to `host`; to any host, without one.
pub fn answers(host: Option<&str>, address: IpAddr) -> bool {
    let addresses = host.and_then(|host| net::resolve(host, 0).ok());
    let address = address.to_canonical();
    // Who connects to no address comes to this machine's own.
    let is_it = |to: IpAddr| to == address || (to.is_unspecified() && address.is_loopback());
    let is_one_of = |all: Vec<SocketAddr>| all.iter().any(|a| is_it(a.ip().to_canonical()));
    address.is_unspecified() || addresses.is_none_or(is_one_of)
}

/// Who listens on a port, as far as we may see. Of a server and its workers that is the oldest.
fn holder(port: u16) -> Port {
    let all = sys::listeners(port, &[]).unwrap_or_default();
    if all.is_empty() && sys::is_closing(port) {
        return Port::Closing;
    }
    let owners = all.iter().flat_map(|l| &l.owners).copied();
    let pid = owners.min_by_key(|&pid| (sys::process(pid).map_or(u64::MAX, |p| p.start), pid));
    let who = match pid {
        Some(pid) => describe(pid),
        None if all.is_empty() => "a socket that is bound and does not listen".to_owned(),
        None => "a process that we may not look into".to_owned(),
    };
    Port::Held { who, pid }
}

/// Who listens on a port on which `main` and its family (`is_ours`) should: somebody else who can be seen. A container
/// runtime's proxy that is younger than main is none: it listens for the server.
pub fn stranger(host: Option<&str>, port: u16, main: Option<Seen>, is_ours: impl FnMut(i32) -> bool) -> Option<String> {
    stranger_of(&Sockets::default(), host, port, main, is_ours)
}

/// The same with what was seen of sockets so far.
pub fn stranger_of(
    sockets: &Sockets,
    host: Option<&str>,
    port: u16,
    main: Option<Seen>,
    mut is_ours: impl FnMut(i32) -> bool,
) -> Option<String> {
    let is_younger = |pid: i32| main.is_some_and(|main| sys::process(pid).is_some_and(|p| p.start >= main.start));
    let is_proxy = |pid: i32| sys::process_name(pid).is_some_and(|name| PROXIES.contains(&name.as_str()));
    let is_in_the_way = |pid: &i32| !(is_younger(*pid) && is_proxy(*pid));
    let likely = main.map(|main| main.pid);
    let listeners = sockets.listeners(port, likely.as_slice()).ok()?;
    for Listener { owners, .. } in listeners.iter().filter(|l| answers(host, l.address)) {
        if !owners.iter().any(|&pid| likely == Some(pid) || is_ours(pid)) {
            if let Some(&owner) = owners.iter().find(|pid| is_in_the_way(pid)) {
                return Some(describe(owner));
            }
        }
    }
    None
}

/// Who of all processes holds a socket that listens on a port of `host`. Those of `likely` are tried first.
pub fn holders(sockets: &Sockets, host: Option<&str>, port: u16, likely: &[i32]) -> Vec<i32> {
    let listeners = sockets.listeners(port, likely).unwrap_or_default();
    let answering = listeners.into_iter().filter(|l| answers(host, l.address));
    answering.flat_map(|l| l.owners).collect()
}

/// A process for a message: its pid and its command.
pub fn describe(pid: i32) -> String {
    // Servers write over their command line (nginx, PostgreSQL), and leave what they do not fill empty.
    let words = sys::command_line(pid).and_then(|mut words| {
        let length = words.iter().rposition(|w| !w.is_empty())? + 1;
        words.truncate(length);
        Some(words)
    });
    match words.map(|words| one_line(&shell_words(&words))).or_else(|| sys::process_name(pid)) {
        Some(command) => format!("pid {pid} ({})", shorten(&command)),
        None => format!("pid {pid}"),
    }
}

fn shorten(command: &str) -> String {
    const LONGEST: usize = 80;
    match command.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &command[..at]),
        None => command.to_owned(),
    }
}

fn bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // What a server does that comes back quickly: connections that are still closing do not count.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}
