//! Why a client gets the answer it gets.
//!
//! ```text
//!  snapshot, client, time, query ── answer ──▶ octets ──┐
//!                                └─ trace ───▶ Trace ───┼─▶ Explanation ── render ──▶ text
//!  tables of the version ── Origins ──────────▶ places ─┤
//!  region table, databases ── Placer ─────────▶ rule ───┘
//! ```
//!
//! The answer is the one that is served: the octets are those of
//! [`answer::answer`], and what is said about them is what its functions
//! returned ([`answer::trace`]). The rule that placed the client comes from
//! the operator's files ([`Placer`]), because the served map holds regions
//! alone; where the two differ, the explanation says so.
//!
//! [`Usage`] goes the other way: from an address to the endpoint that has it,
//! and to the rows that name it.

mod placement;
mod render;
mod usage;

use std::net::IpAddr;

use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::answer::{self, Client, Trace, TracedRrset, Transport, UDP_PAYLOAD, Verdict};
use crate::compile::Origins;
use crate::diag::Sources;
use crate::geo::{self, RegionId};
use crate::snapshot::{Moment, Snapshot, Version};
use crate::wire::{Name, Rcode, Rtype, Section};

pub use self::placement::{DatabaseRecord, Placement, Placer};
pub use self::render::{render, render_line, render_usages};
pub use self::usage::{Usage, usages};

//----------- Request --------------------------------------------------------

/// What is to be explained.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    /// The name asked for.
    pub name: String,

    /// The type, such as `SRV`.
    pub rtype: String,

    /// Who asks.
    pub clients: Vec<Asker>,

    /// At which moment, in milliseconds since the Unix epoch; now without it.
    pub at: Option<u64>,
}

impl Request {
    /// The most clients of a request: an explanation takes some kilobytes.
    pub const CLIENTS_MAX: usize = 500;
}

/// Who asks.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Asker {
    /// The address that the query comes from.
    pub from: IpAddr,

    /// The client subnet that it carries (RFC 7871).
    pub subnet: Option<IpNet>,
}

//----------- Explanation ----------------------------------------------------

/// Why a client gets the answer it gets. Times are in seconds since the Unix
/// epoch.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The name asked for.
    pub name: String,

    /// The type asked for.
    pub rtype: String,

    /// When, in milliseconds since the Unix epoch.
    pub at: u64,

    /// The generation that is served.
    pub generation: u64,

    /// Who asks.
    pub client: ExplainedClient,

    /// Where the operator's files place the client, and why.
    pub placement: Option<Placement>,

    /// The zone that answers; none where none has to do with the name.
    pub zone: Option<ExplainedZone>,

    /// The answer.
    pub answer: ExplainedAnswer,
}

/// Who asks.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExplainedClient {
    /// The address that the query comes from.
    pub from: IpAddr,

    /// The client subnet that it carries.
    pub subnet: Option<IpNet>,

    /// The address that steers: that of the subnet, if it counts.
    pub address: IpAddr,

    /// Whether it is that of the subnet.
    pub is_by_subnet: bool,

    /// The IPv4 address that it carries, which then counts instead.
    pub counts_as: Option<IpAddr>,

    /// Its network, a /24 or a /48: what changes over in a handover.
    pub network: String,
}

/// The zone that answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExplainedZone {
    /// Its name.
    pub name: String,

    /// The region that the client is in.
    pub region: String,

    /// The first and the last address of the range around it that is in the
    /// same region.
    pub range: (IpAddr, IpAddr),

    /// The versions that matter, the oldest first.
    pub versions: Vec<ExplainedVersion>,

    /// When the client's answer to this question changes next, if it does.
    pub next_change: Option<u64>,

    /// To what TTLs are lowered until then, in seconds.
    pub cap: Option<u32>,

    /// The scope of the answer, where there is a client subnet.
    pub scope: Option<Scope>,
}

/// A version of a zone, for one client.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExplainedVersion {
    /// The serial of its SOA record.
    pub serial: u32,

    /// When it was published (`P`).
    pub published: u64,

    /// How long it waits for cached copies to expire, in seconds (`H`).
    pub wait: u32,

    /// Over which span networks change over, in seconds.
    pub spread: u32,

    /// Whether it was in force for everybody at once.
    pub immediate: bool,

    /// When the client's network changes over to it (`T`).
    pub changes_over: u64,

    /// Whether it is the one that answers.
    pub is_in_force: bool,

    /// Whether it answers this question like the one in force.
    pub answers_the_same: bool,
}

/// For which prefix around the client an answer is good.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scope {
    /// Its length in bits.
    pub length: u8,

    /// Why it is no wider.
    pub because: String,
}

/// An answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExplainedAnswer {
    /// The response code; none where nothing is sent.
    pub code: Option<String>,

    /// Why, in one word.
    pub cause: String,

    /// Whether the zone answers for the name (AA).
    pub authoritative: bool,

    /// Whether it is cut short (TC).
    pub truncated: bool,

    /// The message in hexadecimal digits, with the ID 0.
    pub octets: String,

    /// The records, in the order of the message.
    pub records: Vec<ExplainedRecord>,

    /// How many records were left out for want of room.
    pub left_out: usize,

    /// Whether the tables are at hand that the records were written in. They
    /// are those of the version that was published last.
    pub has_origins: bool,
}

