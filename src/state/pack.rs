//! Objects, and the files that hold them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// Where an object is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Place {
    /// The number of the pack.
    pub(super) pack: u64,

    /// The offset in it, in octets.
    pub(super) start: u64,

    /// The length in octets.
    pub(super) len: u64,
}

//----------- Pack -----------------------------------------------------------

/// A pack that is open: what it holds can be read also when the file has been
/// removed since.
#[derive(Clone, Debug)]
pub(super) struct Pack {
    file: Arc<File>,

    /// The length in octets.
    pub(super) len: u64,
}

impl Pack {
    /// Opens a pack.
    pub(super) fn open(folder: &Path, pack: u64) -> io::Result<Self> {
        let file = File::open(path(folder, pack))?;
        let len = file.metadata()?.len();
        Ok(Pack { file: Arc::new(file), len })
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

    /// What is being written, from the first object on.
    file: Option<BufWriter<File>>,
}

impl<'f> Writer<'f> {
    /// Begins the pack of a number.
    pub(super) fn new(folder: &'f Path, pack: u64) -> Self {
        Writer { folder, pack, len: 0, file: None }
    }

    /// Writes an object; returns where it is.
    pub(super) fn add(&mut self, octets: &[u8]) -> io::Result<Place> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = File::create_new(path(self.folder, self.pack))?;
                self.file.insert(BufWriter::with_capacity(1 << 16, file))
            }
        };
        file.write_all(octets)?;
        let len = octets.len() as u64;
        let place = Place { pack: self.pack, start: self.len, len };
        self.len += len;
        Ok(place)
    }

    /// Brings the pack to the disk, and opens it if there is one.
    pub(super) fn finish(mut self) -> io::Result<Option<(u64, Pack)>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        file.flush()?;
        file.get_ref().sync_all()?;
        sync(self.folder)?;
        let pack = Pack::open(self.folder, self.pack)?;
        self.file = None;
        Ok(Some((self.pack, pack)))
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
