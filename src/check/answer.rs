#![forbid(unsafe_code)]
//! Why an HTTP attempt failed, in plain words. No text of a library is passed on, and never the URL's userinfo.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use rustls::{AlertDescription, CertificateError, Error as Tls};
use ureq::http::Uri;

use super::address::port_of;
use super::reason::{self, NO_ANSWER};
use super::tls::SelfSigned;
use crate::text::quoted;

/// How to do without a certificate's verification, or with another authority.
const TRUST: &str = "give its authority with 'ca' in forerun.toml, or accept any certificate with --insecure \
    or 'insecure = true'";
const IDENTITY: &str = "give one with 'cert' and 'key'";
const INSECURE: &str = "accept any certificate with --insecure or 'insecure = true'";

/// The words for an error. `first` has the first bytes that the server sent; nothing where a proxy was between.
pub fn reason(error: &ureq::Error, url: &Uri, first: Option<&[u8]>) -> String {
    let by_proxy = first.is_none();
    let first = first.unwrap_or_default();
    let is_tls = url.scheme_str() == Some("https");
    match error {
        ureq::Error::Rustls(error) => tls(error, first, &with_scheme(url, "http"), &tcp(url)),
        ureq::Error::Io(error) => match tls_in(error) {
            Some(error) => tls(error, first, &with_scheme(url, "http"), &tcp(url)),
            None if by_proxy && is_disconnect(error) => "the connection was closed without an answer".to_owned(),
            None => disconnected(error, url, first).unwrap_or_else(|| of_the_system(error)),
        },
        ureq::Error::Timeout(_) if first.is_empty() || is_tls || first.starts_with(b"HTTP/") => NO_ANSWER.to_owned(),
        ureq::Error::Protocol(error) if error.to_string().contains("too many headers") => {
            format!("its answer has more than 128 headers; use {}", tcp(url))
        }
        ureq::Error::Protocol(_) if by_proxy => "the answer is not valid HTTP/1.1".to_owned(),
        ureq::Error::Protocol(_) | ureq::Error::Timeout(_) if !is_tls => not_http(url, first),
        ureq::Error::Protocol(_) => format!("it does not speak HTTP/1.1; use {}", tcp(url)),
        ureq::Error::HostNotFound => "the name has no address".to_owned(),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the URL cannot be requested".to_owned(),
        ureq::Error::Tls(_) => "the host is not a name that a certificate can have".to_owned(),
        ureq::Error::LargeResponseHeader(..) => "the header of its answer is too large".to_owned(),
        ureq::Error::ConnectProxyFailed(text) => {
            let is_status = |word: &&str| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
            match text.split(|c: char| !c.is_ascii_alphanumeric()).find(is_status) {
                Some(status) => format!("status {status}"),
                None => NO_ANSWER.to_owned(),
            }
        }
        _ => "the request failed".to_owned(),
    }
}

/// The error of TLS that an error of the connection was made of, however often it was wrapped.
pub fn tls_in(error: &io::Error) -> Option<&Tls> {
    let inner = error.get_ref()?;
    if let Some(ureq::Error::Rustls(tls)) = inner.downcast_ref() {
        return Some(tls);
    }
    let wrapped = match inner.downcast_ref() {
        Some(ureq::Error::Io(wrapped)) => Some(wrapped),
        _ => inner.downcast_ref(),
    };
    inner.downcast_ref().or_else(|| tls_in(wrapped?))
}

/// The words of the system for an error: a library's own may name its types.
fn of_the_system(error: &io::Error) -> String {
    /// What std says before the words of getaddrinfo(3).
    const NO_ADDRESS: &str = "failed to lookup address information: ";
    let is_systems =
        error.get_ref().is_none() || matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
    match error.to_string().strip_prefix(NO_ADDRESS) {
        _ if is_systems => reason::words(error),
        Some(words) => words.to_owned(),
        None => "the connection failed".to_owned(),
    }
}

/// The words for an attempt that went through a proxy.
pub fn through(proxy: &str, reason: &str) -> String {
    if reason.starts_with("Connection refused") {
        return format!("Connection refused by {proxy}; NO_PROXY leaves a host out");
    }
    match reason.split_once("; ") {
        Some((reason, advice)) => format!("{reason}, through {proxy}; {advice}"),
        None => format!("{reason}, through {proxy}; NO_PROXY leaves a host out"),
    }
}

