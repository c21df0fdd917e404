//! Answers by copying: SRV records and their addresses, prebuilt.
//!
//! What is copied was written by [`super::write_records`] for the same name,
//! so that it cannot differ from what the general path would write; a test
//! compares them octet for octet at every limit.

use super::exchange::Exchange;
use super::resolve::resolve;
use super::{CLASS_IN, Cause, Outcome, Ttls, Verdict, groups, write_group};
use crate::geo::{RegionId, RegionSet};
use crate::snapshot::{Body, Cut, HandedOut, Status, Version};
use crate::wire::{Ending, Head, LowerName, Query, Question, Rcode, ResponseWriter, Rtype};

/// Returns the prebuilt answer to a question with its slot, if there is one.
pub(super) fn find<'s>(
    version: &'s Version,
    region: RegionId,
    question: &Question<'_>,
) -> Option<(&'s Body, u32)> {
    if question.qtype != Rtype::SRV {
        return None;
    }
    // Names that do not exist are left to the general path, which looks for
    // what stands in for them.
    let node = version.zone.get(question.name.as_wire())?;
    let rrset = node.rrset(Rtype::SRV).filter(|_| node.status() == Status::Authoritative)?;
    let slot = rrset.srv_slot(region)?;
    let regions = rrset.variant(region).regions();
    let body = version.bodies.get(slot, || build(version, (region, regions), node.owner()))?;
    Some((body, slot))
}

/// Writes a prebuilt answer, as much of it as there is room for.
///
/// Returns nothing where not even the records that answer fit.
pub(super) fn write<'s>(
    query: &Query<'_>,
    exchange: &Exchange<'_>,
    (version, body, slot): (&'s Version, &Body, u32),
    out: &mut [u8],
) -> Option<Outcome<'s>> {
    let question = query.question.wire;
    let edns = exchange.ending(Rcode::NOERROR, question.len(), None);
    let writer = ResponseWriter::new(out, exchange.room, query.head, Some(question), edns);
    let mut writer = writer.ok()?;
    let space = writer.space();
    let cut = body.cuts.iter().rev().find(|cut| usize::from(cut.len) <= space)?;
    let counts = [body.answers, 0, cut.additionals];
    writer.prebuilt(&body.octets[..usize::from(cut.len)], counts).ok()?;
    let ending = Ending { rcode: Rcode::NOERROR, authoritative: true, truncated: false };
    let len = writer.finish(ending);
    let handed_out = HandedOut { expiries: &version.expiries, slot, ttl: body.ttl };
    Some(Outcome {
        handed_out: Some(handed_out),
        ..Outcome::short(Verdict::Send(len), Cause::Answered)
    })
}

/// Writes the answer that the clients of a region get at a name of the zone;
/// `regions` are those that see the same SRV records.
///
/// There is none where clients that see the same SRV records see other
/// addresses, or where a message would be too long for it.
fn build(
    version: &Version,
    (region, regions): (RegionId, &RegionSet),
    owner: &[u8],
) -> Option<Body> {
    let mut wire = owner.to_vec();
    wire.extend(Rtype::SRV.0.to_be_bytes());
    wire.extend(CLASS_IN.to_be_bytes());
    let name = LowerName::from_wire(owner)?;
    let question = Question { wire: &wire, name, qtype: Rtype::SRV, qclass: CLASS_IN };
    let resolution = resolve(&version.zone, region, &question);
    if resolution.cause != Cause::Answered || !regions.is_subset(&resolution.same) {
        return None;
    }
    let head = Head { id: 0, opcode: 0, rd: false };
    let query = Query { head, question, edns: None };
    let mut out = vec![0; usize::from(u16::MAX)];
    let mut writer = ResponseWriter::new(&mut out, usize::from(u16::MAX), head, Some(&wire), None);
    let writer = writer.as_mut().ok()?;
    let start = writer.len();
    let mut cuts = Vec::new();
    for group in groups(&resolution.records) {
        write_group(writer, &query, group, &Ttls::default()).ok()?;
        let [.., additionals] = writer.counts();
        cuts.push(Cut { len: (writer.len() - start) as u16, additionals });
    }
    let [_, answers, ..] = writer.counts();
    let end = writer.len();
    let ttl = resolution.srv()?.1.ttl;
    Some(Body {
        octets: out[start..end].into(),
        answers,
        cuts: cuts.into(),
        same: resolution.same,
        ttl,
    })
}
