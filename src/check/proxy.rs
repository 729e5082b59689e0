#![forbid(unsafe_code)]
//! Which requests go through a proxy of the environment, as curl, Go and Python have it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use ipnet::IpNet;
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

use super::address::{bare_host, port_of};
use super::net;

/// The variables that name a proxy, in ureq's order.
const PROXIES: [&str; 6] = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
/// Those that say what goes without one.
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxy of a URL, if it has one.
pub fn of(url: &Uri) -> Option<Proxy> {
    static WARNED: Once = Once::new();
    if is_local(url) {
        return None;
    }
    let proxy = Proxy::try_from_env().filter(is_spoken);
    if let Some(variable) = unusable().filter(|_| proxy.is_none()) {
        WARNED.call_once(|| {
            log::warn!("{variable} is not used: it is not the URL of an HTTP proxy; write http://HOST:PORT")
        });
    }
    let exceptions = EXCEPTIONS.iter().find_map(|name| std::env::var(name).ok());
    let is_in_network = is_in_network(bare_host(url).unwrap_or_default(), &exceptions.unwrap_or_default());
    proxy.filter(|proxy| !is_in_network && !proxy.is_no_proxy(url))
}

/// ureq would pass by a SOCKS proxy without a word: it was built without them.
fn is_spoken(proxy: &Proxy) -> bool {
    matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
}

/// The variable that is set and names no proxy that we could use.
fn unusable() -> Option<&'static str> {
    let is_unusable = |value: String| !value.is_empty() && !Proxy::new(&value).is_ok_and(|proxy| is_spoken(&proxy));
    PROXIES.into_iter().find(|variable| std::env::var(variable).is_ok_and(is_unusable))
}

/// A proxy's address and its variable. The user name and the password are left out.
pub fn named(proxy: &Proxy) -> String {
    let names = |variable: &&&str| std::env::var(variable).is_ok_and(|value| Proxy::new(&value).is_ok());
    let variable = PROXIES.iter().find(names).map(|variable| format!(" ({variable})")).unwrap_or_default();
    format!("the proxy {}:{}{variable}", proxy.host(), proxy.port())
}

/// Whether a URL is of this machine's loopback: through a proxy the answer would be of the proxy's own.
fn is_local(url: &Uri) -> bool {
    let host = bare_host(url).unwrap_or_default();
    let is_loopback = |all: Vec<SocketAddr>| all.iter().all(|a| net::is_loopback(&a.ip()));
    net::is_loopback_name(host) || net::resolve(host, port_of(url)).is_ok_and(is_loopback)
}

/// Whether an address is in one of the networks of NO_PROXY (`10.0.0.0/8`), which ureq does not know.
fn is_in_network(host: &str, exceptions: &str) -> bool {
    let Ok(address) = host.parse::<IpAddr>() else { return false };
    let networks = exceptions.split([',', ' ']).filter_map(|entry| entry.trim().parse::<IpNet>().ok());
    networks.into_iter().any(|network| network.contains(&address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_no_proxy_are_known() {
        for (host, exceptions, direct) in [
            ("10.1.2.3", "localhost, 10.0.0.0/8", true),
            ("11.1.2.3", "localhost,10.0.0.0/8", false),
            ("10.1.2.3", "10.1.2.3/32", true),
            ("fd00::1", "fd00::/8", true),
            ("fd00::1", "10.0.0.0/8,::/200", false),
            ("::ffff:10.1.2.3", "10.0.0.0/8", true),
            ("host.example", "10.0.0.0/8", false),
            ("10.1.2.3", "", false),
        ] {
            assert_eq!(is_in_network(host, exceptions), direct, "{host} {exceptions}");
        }
    }
}
