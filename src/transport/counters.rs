//! What is counted, and where the numbers stand.
//!
//! ```text
//!  UDP worker ── OwnLane ───┐
//!  UDP worker ── OwnLane ───┼──> Counters::total() -> Totals ── rows() ──> by name
//!  connections ── SharedLane ──┘
//! ```
//!
//! Every message that arrives has exactly one outcome: a [`Counter`] of the
//! kind [`Kind::Outcome`], or a [`Reason`] for which it is malformed. All else
//! is counted beside: queries by [`QueryType`] and, where a zone answers them, by
//! region; how long answers take, of some. Counters only grow, and wrap after
//! 2^64.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::latency::Latency;
use crate::answer::{Cause, Outcome, Verdict};
use crate::geo::RegionNumber;
use crate::limit::Decision;
use crate::snapshot::Class;
use crate::wire::{Reason, Rtype};

/// Defines [`Counter`] from one table: kind, variant, name, meaning.
macro_rules! counters {
    ($( $kind:ident $variant:ident $name:literal $meaning:literal )*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Counter {
            $( #[doc = $meaning] $variant, )*
        }

        impl Counter {
            /// Every counter, in the order of the table.
            pub const ALL: &'static [Counter] = &[$( Counter::$variant, )*];

            /// Returns the stable name, for metrics.
            pub fn name(self) -> &'static str {
                match self { $( Counter::$variant => $name, )* }
            }

            /// Returns what is counted, in a sentence.
            pub fn help(self) -> &'static str {
                match self { $( Counter::$variant => $meaning, )* }
            }

            /// Returns what kind of counter it is.
            pub fn kind(self) -> Kind {
                match self { $( Counter::$variant => Kind::$kind, )* }
            }
        }
    };
}

counters! {
    Outcome Answered "answered" "Messages answered with records."
    Outcome Identity "identity" "Messages that asked who the server is."
    Outcome Cookie "cookie" "Messages that asked for a cookie and nothing else (RFC 7873)."
    Outcome NoData "no-data" "Messages for a name that exists without the type."
    Outcome NoName "no-name" "Messages for a name that does not exist (NXDOMAIN)."
    Outcome Referral "referral" "Messages for a name that is delegated away."
    Outcome NoRoom "no-room" "Messages for which no response fits; none was sent."
    Outcome NotServed "not-served" "Messages for a zone or class that is not served (REFUSED)."
    Outcome Transfer "transfer" "Messages that asked for a zone transfer (REFUSED)."
    Outcome TooLong "too-long" "Messages whose name a DNAME makes too long (YXDOMAIN)."
    Outcome BadSource "bad-source" "Datagrams from port 0 or from the server itself; dropped."
    Outcome BadProxy "bad-proxy" "Datagrams of a balancer without a sound PROXY header; dropped."
    Outcome Oversize "oversize" "Datagrams longer than any query; dropped."
    Outcome Panicked "panicked" "Messages that met a fault in the server; dropped, and logged."
    Event ClientSubnet "client-subnet" "Queries steered by their client subnet (RFC 7871)."
    Event Truncated "truncated" "Responses that were cut short (TC)."
    Event Dropped "dropped" "Messages without a response, whatever their outcome."
    Event LimitedErrors "limited-errors" "Errors over the rate, sent empty (TC)."
    Event LimitedMissing "limited-missing" "Denials of names over the rate, sent empty (TC)."
    Event LimitedAnswers "limited-answers" "Other answers over the rate, sent empty (TC)."
    Event SilencedErrors "silenced-errors" "Errors over the rate, not sent: TC says nothing there."
    Event WouldLimitErrors "would-limit-errors" "Errors over the rate, sent all the same."
    Event WouldLimitMissing "would-limit-missing" "Denials over the rate, sent all the same."
    Event WouldLimitAnswers "would-limit-answers" "Other answers over the rate, sent all the same."
    Event ReceiveDrops "receive-drops" "Datagrams that the system dropped: the buffer was full."
    Event ReceiveErrors "receive-errors" "Failures to receive datagrams."
    Event SendErrors "send-errors" "Responses that the system did not take."
    Event Opened "opened" "Connections accepted and served."
    Event Closed "closed" "Connections served that have ended, however they did."
    Event RefusedFull "refused-full" "Connections closed at once: too many, and none idle."
    Event RefusedNetwork "refused-network" "Connections closed at once: too many of a network."
    Event RefusedProxy "refused-proxy" "Connections of a load balancer closed: no PROXY header."
    Event ClosedOldest "closed-oldest" "Connections closed as the oldest idle, for a new one."
    Event ClosedIdle "closed-idle" "Connections closed because no query came."
    Event ClosedRead "closed-read" "Connections closed because a query was not completed."
    Event ClosedWrite "closed-write" "Connections closed because responses were not read."
    Event HandshakeErrors "handshake-errors" "Handshakes of TLS, QUIC or HTTP that failed."
    Event HandshakeTimeouts "handshake-timeouts" "Handshakes that were not completed in time."
    Event ProtocolErrors "protocol-errors" "Requests and streams that carry no message."
    Event AcceptErrors "accept-errors" "Failures to accept a connection, descriptors aside."
    Event AcceptPauses "accept-pauses" "Pauses in accepting connections: no descriptors left."
    Event LogLost "log-lost" "Messages that neither log nor dnstap has: the queue was full."
    Event LogWritten "log-written" "Lines of the decision log that were written."
    Event LogUnwritten "log-unwritten" "Lines of the decision log that the system did not take."
    Event DnstapSent "dnstap-sent" "Messages that were sent to the reader of dnstap."
    Event DnstapLost "dnstap-lost" "Messages that no reader of dnstap took in time."
}

