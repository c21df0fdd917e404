//! Tests of the whole way from files to regions.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use tempfile::TempDir;

use super::fixture::{Layout, Value, mmdb};
use super::prefix::{Family, bounds, number};
use super::special::{self, Embedding};
use super::*;
use crate::diag::{Located, Report, SourceId, Sources, Span};

//----------- Desk -----------------------------------------------------------

/// A folder for files, and everything that reading them needs.
struct Desk {
    folder: TempDir,
    sources: Sources,
    report: Report,
    table_file: SourceId,
    spans: usize,
}

impl Desk {
    fn new() -> Self {
        let mut sources = Sources::default();
        let table_file = sources.add("regions.toml".as_ref(), "x".repeat(1000));
        let folder = TempDir::new().unwrap();
        Desk { folder, sources, report: Report::default(), table_file, spans: 0 }
    }

    /// Returns a span of its own for each call.
    fn span(&mut self) -> Span {
        self.spans += 1;
        self.table_file.span(self.spans..self.spans + 1)
    }

    fn at<T>(&mut self, value: T) -> Located<T> {
        Located::new(value, self.span())
    }

    fn file(&mut self, name: &str, octets: impl AsRef<[u8]>) -> Located<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, octets).unwrap();
        self.at(path)
    }

    fn databases(&mut self, files: &[Located<PathBuf>]) -> Databases {
        Databases::load(files, &mut self.sources, &mut self.report)
    }

    fn clouds(&mut self, table: &RegionTable) -> CloudLists {
        CloudLists::load(table, &mut self.sources, &mut self.report)
    }

    /// Reads `name key=value,value key=…` lines; the first is the default.
    fn table(&mut self, lines: &[&str]) -> RegionTable {
        let mut regions: Vec<Region> = lines.iter().map(|line| self.region(line)).collect();
        let default = regions[0].name.clone();
        regions.sort_by(|a, b| a.name.cmp(&b.name));
        let mut table = RegionTable { regions, default: RegionId(0), clouds: Vec::new() };
        table.default = table.find(&default).unwrap();
        table
    }

    fn region(&mut self, line: &str) -> Region {
        let mut words = line.split(' ');
        let mut region = Region {
            name: words.next().unwrap().into(),
            span: self.span(),
            location: None,
            networks: Vec::new(),
            clouds: Vec::new(),
            asns: Vec::new(),
            subdivisions: Vec::new(),
            countries: Vec::new(),
            continents: Vec::new(),
        };
        for (key, values) in words.map(|word| word.split_once('=').unwrap()) {
            if key == "at" {
                let (latitude, longitude) = values.split_once(',').unwrap();
                let (latitude, longitude) = (latitude.parse().unwrap(), longitude.parse().unwrap());
                region.location = Some(Coordinates { latitude, longitude });
                continue;
            }
            for value in values.split(',') {
                let span = self.span();
                self.rule(&mut region, key, value, span);
            }
        }
        region
    }

    fn rule(&self, region: &mut Region, key: &str, value: &str, span: Span) {
        match key {
            "net" => region.networks.push(Located::new(value.parse().unwrap(), span)),
            "asn" => region.asns.push(Located::new(value.parse().unwrap(), span)),
            "sub" => {
                region.subdivisions.push(Located::new(Subdivision::parse(value).unwrap(), span));
            }
            "country" => region.countries.push(Located::new(Country::parse(value).unwrap(), span)),
            "continent" => {
                region.continents.push(Located::new(Continent::parse(value).unwrap(), span));
            }
            "cloud" => {
                let (list, name) = value.split_once(':').unwrap();
                let cloud = CloudRegion { list: list.into(), region: name.into() };
                region.clouds.push(Located::new(cloud, span));
            }
            _ => unreachable!("{key}"),
        }
    }

    fn add_cloud(&mut self, table: &mut RegionTable, name: &str, text: &str) {
        let path = self.file(&format!("{name}.json"), text);
        table.clouds.push(CloudList { name: name.into(), path });
    }

    /// Returns code and place of each finding, and asserts that it says
    /// something.
    fn found(&self) -> Vec<(&'static str, Option<Span>)> {
        let span = |place: &crate::diag::Place| match place {
            crate::diag::Place::Span(span) => Some(*span),
            crate::diag::Place::Path(_) => None,
        };
        let findings = self.report.findings();
        assert!(findings.iter().all(|f| !f.message.is_empty() && !f.help.is_empty()));
        findings.iter().map(|f| (f.code.name(), span(&f.place))).collect()
    }

    fn assert_clean(&self) {
        assert!(self.found().is_empty(), "{}", self.report.render(&self.sources, false));
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn text(key: &'static str, value: &'static str) -> (&'static str, Value) {
    (key, Value::Text(value))
}

fn country(code: &'static str) -> Value {
    Value::Map(vec![text("country_code", code)])
}

fn place(code: &'static str, state: &'static str, at: (f32, f32)) -> Value {
    Value::Map(vec![
        text("country_code", code),
        text("state1", state),
        ("latitude", Value::Float(at.0)),
        ("longitude", Value::Float(at.1)),
    ])
}

fn nested(code: &'static str, part: &'static str, at: (f64, f64)) -> Value {
    Value::Map(vec![
        ("country", Value::Map(vec![text("iso_code", code)])),
        ("subdivisions", Value::List(vec![Value::Map(vec![text("iso_code", part)])])),
        (
            "location",
            Value::Map(vec![("latitude", Value::Double(at.0)), ("longitude", Value::Double(at.1))]),
        ),
    ])
}

fn asn(number: u32) -> Value {
    Value::Map(vec![("autonomous_system_number", Value::Number(number))])
}

const AWS: &str = r#"{"syncToken": "1", "prefixes": [
    {"ip_prefix": "3.5.0.0/16", "region": "us-east-1", "service": "AMAZON"},
    {"ip_prefix": "3.5.0.0/16", "region": "us-east-1", "service": "EC2"},
    {"ip_prefix": "3.6.0.0/16", "region": "eu-west-1", "service": "AMAZON"},
    {"ip_prefix": "3.7.0.0/16", "region": "eu-west-1", "service": "AMAZON"},
    {"ip_prefix": "3.7.0.0/16", "region": "us-east-1", "service": "AMAZON"}],
    "ipv6_prefixes": [{"ipv6_prefix": "2600:1f00::/24", "region": "us-east-1"}]}"#;

