#![forbid(unsafe_code)]
//! What the answer to a URL must be, and whose certificates are trusted.

use std::ops::RangeInclusive;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
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