impl Counter {
    /// Returns the counter of a cause, but for malformed messages, which are
    /// counted by their reason.
    pub(crate) fn of(cause: Cause) -> Result<Self, Reason> {
        Ok(match cause {
            Cause::Answered => Counter::Answered,
            Cause::Identity => Counter::Identity,
            Cause::Cookie => Counter::Cookie,
            Cause::NoData => Counter::NoData,
            Cause::NoName => Counter::NoName,
            Cause::Referral => Counter::Referral,
            Cause::NoRoom => Counter::NoRoom,
            Cause::NotServed => Counter::NotServed,
            Cause::Transfer => Counter::Transfer,
            Cause::TooLong => Counter::TooLong,
            Cause::Malformed(reason) => return Err(reason),
        })
    }

    /// Returns the counter of a decision about a response; there is none where
    /// it is sent as it is.
    fn of_decision(decision: Decision) -> Option<Self> {
        Some(match decision {
            Decision::Pass => return None,
            Decision::Truncate(Class::Errors) => Counter::LimitedErrors,
            Decision::Truncate(Class::Missing) => Counter::LimitedMissing,
            Decision::Truncate(Class::Answers) => Counter::LimitedAnswers,
            // Nothing but messages that are no query is dropped.
            Decision::Drop(_) => Counter::SilencedErrors,
            Decision::WouldLimit(Class::Errors) => Counter::WouldLimitErrors,
            Decision::WouldLimit(Class::Missing) => Counter::WouldLimitMissing,
            Decision::WouldLimit(Class::Answers) => Counter::WouldLimitAnswers,
        })
    }
}

/// What kind of counter one is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// What became of a message. Each message has one of these, or is
    /// malformed.
    Outcome,

    /// Anything else.
    Event,
}

//----------- QueryType ------------------------------------------------------

/// What queries ask for, as far as they are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueryType {
    /// SRV.
    Srv,

    /// NAPTR.
    Naptr,

    /// A or AAAA.
    Address,

    /// Anything else.
    Other,
}

impl QueryType {
    /// All, in the order of their numbers.
    pub const ALL: [QueryType; 4] =
        [QueryType::Srv, QueryType::Naptr, QueryType::Address, QueryType::Other];

    /// Returns the stable name.
    pub fn name(self) -> &'static str {
        match self {
            QueryType::Srv => "srv",
            QueryType::Naptr => "naptr",
            QueryType::Address => "address",
            QueryType::Other => "other",
        }
    }

    fn of(qtype: Rtype) -> Self {
        match qtype {
            Rtype::SRV => QueryType::Srv,
            Rtype::NAPTR => QueryType::Naptr,
            Rtype::A | Rtype::AAAA => QueryType::Address,
            _ => QueryType::Other,
        }
    }
}

//----------- Protocol -------------------------------------------------------

