//! Reading and writing the state folder.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::history::{Event, History, Record};
use super::pack::{self, ObjectId, Pack, Place, Writer};
use super::tables::Texts;
use super::{Drain, Kept, KeptZone, Past, Publication, Reading, Scheduled, Shared, Tables};
use crate::diag::{Look, Trace};
use crate::geo::{DatabaseSummary, RegionMap};
use crate::parallel;
use crate::privileges;
use crate::snapshot::{Entry, Timeline, Version, Zone};
use crate::wire::Name;

/// What a manifest begins with: the format's number rises when an older
/// release could not read it.
const MAGIC: &str = "trunkdns state 3";

/// How many damaged states are left for people to look at.
const DAMAGED_MAX: usize = 3;

/// A pack is written anew when less than half of it is needed, and more than
/// this many octets are not.
const WASTE_MAX: u64 = 1 << 20;

/// The most packs; one more, and those shorter than [`SMALL`] become one.
const PACKS_MAX: usize = 16;

/// How long a pack is that is small, in octets: writing it again takes some
/// milliseconds.
const SMALL: u64 = 4 << 20;

//----------- State ----------------------------------------------------------

/// The state folder of a running server.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,

    /// Locked as long as it is open.
    _lock: File,

    /// Where the objects are that the manifest names.
    places: Places,

    /// The packs that hold them.
    packs: Packs,

    /// The number of the next pack.
    next_pack: u64,

    /// What was published so far.
    history: History,

    zones: Ids<Zone>,
    maps: Ids<RegionMap>,
}

/// Where objects are.
type Places = FxHashMap<ObjectId, Place>;

/// Packs by their numbers.
type Packs = BTreeMap<u64, Pack>;

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
            places: Places::default(),
            packs: Packs::new(),
            next_pack: 1,
            history: History::default(),
            zones: Ids::default(),
            maps: Ids::default(),
        };
        let found = match state.read() {
            Ok(Some(kept)) => Found::Kept(Box::new(kept)),
            Ok(None) => Found::Nothing,
            Err(Unread::Failed(error)) => return Err(failed(error)),
            Err(Unread::Damaged(why)) => {
                state.places.clear();
                state.packs.clear();
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
        // Where something fails, the manifest may name the pack all the same:
        // it stays, and the next one gets another number.
        let number = self.next_pack;
        self.next_pack += 1;
        let written = self.write(kept, publication, number);
        let folder = &self.folder;
        let Written { manifest, history, places, packs } =
            written.map_err(|source| Error::Write { folder: folder.clone(), source })?;
        (self.places, self.packs) = (places, packs);
        if let Some(history) = history {
            self.history = history;
        }
        self.note_objects(kept, &manifest);
        // What is left over does no harm.
        let _ = remove_unused(&self.folder, &self.packs);
        Ok(())
    }

    /// Writes what is new, and a manifest that names it.
    fn write(
        &self,
        kept: &Kept,
        publication: Option<&Publication>,
        number: u64,
    ) -> io::Result<Written> {
        let mut draft = Draft::new(self, number);
        let manifest = draft.manifest(kept)?;
        let record = publication.map(|publication| self.record(kept, &manifest, publication));
        let since = publication.map_or(0, |publication| publication.keep_since);
        let (history, anew) = record.map(|record| self.history.with(record, since)).unzip();
        for id in history.as_ref().unwrap_or(&self.history).objects() {
            draft.keep(id);
        }
        draft.gather()?;
        let Draft { places, writer, .. } = draft;
        let mut packs = self.packs.clone();
        packs.extend(writer.finish()?);
        let used = lengths(&places);
        packs.retain(|pack, _| used.contains_key(pack));
        if let Some(history) = &history {
            history.write(&self.folder, anew == Some(true) || self.history.is_empty())?;
        }
        write_manifest(&self.folder, &manifest, &places)?;
        Ok(Written { manifest, history, places, packs })
    }

    /// Returns what is to be remembered of a publication; the first one has
    /// all zones.
    fn record(&self, kept: &Kept, manifest: &Manifest, publication: &Publication) -> Record {
        let is_first = self.history.is_empty();
        let zones = kept.zones.keys().zip(&manifest.zones);
        let is_told = |name: &Name| is_first || publication.zones.contains(name);
        let told = zones.filter(|(name, _)| is_told(name));
        let told = told.map(|(name, zone)| (name.clone(), Some(zone.without_readings())));
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
        let shared = SharedRecord { reading: None, ..manifest.shared.clone() };
        Record { event, shared, zones }
    }

    /// Returns what was published by a generation, or by the last one before
    /// it; none if that is not remembered. Without a number it is what was
    /// published before the last publication.
    pub fn published(&self, generation: Option<u64>) -> Option<Past> {
        let before = || self.history.events().nth_back(1).map(|event| event.generation);
        let last = self.history.events().next_back()?.generation;
        let wanted = generation.or_else(before).filter(|wanted| *wanted <= last)?;
        let past = self.history.state(|event| event.generation <= wanted)?;
        Reader { places: &self.places, packs: self.packs.clone(), maps: Mutex::default() }
            .past(past)
            .ok()
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
        let octets = match fs::read(self.folder.join("manifest")) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Unread::of("manifest", error)),
        };
        let (manifest, places) = parse_manifest(&octets)?;
        let reader = Reader::new(&self.folder, &places)?;
        let kept = reader.kept(&manifest)?;
        self.packs = reader.packs;
        self.places = places;
        self.history = History::read(&self.folder, manifest.generation);
        self.note_objects(&kept, &manifest);
        Ok(Some(kept))
    }

    /// Remembers which objects the values in memory are, and leaves texts to
    /// the disk.
    fn note_objects(&mut self, kept: &Kept, manifest: &Manifest) {
        self.zones.forget_dropped();
        self.maps.forget_dropped();
        self.leave_to_disk(&kept.shared.config);
        self.leave_to_disk(&kept.shared.regions);
        self.maps.note(&kept.shared.map, manifest.shared.map);
        for (zone, written) in kept.zones.values().zip(&manifest.zones) {
            self.leave_to_disk(&zone.tables);
            if let Some(scheduled) = &zone.scheduled {
                self.leave_to_disk(&scheduled.tables);
            }
            for (entry, written) in zone.timeline.entries().iter().zip(&written.entries) {
                self.zones.note(&entry.version.zone, written.zone);
                self.maps.note(&entry.version.map, written.map);
            }
        }
    }

    fn leave_to_disk(&self, tables: &Tables) {
        let place = self.places.get(&tables.texts.id);
        let pack = place.and_then(|place| Some((self.packs.get(&place.pack)?, place)));
        if let Some((pack, place)) = pack {
            tables.texts.leave_to(pack.piece(*place));
        }
    }
}

