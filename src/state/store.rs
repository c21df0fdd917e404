//! Reading and writing the state folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::history::{Event, History, Record};
use super::pack::{self, ObjectId, Place};
use super::{Drain, Kept, KeptZone, Past, Publication, Scheduled, Shared, Tables};
use crate::geo::{DatabaseSummary, RegionMap};
use crate::privileges;
use crate::snapshot::{Entry, Timeline, Version, Zone};
use crate::wire::Name;

/// What the first line of a manifest begins with: the format's number rises
/// when an older release could not read it.
const MAGIC: &str = "trunkdns state 2";

/// How many damaged states are left for people to look at.
const DAMAGED_MAX: usize = 3;

/// A pack is written anew when less than half of all packs is needed, and
/// more than this many octets are not.
const WASTE_MAX: u64 = 1 << 20;

//----------- State ----------------------------------------------------------

/// The state folder of a running server.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,

    /// Locked as long as it is open.
    _lock: File,

    /// Where the objects are that the manifest names.
    places: BTreeMap<ObjectId, Place>,

    /// The number of the next pack.
    next_pack: u64,

    /// What was published so far.
    history: History,

    zones: Ids<Zone>,
    maps: Ids<RegionMap>,
    tables: Ids<Tables>,
}

/// What a state folder held.
#[derive(Debug)]
pub enum Found {
    /// Nothing: it is new.
    Nothing,

    /// What was published last.
    Kept(Box<Kept>),

    /// What cannot be read.
    Damaged {
        /// Why.
        why: String,

        /// Where it was put.
        aside: PathBuf,
    },
}

impl State {
    /// Opens a state folder, which is made if need be, and reads what it
    /// holds.
    ///
    /// As long as the value lives, no other server can open the folder.
    pub fn open(folder: &Path) -> Result<(State, Found), Error> {
        let failed = |source| Error::Folder { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = lock(folder)?;
        let mut state = State {
            folder: folder.to_owned(),
            _lock: lock,
            places: BTreeMap::new(),
            next_pack: 1,
            history: History::default(),
            zones: Ids::default(),
            maps: Ids::default(),
            tables: Ids::default(),
        };
        let found = match state.read() {
            Ok(Some(kept)) => Found::Kept(Box::new(kept)),
            Ok(None) => Found::Nothing,
            Err(Unread::Failed(error)) => return Err(failed(error)),
            Err(Unread::Damaged(why)) => {
                state.places.clear();
                Found::Damaged { why, aside: set_aside(folder).map_err(failed)? }
            }
        };
        let packs = pack::list(folder).map_err(failed)?;
        state.next_pack = packs.last().map_or(1, |last| last + 1);
        Ok((state, found))
    }

    /// Writes what is published, so that a restart finds it, and remembers the
    /// publication if it is one.
    ///
    /// When this returns it is on the disk. Where it fails, what was written
    /// before is still there.
    pub fn save(&mut self, kept: &Kept, publication: Option<&Publication>) -> Result<(), Error> {
        let failed = |source| Error::Write { folder: self.folder.clone(), source };
        let mut draft = Draft::new(self);
        let manifest = draft.manifest(kept);
        let record = publication.map(|publication| self.record(kept, &manifest, publication));
        let since = publication.map_or(0, |publication| publication.keep_since);
        let history = record.map(|record| self.history.with(record, since));
        let remembered = history.as_ref().map_or(&self.history, |(history, _)| history);
        draft.gather(&manifest, remembered).map_err(failed)?;
        let Draft { places, objects, .. } = draft;
        let written = pack::write(&self.folder, self.next_pack, &objects)
            .and_then(|()| pack::sync(&self.folder))
            .and_then(|()| match &history {
                Some((history, anew)) => {
                    history.write(&self.folder, *anew || self.history.is_empty())
                }
                None => Ok(()),
            })
            .and_then(|()| write_manifest(&self.folder, &manifest, &places));
        // Where something failed, the manifest may name the pack all the
        // same: it stays, and the next one gets another number.
        self.next_pack += 1;
        written.map_err(failed)?;
        self.places = places;
        if let Some((history, _)) = history {
            self.history = history;
        }
        self.note_objects(kept, &manifest);
        // What is left over does no harm.
        let _ = remove_unused(&self.folder, &self.places);
        Ok(())
    }

    /// Returns what is to be remembered of a publication; the first one has
    /// all zones.
    fn record(&self, kept: &Kept, manifest: &Manifest, publication: &Publication) -> Record {
        let is_first = self.history.is_empty();
        let zones = kept.zones.keys().zip(&manifest.zones);
        let is_told = |name: &Name| is_first || publication.zones.contains(name);
        let told = zones.filter(|(name, _)| is_told(name));
        let told = told.map(|(name, zone)| (name.clone(), Some(zone.clone())));
        let gone = publication.zones.iter().filter(|name| !kept.zones.contains_key(name));
        let zones = told.chain(gone.map(|name| (name.clone(), None))).collect();
        let Publication { by, what, lines, .. } = publication;
        let event = Event {
            generation: kept.generation,
            time: kept.time,
            by: by.clone(),
            what: what.clone(),
            lines: lines.clone(),
        };
        Record { event, shared: manifest.shared.clone(), zones }
    }

    /// Returns what was published by a generation, or by the last one before
    /// it; none if that is not remembered. Without a number it is what was
    /// published before the last publication.
    pub fn published(&self, generation: Option<u64>) -> Option<Past> {
        let before = || self.history.events().nth_back(1).map(|event| event.generation);
        let last = self.history.events().next_back()?.generation;
        let wanted = generation.or_else(before).filter(|wanted| *wanted <= last)?;
        let past = self.history.state(|event| event.generation <= wanted)?;
        Reader::new(&self.folder, &self.places).past(past).ok()
    }

    /// Returns the publications that are remembered, oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.history.events()
    }

