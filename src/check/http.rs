#![forbid(unsafe_code)]
//! HTTP checks. TLS and its certificates are set up at the first attempt of a check that needs them.

use std::io::Read;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{HeaderName, HeaderValue, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Proxy};

use super::spec::{bare_host, port_of};
use super::{Probe, net};
use crate::text::quoted;

/// An attempt lasts at least this long before it is given up for a new one, and no less than a third of the
/// whole wait: an answer can be slow, and a request can be lost.
const PATIENCE: Duration = Duration::from_secs(5);
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
}

impl Client {
    pub fn new(url: &Uri, probe: &Probe) -> Result<Self, String> {
        let host = bare_host(url).unwrap_or_default();
        // Through a proxy the answer would be of another machine's loopback.
        let local = net::is_loopback_name(host) || {
            let proxied = Proxy::try_from_env().is_some_and(|p| !p.is_no_proxy(url));
            let addresses = if proxied { net::resolve(host, port_of(url)).ok() } else { None };
            addresses.is_some_and(|all| all.iter().all(|a| net::is_loopback(&a.ip())))
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .disable_verification(probe.expect.insecure)
            .build();
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .proxy(if local { None } else { Proxy::try_from_env() })
            .timeout_global(Some(probe.timeout.min(PATIENCE.max(probe.timeout / 3)).max(Duration::from_millis(1))))
            .user_agent(concat!("forerun/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        let resolver = Addresses(Mutex::new(net::Resolver::default()));
        Ok(Client { agent: Agent::with_parts(config, DefaultConnector::default(), resolver) })
    }

    pub fn attempt(&self, url: &Uri, expect: &Expectation) -> Result<(), String> {
        let mut request = self.agent.get(url);
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
            return Err(format!("status {status}"));
        }
        let Some(text) = &expect.body else { return Ok(()) };
        let mut body = Vec::new();
        let read = response.body_mut().as_reader().take(BODY).read_to_end(&mut body);
        if body.windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(());
        }
        read.map_err(|e| net::reason(&e))?;
        Err(format!("status {status}, and the body does not contain {}", quoted(text)))
    }
}

/// Our resolver in ureq's place: its own starts a thread for each attempt.
#[derive(Debug)]
struct Addresses(Mutex<net::Resolver>);

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut resolver = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let addresses = resolver.resolve(bare_host(uri).unwrap_or_default(), port_of(uri)).map_err(ureq::Error::Io)?;
        let mut all = self.empty();
        // As many as ureq has room for.
        addresses.into_iter().take(16).for_each(|address| all.push(address));
        Ok(all)
    }
}

/// An error's words, without ureq's own prefixes and never with the URL.
fn reason(error: ureq::Error) -> String {
    match error {
        ureq::Error::Io(e) => net::reason(&e),
        ureq::Error::Timeout(_) => "no answer".to_owned(),
        ureq::Error::HostNotFound => "the name has no address".to_owned(),
        ureq::Error::BadUri(_) => "not a URL that can be asked for".to_owned(),
        other => other.to_string(),
    }
}
