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
mod policy;
mod timeline;
mod zone;

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxBuildHasher;

use crate::geo::RegionMap;
use crate::wire::CookieSecrets;

pub use self::body::{Bodies, Body, Cut};
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

    /// What answers say beside records.
    pub settings: Settings,

    zones: HashMap<Box<[u8]>, Arc<Timeline>, FxBuildHasher>,

    /// The most labels that an origin has: longer suffixes need no look-up.
    labels_max: usize,
}

impl Snapshot {
    /// Returns a snapshot of timelines, one a zone.
    pub fn new(
        generation: u64,
        settings: Settings,
        timelines: impl IntoIterator<Item = Arc<Timeline>>,
    ) -> Self {
        let zones: HashMap<_, _, _> = timelines
            .into_iter()
            .map(|timeline| (timeline.newest().zone.origin().to_key(), timeline))
            .collect();
        let labels_max = zones
            .values()
            .map(|timeline: &Arc<Timeline>| timeline.newest().zone.origin().label_count())
            .max()
            .unwrap_or(0);
        Snapshot { generation, settings, zones, labels_max }
    }

    /// Returns the timeline of the zone that a name is in: the one with the
    /// longest origin.
    ///
    /// `key` is a name in wire format and lower case.
    pub fn find(&self, key: &[u8]) -> Option<&Timeline> {
        let mut labels = label_count(key);
        let mut rest = key;
        loop {
            if labels <= self.labels_max
                && let Some(timeline) = self.zones.get(rest)
            {
                return Some(timeline);
            }
            rest = parent(rest)?;
            labels -= 1;
        }
    }

    /// Returns the timeline of the zone that delegates a name, if it is here:
    /// the one with the longest origin that is not the name itself.
    ///
    /// That zone, and not the child, holds the name's DS records (RFC 4035
    /// section 3.1.4.1).
    pub fn find_parent(&self, key: &[u8]) -> Option<&Timeline> {
        self.find(parent(key)?)
    }

    /// Returns all timelines, in the order of their zones' names.
    pub fn timelines(&self) -> Vec<&Arc<Timeline>> {
        let mut timelines: Vec<_> = self.zones.values().collect();
        timelines.sort_by(|a, b| a.newest().zone.origin().cmp(b.newest().zone.origin()));
        timelines
    }
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

    /// Its SRV answers, ready to be copied.
    pub bodies: Bodies,
}

impl Version {
    /// Returns a version that has answered nobody.
    pub fn new(zone: Arc<Zone>, map: Arc<RegionMap>) -> Self {
        let expiries = Expiries::new(zone.srv_count());
        let bodies = Bodies::new(zone.srv_count());
        Version { zone, map, expiries, bodies }
    }

    /// Notes that anybody may have been handed out anything until now, in
    /// seconds since the Unix epoch.
    pub fn assume_handed_out(&self, now: u64) {
        for (slot, ttl) in self.zone.srv_ttls() {
            self.expiries.note(slot, now + u64::from(ttl));
        }
    }

    /// Notes that no copy that was sent lives longer than its TTL from now on,
    /// in seconds since the Unix epoch: the clock was set back.
    pub fn limit_expiries(&self, now: u64) {
        for (slot, ttl) in self.zone.srv_ttls() {
            self.expiries.limit(slot, now + u64::from(ttl));
        }
    }

    /// Returns when the last copy of any SRV answer expires, in seconds since
    /// the Unix epoch.
    pub fn last_expiry(&self) -> u64 {
        self.zone.srv_ttls().map(|(slot, _)| self.expiries.last(slot)).max().unwrap_or(0)
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

    /// Load balancers that say by the PROXY protocol who asks.
    pub balancers: Arc<[IpNet]>,
}

//----------- Names in wire format -------------------------------------------

/// Returns a name without its first label; the root has no parent.
fn parent(key: &[u8]) -> Option<&[u8]> {
    match key[0] {
        0 => None,
        len => Some(&key[1 + usize::from(len)..]),
    }
}

/// Counts the labels of a name, the root's not among them.
fn label_count(mut key: &[u8]) -> usize {
    let mut count = 0;
    while let Some(rest) = parent(key) {
        key = rest;
        count += 1;
    }
    count
}