/// What was written.
struct Written {
    manifest: Manifest,

    /// Where it was added to.
    history: Option<History>,

    places: Places,
    packs: Packs,
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
    let octets = fs::read(folder.join("manifest"));
    octets.is_ok_and(|octets| parse_manifest(&octets).is_ok())
}

/// Reads what a folder holds without becoming its server, which may be running.
pub fn peek(folder: &Path) -> Option<Kept> {
    let read = || {
        let octets = fs::read(folder.join("manifest")).ok()?;
        let (manifest, places) = parse_manifest(&octets).ok()?;
        Reader::new(folder, &places).ok()?.kept(&manifest).ok()
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
        let octets = fs::read(folder.join("manifest")).ok()?;
        let (manifest, places) = parse_manifest(&octets).ok()?;
        let history = History::read(folder, manifest.generation);
        let (record, mut zones) = history.state(|event| event.time <= time)?;
        zones.retain(|name, _| is_wanted(name));
        Reader::new(folder, &places).ok()?.past((record, zones)).ok()
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
fn remove_unused(folder: &Path, used: &Packs) -> io::Result<()> {
    for pack in pack::list(folder)?.into_iter().filter(|pack| !used.contains_key(pack)) {
        fs::remove_file(pack::path(folder, pack))?;
    }
    Ok(())
}

/// Returns how many octets of each pack are needed.
fn lengths(places: &Places) -> BTreeMap<u64, u64> {
    let mut lengths = BTreeMap::new();
    for place in places.values() {
        *lengths.entry(place.pack).or_default() += place.len;
    }
    lengths
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
    reading: Option<ReadingRecord>,
    databases: Vec<DatabaseSummary>,
}

/// A zone.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ZoneRecord {
    tables: TablesRecord,
    skipped: Option<TablesRecord>,
    drained: Vec<Name>,
    serial: u32,
    scheduled: Option<ScheduledRecord>,
    entries: Vec<EntryRecord>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ScheduledRecord {
    tables: TablesRecord,
    effective: u64,
    begin: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct TablesRecord {
    texts: ObjectId,
    reading: Option<ReadingRecord>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ReadingRecord {
    at: u64,
    context: ObjectId,
    effective: Option<u64>,

    /// Paths, relative to that of the tables where they are below it, and what
    /// was there.
    looks: Vec<(Vec<u8>, Trace)>,
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
fn write_manifest(folder: &Path, manifest: &Manifest, places: &Places) -> io::Result<()> {
    let places: BTreeMap<_, _> = places.iter().collect();
    let body = postcard::to_stdvec(&(manifest, places)).expect("plain lists can be written");
    let digest = ObjectId::of(&body);
    let new = folder.join("manifest.new");
    let mut file = File::create(&new)?;
    file.write_all(format!("{MAGIC} {digest}\n").as_bytes())?;
    file.write_all(&body)?;
    file.sync_all()?;
    fs::rename(new, folder.join("manifest"))?;
    pack::sync(folder)
}

fn parse_manifest(octets: &[u8]) -> Result<(Manifest, Places), String> {
    let end = octets.iter().position(|octet| *octet == b'\n');
    let (head, body) = octets.split_at(end.ok_or("manifest: it has no second line")?);
    let digest = head
        .strip_prefix(MAGIC.as_bytes())
        .ok_or_else(|| format!("manifest: it does not begin with `{MAGIC}`"))?;
    let body = &body[1..];
    if *digest != *format!(" {}", ObjectId::of(body)).as_bytes() {
        return Err("manifest: it is not what was written".into());
    }
    postcard::from_bytes(body).map_err(|error| format!("manifest: {error}"))
}

//----------- Draft ----------------------------------------------------------

/// What is about to be written.
struct Draft<'s> {
    state: &'s State,

    /// Where the objects are that the manifest names, or will be.
    places: Places,

    /// The next pack.
    writer: Writer<'s>,

    /// What has been added, by the address of the value: all zones share a
    /// map, which is to be written once.
    added: FxHashMap<usize, ObjectId>,
}

impl<'s> Draft<'s> {
    fn new(state: &'s State, pack: u64) -> Self {
        let (places, added) = Default::default();
        Draft { state, places, writer: Writer::new(&state.folder, pack), added }
    }

    fn manifest(&mut self, kept: &Kept) -> io::Result<Manifest> {
        let shared = &kept.shared;
        let shared = SharedRecord {
            config: self.tables(&shared.config)?.texts,
            regions: self.tables(&shared.regions)?.texts,
            map: self.map(&shared.map)?,
            fingerprint: shared.fingerprint,
            reading: shared
                .reading
                .as_ref()
                .map(|reading| ReadingRecord::new(&shared.regions.path, reading)),
            databases: shared.databases.clone(),
        };
        let zones = kept.zones.values().map(|zone| self.zone_record(zone));
        Ok(Manifest {
            generation: kept.generation,
            time: kept.time,
            shared,
            skipped: kept.skipped,
            zones: zones.collect::<io::Result<_>>()?,
            drains: kept.drains.iter().map(|(name, drain)| (name.clone(), drain.clone())).collect(),
            removed: kept.removed.iter().map(|(name, serial)| (name.clone(), *serial)).collect(),
        })
    }

    fn zone_record(&mut self, zone: &KeptZone) -> io::Result<ZoneRecord> {
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
        let known = self.state.zones.find(zone);
        self.value(zone, known, Zone::to_octets)
    }

    fn map(&mut self, map: &Arc<RegionMap>) -> io::Result<ObjectId> {
        let known = self.state.maps.find(map);
        self.value(map, known, RegionMap::to_octets)
    }

    fn tables(&mut self, tables: &Tables) -> io::Result<TablesRecord> {
        let id = tables.texts.id;
        if !self.keep(id) {
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
        if let Some(id) = known.filter(|id| self.keep(*id)) {
            return Ok(id);
        }
        let octets = to_octets(value);
        let id = ObjectId::of(&octets);
        if !self.keep(id) {
            self.add(id, &octets)?;
        }
        self.added.insert(address, id);
        Ok(id)
    }

    /// Goes on with an object that is on the disk; says whether it is.
    fn keep(&mut self, id: ObjectId) -> bool {
        let known = self.state.places.get(&id);
        self.places.contains_key(&id)
            || known.is_some_and(|place| self.places.insert(id, *place).is_none())
    }

    fn add(&mut self, id: ObjectId, octets: &[u8]) -> io::Result<()> {
        let place = self.writer.add(octets)?;
        self.places.insert(id, place);
        Ok(())
    }

    /// Writes objects again of packs that hold little else of use, and of many
    /// small ones.
    fn gather(&mut self) -> io::Result<()> {
        let state = self.state;
        let used = lengths(&self.places);
        let packs = state.packs.iter().filter(|(pack, _)| used.contains_key(pack));
        let are_many = packs.clone().count() >= PACKS_MAX;
        let is_spent = |(number, pack): &(&u64, &Pack)| {
            let waste = pack.len.saturating_sub(used[*number]);
            waste > WASTE_MAX.max(used[*number]) || are_many && pack.len < SMALL
        };
        let spent: FxHashMap<u64, &Pack> =
            packs.filter(is_spent).map(|(number, pack)| (*number, pack)).collect();
        for (id, place) in &mut self.places {
            if let Some(pack) = spent.get(&place.pack) {
                *place = self.writer.add(&pack.piece(*place).read(*id)?)?;
            }
        }
        Ok(())
    }
}

impl ReadingRecord {
    fn new(folder: &Path, reading: &Reading) -> Self {
        let path = |look: &Look| {
            let path = look.path.strip_prefix(folder).unwrap_or(&look.path);
            path.as_os_str().as_bytes().to_vec()
        };
        let looks = reading.looks.iter().map(|look| (path(look), look.trace));
        let Reading { at, context, effective, .. } = *reading;
        ReadingRecord { at, context, effective, looks: looks.collect() }
    }

    fn to_reading(&self, folder: &Path) -> Reading {
        // What is not relative takes the folder's place.
        let looks = self.looks.iter().map(|(path, trace)| Look {
            path: folder.join(OsStr::from_bytes(path)).into(),
            trace: *trace,
        });
        let ReadingRecord { at, context, effective, .. } = *self;
        Reading { at, context, effective, looks: looks.collect() }
    }
}

impl SharedRecord {
    /// Returns every object that is named.
    pub(super) fn objects(&self) -> [ObjectId; 3] {
        [self.config, self.regions, self.map]
    }
}

impl ZoneRecord {
    /// Returns it without what files looked like, which tells nothing of the
    /// past.
    fn without_readings(&self) -> Self {
        let mut record = self.clone();
        let scheduled = record.scheduled.iter_mut().map(|scheduled| &mut scheduled.tables);
        let tables = [&mut record.tables].into_iter().chain(&mut record.skipped);
        tables.chain(scheduled).for_each(|tables| tables.reading = None);
        record
    }

    /// Returns every object that is named.
    pub(super) fn objects(&self) -> impl Iterator<Item = ObjectId> {
        let scheduled = self.scheduled.iter().map(|scheduled| &scheduled.tables);
        let tables = [&self.tables].into_iter().chain(&self.skipped).chain(scheduled);
        let texts = tables.map(|tables| tables.texts);
        texts.chain(self.entries.iter().flat_map(|entry| [entry.zone, entry.map]))
    }
}

//----------- Reader ---------------------------------------------------------

/// Reads objects.
struct Reader<'p> {
    places: &'p Places,
    packs: Packs,

    /// The maps, each read once.
    maps: Mutex<FxHashMap<ObjectId, Arc<RegionMap>>>,
}

impl<'p> Reader<'p> {
    fn new(folder: &Path, places: &'p Places) -> Result<Self, Unread> {
        let mut packs = Packs::new();
        for number in lengths(places).into_keys() {
            let pack = Pack::open(folder, number);
            let pack = pack.map_err(|error| Unread::of(&format!("{number}.pack"), error))?;
            packs.insert(number, pack);
        }
        Ok(Reader { places, packs, maps: Mutex::default() })
    }

    fn kept(&self, manifest: &Manifest) -> Result<Kept, Unread> {
        let shared = self.shared(&manifest.shared)?;
        let mut zones = BTreeMap::new();
        for zone in parallel::map(&manifest.zones, |record| self.zone_kept(record)) {
            let zone = zone?;
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
