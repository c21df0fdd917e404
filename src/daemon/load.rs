//! From the operator's files to compiled zones.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::secret;
use crate::clock;
use crate::compile;
use crate::config::model::{Checks, Config, ZoneTables};
use crate::config::{self, Certificate, ZoneFolder};
use crate::diag::{Code, Finding, Report, Severity, Sources};
use crate::geo::{CloudLists, Databases, RegionMap, RegionTable, Rules};
use crate::lint::{self, Context, Servers};
use crate::snapshot::{Policy, Settings, Snapshot, Timeline, Version, Zone};
use crate::state::{Kept, KeptZone, Shared, Tables};
use crate::wire::{CookieSecrets, Name};

/// Reads and compiles everything that a configuration file names.
///
/// Everything found is reported, also behind the first error. Returns nothing
/// where the configuration, the region table, a database or a cloud list is
/// refused; a zone that is refused is missing from what is returned.
///
/// What was compiled from the same files before is taken from `known`.
pub fn load(
    path: &Path,
    known: Option<&Kept>,
    sources: &mut Sources,
    report: &mut Report,
) -> Option<Loaded> {
    read(path, known, None, sources, report)
}

/// Reads and compiles everything, and lints what is compiled anew.
///
/// `now` is the time that dates are compared with, in seconds since the Unix
/// epoch. What the configuration allows is not reported.
pub fn load_and_lint(
    path: &Path,
    known: Option<&Kept>,
    now: u64,
    sources: &mut Sources,
    report: &mut Report,
) -> Option<Loaded> {
    read(path, known, Some(now), sources, report)
}

fn read(
    path: &Path,
    known: Option<&Kept>,
    now: Option<u64>,
    sources: &mut Sources,
    report: &mut Report,
) -> Option<Loaded> {
    let config = config::read_config(sources, path, report)?;
    let secrets = read_secrets(&config, sources, report);
    let config_text = tables_of(path, sources, 0);
    let first = sources.count();
    let regions = config::read_regions(sources, &config.geoip.regions, report);
    let regions_text = tables_of(&config.geoip.regions, sources, first);
    let shared = regions.as_ref().and_then(|regions| {
        let files = SharedFiles { config: &config, regions, config_text, regions_text, now };
        files.compile(known.map(|known| &*known.shared), sources, report)
    });
    let (shared, databases) = shared.unzip();
    let regions = regions?;
    let context = now.map(|_| Context {
        regions: &regions,
        databases: databases.as_ref().and_then(Option::as_ref),
        production: config.server.production,
        spread_ttl: config.handover.spread_ttl,
    });
    let folders = config::read_zones_directory(sources, &config.zones, &regions, report);
    if folders.as_ref().is_some_and(Vec::is_empty) && !report.has_errors() {
        report.add(no_zones(&config.zones.directory));
    }
    let shared_is_sound = !report.has_errors();
    let folders = folders.unwrap_or_default();
    let present = folders.iter().map(|zone| zone.folder.clone()).collect();
    let zones: Vec<_> = folders
        .into_iter()
        .filter_map(|folder| {
            compile_folder(folder, known, &regions, context.as_ref(), sources, report)
        })
        .collect();
    // Like a zone, it holds nothing up but itself.
    let certificate = read_certificate(&config, sources, report);
    lint::cycles(zones.iter().flat_map(|zone| &zone.servers), report);
    report.allow(&config.allow);
    let shared = Arc::new(shared.filter(|_| shared_is_sound)?);
    let settings = settings(&config, secrets);
    Some(Loaded { config, settings, certificate, regions, shared, zones, folders: present })
}

//----------- Loaded ---------------------------------------------------------

/// What the operator's files make.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,

    /// What answers say beside records.
    pub settings: Settings,

    /// The certificate of the encrypted transports, if there are any and it can
    /// be used.
    pub certificate: Option<Arc<Certificate>>,

    /// The region table.
    pub regions: RegionTable,

    /// What is kept of both, and the region map.
    pub shared: Arc<Shared>,

    /// The zones that can be served.
    pub zones: Vec<LoadedZone>,

    /// Every zone folder that is there.
    pub folders: BTreeSet<PathBuf>,
}

