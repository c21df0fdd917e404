//! The answer core: octets in, octets out, for every transport.
//!
//! [`answer`] is a function of the snapshot, the client, the time and the
//! message. It does no I/O, reads no clock and uses no randomness: the same
//! client and question in the same second get the same octets, on every
//! thread and over every transport, size limits and the options that belong to
//! a transport (keepalive, padding) aside.
//!
//! The steps are those of RFC 1034 section 4.3.2, with wildcards as RFC 4592
//! has them, DNAME (RFC 6672), negative answers (RFC 2308) and the client
//! subnet option (RFC 7871).
//!
//! # What decides an answer
//!
//! One region is found for the client, and every RRset that goes into the
//! answer, its additional section included, is read for that region. On the
//! way the regions that would see the same are intersected; the widest prefix
//! around the client in which only these occur is the scope of the answer.

mod body;
mod change;
mod exchange;
mod health;
mod identity;
mod resolve;
mod said;
mod size;
mod trace;

use std::cell::RefCell;
use std::net::IpAddr;

pub use self::change::{change, change_for};
pub use self::size::{Size, size};
pub use self::trace::{Trace, TracedRrset, trace};

use self::exchange::{Exchange, Lens, has_idle_timeout};
use self::resolve::{Data, Owner, Records, Resolution};
use self::said::Said;
use crate::geo::{self, RegionId, RegionSet};
use crate::snapshot::{HandedOut, Moment, Network, Snapshot, Timeline, Version, View};
use crate::wire::{
    CookieQuery, Ending, ErrorReply, ExtendedError, Full, LowerName, Parsed, Presented, Query,
    Question, Rcode, Reason, Refusal, Reply, ResponseWriter, RrsetHead, Rtype, parse,
};

/// The class of everything but server identities (RFC 1035 section 3.2.4).
pub const CLASS_IN: u16 = 1;

/// The UDP payload that is offered and never exceeded, whatever the client
/// claims.
///
/// 1232 octets pass every IPv6 path without fragments: 1280 less 40 of IPv6
/// and 8 of UDP (DNS flag day 2020, RFC 9715).
pub const UDP_PAYLOAD: u16 = 1232;

/// Answers one message.
///
/// `out` takes the response; its length bounds the response's, beside what
/// client and transport allow. It should have room for 65,535 octets over
/// TCP, for [`UDP_PAYLOAD`] over UDP.
pub fn answer<'s>(
    snapshot: &'s Snapshot,
    client: &Client,
    now: Moment,
    message: &[u8],
    out: &mut [u8],
) -> Outcome<'s> {
    thread_local! {
        // Room that is not cleared for each message.
        static NAME: RefCell<LowerName> = const { RefCell::new(LowerName::ROOT) };
    }
    NAME.with_borrow_mut(|name| answer_with(name, snapshot, client, now, message, out))
}

/// Answers one message with room for the name that it asks for.
#[inline]
fn answer_with<'s>(
    name: &mut LowerName,
    snapshot: &'s Snapshot,
    client: &Client,
    now: Moment,
    message: &[u8],
    out: &mut [u8],
) -> Outcome<'s> {
    let mut parsed = parse(message, name);
    if client.transport.is_tcp() && has_idle_timeout(&parsed) {
        parsed = parsed.refuse(Reason::TcpKeepalive);
    }
    let settings = &snapshot.settings;
    let lens = Lens { message: message.len(), buffer: out.len() };
    // In place, and not made elsewhere and moved here.
    let mut exchange = Exchange::plain(client, lens);
    if let Some(edns) = parsed.edns() {
        exchange.take_options(settings, client, now, (edns, lens));
    }
    match &parsed {
        Parsed::Query(query) => respond(snapshot, client, now, query, &mut exchange, out),
        Parsed::CookieQuery(query) => give_cookie(query, &mut exchange, out),
        Parsed::Refused(Refusal { reason, reply: Reply::Drop }) => {
            Outcome::short(Verdict::Drop, Cause::Malformed(*reason))
        }
        Parsed::Refused(Refusal { reason, reply: Reply::Error(reply) }) => {
            let cause = Cause::Malformed(*reason);
            error(reply, cause, &mut exchange, out)
        }
    }
}

