//! Targets of files: tables, master files, databases, geofeeds, cloud lists.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkdns::answer::{Cause, Client, Transport, Verdict, answer};
use trunkdns::compile::compile;
use trunkdns::config::model::Checks;
use trunkdns::config::{read_config, read_regions, read_zone};
use trunkdns::diag::{Located, Report, Sources};
use trunkdns::geo::{CloudLists, Databases, RegionMap, RegionTable, Rules};
use trunkdns::snapshot::{Moment, Settings, Snapshot, Status, Timeline, Version, Zone};

use super::world;

/// The folder of the files that a target makes.
const FOLDER: &str = "/fuzz";

/// The most names of a zone that are asked for.
const NAMES_MAX: usize = 40;

//----------- tables, master -------------------------------------------------

/// Files of an operator, each behind a line `=== NAME`: reading, compiling and
/// rendering what was found never panic, and without an error there is a zone
/// that has an answer for every name.
pub fn tables(data: &[u8]) {
    let files = split(&String::from_utf8_lossy(data));
    let has = |name: &str| files.iter().any(|(path, _)| path.ends_with(name));
    let mut all = files.clone();
    if !has("regions.toml") {
        all.push((Path::new(FOLDER).join("regions.toml"), Arc::from(world::REGIONS)));
    }
    let mut sources = Sources::of_texts(all);
    let mut report = Report::default();
    if has("trunkdns.toml") {
        let path = Path::new(FOLDER).join("trunkdns.toml");
        let config = read_config(&mut sources, &path, &mut report);
        assert!(config.is_some() || report.has_errors());
    }
    let path = Path::new(FOLDER).join("regions.toml");
    let regions = read_regions(&mut sources, &path, &mut report);
    let Some(regions) = regions else {
        assert!(report.has_errors(), "no region table, and no error");
        return render(&report, &sources);
    };
    let clouds = CloudLists::load(&regions, &mut sources, &mut report);
    Rules::check(&regions, &mut report);
    render(&report, &sources);
    // Compiling a map costs more than all else, so that it is done where it
    // can be served.
    let map = (!report.has_errors())
        .then(|| Arc::new(RegionMap::compile(&regions, &clouds, &Databases::default())));
    if let Some(map) = &map {
        check_map(map);
    }
    check_zone(sources, &regions, map);
}

/// A master file, and files that it includes behind lines `=== NAME`.
pub fn master(data: &[u8]) {
    let text = format!("=== zone.example/records.zone\n{}", String::from_utf8_lossy(data));
    let regions = world::regions();
    check_zone(Sources::of_texts(split(&text)), &regions, Some(world::MAP.clone()));
}

/// Splits a text into files.
fn split(text: &str) -> Vec<(PathBuf, Arc<str>)> {
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut path = PathBuf::from(FOLDER);
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("=== ") {
            Some(name) => path = Path::new(FOLDER).join(name.trim()),
            None => files.entry(path.clone()).or_default().push_str(line),
        }
    }
    files.into_iter().map(|(path, text)| (path, text.into())).collect()
}

fn check_zone(mut sources: Sources, regions: &RegionTable, map: Option<Arc<RegionMap>>) {
    let mut report = Report::default();
    let folder = Path::new(FOLDER).join("zone.example");
    let tables = read_zone(&mut sources, &folder, regions, &mut report);
    // What is let through must not harm either.
    report.excuse();
    let has_tables = tables.is_some();
    let is_read = !report.has_errors();
    assert!(has_tables || !is_read, "no tables, and no error");
    let zone = tables.and_then(|tables| compile(&tables, regions, 1, Checks::Lenient, &mut report));
    render(&report, &sources);
    assert!(zone.is_some() || report.has_errors(), "no zone, and no error");
    let Some(zone) = zone.filter(|_| is_read) else { return };
    let kept = Zone::from_octets(&zone.to_octets()).expect("what was kept is a zone");
    assert!(kept == zone, "what was kept is the zone");
    if let Some(map) = map {
        check_answers(Arc::new(zone), map);
    }
}

/// Asks for what the zone has; all of it must come.
fn check_answers(zone: Arc<Zone>, map: Arc<RegionMap>) {
    let version = Arc::new(Version::new(zone.clone(), map));
    let timeline = Arc::new(Timeline::new(version, 0));
    let settings = Settings { client_subnet: true, ..Settings::default() };
    let snapshot = Snapshot::new(1, settings, [timeline]);
    for node in zone.nodes().take(NAMES_MAX) {
        let owner = node.owner();
        let kind =
            |cause: Cause| !matches!(cause, Cause::NotServed | Cause::Malformed(_) | Cause::NoRoom);
        assert!(kind(ask(&snapshot, owner, 65_280).0), "a name of the zone is not served");
        if node.status() != Status::Authoritative {
            continue;
        }
        for rrset in node.rrsets() {
            let (cause, count) = ask(&snapshot, owner, rrset.rtype().0);
            let region = snapshot.timelines()[0].newest().map.locate(CLIENT);
            let expected = rrset.variant(region).rdatas().len();
            if expected > 0 {
                assert_eq!((cause, count), (Cause::Answered, expected), "{}", rrset.rtype());
            } else {
                assert_eq!(cause, Cause::NoData, "{}", rrset.rtype());
            }
        }
    }
}