const AZURE: &str = r#"{"changeNumber": 1, "cloud": "Public", "values": [
    {"name": "AzureCloud", "properties": {"region": "", "addressPrefixes": ["20.0.0.0/8"]}},
    {"name": "Sql.EastUS", "properties": {"region": "eastus", "addressPrefixes": ["20.1.0.0/16"]}},
    {"name": "AzureCloud.eastus", "properties": {"region": "eastus",
     "addressPrefixes": ["20.2.0.0/16", "2603:1030::/32"]}}]}"#;

const GOOGLE: &str = r#"{"syncToken": "1", "prefixes": [
    {"ipv4Prefix": "34.1.0.0/16", "service": "Google Cloud", "scope": "us-east4"},
    {"ipv6Prefix": "2600:1900::/35", "service": "Google Cloud", "scope": "us-east4"}]}"#;

//----------- Rules ----------------------------------------------------------

/// Decides with the facts of one record.
fn decide(desk: &mut Desk, table: &RegionTable, address: &str, facts: Facts) -> (String, Rule) {
    let clouds = desk.clouds(table);
    let decision = Rules::new(table, &clouds).decide(ip(address), &facts);
    (table.get(decision.region).name.clone(), decision.rule)
}

fn facts_of(code: &str) -> Facts {
    Facts { country: Country::parse(code), ..Facts::default() }
}

#[test]
fn rule_kinds_are_tried_in_order_over_all_regions() {
    let mut desk = Desk::new();
    let mut table = desk.table(&[
        "z",
        "a continent=NA",
        "b country=US",
        "c sub=US-VA",
        "d asn=64500",
        "e cloud=aws:us-east-1",
        "f net=3.5.0.0/17",
        "g at=39.8,-98.6",
    ]);
    desk.add_cloud(&mut table, "aws", AWS);
    let mut facts = Facts {
        asn: Some(64500),
        subdivision: Subdivision::parse("US-VA"),
        country: Country::parse("US"),
        ..Facts::default()
    };
    let mut name = |address, facts| decide(&mut desk, &table, address, facts).0;
    assert_eq!(name("3.5.0.1", facts), "f");
    assert_eq!(name("3.5.128.1", facts), "e");
    assert_eq!(name("8.8.8.8", facts), "d");
    facts.asn = Some(1);
    assert_eq!(name("8.8.8.8", facts), "c");
    facts.subdivision = Subdivision::parse("US-CA");
    assert_eq!(name("8.8.8.8", facts), "b");
    facts.country = Country::parse("MX");
    assert_eq!(name("8.8.8.8", facts), "a");
    facts.country = Country::parse("BR");
    assert_eq!(name("8.8.8.8", facts), "g");
    assert_eq!(name("8.8.8.8", Facts::default()), "z");
    desk.assert_clean();
}

