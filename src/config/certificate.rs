//! The certificate and the private key of the encrypted transports.
//!
//! Both are PEM files. Their texts are not kept among the sources: a finding
//! that showed a line would carry a key into logs. Findings stand at the key
//! of the configuration that names the file instead.
//!
//! # Expiry
//!
//! A certificate that has expired is a warning: resolvers that encrypt
//! because they can (RFC 9539) do not look at it, and the zones are not to be
//! held up by it. So is one that will expire soon, see [`Certificate::note`].

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::der::Decode;

use super::model::Encrypted;
use super::secrets::add_if_readable;
use super::text::unreadable;
use crate::diag::{Code, Finding, Located, Report};
use crate::time::utc;

/// The most octets of a PEM file. A chain of ten certificates has 20 KiB.
const FILE_MAX: u64 = 1 << 20;

//----------- Certificate ----------------------------------------------------

/// A certificate with those that vouch for it, and its private key.
#[derive(Debug)]
pub struct Certificate {
    pair: Arc<CertifiedKey>,
    validity: Validity,
}

impl Certificate {
    /// Returns what TLS takes.
    pub fn pair(&self) -> &Arc<CertifiedKey> {
        &self.pair
    }

    /// Returns when it ends, in seconds since the Unix epoch.
    pub fn expires(&self) -> u64 {
        self.validity.end
    }

    /// Says whether another one shows the same to clients.
    pub fn is_same(&self, other: &Certificate) -> bool {
        self.pair.cert == other.pair.cert
    }

    /// Says what is to be said of its validity at a time, in seconds since the
    /// Unix epoch.
    pub fn note(&self, now: u64) -> Option<Note> {
        self.validity.note(now)
    }
}

/// What is to be said of a certificate's validity. Times are in seconds since
/// the Unix epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Note {
    /// It begins later.
    Begins(u64),

    /// It has ended.
    Expired(u64),

    /// It ends soon, and nobody has renewed it.
    Expires(u64),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Note::Begins(time) => write!(f, "the certificate is not valid before {}", utc(time)),
            Note::Expired(time) => write!(f, "the certificate expired at {}", utc(time)),
            Note::Expires(time) => write!(f, "the certificate expires at {}", utc(time)),
        }
    }
}

//----------- Validity -------------------------------------------------------

/// From when until when all certificates of a chain are valid, in seconds
/// since the Unix epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Validity {
    begin: u64,
    end: u64,

    /// How long the first one is valid in all.
    span: u64,
}

impl Validity {
    /// How long before its end a certificate is warned of at most: those of 90
    /// days are renewed when 30 are left, and two weeks leave time to mend
    /// whatever renews them.
    const AHEAD: u64 = 14 * 86_400;

    fn note(self, now: u64) -> Option<Note> {
        // Those of a week are renewed by the day.
        let ahead = Self::AHEAD.min(self.span / 4);
        if now < self.begin {
            return Some(Note::Begins(self.begin));
        }
        match self.end.checked_sub(now) {
            None => Some(Note::Expired(self.end)),
            Some(left) => (left < ahead).then_some(Note::Expires(self.end)),
        }
    }

    /// Reads that of a chain; fails with the number of a certificate that
    /// cannot be read, from 1.
    fn of(chain: &[CertificateDer<'_>]) -> Result<Self, usize> {
        let read = |der: &CertificateDer<'_>| {
            let certificate = x509_cert::Certificate::from_der(der).ok()?;
            let validity = certificate.tbs_certificate().validity();
            let second = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
            Some((second(validity.not_before), second(validity.not_after)))
        };
        let mut all = Validity { begin: 0, end: u64::MAX, span: 0 };
        for (number, der) in (1usize..).zip(chain) {
            let (begin, end) = read(der).ok_or(number)?;
            if number == 1 {
                all.span = end.saturating_sub(begin);
            }
            all.begin = all.begin.max(begin);
            all.end = all.end.min(end);
        }
        Ok(all)
    }
}

//----------- Reading --------------------------------------------------------

/// Reads the files that `[encrypted]` names, at a time in seconds since the
/// Unix epoch.
///
/// There is nothing where they cannot be used; the reason is reported.
pub fn read_certificate(
    encrypted: &Encrypted,
    now: u64,
    report: &mut Report,
) -> Option<Certificate> {
    let chain = chain(&encrypted.certificate, report);
    let key = key(&encrypted.key, report);
    let (chain, key) = (chain?, key?);
    let validity = match Validity::of(&chain) {
        Ok(validity) => validity,
        Err(number) => {
            let message = format!("certificate {number} of this file is no X.509 certificate");
            add_bad_certificate(&encrypted.certificate, message, report);
            return None;
        }
    };
    let pair = pair(encrypted, chain, key, report)?;
    let certificate = Certificate { pair: Arc::new(pair), validity };
    if let Some(note) = certificate.note(now) {
        let help = match note {
            Note::Begins(_) => "correct the host's clock, or use another one",
            _ => "renew it: the new file is taken in by itself",
        };
        let message = note.to_string();
        add(Code::CertificateValidity, &encrypted.certificate, message, help, report);
    }
    Some(certificate)
}

