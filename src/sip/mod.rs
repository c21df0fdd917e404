//! SIP, as far as it takes to see whether endpoints answer.
//!
//! ```text
//!  zones ── targets ──▶ Target ── exchange ──▶ Observation ── health ──▶ in service or not
//!                                  │     │
//!                               message  tls
//! ```
//!
//! - [`targets`]: whom to ask: every address of every endpoint of the tables.
//! - [`message`]: the OPTIONS request, and what of responses decides.
//! - [`exchange`]: one request over UDP, TCP or TLS, and what came of it.
//! - [`tls`]: who the other side is, and for how long its certificate says so.
//! - [`health`]: what follows for a trunk, by the platform's rules.
//! - [`watch`]: many targets, again and again.
//!
//! # What is absent
//!
//! Nothing in here changes an answer: DNS says where endpoints are, and the
//! platform decides by its own checks which of them gets calls. Neither SCTP
//! nor WebSocket is spoken.

pub mod exchange;
pub mod health;
pub mod message;
pub mod targets;
pub mod tls;
pub mod watch;

//----------- Transport ------------------------------------------------------

/// How SIP is carried to an endpoint.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Over UDP.
    Udp,

    /// Over TCP.
    Tcp,

    /// Over TLS.
    Tls,
}

impl Transport {
    /// Returns the transport of a service (RFC 3263 section 4.1), `_sip._tls`
    /// being what vendors made of `_sips._tcp`.
    pub fn of_service(service: &str) -> Option<Self> {
        match service {
            "_sip._udp" => Some(Transport::Udp),
            "_sip._tcp" => Some(Transport::Tcp),
            "_sips._tcp" | "_sip._tls" => Some(Transport::Tls),
            _ => None,
        }
    }

    /// Returns its name in Via (RFC 3261 section 20.42).
    fn via(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// Returns the URI parameter that names it; UDP is what goes without.
    fn parameter(self) -> &'static str {
        match self {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        }
    }
}