#[test]
fn a_decision_says_what_matched_and_where_it_is_written() {
    let mut desk = Desk::new();
    let mut table = desk.table(&["a net=8.8.0.0/16 cloud=aws:eu-west-1 country=US", "b"]);
    desk.add_cloud(&mut table, "aws", AWS);
    let region = table.get(table.default).clone();
    let (_, rule) = decide(&mut desk, &table, "8.8.8.8", Facts::default());
    let span = region.networks[0].span;
    assert_eq!(rule, Rule::Network { prefix: "8.8.0.0/16".parse().unwrap(), span });
    let (_, rule) = decide(&mut desk, &table, "3.6.1.1", Facts::default());
    let Rule::Cloud { cloud, prefix, span } = rule else { panic!("{rule:?}") };
    assert_eq!((cloud.region.as_str(), prefix.to_string().as_str()), ("eu-west-1", "3.6.0.0/16"));
    assert_eq!(span, region.clouds[0].span);
    let (_, rule) = decide(&mut desk, &table, "9.9.9.9", facts_of("US"));
    let span = region.countries[0].span;
    assert_eq!(rule, Rule::Country { country: Country::parse("US").unwrap(), span });
}

#[test]
fn the_longest_prefix_wins_and_a_network_before_a_cloud_of_the_same_length() {
    let mut desk = Desk::new();
    let mut table =
        desk.table(&["z", "a net=3.0.0.0/8", "b net=3.6.0.0/16", "c cloud=aws:eu-west-1"]);
    desk.add_cloud(&mut table, "aws", AWS);
    assert_eq!(decide(&mut desk, &table, "3.1.1.1", Facts::default()).0, "a");
    assert_eq!(decide(&mut desk, &table, "3.7.1.1", Facts::default()).0, "c");
    assert_eq!(decide(&mut desk, &table, "3.6.1.1", Facts::default()).0, "b");
}

#[test]
fn a_tie_goes_to_the_nearest_location_then_to_the_first_name() {
    let mut desk = Desk::new();
    let rule = "country=US,CA asn=7 cloud=aws";
    let east = format!("east at=39,-77 {rule}:us-east-1");
    let west = format!("west at=37,-122 {rule}:eu-west-1");
    let mut table = desk.table(&["z", "anywhere country=US asn=7", &east, &west]);
    desk.add_cloud(&mut table, "aws", AWS);
    let california = Some(Coordinates { latitude: 34.0, longitude: -118.0 });
    let known = Facts { coordinates: california, ..facts_of("US") };
    let mut name = |address, facts| decide(&mut desk, &table, address, facts).0;
    assert_eq!(name("8.8.8.8", known), "west");
    assert_eq!(name("3.7.1.1", known), "west");
    // The middle of the US is nearer to Virginia than to California by a bit.
    assert_eq!(name("8.8.8.8", facts_of("US")), "east");
    // No place is known: `anywhere`, without a location, is first by name.
    assert_eq!(name("8.8.8.8", Facts { asn: Some(7), ..Facts::default() }), "anywhere");
    assert_eq!(name("3.7.1.1", Facts::default()), "east");
}

#[test]
fn the_nearest_region_is_told_with_its_distance() {
    let mut desk = Desk::new();
    let table = desk.table(&["frankfurt at=50.11,8.68", "tokyo at=35.68,139.69"]);
    let paris = Some(Coordinates { latitude: 48.8566, longitude: 2.3522 });
    let facts = Facts { coordinates: paris, ..Facts::default() };
    let (name, rule) = decide(&mut desk, &table, "8.8.8.8", facts);
    let Rule::Nearest { km } = rule else { panic!("{rule:?}") };
    assert_eq!(name, "frankfurt");
    assert!((km - 478.0).abs() < 3.0, "{km}");
    assert_eq!(decide(&mut desk, &table, "8.8.8.8", facts_of("AU")).0, "tokyo");
}

