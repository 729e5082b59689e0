#![forbid(unsafe_code)]
//! HTTP checks. TLS and its certificates are set up at the first attempt of a check that needs them.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use socket2::Socket;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderValue, Request, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};

use super::connection::Connection;
use super::expect::Expectation;
use super::in_flight::InFlight;
use super::pace::Limits;
use super::reason::{NO_ANSWER, Reason};
use super::tls::Tls;
use super::{answer, proxy};
use crate::text::quoted;

/// How much of a body is searched.
const BODY: u64 = 1 << 20;
const LARGEST_HEADER: usize = 1 << 20;

/// An agent for one check.
pub struct Client {
    agent: Agent,
    /// Where the agent finds the connection that we made for it; nowhere when a proxy makes it.
    connection: Option<Connection>,
    /// The proxy and the variable that names it, for messages.
    proxy: Option<String>,
}

/// What one attempt asks, and how long it may take.
pub struct Question<'a> {
    pub url: &'a Uri,
    pub expect: &'a Expectation,
    pub limits: Limits,
    pub in_flight: &'a InFlight,
}

impl Client {
    /// `may_use_proxy`: the server is not behind a socket of this machine.
    pub fn new(url: &Uri, expect: &Expectation, may_use_proxy: bool) -> Self {
        let proxy = if may_use_proxy { proxy::of(url) } else { None };
        let named = proxy.as_ref().map(proxy::named);
        let tls = Tls::new(expect, &[]);
        let connection = proxy.is_none().then(Connection::default);
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .max_response_header_size(LARGEST_HEADER)
            .proxy(proxy)
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

    /// One attempt. The connection is made first, by `dial`: while it is refused, no request is ever built.
    pub fn attempt(
        &self,
        dial: impl FnOnce(Duration) -> io::Result<Socket>,
        question: &Question,
    ) -> Result<(), Reason> {
        if let Some(proxy) = &self.proxy {
            question.in_flight.goes_through(proxy);
        }
        let attempt = self.try_once(dial, question);
        match &self.proxy {
            Some(proxy) => attempt.map_err(|reason| Reason::Text(answer::through(proxy, &reason.to_string()))),
            None => attempt,
        }
    }

    fn try_once(&self, dial: impl FnOnce(Duration) -> io::Result<Socket>, question: &Question) -> Result<(), Reason> {
        let Question { url, expect, limits, in_flight } = *question;
        let begun = Instant::now();
        if let Some(connection) = &self.connection {
            let socket = dial(limits.connect)?;
            in_flight.note(&socket)?;
            connection.put(socket);
        }
        let request = request(url, expect).map_err(|_| Reason::Text("the URL cannot be requested".to_owned()))?;
        let left = limits.whole.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
        let request = self.agent.configure_request(request).timeout_global(Some(left)).build();
        let first = || self.connection.as_ref().map(Connection::first);
        let mut response = self.agent.run(request).map_err(|e| answer::reason(&e, url, first().as_deref()))?;
        let status = response.status().as_u16();
        let wanted = match expect.statuses.as_slice() {
            [] => (200..=399).contains(&status),
            ranges => ranges.iter().any(|range| range.contains(&status)),
        };
        let mut body = response.body_mut().as_reader().take(BODY);
        if !wanted {
            let mut text = Vec::new();
            if status == 400 {
                let _ = body.read_to_end(&mut text);
            }
            return Err(Reason::Text(match answer::wants_identity(&text) {
                _ if answer::wants_tls(&text) => answer::speaks_tls(url),
                Some(words) => format!("status {status}: {words}"),
                None => format!("status {status}"),
            }));
        }
        let Some(text) = &expect.body else { return Ok(()) };
        match contains(body, text.as_bytes()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Reason::Text(format!("status {status}, and the body does not contain {}", quoted(text)))),
            Err(e) => {
                let reason = answer::reason(&ureq::Error::from(e), url, first().as_deref());
                // The head of the answer is here, and the time is over.
                let unseen = || format!("status {status}, and the body does not contain {} so far", quoted(text));
                Err(Reason::Text(if reason == NO_ANSWER { unseen() } else { reason }))
            }
        }
    }
}

fn request(url: &Uri, expect: &Expectation) -> Result<Request<()>, ureq::http::Error> {
    let mut request = Request::builder().method(ureq::http::Method::from(expect.method)).uri(url);
    if let Some(credentials) = credentials(url).filter(|_| !expect.headers.iter().any(|(n, _)| n == AUTHORIZATION)) {
        request = request.header(AUTHORIZATION, credentials);
    }
    for (name, value) in &expect.headers {
        request = request.header(name, value);
    }
    request.body(())
}

/// Whether a text is in what a server sends. It is looked for as it arrives: a stream of events never ends.
fn contains(mut body: impl Read, text: &[u8]) -> io::Result<bool> {
    let (mut seen, mut part) = (Vec::new(), [0; 8192]);
    loop {
        let count = body.read(&mut part)?;
        if count == 0 {
            return Ok(false);
        }
        seen.extend_from_slice(&part[..count]);
        if seen.windows(text.len()).any(|window| window == text) {
            return Ok(true);
        }
        // A part of the text may be at the end.
        seen.drain(..seen.len().saturating_sub(text.len() - 1));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_the_answer_is_cut() {
        struct Bits<'a>(&'a [u8], usize);
        impl Read for Bits<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let count = self.0.len().min(self.1);
                into[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        for size in 1..9 {
            assert!(contains(Bits(b"data: it is green now", size), b"green").expect("read"), "{size}");
            assert!(!contains(Bits(b"data: it is gree n", size), b"green").expect("read"), "{size}");
            assert!(contains(Bits(b"ggreen", size), b"green").expect("read"), "{size}");
            assert!(contains(Bits(b"x", size), b"x").expect("read"), "{size}");
        }
    }
}
