//! The encrypted transports, as `trunkdns status` shows them.

use std::fmt::Write;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::Certificate;
use crate::time::utc;
use crate::transport::Encrypted;

/// The encrypted transports and their certificate.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Encryption {
    /// Addresses that answer over TLS.
    pub tls: Vec<String>,

    /// Addresses that answer over QUIC.
    pub quic: Vec<String>,

    /// Addresses that answer over HTTPS.
    pub https: Vec<String>,

    /// Until when the certificate is valid, in seconds since the Unix epoch;
    /// nothing where there is none.
    pub expires: Option<u64>,

    /// What is the matter with the certificate, for people, if anything is.
    pub trouble: Option<String>,
}

impl Encryption {
    /// Returns the addresses, without a certificate yet.
    pub(super) fn new(sockets: Option<&Encrypted>) -> Self {
        let Some(Encrypted { tls, quic, https, .. }) = sockets else { return Self::default() };
        fn addresses<T>(sockets: &[(SocketAddr, T)]) -> Vec<String> {
            sockets.iter().map(|(address, _)| address.to_string()).collect()
        }
        let (tls, quic, https) = (addresses(tls), addresses(quic), addresses(https));
        Encryption { tls, quic, https, ..Self::default() }
    }

    /// Returns it with the certificate that is in service at a time.
    pub(super) fn with_certificate(self, certificate: Option<&Certificate>, now: u64) -> Self {
        let expires = certificate.map(Certificate::expires);
        let trouble = match certificate {
            _ if self.lists().next().is_none() => None,
            None => Some("there is no certificate: encrypted connections fail".to_owned()),
            Some(certificate) => certificate.note(now).map(|note| note.to_string()),
        };
        Encryption { expires, trouble, ..self }
    }

    /// Returns every transport that has addresses, with them.
    fn lists(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let lists = [("TLS", &self.tls[..]), ("QUIC", &self.quic), ("HTTPS", &self.https)];
        lists.into_iter().filter(|(_, addresses)| !addresses.is_empty())
    }

    /// Writes the addresses for the line that says that the server is ready.
    pub(super) fn ready(&self) -> String {
        self.lists().map(|(name, list)| format!(", {name} on {}", list.join(" and "))).collect()
    }

    /// Writes it for people: nothing where nothing is configured.
    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        let lists: Vec<_> =
            self.lists().map(|(name, list)| format!("{name} {}", list.join(" "))).collect();
        if lists.is_empty() {
            return Ok(());
        }
        write!(out, "encrypted {}", lists.join(", "))?;
        if let Some(expires) = self.expires {
            write!(out, "; certificate valid until {}", utc(expires))?;
        }
        if let Some(trouble) = &self.trouble {
            write!(out, "; TROUBLE: {trouble}")?;
        }
        writeln!(out)
    }
}
