//! Objects, and the files that hold them.
//!
//! A pack is a file of objects, one after the other, and behind them a table
//! of what they are: postcard's list of ids with lengths. Its last octets are
//! the table's length, big-endian in 8 octets, and the table's own id. What
//! is published names packs by their numbers, and objects by their content:
//! to say where an object is, is the matter of its pack alone, so that a
//! publication costs what it adds.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

//----------- ObjectId -------------------------------------------------------

/// An object by its content: half of its SHA-256.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct ObjectId([u8; 16]);

impl ObjectId {
    /// Returns the id of some octets.
    pub fn of(octets: &[u8]) -> Self {
        // A SHA-256 has 32 octets.
        ObjectId(Sha256::digest(octets).first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

//----------- Place ----------------------------------------------------------

/// Where objects are.
pub(super) type Places = FxHashMap<ObjectId, Place>;

/// Where an object is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The number of the pack.
    pub(super) pack: u64,

    /// The offset in it, in octets.
    pub(super) start: u64,

    /// The length in octets.
    pub(super) len: u64,
}

//----------- Pack -----------------------------------------------------------

/// Packs by their numbers.
pub(super) type Packs = BTreeMap<u64, Pack>;

/// A pack that is open: what it holds can be read also when the file has been
/// removed since.
#[derive(Clone, Debug)]
pub(super) struct Pack {
    file: Arc<File>,

    /// The length of the objects in octets.
    pub(super) len: u64,
}

/// The ids and lengths of objects in a pack, in their order.
type Table = Vec<(ObjectId, u64)>;

/// How many octets come behind the table: its length and its id.
const END: u64 = 24;

impl Pack {
    /// Opens a pack, and adds where its objects are.
    pub(super) fn open(folder: &Path, pack: u64, places: &mut Places) -> io::Result<Self> {
        let file = File::open(path(folder, pack))?;
        let wrong = || {
            let text = format!("the table of {pack}.pack is not what was written");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let table_end = file.metadata()?.len().checked_sub(END).ok_or_else(wrong)?;
        let mut end = [0; END as usize];
        file.read_exact_at(&mut end, table_end)?;
        let (table_len, id) = end.split_first_chunk().ok_or_else(wrong)?;
        let len = table_end.checked_sub(u64::from_be_bytes(*table_len)).ok_or_else(wrong)?;
        // It is not longer than the file.
        let mut table = vec![0; (table_end - len) as usize];
        file.read_exact_at(&mut table, len)?;
        if *id != ObjectId::of(&table).0 {
            return Err(wrong());
        }
        let table: Table = postcard::from_bytes(&table).map_err(|_| wrong())?;
        let mut start = 0u64;
        for (id, len) in table {
            places.insert(id, Place { pack, start, len });
            start = start.checked_add(len).ok_or_else(wrong)?;
        }
        match start == len {
            true => Ok(Pack { file: Arc::new(file), len }),
            false => Err(wrong()),
        }
    }

    /// Returns the part of it that is at a place.
    pub(super) fn piece(&self, place: Place) -> Piece {
        Piece { pack: self.clone(), place }
    }
}

/// An object in a pack.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pack: Pack,
    place: Place,
}

impl Piece {
    /// Reads an object, and checks that it is the one.
    pub(super) fn read(&self, id: ObjectId) -> io::Result<Vec<u8>> {
        let Place { pack, start, len } = self.place;
        if start.checked_add(len).is_none_or(|end| end > self.pack.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // It is not longer than a file.
        let mut octets = vec![0; len as usize];
        self.pack.file.read_exact_at(&mut octets, start)?;
        match ObjectId::of(&octets) == id {
            true => Ok(octets),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("object {id} of {pack}.pack is not what was written"),
            )),
        }
    }
}

//----------- Writer ---------------------------------------------------------

/// Writes a pack.
///
/// Without objects there is none; one that is not finished is removed: half a
/// pack takes room on a disk that may be full.
#[derive(Debug)]
pub(super) struct Writer<'f> {
    folder: &'f Path,
    pack: u64,

    /// How many octets were written.
    len: u64,

    /// What was written.
    table: Table,

    /// What is being written, from the first object on.
    file: Option<BufWriter<File>>,
}

impl<'f> Writer<'f> {
    /// Begins the pack of a number.
    pub(super) fn new(folder: &'f Path, pack: u64) -> Self {
        Writer { folder, pack, len: 0, table: Table::new(), file: None }
    }

    /// Returns how many octets of objects were written.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Writes an object; returns where it is.
    pub(super) fn add(&mut self, id: ObjectId, octets: &[u8]) -> io::Result<Place> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let path = path(self.folder, self.pack);
                let file = File::options().read(true).write(true).create_new(true).open(path)?;
                self.file.insert(BufWriter::with_capacity(1 << 16, file))
            }
        };
        file.write_all(octets)?;
        let len = octets.len() as u64;
        let place = Place { pack: self.pack, start: self.len, len };
        self.table.push((id, len));
        self.len += len;
        Ok(place)
    }

    /// Brings what is in the pack to the disk, if there is one, and opens it.
    /// That there is such a file is not on the disk until the folder is.
    pub(super) fn finish(mut self) -> io::Result<Option<(u64, Pack)>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        let table = postcard::to_stdvec(&self.table).expect("plain lists can be written");
        file.write_all(&table)?;
        file.write_all(&(table.len() as u64).to_be_bytes())?;
        file.write_all(&ObjectId::of(&table).0)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        let file = Arc::new(file.get_ref().try_clone()?);
        self.file = None;
        Ok(Some((self.pack, Pack { file, len: self.len })))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(path(self.folder, self.pack));
        }
    }
}

//----------- Packs ----------------------------------------------------------

/// Returns the packs of a folder.
///
/// Files whose names only look like those of packs, such as `01.pack`, are
/// nobody's concern here; and so is one with the last number, after which no
/// other could be written.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let mut packs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".pack")?.parse().ok());
        let is_own = |pack: &u64| *pack < u64::MAX && path(folder, *pack) == folder.join(&name);
        packs.extend(number.filter(is_own));
    }
    packs.sort_unstable();
    Ok(packs)
}

/// Returns the file of a pack.
pub(super) fn path(folder: &Path, pack: u64) -> PathBuf {
    folder.join(format!("{pack}.pack"))
}

/// Brings to the disk which files a folder has.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