/// A zone and what it was made of.
#[derive(Debug)]
pub struct LoadedZone {
    /// The compiled zone.
    pub zone: Arc<Zone>,

    /// The files as they were read.
    pub tables: Arc<Tables>,

    /// Those of its endpoints that are drained.
    pub drained: Arc<BTreeSet<Name>>,

    /// When the last of them was written, in seconds since the Unix epoch.
    pub modified: u64,

    /// From when on they are to be in force, in seconds since the Unix epoch.
    pub effective: Option<u64>,

    /// The name servers of it and of what it delegates, where it is linted.
    pub servers: Vec<Servers>,
}

impl Loaded {
    /// Says in a few words what there is.
    pub fn summary(&self) -> String {
        let regions = count(self.regions.regions.len(), "region");
        format!("{}, {regions}", count(self.zones.len(), "zone"))
    }

    /// Makes a snapshot in which every zone is in force for everybody.
    pub fn into_snapshot(self) -> Snapshot {
        let settings = self.settings.clone();
        self.into_kept(0).snapshot(&settings)
    }

    /// Has every zone be in force for everybody since a time, in seconds since
    /// the Unix epoch.
    pub fn into_kept(self, published: u64) -> Kept {
        let mut kept = Kept { generation: 1, ..Kept::new(self.shared) };
        for LoadedZone { zone, tables, .. } in self.zones {
            let (origin, serial) = (zone.origin().clone(), zone.serial());
            let version = Version::new(zone, kept.shared.map.clone());
            let timeline = Arc::new(Timeline::new(Arc::new(version), published));
            let drained = Arc::default();
            let (skipped, scheduled) = (None, None);
            let zone = KeptZone { timeline, tables, skipped, drained, scheduled, serial };
            kept.zones.insert(origin, Arc::new(zone));
        }
        kept
    }
}

/// Returns what answers say beside records.
pub fn settings(config: &Config, secrets: Option<CookieSecrets>) -> Settings {
    Settings {
        client_subnet: config.geoip.client_subnet,
        identity: config.server.identity.clone(),
        version: config.server.version.clone(),
        tcp_keepalive: u16::try_from(config.tcp.idle.as_millis() / 100).unwrap_or(u16::MAX),
        cookie_secrets: secrets.unwrap_or_else(secret::of_this_process),
        spread_ttl: config.handover.spread_ttl,
        policy: Arc::new(Policy::new(&config.limit, &config.customers)),
        balancers: config.server.proxy_from.iter().map(|network| network.value).collect(),
    }
}

/// Reads what server cookies are made with, if the configuration names it.
pub fn read_secrets(
    config: &Config,
    sources: &mut Sources,
    report: &mut Report,
) -> Option<CookieSecrets> {
    let path = config.server.cookie_secrets.as_ref()?;
    sources.visit(&path.value);
    config::read_cookie_secrets(path, report)
}

/// Reads the certificate of the encrypted transports, if there are any.
pub fn read_certificate(
    config: &Config,
    sources: &mut Sources,
    report: &mut Report,
) -> Option<Arc<Certificate>> {
    let encrypted = config.encrypted.as_ref()?;
    sources.visit(&encrypted.certificate.value);
    sources.visit(&encrypted.key.value);
    let now = clock::wall().second();
    config::read_certificate(encrypted, now, report).map(Arc::new)
}

/// Returns a number with its noun.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Returns the files that were read from a position in the order of reading
/// on.
fn tables_of(path: &Path, sources: &Sources, first: usize) -> Arc<Tables> {
    let files = sources.texts(first..sources.count()).collect();
    Arc::new(Tables { path: path.to_owned(), files })
}

fn no_zones(directory: &Path) -> Finding {
    Finding::new(
        Code::NoZones,
        directory.to_owned(),
        "there is no zone folder here: every query will be refused",
        "add a folder a zone, or correct `directory` under [zones]",
    )
}

