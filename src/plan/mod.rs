//! What taking in the files would change, and for whom.
//!
//! ```text
//!  what is served ─┐
//!                  ├─▶ records: RecordDiff ─┐
//!  files ── load ──┼─▶ addresses: Moves ────┼─▶ Plan ── render
//!                  └─▶ guard ───────────────┘
//! ```
//!
//! The files are read and compiled by what a reload reads them with, and held
//! back by what holds a reload back, so that an empty plan means that a reload
//! publishes nothing. A plan changes nothing, and needs no server.
//!
//! Shares are of the address space, not of queries: how many queries come from
//! where is not known.

mod moves;
mod records;
mod render;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::answer;
use crate::config;
use crate::config::model::Handover;
use crate::daemon::load::{self, Loaded, LoadedZone};
use crate::daemon::{drain, guard};
use crate::geo::{Databases, RegionTable};
use crate::snapshot::{Change, Version};
use crate::state::{Kept, KeptZone};

pub use self::moves::{EndpointShare, Move, MovedNetwork, Moves};
pub use self::records::{RecordDiff, RecordLine};
pub use self::render::render;

//----------- Plan -----------------------------------------------------------

/// What taking in the files would change.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// The generation that is served.
    pub generation: u64,

    /// Zones that would be other ones.
    pub zones: Vec<ZonePlan>,

    /// Who would be in another region.
    pub moves: Moves,

    /// Which share of the addresses prefers which endpoint, where that would be
    /// another one.
    pub endpoints: Vec<EndpointShare>,

    /// What would be held back, and why.
    pub held_back: Vec<String>,

    /// What else there is to know.
    pub notes: Vec<String>,
}

/// What would become of a zone.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ZonePlan {
    /// The zone.
    pub zone: String,

    /// What would become of it.
    pub fate: Fate,

    /// For how long cached copies would be waited for, in seconds.
    pub wait: u32,

    /// From when on it would be in force for everybody, in seconds after it is
    /// taken in.
    pub settled: u32,

    /// The time that the tables name, in seconds since the Unix epoch.
    pub effective: Option<u64>,

    /// Records that would differ.
    pub records: RecordDiff,
}

/// What would become of a zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is new.
    Added,

    /// It is another one.
    Changed,

    /// Its folder is gone.
    Gone,
}

impl Plan {
    /// Compares what is served with what was loaded.
    ///
    /// The databases are those of the files; they say whose the addresses are
    /// that move. `now` is in seconds since the Unix epoch.
    pub fn new(kept: &Kept, mut loaded: Loaded, databases: &Databases, now: u64) -> Self {
        let mut plan = Plan { generation: kept.generation, ..Plan::default() };
        let regions = load::read_kept(&kept.shared.regions, config::read_regions);
        plan.skip(kept, &mut loaded, regions.as_ref());
        let loaded = &loaded;
        plan.hold(kept, loaded, regions.as_ref());
        let handover = &loaded.config.handover;
        for zone in &loaded.zones {
            plan.zones.extend(zone_plan(kept, loaded, zone, (handover, now)));
        }
        let read: BTreeSet<_> = loaded.zones.iter().map(|zone| zone.zone.origin()).collect();
        let is_gone = |zone: &KeptZone| !loaded.folders.contains(&zone.tables.path);
        for (name, zone) in &kept.zones {
            if read.contains(name) || !is_gone(zone) {
                continue;
            }
            plan.zones.push(ZonePlan {
                zone: name.to_string(),
                fate: Fate::Gone,
                wait: 0,
                settled: 0,
                effective: None,
                records: RecordDiff::gone(&zone.timeline.newest().zone, &kept.shared.map),
            });
        }
        let (old, new) = (&kept.shared.map, &loaded.shared.map);
        plan.moves = Moves::new(old, new, loaded, databases);
        plan.endpoints = endpoints(kept, loaded);
        plan.note_leaving(kept, loaded);
        plan
    }

