//! What is about to be written: objects that are new, and what names them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::ids::Ids;
use super::manifest::{
    EntryRecord, ReadingRecord, ScheduledRecord, SharedRecord, TablesRecord, ZoneRecord,
};
use super::pack::{ObjectId, Pack, Packs, Places, Writer};
use super::{Kept, KeptZone, Shared, Tables};
use crate::geo::RegionMap;
use crate::parallel;
use crate::snapshot::Zone;
use crate::wire::LowerName;

/// A pack is written anew when less than half of it is needed, and more than
/// this many octets are not.
pub(super) const WASTE_MAX: u64 = 1 << 20;

/// The most packs; one more, and those shorter than [`SMALL`] become one.
pub(super) const PACKS_MAX: usize = 16;

/// How long a pack is that is small, in octets: writing it again takes some
/// milliseconds.
pub(super) const SMALL: u64 = 4 << 20;

/// How many zones are in a page, about: a power of two. An edit of one writes
/// a record of some 200 octets for each of them.
const PAGE: u64 = 32;

/// How many compiled zones are in memory a second time at once, as octets.
const ZONES_AT_ONCE: usize = 512;

//----------- Page -----------------------------------------------------------

/// Zones that are neighbours by their names, in one object.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// The object.
    pub(super) id: ObjectId,

    /// The zones. They are held so that no other ones can have their
    /// addresses.
    pub(super) zones: Arc<[Arc<KeptZone>]>,
}

impl Page {
    /// Says whether these very zones are in it.
    fn holds(&self, zones: &[&Arc<KeptZone>]) -> bool {
        let is_same = |(own, other): (&Arc<KeptZone>, &&Arc<KeptZone>)| Arc::ptr_eq(own, other);
        self.zones.len() == zones.len() && self.zones.iter().zip(zones).all(is_same)
    }
}

/// Says whether a page ends behind a zone.
///
/// Its name alone decides, so that zones that come and go change no page but
/// their own.
fn ends_page(zone: &KeptZone) -> bool {
    let hash = LowerName::from(zone.timeline.newest().zone.origin()).hash();
    // The upper bits of this hash are the well-mixed ones.
    (hash >> 20) % PAGE == 0
}

//----------- Draft ----------------------------------------------------------

/// What is about to be written.
pub(super) struct Draft<'s> {
    known: &'s Known,

    /// Where the objects are that are new.
    places: Places,

    /// The next pack.
    writer: Writer<'s>,

    /// What has been added, by the address of the value: all zones share a
    /// map, which is to be written once.
    added: FxHashMap<usize, ObjectId>,
}

/// What is on the disk.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The packs.
    pub(super) packs: Packs,

    /// Where the objects are in them.
    pub(super) places: Places,

    /// The pages that the manifest names.
    pub(super) pages: Vec<Page>,

    /// Which objects values in memory are.
    pub(super) zones: Ids<Zone>,

    /// Which objects values in memory are.
    pub(super) maps: Ids<RegionMap>,
}

impl<'s> Draft<'s> {
    /// Begins the pack of a number.
    pub(super) fn new(known: &'s Known, folder: &'s Path, pack: u64) -> Self {
        let (places, added) = Default::default();
        Draft { known, places, writer: Writer::new(folder, pack), added }
    }

    /// Returns how many octets are new.
    pub(super) fn len(&self) -> u64 {
        self.writer.len()
    }

    /// Returns what all zones share by the names of objects, which are written
    /// if need be.
    pub(super) fn shared(&mut self, shared: &Shared) -> io::Result<SharedRecord> {
        let reading = shared.reading.as_ref();
        Ok(SharedRecord {
            config: self.tables(&shared.config)?.texts,
            regions: self.tables(&shared.regions)?.texts,
            map: self.map(&shared.map)?,
            fingerprint: shared.fingerprint,
            reading: reading.map(|reading| ReadingRecord::new(&shared.regions.path, reading)),
            databases: shared.databases.clone(),
        })
    }

    /// Returns the pages of all zones, with the records of those that are new.
    pub(super) fn pages(&mut self, kept: &Kept) -> io::Result<Vec<(Page, Vec<ZoneRecord>)>> {
        let known = self.known.pages.iter();
        // A page has at least one zone.
        let known: FxHashMap<_, _> =
            known.map(|page| (Arc::as_ptr(&page.zones[0]), page)).collect();
        let zones: Vec<_> = kept.zones.values().collect();
        let pages = zones.chunk_by(|zone, _| !ends_page(zone)).map(|zones| {
            let known = known.get(&Arc::as_ptr(zones[0])).filter(|page| page.holds(zones));
            (zones, known.copied())
        });
        let pages: Vec<_> = pages.collect();
        let new = pages.iter().filter(|(_, known)| known.is_none());
        self.add_zones(new.flat_map(|(zones, _)| zones.iter().copied()))?;
        let page = |(zones, known): (&[_], Option<&Page>)| match known {
            Some(page) => Ok((page.clone(), Vec::new())),
            None => self.page(zones),
        };
        pages.into_iter().map(page).collect()
    }

