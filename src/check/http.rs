#![forbid(unsafe_code)]
//! HTTP checks. TLS and its certificates are set up at the first attempt of a check that needs them.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use ureq::config::Config;
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderValue, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, Proxy, ProxyProtocol};

use super::address::{bare_host, port_of};
use super::connection::Connection;
use super::expect::Expectation;
use super::reason::Reason;
use super::tls::Tls;
use super::{answer, net};
use crate::text::quoted;

/// An attempt lasts at least this long before it is given up for a new one, and no less than a third of the
/// whole wait: an answer can be slow, and a request can be lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of a body is searched.
const BODY: u64 = 1 << 20;
/// The variables that name a proxy, in ureq's order.
const PROXIES: [&str; 6] = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// An agent for one check.
pub struct Client {
    agent: Agent,
    /// Where the agent finds the connection that we made for it; nowhere when a proxy makes it.
    connection: Option<Connection>,
    /// The proxy and the variable that names it, for messages.
    proxy: Option<String>,
}

impl Client {
    pub fn new(url: &Uri, expect: &Expectation, timeout: Duration) -> Self {
        let proxy = Proxy::try_from_env().filter(|proxy| !proxy.is_no_proxy(url) && !is_local(url));
        // ureq would pass by a SOCKS proxy too: it was built without them.
        let proxy = proxy.filter(|proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https));
        let named = proxy.as_ref().map(named);
        let tls = Tls::new(expect, &[]);
        let connection = proxy.is_none().then(Connection::default);
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .proxy(proxy)
            .timeout_global(Some(timeout.min(PATIENCE.max(timeout / 3)).max(Duration::from_millis(1))))
            .user_agent(concat!("forerun/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = match &connection {
            Some(connection) => Agent::with_parts(config, connection.clone().chain(tls), connection.clone()),
            None => {
                let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default()).chain(tls);
                Agent::with_parts(config, connector, DefaultResolver::default())
            }
        };
        Client { agent, connection, proxy: named }
    }

    /// One attempt. The connection is made first: while it is refused, no request is ever built.
    pub fn attempt(
        &self,
        dialler: &mut net::Dialler,
        url: &Uri,
        expect: &Expectation,
        limit: Duration,
    ) -> Result<(), Reason> {
        let attempt = self.try_once(dialler, url, expect, limit);
        match &self.proxy {
            Some(proxy) => attempt.map_err(|reason| Reason::Text(answer::through(proxy, &reason.to_string()))),
            None => attempt,
        }
    }

    fn try_once(
        &self,
        dialler: &mut net::Dialler,
        url: &Uri,
        expect: &Expectation,
        limit: Duration,
    ) -> Result<(), Reason> {
        if let Some(connection) = &self.connection {
            let host = bare_host(url).unwrap_or_default();
            connection.put(dialler.dial(host, port_of(url), limit)?);
        }
        let mut request = self.agent.get(url);
        if let Some(credentials) = credentials(url).filter(|_| !expect.headers.iter().any(|(n, _)| n == AUTHORIZATION))
        {
            request = request.header(AUTHORIZATION, credentials);
        }
        for (name, value) in &expect.headers {
            request = request.header(name, value);
        }
        let first = || self.connection.as_ref().map(Connection::first);
        let mut response = request.call().map_err(|e| answer::reason(&e, url, first().as_deref()))?;
        let status = response.status().as_u16();
        let wanted = match expect.statuses.as_slice() {
            [] => (200..=399).contains(&status),
            ranges => ranges.iter().any(|range| range.contains(&status)),
        };
        if !wanted {
            if status == 400 && url.scheme_str() == Some("http") {
                let mut body = Vec::new();
                let _ = response.body_mut().as_reader().take(BODY).read_to_end(&mut body);
                if answer::wants_tls(&body) {
                    return Err(Reason::Text(answer::speaks_tls(url)));
                }
            }
            return Err(Reason::Text(format!("status {status}")));
        }
        let Some(text) = &expect.body else { return Ok(()) };
        let mut body = Vec::new();
        let read = response.body_mut().as_reader().take(BODY).read_to_end(&mut body);
        if body.windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(());
        }
        read.map_err(|e| answer::reason(&ureq::Error::from(e), url, first().as_deref()))?;
        Err(Reason::Text(format!("status {status}, and the body does not contain {}", quoted(text))))
    }
}

/// Basic credentials from a URL's userinfo, percent-decoded, which ureq leaves out.
fn credentials(url: &Uri) -> Option<HeaderValue> {
    let (userinfo, _) = url.authority()?.as_str().rsplit_once('@')?;
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decoded = [user, password].map(|part| percent_decode_str(part).collect::<Vec<u8>>());
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(decoded.join(&b':')))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether a URL is of this machine's loopback: through a proxy the answer would be of the proxy's own.
fn is_local(url: &Uri) -> bool {
    let host = bare_host(url).unwrap_or_default();
    let is_loopback = |all: Vec<SocketAddr>| all.iter().all(|a| net::is_loopback(&a.ip()));
    net::is_loopback_name(host) || net::resolve(host, port_of(url)).is_ok_and(is_loopback)
}

/// A proxy's address and its variable. The user name and the password are left out.
fn named(proxy: &Proxy) -> String {
    let names = |variable: &&&str| std::env::var(variable).is_ok_and(|value| Proxy::new(&value).is_ok());
    let variable = PROXIES.iter().find(names).map(|variable| format!(" ({variable})")).unwrap_or_default();
    format!("the proxy {}:{}{variable}", proxy.host(), proxy.port())
}