/// How messages came.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// In datagrams.
    Udp,

    /// Over TCP.
    Tcp,

    /// Over TLS.
    Tls,

    /// Over QUIC.
    Quic,

    /// Over HTTPS.
    Https,
}

impl Protocol {
    /// All, in the order of their numbers.
    pub const ALL: [Protocol; 5] =
        [Protocol::Udp, Protocol::Tcp, Protocol::Tls, Protocol::Quic, Protocol::Https];

    /// Returns the stable name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
            Protocol::Quic => "quic",
            Protocol::Https => "https",
        }
    }
}

//----------- Counters -------------------------------------------------------

/// All numbers, by who counts them. Reading them disturbs nobody.
#[derive(Debug, Default)]
pub struct Counters {
    /// By the number of the protocol.
    lanes: [Vec<Arc<Lane>>; Protocol::ALL.len()],
}

impl Counters {
    /// Returns a lane for one UDP worker.
    pub(super) fn add_udp(&mut self) -> OwnLane {
        let (lane, writer) = self.add(Protocol::Udp);
        OwnLane { lane, writer }
    }

    /// Returns a lane that connections share.
    pub(super) fn add_shared(&mut self, protocol: Protocol) -> SharedLane {
        let (lane, writer) = self.add(protocol);
        SharedLane { lane, writer }
    }

    /// Adds a lane; returns it with its number.
    fn add(&mut self, protocol: Protocol) -> (Arc<Lane>, usize) {
        let lane = Arc::<Lane>::default();
        let writer = self.lanes.iter().map(Vec::len).sum();
        self.lanes[protocol as usize].push(lane.clone());
        (lane, writer)
    }

    /// Returns the sums over all lanes.
    ///
    /// The numbers are not of one instant: some may miss what others hold.
    pub fn total(&self) -> Totals {
        let [udp, tcp, tls, quic, https] = Protocol::ALL.map(|protocol| {
            let lanes = &self.lanes[protocol as usize];
            Counts::sum(lanes)
        });
        Totals { udp, tcp, tls, quic, https }
    }

    /// Returns how many queries were answered for each region, by its name, in
    /// the order of names; names that are no region's any more among them.
    pub fn regions(&self) -> BTreeMap<Box<str>, u64> {
        let lanes = || self.lanes.iter().flatten();
        let of = |number: usize| sum(lanes(), REGIONS + number);
        let names = RegionNumber::names();
        let named = (0..).zip(names).map(|(number, name)| (name, of(number)));
        // Regions cannot be called so: their names are lower-case words.
        let other = Some(of(RegionNumber::OTHER.index())).filter(|count| *count > 0);
        named.chain(other.map(|count| ("(other)".into(), count))).collect()
    }

    /// Returns how long answers took, over all transports.
    pub fn latency(&self) -> Latency {
        let cells = (LATENCY..REGIONS).map(|cell| sum(self.lanes.iter().flatten(), cell));
        Latency::of_cells(&cells.collect::<Vec<_>>())
    }
}

//----------- Totals ---------------------------------------------------------

/// The sums, by transport.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Totals {
    /// Of datagrams.
    pub udp: Counts,

    /// Of plain connections and their messages.
    pub tcp: Counts,

    /// Of connections with TLS and their messages.
    pub tls: Counts,

    /// Of QUIC's connections and their messages.
    pub quic: Counts,

    /// Of HTTP's connections and their messages.
    pub https: Counts,
}

impl Totals {
    /// Returns the sums of a protocol.
    pub fn of(&self, protocol: Protocol) -> &Counts {
        match protocol {
            Protocol::Udp => &self.udp,
            Protocol::Tcp => &self.tcp,
            Protocol::Tls => &self.tls,
            Protocol::Quic => &self.quic,
            Protocol::Https => &self.https,
        }
    }

    /// Returns all sums in a fixed order.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        Protocol::ALL.into_iter().flat_map(|protocol| {
            let counts = self.of(protocol);
            let counters = Counter::ALL.iter().map(move |counter| Row {
                protocol,
                kind: counter.kind(),
                name: counter.name(),
                reason: None,
                help: counter.help(),
                value: counts.of(*counter),
            });
            let reasons = Reason::ALL.iter().map(move |reason| Row {
                protocol,
                kind: Kind::Outcome,
                name: "malformed",
                reason: Some(*reason),
                help: "Messages that are no query.",
                value: counts.malformed(*reason),
            });
            counters.chain(reasons)
        })
    }
}

