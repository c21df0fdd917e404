//! What an answer came from: the way of [`super::answer`] once more, kept.
//!
//! It takes the same steps by the same functions, with the same arguments, and
//! keeps what they return. Nothing here decides anything.

use std::net::IpAddr;

use super::exchange::{Exchange, Lens};
use super::resolve::Data;
use super::said::Said;
use super::{CLASS_IN, Client, Ttls, find_timeline, handover_scope, owner, scope};
use crate::geo::{RegionId, RegionSet};
use crate::snapshot::{Moment, Snapshot, Timeline, Version};
use crate::wire::{LowerName, Parsed, Rtype, Section, parse};

/// Traces the answer to a message; none where no zone has to do with it.
///
/// `len` is the length of the buffer that the answer is written to, in octets.
pub fn trace<'s>(
    snapshot: &'s Snapshot,
    client: &Client,
    now: Moment,
    message: &[u8],
    len: usize,
) -> Option<Trace<'s>> {
    let mut name = LowerName::default();
    let Parsed::Query(query) = parse(message, &mut name) else { return None };
    let question = &query.question;
    if question.qclass != CLASS_IN || [Rtype::AXFR, Rtype::IXFR].contains(&question.qtype) {
        return None;
    }
    let timeline = find_timeline(snapshot, question)?;
    let lens = Lens { message: message.len(), buffer: len };
    let exchange = Exchange::new(&snapshot.settings, client, now, query.edns.as_ref(), lens);
    let prefix = exchange.steering_prefix();
    let address = prefix.unwrap_or(client.address);
    let view = timeline.view(address, now);
    let version = view.version();
    let region = version.map.locate(address);
    let said = Said::of(version, &address, question);
    let resolution = said.resolution(question);
    let agrees = |other| said.agrees(&Said::of(other, &address, question), question);
    let cap = view.cap(now, |other| !agrees(other));
    let ttls = Ttls::new(cap, snapshot.settings.spread_ttl, address);
    let records = resolution.records.iter().map(|rrset| TracedRrset {
        section: rrset.section,
        owner: owner(&query, rrset).into(),
        rtype: rrset.rtype,
        ttl: rrset.ttl,
        lowered: Ttls { cap: None, ..ttls }.of(&query, rrset),
        sent: ttls.of(&query, rrset),
        rdatas: match &rrset.data {
            Data::Zone(variant) => variant.rdatas().map(Into::into).collect(),
            Data::Made(rdata) => vec![rdata.clone()],
        },
    });
    Some(Trace {
        timeline,
        version,
        address,
        region,
        same: resolution.same,
        own_scope: prefix.map(|_| scope(version, address, &resolution.same)),
        scope: prefix.map(|_| handover_scope(&view, address, question, &said)),
        cap,
        agreeing: timeline.entries().iter().map(|entry| agrees(&entry.version)).collect(),
        records: records.collect(),
    })
}

//----------- Trace ----------------------------------------------------------

/// What an answer came from.
#[derive(Clone, Debug)]
pub struct Trace<'s> {
    /// The timeline of the zone that answers.
    pub timeline: &'s Timeline,

    /// The version of it that is in force for the client.
    pub version: &'s Version,

    /// The address that steers the answer.
    pub address: IpAddr,

    /// The region it is in.
    pub region: RegionId,

    /// The regions whose clients get the same.
    pub same: RegionSet,

    /// The scope by this version alone, in bits, where there is a client
    /// subnet.
    pub own_scope: Option<u8>,

    /// The scope that is sent.
    pub scope: Option<u8>,

    /// To what TTLs are lowered because of a pending version, in seconds.
    pub cap: Option<u32>,

    /// Whether each version of the timeline answers the same.
    pub agreeing: Vec<bool>,

    /// The RRsets, in the order of the message; those that do not fit are at
    /// the end.
    pub records: Vec<TracedRrset>,
}

/// An RRset of an answer.
#[derive(Clone, Debug)]
pub struct TracedRrset {
    /// Where it stands.
    pub section: Section,

    /// The owner in wire format.
    pub owner: Box<[u8]>,

    /// The type.
    pub rtype: Rtype,

    /// The TTL that the zone has, in seconds.
    pub ttl: u32,

    /// The TTL as `spread-ttl` lowers it.
    pub lowered: u32,

    /// The TTL that is sent.
    pub sent: u32,

    /// The data of the records, in wire format without compression.
    pub rdatas: Vec<Box<[u8]>>,
}