    /// Notes which generation is served.
    ///
    /// Where that fails, or is lost with the system, a restart takes it for
    /// one that was not, which costs time and nothing else.
    pub fn note_served(&self, generation: u64) {
        let _ = fs::write(self.folder.join("served"), generation.to_string());
    }

    /// Returns the generation that is known to have been served.
    pub fn served(&self) -> Option<u64> {
        fs::read_to_string(self.folder.join("served")).ok()?.trim().parse().ok()
    }

    /// Reads what the manifest names; nothing if there is none.
    fn read(&mut self) -> Result<Option<Kept>, Unread> {
        let text = match fs::read_to_string(self.folder.join("manifest")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Unread::of("manifest", error)),
        };
        let (manifest, places) = parse_manifest(&text)?;
        self.places = places;
        let kept = Reader::new(&self.folder, &self.places).kept(&manifest)?;
        self.history = History::read(&self.folder, manifest.generation);
        self.note_objects(&kept, &manifest);
        Ok(Some(kept))
    }

    /// Remembers which objects the values in memory are.
    fn note_objects(&mut self, kept: &Kept, manifest: &Manifest) {
        self.zones.forget_dropped();
        self.maps.forget_dropped();
        self.tables.forget_dropped();
        self.tables.note(&kept.shared.config, manifest.shared.config);
        self.tables.note(&kept.shared.regions, manifest.shared.regions);
        self.maps.note(&kept.shared.map, manifest.shared.map);
        for (zone, written) in kept.zones.values().zip(&manifest.zones) {
            self.tables.note(&zone.tables, written.tables);
            if let (Some(scheduled), Some(written)) = (&zone.scheduled, &written.scheduled) {
                self.tables.note(&scheduled.tables, written.tables);
            }
            for (entry, written) in zone.timeline.entries().iter().zip(&written.entries) {
                self.zones.note(&entry.version.zone, written.zone);
                self.maps.note(&entry.version.map, written.map);
            }
        }
    }
}

/// Why a state is not read.
enum Unread {
    /// It is not what was written.
    Damaged(String),

    /// The system does not give it; it may be well.
    Failed(io::Error),
}

