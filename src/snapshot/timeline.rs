//! The handover: who gets which version of a zone, and when.
//!
//! A [`Timeline`] holds the versions of one zone that still matter, oldest
//! first. Version `i` was published at `P`, a full second that is not before
//! the moment it is swapped in, and takes effect at `E = P + H`. A client
//! network `c` changes over to it at
//!
//! ```text
//! T_i(c) = max(T_{i-1}(c), E_i + offset(c))        offset(c) = 0 where H = 0
//! ```
//!
//! and gets at any moment the newest version with `T(c) <= now`. Where a
//! pending version would answer a question otherwise, the answer's TTLs are
//! at most `T(c) - now` for the first version that does ([`View::cap`]).
//!
//! # Why no unexpired copy ever contradicts the server
//!
//! Take two answers with records to one question from one client, the first
//! sent at `s` under version `a` with TTL `t`, the second under a version `b`
//! that answers otherwise. Versions come into force in order, so `b` is newer.
//! Let `d` be the first version after `a` that answers otherwise; the second
//! answer is sent no earlier than `T_d(c)`, since `T` rises from version to
//! version.
//!
//! - If `d` had been published by `s`, then `s + t <= T_d(c)`: the cap.
//! - If not, then `s < P_d`. The RRsets that `d` changes have in its
//!   predecessor, whose answer to this question is that of `a`, a TTL of at
//!   most `H_d`, so `s + t < P_d + H_d = E_d <= T_d(c)`.
//!
//! A version with an `effective` time is published when `E = P + H` would
//! otherwise be later than it, some seconds before, and then waits until that
//! time: `H` is larger than it need be, and the argument is the same. Edits
//! that are made before it is published come before it. Servers that were
//! given it by then agree on `T`, so that answers of all of them count as
//! those of one.
//!
//! Outside of it, by the operator's word: versions that take effect at once,
//! TTLs above `longest`, and the last second before `T`, in which the TTL is
//! 1 because 0 breaks callers. Answers to ANY are outside of it too: they are
//! samples (RFC 8482).
//!
//! A zone that comes or goes is outside of it as well, for there is nothing
//! that its names could be handed over from or to. Where another zone has
//! answered for them, a new zone is held back until the operator says so, and
//! so is the removal of one (`daemon::guard`).
//!
//! # What is absent
//!
//! No clock, no timer and no state of clients: everything here is a function
//! of the timeline, the client's network and the time.

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;

use siphasher::sip::SipHasher24;
use smallvec::{SmallVec, smallvec};

use super::Version;
use crate::geo;
use crate::wire::{Name, Rtype};

//----------- Timeline -------------------------------------------------------

/// The versions of a zone that still matter, oldest first; at least one.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Nearly always one, which is found in place.
    entries: SmallVec<[Entry; 1]>,
}

/// A version with its times.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The version.
    pub version: Arc<Version>,

    /// When it was published, in seconds since the Unix epoch (`P`).
    pub published: u64,

    /// How long it waits for cached copies to expire, in seconds (`H`).
    pub wait: u32,

    /// The span over which networks change over, in seconds.
    pub spread: u32,

    /// Whether everybody changes over when it is published.
    pub immediate: bool,
}

impl Entry {
    /// Returns when it takes effect, in seconds since the Unix epoch (`E`).
    pub fn effective(&self) -> u64 {
        self.published + u64::from(self.wait)
    }

    /// Returns when the last network changes over, as far as this version
    /// alone decides.
    pub fn settled(&self) -> u64 {
        let spread = if self.wait == 0 { 0 } else { self.spread };
        self.effective() + u64::from(spread)
    }

    /// Returns when a network changes over that came to the version before
    /// at `before`.
    fn changes_over(&self, network: Network, before: u64) -> u64 {
        if self.immediate {
            return self.published;
        }
        let offset = if self.wait == 0 { 0 } else { network.offset(self.spread) };
        before.max(self.effective() + u64::from(offset))
    }
}

impl Timeline {
    /// The most versions that are pending for everybody.
    ///
    /// A query during a handover is answered from each of them to find the
    /// first that differs; a further edit replaces the last one.
    pub const PENDING_MAX: usize = 4;

    /// The most versions that are in force for some networks and not for all.
    ///
    /// Edits that only add wait for nothing, so that a busy operator could
    /// make one a second while networks change over. One more than this waits
    /// until all of them have, and is pending until then.
    pub const UNSETTLED_MAX: usize = 8;

    /// Begins a timeline with a version that is in force for everybody.
    pub fn new(version: Arc<Version>, published: u64) -> Self {
        let entry = Entry { version, published, wait: 0, spread: 0, immediate: true };
        Timeline { entries: smallvec![entry] }
    }

