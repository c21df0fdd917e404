//! Objects, and the files that hold them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

//----------- ObjectId -------------------------------------------------------

/// An object by its content: half of its SHA-256.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct ObjectId(u128);

impl ObjectId {
    /// Returns the id of some octets.
    pub(super) fn of(octets: &[u8]) -> Self {
        let digest = Sha256::digest(octets);
        // A SHA-256 has 32 octets.
        let half = digest.first_chunk().copied().unwrap_or_default();
        ObjectId(u128::from_be_bytes(half))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ObjectId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(ObjectId)
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

impl Place {
    /// Reads an object, and checks that it is the one.
    pub(super) fn read(&self, folder: &Path, id: ObjectId) -> io::Result<Vec<u8>> {
        let mut file = File::open(path(folder, self.pack))?;
        file.seek(SeekFrom::Start(self.start))?;
        let mut octets = Vec::new();
        file.take(self.len).read_to_end(&mut octets)?;
        match ObjectId::of(&octets) == id {
            true => Ok(octets),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("object {id} of {}.pack is not what was written", self.pack),
            )),
        }
    }
}

//----------- Packs ----------------------------------------------------------

/// Writes a pack and brings it to the disk; without objects there is none.
pub(super) fn write(folder: &Path, pack: u64, objects: &[Vec<u8>]) -> io::Result<()> {
    if objects.is_empty() {
        return Ok(());
    }
    let path = path(folder, pack);
    let mut file = File::create_new(&path)?;
    let mut write = || {
        for octets in objects {
            file.write_all(octets)?;
        }
        file.sync_all()
    };
    let written = write();
    if written.is_err() {
        // Half a pack takes room on a disk that may be full.
        let _ = fs::remove_file(path);
    }
    written
}

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