#[test]
fn special_purpose_addresses_match_networks_only() {
    let mut desk = Desk::new();
    let table = desk.table(&["z", "a country=US asn=7", "b net=10.1.0.0/16"]);
    let facts = Facts { asn: Some(7), ..facts_of("US") };
    assert_eq!(decide(&mut desk, &table, "10.1.0.1", facts).0, "b");
    for address in ["10.2.0.1", "::ffff:10.2.0.1", "fe80::1"] {
        assert_eq!(
            decide(&mut desk, &table, address, facts),
            ("z".to_string(), Rule::SpecialPurpose)
        );
    }
    assert_eq!(decide(&mut desk, &table, "8.8.8.8", Facts::default()).1, Rule::Default);
}

#[test]
fn networks_that_are_listed_twice_or_never_match_are_found() {
    let mut desk = Desk::new();
    let table = desk.table(&["a net=192.0.2.0/24,2002::/17,192.0.2.0/24", "b net=192.0.2.0/24"]);
    Rules::check(&table, &mut desk.report);
    let at = |region: usize, network: usize| Some(table.regions[region].networks[network].span);
    assert_eq!(
        desk.found(),
        [
            ("bad-network", at(0, 1)),
            ("network-in-two-regions", at(0, 2)),
            ("network-in-two-regions", at(1, 0)),
        ]
    );
    let related: Vec<_> = desk.report.findings()[1].related.iter().map(|(s, _)| Some(*s)).collect();
    assert_eq!(related, [at(0, 0)]);
}

//----------- Clouds ---------------------------------------------------------

#[test]
fn the_lists_of_three_clouds_are_read() {
    let mut desk = Desk::new();
    let mut table =
        desk.table(&["z", "a cloud=aws:us-east-1,azure:eastus", "b cloud=google:us-east4"]);
    for (name, text) in [("aws", AWS), ("azure", AZURE), ("google", GOOGLE)] {
        desk.add_cloud(&mut table, name, text);
    }
    let mut name = |address| decide(&mut desk, &table, address, Facts::default()).0;
    for address in ["3.5.1.1", "2600:1f01::1", "20.1.1.1", "20.2.1.1", "2603:1030::1"] {
        assert_eq!(name(address), "a", "{address}");
    }
    for address in ["34.1.1.1", "2600:1900::1"] {
        assert_eq!(name(address), "b", "{address}");
    }
    assert_eq!(name("20.3.1.1"), "z");
    desk.assert_clean();
}

#[test]
fn what_does_not_fit_the_cloud_lists_is_found() {
    let mut desk = Desk::new();
    let mut table = desk.table(&[
        "a cloud=aws:us-eest-1,azur:eastus,broken:x,empty:y,gone:z",
        "b cloud=aws:us-east-1",
        "c cloud=aws:us-east-1",
    ]);
    desk.add_cloud(&mut table, "aws", AWS);
    desk.add_cloud(&mut table, "broken", "{");
    desk.add_cloud(&mut table, "empty", "{}");
    let gone = desk.at(PathBuf::from("/nowhere/gone.json"));
    table.clouds.push(CloudList { name: "gone".into(), path: gone });
    desk.clouds(&table);
    let cloud = |region: usize, at: usize| Some(table.regions[region].clouds[at].span);
    let list = |at: usize| ("bad-cloud-list", Some(table.clouds[at].path.span));
    let want = [
        ("unknown-cloud-region", cloud(0, 0)),
        ("unknown-cloud-list", cloud(0, 1)),
        ("cloud-in-two-regions", cloud(2, 0)),
        list(1),
        list(2),
        list(3),
    ];
    assert_eq!(desk.found(), want);
    assert_eq!(desk.report.findings()[0].help, "did you mean `aws:us-east-1`?");
}

//----------- Databases ------------------------------------------------------

