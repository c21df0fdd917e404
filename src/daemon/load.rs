//! From the operator's files to compiled zones.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::secret;
use crate::compile;
use crate::config::model::Config;
use crate::config::{self, ZoneFolder};
use crate::diag::{Code, Finding, Report, Severity, Sources, Span};
use crate::geo::{CloudLists, Databases, RegionMap, RegionTable, Rules};
use crate::snapshot::{Settings, Snapshot, Timeline, Version, Zone};
use crate::transport::hickory::TCP_IDLE;
use crate::wire::{CookieSecrets, Name};

/// Reads and compiles everything that a configuration file names.
///
/// Everything found is reported, also behind the first error. Returns nothing
/// where the configuration, the region table, a database or a cloud list is
/// refused; a zone that is refused is missing from what is returned.
///
/// `serial` gives the least SOA serial of a zone whose tables fix none.
pub fn load(
    path: &Path,
    sources: &mut Sources,
    report: &mut Report,
    serial: impl Fn(&Name) -> u32,
) -> Option<Loaded> {
    let config = config::read_config(sources, path, report)?;
    let secrets = config.server.cookie_secrets.as_ref();
    let cookie_secrets = secrets.and_then(|path| config::read_cookie_secrets(path, report));
    let databases = Databases::load(&config.geoip.databases, sources, report);
    let regions = config::read_regions(sources, &config.geoip.regions, report)?;
    let map = region_map(databases, &regions, sources, report);
    let folders = config::read_zones_directory(sources, &config.zones, &regions, report);
    if folders.as_ref().is_some_and(Vec::is_empty) && !report.has_errors() {
        report.add(no_zones(&config.zones));
    }
    let shared_is_sound = !report.has_errors();
    let zones = folders
        .unwrap_or_default()
        .into_iter()
        .filter_map(|folder| compile_zone(folder, &regions, &serial, report))
        .collect();
    let map = Arc::new(map.filter(|_| shared_is_sound)?);
    Some(Loaded { path: path.to_owned(), config, cookie_secrets, regions, map, zones })
}

//----------- Loaded ---------------------------------------------------------

/// What the operator's files make.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration's file.
    pub path: PathBuf,

    /// The configuration.
    pub config: Config,

    /// The secrets of DNS cookies, where the operator gives them.
    pub cookie_secrets: Option<CookieSecrets>,

    /// The region table.
    pub regions: RegionTable,

    /// Where clients are.
    pub map: Arc<RegionMap>,

    /// The zones that can be served.
    pub zones: Vec<Zone>,
}

impl Loaded {
    /// Says in a few words what there is.
    pub fn summary(&self) -> String {
        let regions = count(self.regions.regions.len(), "region");
        format!("{}, {regions}", count(self.zones.len(), "zone"))
    }

    /// Returns what answers say beside records.
    pub fn settings(&self) -> Settings {
        Settings {
            client_subnet: self.config.geoip.client_subnet,
            identity: self.config.server.identity.clone(),
            version: self.config.server.version.clone(),
            tcp_keepalive: (TCP_IDLE.as_millis() / 100) as u16,
            cookie_secrets: self.cookie_secrets.clone().unwrap_or_else(secret::of_this_process),
        }
    }

    /// Makes the first snapshot: every zone is in force for everybody.
    pub fn into_snapshot(self) -> Snapshot {
        let settings = self.settings();
        let timelines = self.zones.into_iter().map(|zone| {
            let version = Version::new(Arc::new(zone), self.map.clone());
            Arc::new(Timeline::new(Arc::new(version), 0))
        });
        Snapshot::new(1, settings, timelines)
    }
}

/// Returns a number with its noun.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Compiles the region map. The databases are big, and gone when it is done.
fn region_map(
    databases: Databases,
    regions: &RegionTable,
    sources: &mut Sources,
    report: &mut Report,
) -> Option<RegionMap> {
    let clouds = CloudLists::load(regions, sources, report);
    Rules::check(regions, report);
    (!report.has_errors()).then(|| RegionMap::compile(regions, &clouds, &databases))
}

//----------- Zones ----------------------------------------------------------

/// Compiles a zone folder that was read, if nothing of it was lost.
///
/// Everything found in the folder is reported, and what compiling finds.
pub fn compile_zone(
    folder: ZoneFolder,
    regions: &RegionTable,
    serial: impl Fn(&Name) -> u32,
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
    if let Some(effective) = &tables.effective {
        report.add(effective_not_supported(effective.span));
        return None;
    }
    let serial = serial(&tables.origin).max(last_changed(&tables.folder));
    compile::compile(&tables, regions, serial, report).filter(|_| is_sound)
}

fn no_zones(directory: &Path) -> Finding {
    Finding::new(
        Code::NoZones,
        directory.to_owned(),
        "there is no zone folder here: every query will be refused",
        "add a folder a zone, or correct `directory` under [zones]",
    )
}

/// A table that is to wait must not go live at once.
fn effective_not_supported(span: Span) -> Finding {
    Finding::new(
        Code::NotSupported,
        span,
        "this version cannot schedule a change",
        "remove `effective`, and put the table in place when the change is to begin",
    )
}

/// Returns when a zone folder or a file in it was last changed, in seconds
/// since the Unix epoch: the serial of a zone whose tables fix none.
///
/// What counts is the time of the inode's change, which nobody can set back:
/// an older file that is copied or moved in, and a file that is removed, make
/// the serial rise like any edit. A restart without an edit leaves it.
fn last_changed(folder: &Path) -> u32 {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let files = entries.filter_map(|entry| entry.ok()?.metadata().ok());
    let all = files.chain(std::fs::metadata(folder));
    all.map(|metadata| metadata.ctime()).max().and_then(|time| time.try_into().ok()).unwrap_or(1)
}