/// A record of an answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExplainedRecord {
    /// `answer`, `authority` or `additional`.
    pub section: String,

    /// The record in presentation format.
    pub text: String,

    /// The TTL that is sent, in seconds.
    pub ttl: u32,

    /// The TTL that the tables have.
    pub table_ttl: u32,

    /// The TTL that `spread-ttl` makes of it.
    pub lowered_ttl: u32,

    /// What it is in the tables, such as a tier of a row; nothing where they
    /// are not at hand.
    pub origin: Option<String>,

    /// Where that is written, as `file:line:column`.
    pub written: Option<String>,
}

//----------- Explaining -----------------------------------------------------

/// The tables that a version was compiled from.
pub struct Written<'t> {
    /// Where each record is written.
    pub origins: Origins<'t>,

    /// The files.
    pub sources: &'t Sources,
}

/// Explains the answers that clients get.
///
/// `written` returns the tables of a version, where they are at hand. Fails
/// where name or type cannot be read, or there are too many clients.
pub fn explain<'t>(
    snapshot: &Snapshot,
    now: Moment,
    request: &Request,
    written: impl Fn(&Version) -> Option<&'t Written<'t>>,
) -> Result<Vec<Explanation>, String> {
    let name = Name::parse(&request.name, &Name::root())
        .map_err(|error| format!("`{}` has {error}", request.name))?;
    let rtype: Rtype =
        request.rtype.parse().map_err(|_| format!("`{}` is not a record type", request.rtype))?;
    if request.clients.len() > Request::CLIENTS_MAX {
        return Err(format!("more than {} clients in one request", Request::CLIENTS_MAX));
    }
    let now = request.at.map_or(now, Moment);
    let explainer = Explainer { snapshot, now, name: &name, rtype };
    Ok(request.clients.iter().map(|asker| explainer.explain(asker, &written)).collect())
}

struct Explainer<'a> {
    snapshot: &'a Snapshot,
    now: Moment,
    name: &'a Name,
    rtype: Rtype,
}

impl Explainer<'_> {
    fn explain<'t>(
        &self,
        asker: &Asker,
        written: &impl Fn(&Version) -> Option<&'t Written<'t>>,
    ) -> Explanation {
        let query = query(self.name, self.rtype, asker.subnet);
        let client = Client { address: asker.from.to_canonical(), transport: Transport::Udp };
        let mut out = vec![0; usize::from(UDP_PAYLOAD)];
        let outcome = answer::answer(self.snapshot, &client, self.now, &query, &mut out);
        let len = if let Verdict::Send(len) = outcome.verdict { len } else { 0 };
        let trace = answer::trace(self.snapshot, &client, self.now, &query, out.len());
        let written = trace.as_ref().and_then(|trace| written(trace.version));
        let address = trace.as_ref().map_or(client.address, |trace| trace.address);
        Explanation {
            name: self.name.to_string(),
            rtype: self.rtype.to_string(),
            at: self.now.0,
            generation: self.snapshot.generation,
            client: explain_client(asker, address, trace.as_ref()),
            placement: None,
            zone: trace.as_ref().map(|trace| self.zone(trace)),
            answer: explain_answer(&out[..len], &outcome, trace.as_ref(), written),
        }
    }

    fn zone(&self, trace: &Trace<'_>) -> ExplainedZone {
        let map = &trace.version.map;
        let passage = trace.timeline.passage(trace.address);
        let entries = trace.timeline.entries().iter().zip(&passage).zip(&trace.agreeing);
        let versions = entries.map(|((entry, changes_over), agrees)| ExplainedVersion {
            serial: entry.version.zone.serial(),
            published: entry.published,
            wait: entry.wait,
            spread: entry.spread,
            immediate: entry.immediate,
            changes_over: *changes_over,
            is_in_force: std::ptr::eq(&*entry.version, trace.version),
            answers_the_same: *agrees,
        });
        let versions: Vec<_> = versions.collect();
        let is_next = |version: &&ExplainedVersion| {
            !version.answers_the_same && version.changes_over > self.now.second()
        };
        ExplainedZone {
            name: trace.version.zone.origin().to_string(),
            region: map.name(trace.region).to_owned(),
            range: map.range(trace.address),
            next_change: versions.iter().filter(is_next).map(|next| next.changes_over).min(),
            versions,
            cap: trace.cap,
            scope: scope(trace),
        }
    }
}

fn explain_client(asker: &Asker, address: IpAddr, trace: Option<&Trace<'_>>) -> ExplainedClient {
    let counts = geo::canonical(address);
    let network = IpNet::new(address, geo::network_len(address)).map(|network| network.trunc());
    ExplainedClient {
        from: asker.from,
        subnet: asker.subnet,
        address,
        is_by_subnet: trace.is_some_and(|trace| trace.scope.is_some()),
        counts_as: Some(counts).filter(|counts| *counts != address),
        network: network.map_or_else(|_| address.to_string(), |network| network.to_string()),
    }
}