#[test]
fn the_first_database_that_knows_a_field_wins() {
    let mut desk = Desk::new();
    let files = [
        desk.file("feed.csv", "8.8.0.0/16,CA,,,\n"),
        desk.file("asn.mmdb", mmdb(Layout::V4, 24, &[("8.0.0.0/8", asn(7))])),
        desk.file("city.mmdb", mmdb(Layout::V4, 28, &[("8.0.0.0/8", place("US", "", (1.5, 2.5)))])),
    ];
    let databases = desk.databases(&files);
    desk.assert_clean();
    let facts = databases.facts(ip("8.8.8.8"));
    assert_eq!((facts.country, facts.asn), (Country::parse("CA"), Some(7)));
    assert_eq!(facts.continent, Some(Continent::NorthAmerica));
    assert_eq!(facts.coordinates, Some(Coordinates { latitude: 1.5, longitude: 2.5 }));
    assert_eq!(databases.facts(ip("8.9.8.8")).country, Country::parse("US"));
    let built: Vec<_> = databases.iter().map(Database::built).collect();
    assert_eq!(built, [None, Some(1_780_000_000), Some(1_780_000_000)]);
}

#[test]
fn a_combined_database_answers_for_embedded_but_not_for_special_addresses() {
    let mut desk = Desk::new();
    let networks =
        [("2000::/3", country("FR")), ("8.0.0.0/8", country("US")), ("10.0.0.0/8", country("DE"))];
    let file = desk.file("all.mmdb", mmdb(Layout::Combined, 24, &networks));
    let databases = desk.databases(&[file]);
    let known = |address| databases.facts(ip(address)).country;
    for address in ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:0808:0808::1"] {
        assert_eq!(known(address), Country::parse("US"), "{address}");
    }
    assert_eq!(known("2a00::1"), Country::parse("FR"));
    for address in ["10.1.1.1", "::1", "::8.8.8.8", "fe80::1"] {
        assert_eq!(known(address), None, "{address}");
    }
}

#[test]
fn the_addresses_of_a_country_are_the_first_of_its_networks() {
    let mut desk = Desk::new();
    let networks =
        [("2a00::/16", country("FR")), ("8.0.0.0/8", country("US")), ("9.0.0.0/8", country("FR"))];
    let files = [
        desk.file("feed.csv", "192.0.1.0/24,FR,,,\n192.0.3.0/24,US,,,\n"),
        desk.file("all.mmdb", mmdb(Layout::Combined, 24, &networks)),
    ];
    let databases = desk.databases(&files);
    let of = |code| databases.addresses_in(Country::parse(code).unwrap()).collect::<Vec<_>>();
    assert_eq!(of("FR"), [ip("192.0.1.0"), ip("9.0.0.0"), ip("2a00::")]);
    assert_eq!(of("US"), [ip("192.0.3.0"), ip("8.0.0.0")]);
    assert_eq!(of("DE"), [] as [IpAddr; 0]);
}

#[test]
fn databases_that_cannot_be_used_are_found() {
    let mut desk = Desk::new();
    let good = mmdb(Layout::V4, 24, &[("8.0.0.0/8", country("US"))]);
    let useless = [("8.0.0.0/8", Value::Map(vec![text("isp", "x")]))];
    // The root's left child is the root.
    let mut cycle = good.clone();
    cycle[..3].copy_from_slice(&[0, 0, 0]);
    let files = [
        desk.file("empty.mmdb", ""),
        desk.file("garbage.mmdb", [7; 5000]),
        desk.file("cut.mmdb", &good[..good.len() - 60]),
        desk.file("useless.mmdb", mmdb(Layout::V4, 24, &useless)),
        desk.file("cycle.mmdb", cycle),
        desk.file("empty.csv", "# nothing\n"),
        desk.at(PathBuf::from("/nowhere/gone.mmdb")),
        desk.file("good.mmdb", &good),
    ];
    let databases = desk.databases(&files);
    let want: Vec<_> = files[..7].iter().map(|file| ("bad-database", Some(file.span))).collect();
    assert_eq!(desk.found(), want);
    assert_eq!(databases.iter().count(), 1);
}

