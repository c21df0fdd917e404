//! From the operator's files to compiled zones.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use super::secret;
use crate::clock;
use crate::compile;
use crate::config::model::{Checks, Config, ZoneTables};
use crate::config::{self, Certificate, ZoneFolder};
use crate::diag::{Code, Finding, Look, Report, Severity, Sources, words};
use crate::geo::{CloudLists, Databases, RegionMap, RegionTable, Rules};
use crate::lint::{self, Context, Servers};
use crate::parallel;
use crate::snapshot::{Policy, Settings, Snapshot, Timeline, Version, Zone};
use crate::state::{Kept, KeptZone, ObjectId, Reading, Shared, Tables};
use crate::wire::{CookieSecrets, Name};

/// Reads and compiles everything that a configuration file names.
///
/// Everything found is reported, also behind the first error. Returns nothing
/// where the configuration, the region table, a database or a cloud list is
/// refused; a zone that is refused is missing from what is returned.
///
/// What was compiled from the same files before is taken from `known`; zones
/// whose files have left no trace of a change since are not read again, and
/// nothing is said of them that was said before.
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
    let basis = basis(&config_text, &regions_text);
    if let Some(regions) = &regions {
        check_log(&config, regions, report);
    }
    let regions = regions?;
    let files = SharedFiles { config: &config, regions: &regions, config_text, regions_text, now };
    let shared = files.read(known.map(|known| &*known.shared), sources, report);
    let context = now.map(|_| Context {
        regions: &regions,
        databases: shared.as_ref().and_then(ReadShared::databases),
        production: config.server.production,
        spread_ttl: config.handover.spread_ttl,
    });
    let directory = &config.zones.directory;
    let folders = config::list_zone_folders(sources, directory, report);
    if folders.as_ref().is_some_and(Vec::is_empty) && !report.has_errors() {
        report.add(no_zones(directory));
    }
    let shared_is_sound = !report.has_errors();
    let folders = folders.unwrap_or_default();
    let reader = ZoneReader::new(config.zones.checks, &regions, known, basis, context);
    // One processor takes as long to compile the map as all of them take to
    // compile a thousand zones.
    let (zones, shared) = parallel::both(
        || reader.read_all(&folders, sources, report),
        || shared.as_ref().map(ReadShared::compile),
    );
    let shared = shared.map(|(shared, found)| {
        report.extend(found);
        shared
    });
    // Like a zone, it holds nothing up but itself.
    let certificate = read_certificate(&config, sources, report);
    report.allow(&config.allow);
    let shared = Arc::new(shared.filter(|_| shared_is_sound)?);
    let settings = settings(&config, secrets);
    let folders = folders.into_iter().collect();
    Some(Loaded { config, settings, certificate, regions, shared, zones, folders })
}

/// Reports regions of `[log]` that there are not: nothing would be logged.
fn check_log(config: &Config, regions: &RegionTable, report: &mut Report) {
    let names = regions.regions.iter().map(|region| &*region.name);
    for region in &config.log.regions {
        if regions.find(&region.value).is_none() {
            let message = format!("the region `{}` is not declared", region.value);
            let help = words::suggest(&region.value, names.clone(), "list regions of the table");
            report.add(Finding::new(Code::UnknownRegion, region.span, message, help));
        }
    }
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
    pub folders: HashSet<PathBuf>,
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

    /// The zone that was kept, where it was not read again.
    pub kept: Option<Arc<KeptZone>>,
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
        health_from: config.admin.health_from.iter().map(|network| network.value).collect(),
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
    Arc::new(Tables::new(path.to_owned(), sources.texts(first..sources.count())))
}