    /// Adds the compiled zones that are new: on all processors they are made
    /// into octets, some hundreds at a time.
    fn add_zones<'z>(&mut self, zones: impl Iterator<Item = &'z Arc<KeptZone>>) -> io::Result<()> {
        let entries = zones.flat_map(|zone| zone.timeline.entries());
        let zones = entries.map(|entry| &entry.version.zone);
        let is_new = |zone: &&Arc<Zone>| self.known.zones.find(zone).is_none_or(|id| !self.has(id));
        let new: Vec<_> = zones.filter(is_new).collect();
        for zones in new.chunks(ZONES_AT_ONCE) {
            let objects = parallel::map(zones, |zone| {
                let octets = zone.to_octets();
                (ObjectId::of(&octets), octets)
            });
            for (zone, (id, octets)) in zones.iter().zip(objects) {
                self.put(id, &octets)?;
                self.added.insert(Arc::as_ptr(zone).addr(), id);
            }
        }
        Ok(())
    }

    fn page(&mut self, zones: &[&Arc<KeptZone>]) -> io::Result<(Page, Vec<ZoneRecord>)> {
        let records: io::Result<Vec<_>> = zones.iter().map(|zone| self.zone_record(zone)).collect();
        let records = records?;
        let octets = postcard::to_stdvec(&records).expect("plain lists can be written");
        let id = ObjectId::of(&octets);
        self.put(id, &octets)?;
        let zones = zones.iter().map(|zone| (*zone).clone()).collect();
        Ok((Page { id, zones }, records))
    }

    /// Returns a zone by the names of objects, which are written if need be.
    pub(super) fn zone_record(&mut self, zone: &KeptZone) -> io::Result<ZoneRecord> {
        let mut entries = Vec::new();
        for entry in zone.timeline.entries() {
            entries.push(EntryRecord {
                zone: self.zone(&entry.version.zone)?,
                map: self.map(&entry.version.map)?,
                published: entry.published,
                wait: entry.wait,
                spread: entry.spread,
                immediate: entry.immediate,
            });
        }
        let scheduled = zone.scheduled.as_ref().map(|scheduled| {
            Ok::<_, io::Error>(ScheduledRecord {
                tables: self.tables(&scheduled.tables)?,
                effective: scheduled.effective,
                begin: scheduled.begin,
            })
        });
        let skipped = zone.skipped.as_ref().map(|skipped| self.tables(skipped));
        Ok(ZoneRecord {
            entries,
            scheduled: scheduled.transpose()?,
            tables: self.tables(&zone.tables)?,
            skipped: skipped.transpose()?,
            drained: zone.drained.iter().cloned().collect(),
            serial: zone.serial,
        })
    }

    fn zone(&mut self, zone: &Arc<Zone>) -> io::Result<ObjectId> {
        let known = self.known.zones.find(zone);
        self.value(zone, known, Zone::to_octets)
    }

    fn map(&mut self, map: &Arc<RegionMap>) -> io::Result<ObjectId> {
        let known = self.known.maps.find(map);
        self.value(map, known, RegionMap::to_octets)
    }

    fn tables(&mut self, tables: &Tables) -> io::Result<TablesRecord> {
        let id = tables.texts.id;
        if !self.has(id) {
            self.add(id, &tables.texts.octets()?)?;
        }
        let reading = tables.reading.as_ref();
        let reading = reading.map(|reading| ReadingRecord::new(&tables.path, reading));
        Ok(TablesRecord { texts: id, reading })
    }

    /// Has a value be there that may be known to be some object.
    fn value<T>(
        &mut self,
        value: &Arc<T>,
        known: Option<ObjectId>,
        to_octets: impl Fn(&T) -> Vec<u8>,
    ) -> io::Result<ObjectId> {
        let address = Arc::as_ptr(value).addr();
        let known = known.or_else(|| self.added.get(&address).copied());
        if let Some(id) = known.filter(|id| self.has(*id)) {
            return Ok(id);
        }
        let octets = to_octets(value);
        let id = ObjectId::of(&octets);
        self.put(id, &octets)?;
        self.added.insert(address, id);
        Ok(id)
    }

    /// Says whether an object is on the disk, or about to be.
    fn has(&self, id: ObjectId) -> bool {
        self.places.contains_key(&id) || self.known.places.contains_key(&id)
    }

    /// Adds an object unless it is there.
    fn put(&mut self, id: ObjectId, octets: &[u8]) -> io::Result<()> {
        if self.has(id) { Ok(()) } else { self.add(id, octets) }
    }

    fn add(&mut self, id: ObjectId, octets: &[u8]) -> io::Result<()> {
        let place = self.writer.add(id, octets)?;
        self.places.insert(id, place);
        Ok(())
    }

    /// Writes objects again of packs that hold little else that is `used`, and
    /// of many small ones. Returns the packs whose objects are still to be
    /// found where they were.
    pub(super) fn gather(&mut self, used: &FxHashSet<ObjectId>) -> io::Result<Packs> {
        let known = self.known;
        let mut lengths = FxHashMap::<u64, u64>::default();
        for place in used.iter().filter_map(|id| known.places.get(id)) {
            *lengths.entry(place.pack).or_default() += place.len;
        }
        let packs = known.packs.iter().filter(|(number, _)| lengths.contains_key(number));
        let are_many = packs.clone().filter(|(_, pack)| pack.len < SMALL).count() >= PACKS_MAX;
        let is_spent = |number: u64, pack: &Pack| {
            let needed = lengths[&number];
            let waste = pack.len.saturating_sub(needed);
            waste > WASTE_MAX.max(needed) || are_many && pack.len < SMALL
        };
        let (spent, stay): (Packs, Packs) = packs
            .map(|(number, pack)| (*number, pack.clone()))
            .partition(|(number, pack)| is_spent(*number, pack));
        for id in used {
            let place = known.places.get(id).filter(|_| !self.places.contains_key(id));
            let pack = place.and_then(|place| Some((place, spent.get(&place.pack)?)));
            if let Some((place, pack)) = pack {
                self.add(*id, &pack.piece(*place).read(*id)?)?;
            }
        }
        Ok(stay)
    }

    /// Brings the new pack to the disk, if there is one; returns where what is
    /// in it.
    pub(super) fn finish(self) -> io::Result<(Option<(u64, Pack)>, Places)> {
        Ok((self.writer.finish()?, self.places))
    }
}