#[test]
fn damaged_databases_never_panic() {
    let mut desk = Desk::new();
    let networks = [("8.0.0.0/8", place("US", "Virginia", (1.0, 2.0))), ("9.0.0.0/8", asn(7))];
    let good = mmdb(Layout::Combined, 24, &networks);
    let table = desk.table(&["z", "a country=US asn=7"]);
    let mut numbers = Numbers(7);
    let mut read = 0;
    for _ in 0..500 {
        let mut octets = good.clone();
        for _ in 0..1 + numbers.next() % 3 {
            let at = numbers.next() as usize % octets.len();
            octets[at] ^= 1 << (numbers.next() % 8);
        }
        let file = desk.file("damaged.mmdb", octets);
        let databases = desk.databases(&[file]);
        read += databases.iter().count();
        databases.facts(ip("8.8.8.8"));
        RegionMap::compile(&table, &CloudLists::default(), &databases);
        if read == 20 {
            return;
        }
    }
    panic!("only {read} damaged files could be read");
}

#[test]
fn a_tree_in_which_all_ways_lead_to_the_same_nodes_is_refused() {
    let mut desk = Desk::new();
    let mut octets = mmdb(Layout::V4, 24, &[("255.255.255.255/32", asn(7))]);
    // A path of 32 nodes: both halves of each become the next one.
    for node in octets[..32 * 6].chunks_exact_mut(6) {
        node.copy_within(3..6, 0);
    }
    let file = desk.file("shared.mmdb", octets);
    assert_eq!(desk.databases(&[file]).iter().count(), 0);
    let message = &desk.report.findings()[0].message;
    assert!(message.ends_with("its tree has more than 528 leaves"), "{message}");
}

//----------- RegionMap ------------------------------------------------------

/// A reproducible sequence (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns an address: IPv4, allocated IPv6, IPv4 in IPv6, or any IPv6.
    fn address(&mut self) -> IpAddr {
        let (high, low) = (u128::from(self.next()), u128::from(self.next()));
        let wide = high << 64 | low;
        let number = match self.next() % 8 {
            0..4 => return Family::V4.address(low),
            4..6 => 0x2 << 124 | wide >> 4,
            6 => {
                let blocks = [0xffff << 32, 0x64_ff9b << 96, 0x2001_0000 << 96, 0x2002 << 112];
                let masks = [32, 32, 96, 112];
                let at = self.next() as usize % 4;
                blocks[at] | wide >> (128 - masks[at])
            }
            _ => wide,
        };
        Family::V6.address(number)
    }

    fn regions(&mut self, own: RegionId, count: usize) -> RegionSet {
        let others = self.next();
        let mut set: RegionSet =
            (0..count as u8).map(RegionId).filter(|id| others >> id.0 & 1 == 1).collect();
        set.insert(own);
        set
    }
}

/// Compares a map with the rules it was compiled from.
fn compare(table: &RegionTable, clouds: &CloudLists, databases: &Databases, random: usize) {
    let map = RegionMap::compile(table, clouds, databases);
    assert_eq!(map, RegionMap::compile(table, clouds, databases));
    let rules = Rules::new(table, clouds);
    let ranges: Vec<_> = map.ranges().collect();
    let mut numbers = Numbers(1);
    let step = ranges.len().div_ceil(random);
    let edges: Vec<_> =
        ranges.iter().step_by(step).flat_map(|(first, last, _)| [*first, *last]).collect();
    let picks: Vec<_> = (0..random).map(|_| numbers.address()).collect();
    for (turn, address) in edges.into_iter().chain(picks).enumerate() {
        let region = map.locate(address);
        let decision = rules.decide(address, &databases.facts(address));
        assert_eq!(region, decision.region, "{address} {decision:?}");
        if turn % 10 == 0 {
            let same = numbers.regions(region, table.regions.len());
            assert_widest(&map, &ranges, address, &same);
            assert_widest(&map, &ranges, address, &RegionSet::one(region));
        }
    }
    assert_eq!(map.ipv4_shares().iter().sum::<u64>(), 1 << 32);
}

type Ranges = [(IpAddr, IpAddr, RegionId)];

/// Asserts that a scope is the widest prefix in which all regions are of a set.
fn assert_widest(map: &RegionMap, ranges: &Ranges, address: IpAddr, same: &RegionSet) {
    let scope = map.scope(address, same);
    let inner = special::canonical(address);
    let before = match address {
        IpAddr::V6(outer) => Embedding::find(outer).map_or(0, |(at, _)| at.bits_before()),
        IpAddr::V4(_) => 0,
    };
    assert!(before <= scope, "{address}/{scope}");
    let prefix = IpNet::new(inner, scope - before).unwrap().trunc();
    assert!(all_same(ranges, prefix, same), "{address}/{scope} is too wide");
    if let Some(wider) = prefix.supernet() {
        assert!(!all_same(ranges, wider, same), "{address}/{scope} is too narrow");
    }
}