/// Returns what all that is found in zones depends on, beside their files:
/// this release, the configuration and the region table.
fn basis(config: &Tables, regions: &Tables) -> ObjectId {
    let ids = [config.id(), regions.id()].map(|id| id.to_string());
    ObjectId::of([env!("CARGO_PKG_VERSION"), &ids[0], &ids[1]].concat().as_bytes())
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

impl<'a> SharedFiles<'a> {
    /// Reads what the region map is compiled from, unless that is what the
    /// known one was compiled from.
    fn read(
        self,
        known: Option<&'a Shared>,
        sources: &mut Sources,
        report: &mut Report,
    ) -> Option<ReadShared<'a>> {
        let reading = self.reading(sources);
        // Databases are large: they are not read to see that they are the same.
        let is_unread = |known: &&Shared| {
            known.reading.as_ref().is_some_and(|known| known.is_followed_by(&reading))
        };
        let fingerprint = match known.filter(is_unread) {
            Some(known) => known.fingerprint,
            None => self.fingerprint(),
        };
        let is_same = |known: &&Shared| fingerprint.is_some() && known.fingerprint == fingerprint;
        let basis = match known.filter(is_same) {
            Some(known) => MapBasis::Known(known),
            None => {
                let databases = Databases::load(&self.config.geoip.databases, sources, report);
                let clouds = CloudLists::load(self.regions, sources, report);
                Rules::check(self.regions, report);
                MapBasis::Files { databases, clouds }
            }
        };
        let is_sound = matches!(basis, MapBasis::Known(_)) || !report.has_errors();
        is_sound.then_some(ReadShared { files: self, reading, fingerprint, basis })
    }

    fn compile(
        &self,
        databases: &Databases,
        clouds: &CloudLists,
        report: &mut Report,
    ) -> RegionMap {
        let (map, usage) = RegionMap::survey(self.regions, clouds, databases);
        if let Some(now) = self.now {
            lint::region_table(self.regions, &map, &usage, report);
            lint::ages(databases, clouds, now, report);
        }
        map
    }

    /// Returns the databases and cloud lists.
    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let databases = self.config.geoip.databases.iter().map(|database| &database.value);
        databases.chain(self.regions.clouds.iter().map(|cloud| &cloud.path.value))
    }

    /// Returns what the files look like that the map is compiled from.
    fn reading(&self, sources: &mut Sources) -> Reading {
        let (at, context) = (clock::wall().second(), self.regions_text.id());
        let looks: Arc<[Look]> = self.paths().map(|path| Look::at(path)).collect();
        sources.add_looks(looks.iter().cloned());
        Reading { at, context, effective: None, looks }
    }

    /// Returns a digest of everything that the map is compiled from, this
    /// release among it; none if a file cannot be read.
    fn fingerprint(&self) -> Option<[u8; 32]> {
        let mut digest = Sha256::new();
        digest.update(env!("CARGO_PKG_VERSION"));
        digest.update(self.regions_text.id().to_string());
        for path in self.paths() {
            digest.update(digest_of(path).ok()?);
        }
        Some(digest.finalize().into())
    }
}

//----------- ReadShared -----------------------------------------------------

/// The files that all zones share, as they were read.
struct ReadShared<'a> {
    files: SharedFiles<'a>,
    reading: Reading,

    /// A digest of everything that the map is compiled from, before it was
    /// read.
    fingerprint: Option<[u8; 32]>,

    basis: MapBasis<'a>,
}

/// What a region map is made of.
enum MapBasis<'a> {
    /// The same as the known one.
    Known(&'a Shared),

    /// What was read.
    Files { databases: Databases, clouds: CloudLists },
}

impl ReadShared<'_> {
    /// Returns the databases, where they were read.
    fn databases(&self) -> Option<&Databases> {
        match &self.basis {
            MapBasis::Known(_) => None,
            MapBasis::Files { databases, .. } => Some(databases),
        }
    }

    /// Compiles the region map, or takes the known one; returns what was found
    /// in it, too, where the files are linted.
    fn compile(&self) -> (Shared, Report) {
        let mut report = Report::default();
        let (map, databases) = match &self.basis {
            MapBasis::Known(known) => (known.map.clone(), known.databases.clone()),
            MapBasis::Files { databases, clouds } => {
                let map = self.files.compile(databases, clouds, &mut report);
                (Arc::new(map), databases.summaries())
            }
        };
        // Files that change while they are read make a map that can be served,
        // but not one to go by the next time.
        let is_known = matches!(self.basis, MapBasis::Known(_));
        let is_same = |before: &_| is_known || self.files.fingerprint().as_ref() == Some(before);
        let fingerprint = self.fingerprint.filter(is_same);
        let (config, regions) = (self.files.config_text.clone(), self.files.regions_text.clone());
        let reading = Some(self.reading.clone());
        (Shared { config, regions, map, fingerprint, reading, databases }, report)
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

//----------- ZoneReader -----------------------------------------------------

/// Reads and compiles zone folders, as far as they are new.
struct ZoneReader<'a> {
    checks: Checks,
    regions: &'a RegionTable,
    known: Option<&'a Kept>,

    /// Zones that are known, by their folders; nothing where two had the same.
    by_folder: FxHashMap<&'a OsStr, Option<&'a Arc<KeptZone>>>,

    /// Endpoints that are drained.
    drained: BTreeSet<Name>,

    /// What findings depend on beside the folders.
    basis: ObjectId,

    /// What zones that are compiled anew are linted with.
    context: Option<Context<'a>>,
}

