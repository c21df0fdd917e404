//! The state folder: what outlives a restart.
//!
//! ```text
//!  state/lock              held by the server that uses the folder
//!  state/manifest          what is published, by the names of objects
//!  state/7.pack            objects: compiled zones, region maps, tables, and pages:
//!                          which objects some dozens of zones are, and how the
//!                          operator's files were read
//!  state/history           what was published before, by the names of objects
//!  state/served            the generation that is known to have been served
//!  state/damaged-…/        what could not be read, set aside
//! ```
//!
//! Before something is published, [`State::save`] writes what is new to a pack
//! of its own, and then a new manifest under another name, which takes the
//! place of the old one by a rename. Each step is on the disk before the next
//! begins (fsync of the files, then of the folder), so that whenever the server
//! is killed, the manifest is the old one or the new one, and all objects that
//! it names are there. Packs that the manifest does not name are removed.
//!
//! An edit of one zone of ten thousand writes that zone, its tables, the page
//! that it is in and a manifest of some kilobytes. What is still needed is
//! counted only now and then: when a mebibyte has been written since, or there
//! are many small packs. Those that hold little of use are then written again.
//!
//! A server that is killed after the rename and before it swaps the snapshot
//! in has answered as before until its end, perhaps longer than the manifest
//! says. So the generation that was swapped in is noted, too; where it is not
//! the manifest's, what that published is published again, later.
//!
//! Objects are named by their content. What was changed on the disk is thus
//! seen when it is read, and [`State::open`] sets all of it aside: the server
//! begins anew from the operator's tables.
//!
//! Compiled zones are kept beside the tables that they were compiled from.
//! With them a restart, even of another release, goes on with the very
//! answers that resolvers hold; what the tables say now then is a change like
//! any other. Beside each zone stands what its files looked like, so that
//! those that did not change since need not be read.
//!
//! The tables' texts are nearly a fifth of all. Once they are on the disk
//! they are left to it, and read when somebody asks for them.
//!
//! What an operator has said by command, which endpoints are drained, is in
//! the manifest itself.
//!
//! # What is absent
//!
//! When cached copies expire is not kept: after a restart every endpoint
//! counts as handed out just before it.

mod draft;
mod history;
mod ids;
mod manifest;
mod pack;
mod reader;
mod store;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::geo::{DatabaseSummary, RegionMap};
use crate::snapshot::{Settings, Snapshot, Timeline};
use crate::wire::Name;

pub use self::history::Event;
pub use self::pack::ObjectId;
pub use self::store::{Error, Found, State, events, has_last_good, peek, recall};
pub use self::tables::{Reading, Tables};

/// Returns the endpoints that zones are to be compiled to have drained.
pub fn drained_by(drains: &BTreeMap<Name, Drain>) -> impl Iterator<Item = Name> {
    let begun = drains.iter().filter(|(_, drain)| drain.has_begun);
    begun.map(|(endpoint, _)| endpoint.clone())
}

//----------- Kept -----------------------------------------------------------

/// What is published, in the form in which it is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Counts publications, from 1.
    pub generation: u64,

    /// The latest time that a publication named, in seconds since the Unix
    /// epoch: a clock that starts does not start before.
    pub time: u64,

    /// What all zones share.
    pub shared: Arc<Shared>,

    /// What the region map on the disk is compiled from, in one number, where
    /// it was rolled back and is not taken in until it is another one.
    pub skipped: Option<[u8; 32]>,

    /// The zones by their names.
    pub zones: BTreeMap<Name, Arc<KeptZone>>,

    /// The endpoints that are drained, or will be, by their names.
    pub drains: BTreeMap<Name, Drain>,

    /// The highest serial that each zone had that is served no longer: if it
    /// comes back, its serial goes on from there.
    pub removed: BTreeMap<Name, u32>,
}

impl Kept {
    /// Returns what is to be kept of nothing.
    pub fn new(shared: Arc<Shared>) -> Self {
        let (zones, drains, removed) = Default::default();
        Kept { generation: 0, time: 0, shared, skipped: None, zones, drains, removed }
    }

