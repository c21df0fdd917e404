//! The immutable value that answers queries.
//!
//! ```text
//!  Snapshot ─┬─ Timeline (zone A) ─┬─ Version ─┬─ Zone: names, RRsets, variants a region
//!            │                     │           └─ RegionMap: address -> region
//!            │                     └─ Version (pending) …
//!            ├─ Timeline (zone B) ─── …
//!            └─ Settings: what answers say beside records
//! ```
//!
//! The control plane builds a new [`Snapshot`] for every change and
//! publishes it by one pointer; the data plane loads that pointer once a
//! message. Nothing in here is ever edited, and nothing in here does I/O or
//! reads a clock.

mod body;
mod expiry;
mod index;
mod policy;
mod timeline;
mod zone;

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use self::index::Index;
use crate::geo::RegionMap;
use crate::wire::{CookieSecrets, LowerName, Name, Suffix, is_same_name};

pub use self::body::{Bodies, Body, BodyKey, Cut, Link};
pub use self::expiry::{Expiries, HandedOut};
pub use self::policy::{Class, Customer, Customers, Policy, Rate, Told};
pub use self::timeline::{Change, Entry, Moment, Network, Order, Publication, Timeline, View};
pub use self::zone::{
    Found, Host, NewHost, NewNode, NewRrset, NewVariant, Node, NodeId, Rrset, Status, Variant, Zone,
};

//----------- Snapshot -------------------------------------------------------

/// All that answers depend on, at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts publications, from 1.
    pub generation: u64,

    /// When the newest version of any zone was published, in seconds since the
    /// Unix epoch; 0 if that is not known.
    pub published: u64,

    /// What answers say beside records.
    pub settings: Settings,

    /// In the order of their zones' names.
    timelines: Box<[Arc<Timeline>]>,

    /// The timelines by their zones' names.
    index: Index,

    /// Whether there are origins with one label, with two, and so on: suffixes of
    /// other lengths need no look-up.
    levels: Box<[bool]>,

    /// Whether there is the root zone.
    has_root: bool,
}

impl Snapshot {
    /// Returns a snapshot of timelines, one a zone.
    pub fn new(
        generation: u64,
        settings: Settings,
        timelines: impl IntoIterator<Item = Arc<Timeline>>,
    ) -> Self {
        let mut timelines: Box<[_]> = timelines.into_iter().collect();
        timelines.sort_by(|a, b| origin(a).cmp(origin(b)));
        let hash = |timeline: &Arc<Timeline>| LowerName::from(origin(timeline)).hash();
        let index = Index::new(timelines.iter().map(hash));
        let counts: BTreeSet<_> = timelines.iter().map(|one| origin(one).label_count()).collect();
        let deepest = counts.last().copied().unwrap_or_default();
        let levels = (1..=deepest).map(|count| counts.contains(&count)).collect();
        let has_root = counts.contains(&0);
        Snapshot { generation, published: 0, settings, timelines, index, levels, has_root }
    }

    /// Returns the timeline of the zone that a name is in: the one with the
    /// longest origin.
    pub fn find(&self, name: &LowerName) -> Option<&Timeline> {
        self.find_within(name, name.label_count())
    }

    /// Returns the timeline of the zone that delegates a name, if it is here:
    /// the one with the longest origin that is not the name itself.
    ///
    /// That zone, and not the child, holds the name's DS records (RFC 4035
    /// section 3.1.4.1).
    pub fn find_parent(&self, name: &LowerName) -> Option<&Timeline> {
        self.find_within(name, name.label_count().checked_sub(1)?)
    }

    /// Returns the timeline with the longest origin that is made of the last
    /// labels of a name, of at most so many.
    fn find_within(&self, name: &LowerName, labels: usize) -> Option<&Timeline> {
        // In the order of names the root is the first.
        let mut found =
            if self.has_root { self.timelines.first().map(|first| &**first) } else { None };
        let levels = &self.levels[..labels.min(self.levels.len())];
        for (is_level, suffix) in levels.iter().zip(name.suffixes()) {
            if *is_level {
                found = self.get(suffix).or(found);
            }
        }
        found
    }

    /// Returns the timeline whose origin is a suffix.
    fn get(&self, suffix: Suffix<'_>) -> Option<&Timeline> {
        self.index.find(suffix.hash, |at| {
            let timeline = &*self.timelines[at as usize];
            is_same_name(origin(timeline).as_wire(), suffix.wire).then_some(timeline)
        })
    }

    /// Returns all timelines, in the order of their zones' names.
    pub fn timelines(&self) -> &[Arc<Timeline>] {
        &self.timelines
    }
}

/// Returns the name of a timeline's zone.
fn origin(timeline: &Timeline) -> &Name {
    timeline.newest().zone.origin()
}

//----------- Version --------------------------------------------------------

/// A zone and everything that its answers depend on.
///
/// Zones and maps are shared: a new map makes a new version of every steered
/// zone, whose records are as they were.
#[derive(Debug)]
pub struct Version {
    /// The compiled zone.
    pub zone: Arc<Zone>,

    /// Where clients are.
    pub map: Arc<RegionMap>,

    /// When copies of its SRV answers expire: the only thing here that ever
    /// changes, and no answer depends on it.
    pub expiries: Expiries,
}

impl Version {
    /// Returns a version that has answered nobody.
    pub fn new(zone: Arc<Zone>, map: Arc<RegionMap>) -> Self {
        let expiries = Expiries::new(zone.srv_count());
        Version { zone, map, expiries }
    }

    /// Notes that anybody may have been handed out anything until now, in
    /// seconds since the Unix epoch.
    pub fn assume_handed_out(&self, now: u64) {
        self.expiries.assume(now);
    }

    /// Notes that no copy that was sent lives longer than its TTL from now on,
    /// in seconds since the Unix epoch: the clock was set back.
    pub fn limit_expiries(&self, now: u64) {
        self.expiries.limit(now, self.zone.srv_ttls());
    }

    /// Returns when the last copy of any SRV answer expires, in seconds since
    /// the Unix epoch.
    pub fn last_expiry(&self) -> u64 {
        self.zone.srv_ttls().map(|(slot, ttl)| self.expiries.last(slot, ttl)).max().unwrap_or(0)
    }
}

//----------- Settings -------------------------------------------------------

/// What answers say beside records.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// Whether the client subnet option (RFC 7871) steers answers.
    pub client_subnet: bool,

    /// What NSID (RFC 5001) and `id.server` (RFC 4892) say.
    pub identity: Option<String>,

    /// By how many percent TTLs are lowered at most, by an amount of its own
    /// for each network and name.
    pub spread_ttl: u8,

    /// What `version.bind` says.
    pub version: Option<String>,

    /// How long a TCP connection may be idle, in units of 100 ms, as clients
    /// are told that ask (RFC 7828); 0 tells nobody.
    pub tcp_keepalive: u16,

    /// What server cookies (RFC 7873) are made with.
    pub cookie_secrets: CookieSecrets,

    /// Whom to answer how often, and whom to count.
    pub policy: Arc<Policy>,

    /// Networks that are told about the server's health.
    pub health_from: Arc<[IpNet]>,

    /// Load balancers that say by the PROXY protocol who asks.
    pub balancers: Arc<[IpNet]>,
}
