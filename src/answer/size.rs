//! How long an answer comes to be.

use super::resolve::resolve;
use super::{CLASS_IN, Cause, Ttls, UDP_PAYLOAD, groups, write_group};
use crate::geo::RegionId;
use crate::snapshot::Zone;
use crate::wire::{EdnsReply, Head, LowerName, Query, Question, ResponseWriter, Rtype};

/// The octets of an answer, its header, question and OPT record among them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// With the records that the client cannot do without.
    pub needed: usize,

    /// With the addresses of all hosts in the zone that they name.
    pub whole: usize,
}

/// Returns the size of the answer that the clients of a region get at a name
/// of the zone, in wire format, if there are records.
///
/// It is written by the writer of all answers into a buffer of the size of the
/// largest message; what does not even fit there has that size.
pub fn size(zone: &Zone, region: RegionId, owner: &[u8], rtype: Rtype) -> Option<Size> {
    let wire = [owner, &rtype.0.to_be_bytes(), &CLASS_IN.to_be_bytes()].concat();
    let name = LowerName::from_wire(owner)?;
    let question = Question { wire: &wire, name: &name, qtype: rtype, qclass: CLASS_IN };
    let resolution = resolve(zone, region, &question);
    if resolution.cause != Cause::Answered {
        return None;
    }
    let head = Head { id: 0, opcode: 0, rd: false };
    let query = Query { head, question, edns: None };
    let edns = EdnsReply { payload: UDP_PAYLOAD, ..EdnsReply::default() };
    let mut out = vec![0; usize::from(u16::MAX)];
    let limit = out.len();
    let mut writer = ResponseWriter::new(&mut out, limit, head, Some(&wire), Some(&edns)).ok()?;
    let mut needed = limit - writer.space();
    for group in groups(&resolution.records) {
        let is_needed = group.iter().any(|rrset| rrset.optional.is_none());
        if write_group(&mut writer, &query, group, &Ttls::default()).is_err() {
            let needed = if is_needed { limit } else { needed };
            return Some(Size { needed, whole: limit });
        }
        if is_needed {
            needed = limit - writer.space();
        }
    }
    Some(Size { needed, whole: limit - writer.space() })
}