    /// Returns the endpoints that zones are compiled to have drained.
    pub fn drained(&self) -> BTreeSet<Name> {
        drained_by(&self.drains).collect()
    }

    /// Returns when the newest version of any zone was published, in seconds
    /// since the Unix epoch.
    pub fn published(&self) -> u64 {
        let newest = self.zones.values().filter_map(|zone| zone.timeline.entries().last());
        newest.map(|entry| entry.published).max().unwrap_or(0)
    }

    /// Returns the snapshot that answers by it.
    pub fn snapshot(&self, settings: &Settings) -> Snapshot {
        let timelines = self.zones.values().map(|zone| zone.timeline.clone());
        let mut snapshot = Snapshot::new(self.generation, settings.clone(), timelines);
        snapshot.published = self.published();
        snapshot
    }
}

/// The last good files that all zones share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Arc<Tables>,

    /// The region table.
    pub regions: Arc<Tables>,

    /// Where clients are.
    pub map: Arc<RegionMap>,

    /// What the map was compiled from, in one number; none if that changed
    /// while it was read.
    pub fingerprint: Option<[u8; 32]>,

    /// What the files looked like that the map was compiled from.
    pub reading: Option<Reading>,

    /// The databases that the map was compiled from.
    pub databases: Vec<DatabaseSummary>,
}

impl Shared {
    /// Says whether both hold the same files and the same map.
    pub fn is_same(&self, other: &Shared) -> bool {
        self.config == other.config
            && self.regions == other.regions
            && self.fingerprint == other.fingerprint
            && Arc::ptr_eq(&self.map, &other.map)
    }
}

/// A zone.
#[derive(Clone, Debug)]
pub struct KeptZone {
    /// The versions that matter.
    pub timeline: Arc<Timeline>,

    /// What the newest of them was compiled from.
    pub tables: Arc<Tables>,

    /// The tables in its folder, where they were rolled back and are not
    /// taken in until they are other ones.
    pub skipped: Option<Arc<Tables>>,

    /// Those of its endpoints that were drained then.
    pub drained: Arc<BTreeSet<Name>>,

    /// Tables that are to be published at a time.
    pub scheduled: Option<Scheduled>,

    /// The highest serial that a version had.
    pub serial: u32,
}

/// What was published once.
#[derive(Clone, Debug)]
pub struct Past {
    /// The publication.
    pub event: Event,

    /// What was served after it; nothing of drains.
    pub kept: Kept,
}

/// What is to be remembered of a publication.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Who did it.
    pub by: String,

    /// What it was.
    pub what: String,

    /// What became of each zone.
    pub lines: Vec<String>,

    /// The zones that are other ones than before.
    pub zones: BTreeSet<Name>,

    /// What was before this time may be forgotten, in seconds since the Unix
    /// epoch.
    pub keep_since: u64,
}

/// Tables with an `effective` time that have been read, checked and not yet
/// published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scheduled {
    /// The tables.
    pub tables: Arc<Tables>,

    /// When they take effect, in seconds since the Unix epoch.
    pub effective: u64,

    /// When they are to be published, in seconds since the Unix epoch.
    pub begin: u64,
}

/// An endpoint that is to come behind all others, by an operator's command.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Drain {
    /// Who said so.
    pub by: String,

    /// Why, in their words.
    pub reason: Option<String>,

    /// When, in seconds since the Unix epoch.
    pub since: u64,

    /// When it is to take effect, where the operator named a time, in seconds
    /// since the Unix epoch.
    pub effective: Option<u64>,

    /// Whether it takes effect for everybody at once.
    pub immediate: bool,

    /// When it is to be published, in seconds since the Unix epoch.
    pub begin: u64,

    /// Whether it is published.
    pub has_begun: bool,

    /// When it ends by itself, in seconds since the Unix epoch.
    pub until: Option<u64>,
}

impl Drain {
    /// Says whether it is to begin or end by itself at a time, in seconds
    /// since the Unix epoch.
    pub fn is_due(&self, now: u64) -> bool {
        !self.has_begun && self.begin <= now || self.until.is_some_and(|until| until <= now)
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests;
