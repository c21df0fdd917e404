//! Publishing: from compiled zones to what is kept and served next.
//!
//! Pure: what is published, the edits and the time go in, what is to be kept
//! comes out. Reading files, writing state and swapping the snapshot is the
//! part of the [`Publisher`](super::Publisher).
//!
//! # Serials
//!
//! A zone whose tables fix no SOA serial gets one that rises with every
//! version that changes its records: the time that `effective` names, else
//! the time when the last of its files was written, so that servers that were
//! given the same files have the same serial; and one more than the highest
//! so far where that is not higher (RFC 1982). What is kept holds the highest,
//! so that neither a restart nor a clock takes it back. A new region map
//! changes no record.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::answer;
use crate::geo::{RegionMap, RegionPairs};
use crate::parallel;
use crate::snapshot::{Change, Order, Publication, Timeline, Version, Zone};
use crate::state::{Drain, Kept, KeptZone, Reading, Scheduled, Shared, Tables};
use crate::wire::Name;

//----------- Edit -----------------------------------------------------------

/// What is to become of a zone.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The zone's name.
    pub origin: Name,

    /// What is to be published; without it the zone is no longer served.
    pub candidate: Option<Candidate>,
}

/// A compiled zone that is to be published.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The zone.
    pub zone: Arc<Zone>,

    /// What it was compiled from.
    pub tables: Arc<Tables>,

    /// Those of its endpoints that are drained.
    pub drained: Arc<BTreeSet<Name>>,

    /// Tables in its folder that are not taken in until they are other ones.
    pub skips: Option<Arc<Tables>>,

    /// The serial that the tables suggest, a time in seconds since the Unix
    /// epoch: the one that they are to take effect at, else the one when they
    /// were written.
    pub stamp: u64,

    /// When it is to take effect, in seconds since the Unix epoch, if that is
    /// still to come.
    pub effective: Option<u64>,

    /// Whether everybody is to change over then, or at once.
    pub immediate: bool,

    /// Whether tables that are scheduled stay so: this is what is in force
    /// until then.
    pub keeps_schedule: bool,
}

/// What is to be kept beside zones.
#[derive(Clone, Debug)]
pub struct Common {
    /// What all zones share.
    pub shared: Arc<Shared>,

    /// What the region map on the disk is made of, if that is not taken in.
    pub skipped: Option<[u8; 32]>,

    /// Endpoints that are drained.
    pub drains: BTreeMap<Name, Drain>,
}

//----------- Draft ----------------------------------------------------------

/// What is to be kept and served next.
#[derive(Debug)]
pub struct Draft {
    /// All of it. The generation is that of the snapshot before.
    pub kept: Kept,

    /// What is new, a line a zone.
    pub lines: Vec<String>,

    /// The zones that are other ones than before.
    pub zones: BTreeSet<Name>,

    /// Whether anything that is kept is new.
    pub is_new: bool,

    /// Whether anything that is served is new.
    pub is_published: bool,
}

impl Draft {
    /// Applies edits to what is published.
    pub fn new(
        kept: &Kept,
        common: &Common,
        edits: &[Edit],
        order: Order,
        changes: &Changes,
    ) -> Self {
        let (lines, zones) = Default::default();
        let mut draft =
            Draft { kept: kept.clone(), lines, zones, is_new: false, is_published: false };
        let Common { shared, skipped, drains } = common;
        draft.is_new = !kept.shared.is_same(shared);
        // The same, perhaps, and looked at later.
        draft.kept.shared = shared.clone();
        if (&kept.drains, &kept.skipped) != (drains, skipped) {
            (draft.kept.drains, draft.kept.skipped) = (drains.clone(), *skipped);
            draft.is_new = true;
        }
        for edit in edits {
            draft.apply(edit, order, changes);
        }
        draft
    }