/// Who asks.
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 2, 0, 1));

/// Asks over TCP; returns what became of it, and how many records answer that
/// are of the type asked for.
fn ask(snapshot: &Snapshot, owner: &[u8], rtype: u16) -> (Cause, usize) {
    use domain::base::{Message, iana::Rtype};
    let mut message = b"\0\x01\0\0\0\x01\0\0\0\0\0\0".to_vec();
    message.extend(owner);
    message.extend(rtype.to_be_bytes());
    message.extend([0, 1]);
    let client = Client { address: CLIENT, transport: Transport::Tcp };
    let mut out = vec![0; 65_535];
    let outcome = answer(snapshot, &client, Moment(0), &message, &mut out);
    let Verdict::Send(len) = outcome.verdict else { panic!("a query is dropped") };
    let response = Message::from_octets(&out[..len]).expect("a response has a header");
    let records = response.iter().map(|record| record.expect("a record that can be stepped over"));
    let answers = records.filter(|(record, section)| {
        *section == domain::base::message::Section::Answer
            && record.rtype() == Rtype::from_int(rtype)
    });
    let count = answers.count();
    assert!(!outcome.truncated, "an RRset of a zone fits over TCP");
    (outcome.cause, count)
}

/// Renders what was found in each way there is.
fn render(report: &Report, sources: &Sources) {
    let text = report.render(sources, false);
    assert_eq!(text.is_empty(), report.findings().is_empty());
    report.render(sources, true);
    report.to_json(sources).to_string();
    for finding in report.findings() {
        finding.locator(sources);
    }
}

//----------- database, geofeed, clouds --------------------------------------

/// An MMDB file: refused, or every address has a region.
pub fn database(data: &[u8]) {
    load("database.mmdb", data);
}

/// A geofeed: refused, or every address has a region.
pub fn geofeed(data: &[u8]) {
    load("feed.csv", data);
}

fn load(name: &str, data: &[u8]) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join(name);
    std::fs::write(&path, data).expect("a scratch file");
    let mut sources = Sources::default();
    let mut report = Report::default();
    let config = sources.add(Path::new("trunkdns.toml"), format!("databases = ['{name}']"));
    let paths = [Located::new(path, config.span(0..9))];
    let databases = Databases::load(&paths, &mut sources, &mut report);
    render(&report, &sources);
    let is_used = databases.iter().count() == 1;
    assert!(is_used || report.has_errors(), "a database is left out without an error");
    let regions = "default = 'a'\n[regions.a]\ncountries = ['US', 'DE']\nlocation = [0, 0]\n\
                   [regions.b]\ncontinents = ['EU', 'AS']\nasns = [64500]\nlocation = [50, 10]\n\
                   [regions.c]\nsubdivisions = ['US-VA']\n";
    let path = PathBuf::from("regions.toml");
    let mut sources = Sources::of_texts([(path.clone(), Arc::from(regions))]);
    let regions = read_regions(&mut sources, &path, &mut report).expect("a region table");
    for address in ["0.0.0.0", "192.0.2.1", "81.2.69.160", "255.255.255.255", "::", "2a02::1"] {
        databases.facts(address.parse().expect("an address"));
    }
    if is_used {
        check_map(&RegionMap::compile(&regions, &CloudLists::default(), &databases));
    }
}

/// A cloud's address list, whichever of the three formats: refused, or every
/// address has a region.
pub fn clouds(data: &[u8]) {
    let regions = "default = 'a'\n[clouds]\naws = 'list.json'\n[regions.a]\n\
                   clouds = ['aws:us-east-1', 'aws:us-east4', 'aws:eastus']\n\
                   [regions.b]\nclouds = ['aws:eu-west-1']\nnetworks = ['10.0.0.0/9']\n";
    let text = String::from_utf8_lossy(data).into_owned();
    let files = [("regions.toml", regions), ("list.json", &text)];
    let files = files.map(|(name, text)| (Path::new(FOLDER).join(name), Arc::from(text)));
    let mut sources = Sources::of_texts(files);
    let mut report = Report::default();
    let path = Path::new(FOLDER).join("regions.toml");
    let regions = read_regions(&mut sources, &path, &mut report).expect("a region table");
    let clouds = CloudLists::load(&regions, &mut sources, &mut report);
    Rules::new(&regions, &clouds);
    render(&report, &sources);
    if !report.has_errors() {
        check_map(&RegionMap::compile(&regions, &clouds, &Databases::default()));
    }
}

/// Every address has a region, ranges touch, and what is kept is the same.
fn check_map(map: &RegionMap) {
    let kept = RegionMap::from_octets(&map.to_octets()).expect("what was kept is a map");
    assert!(kept == *map, "what was kept is the map");
    for (first, last, region) in map.ranges() {
        assert!(first <= last);
        assert_eq!((map.locate(first), map.locate(last)), (region, region));
        assert!(usize::from(region.0) < map.names().len());
    }
    for address in ["0.0.0.0", "255.255.255.255", "::", "64:ff9b::1.2.3.4"] {
        let address = address.parse().expect("an address");
        assert!(usize::from(map.locate(address).0) < map.names().len());
    }
}
