//! Who an endpoint is by its certificate, and for how long.
//!
//! The certificate must lead to an authority that is trusted, be valid now,
//! and be for the SIP domain, which is the zone: that is what a client asked
//! for, and DNS, which led it to the host, proves nothing (RFC 5922 section
//! 7). Many platforms take the host's own name as well, and so does this,
//! unless the operator says which name counts.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The most names of a certificate that are shown.
const NAMES_MAX: usize = 8;

//----------- Tls ------------------------------------------------------------

/// What certificates are measured by.
#[derive(Debug)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Tls {
    /// Trusts the authorities of a PEM file, or without one those of this
    /// host.
    pub fn new(authorities: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let where_from = match authorities {
            Some(path) => {
                let certificates = CertificateDer::pem_file_iter(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                roots.add_parsable_certificates(certificates.flatten());
                path.display().to_string()
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                "this host's store (the package ca-certificates)".to_owned()
            }
        };
        if roots.is_empty() {
            return Err(format!("there is no certificate of an authority in {where_from}"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| format!("cannot check certificates: {error}"))?;
        Ok(Tls { provider, verifier })
    }

    /// Returns how to connect to somebody with one of some names, and who sees
    /// the certificate. A certificate for none of them ends the handshake, as
    /// the platform ends it.
    pub fn client(&self, names: Vec<ServerName<'static>>) -> (ClientConfig, Arc<Witness>) {
        let inner = self.verifier.clone();
        let witness = Arc::new(Witness { inner, names, seen: Mutex::default() });
        let builder = ClientConfig::builder_with_provider(self.provider.clone());
        let mut config = builder
            .with_safe_default_protocol_versions()
            // Fails for a provider without cipher suites.
            .expect("ring has cipher suites for both versions")
            .dangerous()
            .with_custom_certificate_verifier(witness.clone())
            .with_no_client_auth();
        // A resumed session shows no certificate.
        config.resumption = Resumption::disabled();
        (config, witness)
    }
}

//----------- Certificate ----------------------------------------------------

/// What an endpoint's certificate says.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Certificate {
    /// The host names it is for.
    pub names: Vec<String>,

    /// The name asked for that it is for; none if it is not accepted.
    pub accepted_for: Option<String>,

    /// When it expires, in seconds since the Unix epoch.
    pub expires: u64,

    /// For how many full days it is valid, below 0 once it has expired.
    pub days_left: i64,

    /// Why it is not accepted.
    pub problem: Option<String>,
}

impl Certificate {
    /// Reads a certificate; what cannot be read is empty.
    fn read(der: &[u8], now: u64) -> Self {
        let Ok(certificate) = x509_cert::Certificate::from_der(der) else {
            return Certificate::default();
        };
        let tbs = certificate.tbs_certificate();
        let expires = tbs.validity().not_after.to_unix_duration().as_secs();
        let seconds = i64::try_from(expires).unwrap_or(i64::MAX) - i64::try_from(now).unwrap_or(0);
        let alternative = tbs.get_extension::<SubjectAltName>().ok().flatten();
        let names = alternative.map(|(_, names)| names.0).unwrap_or_default();
        let names = names.into_iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().escape_debug().to_string()),
            _ => None,
        });
        Certificate {
            names: names.take(NAMES_MAX).collect(),
            expires,
            days_left: seconds.div_euclid(86_400),
            ..Certificate::default()
        }
    }
}

//----------- Witness --------------------------------------------------------

/// Checks a certificate, and remembers it.
#[derive(Debug)]
pub struct Witness {
    inner: Arc<WebPkiServerVerifier>,

    /// The names of which one must be right.
    names: Vec<ServerName<'static>>,

    seen: Mutex<Option<Certificate>>,
}

impl Witness {
    /// Returns the certificate that was shown.
    pub fn seen(&self) -> Option<Certificate> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut certificate = Certificate::read(end_entity, now.as_secs());
        let mut result = Err(rustls::Error::General("there is no name to check".into()));
        for name in &self.names {
            result = self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now);
            if result.is_ok() {
                certificate.accepted_for = Some(name.to_str().into_owned());
                break;
            }
        }
        if let Err(error) = &result {
            certificate.problem = Some(self.problem(error, &certificate));
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl Witness {
    /// Says what is wrong with a certificate, for people.
    fn problem(&self, error: &rustls::Error, certificate: &Certificate) -> String {
        use CertificateError as Cause;
        match error {
            rustls::Error::InvalidCertificate(cause) => match cause {
                Cause::Expired | Cause::ExpiredContext { .. } => {
                    "the certificate has expired".to_owned()
                }
                Cause::NotValidYet | Cause::NotValidYetContext { .. } => {
                    "the certificate is not valid yet".to_owned()
                }
                Cause::UnknownIssuer => {
                    "the certificate is by no authority that is trusted here".to_owned()
                }
                Cause::NotValidForName | Cause::NotValidForNameContext { .. } => {
                    let wanted: Vec<_> = self.names.iter().map(ServerName::to_str).collect();
                    let wanted = wanted.join(" or ");
                    match &certificate.names[..] {
                        [] => format!("the certificate is for no host name, not for {wanted}"),
                        names => {
                            format!("the certificate is for {}, not for {wanted}", names.join(", "))
                        }
                    }
                }
                other => format!("the certificate is refused: {other}"),
            },
            other => format!("the certificate is refused: {other}"),
        }
    }
}