    /// Says whether a reload would publish nothing and hold nothing back.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty() && self.moves.is_empty() && self.held_back.is_empty()
    }

    /// Notes what a reload would not take in because it was rolled back, and has
    /// what is served stand for it.
    fn skip(&mut self, kept: &Kept, loaded: &mut Loaded, regions: Option<&RegionTable>) {
        self.notes.extend(guard::keep_map(kept, loaded, regions));
        for zone in &mut loaded.zones {
            let known = kept.zones.get(zone.zone.origin());
            let skipped = known.and_then(|known| Some((known, guard::rolled_back(known, zone)?)));
            if let Some((known, why)) = skipped {
                self.notes.push(why);
                (zone.zone, zone.tables) =
                    (known.timeline.newest().zone.clone(), known.tables.clone());
                zone.effective = None;
            }
        }
    }

    /// Notes what a reload would hold back.
    fn hold(&mut self, kept: &Kept, loaded: &Loaded, regions: Option<&RegionTable>) {
        let most = loaded.config.handover.most_moved;
        let moved = guard::moved(&kept.shared.map, &loaded.shared.map, most);
        self.held_back.extend(moved.map(|why| format!("everything: {why}")));
        for zone in &loaded.zones {
            let name = zone.zone.origin();
            let why = match kept.zones.get(name) {
                Some(known) => guard::accident(known, zone, loaded, regions),
                None => guard::takes_over(kept, name),
            };
            self.held_back.extend(why.map(|why| format!("{name} {why}")));
        }
        let read: BTreeSet<_> = loaded.zones.iter().map(|zone| zone.zone.origin()).collect();
        for (name, known) in kept.zones.iter().filter(|(name, _)| !read.contains(name)) {
            self.held_back.push(format!("{name} {}", guard::missing(known, loaded)));
        }
    }

    /// Notes endpoints that leave a zone although nobody has drained them.
    fn note_leaving(&mut self, kept: &Kept, loaded: &Loaded) {
        for zone in &loaded.zones {
            let Some(known) = kept.zones.get(zone.zone.origin()) else { continue };
            let leaving = drain::leaving(known, &zone.zone);
            self.notes.extend(leaving.map(|name| drain::leaves(&name, known)));
        }
    }
}

/// Returns what would become of a zone; nothing if it stays as it is.
fn zone_plan(
    kept: &Kept,
    loaded: &Loaded,
    zone: &LoadedZone,
    (handover, now): (&Handover, u64),
) -> Option<ZonePlan> {
    let name = zone.zone.origin();
    let map = &loaded.shared.map;
    let Some(known) = kept.zones.get(name) else {
        return Some(ZonePlan {
            zone: name.to_string(),
            fate: Fate::Added,
            wait: 0,
            settled: 0,
            // What there was nothing before does not wait for its time.
            effective: None,
            records: RecordDiff::added(&zone.zone, map),
        });
    };
    let old = known.timeline.newest();
    let new = Version::new(zone.zone.clone(), map.clone());
    let wait = match answer::change(old, &new) {
        Change::Nothing => return None,
        Change::Serial | Change::Additions => 0,
        Change::Records { ttl } => ttl.min(handover.longest.as_secs() as u32),
    };
    let spread = if wait == 0 { 0 } else { handover.spread.as_secs() as u32 };
    Some(ZonePlan {
        zone: name.to_string(),
        fate: Fate::Changed,
        wait,
        settled: wait + spread,
        effective: zone.effective.filter(|time| *time > now),
        records: RecordDiff::new((&old.zone, &old.map), (&zone.zone, map)),
    })
}

/// Returns the endpoints that another share of the addresses would prefer.
fn endpoints(kept: &Kept, loaded: &Loaded) -> Vec<EndpointShare> {
    let mut shares: BTreeMap<(String, String), EndpointShare> = BTreeMap::new();
    for (name, zone) in &kept.zones {
        let version = zone.timeline.newest();
        moves::add_shares(&version.zone, &kept.shared.map, &mut |target, share| {
            let entry = shares.entry((name.to_string(), target.to_owned())).or_default();
            entry.before = share;
        });
    }
    for zone in &loaded.zones {
        let name = zone.zone.origin().to_string();
        moves::add_shares(&zone.zone, &loaded.shared.map, &mut |target, share| {
            let entry = shares.entry((name.clone(), target.to_owned())).or_default();
            entry.after = share;
        });
    }
    let differs = |share: &EndpointShare| {
        let [before, after] = [share.before, share.after];
        (before.0 - after.0).abs() > 1e-9 || (before.1 - after.1).abs() > 1e-9
    };
    let named = shares.into_iter().map(|((zone, endpoint), share)| EndpointShare {
        zone,
        endpoint,
        ..share
    });
    named.filter(differs).collect()
}