/// What became of a zone folder.
struct ReadFolder {
    /// The zone's name, where it could be read.
    origin: Option<Name>,

    /// The zone, unless it is refused.
    zone: Option<LoadedZone>,

    /// What was found in its files.
    report: Report,

    /// What was found when they were compiled.
    compiled: Report,

    /// The files.
    sources: Sources,

    /// What was looked at.
    looks: Arc<[Look]>,

    /// Which warnings its tables allow.
    allow: Vec<Code>,

    /// The name servers of it and of what it delegates, where it is linted.
    servers: Vec<Servers>,
}

impl<'a> ZoneReader<'a> {
    fn new(
        checks: Checks,
        regions: &'a RegionTable,
        known: Option<&'a Kept>,
        basis: ObjectId,
        context: Option<Context<'a>>,
    ) -> Self {
        let mut by_folder = FxHashMap::default();
        for zone in known.iter().flat_map(|known| known.zones.values()) {
            // Hashing paths goes by their parts, which takes ten times as long.
            let place = by_folder.entry(zone.tables.path.as_os_str());
            place.and_modify(|known| *known = None).or_insert(Some(zone));
        }
        let drained = known.map(Kept::drained).unwrap_or_default();
        ZoneReader { checks, regions, known, by_folder, drained, basis, context }
    }

    /// Reads folders; everything found in them is reported.
    fn read_all(
        &self,
        folders: &[PathBuf],
        sources: &mut Sources,
        report: &mut Report,
    ) -> Vec<LoadedZone> {
        let shared = sources.apart();
        let first = shared.count();
        let mut read = parallel::map(folders, |folder| self.read(folder, &shared));
        let origins = folders.iter().zip(&read);
        let origins: Vec<_> =
            origins.map(|(folder, read)| (&**folder, read.origin.as_ref())).collect();
        for (at, finding) in config::duplicate_zones(&origins) {
            // Which one is meant has to be known first.
            let ReadFolder { zone, report, compiled, .. } = &mut read[at];
            (*zone, *compiled) = (None, Report::default());
            report.add(finding);
        }
        let (mut zones, mut servers) = (Vec::with_capacity(read.len()), Vec::new());
        for folder in read {
            sources.add_looks(folder.looks.iter().cloned());
            let behind = sources.absorb(folder.sources, first);
            let mut found = folder.report;
            found.extend(folder.compiled);
            found.allow(&folder.allow);
            report.absorb(found, behind, first);
            servers.extend(folder.servers.into_iter().map(|one| one.behind(behind, first)));
            zones.extend(folder.zone);
        }
        lint::cycles(&servers, report);
        zones
    }

    fn read(&self, folder: &Path, shared: &Sources) -> ReadFolder {
        let at = clock::wall().second();
        if let Some(zone) = self.unchanged(folder, at) {
            return ReadFolder::unchanged(zone);
        }
        let mut folder = ZoneFolder::read(folder, self.checks, self.regions, shared);
        folder.tables = folder.tables.map(|tables| tables.draining(&self.drained));
        let looks: Arc<[Look]> = folder.sources.take_looks().into();
        let tables = folder.tables.as_ref();
        let effective = tables.and_then(|tables| tables.effective);
        let reading = Reading {
            at,
            context: self.basis,
            effective: effective.map(|effective| effective.value),
            looks: looks.clone(),
        };
        let origin = tables.map(|tables| tables.origin.clone());
        let allow = tables.map(|tables| tables.allow.clone()).unwrap_or_default();
        let mut compiled = Report::default();
        let zone = self.compile(&folder, shared.count(), reading, &mut compiled);
        let linted = folder.tables.as_ref().filter(|_| zone.is_some() && self.context.is_some());
        let servers = linted.map(Servers::of).unwrap_or_default();
        let ZoneFolder { report, sources, .. } = folder;
        ReadFolder { origin, zone, report, compiled, sources, looks, allow, servers }
    }