/// Whether a server's answer to plain HTTP asks for TLS, in the words of nginx, Go and Apache.
pub fn wants_tls(body: &[u8]) -> bool {
    let words = ["HTTP request was sent to HTTPS port", "HTTP request to an HTTPS server", "to an SSL-enabled server"];
    let body = String::from_utf8_lossy(body);
    words.iter().any(|words| body.contains(words))
}

/// What a server means that answers 400 to a request with or without a client's certificate, in the words of nginx.
pub fn wants_identity(body: &[u8]) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    if body.contains("No required SSL certificate was sent") {
        return Some(format!("it asks for a client's certificate; {IDENTITY}"));
    }
    body.contains("The SSL certificate error").then(|| "it refuses the client's certificate".to_owned())
}

pub fn speaks_tls(url: &Uri) -> String {
    format!("it speaks TLS; write {}", with_scheme(url, "https"))
}

/// What a server speaks that was asked in plain HTTP, from its first bytes.
fn not_http(url: &Uri, first: &[u8]) -> String {
    match first {
        // A record of TLS: an alert or a handshake, of any version.
        [0x15 | 0x16, 3, ..] => speaks_tls(url),
        // A frame of HTTP/2 on stream 0: SETTINGS or GOAWAY. Both are short.
        [0, _, _, 4 | 7, _, 0, 0, 0, 0, ..] => {
            format!("it speaks only HTTP/2, and this check is HTTP/1.1; use {}", tcp(url))
        }
        [b'H', b'T', b'T', b'P', b'/', ..] => format!("its answer is not valid HTTP/1.1; use {}", tcp(url)),
        _ => {
            format!("it does not speak HTTP{}; use {}", reason::says(first), tcp(url))
        }
    }
}

fn is_disconnect(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// The words for a connection that the server has ended.
fn disconnected(error: &io::Error, url: &Uri, first: &[u8]) -> Option<String> {
    if !is_disconnect(error) {
        return None;
    }
    Some(match (first.is_empty(), url.scheme_str() == Some("https")) {
        (true, false) => {
            format!("it closed the connection without an answer; if it speaks TLS, write {}", with_scheme(url, "https"))
        }
        (true, true) => format!(
            "it closed the connection in the TLS handshake; if it speaks plain HTTP, write {}",
            with_scheme(url, "http")
        ),
        (false, true) => "it closed the connection in the middle of its answer".to_owned(),
        (false, false) if first.starts_with(b"HTTP/") => {
            "it closed the connection in the middle of its answer".to_owned()
        }
        (false, false) => not_http(url, first),
    })
}

/// The words for an error of TLS. `plain` is the same check without TLS, and `tcp` the one that only connects.
pub fn tls(error: &Tls, first: &[u8], plain: &str, tcp: &str) -> String {
    match error {
        Tls::InvalidCertificate(error) => certificate(error),
        Tls::InvalidMessage(_) if first.starts_with(b"HTTP/") || first.starts_with(b"<") => {
            format!("it answers plain HTTP; write {plain}")
        }
        Tls::InvalidMessage(_) if !matches!(first, [20..=23, 3, ..]) => {
            format!("it does not speak TLS; write {plain} or {tcp}")
        }
        Tls::AlertReceived(AlertDescription::CertificateRequired) => {
            format!("it asks for a client's certificate, and this check has none; {IDENTITY}, or use {tcp}")
        }
        Tls::AlertReceived(AlertDescription::UnrecognisedName) => "it has no certificate for this name".to_owned(),
        Tls::AlertReceived(AlertDescription::ProtocolVersion) | Tls::PeerIncompatible(_) => {
            format!("it speaks neither TLS 1.2 nor TLS 1.3; use {tcp}")
        }
        Tls::AlertReceived(AlertDescription::NoApplicationProtocol) | Tls::NoApplicationProtocol => {
            format!("it does not speak HTTP/2; use {tcp}")
        }
        Tls::AlertReceived(_) => format!("it refused the TLS handshake; use {tcp}"),
        Tls::NoCertificatesPresented => format!("it has no certificate; use {tcp}"),
        // The words of the platform's verifier for a machine without any certificate.
        Tls::General(words) if words.contains("No CA certificates") => {
            "this machine trusts no certificate at all; install ca-certificates, or give an authority with 'ca'"
                .to_owned()
        }
        _ => format!("the TLS handshake failed; use {tcp}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    let day = |time: &rustls::pki_types::UnixTime| {
        let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.as_secs())).to_string();
        time.split('T').next().unwrap_or_default().to_owned()
    };
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate expired on {}; renew it, or {INSECURE}", day(not_after))
        }
        CertificateError::Expired => format!("the certificate has expired; renew it, or {INSECURE}"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate is not valid before {}; look at the clock, or {INSECURE}", day(not_before))
        }
        CertificateError::NotValidYet => format!("the certificate is not valid yet; look at the clock, or {INSECURE}"),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().take(5).map(|name| name_of(name)).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            let host = quoted(expected.to_str().as_ref());
            format!("the certificate is not for {host}, but for {names}; ask for a name that it has, or {INSECURE}")
        }
        CertificateError::NotValidForName => format!("the certificate is for another name; {INSECURE}"),
        CertificateError::UnknownIssuer => {
            format!("no authority that is trusted here has signed the certificate; {TRUST}")
        }
        CertificateError::Other(other) if other.0.is::<SelfSigned>() => {
            format!("the certificate is self-signed, so nobody vouches for it; {TRUST}")
        }
        // Also where an authority of the same name has another key.
        CertificateError::BadSignature => {
            format!("the certificate's signature is not the one of its authority; {TRUST}")
        }
        CertificateError::Revoked => "the certificate has been revoked; renew it".to_owned(),
        CertificateError::BadEncoding => format!("the certificate cannot be read; {INSECURE}"),
        _ => format!("the certificate is not valid for a server; {INSECURE}"),
    }
}