impl Unread {
    fn of(file: &str, error: io::Error) -> Self {
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

/// Says whether a folder holds a state that a server would begin with; the
/// objects are not read.
pub fn has_last_good(folder: &Path) -> bool {
    let text = fs::read_to_string(folder.join("manifest"));
    text.is_ok_and(|text| parse_manifest(&text).is_ok())
}

/// Reads what a folder holds without becoming its server, which may be running.
pub fn peek(folder: &Path) -> Option<Kept> {
    let read = || {
        let text = fs::read_to_string(folder.join("manifest")).ok()?;
        let (manifest, places) = parse_manifest(&text).ok()?;
        Reader::new(folder, &places).kept(&manifest).ok()
    };
    // A server that publishes meanwhile removes packs that its new manifest
    // does not name.
    read().or_else(read)
}

/// Returns the publications that a folder remembers, oldest first, without
/// becoming its server.
pub fn events(folder: &Path) -> Vec<Event> {
    History::read(folder, u64::MAX).events().cloned().collect()
}

/// Returns what a folder's server had published at a time, in seconds since
/// the Unix epoch, without becoming its server; none if that is not
/// remembered. Only zones that `is_wanted` are read.
pub fn recall(folder: &Path, time: u64, is_wanted: impl Fn(&Name) -> bool) -> Option<Past> {
    let read = || {
        let text = fs::read_to_string(folder.join("manifest")).ok()?;
        let (manifest, places) = parse_manifest(&text).ok()?;
        let history = History::read(folder, manifest.generation);
        let (record, mut zones) = history.state(|event| event.time <= time)?;
        zones.retain(|name, _| is_wanted(name));
        Reader::new(folder, &places).past((record, zones)).ok()
    };
    // As for `peek`.
    read().or_else(read)
}

fn lock(folder: &Path) -> Result<File, Error> {
    let failed = |source| Error::Folder { folder: folder.to_owned(), source };
    // Opened for reading if need be: a full or write-protected disk must not
    // keep a server from what it holds.
    let path = folder.join("lock");
    let lock = File::options().create(true).append(true).open(&path);
    let lock = lock.or_else(|error| File::open(&path).map_err(|_| error)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Moves what cannot be read out of the way; returns where it is.
fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = (0..).map(|again| format!("damaged-{}-{again}", now.as_secs()));
    let aside = name.map(|name| folder.join(name)).find(|path| !path.exists());
    let aside = aside.unwrap_or_else(|| folder.join("damaged"));
    fs::create_dir(&aside)?;
    for pack in pack::list(folder)? {
        fs::rename(pack::path(folder, pack), pack::path(&aside, pack))?;
    }
    // Last: without it there is nothing to read.
    fs::rename(folder.join("manifest"), aside.join("manifest"))?;
    let mut damaged: Vec<_> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"damaged-"))
        })
        .collect();
    damaged.sort();
    for old in damaged.iter().rev().skip(DAMAGED_MAX) {
        fs::remove_dir_all(old)?;
    }
    Ok(aside)
}

/// Removes packs that the manifest does not name.
fn remove_unused(folder: &Path, places: &BTreeMap<ObjectId, Place>) -> io::Result<()> {
    let used: BTreeSet<u64> = places.values().map(|place| place.pack).collect();
    for pack in pack::list(folder)?.into_iter().filter(|pack| !used.contains(pack)) {
        fs::remove_file(pack::path(folder, pack))?;
    }
    Ok(())
}

//----------- Manifest -------------------------------------------------------

/// What is published, by the names of objects.
#[derive(Debug, Deserialize, Serialize)]
struct Manifest {
    generation: u64,
    time: u64,
    shared: SharedRecord,
    skipped: Option<[u8; 32]>,
    zones: Vec<ZoneRecord>,
    drains: Vec<(Name, Drain)>,
    removed: Vec<(Name, u32)>,
}

/// What all zones share.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct SharedRecord {
    config: ObjectId,
    regions: ObjectId,
    map: ObjectId,
    fingerprint: Option<[u8; 32]>,
    databases: Vec<DatabaseSummary>,
}

