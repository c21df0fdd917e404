//! Answers by copying: what a zone has said before, ready to be said again.
//!
//! [`find`] finds where the answer to a question is kept: with the variant of
//! the RRset that answers, or with one of the two denials of the zone. What is
//! kept there was written by [`super::write_group`] for the first question that
//! came to it, so that it cannot differ from what the general path would
//! write; tests compare them octet for octet.
//!
//! A denial is the same behind every question of a zone, and what a wildcard or
//! a delegation says is the same for all names below it. The general path, too,
//! compresses these against nothing but the end that such questions have in
//! common ([`Resolution::known`]), so that all that a longer question changes
//! is where pointers point.

use std::cell::RefCell;

use super::exchange::Exchange;
use super::resolve::{Resolution, is_referred, resolve, select};
use super::{Cause, Outcome, Ttls, Verdict, groups, write_group};
use crate::geo::{RegionId, RegionSet};
use crate::snapshot::{Body, BodyKey, Cut, Found, HandedOut, Node, Version, Zone};
use crate::wire::{
    Ending, Full, HEADER_LEN, Head, Name, Query, Question, ResponseWriter, Rtype, move_pointers,
};

/// The longest body behind which no question is so long that names in it could
/// not be pointed to, in octets (RFC 1035 section 4.1.4: 14 bits).
const MOVABLE_MAX: usize = 0x3fff - HEADER_LEN - Name::MAX_LEN - 4;

//----------- Prebuilt -------------------------------------------------------

/// A prebuilt answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prebuilt<'s> {
    body: &'s Body,

    /// The regions whose clients get it, but for where a type is denied.
    same: &'s RegionSet,

    /// The name that exists without the type.
    denied: Option<Node<'s>>,
}

impl Prebuilt<'_> {
    /// Returns the regions whose clients get what those of a region get.
    pub(super) fn same(&self, region: RegionId) -> RegionSet {
        self.denied.map_or(*self.same, |node| node.same(region))
    }

    /// Says whether a client is told the same; none where there is no telling
    /// without the records.
    pub(super) fn agrees(&self, other: &Prebuilt<'_>) -> Option<bool> {
        self.body.agrees(other.body)
    }
}

/// Returns the prebuilt answer to a question, if there is one.
#[inline]
pub(super) fn find<'s>(
    zone: &'s Zone,
    region: RegionId,
    question: &Question<'_>,
) -> Option<Prebuilt<'s>> {
    let (place, denied) = Place::of(zone.find(question.name), region, question.qtype)?;
    let (slot, qtype) = place.slot();
    let kept = match zone.bodies().get(slot, (qtype, region)) {
        Some(kept) => kept,
        None => {
            let count = Place::FIRST_VARIANT + zone.variant_count();
            let build = || build(zone, region, question, place);
            zone.bodies().add((slot, count), (qtype, region), build)?
        }
    };
    let (key, body) = kept.content()?;
    Some(Prebuilt { body, same: &key.same, denied })
}

/// Where the answers to some questions are kept.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Those to all whose name exists without the type.
    NoData,

    /// Those to all whose name does not exist.
    NoName,

    /// Those that a variant gives, by its number, to who asks for a type.
    Variant(usize, Rtype),
}

impl Place {
    const FIRST_VARIANT: usize = 2;

    /// Returns that of the answers to who asks for a type, and the name that
    /// exists without it; there is none where an answer is for one name only.
    #[inline]
    fn of<'s>(
        found: Found<'s>,
        region: RegionId,
        qtype: Rtype,
    ) -> Option<(Self, Option<Node<'s>>)> {
        let place = match found {
            Found::Exact(node) if is_referred(node, qtype) => Self::referral(node, region)?,
            Found::Referral(node) => Self::referral(node, region)?,
            Found::Exact(node) | Found::Wildcard(node) => match select(node, qtype, region) {
                Some((_, variant)) => Place::Variant(variant.number(), qtype),
                None => return Some((Place::NoData, Some(node))),
            },
            Found::Missing => Place::NoName,
            // What a DNAME makes of a name is for no other one.
            Found::Redirected(_) => return None,
        };
        Some((place, None))
    }

    /// Returns that of the referral to the servers of a delegated name, which
    /// is the same whatever is asked for.
    fn referral(cut: Node<'_>, region: RegionId) -> Option<Self> {
        let servers = cut.rrset(Rtype::NS)?;
        Some(Place::Variant(servers.variant(region).number(), Rtype::NS))
    }

    /// Returns the number of its slot, and the type that tells bodies in it
    /// apart.
    fn slot(self) -> (usize, Rtype) {
        match self {
            Place::NoData => (0, Rtype::SOA),
            Place::NoName => (1, Rtype::SOA),
            Place::Variant(number, qtype) => (Self::FIRST_VARIANT + number, qtype),
        }
    }
}

//----------- Building -------------------------------------------------------

