//! Questions of class CHAOS: who is the server (RFC 4892 section 2).

use crate::wire::{Full, Question, ResponseWriter, RrsetHead, Rtype, Section};

/// The class CHAOS.
pub(super) const CLASS_CH: u16 = 3;

/// The names that ask for a server's identity.
const NAMES: [&[u8]; 2] = [b"\x02id\x06server\0", b"\x08hostname\x04bind\0"];

/// Writes the identity, if the question asks for it.
///
/// Says whether it does. The TTL is 0: the answer is this server's alone, and
/// a cache that kept it would lie about the next one.
pub(super) fn write(
    question: &Question<'_>,
    identity: Option<&str>,
    writer: &mut ResponseWriter<'_>,
) -> Result<bool, Full> {
    let Some(identity) = identity else {
        return Ok(false);
    };
    if question.qclass != CLASS_CH
        || ![Rtype::TXT, Rtype::ANY].contains(&question.qtype)
        || !NAMES.contains(&question.name.as_wire())
    {
        return Ok(false);
    }
    let text = &identity.as_bytes()[..identity.len().min(255)];
    let rdata = [&[text.len() as u8], text].concat();
    let owner = question.name_as_sent();
    let head = RrsetHead { owner, rtype: Rtype::TXT, class: CLASS_CH, ttl: 0 };
    writer.rrset(Section::Answer, head, [&rdata[..]])?;
    Ok(true)
}