/// Says why a scope is what it is.
fn scope(trace: &Trace<'_>) -> Option<Scope> {
    let (length, own) = (trace.scope?, trace.own_scope?);
    let map = &trace.version.map;
    let because = match map.neighbour(trace.address, &trace.same) {
        _ if length > own => "a handover is under way, and networks change over apart".to_owned(),
        _ if length == 0 => "everybody gets this answer".to_owned(),
        None => "everybody gets this answer, but the name is steered".to_owned(),
        Some(((first, last), region)) => {
            let whose = region.map_or("carry IPv4 addresses", |region: RegionId| map.name(region));
            match region {
                Some(_) => format!("{first} to {last} are in {whose}, and get another answer"),
                None => format!("{first} to {last} {whose}"),
            }
        }
    };
    Some(Scope { length, because })
}

/// Returns a query as a resolver sends it, with the ID 0.
fn query(name: &Name, rtype: Rtype, subnet: Option<IpNet>) -> Vec<u8> {
    let mut octets = b"\0\0\0\0\0\x01\0\0\0\0\0\x01".to_vec();
    octets.extend(name.as_wire());
    octets.extend(rtype.0.to_be_bytes());
    octets.extend(answer::CLASS_IN.to_be_bytes());
    let mut options = Vec::new();
    if let Some(subnet) = subnet {
        let (family, address) = match subnet.trunc().addr() {
            IpAddr::V4(address) => (1u16, address.octets().to_vec()),
            IpAddr::V6(address) => (2, address.octets().to_vec()),
        };
        // RFC 7871 section 6: as many octets as the prefix needs.
        let address = &address[..usize::from(subnet.prefix_len()).div_ceil(8)];
        options.extend(8u16.to_be_bytes());
        options.extend((address.len() as u16 + 4).to_be_bytes());
        options.extend(family.to_be_bytes());
        options.extend([subnet.prefix_len(), 0]);
        options.extend(address);
    }
    octets.extend(b"\0\0\x29");
    octets.extend(UDP_PAYLOAD.to_be_bytes());
    octets.extend([0; 4]);
    octets.extend((options.len() as u16).to_be_bytes());
    octets.extend(options);
    octets
}

//----------- Answers --------------------------------------------------------

fn explain_answer(
    octets: &[u8],
    outcome: &answer::Outcome<'_>,
    trace: Option<&Trace<'_>>,
    written: Option<&Written<'_>>,
) -> ExplainedAnswer {
    let message = Message::from_vec(octets).ok();
    let sections = message.iter().flat_map(|message| {
        let sections = [
            (Section::Answer, &message.answers),
            (Section::Authority, &message.authorities),
            (Section::Additional, &message.additionals),
        ];
        sections
            .into_iter()
            .flat_map(|(section, records)| records.iter().map(move |record| (section, record)))
    });
    let traced: Vec<_> = trace.into_iter().flat_map(traced_records).collect();
    let records: Vec<_> = sections
        .enumerate()
        .map(|(at, (section, record))| {
            explain_record(section, record, traced.get(at).copied(), trace, written)
        })
        .collect();
    ExplainedAnswer {
        code: octets.get(3).map(|flags| Rcode(u16::from(flags & 0x0f)).to_string()),
        cause: format!("{:?}", outcome.cause),
        authoritative: message.as_ref().is_some_and(|message| message.metadata.authoritative),
        truncated: outcome.truncated,
        octets: octets.iter().map(|octet| format!("{octet:02x}")).collect(),
        has_origins: written.is_some(),
        left_out: traced.len().saturating_sub(records.len()),
        records,
    }
}

/// Returns the records of a trace one by one, in the order of the message.
fn traced_records<'t>(trace: &'t Trace<'_>) -> impl Iterator<Item = (&'t TracedRrset, &'t [u8])> {
    trace.records.iter().flat_map(|rrset| rrset.rdatas.iter().map(move |rdata| (rrset, &**rdata)))
}

fn explain_record(
    section: Section,
    record: &Record,
    traced: Option<(&TracedRrset, &[u8])>,
    trace: Option<&Trace<'_>>,
    written: Option<&Written<'_>>,
) -> ExplainedRecord {
    let origin = traced.zip(trace).zip(written).and_then(|(((rrset, rdata), trace), written)| {
        let owner = Name::from_wire(&rrset.owner).ok()?;
        let origin = written.origins.find(&owner, rrset.rtype, trace.region, rdata)?;
        Some((origin.what, written.sources.locator(origin.span)))
    });
    let (origin, written) = origin.unzip();
    let section = match section {
        Section::Answer => "answer",
        Section::Authority => "authority",
        Section::Additional => "additional",
    };
    ExplainedRecord {
        section: section.to_owned(),
        text: record.to_string(),
        ttl: record.ttl,
        table_ttl: traced.map_or(record.ttl, |(rrset, _)| rrset.ttl),
        lowered_ttl: traced.map_or(record.ttl, |(rrset, _)| rrset.lowered),
        origin,
        written,
    }
}