    /// Returns the versions, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the version that was published last.
    pub fn newest(&self) -> &Arc<Version> {
        // Nothing takes the last entry away.
        &self.entries[self.entries.len() - 1].version
    }

    /// Returns what matters to a client at a moment.
    #[inline]
    pub fn view(&self, client: IpAddr, now: Moment) -> View<'_> {
        match &self.entries[..] {
            // Nearly always there is no handover, and nothing to hash.
            entries @ [_] => View { entries, in_force: 0, network: Network::default() },
            _ => self.view_of_several(client, now),
        }
    }

    #[inline(never)]
    fn view_of_several(&self, client: IpAddr, now: Moment) -> View<'_> {
        let entries = &self.entries[self.settled(now.second())..];
        let network = if entries.len() > 1 { Network::of(client) } else { Network::default() };
        let mut in_force = 0;
        let mut before = 0;
        for (at, entry) in entries.iter().enumerate() {
            before = entry.changes_over(network, before);
            if before <= now.second() {
                in_force = at;
            }
        }
        View { entries, in_force, network }
    }

    /// Returns when a client's network changes over to each version, in
    /// seconds since the Unix epoch (`T`).
    pub fn passage(&self, client: IpAddr) -> Vec<u64> {
        let network = Network::of(client);
        let mut before = 0;
        let passage = self.entries.iter().map(|entry| {
            before = entry.changes_over(network, before);
            before
        });
        passage.collect()
    }

    /// Returns the timeline with another version at its end, or what became
    /// of the edit instead.
    ///
    /// `compare` says what a version changes for the clients of another one.
    pub fn publish(
        &self,
        version: Arc<Version>,
        order: Order,
        compare: impl Fn(&Version, &Version) -> Change,
    ) -> (Timeline, Publication) {
        // Not by the time of publication, which is still to come: until then
        // clients are answered from what is in force now.
        let mut next = self.without_settled(order.now);
        let now = order.published;
        let hastens =
            order.immediate && next.entries[1..].last().is_some_and(|last| !last.immediate);
        let mut change = compare(next.newest(), &version);
        if change == Change::Nothing && next.is_to_move(order, &compare) {
            next.entries.pop();
            change = compare(next.newest(), &version);
        } else if change == Change::Nothing && !hastens {
            return (next, Publication::Unchanged);
        }
        if let Some(begin) = order.begin(change) {
            return (next, Publication::Scheduled { begin });
        }
        let count = next.entries.len();
        let in_force = next.in_force_for_somebody(now);
        // Where nothing is pending, the newest is in force, and was compared.
        // What is in force may be wanted back from a time on, and what is
        // pending until then.
        let is_pending = in_force + 1 < count && !hastens && order.effective.is_none();
        if is_pending && compare(&next.entries[in_force].version, &version) == Change::Nothing {
            next.entries.truncate(in_force + 1);
            return (next, Publication::Withdrawn);
        }
        let mut earliest = 0;
        if order.immediate {
            // What is pending for everybody is void.
            next.entries.truncate(in_force + 1);
        } else if next.entries.len() - 1 - in_force >= Self::PENDING_MAX {
            earliest = next.entries.pop().map_or(0, |replaced| replaced.effective());
        } else if in_force >= Self::UNSETTLED_MAX {
            earliest = next.entries.iter().map(Entry::settled).max().unwrap_or(0);
        }
        if next.entries.len() < count {
            change = compare(next.newest(), &version);
        }
        if change == Change::Nothing && !hastens {
            return (next, Publication::Withdrawn);
        }
        let earliest = earliest.max(order.effective.unwrap_or(0)).saturating_sub(now);
        let wait = if order.immediate { 0 } else { u64::from(order.wait(change)).max(earliest) };
        next.entries.push(Entry {
            version,
            // Versions that take effect at once do so when they are published.
            published: if order.immediate { now + earliest } else { now },
            wait: u32::try_from(wait).unwrap_or(u32::MAX),
            spread: order.spread,
            immediate: order.immediate,
        });
        (next, Publication::Published)
    }

    /// Says whether the newest version, published again, is to take effect at
    /// another time: its table names a later one, or none any more.
    fn is_to_move(&self, order: Order, compare: &impl Fn(&Version, &Version) -> Change) -> bool {
        let [.., before, last] = &self.entries[..] else { return false };
        let in_force = self.in_force_for_somebody(order.published);
        if order.immediate || in_force + 1 == self.entries.len() || in_force >= Self::UNSETTLED_MAX
        {
            return false;
        }
        let change = compare(&before.version, &last.version);
        let soonest = order.published + u64::from(order.wait(change));
        let wanted = soonest.max(order.effective.unwrap_or(0));
        wanted < last.effective() || order.effective.is_some_and(|time| time > last.effective())
    }

    /// Returns the timeline with another version in the place of the last one
    /// published, at the same times: one with the same answers.
    pub fn with_newest(&self, version: Arc<Version>) -> Timeline {
        let mut entries = self.entries.clone();
        if let Some(newest) = entries.last_mut() {
            newest.version = version;
        }
        Timeline { entries }
    }

    /// Returns the timeline with its newest version published later, if it was
    /// at a given time and others come before it.
    pub fn with_newest_published(&self, at: u64, later: u64) -> Option<Timeline> {
        let mut entries = self.entries.clone();
        let newest = entries[1..].last_mut().filter(|newest| newest.published == at)?;
        // It never takes effect before it would have.
        let wait = newest.effective().saturating_sub(later);
        if !newest.immediate {
            newest.wait = newest.wait.max(u32::try_from(wait).unwrap_or(u32::MAX));
        }
        newest.published = later.max(newest.published);
        Some(Timeline { entries })
    }

    /// Says whether the version that was published last is another one than
    /// that of a timeline.
    pub fn newest_is_not(&self, other: &Timeline) -> bool {
        !Arc::ptr_eq(self.newest(), other.newest())
    }

    /// Returns the timeline of entries that were kept, if there is one.
    pub fn of_entries(entries: Vec<Entry>) -> Option<Timeline> {
        (!entries.is_empty()).then_some(Timeline { entries: entries.into() })
    }

    /// Returns the timeline without the versions that are in force for nobody
    /// any more.
    pub fn without_settled(&self, now: u64) -> Timeline {
        Timeline { entries: self.entries[self.settled(now)..].into() }
    }

    /// Says whether versions are in force for nobody any more.
    pub fn has_settled(&self, now: u64) -> bool {
        self.settled(now) > 0
    }

    /// Returns the newest entry that every network has changed over to.
    fn settled(&self, now: u64) -> usize {
        let mut settled = 0;
        let mut latest = 0;
        for (at, entry) in self.entries.iter().enumerate() {
            latest = if entry.immediate { entry.published } else { latest.max(entry.settled()) };
            if latest <= now {
                settled = at;
            }
        }
        settled
    }

    /// Returns the newest entry that is in force for some network.
    fn in_force_for_somebody(&self, now: u64) -> usize {
        let mut in_force = 0;
        let mut earliest = 0;
        for (at, entry) in self.entries.iter().enumerate() {
            earliest =
                if entry.immediate { entry.published } else { earliest.max(entry.effective()) };
            if at == 0 || earliest <= now {
                in_force = at;
            }
        }
        in_force
    }
}