/// Says whether ranges of a set cover all of a prefix.
fn all_same(ranges: &Ranges, prefix: IpNet, same: &RegionSet) -> bool {
    let (start, end) = bounds(prefix);
    let family = |address: &IpAddr| address.is_ipv6();
    let v6 = family(&prefix.addr());
    let from = ranges.partition_point(|(_, last, _)| (family(last), number(*last)) < (v6, start));
    let mut next = start;
    for (first, last, region) in &ranges[from..] {
        if family(first) != v6 || number(*first) > next || !same.contains(*region) {
            return false;
        }
        if number(*last) >= end {
            return true;
        }
        next = number(*last) + 1;
    }
    false
}

/// Returns disjoint networks of both families with records of any kind.
fn networks(numbers: &mut Numbers, family: Family, count: usize) -> Vec<String> {
    let networks = (0..count).map(|_| {
        loop {
            let address = numbers.address();
            let longest = if family == Family::V4 { 32 } else { 64 };
            if Family::of(address) == family && special::canonical(address) == address {
                let length = 8 + (numbers.next() % (longest - 7)) as u8;
                break IpNet::new(address, length).unwrap().trunc();
            }
        }
    });
    let mut networks: Vec<IpNet> = networks.collect();
    // The writer wants wide networks before those inside them.
    networks.sort_by_key(|network| network.prefix_len());
    networks.iter().map(IpNet::to_string).collect()
}

fn random_mmdb(numbers: &mut Numbers, layout: Layout, values: &[Value]) -> Vec<u8> {
    let mut all = Vec::new();
    if layout != Layout::V6 {
        all.extend(networks(numbers, Family::V4, 300));
    }
    if layout != Layout::V4 {
        all.extend(networks(numbers, Family::V6, 300));
    }
    let records: Vec<(&str, Value)> = all
        .iter()
        .map(|network| {
            let value = &values[numbers.next() as usize % values.len()];
            (network.as_str(), value.clone())
        })
        .collect();
    let bits = if numbers.next().is_multiple_of(2) { 24 } else { 28 };
    mmdb(layout, bits, &records)
}

#[test]
fn a_map_places_every_address_as_rules_and_databases_do() {
    let mut desk = Desk::new();
    let mut numbers = Numbers(2026);
    let flat = [
        place("US", "Virginia", (39.0, -77.5)),
        place("US", "California", (37.0, -122.0)),
        place("CA", "Ontario", (43.7, -79.4)),
        country("DE"),
    ];
    let deep = [
        nested("US", "WA", (47.6, -122.3)),
        nested("JP", "13", (35.7, 139.7)),
        nested("ZA", "", (200.0, 0.0)),
    ];
    let asns = [asn(7), asn(8)];
    let files = [
        desk.file("feed.csv", "1.0.0.0/8,BR,,,\n1.2.0.0/16,US,US-NY,,\n2a00::/12,CN,,,\n"),
        desk.file("asn.mmdb", random_mmdb(&mut numbers, Layout::Combined, &asns)),
        desk.file("flat4.mmdb", random_mmdb(&mut numbers, Layout::V4, &flat)),
        desk.file("flat6.mmdb", random_mmdb(&mut numbers, Layout::V6, &flat)),
        desk.file("deep.mmdb", random_mmdb(&mut numbers, Layout::Combined, &deep)),
    ];
    let mut table = desk.table(&[
        "z net=8.0.0.0/7,2400::/12",
        "asia at=35.7,139.7 country=JP,CN",
        "east at=39.0,-77.5 sub=US-VA,US-NY asn=7 country=US cloud=aws:us-east-1",
        "europe at=50.1,8.7 continent=EU,AF net=10.3.0.0/16,2001:db8::/40",
        "nowhere continent=AF net=::/0 cloud=aws:eu-west-1",
        "south at=-23.5,-46.6",
        "west at=37.0,-122.0 country=US,CA",
    ]);
    desk.add_cloud(&mut table, "aws", AWS);
    let clouds = desk.clouds(&table);
    let databases = desk.databases(&files);
    desk.assert_clean();
    compare(&table, &clouds, &databases, 100_000);
    table.regions[4].networks.clear();
    compare(&table, &clouds, &databases, 20_000);
    compare(&table, &clouds, &desk.databases(&files[3..4]), 20_000);
    compare(&table, &clouds, &Databases::default(), 20_000);
}

