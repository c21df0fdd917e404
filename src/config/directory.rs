//! The directory that holds a folder a zone.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::model::{Checks, ZoneTables, Zones};
use super::text::unreadable;
use super::zone::read_zone;
use crate::diag::{Code, Finding, Report, Sources};
use crate::geo::RegionTable;
use crate::parallel;
use crate::wire::Name;

//----------- ZoneFolder -----------------------------------------------------

/// What was read of one folder, with its own report: the mistakes of one zone
/// hold back that zone alone.
#[derive(Clone, Debug)]
pub struct ZoneFolder {
    /// The folder.
    pub folder: PathBuf,

    /// Its tables, as far as they could be read.
    pub tables: Option<ZoneTables>,

    /// What was found in its files, by these checks.
    pub report: Report,

    /// How strict it is checked.
    pub checks: Checks,

    /// Its files, behind those that all zones share.
    pub sources: Sources,
}

impl ZoneFolder {
    /// Reads a folder; `shared` are the files that it may refer to.
    pub fn read(folder: &Path, checks: Checks, regions: &RegionTable, shared: &Sources) -> Self {
        let (mut sources, mut report) = (shared.apart(), Report::default());
        let tables = read_zone(&mut sources, folder, regions, &mut report);
        if checks == Checks::Lenient {
            report.excuse();
        }
        ZoneFolder { folder: folder.to_owned(), tables, report, checks, sources }
    }
}

/// Reads every zone folder below a directory, sorted by name; see
/// [`list_zone_folders`].
pub fn read_zones_directory(
    sources: &mut Sources,
    zones: &Zones,
    regions: &RegionTable,
    report: &mut Report,
) -> Option<Vec<ZoneFolder>> {
    let folders = list_zone_folders(sources, &zones.directory, report)?;
    let read = |folder: &PathBuf| ZoneFolder::read(folder, zones.checks, regions, sources);
    let mut folders = parallel::map(&folders, read);
    let origins: Vec<_> = folders
        .iter()
        .map(|zone| (&*zone.folder, zone.tables.as_ref().map(|tables| &tables.origin)))
        .collect();
    for (at, finding) in duplicate_zones(&origins) {
        folders[at].report.add(finding);
    }
    Some(folders)
}

/// Lists the zone folders below a directory, sorted by name.
///
/// Names that begin with a dot and what is no folder are passed over; links
/// to folders are followed. Only a directory that cannot be listed is
/// reported, and gives nothing: that is not the same as an empty one, which is
/// no finding.
pub fn list_zone_folders(
    sources: &mut Sources,
    directory: &Path,
    report: &mut Report,
) -> Option<Vec<PathBuf>> {
    match list_folders(directory, sources) {
        Ok(folders) => Some(folders),
        Err(err) => {
            report.add(unreadable(directory, &err));
            None
        }
    }
}

fn list_folders(directory: &Path, sources: &mut Sources) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for (name, kind) in sources.list(directory)? {
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = directory.join(name);
        if kind.is_symlink() {
            sources.visit(&path);
        }
        if kind.is_dir() || kind.is_symlink() && path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// Returns a finding for each of the folders that hold the same zone, by their
/// positions: which one is meant cannot be told, so that all are held back.
pub fn duplicate_zones(folders: &[(&Path, Option<&Name>)]) -> Vec<(usize, Finding)> {
    // Nearly always each has one, which takes no allocation.
    let mut holders: FxHashMap<&Name, SmallVec<[usize; 1]>> = FxHashMap::default();
    for (at, (_, origin)) in folders.iter().enumerate() {
        if let Some(origin) = origin {
            holders.entry(origin).or_default().push(at);
        }
    }
    let finding = |at: usize, holders: &[usize]| {
        // In its own letter case.
        let origin = folders[at].1.map(ToString::to_string).unwrap_or_default();
        let twin = if at == holders[0] { holders[1] } else { holders[0] };
        Finding::new(
            Code::DuplicateZone,
            folders[at].0.to_owned(),
            format!("the zone {origin} is also in {}", folders[twin].0.display()),
            "remove one of the folders, or correct the `origin` in its zone.toml",
        )
    };
    let twice = holders.values().filter(|holders| holders.len() > 1);
    twice.flat_map(|holders| holders.iter().map(|at| (*at, finding(*at, holders)))).collect()
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::read_regions;

    fn regions(folder: &Path, sources: &mut Sources) -> RegionTable {
        let path = folder.join("regions.toml");
        fs::write(&path, "default = 'a'\n[regions.a]\n").unwrap();
        read_regions(sources, &path, &mut Report::default()).unwrap()
    }

    fn strict(directory: &Path) -> Zones {
        Zones { directory: directory.to_owned(), checks: Checks::Strict }
    }

    #[test]
    fn folders_and_links_to_them_are_zones_in_the_order_of_names() {
        let root = tempfile::tempdir().unwrap();
        let mut sources = Sources::default();
        let regions = regions(root.path(), &mut sources);
        let zones = root.path().join("zones");
        for name in ["b.example", ".hidden", "a.example"] {
            fs::create_dir_all(zones.join(name)).unwrap();
            fs::write(zones.join(name).join("zone.toml"), "").unwrap();
        }
        fs::create_dir(root.path().join("elsewhere")).unwrap();
        fs::write(root.path().join("elsewhere/records.zone"), "").unwrap();
        std::os::unix::fs::symlink("../elsewhere", zones.join("c.example")).unwrap();
        fs::write(zones.join("README"), "").unwrap();
        let mut report = Report::default();
        let read =
            read_zones_directory(&mut sources, &strict(&zones), &regions, &mut report).unwrap();
        let origin = |zone: &ZoneFolder| zone.tables.as_ref().unwrap().origin.to_string();
        let origins: Vec<_> = read.iter().map(origin).collect();
        assert_eq!(origins, ["a.example.", "b.example.", "c.example."]);
        assert!(report.findings().is_empty());
    }

    #[test]
    fn a_mistake_in_a_zone_is_in_its_own_report() {
        let root = tempfile::tempdir().unwrap();
        let mut sources = Sources::default();
        let regions = regions(root.path(), &mut sources);
        let zones = root.path().join("zones");
        for (name, text) in [("a.example", "ttl = 1"), ("b.example", "")] {
            fs::create_dir_all(zones.join(name)).unwrap();
            fs::write(zones.join(name).join("zone.toml"), text).unwrap();
        }
        let mut report = Report::default();
        let read =
            read_zones_directory(&mut sources, &strict(&zones), &regions, &mut report).unwrap();
        assert!(read[0].report.has_errors());
        assert!(!read[1].report.has_errors() && !report.has_errors());
    }
}