/// A sum with what is to be said of it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// How the messages came.
    pub protocol: Protocol,

    /// What kind of counter it is.
    pub kind: Kind,

    /// The stable name.
    pub name: &'static str,

    /// Which malformed messages these are.
    pub reason: Option<Reason>,

    /// What is counted, in a sentence.
    pub help: &'static str,

    /// The sum.
    pub value: u64,
}

//----------- Counts ---------------------------------------------------------

/// The sums of one transport.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Counts {
    cells: [u64; LATENCY],
}

impl Counts {
    fn sum(lanes: &[Arc<Lane>]) -> Self {
        Counts { cells: std::array::from_fn(|cell| sum(lanes, cell)) }
    }

    /// Returns the sum of a counter.
    pub fn of(&self, counter: Counter) -> u64 {
        self.cells[counter as usize]
    }

    /// Returns how many messages were malformed in a way.
    pub fn malformed(&self, reason: Reason) -> u64 {
        self.cells[malformed_cell(reason)]
    }

    /// Returns how many queries asked for a type, malformed messages aside.
    pub fn queries(&self, qtype: QueryType) -> u64 {
        self.cells[TYPES + qtype as usize]
    }

    /// Returns how many messages arrived: the sum of all outcomes.
    pub fn messages(&self) -> u64 {
        let outcomes = Counter::ALL.iter().filter(|counter| counter.kind() == Kind::Outcome);
        let well_formed: u64 = outcomes.map(|counter| self.of(*counter)).sum();
        let malformed: u64 = Reason::ALL.iter().map(|reason| self.malformed(*reason)).sum();
        well_formed + malformed
    }
}

//----------- Lane -----------------------------------------------------------

/// A lane's numbers: first the counters, then the reasons; from here on the
/// types of queries,
const TYPES: usize = Counter::ALL.len() + Reason::ALL.len();

/// from here on what is known of how long answers take,
const LATENCY: usize = TYPES + QueryType::ALL.len();

/// from here on the regions, by their numbers,
const REGIONS: usize = LATENCY + Latency::CELLS;

/// and at the end how many messages there were, for choosing some of them.
const TICKS: usize = REGIONS + RegionNumber::COUNT;

const CELLS: usize = TICKS + 1;

fn malformed_cell(reason: Reason) -> usize {
    Counter::ALL.len() + reason as usize
}

/// The numbers of one writer, or of a few.
///
/// Aligned to two cache lines, which processors fetch in pairs: no two
/// writers ever touch the same one.
#[derive(Debug)]
#[repr(align(128))]
struct Lane {
    cells: [AtomicU64; CELLS],
}

fn sum<'l>(lanes: impl IntoIterator<Item = &'l Arc<Lane>>, cell: usize) -> u64 {
    let counts = lanes.into_iter().map(|lane| lane.cells[cell].load(Ordering::Relaxed));
    counts.fold(0, u64::wrapping_add)
}

impl Default for Lane {
    fn default() -> Self {
        Lane { cells: [const { AtomicU64::new(0) }; CELLS] }
    }
}

/// Counts, one way or the other.
pub(crate) trait Tally {
    /// Adds to a cell; returns what was there.
    fn add_to_cell(&mut self, cell: usize, count: u64) -> u64;

    /// Returns the number of the lane, by which writers take turns elsewhere.
    fn writer(&self) -> usize;

    /// Counts what was decided about a response.
    fn decision(&mut self, decision: Decision) {
        if let Some(counter) = Counter::of_decision(decision) {
            self.count(counter);
        }
    }

    /// Counts something.
    fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts something several times.
    fn add(&mut self, counter: Counter, count: u64) {
        self.add_to_cell(counter as usize, count);
    }

    /// Counts what became of a message.
    fn outcome(&mut self, outcome: &Outcome<'_>) {
        match Counter::of(outcome.cause) {
            Ok(counter) => self.count(counter),
            Err(reason) => {
                self.add_to_cell(malformed_cell(reason), 1);
            }
        }
        if let Some(qtype) = outcome.qtype {
            self.add_to_cell(TYPES + QueryType::of(qtype) as usize, 1);
        }
        if let Some(source) = outcome.source {
            let number = source.version.map.number(source.region);
            self.add_to_cell(REGIONS + number.index(), 1);
            if source.by_subnet {
                self.count(Counter::ClientSubnet);
            }
        }
        if outcome.truncated {
            self.count(Counter::Truncated);
        }
        if outcome.verdict == Verdict::Drop {
            self.count(Counter::Dropped);
        }
    }