/// A zone.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ZoneRecord {
    tables: ObjectId,
    skipped: Option<ObjectId>,
    drained: Vec<Name>,
    serial: u32,
    scheduled: Option<ScheduledRecord>,
    entries: Vec<EntryRecord>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ScheduledRecord {
    tables: ObjectId,
    effective: u64,
    begin: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct EntryRecord {
    zone: ObjectId,
    map: ObjectId,
    published: u64,
    wait: u32,
    spread: u32,
    immediate: bool,
}

/// Puts a manifest in the place of the one before.
///
/// The first line holds a digest of the rest.
fn write_manifest(
    folder: &Path,
    manifest: &Manifest,
    places: &BTreeMap<ObjectId, Place>,
) -> io::Result<()> {
    let body = serde_json::to_string(&(manifest, places))?;
    let digest = ObjectId::of(body.as_bytes());
    let new = folder.join("manifest.new");
    let mut file = File::create(&new)?;
    file.write_all(format!("{MAGIC} {digest}\n{body}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(new, folder.join("manifest"))?;
    pack::sync(folder)
}

fn parse_manifest(text: &str) -> Result<(Manifest, BTreeMap<ObjectId, Place>), String> {
    let (head, body) = text.split_once('\n').ok_or("manifest: it has no second line")?;
    let digest = head
        .strip_prefix(MAGIC)
        .ok_or_else(|| format!("manifest: it does not begin with `{MAGIC}`"))?;
    let body = body.trim_end_matches('\n');
    if digest.trim() != ObjectId::of(body.as_bytes()).to_string() {
        return Err("manifest: it is not what was written".into());
    }
    serde_json::from_str(body).map_err(|error| format!("manifest: {error}"))
}

//----------- Draft ----------------------------------------------------------

/// What is about to be written.
struct Draft<'s> {
    state: &'s State,

    /// Where objects are, or will be.
    places: BTreeMap<ObjectId, Place>,

    /// The objects of the next pack.
    objects: Vec<Vec<u8>>,

    /// The length of the next pack so far, in octets.
    len: u64,

    /// What has been added, by the address of the value: all zones share a
    /// map, which is to be written once.
    added: HashMap<usize, ObjectId>,
}

impl<'s> Draft<'s> {
    fn new(state: &'s State) -> Self {
        let (places, added) = (state.places.clone(), HashMap::new());
        Draft { state, places, objects: Vec::new(), len: 0, added }
    }

    fn manifest(&mut self, kept: &Kept) -> Manifest {
        let shared = &kept.shared;
        let shared = SharedRecord {
            config: self.tables(&shared.config),
            regions: self.tables(&shared.regions),
            map: self.map(&shared.map),
            fingerprint: shared.fingerprint,
            databases: shared.databases.clone(),
        };
        Manifest {
            generation: kept.generation,
            time: kept.time,
            shared,
            skipped: kept.skipped,
            zones: kept.zones.values().map(|zone| self.zone_record(zone)).collect(),
            drains: kept.drains.iter().map(|(name, drain)| (name.clone(), drain.clone())).collect(),
            removed: kept.removed.iter().map(|(name, serial)| (name.clone(), *serial)).collect(),
        }
    }

    fn zone_record(&mut self, zone: &KeptZone) -> ZoneRecord {
        let entries = zone.timeline.entries().iter().map(|entry| EntryRecord {
            zone: self.zone(&entry.version.zone),
            map: self.map(&entry.version.map),
            published: entry.published,
            wait: entry.wait,
            spread: entry.spread,
            immediate: entry.immediate,
        });
        ZoneRecord {
            entries: entries.collect(),
            tables: self.tables(&zone.tables),
            skipped: zone.skipped.as_ref().map(|skipped| self.tables(skipped)),
            drained: zone.drained.iter().cloned().collect(),
            serial: zone.serial,
            scheduled: zone.scheduled.as_ref().map(|scheduled| ScheduledRecord {
                tables: self.tables(&scheduled.tables),
                effective: scheduled.effective,
                begin: scheduled.begin,
            }),
        }
    }

    fn zone(&mut self, zone: &Arc<Zone>) -> ObjectId {
        let known = self.state.zones.find(zone);
        known.unwrap_or_else(|| self.add(zone, Zone::to_octets))
    }

    fn map(&mut self, map: &Arc<RegionMap>) -> ObjectId {
        let known = self.state.maps.find(map);
        known.unwrap_or_else(|| self.add(map, RegionMap::to_octets))
    }

    fn tables(&mut self, tables: &Arc<Tables>) -> ObjectId {
        let known = self.state.tables.find(tables);
        known.unwrap_or_else(|| self.add(tables, Tables::to_octets))
    }

    fn add<T>(&mut self, value: &Arc<T>, to_octets: impl Fn(&T) -> Vec<u8>) -> ObjectId {
        let address = Arc::as_ptr(value).addr();
        if let Some(id) = self.added.get(&address) {
            return *id;
        }
        let octets = to_octets(value);
        let id = ObjectId::of(&octets);
        if !self.places.contains_key(&id) {
            self.put(id, octets);
        }
        self.added.insert(address, id);
        id
    }

    fn put(&mut self, id: ObjectId, octets: Vec<u8>) {
        let len = octets.len() as u64;
        self.places.insert(id, Place { pack: self.state.next_pack, start: self.len, len });
        self.objects.push(octets);
        self.len += len;
    }

    /// Forgets objects that are not needed any more, and brings all others
    /// together where the packs have become too large for them.
    fn gather(&mut self, manifest: &Manifest, history: &History) -> io::Result<()> {
        let mut needed = manifest.objects();
        needed.extend(history.objects());
        let size = |places: &BTreeMap<ObjectId, Place>| -> u64 {
            places.values().map(|place| place.len).sum()
        };
        self.places.retain(|id, _| needed.contains(id));
        let live = size(&self.places);
        let packs: BTreeSet<u64> = self.places.values().map(|place| place.pack).collect();
        let old = packs.iter().filter(|pack| **pack != self.state.next_pack);
        let on_disk: u64 = old
            .filter_map(|pack| fs::metadata(pack::path(&self.state.folder, *pack)).ok())
            .map(|metadata| metadata.len())
            .sum();
        let waste = (on_disk + self.len).saturating_sub(live);
        if waste <= WASTE_MAX.max(live) {
            return Ok(());
        }
        let places = self.places.clone();
        for (id, place) in places.iter().filter(|(_, place)| place.pack != self.state.next_pack) {
            let octets = place.read(&self.state.folder, *id)?;
            self.put(*id, octets);
        }
        Ok(())
    }
}

impl Manifest {
    /// Returns every object that is named.
    fn objects(&self) -> BTreeSet<ObjectId> {
        let zones = self.zones.iter().flat_map(ZoneRecord::objects);
        self.shared.objects().into_iter().chain(zones).collect()
    }
}

impl SharedRecord {
    /// Returns every object that is named.
    pub(super) fn objects(&self) -> [ObjectId; 3] {
        [self.config, self.regions, self.map]
    }
}

impl ZoneRecord {
    /// Returns every object that is named.
    pub(super) fn objects(&self) -> impl Iterator<Item = ObjectId> {
        let scheduled = self.scheduled.iter().map(|scheduled| scheduled.tables);
        let tables = [self.tables].into_iter().chain(self.skipped).chain(scheduled);
        tables.chain(self.entries.iter().flat_map(|entry| [entry.zone, entry.map]))
    }
}

//----------- Reader ---------------------------------------------------------

/// Reads objects, each once.
struct Reader<'s> {
    folder: &'s Path,
    places: &'s BTreeMap<ObjectId, Place>,
    zones: BTreeMap<ObjectId, Arc<Zone>>,
    maps: BTreeMap<ObjectId, Arc<RegionMap>>,
}

impl<'s> Reader<'s> {
    fn new(folder: &'s Path, places: &'s BTreeMap<ObjectId, Place>) -> Self {
        Reader { folder, places, zones: BTreeMap::new(), maps: BTreeMap::new() }
    }

    fn kept(&mut self, manifest: &Manifest) -> Result<Kept, Unread> {
        let shared = self.shared(&manifest.shared)?;
        let mut zones = BTreeMap::new();
        for record in &manifest.zones {
            let zone = self.zone_kept(record)?;
            let origin = zone.timeline.newest().zone.origin().clone();
            zones.insert(origin, Arc::new(zone));
        }
        let removed = manifest.removed.iter().cloned().collect();
        let drains = manifest.drains.iter().cloned().collect();
        let (generation, time) = (manifest.generation, manifest.time);
        let skipped = manifest.skipped;
        Ok(Kept { generation, time, shared, skipped, zones, drains, removed })
    }

    /// Reads what was published once.
    fn past(
        &mut self,
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

    fn shared(&mut self, record: &SharedRecord) -> Result<Arc<Shared>, Unread> {
        Ok(Arc::new(Shared {
            config: self.tables(record.config)?,
            regions: self.tables(record.regions)?,
            map: self.map(record.map)?,
            fingerprint: record.fingerprint,
            databases: record.databases.clone(),
        }))
    }

    fn zone_kept(&mut self, record: &ZoneRecord) -> Result<KeptZone, Unread> {
        let entries: Result<Vec<_>, _> =
            record.entries.iter().map(|entry| self.entry(entry)).collect();
        let timeline = Timeline::of_entries(entries?)
            .ok_or_else(|| "manifest: a zone has no version".to_owned())?;
        let scheduled = record.scheduled.as_ref().map(|scheduled| {
            Ok::<_, Unread>(Scheduled {
                tables: self.tables(scheduled.tables)?,
                effective: scheduled.effective,
                begin: scheduled.begin,
            })
        });
        Ok(KeptZone {
            timeline: Arc::new(timeline),
            tables: self.tables(record.tables)?,
            skipped: record.skipped.map(|skipped| self.tables(skipped)).transpose()?,
            drained: Arc::new(record.drained.iter().cloned().collect()),
            scheduled: scheduled.transpose()?,
            serial: record.serial,
        })
    }

    fn entry(&mut self, record: &EntryRecord) -> Result<Entry, Unread> {
        let version = Version::new(self.zone(record.zone)?, self.map(record.map)?);
        Ok(Entry {
            version: Arc::new(version),
            published: record.published,
            wait: record.wait,
            spread: record.spread,
            immediate: record.immediate,
        })
    }

    fn zone(&mut self, id: ObjectId) -> Result<Arc<Zone>, Unread> {
        if let Some(zone) = self.zones.get(&id) {
            return Ok(zone.clone());
        }
        let zone =
            Zone::from_octets(&self.octets(id)?).ok_or_else(|| format!("{id} is no zone"))?;
        Ok(self.zones.entry(id).or_insert(Arc::new(zone)).clone())
    }

    fn map(&mut self, id: ObjectId) -> Result<Arc<RegionMap>, Unread> {
        if let Some(map) = self.maps.get(&id) {
            return Ok(map.clone());
        }
        let map = RegionMap::from_octets(&self.octets(id)?);
        let map = map.ok_or_else(|| format!("{id} is no region map"))?;
        Ok(self.maps.entry(id).or_insert(Arc::new(map)).clone())
    }

    fn tables(&self, id: ObjectId) -> Result<Arc<Tables>, Unread> {
        let tables = Tables::from_octets(&self.octets(id)?);
        Ok(tables.map(Arc::new).ok_or_else(|| format!("{id} is no table"))?)
    }

    fn octets(&self, id: ObjectId) -> Result<Vec<u8>, Unread> {
        let place = self.places.get(&id).ok_or_else(|| format!("object {id} is missing"))?;
        place
            .read(self.folder, id)
            .map_err(|error| Unread::of(&format!("{}.pack", place.pack), error))
    }
}

//----------- Tables ---------------------------------------------------------

impl Tables {
    /// Returns the tables in the form in which they are kept. Paths need not
    /// be UTF-8.
    fn to_octets(&self) -> Vec<u8> {
        let files: Vec<_> =
            self.files.iter().map(|(path, text)| (path.as_os_str().as_bytes(), &**text)).collect();
        let all = (self.path.as_os_str().as_bytes(), files);
        postcard::to_stdvec(&all).expect("plain lists can be written")
    }

    fn from_octets(octets: &[u8]) -> Option<Self> {
        let path = |octets: Vec<u8>| PathBuf::from(OsString::from_vec(octets));
        let (place, files): (Vec<u8>, Vec<(Vec<u8>, String)>) =
            postcard::from_bytes(octets).ok()?;
        let files = files.into_iter().map(|(name, text)| (path(name), text.into())).collect();
        Some(Tables { path: path(place), files })
    }
}

//----------- Ids ------------------------------------------------------------

/// Which objects values in memory are.
///
/// Writing a value to find out would take longer than writing what changed.
#[derive(Debug)]
struct Ids<T> {
    /// By the value's address, which is its own as long as it lives.
    known: HashMap<usize, (Weak<T>, ObjectId)>,
}

impl<T> Ids<T> {
    fn find(&self, value: &Arc<T>) -> Option<ObjectId> {
        let (known, id) = self.known.get(&Arc::as_ptr(value).addr())?;
        // Another value may live where a dropped one did.
        known.upgrade().filter(|known| Arc::ptr_eq(known, value)).map(|_| *id)
    }

    fn note(&mut self, value: &Arc<T>, id: ObjectId) {
        self.known.insert(Arc::as_ptr(value).addr(), (Arc::downgrade(value), id));
    }

    fn forget_dropped(&mut self) {
        self.known.retain(|_, (value, _)| value.strong_count() > 0);
    }
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Ids { known: HashMap::new() }
    }
}

//============ Errors ========================================================

/// Why the state folder cannot be used.
#[derive(Debug)]
pub enum Error {
    /// The folder cannot be made, read or locked.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// Another server uses it.
    Locked {
        /// The folder.
        folder: PathBuf,
    },

    /// What is published cannot be written.
    Write {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Folder { folder, source } => {
                write!(
                    f,
                    "cannot use the state folder {} ([server] state): {}",
                    folder.display(),
                    privileges::explain_write(folder, source)
                )
            }
            Error::Locked { folder } => write!(
                f,
                "another server uses the state folder {} ([server] state): stop it, or give this \
                 one a folder of its own",
                folder.display()
            ),
            Error::Write { folder, source } => {
                let why = privileges::explain_write(folder, source);
                write!(f, "cannot write to the state folder {}: {why}", folder.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Folder { source, .. } | Error::Write { source, .. } => Some(source),
            Error::Locked { .. } => None,
        }
    }
}
