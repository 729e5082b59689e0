#![forbid(unsafe_code)]
//! What the answer to a URL must be, and whose certificates are trusted.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::http::{HeaderName, HeaderValue};

/// What an answer must be.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Empty: 200 to 399.
    pub statuses: Vec<RangeInclusive<u16>>,
    pub body: Option<String>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub insecure: bool,
    /// Certificates in PEM that are trusted instead of the platform's.
    pub authorities: Option<String>,
    /// Who we are to a server that asks for a certificate.
    pub identity: Option<Identity>,
    pub method: Method,
}

/// A client's certificate with its chain, and its key, both in PEM.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    pub certificates: String,
    pub key: String,
}

/// Without what is secret.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a client's certificate")
    }
}

impl Identity {
    /// The certificates, the server's own first, and the key that belongs to it.
    ///
    /// # Errors
    /// Which of the two cannot be read, or that they do not belong together.
    pub fn read(&self) -> Result<Arc<CertifiedKey>, &'static str> {
        let chain = certificates(&self.certificates)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| "the key is no private key in PEM")?;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider());
        key.map(Arc::new).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "the key is not the certificate's",
            _ => "the key is of a kind that is not known here",
        })
    }
}

/// How an HTTP server is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Get,
    Head,
    Options,
    Post,
}

impl Method {
    /// The words for them.
    pub const WORDS: [(&'static str, Method); 4] =
        [("GET", Method::Get), ("HEAD", Method::Head), ("OPTIONS", Method::Options), ("POST", Method::Post)];
}

impl From<Method> for ureq::http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => ureq::http::Method::GET,
            Method::Head => ureq::http::Method::HEAD,
            Method::Options => ureq::http::Method::OPTIONS,
            Method::Post => ureq::http::Method::POST,
        }
    }
}

/// The certificates of a PEM text. Private keys and other items in it are ignored.
///
/// # Errors
/// When the text has no certificate, or one that cannot be read.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let mut certificates = Vec::new();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| "it is not valid PEM")?;
        roots.add(certificate.clone()).map_err(|_| "it has a certificate that cannot be read")?;
        certificates.push(certificate);
    }
    if certificates.is_empty() { Err("it has no certificate in PEM") } else { Ok(certificates) }
}
