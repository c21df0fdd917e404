//! Reading and writing the state folder.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustc_hash::FxHashSet;

use super::draft::{Draft, Known, PACKS_MAX, Page, SMALL, WASTE_MAX};
use super::history::{self, Event, History, Record};
use super::manifest::{self, Manifest, SharedRecord, ZoneRecord};
use super::pack::{self, ObjectId, Packs};
use super::reader::{Reader, Unread};
use super::{Kept, Past, Publication, Tables};
use crate::parallel;
use crate::privileges;
use crate::wire::Name;

/// How many damaged states are left for people to look at.
const DAMAGED_MAX: usize = 3;

//----------- State ----------------------------------------------------------

/// The state folder of a running server.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,

    /// Locked as long as it is open.
    _lock: File,

    /// What is on the disk.
    known: Known,

    /// How many octets of objects were written since those were counted that
    /// are still needed.
    added: u64,

    /// The number of the next pack.
    next_pack: u64,

    /// What was published so far.
    history: History,
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
            known: Known::default(),
            added: 0,
            next_pack: 1,
            history: History::default(),
        };
        let found = match state.read() {
            Ok(Some(kept)) => Found::Kept(Box::new(kept)),
            Ok(None) => Found::Nothing,
            Err(Unread::Failed(error)) => return Err(failed(error)),
            Err(Unread::Damaged(why)) => {
                state.known = Known::default();
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
        let written = written.map_err(|source| Error::Write { folder: folder.clone(), source })?;
        self.note(kept, written);
        // What is left over does no harm.
        let _ = remove_unused(&self.folder, &self.known.packs);
        Ok(())
    }

    /// Writes what is new, and a manifest that names it.
    fn write(
        &self,
        kept: &Kept,
        publication: Option<&Publication>,
        number: u64,
    ) -> io::Result<Written> {
        let mut draft = Draft::new(&self.known, &self.folder, number);
        let shared = draft.shared(&kept.shared)?;
        let pages = draft.pages(kept)?;
        let record = publication
            .map(|publication| self.record(&mut draft, kept, &shared, publication))
            .transpose()?;
        let since = publication.map_or(0, |publication| publication.keep_since);
        let stay = match self.is_to_gather(draft.len(), publication.is_some()) {
            true => {
                let pages = pages.iter().map(|(page, _)| page.id);
                let used = shared.objects().into_iter().chain(pages).collect();
                self.gather(&mut draft, kept, used, since)?
            }
            false => None,
        };
        let added = draft.len();
        // Neither needs the other: the manifest comes behind both.
        let remember = |record| self.history.with(&self.folder, record, since);
        let (history, finished) =
            parallel::both(|| record.map(remember).transpose(), || draft.finish());
        let (history, (pack, places)) = (history?, finished?);
        let mut packs = stay.clone().unwrap_or_else(|| self.known.packs.clone());
        packs.extend(pack);
        let manifest = Manifest {
            generation: kept.generation,
            time: kept.time,
            shared,
            skipped: kept.skipped,
            packs: packs.keys().copied().collect(),
            pages: pages.iter().map(|(page, _)| page.id).collect(),
            drains: kept.drains.iter().map(|(name, drain)| (name.clone(), drain.clone())).collect(),
            removed: kept.removed.iter().map(|(name, serial)| (name.clone(), *serial)).collect(),
        };
        manifest.write(&self.folder)?;
        let is_gathered = stay.is_some() || self.known.packs.is_empty();
        Ok(Written { map: manifest.shared.map, pages, history, packs, places, added, is_gathered })
    }

    /// Says whether to look for objects that nobody needs any more: that looks
    /// at all zones, which an edit that somebody waits for is to be spared.
    fn is_to_gather(&self, added: u64, is_waited_for: bool) -> bool {
        let small = self.known.packs.values().filter(|pack| pack.len < SMALL).count();
        let most = if is_waited_for { 2 * PACKS_MAX } else { PACKS_MAX };
        !self.known.packs.is_empty() && (small >= most || self.added + added > WASTE_MAX)
    }

    /// Writes again what is still needed of packs that hold little else; returns
    /// the other packs. Nothing is done where the history cannot be read.
    ///
    /// `used` are the objects that the manifest itself names.
    fn gather(
        &self,
        draft: &mut Draft<'_>,
        kept: &Kept,
        mut used: FxHashSet<ObjectId>,
        since: u64,
    ) -> io::Result<Option<Packs>> {
        let Ok(records) = self.history.records(&self.folder) else { return Ok(None) };
        for record in history::forget(records, since) {
            used.extend(record.objects());
        }
        for zone in kept.zones.values() {
            used.extend(draft.zone_record(zone)?.objects());
        }
        draft.gather(&used).map(Some)
    }

    /// Returns what is to be remembered of a publication; the first one has
    /// all zones.
    fn record(
        &self,
        draft: &mut Draft<'_>,
        kept: &Kept,
        shared: &SharedRecord,
        publication: &Publication,
    ) -> io::Result<Record> {
        let told = match self.history.is_empty() {
            true => kept.zones.keys().collect(),
            false => publication.zones.iter().collect::<Vec<_>>(),
        };
        let mut zones = Vec::with_capacity(told.len());
        for name in told {
            let zone = kept.zones.get(name);
            let zone = zone.map(|zone| draft.zone_record(zone)).transpose()?;
            zones.push((name.clone(), zone.map(ZoneRecord::without_readings)));
        }
        let Publication { by, what, lines, .. } = publication;
        let event = Event {
            generation: kept.generation,
            time: kept.time,
            by: by.clone(),
            what: what.clone(),
            lines: lines.clone(),
        };
        Ok(Record { event, shared: SharedRecord { reading: None, ..shared.clone() }, zones })
    }

    /// Returns what was published by a generation, or by the last one before
    /// it; none if that is not remembered. Without a number it is what was
    /// published before the last publication.
    pub fn published(&self, generation: Option<u64>) -> Option<Past> {
        let before = || self.history.events().nth_back(1).map(|event| event.generation);
        let last = self.history.events().next_back()?.generation;
        let wanted = generation.or_else(before).filter(|wanted| *wanted <= last)?;
        let records = self.history.records(&self.folder).ok()?;
        let past = history::state(&records, |event| event.generation <= wanted)?;
        Reader::new(self.known.packs.clone(), self.known.places.clone()).past(past).ok()
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
        let octets = match fs::read(manifest::path(&self.folder)) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Unread::of("manifest", error)),
        };
        let manifest = Manifest::parse(&octets)?;
        let reader = Reader::open(&self.folder, &manifest.packs)?;
        let (kept, pages) = reader.kept(&manifest)?;
        for read in pages {
            for (zone, id) in &read.objects {
                self.known.zones.note(zone, *id);
            }
            self.known.pages.push(read.page);
        }
        for (map, id) in reader.maps() {
            self.known.maps.note(&map, id);
        }
        (self.known.packs, self.known.places) = reader.into_packs();
        self.history = History::read(&self.folder, manifest.generation);
        Ok(Some(kept))
    }

    /// Takes note of what was written: which objects the values in memory are.
    /// Texts are left to the disk.
    fn note(&mut self, kept: &Kept, written: Written) {
        let Written { map, pages, history, packs, places, added, is_gathered } = written;
        let known = &mut self.known;
        known.packs = packs;
        known.places.extend(places);
        if is_gathered {
            known.places.retain(|_, place| known.packs.contains_key(&place.pack));
            known.places.shrink_to_fit();
        }
        self.added = if is_gathered { 0 } else { self.added + added };
        self.history = history.unwrap_or_else(|| std::mem::take(&mut self.history));
        known.maps.note(&kept.shared.map, map);
        for (zone, record) in pages.iter().flat_map(|(page, new)| page.zones.iter().zip(new)) {
            for (entry, record) in zone.timeline.entries().iter().zip(&record.entries) {
                known.zones.note(&entry.version.zone, record.zone);
                known.maps.note(&entry.version.map, record.map);
            }
        }
        self.leave_to_disk(&kept.shared.config);
        self.leave_to_disk(&kept.shared.regions);
        // All of them: where objects were moved, old packs stay open and take
        // room until nobody holds them.
        let zones = pages.iter().filter(|(_, new)| is_gathered || !new.is_empty());
        for zone in zones.flat_map(|(page, _)| page.zones.iter()) {
            self.leave_to_disk(&zone.tables);
            let scheduled = zone.scheduled.iter().map(|scheduled| &scheduled.tables);
            scheduled.chain(&zone.skipped).for_each(|tables| self.leave_to_disk(tables));
        }
        self.known.pages = pages.into_iter().map(|(page, _)| page).collect();
    }

    fn leave_to_disk(&self, tables: &Tables) {
        let place = self.known.places.get(&tables.texts.id);
        let pack = place.and_then(|place| Some((self.known.packs.get(&place.pack)?, place)));
        if let Some((pack, place)) = pack {
            tables.texts.leave_to(pack.piece(*place));
        }
    }
}