    fn apply(&mut self, edit: &Edit, order: Order, changes: &Changes) {
        let known = self.kept.zones.get(&edit.origin);
        let Some(candidate) = &edit.candidate else {
            if let Some(zone) = self.kept.zones.remove(&edit.origin) {
                self.kept.removed.insert(edit.origin.clone(), zone.serial);
            }
            return self.note(&edit.origin, "is removed".to_owned());
        };
        let Candidate { effective, immediate, .. } = *candidate;
        let order = Order { effective, immediate, ..order };
        let map = self.kept.shared.map.clone();
        let Some(known) = known else {
            let serial = self.kept.removed.remove(&edit.origin).unwrap_or(0);
            let zone = begin(candidate, map, order, serial);
            self.kept.zones.insert(edit.origin.clone(), Arc::new(zone));
            return self.note(&edit.origin, "is added".to_owned());
        };
        let version = Arc::new(Version::new(candidate.zone.clone(), map));
        let compare = |old: &Version, new: &Version| changes.compare(old, new);
        let (timeline, publication) = known.timeline.publish(version, order, compare);
        let mut zone = (**known).clone();
        let mut line = None;
        match publication {
            Publication::Scheduled { begin } => {
                if timeline.newest_is_not(&known.timeline) {
                    zone.timeline = Arc::new(timeline);
                }
                // Scheduled tables have a time.
                let effective = candidate.effective.unwrap_or(begin);
                let tables = candidate.tables.clone();
                zone.scheduled = Some(Scheduled { tables, effective, begin });
                line = (zone.scheduled != known.scheduled)
                    .then(|| format!("is scheduled: in force in {} s", effective - order.now));
            }
            Publication::Unchanged => zone.take_tables(candidate),
            Publication::Withdrawn => {
                zone.take_tables(candidate);
                zone.timeline = Arc::new(timeline);
                line = Some("is withdrawn: what is in force stays".to_owned());
            }
            Publication::Published => {
                zone.take_tables(candidate);
                zone.take_newest(timeline, candidate);
                line = Some(published(&zone.timeline, order));
            }
        }
        let is_settled =
            |zone: &KeptZone| zone.tables.reading.as_ref().is_some_and(Reading::was_settled);
        // What files look like is worth a write once it is certain.
        self.is_new |= is_settled(&zone) && !is_settled(known);
        let is_new = zone.tables != known.tables
            || (&zone.drained, &zone.skipped) != (&known.drained, &known.skipped)
            || zone.scheduled != known.scheduled;
        let is_published = !Arc::ptr_eq(&zone.timeline, &known.timeline);
        self.is_published |= is_published;
        if is_new || is_published {
            self.is_new = true;
            self.zones.insert(edit.origin.clone());
        }
        self.lines.extend(line.map(|line| format!("{} {line}", edit.origin)));
        self.kept.zones.insert(edit.origin.clone(), Arc::new(zone));
    }

    fn note(&mut self, origin: &Name, line: String) {
        self.lines.push(format!("{origin} {line}"));
        self.zones.insert(origin.clone());
        self.is_new = true;
        self.is_published = true;
    }
}

/// Returns a zone that is not served, in force for everybody; `serial` is the
/// highest that it had when it was, or 0.
fn begin(candidate: &Candidate, map: Arc<RegionMap>, order: Order, serial: u32) -> KeptZone {
    let mut zone = candidate.zone.clone();
    if !zone.has_own_serial() {
        let serial = later_serial(serial, candidate.stamp as u32);
        zone = Arc::new((*zone).clone().with_serial(serial));
    }
    let serial = zone.serial();
    let version = Arc::new(Version::new(zone, map));
    KeptZone {
        timeline: Arc::new(Timeline::new(version, order.published)),
        tables: candidate.tables.clone(),
        skipped: candidate.skips.clone(),
        drained: candidate.drained.clone(),
        scheduled: None,
        serial,
    }
}

/// Says when the newest version is in force.
fn published(timeline: &Timeline, order: Order) -> String {
    let Some(entry) = timeline.entries().last() else { return String::new() };
    if entry.immediate {
        return "is published: in force for everybody at once".to_owned();
    }
    let settled = entry.settled().saturating_sub(entry.published);
    let late = order.effective.and_then(|effective| entry.effective().checked_sub(effective));
    let late = late.filter(|late| *late > 0).map(|late| {
        format!("; {late} s later than `effective` says, because cached copies must expire first")
    });
    format!(
        "is published: in force after {} s, for everybody after {settled} s{}",
        entry.wait,
        late.unwrap_or_default()
    )
}

impl KeptZone {
    /// Takes in what the newest version is compiled from. Tables that waited
    /// are replaced with it.
    fn take_tables(&mut self, candidate: &Candidate) {
        self.tables = candidate.tables.clone();
        (self.drained, self.skipped) = (candidate.drained.clone(), candidate.skips.clone());
        if !candidate.keeps_schedule {
            self.scheduled = None;
        }
    }

    /// Takes in a timeline with a new version, which gets its serial.
    fn take_newest(&mut self, timeline: Timeline, candidate: &Candidate) {
        let zone = &candidate.zone;
        let is_changed = !Arc::ptr_eq(zone, &self.timeline.newest().zone);
        self.timeline = Arc::new(timeline);
        if zone.has_own_serial() {
            self.serial = zone.serial();
        } else if is_changed {
            self.serial = later_serial(self.serial, candidate.stamp as u32);
            let zone = Arc::new((**zone).clone().with_serial(self.serial));
            let version = Version::new(zone, self.timeline.newest().map.clone());
            self.timeline = Arc::new(self.timeline.with_newest(Arc::new(version)));
        }
    }
}