/// Replaces the response to a query by an empty one that is cut short (TC),
/// which a client repeats over TCP.
///
/// `out` holds the response, of which code and AA are kept: whoever does not
/// repeat it is not told anything else. It is not longer than the query, but
/// for a server cookie that the client does not have yet (16 octets).
/// What is no query with a question is not answered at all.
pub fn truncate(
    snapshot: &Snapshot,
    client: &Client,
    now: Moment,
    message: &[u8],
    cause: Cause,
    out: &mut [u8],
) -> Outcome<'static> {
    let mut name = LowerName::default();
    let parsed = parse(message, &mut name);
    let (Parsed::Query(query), [_, _, flags, code, ..]) = (parsed, &*out) else {
        return Outcome::short(Verdict::Drop, cause);
    };
    // Codes above 15, whose upper bits are in OPT, are those of messages that
    // are no query.
    let (rcode, authoritative) = (Rcode((code & 0x0f).into()), flags & 0x04 != 0);
    let question = query.question.wire;
    let settings = &snapshot.settings;
    let lens = Lens { message: message.len(), buffer: out.len() };
    let mut exchange = Exchange::new(settings, client, now, query.edns.as_ref(), lens);
    if let Some(subnet) = query.edns.and_then(|edns| edns.client_subnet) {
        // What is said here is good for nobody else.
        exchange.set_scope(subnet.source());
    }
    let room = exchange.room;
    let edns = exchange.short_ending(question.len());
    match ResponseWriter::new(out, room, query.head, Some(question), edns) {
        Ok(writer) => {
            let len = writer.finish(Ending { rcode, authoritative, truncated: true });
            Outcome { truncated: true, ..Outcome::short(Verdict::Send(len), cause) }
        }
        Err(Full) => Outcome::short(Verdict::Drop, cause),
    }
}

//----------- Client ---------------------------------------------------------

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The address that the message came from.
    pub address: IpAddr,

    /// How it came.
    pub transport: Transport,
}

/// How a message came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// In a datagram: the response has to fit into one.
    Udp,

    /// Over TCP.
    Tcp,

    /// Over TCP in TLS: lengths are all that others see of it.
    Tls,

    /// Over QUIC or HTTPS: the same, but the connection is not DNS's to keep.
    Encrypted,
}

impl Transport {
    /// Returns the most octets that a response may have.
    ///
    /// `payload` is what the client's OPT record offers; below 512 it counts
    /// as 512 (RFC 6891 section 6.2.3), and so does no OPT record (RFC 1035
    /// section 4.2.1).
    pub fn room(self, payload: Option<u16>) -> usize {
        match self {
            Transport::Udp => payload.unwrap_or(512).clamp(512, UDP_PAYLOAD).into(),
            Transport::Tcp | Transport::Tls | Transport::Encrypted => u16::MAX.into(),
        }
    }

    /// Says whether queries follow each other over TCP.
    fn is_tcp(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tls)
    }

    /// Says whether others see no more than lengths.
    fn is_private(self) -> bool {
        matches!(self, Transport::Tls | Transport::Encrypted)
    }
}

//----------- Outcome --------------------------------------------------------

/// What became of a message. Each has exactly one.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'s> {
    /// What to do.
    pub verdict: Verdict,

    /// Why.
    pub cause: Cause,

    /// Whether the response is cut short (TC).
    pub truncated: bool,

    /// Whether the client presented a valid server cookie (RFC 7873): then it
    /// receives at the address that it sends from.
    pub has_cookie: bool,

    /// The type that a query asks for.
    pub qtype: Option<Rtype>,

    /// What the answer is from, where a zone has one.
    pub source: Option<Source<'s>>,

    /// The SRV records that the response holds, to be noted when it is sent.
    pub handed_out: Option<HandedOut<'s>>,
}

/// What an answer is from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'s> {
    /// The version that is in force for the client.
    pub version: &'s Version,

    /// The region that this version places the client in.
    pub region: RegionId,

    /// Whether it did so by the client subnet option.
    pub by_subnet: bool,
}

impl<'s> Outcome<'s> {
    /// Says whether a response with all that the client needs is to be sent.
    fn is_whole(&self) -> bool {
        !self.truncated && matches!(self.verdict, Verdict::Send(_))
    }

