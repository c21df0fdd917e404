//! Certificates, and clients that speak TLS.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its part")]

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::server::{framed, read_framed};

/// The name in the certificates.
pub const NAME: &str = "ns1.example";

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

//----------- Authority ------------------------------------------------------

/// Somebody who issues certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key in PEM form.
pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Authority { issuer }
    }

    /// Issues a certificate for [`NAME`] that is valid for some years.
    pub fn issue(&self) -> Pair {
        let params = CertificateParams::new([NAME.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: certificate.pem() + &self.issuer.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }

    /// The certificate that vouches for all others, in PEM form.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// How a client speaks TLS that trusts it, under a name (ALPN).
    pub fn client(&self, alpn: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }
}

//----------- TlsClient ------------------------------------------------------

/// A connection with TLS.
pub struct TlsClient {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
    /// Connects and shakes hands.
    pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(NAME).unwrap();
        let mut connection = ClientConnection::new(config.clone(), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(TlsClient { stream: StreamOwned::new(connection, tcp) })
    }

    /// The certificate that the server showed.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// Sends a message and returns the reply.
    pub fn ask(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(&framed(message))?;
        self.stream.flush()?;
        self.read()
    }

    /// Reads a reply.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        read_framed(&mut self.stream)
    }
}