#[test]
fn the_shipped_country_database_is_compiled_as_it_reads() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("geoip/country.mmdb");
    let mut desk = Desk::new();
    let file = desk.at(path);
    let databases = desk.databases(&[file]);
    let table = desk.table(&[
        "z",
        "americas at=39.0,-77.5 country=US,CA continent=SA",
        "asia at=35.7,139.7",
        "europe at=50.1,8.7 continent=EU,AF",
        "west at=37.0,-122.0 country=US,MX",
    ]);
    desk.assert_clean();
    compare(&table, &CloudLists::default(), &databases, 100_000);
}

#[test]
fn a_scope_ends_where_the_set_of_regions_does() {
    let mut desk = Desk::new();
    let table = desk.table(&["a", "b net=8.8.8.0/24", "c net=8.8.9.0/24"]);
    let map = RegionMap::compile(&table, &CloudLists::default(), &Databases::default());
    let [a, b, c] = ["a", "b", "c"].map(|name| table.find(name).unwrap());
    let set = |ids: &[RegionId]| ids.iter().copied().collect::<RegionSet>();
    let scope = |address, ids: &[RegionId]| map.scope(ip(address), &set(ids));
    assert_eq!(scope("8.8.8.8", &[b]), 24);
    assert_eq!(scope("8.8.8.8", &[b, c]), 23);
    assert_eq!(scope("8.8.8.8", &[a, b, c]), 0);
    assert_eq!(scope("8.8.10.1", &[a]), 23);
    assert_eq!(scope("200.0.0.1", &[a]), 1);
    assert_eq!(scope("8.8.8.8", &[a]), 32);
    assert_eq!(map.scope(ip("8.8.8.8"), &RegionSet::ALL), 0);
}

#[test]
fn a_scope_never_leaves_nor_enters_a_block_that_carries_ipv4() {
    let mut desk = Desk::new();
    let table = desk.table(&["a", "b net=8.8.8.0/24"]);
    let map = RegionMap::compile(&table, &CloudLists::default(), &Databases::default());
    let scope = |address| map.scope(ip(address), &RegionSet::ALL);
    assert_eq!(scope("::ffff:8.8.8.8"), 96);
    assert_eq!(scope("64:ff9b::8.8.8.8"), 96);
    assert_eq!(scope("2002:808:808::1"), 16);
    assert_eq!(scope("2001:0:1:2:3:4:f7f7:f7f7"), 96);
    // 2003::/16 is beside 2002::/16.
    assert_eq!(scope("2003::1"), 16);
    let one = RegionSet::one(table.find("b").unwrap());
    assert_eq!(map.scope(ip("::ffff:8.8.8.8"), &one), 120);
    assert_eq!(map.scope(ip("2002:808:808::1"), &one), 40);
    assert_eq!(map.scope(ip("2001:0:1:2:3:4:f7f7:f7f7"), &one), 120);
}

#[test]
fn a_scope_is_exact_across_many_blocks_of_ranges() {
    let mut desk = Desk::new();
    let mut table = desk.table(&["a", "b", "c net=8.0.0.0/32,9.255.255.255/32"]);
    // 32 768 ranges that alternate between a and b.
    let every_other = (0..16_384u32).map(|at| 0x0800_0001 + at * 1024);
    for start in every_other {
        let network = IpNet::new(Family::V4.address(start.into()), 32).unwrap();
        let network = desk.at(network);
        table.regions[1].networks.push(network);
    }
    let map = RegionMap::compile(&table, &CloudLists::default(), &Databases::default());
    assert!(map.range_count() > 32_768);
    let ranges: Vec<_> = map.ranges().collect();
    let same: RegionSet = [RegionId(0), RegionId(1)].into_iter().collect();
    let mut numbers = Numbers(3);
    for _ in 0..2000 {
        let address = Family::V4.address(u128::from(0x0800_0000 + numbers.next() % (1 << 25)));
        assert_widest(&map, &ranges, address, &same);
    }
    assert_eq!(map.scope(ip("9.0.0.0"), &same), 9);
}