    /// Begins what becomes of a query: nothing is sent yet.
    fn of(query: &Query<'_>, exchange: &Exchange<'_>, cause: Cause) -> Self {
        let mut outcome = Self::short(Verdict::Drop, cause);
        outcome.has_cookie = exchange.has_cookie();
        outcome.qtype = Some(query.question.qtype);
        outcome
    }

    /// Returns what became of a message that is answered without records.
    pub fn short(verdict: Verdict, cause: Cause) -> Self {
        let (truncated, has_cookie) = (false, false);
        let (qtype, source, handed_out) = (None, None, None);
        Outcome { verdict, cause, truncated, has_cookie, qtype, source, handed_out }
    }

    /// Returns what becomes of the message where this response gives way to a
    /// shorter one.
    pub fn cut(&self, shorter: Outcome<'static>) -> Self {
        Outcome { qtype: self.qtype, source: self.source, ..shorter }
    }
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Send this many octets of the buffer.
    Send(usize),

    /// Send nothing.
    Drop,
}

/// Why a message got the response it got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// There are records.
    Answered,

    /// It asks who the server is.
    Identity,

    /// It asks for a cookie alone.
    Cookie,

    /// The name exists without the type.
    NoData,

    /// The name does not exist.
    NoName,

    /// The name is delegated away.
    Referral,

    /// The buffer is too small for a response of any kind.
    NoRoom,

    /// The name is in no zone, or the class is none that is served.
    NotServed,

    /// It asks for a zone transfer.
    Transfer,

    /// A name that a DNAME leads to is too long (RFC 6672 section 2.2).
    TooLong,

    /// It is not a query.
    Malformed(Reason),
}

impl Cause {
    /// Returns what an error says about itself (RFC 8914), where that helps
    /// whoever looks for the reason.
    fn extended_error(self) -> Option<ExtendedError> {
        match self {
            Cause::NotServed => Some(ExtendedError::NOT_AUTHORITATIVE),
            Cause::Transfer => Some(ExtendedError::PROHIBITED),
            Cause::Malformed(Reason::Opcode) => Some(ExtendedError::NOT_SUPPORTED),
            _ => None,
        }
    }
}

//----------- Responding -----------------------------------------------------

fn respond<'s>(
    snapshot: &'s Snapshot,
    client: &Client,
    now: Moment,
    query: &Query<'_>,
    exchange: &mut Exchange<'_>,
    out: &mut [u8],
) -> Outcome<'s> {
    let question = &query.question;
    let timeline = match judge(snapshot, question) {
        Ok(timeline) => timeline,
        Err(resolution) => return write(query, exchange, &resolution, &Ttls::default(), out),
    };
    if let Some(resolution) = health::resolve(snapshot, timeline, client, now, question) {
        return write(query, exchange, &resolution, &Ttls::default(), out);
    }
    let prefix = exchange.steering_prefix();
    let address = prefix.as_ref().unwrap_or(&client.address);
    let view = timeline.view(*address, now);
    let said = Said::of(view.version(), address, question);
    let differs = |other| !said.agrees(&Said::of(other, address, question), question);
    let ttls = Ttls::new(view.cap(now, differs), snapshot.settings.spread_ttl, *address);
    if prefix.is_some() {
        exchange.set_scope(handover_scope(&view, *address, question, &said));
    }
    let mut outcome = said.write(query, exchange, &ttls, out);
    outcome.source = Some(said.source(prefix.is_some()));
    outcome
}

/// Returns the timeline of the zone that answers a question, or what is said
/// to one that no zone answers.
fn judge<'s>(
    snapshot: &'s Snapshot,
    question: &Question<'_>,
) -> Result<&'s Timeline, Resolution<'static>> {
    if question.qclass != CLASS_IN {
        return Err(identity::resolve(question, &snapshot.settings)
            .unwrap_or(Resolution::refused(Cause::NotServed)));
    }
    if [Rtype::AXFR, Rtype::IXFR].contains(&question.qtype) {
        // Nobody may have a whole zone (RFC 5936 section 2.2.1).
        return Err(Resolution::refused(Cause::Transfer));
    }
    find_timeline(snapshot, question).ok_or(Resolution::refused(Cause::NotServed))
}