    /// Returns the zone of a folder if it would be compiled from the same as
    /// before.
    fn unchanged(&self, folder: &Path, now: u64) -> Option<LoadedZone> {
        let known = self.by_folder.get(folder.as_os_str()).copied().flatten()?;
        // What is in the folder of a zone with a schedule, or of one that was
        // rolled back, is not what the newest version was made of.
        let is_same = known.scheduled.is_none()
            && known.skipped.is_none()
            && known.is_made_of(&known.tables, self.regions)
            && known.tables.are_unchanged(self.basis, now);
        let effective = known.tables.reading.as_ref().and_then(|reading| reading.effective);
        is_same.then(|| LoadedZone {
            zone: known.timeline.newest().zone.clone(),
            tables: known.tables.clone(),
            drained: known.drained.clone(),
            // It is asked for where a zone is another one.
            modified: 0,
            effective,
            kept: Some(known.clone()),
        })
    }

    /// Compiles a zone folder that was read, if nothing of it was lost; its
    /// files begin behind the first ones.
    fn compile(
        &self,
        folder: &ZoneFolder,
        first: usize,
        reading: Reading,
        report: &mut Report,
    ) -> Option<LoadedZone> {
        let tables = folder.tables.as_ref().filter(|_| is_whole(&folder.report))?;
        let sources = &folder.sources;
        let files = first..sources.count();
        let modified = sources.modified(files.clone());
        let mut texts = Tables::new(folder.folder.clone(), sources.texts(files));
        let known = self.known.and_then(|known| known.zones.get(&tables.origin));
        if let Some(known) = known {
            texts = texts.sharing(&known.tables);
        }
        texts.reading = Some(reading);
        let newest = known.map(|known| known.timeline.newest().zone.clone());
        let is_known = known.is_some_and(|known| known.is_made_of(&texts, self.regions));
        let zone = match newest.clone().filter(|_| is_known) {
            Some(zone) => zone,
            None => {
                let serial = newest.map_or(1, |zone| zone.serial());
                let zone = compile::compile(tables, self.regions, serial, self.checks, report)?;
                if let Some(context) = &self.context {
                    lint::zone(tables, &zone, context, report);
                }
                Arc::new(zone)
            }
        };
        let drained = Arc::new(tables.drained.clone());
        let effective = tables.effective.map(|effective| effective.value);
        let tables = Arc::new(texts);
        let is_sound = !folder.report.has_errors();
        let kept = None;
        is_sound.then_some(LoadedZone { zone, tables, drained, modified, effective, kept })
    }
}

impl ReadFolder {
    /// What became of a folder that was not read.
    fn unchanged(zone: LoadedZone) -> Self {
        let looks = zone.tables.reading.as_ref().map(|reading| reading.looks.clone());
        ReadFolder {
            origin: Some(zone.zone.origin().clone()),
            zone: Some(zone),
            report: Report::default(),
            compiled: Report::default(),
            sources: Sources::default(),
            looks: looks.unwrap_or_default(),
            allow: Vec::new(),
            servers: Vec::new(),
        }
    }
}

/// Reads and compiles a zone folder by itself; everything found is reported,
/// and with a context it is linted.
pub fn load_folder(
    folder: &Path,
    regions: &RegionTable,
    context: Option<Context<'_>>,
    sources: &mut Sources,
    report: &mut Report,
) -> Option<LoadedZone> {
    let basis = ObjectId::default();
    let reader = ZoneReader::new(Checks::Strict, regions, None, basis, context);
    reader.read_all(&[folder.to_owned()], sources, report).pop()
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
    let mut sources = Sources::of_texts(tables.files().ok()?);
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
    let Ok(files) = tables.files() else { return (None, Sources::default()) };
    let mut sources = Sources::of_texts(files);
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
