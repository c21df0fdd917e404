//! What is published, by the names of objects: the manifest, and the records
//! in it and in the history.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::pack::{self, ObjectId};
use super::{Drain, Reading};
use crate::diag::{Look, Trace};
use crate::geo::DatabaseSummary;
use crate::wire::Name;

/// What a manifest begins with: the format's number rises when an older
/// release could not read it.
const MAGIC: &str = "trunkdns state 4";

//----------- Manifest -------------------------------------------------------

/// What is published, by the names of objects.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Manifest {
    pub(super) generation: u64,
    pub(super) time: u64,
    pub(super) shared: SharedRecord,
    pub(super) skipped: Option<[u8; 32]>,

    /// The numbers of the packs that hold the objects.
    pub(super) packs: Vec<u64>,

    /// The zones in the order of their names, some dozens an object: an edit
    /// writes one of these anew, and not ten thousand zones.
    pub(super) pages: Vec<ObjectId>,

    pub(super) drains: Vec<(Name, Drain)>,
    pub(super) removed: Vec<(Name, u32)>,
}

impl Manifest {
    /// Puts it in the place of the one before, once all that it names is on the
    /// disk: so are the files of the folder, and then the manifest's name.
    ///
    /// The first line holds a digest of the rest.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let body = postcard::to_stdvec(self).expect("plain lists can be written");
        let new = folder.join("manifest.new");
        let mut file = File::create(&new)?;
        file.write_all(format!("{MAGIC} {}\n", ObjectId::of(&body)).as_bytes())?;
        file.write_all(&body)?;
        file.sync_all()?;
        pack::sync(folder)?;
        fs::rename(new, path(folder))?;
        pack::sync(folder)
    }

    /// Reads that of a folder, if there is one and it is whole.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        Self::parse(&fs::read(path(folder)).ok()?).ok()
    }

    /// Reads one; says why where the octets are none.
    pub(super) fn parse(octets: &[u8]) -> Result<Self, String> {
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
}

/// Returns the file of a folder's manifest.
pub(super) fn path(folder: &Path) -> std::path::PathBuf {
    folder.join("manifest")
}

//----------- Records --------------------------------------------------------

/// What all zones share.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct SharedRecord {
    pub(super) config: ObjectId,
    pub(super) regions: ObjectId,
    pub(super) map: ObjectId,
    pub(super) fingerprint: Option<[u8; 32]>,
    pub(super) reading: Option<ReadingRecord>,
    pub(super) databases: Vec<DatabaseSummary>,
}

/// A zone.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ZoneRecord {
    pub(super) tables: TablesRecord,
    pub(super) skipped: Option<TablesRecord>,
    pub(super) drained: Vec<Name>,
    pub(super) serial: u32,
    pub(super) scheduled: Option<ScheduledRecord>,
    pub(super) entries: Vec<EntryRecord>,
}

/// Tables that wait for their time.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ScheduledRecord {
    pub(super) tables: TablesRecord,
    pub(super) effective: u64,
    pub(super) begin: u64,
}

/// Tables.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct TablesRecord {
    pub(super) texts: ObjectId,
    pub(super) reading: Option<ReadingRecord>,
}

/// How tables were read.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ReadingRecord {
    pub(super) at: u64,
    pub(super) context: ObjectId,
    pub(super) effective: Option<u64>,

    /// Paths, relative to that of the tables where they are below it, and what
    /// was there.
    pub(super) looks: Vec<(Vec<u8>, Trace)>,
}

/// A version in a timeline.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct EntryRecord {
    pub(super) zone: ObjectId,
    pub(super) map: ObjectId,
    pub(super) published: u64,
    pub(super) wait: u32,
    pub(super) spread: u32,
    pub(super) immediate: bool,
}

impl ReadingRecord {
    /// Returns the record of a reading of what is at or below a folder.
    pub(super) fn new(folder: &Path, reading: &Reading) -> Self {
        let path = |look: &Look| {
            let path = look.path.strip_prefix(folder).unwrap_or(&look.path);
            path.as_os_str().as_bytes().to_vec()
        };
        let looks = reading.looks.iter().map(|look| (path(look), look.trace));
        let Reading { at, context, effective, .. } = *reading;
        ReadingRecord { at, context, effective, looks: looks.collect() }
    }

    /// Returns the reading.
    pub(super) fn to_reading(&self, folder: &Path) -> Reading {
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
    pub(super) fn without_readings(mut self) -> Self {
        let record = &mut self;
        let scheduled = record.scheduled.iter_mut().map(|scheduled| &mut scheduled.tables);
        let tables = [&mut record.tables].into_iter().chain(&mut record.skipped);
        tables.chain(scheduled).for_each(|tables| tables.reading = None);
        self
    }

    /// Returns every object that is named.
    pub(super) fn objects(&self) -> impl Iterator<Item = ObjectId> {
        let scheduled = self.scheduled.iter().map(|scheduled| &scheduled.tables);
        let tables = [&self.tables].into_iter().chain(&self.skipped).chain(scheduled);
        let texts = tables.map(|tables| tables.texts);
        texts.chain(self.entries.iter().flat_map(|entry| [entry.zone, entry.map]))
    }
}
