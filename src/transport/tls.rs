//! What all encrypted transports share: the certificate, and TLS around it.
//!
//! The certificate is exchanged while the server runs: handshakes that begin
//! afterwards show the new one, and connections that are open stay so. Where
//! there is none, handshakes fail and everything else is served.
//!
//! # What is absent
//!
//! Early data (RFC 8446 section 2.3), which whoever recorded it can send
//! again; and certificates of clients.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::config::Certificate;

/// The versions that streams speak. RFC 9325 section 3.1.1 asks for both.
pub(super) const STREAM_VERSIONS: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The one that QUIC is made with (RFC 9001 section 4.2).
pub(super) const QUIC_VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Returns how TLS is spoken under a name (ALPN, RFC 7301).
///
/// A client that offers other names alone is refused; one that offers none is
/// not.
pub(super) fn config(
    certificates: Arc<Certificates>,
    versions: &[&'static SupportedProtocolVersion],
    name: &[u8],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider: Arc<CryptoProvider> = ring::default_provider().into();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![name.to_vec()];
    // Clients come back with less work and fewer octets (RFC 7858 section
    // 3.4); what the server must know for it, they keep.
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

//----------- Certificates ---------------------------------------------------

/// The certificate that is in service.
#[derive(Debug, Default)]
pub struct Certificates {
    served: ArcSwapOption<Certificate>,
}

impl Certificates {
    /// Returns it, if there is one.
    pub fn served(&self) -> Option<Arc<Certificate>> {
        self.served.load_full()
    }

    /// Puts one into service, or none.
    pub fn serve(&self, certificate: Option<Arc<Certificate>>) {
        self.served.store(certificate);
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.served.load().as_ref().map(|certificate| certificate.pair().clone())
    }
}