    /// Says of each message whether the time is to be taken that it costs.
    fn is_sampled(&mut self) -> bool {
        self.add_to_cell(TICKS, 1).is_multiple_of(Latency::ONE_IN)
    }

    /// Counts how long answering a message took.
    fn took(&mut self, time: Duration) {
        for (cell, count) in Latency::counted(time) {
            self.add_to_cell(LATENCY + cell, count);
        }
    }

    /// Counts a message that was dropped before it was looked at.
    fn dropped(&mut self, counter: Counter) {
        self.count(counter);
        self.count(Counter::Dropped);
    }
}

/// A lane with one writer. It is not `Clone`, and counting takes `&mut`, so
/// that a load and a store are enough, which no processor has to lock.
#[derive(Debug)]
pub(super) struct OwnLane {
    lane: Arc<Lane>,
    writer: usize,
}

impl Tally for OwnLane {
    fn add_to_cell(&mut self, cell: usize, count: u64) -> u64 {
        let cell = &self.lane.cells[cell];
        let before = cell.load(Ordering::Relaxed);
        cell.store(before.wrapping_add(count), Ordering::Relaxed);
        before
    }

    fn writer(&self) -> usize {
        self.writer
    }
}

/// A lane with several writers.
#[derive(Clone, Debug)]
pub(crate) struct SharedLane {
    lane: Arc<Lane>,
    writer: usize,
}

impl Tally for SharedLane {
    fn add_to_cell(&mut self, cell: usize, count: u64) -> u64 {
        self.lane.cells[cell].fetch_add(count, Ordering::Relaxed)
    }

    fn writer(&self) -> usize {
        self.writer
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_a_transport_are_summed() {
        let mut counters = Counters::default();
        let (mut one, mut two) = (counters.add_udp(), counters.add_udp());
        let mut tcp = counters.add_shared(Protocol::Tcp);
        one.count(Counter::NoName);
        two.add(Counter::NoName, 2);
        tcp.clone().dropped(Counter::Panicked);
        tcp.count(Counter::Opened);
        let total = counters.total();
        assert_eq!(total.udp.of(Counter::NoName), 3);
        assert_eq!(total.tcp.of(Counter::NoName), 0);
        assert_eq!((total.udp.messages(), total.tcp.messages()), (3, 1));
        assert_eq!((total.tcp.of(Counter::Dropped), total.tcp.of(Counter::Opened)), (1, 1));
    }

    #[test]
    fn a_message_has_one_outcome_whatever_else_is_counted_of_it() {
        let mut counters = Counters::default();
        let mut lane = counters.add_udp();
        let reasons = Reason::ALL.iter().map(|reason| Cause::Malformed(*reason));
        for (sent, cause) in (1..).zip([Cause::Answered, Cause::NoRoom].into_iter().chain(reasons))
        {
            let verdict = Verdict::Drop;
            lane.outcome(&Outcome { truncated: true, ..Outcome::short(verdict, cause) });
            assert_eq!(counters.total().udp.messages(), sent, "{cause:?}");
        }
        let total = counters.total().udp;
        assert_eq!(total.of(Counter::Dropped), 2 + Reason::ALL.len() as u64);
        assert_eq!(total.of(Counter::Truncated), total.of(Counter::Dropped));
        assert_eq!(total.malformed(Reason::Short), 1);
    }

    #[test]
    fn rows_have_names_of_their_own_and_hold_every_number() {
        let mut counters = Counters::default();
        counters.add_udp().count(Counter::Answered);
        counters.add_shared(Protocol::Tcp).add(Counter::ClosedIdle, 7);
        let total = counters.total();
        let mut names: Vec<_> =
            total.rows().map(|row| (row.protocol, row.name, row.reason)).collect();
        assert_eq!(names.len(), 5 * TYPES);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 5 * TYPES);
        assert_eq!(total.rows().map(|row| row.value).sum::<u64>(), 8);
    }
}
