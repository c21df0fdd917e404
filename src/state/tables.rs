//! The operator's tables as they were read, in memory or on the disk.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::KeptZone;
use super::pack::{ObjectId, Piece};
use crate::diag::Look;
use crate::geo::RegionTable;

//----------- Tables ---------------------------------------------------------

/// Files of the operator's, as they were read.
///
/// Two are equal that were read for the same and hold the same.
#[derive(Clone, Debug)]
pub struct Tables {
    /// What they were read for: a zone folder, or the file itself.
    pub path: PathBuf,

    /// Paths and texts.
    pub(super) texts: Arc<Texts>,

    /// How they were read, if that is known and they are what is there.
    pub reading: Option<Reading>,
}

impl Tables {
    /// Returns tables of paths and texts, in the order of reading.
    pub fn new(path: PathBuf, files: impl IntoIterator<Item = (PathBuf, Arc<str>)>) -> Self {
        let octets = to_octets(&path, files);
        let texts = Texts { id: ObjectId::of(&octets), at: Mutex::new(At::Memory(octets.into())) };
        Tables { path, texts: Arc::new(texts), reading: None }
    }

    /// Returns tables that are kept; none where the octets are none.
    pub(super) fn of_texts(texts: Texts, octets: &[u8]) -> Option<Self> {
        let path = from_octets(octets)?.0;
        Some(Tables { path, texts: Arc::new(texts), reading: None })
    }

    /// Returns what tells them from others.
    pub fn id(&self) -> ObjectId {
        self.texts.id
    }

    /// Returns paths and texts, in the order of reading.
    ///
    /// What is kept is read from the disk; it fails where that does.
    pub fn files(&self) -> io::Result<Vec<(PathBuf, Arc<str>)>> {
        let octets = self.texts.octets()?;
        let files = from_octets(&octets).map(|(_, files)| files);
        files.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "they are no tables"))
    }

    /// Shares the texts of tables that hold the same.
    #[must_use]
    pub fn sharing(mut self, other: &Tables) -> Self {
        if self == *other {
            self.texts = other.texts.clone();
        }
        self
    }

    /// Says whether they would be read as they were: in this context, nothing
    /// of what was looked at has changed.
    ///
    /// `now` is in seconds since the Unix epoch. Tables that will take effect
    /// are to be read: what they mean depends on the time.
    pub fn are_unchanged(&self, context: ObjectId, now: u64) -> bool {
        self.reading.as_ref().is_some_and(|reading| {
            reading.context == context
                && reading.effective.is_none_or(|effective| effective <= now)
                && reading.was_settled()
                && reading.looks.iter().all(Look::holds)
        })
    }
}

impl PartialEq for Tables {
    fn eq(&self, other: &Self) -> bool {
        self.texts.id == other.texts.id
    }
}

impl Eq for Tables {}

impl KeptZone {
    /// Says whether the newest version is what these files give with a region
    /// table: a zone depends on the regions' names and their order alone,
    /// and on what is drained, which is drained in all zones at once.
    pub fn is_made_of(&self, tables: &Tables, regions: &RegionTable) -> bool {
        let names = self.timeline.newest().map.names().iter();
        *self.tables == *tables
            && names.map(|name| &**name).eq(regions.regions.iter().map(|region| &*region.name))
    }
}

//----------- Reading --------------------------------------------------------

/// How tables were read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reading {
    /// When it began, by the system's clock, in seconds since the Unix epoch.
    pub at: u64,

    /// Everything beside the files that the findings depend on.
    pub context: ObjectId,

    /// From when on they are to be in force, in seconds since the Unix epoch.
    pub effective: Option<u64>,

    /// What was there then.
    pub looks: Arc<[Look]>,
}

impl Reading {
    /// Says whether a later reading would find the same.
    pub fn is_followed_by(&self, later: &Reading) -> bool {
        self.was_settled() && self.context == later.context && self.looks == later.looks
    }

    /// Says whether any later change would have left a trace.
    pub fn was_settled(&self) -> bool {
        self.looks.iter().all(|look| look.trace.is_settled(self.at as i64))
    }
}

//----------- Texts ----------------------------------------------------------

/// Paths and texts in the form in which they are kept.
///
/// They are large, and seldom asked for: once they are on the disk they are
/// no longer in memory.
pub(super) struct Texts {
    /// Their content.
    pub(super) id: ObjectId,

    at: Mutex<At>,
}

/// Where texts are.
enum At {
    Memory(Arc<[u8]>),
    Disk(Piece),
}

impl Texts {
    /// Returns texts that are on the disk.
    pub(super) fn on_disk(id: ObjectId, piece: Piece) -> Self {
        Texts { id, at: Mutex::new(At::Disk(piece)) }
    }

    /// Leaves them to the disk, where they were written.
    pub(super) fn leave_to(&self, piece: Piece) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = At::Disk(piece);
    }

    /// Returns the octets, from the disk if need be.
    pub(super) fn octets(&self) -> io::Result<Arc<[u8]>> {
        let piece = match &*self.at.lock().unwrap_or_else(PoisonError::into_inner) {
            At::Memory(octets) => return Ok(octets.clone()),
            At::Disk(piece) => piece.clone(),
        };
        piece.read(self.id).map(Arc::from)
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// Paths need not be UTF-8.
fn to_octets(path: &Path, files: impl IntoIterator<Item = (PathBuf, Arc<str>)>) -> Vec<u8> {
    let files: Vec<_> = files.into_iter().collect();
    let files: Vec<_> =
        files.iter().map(|(path, text)| (path.as_os_str().as_bytes(), &**text)).collect();
    postcard::to_stdvec(&(path.as_os_str().as_bytes(), files)).expect("plain lists can be written")
}

/// A path, and paths with texts.
type Files = (PathBuf, Vec<(PathBuf, Arc<str>)>);

fn from_octets(octets: &[u8]) -> Option<Files> {
    let path = |octets: &[u8]| PathBuf::from(OsString::from_vec(octets.to_vec()));
    let (place, files): (&[u8], Vec<(&[u8], &str)>) = postcard::from_bytes(octets).ok()?;
    let files = files.into_iter().map(|(name, text)| (path(name), text.into())).collect();
    Some((path(place), files))
}