//----------- Order ----------------------------------------------------------

/// How a version is to be published.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The second that has begun, since the Unix epoch.
    pub now: u64,

    /// When, in seconds since the Unix epoch: a full second that is not
    /// before the moment the timeline is swapped in.
    pub published: u64,

    /// The span over which networks change over, in seconds.
    pub spread: u32,

    /// The longest wait, in seconds.
    pub longest: u32,

    /// Whether everybody is to change over when it is published, or when it is
    /// to take effect, if that is later.
    pub immediate: bool,

    /// When it is to take effect, in seconds since the Unix epoch; as soon as
    /// the guarantee allows, if none is given or that is later.
    pub effective: Option<u64>,
}

impl Order {
    /// How long before the last moment a scheduled version is published, in
    /// seconds.
    ///
    /// Publishing takes time: what is published too late takes effect too
    /// late. Edits made in between come behind it, which costs them no more
    /// than this.
    pub const LEAD: u64 = 10;

    /// Returns how long a change waits by itself, in seconds (`H`).
    fn wait(&self, change: Change) -> u32 {
        match change {
            Change::Nothing | Change::Serial | Change::Additions => 0,
            Change::Records { ttl } => ttl.min(self.longest),
        }
    }

    /// Returns when the version is to be published if that is later, in
    /// seconds since the Unix epoch.
    fn begin(&self, change: Change) -> Option<u64> {
        let wait = if self.immediate { 0 } else { self.wait(change) };
        let begin = self.effective?.saturating_sub(u64::from(wait) + Self::LEAD);
        (begin > self.published).then_some(begin)
    }
}

/// What a version changes for the clients of another one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Change {
    /// Every client gets the same answers.
    Nothing,

    /// The SOA record's serial is another one, which the operator fixed.
    Serial,

    /// There are answers where there were none, and nothing else.
    Additions,

    /// Records are changed or gone, with this TTL at most, in seconds.
    Records {
        /// The largest TTL that clients could have seen.
        ttl: u32,
    },
}

/// What became of an edit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Publication {
    /// It is the newest version.
    Published,

    /// It was the newest version already.
    Unchanged,

    /// It takes back what was pending.
    Withdrawn,

    /// It is to be published again later: edits until then come before it.
    Scheduled {
        /// When, in seconds since the Unix epoch.
        begin: u64,
    },
}

