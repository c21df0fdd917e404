//! What the system says of a path, by which changes are noticed.

use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::hash::Hasher;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

//----------- Look -----------------------------------------------------------

/// A path, and what was there right before it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Look {
    /// The path.
    pub path: Arc<Path>,

    /// What was there.
    pub trace: Trace,
}

impl Look {
    /// Looks at a path.
    pub fn at(path: &Path) -> Self {
        Look { trace: Trace::of(path), path: path.into() }
    }

    /// Says whether the same is there now.
    pub fn holds(&self) -> bool {
        Trace::of(&self.path) == self.trace
    }
}

//----------- Trace ----------------------------------------------------------

/// What the system says of a path, links followed, in a few octets: a zone has
/// three paths or more, and there are many zones.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Trace {
    /// A digest of all of it: of a file its device, inode, size and times, of
    /// a folder what it holds.
    digest: u64,

    /// When a file was written or moved last, in seconds since the Unix epoch;
    /// 0 of what is no file.
    changed: i64,

    /// Whether the path itself is a link.
    is_link: bool,
}

impl Trace {
    /// For how long after a change another one may leave no trace, in seconds:
    /// times have a grain, of up to 2 s on some systems of files.
    pub const GRAIN: i64 = 3;

    /// Looks at a path.
    pub fn of(path: &Path) -> Self {
        Self::with_entries(path).0
    }

    /// Looks at a folder; returns what it holds, too, sorted by name.
    pub(super) fn of_folder(path: &Path) -> (Self, io::Result<Entries>) {
        let (trace, entries) = Self::with_entries(path);
        // Where there is no folder, the system says why.
        (trace, entries.unwrap_or_else(|| entries_of(path)))
    }

    fn with_entries(path: &Path) -> (Self, Option<io::Result<Entries>>) {
        let mut digest = Digest::default();
        let mut found = fs::symlink_metadata(path);
        let is_link = found.as_ref().is_ok_and(Metadata::is_symlink);
        if is_link {
            found = fs::metadata(path);
        }
        let (mut changed, mut entries) = (0, None);
        match found {
            Ok(metadata) if metadata.is_dir() => {
                let found = entries.insert(entries_of(path));
                digest.folder(path, &metadata, found);
            }
            Ok(metadata) => {
                digest.file(&metadata);
                changed = metadata.mtime().max(metadata.ctime());
            }
            Err(error) => digest.error(&error),
        }
        (Trace { digest: digest.0.finish(), changed, is_link }, entries)
    }

    /// Says whether this, seen at a time in seconds since the Unix epoch,
    /// would have changed with any later change.
    ///
    /// What lies in the future was written by another clock, of which nothing
    /// is known.
    pub fn is_settled(&self, now: i64) -> bool {
        self.changed + Self::GRAIN <= now
    }

    /// Returns when a file was written or moved last, in seconds since the Unix
    /// epoch; 0 of what is no file.
    pub fn changed(&self) -> i64 {
        self.changed
    }

    /// Says whether the path itself is a link.
    pub fn is_link(&self) -> bool {
        self.is_link
    }
}

/// A digest that is the same in every release.
struct Digest(SipHasher24);

impl Default for Digest {
    fn default() -> Self {
        Digest(SipHasher24::new_with_keys(0, 0))
    }
}

impl Digest {
    fn error(&mut self, error: &io::Error) {
        self.0.write_u8(0);
        self.0.write_i32(error.raw_os_error().unwrap_or(0));
    }

    fn file(&mut self, metadata: &Metadata) {
        self.0.write_u8(1);
        self.inode(metadata);
        self.0.write_u64(metadata.size());
        for time in
            [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()]
        {
            self.0.write_i64(time);
        }
    }

    /// The names in a folder count, and where they lead that are folders
    /// behind links. What is in folders in it does not: that has paths of its
    /// own.
    fn folder(&mut self, path: &Path, metadata: &Metadata, entries: &io::Result<Entries>) {
        self.0.write_u8(2);
        self.inode(metadata);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.error(error),
        };
        for (name, kind) in entries {
            self.0.write(name.as_bytes());
            self.0.write_u8(0);
            // A folder of ten thousand has few links: only they are followed.
            let behind = kind.is_symlink().then(|| fs::metadata(path.join(name)).ok()).flatten();
            if let Some(folder) = behind.filter(Metadata::is_dir) {
                self.inode(&folder);
            }
        }
    }

    fn inode(&mut self, metadata: &Metadata) {
        self.0.write_u64(metadata.dev());
        self.0.write_u64(metadata.ino());
    }
}

//----------- Entries --------------------------------------------------------

/// What a folder holds: names, and what has them.
pub(super) type Entries = Vec<(OsString, FileType)>;

fn entries_of(folder: &Path) -> io::Result<Entries> {
    let entries = fs::read_dir(folder)?.map(|entry| {
        let entry = entry?;
        Ok((entry.file_name(), entry.file_type()?))
    });
    let mut entries: Entries = entries.collect::<io::Result<_>>()?;
    entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(entries)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn whatever_becomes_of_a_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let absent = Trace::of(&file);
        fs::write(&file, "a").unwrap();
        let written = Look::at(&file);
        assert_ne!(written.trace, absent);
        assert!(written.holds());
        fs::write(&file, "ab").unwrap();
        let longer = Look::at(&file);
        assert!(!written.holds() && longer.holds());
        // Another file takes its place, with the same length and time.
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(folder.path().join("new"), "cd").unwrap();
        fs::File::open(folder.path().join("new")).unwrap().set_modified(time).unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert!(!longer.holds());
        fs::remove_file(&file).unwrap();
        assert_eq!(Trace::of(&file), absent);
    }

    #[test]
    fn what_a_folder_holds_is_seen_and_not_what_is_in_that() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        let look = Look::at(folder.path());
        fs::write(folder.path().join("a/file"), "").unwrap();
        assert!(look.holds());
        fs::create_dir(folder.path().join("c")).unwrap();
        assert!(!look.holds());
        // A link that leads to another folder.
        symlink("a", folder.path().join("link")).unwrap();
        let look = Look::at(folder.path());
        symlink("b", folder.path().join("new")).unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("link")).unwrap();
        assert!(!look.holds());
        assert!(Trace::of(&folder.path().join("link")).is_link());
    }

    #[test]
    fn a_folder_is_looked_at_and_listed_in_one_go() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), "").unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let (trace, entries) = Trace::of_folder(folder.path());
        assert_eq!(trace, Trace::of(folder.path()));
        let entries = entries.unwrap();
        let names: Vec<_> = entries.iter().map(|(name, kind)| (&**name, kind.is_dir())).collect();
        assert_eq!(names, [("a".as_ref(), true), ("b".as_ref(), false)]);
        let (_, entries) = Trace::of_folder(&folder.path().join("b"));
        assert_eq!(entries.unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_file_that_was_just_written_may_change_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "a").unwrap();
        let trace = Trace::of(&file);
        assert!(!trace.is_settled(trace.changed));
        assert!(!trace.is_settled(trace.changed + Trace::GRAIN - 1));
        assert!(trace.is_settled(trace.changed + Trace::GRAIN));
        // What is not there has no time.
        assert!(Trace::of(&folder.path().join("absent")).is_settled(Trace::GRAIN));
    }
}