//----------- SharedFiles ----------------------------------------------------

/// The files that all zones share, on their way to a region map.
struct SharedFiles<'a> {
    config: &'a Config,
    regions: &'a RegionTable,
    config_text: Arc<Tables>,
    regions_text: Arc<Tables>,

    /// The time, where the files are linted.
    now: Option<u64>,
}

impl SharedFiles<'_> {
    /// Compiles the region map, or takes the one that was compiled from the
    /// same files.
    ///
    /// Returns the databases too where zones are to be linted: they are big,
    /// and otherwise gone when it is done.
    fn compile(
        self,
        known: Option<&Shared>,
        sources: &mut Sources,
        report: &mut Report,
    ) -> Option<(Shared, Option<Databases>)> {
        let before = self.fingerprint(sources);
        let known = known.filter(|known| before.is_some() && known.fingerprint == before);
        let (map, summaries, databases) = match known {
            Some(known) => (known.map.clone(), known.databases.clone(), None),
            None => {
                let (map, databases) = self.compile_anew(sources, report)?;
                (map, databases.summaries(), self.now.map(|_| databases))
            }
        };
        // Files that change while they are read make a map that can be served,
        // but not one to go by the next time.
        let fingerprint = before.filter(|_| known.is_some() || self.fingerprint(sources) == before);
        let (config, regions) = (self.config_text, self.regions_text);
        Some((Shared { config, regions, map, fingerprint, databases: summaries }, databases))
    }

    fn compile_anew(
        &self,
        sources: &mut Sources,
        report: &mut Report,
    ) -> Option<(Arc<RegionMap>, Databases)> {
        let databases = Databases::load(&self.config.geoip.databases, sources, report);
        let clouds = CloudLists::load(self.regions, sources, report);
        Rules::check(self.regions, report);
        if report.has_errors() {
            return None;
        }
        let (map, usage) = RegionMap::survey(self.regions, &clouds, &databases);
        if let Some(now) = self.now {
            lint::region_table(self.regions, &map, &usage, report);
            lint::ages(&databases, &clouds, now, report);
        }
        Some((Arc::new(map), databases))
    }

    /// Returns a digest of everything that the map is compiled from, this
    /// release among it; none if a file cannot be read.
    fn fingerprint(&self, sources: &mut Sources) -> Option<[u8; 32]> {
        let mut digest = Sha256::new();
        digest.update(env!("CARGO_PKG_VERSION"));
        for (_, text) in &self.regions_text.files {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(&**text);
        }
        let databases = self.config.geoip.databases.iter().map(|database| &database.value);
        let clouds = self.regions.clouds.iter().map(|cloud| &cloud.path.value);
        for path in databases.chain(clouds) {
            sources.visit(path);
            digest.update(digest_of(path).ok()?);
        }
        Some(digest.finalize().into())
    }
}

fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut octets = vec![0; 1 << 16];
    loop {
        match file.read(&mut octets)? {
            0 => return Ok(digest.finalize().into()),
            len => digest.update(&octets[..len]),
        }
    }
}

//----------- Zones ----------------------------------------------------------

/// Compiles a zone folder that was read, if nothing of it was lost.
///
/// Everything found in the folder is reported, and what compiling finds; with
/// a context a zone that is compiled anew is linted as well. What the zone
/// allows is not reported.
pub fn compile_folder(
    mut folder: ZoneFolder,
    known: Option<&Kept>,
    regions: &RegionTable,
    context: Option<&Context<'_>>,
    sources: &Sources,
    report: &mut Report,
) -> Option<LoadedZone> {
    let mut found = std::mem::take(&mut folder.report);
    let allow = folder.tables.as_ref().map(|tables| tables.allow.clone());
    let loaded = compile_sound(folder, known, regions, context, sources, &mut found);
    found.allow(&allow.unwrap_or_default());
    report.extend(found);
    loaded
}

