//! Noticing that files have changed.
//!
//! A [`Watch`] looks at every path that the last reading looked at, found or
//! not: an editor's write-and-rename, a link that is turned to another folder
//! as in mounted ConfigMaps, a folder that is added, a file on a network
//! share all show in what the system says of the path. Files that are still
//! being written keep changing: they are read when two looks in a row see the
//! same. Whether the content is another one is found when it is read.
//!
//! # Why not notifications
//!
//! The kernel's notifications are lost when its queue overflows, do not reach
//! across links and network shares, and are limited to some thousand folders
//! on many hosts; whoever uses them looks as well, to be sure. Looking at
//! 30,000 files takes some 30 ms, and a look is taken at most a hundredth of
//! the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;

//----------- Watch ----------------------------------------------------------

/// Looks at paths.
#[derive(Debug)]
pub(super) struct Watch {
    /// What was there when the files were read last.
    read: View,

    /// What was there at the last look.
    seen: View,

    /// When the last reading began, in seconds since the Unix epoch.
    since: u64,

    /// For how many looks something has been changing.
    restless: u32,
}

/// What is known of paths.
type View = BTreeMap<PathBuf, Trace>;

impl Watch {
    /// The least time between two looks: an edit is noticed within two.
    pub(super) const PAUSE: Duration = Duration::from_millis(400);

    /// For how many looks changes may go on until files are read all the same:
    /// one that is written without end must not keep back all others.
    const RESTLESS_MAX: u32 = 8;

    /// How much longer than a look the pause behind it is at least.
    const SHARE: u32 = 100;

    /// Begins with paths that were read after a time, in seconds since the
    /// Unix epoch: what has changed since then is taken for changed.
    pub(super) fn new(paths: &BTreeSet<PathBuf>, since: u64) -> Self {
        let read = view_since(paths.iter(), since);
        Watch { seen: read.clone(), read, since, restless: 0 }
    }

    /// Notes what there is before files are read: what changes meanwhile is
    /// seen by the next look.
    pub(super) fn mark(&mut self) {
        self.since = clock::wall().second();
        self.read = view(self.read.keys());
        self.seen = self.read.clone();
    }

    /// Takes the paths of a reading that has ended.
    ///
    /// Those that were known keep what was noted before it began; of others,
    /// what has changed since then is taken for changed.
    pub(super) fn follow(&mut self, paths: &BTreeSet<PathBuf>) {
        let new = paths.iter().filter(|path| !self.read.contains_key(*path));
        let new = view_since(new, self.since);
        self.read.retain(|path, _| paths.contains(path));
        self.read.extend(new);
        self.seen = self.read.clone();
    }

    /// Looks; says whether something has changed and changes no more.
    pub(super) fn look(&mut self) -> bool {
        let now = view(self.read.keys());
        let is_quiet = now == self.seen;
        self.seen = now;
        self.restless = if is_quiet { 0 } else { self.restless + 1 };
        if self.restless >= Self::RESTLESS_MAX {
            self.restless = 0;
            return true;
        }
        is_quiet && self.seen != self.read
    }

    /// Returns how long to wait after a look that took so long.
    pub(super) fn pause(look: Duration) -> Duration {
        Self::PAUSE.max(look * Self::SHARE)
    }
}

fn view<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> View {
    paths.map(|path| (path.clone(), Trace::of(path))).collect()
}

/// Looks at paths, and takes files that have changed since a time, in seconds
/// since the Unix epoch, for changed.
fn view_since<'p>(paths: impl Iterator<Item = &'p PathBuf>, since: u64) -> View {
    let mut view = view(paths);
    for trace in view.values_mut() {
        if matches!(trace, Trace::File(stamp) if stamp.changed.0 >= since as i64) {
            *trace = Trace::Absent(io::ErrorKind::Other);
        }
    }
    view
}

//----------- Trace ----------------------------------------------------------

/// What the system says of a path, links followed.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Trace {
    /// There is nothing to be seen.
    Absent(io::ErrorKind),

    /// A file.
    File(Stamp),

    /// A folder and what it holds, each with its own stamp: links in it may
    /// be turned.
    Folder(Vec<(PathBuf, Option<Stamp>)>),
}

