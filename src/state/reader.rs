//! Reading what a manifest names.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::draft::Page;
use super::history::{Event, Record};
use super::manifest::{EntryRecord, Manifest, SharedRecord, TablesRecord, ZoneRecord};
use super::pack::{ObjectId, Pack, Packs, Place, Places};
use super::tables::Texts;
use super::{Kept, KeptZone, Past, Scheduled, Shared, Tables};
use crate::geo::RegionMap;
use crate::parallel;
use crate::snapshot::{Entry, Timeline, Version, Zone};
use crate::wire::Name;

//----------- Reader ---------------------------------------------------------

/// Reads objects.
pub(super) struct Reader {
    places: Places,
    packs: Packs,

    /// The maps, each read once.
    maps: Mutex<FxHashMap<ObjectId, Arc<RegionMap>>>,
}

/// A page that was read.
pub(super) struct ReadPage {
    /// The page.
    pub(super) page: Page,

    /// Its zones, and which objects they are.
    pub(super) objects: Vec<(Arc<Zone>, ObjectId)>,
}

impl Reader {
    /// Opens packs.
    pub(super) fn open(folder: &Path, numbers: &[u64]) -> Result<Self, Unread> {
        let (mut packs, mut places) = (Packs::new(), Places::default());
        for number in numbers {
            let pack = Pack::open(folder, *number, &mut places);
            let pack = pack.map_err(|error| Unread::of(&format!("{number}.pack"), error))?;
            packs.insert(*number, pack);
        }
        Ok(Reader::new(packs, places))
    }

    /// Returns a reader of packs that are open.
    pub(super) fn new(packs: Packs, places: Places) -> Self {
        Reader { places, packs, maps: Mutex::default() }
    }

    /// Returns the packs, and where what is in them.
    pub(super) fn into_packs(self) -> (Packs, Places) {
        (self.packs, self.places)
    }

    /// Returns the maps that were read, and which objects they are.
    pub(super) fn maps(&self) -> Vec<(Arc<RegionMap>, ObjectId)> {
        let maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        maps.iter().map(|(id, map)| (map.clone(), *id)).collect()
    }

    /// Reads what a manifest names; returns its zones by pages, too.
    pub(super) fn kept(&self, manifest: &Manifest) -> Result<(Kept, Vec<ReadPage>), Unread> {
        let shared = self.shared(&manifest.shared)?;
        let pages = parallel::map(&manifest.pages, |id| self.page(*id));
        let pages = pages.into_iter().collect::<Result<Vec<_>, _>>()?;
        let zones = pages.iter().flat_map(|read| &*read.page.zones);
        let named = zones.map(|zone| (zone.timeline.newest().zone.origin().clone(), zone.clone()));
        let zones = named.collect();
        let removed = manifest.removed.iter().cloned().collect();
        let drains = manifest.drains.iter().cloned().collect();
        let (generation, time) = (manifest.generation, manifest.time);
        let skipped = manifest.skipped;
        Ok((Kept { generation, time, shared, skipped, zones, drains, removed }, pages))
    }

    fn page(&self, id: ObjectId) -> Result<ReadPage, Unread> {
        let records: Vec<ZoneRecord> = postcard::from_bytes(&self.octets(id)?)
            .map_err(|error| format!("{id} is no page of zones: {error}"))?;
        let (mut zones, mut objects) = (Vec::with_capacity(records.len()), Vec::new());
        for record in &records {
            let zone = Arc::new(self.zone_kept(record)?);
            let entries = zone.timeline.entries().iter().zip(&record.entries);
            objects.extend(entries.map(|(entry, read)| (entry.version.zone.clone(), read.zone)));
            zones.push(zone);
        }
        Ok(ReadPage { page: Page { id, zones: zones.into() }, objects })
    }

    /// Reads what was published once.
    pub(super) fn past(
        &self,
        (record, zones): (&Record, BTreeMap<&Name, &ZoneRecord>),
    ) -> Result<Past, Unread> {
        let shared = self.shared(&record.shared)?;
        let Event { generation, time, .. } = record.event;
        let mut kept = Kept { generation, time, ..Kept::new(shared) };
        for (name, zone) in zones {
            kept.zones.insert(name.clone(), Arc::new(self.zone_kept(zone)?));
        }
        Ok(Past { event: record.event.clone(), kept })
    }

    fn shared(&self, record: &SharedRecord) -> Result<Arc<Shared>, Unread> {
        let regions = Arc::new(self.texts(record.regions)?);
        let reading = record.reading.as_ref().map(|reading| reading.to_reading(&regions.path));
        Ok(Arc::new(Shared {
            config: Arc::new(self.texts(record.config)?),
            regions,
            map: self.map(record.map)?,
            fingerprint: record.fingerprint,
            reading,
            databases: record.databases.clone(),
        }))
    }

