//! The directory that holds a folder a zone.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::model::{Checks, ZoneTables, Zones};
use super::text::unreadable;
use super::zone::read_zone;
use crate::diag::{Code, Finding, Report, Sources};
use crate::geo::RegionTable;
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

    /// The files that were read, by their positions in the sources.
    pub files: Range<usize>,
}

/// Reads every zone folder below a directory, sorted by name.
///
/// Names that begin with a dot and what is no folder are passed over; links
/// to folders are followed. Only a directory that cannot be listed is
/// reported to `report`, and gives nothing: that is not the same as an empty
/// one, which is no finding.
pub fn read_zones_directory(
    sources: &mut Sources,
    zones: &Zones,
    regions: &RegionTable,
    report: &mut Report,
) -> Option<Vec<ZoneFolder>> {
    let Zones { directory, checks } = zones;
    sources.visit(directory);
    let folders = match list_folders(directory) {
        Ok(folders) => folders,
        Err(err) => {
            report.add(unreadable(directory, &err));
            return None;
        }
    };
    let read = |folder: PathBuf| {
        let mut report = Report::default();
        let first = sources.count();
        let tables = read_zone(sources, &folder, regions, &mut report);
        if *checks == Checks::Lenient {
            report.excuse();
        }
        ZoneFolder { folder, tables, report, checks: *checks, files: first..sources.count() }
    };
    let mut zones: Vec<_> = folders.into_iter().map(read).collect();
    add_duplicate_zones(&mut zones);
    Some(zones)
}

fn list_folders(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_hidden =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Reports folders that hold the same zone, to each of them: which one is
/// meant cannot be told, so that both are held back.
fn add_duplicate_zones(zones: &mut [ZoneFolder]) {
    let folders: Vec<(PathBuf, Option<Name>)> = zones
        .iter()
        .map(|zone| (zone.folder.clone(), zone.tables.as_ref().map(|t| t.origin.clone())))
        .collect();
    for (at, zone) in zones.iter_mut().enumerate() {
        let Some(origin) = zone.tables.as_ref().map(|tables| &tables.origin) else { continue };
        let mut others = folders.iter().enumerate();
        let twin = others.find(|(other, (_, name))| *other != at && name.as_ref() == Some(origin));
        if let Some((_, (folder, _))) = twin {
            zone.report.add(Finding::new(
                Code::DuplicateZone,
                zone.folder.clone(),
                format!("the zone {origin} is also in {}", folder.display()),
                "remove one of the folders, or correct the `origin` in its zone.toml",
            ));
        }
    }
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
