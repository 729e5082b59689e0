#![forbid(unsafe_code)]
//! HTTP checks. TLS and its certificates are set up at the first attempt of a check that needs them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use ureq::config::Config;
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderName, HeaderValue, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Agent, Proxy};

use super::spec::{bare_host, port_of};
use super::{Probe, Reason, net};
use crate::text::quoted;

/// An attempt lasts at least this long before it is given up for a new one, and no less than a third of the
/// whole wait: an answer can be slow, and a request can be lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// ureq's own sizes of a connection's buffers, in bytes.
const BUFFER: usize = 128 * 1024;
/// How much of a body is searched.
const BODY: u64 = 1 << 20;

/// What an answer must be.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Empty: 200 to 399.
    pub statuses: Vec<RangeInclusive<u16>>,
    pub body: Option<String>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub insecure: bool,
}

/// An agent for one check.
pub struct Client {
    agent: Agent,
    /// Where the agent finds the connection that we made for it; nowhere when a proxy makes it.
    connection: Option<Connection>,
}

impl Client {
    pub fn new(url: &Uri, probe: &Probe) -> Self {
        let proxy = Proxy::try_from_env().filter(|proxy| !proxy.is_no_proxy(url) && !is_local(url));
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .disable_verification(probe.expect.insecure)
            .build();
        let connection = proxy.is_none().then(Connection::default);
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .proxy(proxy)
            .timeout_global(Some(probe.timeout.min(PATIENCE.max(probe.timeout / 3)).max(Duration::from_millis(1))))
            .user_agent(concat!("forerun/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        let agent = match &connection {
            Some(connection) => {
                let connector = connection.clone().chain(RustlsConnector::default());
                Agent::with_parts(config, connector, connection.clone())
            }
            None => Agent::with_parts(config, DefaultConnector::default(), DefaultResolver::default()),
        };
        Client { agent, connection }
    }

    /// One attempt. The connection is made first: while it is refused, no request is ever built.
    pub fn attempt(
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
        let mut response = request.call().map_err(reason)?;
        let status = response.status().as_u16();
        let wanted = match expect.statuses.as_slice() {
            [] => (200..=399).contains(&status),
            ranges => ranges.iter().any(|range| range.contains(&status)),
        };
        if !wanted {
            return Err(Reason::Text(format!("status {status}")));
        }
        let Some(text) = &expect.body else { return Ok(()) };
        let mut body = Vec::new();
        let read = response.body_mut().as_reader().take(BODY).read_to_end(&mut body);
        if body.windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(());
        }
        read?;
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

/// A connection on its way to the agent, which would resolve in a thread and make a socket for each attempt.
#[derive(Clone, Default, Debug)]
struct Connection(Arc<Mutex<Option<TcpStream>>>);

impl Connection {
    fn put(&self, stream: TcpStream) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(stream);
    }
}

impl Resolver for Connection {
    /// The address is known already; ureq wants one all the same.
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(addresses)
    }
}

impl Connector<()> for Connection {
    type Out = Stream;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Stream>, ureq::Error> {
        let stream = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        Ok(stream.map(|stream| Stream { stream, buffers: LazyBuffers::new(BUFFER, BUFFER) }))
    }
}

/// The transport of such a connection.
#[derive(Debug)]
struct Stream {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|t| *t))?;
        self.stream.write_all(&self.buffers.output()[..amount]).map_err(ureq::Error::Io)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        self.stream.set_read_timeout(timeout.not_zero().map(|t| *t))?;
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        // Asked for before a connection is used again, which none is.
        false
    }
}

/// An error's words, without ureq's own prefixes and never with the URL.
fn reason(error: ureq::Error) -> String {
    match error {
        ureq::Error::Io(e) => net::reason(&e),
        ureq::Error::Timeout(_) => "no answer".to_owned(),
        ureq::Error::HostNotFound => "the name has no address".to_owned(),
        ureq::Error::BadUri(_) => "not a URL that can be asked for".to_owned(),
        other => match other.to_string().split_once("invalid peer certificate: ") {
            // Some of rustls' reasons come nested: Other(OtherError(CaUsedAsEndEntity)).
            Some((_, why)) => {
                let why = why.rsplit('(').next().unwrap_or(why).trim_end_matches(')');
                format!("the certificate is not valid: {why}")
            }
            None => other.to_string(),
        },
    }
}