/// Returns a serial that is later than another one, the suggested one if that
/// is (RFC 1982 section 3.2).
fn later_serial(serial: u32, suggested: u32) -> u32 {
    let ahead = suggested.wrapping_sub(serial);
    let later = if (1..1 << 31).contains(&ahead) { suggested } else { serial.wrapping_add(1) };
    // Some take 0 for none.
    later.max(1)
}

//----------- Changes --------------------------------------------------------

/// What versions change for each other, found once each.
///
/// An edit may be drafted again with other times, when it took longer than
/// expected.
#[derive(Debug, Default)]
pub struct Changes {
    known: RefCell<HashMap<[usize; 4], Known>>,

    regions: RefCell<HashMap<[usize; 2], KnownRegions>>,
}

/// Which regions clients are in by two maps.
#[derive(Debug)]
struct KnownRegions {
    pairs: Arc<RegionPairs>,

    /// Keeps the addresses, by which they are found, from being used again.
    _maps: [Arc<RegionMap>; 2],
}

/// What one version changes for another.
#[derive(Debug)]
struct Known {
    change: Change,

    /// Keeps the addresses, by which it is found, from being used again.
    _parts: [(Arc<Zone>, Arc<RegionMap>); 2],
}

impl Changes {
    /// Compares, on all processors, what edits are to change with what is
    /// published.
    pub fn prepare(&self, kept: &Kept, shared: &Shared, edits: &[Edit]) {
        let pair = |edit: &Edit| {
            let newest = kept.zones.get(&edit.origin)?.timeline.newest().clone();
            let candidate = edit.candidate.as_ref()?;
            let new = Version::new(candidate.zone.clone(), shared.map.clone());
            let is_same =
                Arc::ptr_eq(&newest.zone, &new.zone) && Arc::ptr_eq(&newest.map, &new.map);
            (!is_same).then_some((newest, new))
        };
        let pairs: Vec<_> = edits.iter().filter_map(pair).collect();
        let regions: Vec<_> = pairs.iter().map(|(old, new)| self.pairs(old, new)).collect();
        let pairs: Vec<_> = pairs.into_iter().zip(regions).collect();
        let changes =
            parallel::map(&pairs, |((old, new), regions)| answer::change_for(old, new, regions));
        let mut known = self.known.borrow_mut();
        for (((old, new), _), change) in pairs.iter().zip(changes) {
            known.insert(key(old, new), Known::new(old, new, change));
        }
    }

    /// Returns what one version changes for another.
    pub fn compare(&self, old: &Version, new: &Version) -> Change {
        let find = || Known::new(old, new, answer::change_for(old, new, &self.pairs(old, new)));
        self.known.borrow_mut().entry(key(old, new)).or_insert_with(find).change
    }

    /// Returns the pairs of regions that clients are in by two versions, which
    /// all zones share.
    fn pairs(&self, old: &Version, new: &Version) -> Arc<RegionPairs> {
        let [_, old_map, _, new_map] = key(old, new);
        let find = || KnownRegions {
            pairs: Arc::new(old.map.pairs(&new.map)),
            _maps: [old.map.clone(), new.map.clone()],
        };
        self.regions.borrow_mut().entry([old_map, new_map]).or_insert_with(find).pairs.clone()
    }
}

impl Known {
    fn new(old: &Version, new: &Version, change: Change) -> Self {
        let parts = |version: &Version| (version.zone.clone(), version.map.clone());
        Known { change, _parts: [parts(old), parts(new)] }
    }
}

fn key(old: &Version, new: &Version) -> [usize; 4] {
    let parts =
        |version: &Version| [Arc::as_ptr(&version.zone).addr(), Arc::as_ptr(&version.map).addr()];
    let ([a, b], [c, d]) = (parts(old), parts(new));
    [a, b, c, d]
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_the_suggested_one_if_that_is_later_else_one_more() {
        assert_eq!(later_serial(0, 1_800_000_000), 1_800_000_000);
        assert_eq!(later_serial(1_800_000_000, 1_799_999_999), 1_800_000_001);
        assert_eq!(later_serial(1_800_000_000, 1_800_000_000), 1_800_000_001);
        assert_eq!(later_serial(2_026_112_401, 1_800_000_000), 2_026_112_402);
        // RFC 1982: numbers wrap, and 0 is later than the last one.
        assert_eq!(later_serial(u32::MAX, u32::MAX), 1);
        assert_eq!(later_serial(u32::MAX - 1, 5), 5);
    }
}
