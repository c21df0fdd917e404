//! Noticing that files have changed.
//!
//! A [`Watch`] looks at every path that the last reading looked at, found or
//! not: an editor's write-and-rename, a link that is turned to another folder
//! as in mounted ConfigMaps, a folder that is added, a file on a network
//! share all show in what the system says of the path. Files that are still
//! being written keep changing: they are read when two looks in a row see the
//! same. Whether the content is another one is found when it is read.
//!
//! Times of files have a grain. What was read right after it was written may
//! have been written again without a trace, and is read once more behind that.
//!
//! # Why not notifications
//!
//! The kernel's notifications are lost when its queue overflows, do not reach
//! across links and network shares, and are limited to some thousand folders
//! on many hosts; whoever uses them looks as well, to be sure. Looking at
//! 30,000 files takes some 30 ms, and as long as nothing changes a look is
//! taken at most a hundredth of the time.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::diag::{Look, Trace};

//----------- Watch ----------------------------------------------------------

/// Looks at paths.
#[derive(Debug)]
pub(super) struct Watch {
    /// What was there when the files were read last.
    read: Arc<Vec<Look>>,

    /// What was another one at the last look: the positions of paths, and
    /// what was there.
    changed: Vec<(usize, Trace)>,

    /// When to read again what was read right after it was written, in seconds
    /// since the Unix epoch.
    again: Option<u64>,

    /// For how many looks something has been changing.
    restless: u32,
}

impl Watch {
    /// The least time between two looks: an edit is noticed within two.
    pub(super) const PAUSE: Duration = Duration::from_millis(400);

    /// For how many looks changes may go on until files are read all the same:
    /// one that is written without end must not keep back all others.
    const RESTLESS_MAX: u32 = 8;

    /// How much longer than a look the pause behind it is at least.
    const SHARE: u32 = 100;

    /// Begins with what was there when the files were read, from a time on in
    /// seconds since the Unix epoch.
    pub(super) fn new(read: Arc<Vec<Look>>, since: u64) -> Self {
        let now = clock::wall().second();
        // Times that are still to come do not settle: those files were written
        // by another clock.
        let is_uncertain = |look: &Look| {
            !look.trace.is_settled(since as i64) && look.trace.changed() <= now as i64
        };
        let again = read.iter().any(is_uncertain).then_some(now + Trace::GRAIN as u64);
        Watch { read, changed: Vec::new(), again, restless: 0 }
    }

    /// Looks; says whether something has changed and changes no more, or is to
    /// be read once more.
    pub(super) fn look(&mut self) -> bool {
        let now = self.read.iter().map(|look| Trace::of(&look.path));
        let pairs = now.zip(&*self.read).enumerate();
        let changed: Vec<_> = pairs
            .filter(|(_, (trace, look))| *trace != look.trace)
            .map(|(at, (trace, _))| (at, trace))
            .collect();
        let is_quiet = changed == self.changed;
        self.changed = changed;
        self.restless = if is_quiet { 0 } else { self.restless + 1 };
        if self.restless >= Self::RESTLESS_MAX {
            self.restless = 0;
            return true;
        }
        is_quiet && (!self.changed.is_empty() || self.is_due_again())
    }

    fn is_due_again(&self) -> bool {
        self.again.is_some_and(|again| again <= clock::wall().second())
    }

    /// Returns how long to wait after a look that took so long.
    pub(super) fn pause(&self, look: Duration) -> Duration {
        match self.changed.is_empty() {
            true => Self::PAUSE.max(look * Self::SHARE),
            false => Self::PAUSE,
        }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// A watch of paths that were read now, and not right after a write.
    fn watch<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Watch {
        let looks = paths.into_iter().map(Look::at).collect();
        Watch { again: None, ..Watch::new(Arc::new(looks), 0) }
    }

    /// A folder with `zones/a/zone.toml`, watched.
    fn watched() -> (tempfile::TempDir, Watch) {
        let folder = tempfile::tempdir().unwrap();
        let zone = folder.path().join("zones/a");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("zone.toml"), "a").unwrap();
        let paths = ["zones", "zones/a/zone.toml", "zones/a/records.zone"];
        let paths = paths.map(|path| folder.path().join(path));
        let watch = watch(paths.iter().map(|path| &**path));
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
            let (folder, mut old) = watched();
            edit(&folder.path().join("zones/a"));
            assert!(notices(&mut old));
            // It stays noticed until the files have been read.
            assert!(notices(&mut old));
            assert!(!notices(&mut watch(old.read.iter().map(|look| &*look.path))));
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
        let mut watch = watch([&*root.join("map/zone.toml")]);
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
    fn what_was_read_right_after_it_was_written_is_read_once_more() {
        let (folder, _) = watched();
        let looks = Arc::new(vec![Look::at(&folder.path().join("zones/a/zone.toml"))]);
        let since = clock::wall().second();
        let mut watch = Watch::new(looks.clone(), since);
        assert!(watch.again.is_some_and(|again| again >= since + Trace::GRAIN as u64));
        assert!(!notices(&mut watch));
        // As if it were so late by now, and then read.
        watch.again = Some(since);
        assert!(watch.look());
        assert!(Watch::new(looks, since + 1 + Trace::GRAIN as u64).again.is_none());
    }

    #[test]
    fn a_look_takes_at_most_a_hundredth_of_the_time_while_nothing_changes() {
        let (folder, mut watch) = watched();
        assert_eq!(watch.pause(Duration::from_millis(1)), Watch::PAUSE);
        assert_eq!(watch.pause(Duration::from_millis(30)), Duration::from_secs(3));
        // Whether it goes on changing is to be known soon.
        fs::write(folder.path().join("zones/a/zone.toml"), "ab").unwrap();
        watch.look();
        assert_eq!(watch.pause(Duration::from_millis(30)), Watch::PAUSE);
    }
}