/// What changes with a file's content, or when another file takes its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Trace {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Err(error) => Trace::Absent(error.kind()),
            Ok(metadata) if metadata.is_dir() => {
                Self::folder(path).unwrap_or_else(|error| Trace::Absent(error.kind()))
            }
            Ok(metadata) => Trace::File(Stamp::of(&metadata)),
        }
    }

    /// What is in a folder counts, and not what is in folders in it: that has
    /// paths of its own.
    fn folder(path: &Path) -> io::Result<Self> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            let metadata = fs::metadata(&path);
            let is_folder = metadata.as_ref().is_ok_and(Metadata::is_dir);
            let inode = |metadata: &Metadata| Stamp {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: 0,
                modified: (0, 0),
                changed: (0, 0),
            };
            entries.push((path, metadata.ok().filter(|_| is_folder).as_ref().map(inode)));
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Trace::Folder(entries))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder with `zones/a/zone.toml`, watched.
    fn watched() -> (tempfile::TempDir, Watch) {
        let folder = tempfile::tempdir().unwrap();
        let zone = folder.path().join("zones/a");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("zone.toml"), "a").unwrap();
        let paths = ["zones", "zones/a/zone.toml", "zones/a/records.zone"];
        let paths = paths.iter().map(|path| folder.path().join(path)).collect();
        let watch = Watch::new(&paths, u64::MAX >> 1);
        (folder, watch)
    }

    /// Looks until nothing changes; says whether anything had.
    fn notices(watch: &mut Watch) -> bool {
        watch.look() || watch.look()
    }

    #[test]
    fn nothing_is_noticed_where_nothing_changes() {
        let (_folder, mut watch) = watched();
        assert!(!notices(&mut watch));
    }

    #[test]
    fn a_file_that_is_replaced_added_or_removed_is_noticed() {
        let edits: [fn(&Path); 5] = [
            |zone| {
                fs::write(zone.join("new"), "b").unwrap();
                fs::rename(zone.join("new"), zone.join("zone.toml")).unwrap();
            },
            |zone| fs::write(zone.join("zone.toml"), "ab").unwrap(),
            |zone| fs::write(zone.join("records.zone"), "").unwrap(),
            |zone| fs::remove_file(zone.join("zone.toml")).unwrap(),
            |zone| fs::create_dir(zone.parent().unwrap().join("b")).unwrap(),
        ];
        for edit in edits {
            let (folder, mut watch) = watched();
            edit(&folder.path().join("zones/a"));
            assert!(notices(&mut watch));
            // It stays noticed until the files have been read.
            assert!(notices(&mut watch));
            watch.mark();
            assert!(!notices(&mut watch));
        }
    }

    #[test]
    fn a_link_that_is_turned_to_another_folder_is_noticed() {
        let (folder, _) = watched();
        let root = folder.path();
        for version in ["v1", "v2"] {
            fs::create_dir_all(root.join(version)).unwrap();
            fs::write(root.join(version).join("zone.toml"), version).unwrap();
        }
        // As ConfigMaps are mounted: file -> ..data/file, ..data -> version.
        fs::create_dir(root.join("map")).unwrap();
        symlink("../v1", root.join("map/..data")).unwrap();
        symlink("..data/zone.toml", root.join("map/zone.toml")).unwrap();
        let paths = BTreeSet::from([root.join("map/zone.toml")]);
        let mut watch = Watch::new(&paths, u64::MAX >> 1);
        symlink("../v2", root.join("map/..new")).unwrap();
        fs::rename(root.join("map/..new"), root.join("map/..data")).unwrap();
        assert!(notices(&mut watch));
    }

    #[test]
    fn a_file_that_is_still_being_written_is_not_read_yet() {
        let (folder, mut watch) = watched();
        for part in ["b", "bc", "bcd"] {
            fs::write(folder.path().join("zones/a/zone.toml"), part).unwrap();
            assert!(!watch.look());
        }
        assert!(watch.look());
    }

    #[test]
    fn a_file_that_is_written_without_end_does_not_keep_others_back_for_ever() {
        let (folder, mut watch) = watched();
        let looks = (1..100).find(|len| {
            fs::write(folder.path().join("zones/a/zone.toml"), "x".repeat(*len)).unwrap();
            watch.look()
        });
        assert_eq!(looks, Some(Watch::RESTLESS_MAX as usize));
    }

    #[test]
    fn what_changed_since_the_files_were_read_is_noticed_at_the_first_look() {
        let (folder, _) = watched();
        let paths = BTreeSet::from([folder.path().join("zones/a/zone.toml")]);
        assert!(notices(&mut Watch::new(&paths, 0)));
    }

    #[test]
    fn a_look_takes_at_most_a_hundredth_of_the_time() {
        assert_eq!(Watch::pause(Duration::from_millis(1)), Watch::PAUSE);
        assert_eq!(Watch::pause(Duration::from_millis(30)), Duration::from_secs(3));
    }

    #[test]
    fn what_changes_while_files_are_read_is_noticed_afterwards() {
        let (folder, mut watch) = watched();
        watch.mark();
        fs::write(folder.path().join("zones/a/zone.toml"), "changed").unwrap();
        let paths = watch.read.keys().cloned().collect();
        watch.follow(&paths);
        assert!(notices(&mut watch));
    }
}