/// Returns the timeline that answers: that of the zone with the longest
/// origin, or of the zone above it for the DS records of an origin.
fn find_timeline<'s>(snapshot: &'s Snapshot, question: &Question<'_>) -> Option<&'s Timeline> {
    let name = question.name;
    let timeline = snapshot.find(name)?;
    let is_origin = || timeline.newest().zone.origin().as_wire().len() == name.as_wire().len();
    if question.qtype == Rtype::DS && is_origin() {
        return Some(snapshot.find_parent(name).unwrap_or(timeline));
    }
    Some(timeline)
}

/// Returns for which prefix around an address an answer is good, in bits.
///
/// In a handover that is where all versions under way agree with what they
/// say to this client, since others in a wider prefix might be told otherwise
/// or until another time; and where one says something else, no wider than
/// the network, because networks change over apart.
fn handover_scope(
    view: &View<'_>,
    address: IpAddr,
    question: &Question<'_>,
    said: &Said<'_>,
) -> u8 {
    let mut widest = scope(view.version(), address, &said.same());
    for version in view.others() {
        let other = Said::of(version, &address, question);
        widest = widest.max(scope(version, address, &other.same()));
        if !said.agrees(&other, question) {
            widest = widest.max(geo::network_len(address));
        }
    }
    widest
}

/// Returns the widest prefix around an address in which a version's answer is
/// the same, in bits.
///
/// Scope 0 says that an answer is good for everybody, which that of a steered
/// name is not, even where one family of addresses has one region only (RFC
/// 7871 section 7.2.1).
fn scope(version: &Version, address: IpAddr, same: &RegionSet) -> u8 {
    if *same == RegionSet::ALL { 0 } else { version.map.scope(address, same).max(1) }
}

//----------- Writing --------------------------------------------------------

/// Writes as much of an answer as there is room for.
fn write<'s>(
    query: &Query<'_>,
    exchange: &mut Exchange<'_>,
    resolution: &Resolution<'_>,
    ttls: &Ttls,
    out: &mut [u8],
) -> Outcome<'s> {
    let Resolution { rcode, authoritative, cause, .. } = *resolution;
    let mut outcome = Outcome::of(query, exchange, cause);
    let (question, room) = (query.question.wire, exchange.room);
    let edns = exchange.ending(rcode, question.len(), cause);
    let writer = ResponseWriter::new(out, room, query.head, Some(question), edns);
    let Ok(mut writer) = writer else {
        outcome.cause = Cause::NoRoom;
        return outcome;
    };
    writer.share(resolution.known);
    let empty = writer.mark();
    let truncated = write_records(&mut writer, query, &resolution.records, ttls).is_err();
    if truncated {
        // Part of an RRset is worse than none: what is cached must be whole
        // (RFC 2181 section 9), and over TCP it will be.
        writer.rollback(empty);
    }
    outcome.truncated = truncated;
    outcome.verdict = Verdict::Send(writer.finish(Ending { rcode, authoritative, truncated }));
    outcome
}

/// Writes RRsets; fails where one does not fit that the client needs.
///
/// Of those that it can do without, a host's addresses are left out together,
/// and the last host's first: hosts stand in failover order.
fn write_records(
    writer: &mut ResponseWriter<'_>,
    query: &Query<'_>,
    records: &[Records<'_>],
    ttls: &Ttls,
) -> Result<(), Full> {
    for group in groups(records) {
        let mark = writer.mark();
        match write_group(writer, query, group, ttls) {
            Err(Full) if group.iter().all(|rrset| rrset.optional.is_some()) => {
                writer.rollback(mark);
                return Ok(());
            }
            result => result?,
        }
    }
    Ok(())
}

/// Returns what is written or left out together.
fn groups<'r, 's>(records: &'r [Records<'s>]) -> impl Iterator<Item = &'r [Records<'s>]> {
    records.chunk_by(|a, b| a.optional.is_some() && a.optional == b.optional)
}

