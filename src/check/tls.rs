#![forbid(unsafe_code)]
//! TLS for checks. ureq's own connector takes no verifier of ours. This one tells a self-signed certificate
//! from one of an unknown authority, and accepts a server's own certificate as its `ca`.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::address::bare_host;
use super::connection::BUFFER;
use super::expect::{Expectation, certificates};

/// A certificate that is signed with its own key.
#[derive(Debug)]
pub struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("self-signed")
    }
}

impl std::error::Error for SelfSigned {}

/// Makes TLS of a connection.
#[derive(Debug)]
pub struct Tls {
    /// Nothing: any certificate is accepted.
    trust: Option<Trust>,
    /// What is shown to a server that asks who we are.
    identity: Option<Arc<CertifiedKey>>,
    /// What is spoken inside, where the server is to be told (ALPN).
    inside: &'static [&'static [u8]],
    config: OnceLock<Arc<ClientConfig>>,
}

/// Whose signatures count.
#[derive(Debug)]
enum Trust {
    Platform,
    Only(Vec<CertificateDer<'static>>),
}

impl Tls {
    /// TLS for the protocols `inside`, to servers that the check trusts.
    pub fn new(expect: &Expectation, inside: &'static [&'static [u8]]) -> Self {
        // They were read once already. If they cannot be read now, nobody is trusted.
        let authorities = expect.authorities.as_deref().map(|pem| certificates(pem).unwrap_or_default());
        let trust = (!expect.insecure).then(|| authorities.map_or(Trust::Platform, Trust::Only));
        let identity = expect.identity.as_ref().and_then(|identity| identity.read().ok());
        Tls { trust, identity, inside, config: OnceLock::new() }
    }

    /// Shakes hands on a connection to a host.
    ///
    /// # Errors
    /// Those of the connection; an error of TLS is inside of one.
    pub fn shake_hands(&self, host: &str, socket: &mut (impl Read + Write)) -> io::Result<ClientConnection> {
        // Any host of a check is a name or an address.
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::UnsupportedNameType);
        let connection = name.and_then(|name| ClientConnection::new(self.config()?, name));
        let mut connection = connection.map_err(io::Error::other)?;
        connection.complete_io(socket)?;
        Ok(connection)
    }

    /// Read at the first connection: the platform's certificates take a while.
    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(self.trust.as_ref(), &provider)?;
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let verifier = Arc::new(verifier);
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.inside.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Encrypted<In>>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = bare_host(details.uri).unwrap_or_default().to_owned();
        let name = ServerName::try_from(host).map_err(|_| ureq::Error::Tls("no name of a server"))?;
        let mut connection = ClientConnection::new(self.config()?, name)?;
        let mut socket = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let stream = StreamOwned { conn: connection, sock: socket };
        Ok(Some(Either::B(Encrypted { stream, buffers: LazyBuffers::new(BUFFER, BUFFER) })))
    }
}

/// The transport of such a connection.
pub struct Encrypted<In: Transport> {
    stream: StreamOwned<ClientConnection, TransportAdapter<In>>,
    buffers: LazyBuffers,
}

impl<In: Transport> fmt::Debug for Encrypted<In> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Encrypted").finish_non_exhaustive()
    }
}

impl<In: Transport> Transport for Encrypted<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        Ok(std::io::Write::write_all(&mut self.stream, &self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let count = std::io::Read::read(&mut self.stream, self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        // Asked for before a connection is used again, which none is.
        false
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Verifier {
    /// Nothing: any certificate is accepted.
    inner: Option<Arc<dyn ServerCertVerifier>>,
    own: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trust: Option<&Trust>, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let inner: Option<Arc<dyn ServerCertVerifier>> = match trust {
            None => None,
            Some(Trust::Platform) => Some(Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(provider))?)),
            Some(Trust::Only(own)) => Some(with_roots(own, provider)?),
        };
        let own = if let Some(Trust::Only(own)) = trust { own.clone() } else { Vec::new() };
        Ok(Verifier { inner, own, provider: Arc::clone(provider) })
    }

    /// Whether a certificate vouches for itself.
    fn is_self_signed(&self, certificate: &CertificateDer, name: &ServerName, now: UnixTime) -> bool {
        let root = certificate.clone().into_owned();
        let Ok(verifier) = with_roots(std::slice::from_ref(&root), &self.provider) else { return false };
        match verifier.verify_server_cert(certificate, &[], name, &[], now) {
            Ok(_) => true,
            Err(Error::InvalidCertificate(error)) => {
                is_authority(&error) || matches!(error, CertificateError::NotValidForNameContext { .. })
            }
            Err(_) => false,
        }
    }
}

fn with_roots(
    roots: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

/// Whether a certificate was refused because it is an authority's own, which is what `openssl req -x509` makes.
/// Everything else was right, except for the name, which was not looked at. The reason's type is of a crate below
/// rustls, so only its name is known here.
fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.0.to_string().contains("CaUsedAsEndEntity"))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer,
        chain: &[CertificateDer],
        name: &ServerName,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        let error = match inner.verify_server_cert(certificate, chain, name, ocsp, now) {
            Err(Error::InvalidCertificate(error)) => error,
            other => return other,
        };
        if is_authority(&error) && self.own.contains(certificate) {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let is_unknown = matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature);
        if (is_unknown || is_authority(&error)) && self.is_self_signed(certificate, name, now) {
            return Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(SelfSigned)))));
        }
        Err(Error::InvalidCertificate(error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.inner {
            Some(inner) => inner.verify_tls12_signature(message, certificate, signature),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.inner {
            Some(inner) => inner.verify_tls13_signature(message, certificate, signature),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        if self.inner.is_none() {
            // Nothing is verified, so what cannot be verified is welcome too.
            schemes.extend([
                SignatureScheme::RSA_PKCS1_SHA1,
                SignatureScheme::ECDSA_NISTP521_SHA512,
                SignatureScheme::ED448,
            ]);
        }
        schemes
    }
}
