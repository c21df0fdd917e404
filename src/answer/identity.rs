//! Questions of class CHAOS: who is the server (RFC 4892 section 2).

use super::Cause;
use super::resolve::{Data, Owner, Records, Resolution};
use crate::wire::{Question, Rtype, Section};

/// The class CHAOS.
const CLASS_CH: u16 = 3;

/// The names that ask for a server's identity.
const NAMES: [&[u8]; 2] = [b"\x02id\x06server\0", b"\x08hostname\x04bind\0"];

/// Answers with the identity, if the question asks for it and there is one.
///
/// The TTL is 0: the answer is this server's alone, and a cache that kept it
/// would lie about the next one.
pub(super) fn resolve(
    question: &Question<'_>,
    identity: Option<&str>,
) -> Option<Resolution<'static>> {
    let asks = question.qclass == CLASS_CH
        && [Rtype::TXT, Rtype::ANY].contains(&question.qtype)
        && NAMES.contains(&question.name.as_wire());
    let identity = identity.filter(|_| asks)?.as_bytes();
    // One character string: a length octet and at most 255 others.
    let text = &identity[..identity.len().min(255)];
    let records = vec![Records {
        section: Section::Answer,
        owner: Owner::Question,
        rtype: Rtype::TXT,
        ttl: 0,
        data: Data::Made([&[text.len() as u8], text].concat().into()),
        optional: None,
        slot: None,
    }];
    Some(Resolution { cause: Cause::Identity, records, ..Resolution::default() })
}