fn write_group(
    writer: &mut ResponseWriter<'_>,
    query: &Query<'_>,
    group: &[Records<'_>],
    ttls: &Ttls,
) -> Result<(), Full> {
    group.iter().try_for_each(|rrset| write_rrset(writer, query, rrset, ttls))
}

fn write_rrset(
    writer: &mut ResponseWriter<'_>,
    query: &Query<'_>,
    rrset: &Records<'_>,
    ttls: &Ttls,
) -> Result<(), Full> {
    let is_at_question = rrset.owner == Owner::Question;
    let head = RrsetHead {
        owner: (!is_at_question).then(|| owner(query, rrset)),
        rtype: rrset.rtype,
        class: query.question.qclass,
        ttl: ttls.of(query, rrset),
    };
    match &rrset.data {
        Data::Zone(variant) => writer.rrset(rrset.section, head, variant.rdatas()),
        Data::Made(data) => writer.rrset(rrset.section, head, [&data[..]]),
    }
}

fn owner<'q>(query: &'q Query<'_>, rrset: &'q Records<'_>) -> &'q [u8] {
    match &rrset.owner {
        Owner::Question => query.question.name_as_sent(),
        Owner::Zone(name) => name,
        Owner::Made(name) => name,
    }
}

//----------- Ttls -----------------------------------------------------------

/// By what the TTLs of an answer are lowered.
#[derive(Clone, Copy, Debug, Default)]
struct Ttls {
    /// To what at most, in a handover.
    cap: Option<u32>,

    /// By how many percent at most, for ever, so that resolvers that started
    /// together drift apart.
    percent: u8,

    /// Which network decides by how much; it does not matter where that is
    /// nothing.
    network: Network,
}

impl Ttls {
    fn new(cap: Option<u32>, percent: u8, client: IpAddr) -> Self {
        let network = if percent > 0 { Network::of(client) } else { Network::default() };
        Ttls { cap, percent, network }
    }

    /// Says whether TTLs go out as they are in the zone.
    fn lower_nothing(&self) -> bool {
        self.cap.is_none() && self.percent == 0
    }

    /// Returns the TTL that an RRset goes out with.
    fn of(&self, query: &Query<'_>, rrset: &Records<'_>) -> u32 {
        self.lower(rrset.ttl, || owner(query, rrset))
    }

    /// Returns what a TTL is lowered to; `owner` gives the owner's name.
    fn lower<'n>(&self, ttl: u32, owner: impl FnOnce() -> &'n [u8]) -> u32 {
        let lowered = match self.percent {
            0 => ttl,
            percent => self.network.lower(ttl, percent, owner()),
        };
        self.cap.map_or(lowered, |cap| lowered.min(cap))
    }
}

//----------- Errors ---------------------------------------------------------

/// Answers a query that asks for nothing but a cookie (RFC 7873 section 5.4).
///
/// Here, and nowhere else, a server cookie that is not valid is called so:
/// there is nothing else to say.
fn give_cookie<'s>(
    query: &CookieQuery<'_>,
    exchange: &mut Exchange<'_>,
    out: &mut [u8],
) -> Outcome<'s> {
    let CookieQuery { head, edns } = *query;
    let (rcode, cause) = match exchange.presented {
        Some(Presented::ClientOnly | Presented::Valid) => (Rcode::NOERROR, Cause::Cookie),
        Some(Presented::Invalid) => (Rcode::BADCOOKIE, Cause::Cookie),
        // Without secrets there are no cookies, and a query has a question.
        None => (Rcode::FORMERR, Cause::Malformed(Reason::QuestionCount)),
    };
    let reply = ErrorReply { rcode, head, question: None, edns: Some(edns), tsig: None };
    error(&reply, cause, exchange, out)
}

/// Answers with an error, or with a code alone.
fn error<'s>(
    reply: &ErrorReply<'_>,
    cause: Cause,
    exchange: &mut Exchange<'_>,
    out: &mut [u8],
) -> Outcome<'s> {
    let has_cookie = exchange.has_cookie();
    let ErrorReply { rcode, head, .. } = *reply;
    let question = reply.question.as_ref().map(|question| question.wire);
    let tsig_len = reply.tsig.map_or(0, |tsig| tsig.reply_len());
    let others_len = question.map_or(0, <[u8]>::len) + tsig_len;
    let room = exchange.room.saturating_sub(tsig_len);
    let edns = exchange.ending(rcode, others_len, cause);
    let verdict = match ResponseWriter::new(out, room, head, question, edns) {
        Ok(writer) => {
            let len = writer.finish(Ending { rcode, authoritative: false, truncated: false });
            Verdict::Send(reply.tsig.map_or(len, |tsig| tsig.append(out, len)))
        }
        Err(Full) => Verdict::Drop,
    };
    Outcome { has_cookie, ..Outcome::short(verdict, cause) }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests;