/// Reads a chain of certificates, of which the first is the server's.
fn chain(path: &Located<PathBuf>, report: &mut Report) -> Option<Vec<CertificateDer<'static>>> {
    let (text, _) = read(path, report)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => return Some(chain),
        Ok(_) if PrivateKeyDer::from_pem_slice(&text).is_ok() => {
            let message = "this file holds a private key and no certificate";
            let help = "name the certificate's file, as in `certificate = \"tls/fullchain.pem\"`";
            add(Code::BadCertificate, path, message, help, report);
        }
        Ok(_) => add_bad_certificate(path, "there is no certificate in this file", report),
        Err(error) => add_bad_certificate(path, format!("this file is not PEM: {error}"), report),
    }
    None
}

/// Reads a private key.
fn key(path: &Located<PathBuf>, report: &mut Report) -> Option<PrivateKeyDer<'static>> {
    let (text, metadata) = read(path, report)?;
    add_if_readable(path, &metadata, "the private key", report);
    let error = match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => return Some(key),
        Err(error) => error,
    };
    let has = |part: &str| String::from_utf8_lossy(&text).contains(part);
    let (message, help) = match error {
        _ if has("ENCRYPTED") => (
            "the key in this file needs a passphrase, which nobody can give when the server starts",
            "write it without: openssl pkey -in FILE -out NEW_FILE",
        ),
        pem::Error::NoItemsFound if has("BEGIN CERTIFICATE") => (
            "this file holds a certificate and no private key",
            "name the key's file, as in `key = \"tls/privkey.pem\"`",
        ),
        pem::Error::NoItemsFound => ("there is no private key in this file", KEY_HELP),
        _ => ("this file is not PEM", KEY_HELP),
    };
    add(Code::BadKey, path, message, help, report);
    None
}

const KEY_HELP: &str = "write the private key in PEM form (PKCS #8, PKCS #1 or SEC 1)";

/// Reads the octets, and who may read them, of one and the same file.
fn read(path: &Located<PathBuf>, report: &mut Report) -> Option<(Vec<u8>, fs::Metadata)> {
    let read = || {
        let file = File::open(&path.value)?;
        let metadata = file.metadata()?;
        let mut octets = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut octets)?;
        Ok((octets, metadata))
    };
    read().map_err(|error| report.add(unreadable(&path.value, &error))).ok()
}

/// Joins a chain and the key of its first certificate.
fn pair(
    encrypted: &Encrypted,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    report: &mut Report,
) -> Option<CertifiedKey> {
    let provider = ring::default_provider();
    let fits = |certificate: &CertificateDer<'static>| {
        let pair = CertifiedKey::from_der(vec![certificate.clone()], key.clone_key(), &provider);
        pair.is_ok()
    };
    let fits_another = chain.iter().skip(1).any(fits);
    let mismatch = Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
    let (code, path, message, help) = match CertifiedKey::from_der(chain, key, &provider) {
        Ok(pair) => return Some(pair),
        Err(error) if error == mismatch && fits_another => (
            Code::BadCertificate,
            &encrypted.certificate,
            "the certificate of the key is not the first in this file".to_owned(),
            "order them: the server's own, then each one that vouches for the one before",
        ),
        Err(error) if error == mismatch => (
            Code::BadKey,
            &encrypted.key,
            "the private key in this file does not fit the certificate".to_owned(),
            "name the key that the certificate was made for; where both are being replaced, wait \
             until both are",
        ),
        Err(Error::InvalidCertificate(error)) => (
            Code::BadCertificate,
            &encrypted.certificate,
            format!("the certificate in this file cannot be used: {error:?}"),
            "make one of version 3 with subject alternative names, as certificate authorities do",
        ),
        Err(error) => (
            Code::BadKey,
            &encrypted.key,
            format!("the private key in this file cannot be used: {error}"),
            "use an ECDSA (P-256, P-384), Ed25519 or RSA (2048 bits and more) key",
        ),
    };
    let mut finding = Finding::new(code, path.span, message, help);
    if code == Code::BadKey {
        finding = finding.with_related(encrypted.certificate.span, "the certificate");
    }
    report.add(finding);
    None
}

//----------- Findings -------------------------------------------------------

const CERTIFICATE_HELP: &str = "write the server's certificate and behind it those that vouch for \
                                it, in PEM form, as in the file fullchain.pem of ACME clients";

fn add_bad_certificate(path: &Located<PathBuf>, message: impl Into<String>, report: &mut Report) {
    add(Code::BadCertificate, path, message, CERTIFICATE_HELP, report);
}

fn add(
    code: Code,
    path: &Located<PathBuf>,
    message: impl Into<String>,
    help: &str,
    report: &mut Report,
) {
    report.add(Finding::new(code, path.span, message, help));
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_while_there_is_time_to_mend_it() {
        const DAY: u64 = 86_400;
        let validity = |days: u64| Validity { begin: 0, end: days * DAY, span: days * DAY };
        let note = |days, left| validity(days).note(days * DAY - left);
        assert_eq!(note(90, 14 * DAY), None);
        assert_eq!(note(90, 14 * DAY - 1), Some(Note::Expires(90 * DAY)));
        assert_eq!(note(6, 2 * DAY), None);
        assert_eq!(note(6, DAY), Some(Note::Expires(6 * DAY)));
        assert_eq!(note(90, 0), Some(Note::Expires(90 * DAY)));
        assert_eq!(validity(90).note(91 * DAY), Some(Note::Expired(90 * DAY)));
        let later = Validity { begin: 10, end: 100, span: 90 };
        assert_eq!(later.note(4), Some(Note::Begins(10)));
    }
}