/// A name as a certificate has it: `DnsName("a")` and `IpAddress(127.0.0.1)` in the library's words.
fn name_of(name: &str) -> String {
    let name = name.split_once('(').map_or(name, |(_, name)| name.trim_end_matches(')'));
    quoted(name.trim_matches('"'))
}

/// The same URL with another scheme and without its userinfo.
fn with_scheme(url: &Uri, scheme: &str) -> String {
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{host}{port}{}", url.path_and_query().map_or("/", |path| path.as_str()))
}

/// The check that only connects.
fn tcp(url: &Uri) -> String {
    format!("tcp:{}:{}", url.host().unwrap_or_default(), port_of(url))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Debug)]
    struct CaUsedAsEndEntity;

    impl std::fmt::Display for CaUsedAsEndEntity {
        fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            write!(f, "{self:?}")
        }
    }

    impl std::error::Error for CaUsedAsEndEntity {}

    fn words(error: io::Error) -> String {
        let url = "https://127.0.0.1:28744/".parse().expect("a URL");
        reason(&ureq::Error::Io(error), &url, Some(b""))
    }

    #[test]
    fn no_type_of_a_library_is_in_a_reason() {
        let authority = || CertificateError::Other(rustls::OtherError(Arc::new(CaUsedAsEndEntity)));
        let tls = || io::Error::new(io::ErrorKind::InvalidData, Tls::InvalidCertificate(authority()));
        let expected = format!("the certificate is not valid for a server; {INSECURE}");
        assert_eq!(words(tls()), expected);
        assert_eq!(words(io::Error::other(tls())), expected);
        assert_eq!(words(io::Error::other(ureq::Error::Rustls(Tls::InvalidCertificate(authority())))), expected);
        assert_eq!(words(io::Error::other(CaUsedAsEndEntity)), "the connection failed");
        let unreachable = || io::Error::from_raw_os_error(libc::EHOSTUNREACH);
        assert_eq!(words(unreachable()), unreachable().to_string());
        let unknown = "failed to lookup address information: Name or service not known";
        assert_eq!(words(io::Error::other(unknown)), "Name or service not known");
    }
}