fn compile_sound(
    folder: ZoneFolder,
    known: Option<&Kept>,
    regions: &RegionTable,
    context: Option<&Context<'_>>,
    sources: &Sources,
    report: &mut Report,
) -> Option<LoadedZone> {
    let is_sound = !report.has_errors();
    let drained = known.map(Kept::drained).unwrap_or_default();
    let tables = folder.tables.filter(|_| is_whole(report))?.draining(&drained);
    let files = sources.texts(folder.files.clone()).collect();
    let files = Arc::new(Tables { path: folder.folder, files });
    let modified = sources.modified(folder.files);
    let known = known.and_then(|known| known.zones.get(&tables.origin));
    let newest = known.map(|known| known.timeline.newest().zone.clone());
    let unchanged =
        newest.clone().filter(|_| known.is_some_and(|known| known.is_made_of(&files, regions)));
    let drained = Arc::new(tables.drained.clone());
    let zone = match unchanged {
        Some(zone) => zone,
        None => {
            let serial = newest.map_or(1, |zone| zone.serial());
            let zone = compile::compile(&tables, regions, serial, folder.checks, report)?;
            if let Some(context) = context {
                lint::zone(&tables, &zone, context, report);
            }
            Arc::new(zone)
        }
    };
    let effective = tables.effective.map(|effective| effective.value);
    let servers = context.map(|_| Servers::of(&tables)).unwrap_or_default();
    let tables = files;
    is_sound.then_some(LoadedZone { zone, tables, drained, modified, effective, servers })
}

/// Says whether all that folders hold was read.
///
/// Tables that were read in part would be found to lack what could not be
/// read. A key too many takes nothing away.
fn is_whole(report: &Report) -> bool {
    report
        .findings()
        .iter()
        .all(|finding| finding.severity() == Severity::Warning || finding.code == Code::UnknownKey)
}

/// Reads a file that was kept.
pub fn read_kept<T>(
    tables: &Tables,
    read: impl Fn(&mut Sources, &Path, &mut Report) -> Option<T>,
) -> Option<T> {
    let mut sources = Sources::of_texts(tables.files.iter().cloned());
    read(&mut sources, &tables.path, &mut Report::default())
}

/// Reads the tables of a zone that were kept, with the files to find
/// positions in; no tables where something of them is lost.
///
/// What the operator allowed when they were served has an excuse now.
pub fn read_texts(
    tables: &Tables,
    regions: &RegionTable,
    report: &mut Report,
) -> (Option<ZoneTables>, Sources) {
    let mut sources = Sources::of_texts(tables.files.iter().cloned());
    let zone = config::read_zone(&mut sources, &tables.path, regions, report);
    report.excuse();
    (zone.filter(|_| is_whole(report)), sources)
}

/// Compiles a zone from tables that were kept.
///
/// `serial` is the SOA serial where the tables fix none. Fails with the first
/// thing that is found wrong.
pub fn compile_texts(
    tables: &Tables,
    regions: &RegionTable,
    serial: u32,
) -> Result<Arc<Zone>, String> {
    compile_draining(tables, regions, serial, &BTreeSet::new()).map(|(zone, _)| zone)
}

/// Compiles a zone from tables that were kept, with endpoints drained; returns
/// which of them it has, too.
pub fn compile_draining(
    tables: &Tables,
    regions: &RegionTable,
    serial: u32,
    drained: &BTreeSet<Name>,
) -> Result<(Arc<Zone>, Arc<BTreeSet<Name>>), String> {
    let mut report = Report::default();
    let (zone, sources) = read_texts(tables, regions, &mut report);
    let zone = zone.map(|zone| zone.draining(drained)).and_then(|tables| {
        let zone = compile::compile(&tables, regions, serial, Checks::Lenient, &mut report)?;
        Some((Arc::new(zone), Arc::new(tables.drained)))
    });
    zone.filter(|_| !report.has_errors()).ok_or_else(|| {
        let findings = report.findings();
        let error = findings.iter().find(|finding| finding.severity() == Severity::Error);
        error.map_or_else(
            || "its tables cannot be read".to_owned(),
            |error| format!("{}: {}", error.locator(&sources), error.message),
        )
    })
}
