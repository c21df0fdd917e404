//! Questions of class CHAOS: who is the server (RFC 4892 section 2).

use super::Cause;
use super::resolve::{Data, Owner, Records, Resolution};
use crate::snapshot::Settings;
use crate::wire::{Question, Rtype, Section};

/// The class CHAOS.
const CLASS_CH: u16 = 3;

/// The names that ask for a server's identity.
const IDENTITY_NAMES: [&[u8]; 2] = [b"\x02id\x06server\0", b"\x08hostname\x04bind\0"];

/// The names that ask which software it runs, by the custom of BIND.
const VERSION_NAMES: [&[u8]; 2] = [b"\x07version\x06server\0", b"\x07version\x04bind\0"];

/// Answers with the identity or the version, if the question asks for it and
/// the operator gave it out.
///
/// The TTL is 0: the answer is this server's alone, and a cache that kept it
/// would lie about the next one.
pub(super) fn resolve(question: &Question<'_>, settings: &Settings) -> Option<Resolution<'static>> {
    if question.qclass != CLASS_CH || ![Rtype::TXT, Rtype::ANY].contains(&question.qtype) {
        return None;
    }
    let name = question.name.as_wire();
    let text = if IDENTITY_NAMES.contains(&name) {
        settings.identity.as_ref()?
    } else if VERSION_NAMES.contains(&name) {
        settings.version.as_ref()?
    } else {
        return None;
    };
    // One character string: a length octet and at most 255 others.
    let text = &text.as_bytes()[..text.len().min(255)];
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