/// What was written.
struct Written {
    /// The object of the shared map.
    map: ObjectId,

    /// The pages of all zones, with the records of those that are new.
    pages: Vec<(Page, Vec<ZoneRecord>)>,

    /// Where it was added to.
    history: Option<History>,

    packs: Packs,

    /// Where the objects are that are new, or elsewhere.
    places: pack::Places,

    /// How many octets of objects were written.
    added: u64,

    /// Whether packs without objects that are needed are gone.
    is_gathered: bool,
}

/// Says whether a folder holds a state that a server would begin with; the
/// objects are not read.
pub fn has_last_good(folder: &Path) -> bool {
    Manifest::read(folder).is_some()
}

/// Reads what a folder holds without becoming its server, which may be running.
pub fn peek(folder: &Path) -> Option<Kept> {
    let read = || {
        let manifest = Manifest::read(folder)?;
        Some(Reader::open(folder, &manifest.packs).ok()?.kept(&manifest).ok()?.0)
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
        let manifest = Manifest::read(folder)?;
        let records = History::read(folder, manifest.generation).records(folder).ok()?;
        let (record, mut zones) = history::state(&records, |event| event.time <= time)?;
        zones.retain(|name, _| is_wanted(name));
        Reader::open(folder, &manifest.packs).ok()?.past((record, zones)).ok()
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
    fs::rename(manifest::path(folder), manifest::path(&aside))?;
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