/// Writes the answer to a question as a body; there is none where another
/// question that comes to its place would be answered otherwise, or where a
/// message would be too long for it.
fn build(
    zone: &Zone,
    region: RegionId,
    question: &Question<'_>,
    place: Place,
) -> (BodyKey, Option<Body>) {
    thread_local! {
        // A worker gives no memory back between two answers: whoever does may
        // be the one that hands the system what a reload has freed.
        static OUT: RefCell<Box<[u8]>> = RefCell::new(vec![0; u16::MAX.into()].into());
    }
    let resolution = resolve(zone, region, question);
    let same = match place {
        Place::NoData | Place::NoName => RegionSet::ALL,
        Place::Variant(..) => resolution.same,
    };
    let body = match resolution.is_for_all_below {
        true => OUT.with_borrow_mut(|out| written(&resolution, question, out)),
        false => None,
    };
    (BodyKey { qtype: place.slot().1, same }, body)
}

fn written(resolution: &Resolution<'_>, question: &Question<'_>, out: &mut [u8]) -> Option<Body> {
    let name_len = question.name_as_sent().len();
    let (mut pointers, mut cuts, head) = (Vec::new(), Vec::new(), Head::default());
    let room = out.len();
    let mut writer = ResponseWriter::new(out, room, head, Some(question.wire), None).ok()?;
    let start = writer.len();
    writer.share(resolution.known);
    writer.note_pointers(&mut pointers);
    let query = Query { head, question: *question, edns: None };
    let mut serial_at = None;
    for group in groups(&resolution.records) {
        write_group(&mut writer, &query, group, &Ttls::default()).ok()?;
        let [.., additionals] = writer.counts();
        let len = writer.len() - start;
        let cut = Cut { len: len as u16, additionals };
        match cuts.last_mut() {
            // The client needs this, and all before it.
            Some(last) if group.iter().all(|rrset| rrset.optional.is_none()) => *last = cut,
            _ => cuts.push(cut),
        }
        if group.iter().any(|rrset| rrset.rtype == Rtype::SOA) {
            // One record, at the end of which stand five numbers.
            serial_at = Some((len - 20) as u16);
        }
    }
    let [_, answers, authorities, _] = writer.counts();
    let end = writer.len();
    if resolution.known < name_len && end - start > MOVABLE_MAX {
        return None;
    }
    let (needed, optional) = cuts.split_first()?;
    let mut body = Body {
        rcode: resolution.rcode,
        authoritative: resolution.authoritative,
        cause: resolution.cause,
        octets: out[start..end].into(),
        known: resolution.known as u8,
        pointers: pointers.iter().map(|at| at - start as u16).collect(),
        counts: [answers, authorities],
        needed: *needed,
        optional: optional.into(),
        serial_at,
        srv: resolution.srv().map(|(slot, rrset)| (slot, rrset.ttl)),
    };
    // As if the question were no longer than what is known of it.
    move_pointers(&mut body.octets, &body.pointers, resolution.known.wrapping_sub(name_len) as u16);
    Some(body)
}

//----------- Writing --------------------------------------------------------

/// Writes a prebuilt answer, as much of it as there is room for.
pub(super) fn write<'s>(
    query: &Query<'_>,
    exchange: &mut Exchange<'_>,
    (version, prebuilt): (&'s Version, &Prebuilt<'s>),
    ttls: &Ttls,
    out: &mut [u8],
) -> Outcome<'s> {
    let body = prebuilt.body;
    let mut outcome = Outcome::of(query, exchange, body.cause);
    let (question, room) = (query.question.wire, exchange.room);
    let edns = exchange.ending(body.rcode, question.len(), body.cause);
    let writer = ResponseWriter::new(out, room, query.head, Some(question), edns);
    let Ok(mut writer) = writer else {
        outcome.cause = Cause::NoRoom;
        return outcome;
    };
    let written = body.cut(writer.space()).ok_or(Full).and_then(|cut| {
        let [answers, authorities] = body.counts;
        let counts = [answers, authorities, cut.additionals];
        let shift = (question.len() - 4).wrapping_sub(body.known.into()) as u16;
        writer.prebuilt(&body.octets[..usize::from(cut.len)], counts, (&body.pointers, shift))
    });
    let truncated = written.is_err();
    let lowered = if ttls.lower_nothing() { None } else { lower(&mut writer, ttls) };
    outcome.truncated = truncated;
    outcome.handed_out = body.srv.filter(|_| !truncated).map(|(slot, ttl)| HandedOut {
        expiries: &version.expiries,
        slot,
        ttl: lowered.unwrap_or(ttl),
    });
    let (rcode, authoritative) = (body.rcode, body.authoritative);
    outcome.verdict = Verdict::Send(writer.finish(Ending { rcode, authoritative, truncated }));
    outcome
}

/// Lowers the TTLs of what is written; returns that of the SRV records.
fn lower(writer: &mut ResponseWriter<'_>, ttls: &Ttls) -> Option<u32> {
    let mut srv = None;
    let mut name = [0; Name::MAX_LEN];
    // The records of an RRset stand together and have one TTL.
    let mut last = (0, 0, 0);
    writer.change_ttls(|owner, rtype, ttl| {
        if (owner.place(), ttl) != (last.0, last.1) {
            last = (owner.place(), ttl, ttls.lower(ttl, || owner.read(&mut name)));
        }
        if rtype == Rtype::SRV {
            srv.get_or_insert(last.2);
        }
        last.2
    });
    srv
}
