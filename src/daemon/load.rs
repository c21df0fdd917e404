//! From the operator's files to a snapshot.

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::compile;
use crate::config::model::{Config, ZoneTables};
use crate::config::{self, ZoneFolder};
use crate::diag::{Code, Report, Severity, Sources};
use crate::geo::{CloudLists, Databases, RegionMap, RegionTable};
use crate::snapshot::{Settings, Snapshot, Version, Zone};

//----------- Loaded ---------------------------------------------------------

/// What the operator's files make.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,

    /// The region table.
    pub regions: RegionTable,

    /// What answers queries.
    pub snapshot: Snapshot,
}

impl Loaded {
    /// Says in a few words what there is.
    pub fn summary(&self) -> String {
        let count = |count: usize, noun: &str| {
            format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
        };
        format!(
            "{}, {}",
            count(self.snapshot.versions().len(), "zone"),
            count(self.regions.regions.len(), "region")
        )
    }
}

/// Reads and compiles everything that a configuration file names.
///
/// Returns nothing if anything is refused. Everything found is reported, also
/// behind the first error.
pub fn load(path: &Path, sources: &mut Sources, report: &mut Report) -> Option<Loaded> {
    let config = config::read_config(sources, path, report)?;
    let regions = config::read_regions(sources, &config.geoip.regions, report)?;
    let map = region_map(&config, &regions, sources, report);
    let folders = config::read_zones_directory(sources, &config.zones, &regions, report);
    let folders = folders.unwrap_or_default().into_iter();
    let zones: Vec<_> =
        folders.filter_map(|folder| compile_zone(folder, &regions, report)).collect();
    if report.has_errors() {
        return None;
    }
    let map = Arc::new(map?);
    let versions = zones.into_iter().map(|zone| Arc::new(Version { zone, map: map.clone() }));
    let settings = Settings {
        client_subnet: config.geoip.client_subnet,
        identity: config.server.identity.clone(),
    };
    let snapshot = Snapshot::new(1, settings, versions);
    Some(Loaded { config, regions, snapshot })
}

fn region_map(
    config: &Config,
    regions: &RegionTable,
    sources: &mut Sources,
    report: &mut Report,
) -> Option<RegionMap> {
    let databases = Databases::load(&config.geoip.databases, sources, report);
    let clouds = CloudLists::load(regions, sources, report);
    (!report.has_errors()).then(|| RegionMap::compile(regions, &clouds, &databases))
}

/// Compiles a zone folder that was read, if nothing of it was lost.
///
/// Everything found in the folder is reported, and what compiling finds.
pub fn compile_zone(
    folder: ZoneFolder,
    regions: &RegionTable,
    report: &mut Report,
) -> Option<Zone> {
    // Tables that were read in part would be found to lack what could not be
    // read. A key too many takes nothing away.
    let is_whole =
        folder.report.findings().iter().all(|finding| {
            finding.severity() == Severity::Warning || finding.code == Code::UnknownKey
        });
    let is_sound = !folder.report.has_errors();
    report.extend(folder.report);
    let tables = folder.tables.filter(|_| is_whole)?;
    compile::compile(&tables, regions, serial(&tables), report).filter(|_| is_sound)
}

/// Returns the serial of a zone whose tables fix none: when they were last
/// written, in seconds.
///
/// Edits make it rise, and a restart without an edit leaves it.
fn serial(tables: &ZoneTables) -> u32 {
    let newest = |folder: &Path| {
        let entries = std::fs::read_dir(folder).ok()?;
        let times = entries.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok());
        times.filter_map(|time| time.duration_since(UNIX_EPOCH).ok()).max()
    };
    newest(&tables.folder).map_or(1, |age| age.as_secs() as u32)
}
