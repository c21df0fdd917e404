//! The DNS message format: names, queries in, responses out.
//!
//! ```text
//!  octets ──parse──▶ Parsed::Query ─────────▶ (looked up) ──ResponseWriter──▶ octets
//!                    Parsed::CookieQuery ───────────────────ResponseWriter──▶ octets
//!                    Parsed::Refused
//!                      ├─ Reply::Error ─────────────────────ResponseWriter──▶ octets
//!                      └─ Reply::Drop
//! ```
//!
//! Nothing here knows of zones, regions or sockets, and nothing here fails
//! on hostile octets other than by saying so. [`parse`] borrows the message,
//! [`ResponseWriter`] writes into the caller's buffer, and neither allocates.
//!
//! # Limits
//!
//! A message is of at most 65,535 octets. Parsing costs time linear in its
//! length. The writer remembers 64 labels for compression; names beyond them
//! come out right, if longer.
//!
//! # What is absent
//!
//! Records of a query are stepped over, not read: TSIG is only located.
//! Operations other than QUERY are told apart by their number alone. What goes
//! into a response, and what to leave out of a full one, is for the caller to
//! say.

mod compress;
mod cookie;
mod edns;
mod header;
mod lifetime;
mod lower;
mod name;
mod query;
mod rdata;
mod reason;
mod rtype;
mod srv;
mod tsig;
mod writer;

#[cfg(test)]
mod oracles;

pub use self::cookie::{CookieReply, CookieSecrets, Presented};
pub use self::edns::{ClientSubnet, EdnsQuery, EdnsReply, ExtendedError};
pub(crate) use self::header::HEADER_LEN;
pub use self::header::{Head, Rcode};
pub use self::lifetime::lifetime;
pub use self::lower::{LowerName, Suffix};
pub use self::name::{Name, NameError, is_same_name, is_within};
pub use self::query::{CookieQuery, ErrorReply, Parsed, Query, Question, Refusal, Reply, parse};
pub use self::reason::Reason;
pub use self::rtype::Rtype;
pub use self::srv::SrvData;
pub use self::tsig::Tsig;
pub use self::writer::{
    Ending, Full, Mark, ResponseWriter, RrsetHead, Section, WrittenName, move_pointers,
};