    fn zone_kept(&self, record: &ZoneRecord) -> Result<KeptZone, Unread> {
        // Versions that differ by their maps alone share a zone.
        let mut zones = Vec::new();
        let entries: Result<Vec<_>, _> =
            record.entries.iter().map(|entry| self.entry(entry, &mut zones)).collect();
        let timeline = Timeline::of_entries(entries?)
            .ok_or_else(|| "manifest: a zone has no version".to_owned())?;
        let scheduled = record.scheduled.as_ref().map(|scheduled| {
            Ok::<_, Unread>(Scheduled {
                tables: self.tables(&scheduled.tables)?,
                effective: scheduled.effective,
                begin: scheduled.begin,
            })
        });
        Ok(KeptZone {
            timeline: Arc::new(timeline),
            tables: self.tables(&record.tables)?,
            skipped: record.skipped.as_ref().map(|skipped| self.tables(skipped)).transpose()?,
            drained: Arc::new(record.drained.iter().cloned().collect()),
            scheduled: scheduled.transpose()?,
            serial: record.serial,
        })
    }

    fn entry(
        &self,
        record: &EntryRecord,
        zones: &mut Vec<(ObjectId, Arc<Zone>)>,
    ) -> Result<Entry, Unread> {
        let zone = self.zone(record.zone, zones)?;
        let version = Version::new(zone, self.map(record.map)?);
        Ok(Entry {
            version: Arc::new(version),
            published: record.published,
            wait: record.wait,
            spread: record.spread,
            immediate: record.immediate,
        })
    }

    fn zone(
        &self,
        id: ObjectId,
        zones: &mut Vec<(ObjectId, Arc<Zone>)>,
    ) -> Result<Arc<Zone>, Unread> {
        if let Some((_, zone)) = zones.iter().find(|(known, _)| *known == id) {
            return Ok(zone.clone());
        }
        let zone =
            Zone::from_octets(&self.octets(id)?).ok_or_else(|| format!("{id} is no zone"))?;
        let zone = Arc::new(zone);
        zones.push((id, zone.clone()));
        Ok(zone)
    }

    fn map(&self, id: ObjectId) -> Result<Arc<RegionMap>, Unread> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = maps.get(&id) {
            return Ok(map.clone());
        }
        let map = RegionMap::from_octets(&self.octets(id)?);
        let map = Arc::new(map.ok_or_else(|| format!("{id} is no region map"))?);
        maps.insert(id, map.clone());
        Ok(map)
    }

    fn tables(&self, record: &TablesRecord) -> Result<Arc<Tables>, Unread> {
        let tables = self.texts(record.texts)?;
        let reading = record.reading.as_ref().map(|reading| reading.to_reading(&tables.path));
        Ok(Arc::new(Tables { reading, ..tables }))
    }

    /// Returns tables of texts, which are left to the disk: that they can be
    /// read is seen now.
    fn texts(&self, id: ObjectId) -> Result<Tables, Unread> {
        let octets = self.octets(id)?;
        let (pack, place) = self.find(id)?;
        let tables = Tables::of_texts(Texts::on_disk(id, pack.piece(place)), &octets);
        Ok(tables.ok_or_else(|| format!("{id} is no table"))?)
    }

    fn octets(&self, id: ObjectId) -> Result<Vec<u8>, Unread> {
        let (pack, place) = self.find(id)?;
        let octets = pack.piece(place).read(id);
        octets.map_err(|error| Unread::of(&format!("{}.pack", place.pack), error))
    }

    fn find(&self, id: ObjectId) -> Result<(&Pack, Place), String> {
        let place = self.places.get(&id).ok_or_else(|| format!("object {id} is missing"))?;
        let pack = self.packs.get(&place.pack);
        Ok((pack.ok_or_else(|| format!("{}.pack is missing", place.pack))?, *place))
    }
}

//----------- Unread ---------------------------------------------------------

/// Why a state is not read.
pub(super) enum Unread {
    /// It is not what was written.
    Damaged(String),

    /// The system does not give it; it may be well.
    Failed(io::Error),
}

impl Unread {
    /// Says what the system said of a file.
    pub(super) fn of(file: &str, error: io::Error) -> Self {
        use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        match error.kind() {
            InvalidData | NotFound | UnexpectedEof => Unread::Damaged(format!("{file}: {error}")),
            _ => Unread::Failed(error),
        }
    }
}

impl From<String> for Unread {
    fn from(why: String) -> Self {
        Unread::Damaged(why)
    }
}