//----------- View -----------------------------------------------------------

/// The versions that matter to one client at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'t> {
    /// Those that are in force for some network, or will be.
    entries: &'t [Entry],

    /// Which of them is in force for the client.
    in_force: usize,

    network: Network,
}

impl<'t> View<'t> {
    /// Returns the version in force for the client.
    pub fn version(&self) -> &'t Version {
        &self.entries[self.in_force].version
    }

    /// Returns the versions that are in force for other networks, or will be
    /// for this one; none unless a handover is under way.
    pub fn others(&self) -> impl Iterator<Item = &'t Version> {
        let in_force = self.in_force;
        let others = self.entries.iter().enumerate().filter(move |(at, _)| *at != in_force);
        others.map(|(_, entry)| &*entry.version)
    }

    /// Returns the highest TTL that an answer may have, in seconds, where a
    /// pending version differs from the one in force.
    ///
    /// Time counts up to the next full second, and the TTL is at least 1.
    pub fn cap(&self, now: Moment, differs: impl Fn(&'t Version) -> bool) -> Option<u32> {
        // Nearly always there is no other version.
        if self.entries.len() == 1 {
            return None;
        }
        let mut changes_over = 0;
        let mut first = None;
        for (at, entry) in self.entries.iter().enumerate() {
            changes_over = entry.changes_over(self.network, changes_over);
            if at <= self.in_force || !differs(&entry.version) {
                continue;
            }
            let left = changes_over.saturating_sub(now.next_second()).max(1);
            first = Some(first.map_or(left, |first: u64| first.min(left)));
            // Only a version that takes effect at once comes before others
            // that were published before it.
            if !self.entries[at + 1..].iter().any(|later| later.immediate) {
                break;
            }
        }
        first.map(|left| u32::try_from(left).unwrap_or(u32::MAX))
    }
}

//----------- Moment ---------------------------------------------------------

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub u64);

impl Moment {
    /// Returns the full second that has begun.
    pub fn second(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the next full second, or this one at its very beginning.
    pub fn next_second(self) -> u64 {
        self.0.div_ceil(1000)
    }
}

//----------- Network --------------------------------------------------------

/// What counts as one resolver: an address cut to /24 (IPv4) or /48 (IPv6).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Network {
    hash: u64,
}

impl Network {
    /// Returns the network of a client. IPv4 carried in IPv6 is IPv4.
    ///
    /// The hash is SipHash-2-4 with the zero key over the family's number of
    /// the client subnet option (RFC 7871 section 6, two octets) and the
    /// octets of the network: the same on every server and in every release.
    pub fn of(client: IpAddr) -> Self {
        let mut hasher = SipHasher24::new_with_keys(0, 0);
        match geo::canonical(client) {
            IpAddr::V4(address) => {
                hasher.write(&[0, 1]);
                hasher.write(&address.octets()[..3]);
            }
            IpAddr::V6(address) => {
                hasher.write(&[0, 2]);
                hasher.write(&address.octets()[..6]);
            }
        }
        Network { hash: hasher.finish() }
    }

    /// Returns a number for a question of the network: the same on every server
    /// and in every release.
    ///
    /// `name` is in wire format; its letter case does not count.
    pub fn hash_question(self, name: &[u8], rtype: Rtype) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(0, self.hash);
        let mut lower = [0; Name::MAX_LEN];
        let lower = &mut lower[..name.len().min(Name::MAX_LEN)];
        lower.copy_from_slice(&name[..lower.len()]);
        lower.make_ascii_lowercase();
        hasher.write(lower);
        hasher.write(&rtype.0.to_be_bytes());
        hasher.finish()
    }

    /// Returns a TTL lowered by at most a share, in percent: by a fixed amount
    /// for each network and name, at least to 1.
    ///
    /// `name` is in wire format; its letter case does not count.
    pub fn lower(self, ttl: u32, percent: u8, name: &[u8]) -> u32 {
        let mut hasher = SipHasher24::new_with_keys(0, self.hash);
        let mut lower = [0; Name::MAX_LEN];
        let lower = &mut lower[..name.len()];
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        hasher.write(lower);
        let most = u64::from(ttl) * u64::from(percent.min(100)) / 100;
        let lowered = u64::from(ttl) - hasher.finish() % (most + 1);
        // It is no more than `ttl`.
        (lowered as u32).max(1)
    }

    /// Returns how much later than the first networks it changes over, in
    /// seconds from 0 to `spread`.
    pub fn offset(self, spread: u32) -> u32 {
        (self.hash % (u64::from(spread) + 1)) as u32
    }
}
