//! What all servers are given, and what they are asked.
//!
//! One zone, `carrier.example.com`, with three endpoints in each of eight
//! regions, and `_sip._tcp` steered by the client's country. The port of an SRV
//! record tells the region and the version of the zone, so that an answer can
//! be checked by itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::Path;

use ipnet::Ipv4Net;
use maxminddb::{PathElement, Reader, WithinOptions};

use super::check::{Data, Expected};
use super::mmdb;

/// The zone.
pub const ZONE: &str = "carrier.example.com";

/// The name that is steered.
pub const SERVICE: &str = "_sip._tcp.carrier.example.com";

/// Regions with their countries and their continents; a country goes before a
/// continent, and the first region has everybody else.
pub const REGIONS: [(&str, &[&str], &[&str]); 8] = [
    ("us-east", &[], &["NA"]),
    ("sa-east", &[], &["SA"]),
    ("eu-west", &["BE", "ES", "FR", "GB", "IE", "NL", "PT"], &[]),
    ("eu-central", &[], &["EU"]),
    ("af-south", &[], &["AF"]),
    ("ap-northeast", &["CN", "HK", "JP", "KR", "TW"], &[]),
    ("ap-southeast", &[], &["AS"]),
    ("au-southeast", &[], &["AN", "OC"]),
];

/// How many versions of the zone the ports have room for.
pub const VERSIONS: u16 = 1000;

/// Clients and subnets that ask.
const CLIENTS: usize = 4096;

/// Questions of a kind: enough for caches of answers to matter, few enough for
/// the generator to have them in its own cache.
const QUESTIONS: usize = 400;

//----------- World ----------------------------------------------------------

/// Who asks, and where they are.
pub struct World {
    /// Whether the country database says where clients are.
    pub has_database: bool,

    /// Every country, with its continent and region.
    pub countries: BTreeMap<[u8; 2], ([u8; 2], usize)>,

    /// Addresses that ask, each with its region.
    pub clients: Vec<(Ipv4Addr, usize)>,

    /// Client subnets of 24 bits that resolvers send, each with its region.
    pub subnets: Vec<([u8; 3], usize)>,
}

impl World {
    /// Draws clients out of the shipped database, by address space: their
    /// region is what the database says itself, not what trunkdns makes of it.
    pub fn new() -> Self {
        let mut world =
            World { has_database: true, countries: countries(), clients: vec![], subnets: vec![] };
        let reader = shipped();
        let mut random = Random(0x5eed);
        while world.subnets.len() < CLIENTS {
            let address = Ipv4Addr::from(random.next());
            let found = reader.lookup(IpAddr::V4(address)).expect("the database is sound");
            let Some(code) = code(&found) else { continue };
            if is_special(address) {
                continue;
            }
            let region = world.countries.get(&code).map_or(0, |(_, region)| *region);
            if world.clients.len() < CLIENTS {
                world.clients.push((address, region));
            } else if found.network().is_ok_and(|network| network.prefix() <= 24) {
                let [a, b, c, _] = address.octets();
                world.subnets.push(([a, b, c], region));
            }
        }
        world
    }

    /// A world without a database: clients are networks of the loopback, which
    /// the region table names.
    pub fn on_loopback() -> Self {
        let number = |at: usize| (at % 200) as u8 + 1;
        let clients = (0..64).map(|at| {
            let region = at % REGIONS.len();
            (Ipv4Addr::new(127, 0, 11 + region as u8, number(at)), region)
        });
        let subnets = (0..64).map(|at| ([127, 0, 11 + (at % 8) as u8], at % 8));
        World {
            has_database: false,
            countries: countries(),
            clients: clients.collect(),
            subnets: subnets.collect(),
        }
    }

    /// Writes the shipped database in the layout of MaxMind's.
    pub fn write_database(&self, path: &Path) {
        let reader = shipped();
        let within = reader.within("0.0.0.0/0".parse().unwrap(), WithinOptions::default());
        let networks = within.unwrap().filter_map(|found| {
            let found = found.expect("the database is sound");
            let network = found.network().unwrap();
            let IpAddr::V4(address) = network.ip() else { return None };
            let code = code(&found)?;
            let (continent, _) = *self.countries.get(&code)?;
            Some((address, network.prefix(), (code, continent)))
        });
        std::fs::write(path, mmdb::write(networks)).unwrap();
    }
}

fn shipped() -> Reader<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/country.mmdb");
    Reader::open_readfile(path).expect("the shipped database can be read")
}

fn code(found: &maxminddb::LookupResult<'_, Vec<u8>>) -> Option<[u8; 2]> {
    let code: &str = found.decode_path(&[PathElement::Key("country_code")]).ok()??;
    code.as_bytes().try_into().ok()
}

/// Says whether an address is not for clients: not unicast, private, or this
/// very network's.
fn is_special(address: Ipv4Addr) -> bool {
    let special = ["0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "192.0.0.0/16", "224.0.0.0/3"];
    special.iter().any(|network| network.parse::<Ipv4Net>().unwrap().contains(&address))
}

fn countries() -> BTreeMap<[u8; 2], ([u8; 2], usize)> {
    let octets = |code: &str| <[u8; 2]>::try_from(code.as_bytes()).unwrap();
    let rows = include_str!("../../src/geo/countries.csv").lines();
    rows.filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (country, rest) = line.split_once(',').unwrap();
            // Names may hold commas; coordinates do not.
            let continent = rest.rsplit(',').nth(2).unwrap();
            (octets(country), (octets(continent), region_of(country, continent)))
        })
        .collect()
}

fn region_of(country: &str, continent: &str) -> usize {
    let by_country = REGIONS.iter().position(|(_, countries, _)| countries.contains(&country));
    let by_continent = || REGIONS.iter().position(|(_, _, all)| all.contains(&continent));
    by_country.or_else(by_continent).unwrap_or(0)
}

/// Numbers that look random and are the same every time (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// Returns the next one.
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 32) as u32
    }
}

//----------- The zone -------------------------------------------------------

/// Returns the port of a region's endpoints in a version of the zone.
pub fn port(region: usize, version: u16) -> u16 {
    10_000 + region as u16 * VERSIONS + version
}

/// Returns the version that a port tells.
pub fn version(port: u16) -> u16 {
    (port - 10_000) % VERSIONS
}

/// Returns the address of a region's endpoint: tier 1, 2 or 3.
pub fn address(region: usize, tier: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, (region * 10 + 10 + tier) as u8)
}

/// Returns the SRV records of a region, without owners.
pub fn services(region: usize, version: u16) -> [String; 3] {
    let (name, ..) = REGIONS[region];
    let port = port(region, version);
    [1, 2, 3].map(|tier| format!("{tier}0 100 {port} sbc{tier}.{name}.{ZONE}."))
}

/// Returns all but the steered name as owner, TTL, type and data.
pub fn records(version: u16) -> Vec<(String, u32, &'static str, String)> {
    let apex = || format!("{ZONE}.");
    let mut records = vec![
        (
            apex(),
            3600,
            "SOA",
            format!(
                "ns1.{ZONE}. hostmaster.{ZONE}. {} 3600 600 1209600 30",
                2026110100 + u32::from(version)
            ),
        ),
        (apex(), 3600, "NS", format!("ns1.{ZONE}.")),
        (format!("ns1.{ZONE}."), 3600, "A", "192.0.2.53".into()),
        (apex(), 300, "NAPTR", format!("10 10 \"s\" \"SIP+D2T\" \"\" {SERVICE}.")),
        (apex(), 3600, "TXT", "\"v=spf1 mx -all\"".into()),
        (apex(), 3600, "MX", format!("10 ns1.{ZONE}.")),
    ];
    for (region, (name, ..)) in REGIONS.iter().enumerate() {
        for data in services(region, version) {
            records.push((format!("_sip._tcp.{name}.{ZONE}."), 60, "SRV", data));
        }
        for tier in 1..4 {
            let owner = format!("sbc{tier}.{name}.{ZONE}.");
            records.push((owner, 300, "A", address(region, tier).to_string()));
        }
    }
    records
}

/// Returns the zone as a master file, with the records of a region at the
/// steered name, or with something else there.
pub fn master(version: u16, steered: Result<usize, &str>) -> String {
    let mut text = String::new();
    for (owner, ttl, rtype, data) in records(version) {
        writeln!(text, "{owner} {ttl} {rtype} {data}").unwrap();
    }
    match steered {
        Ok(region) => services(region, version)
            .iter()
            .for_each(|data| writeln!(text, "{SERVICE}. 60 SRV {data}").unwrap()),
        Err(line) => writeln!(text, "{SERVICE}. 60 {line}").unwrap(),
    }
    text
}

//----------- Questions ------------------------------------------------------

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Asked {
    /// The steered name.
    Steered,

    /// The name of a region.
    Region(usize),

    /// The address of a region's first endpoint.
    Address(usize),

    /// Something at the apex, by its type.
    Apex(u16),

    /// A name that does not exist.
    Missing,
}

/// A query.
#[derive(Clone, Debug)]
pub struct Question {
    /// It, with the ID 0.
    pub octets: Vec<u8>,

    /// What it asks for.
    pub asked: Asked,

    /// The region of its client subnet, if it has one.
    pub placed: Option<usize>,

    /// Where a number is to be written, in eight digits, so that no two ask for
    /// the same name.
    pub number_at: Option<usize>,
}

/// A kind of question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// 70 % for the steered name, 15 % for addresses, 10 % for others, 5 % for
    /// names that do not exist.
    Mix,

    /// The same, with EDNS.
    Edns,

    /// The same, with a client subnet.
    Subnet,

    /// Names of regions alone.
    Static,

    /// Names that do not exist.
    Missing,

    /// The same, of 94 labels.
    Deep,
}

impl Kind {
    /// Returns questions of this kind. They are to be asked in turn.
    pub fn questions(self, world: &World) -> Vec<Question> {
        let mut random = Random(1);
        (0..QUESTIONS).map(|at| self.question(world, at, random.next() as usize)).collect()
    }

    fn question(self, world: &World, at: usize, random: usize) -> Question {
        let region = random / 100 % REGIONS.len();
        // Not drawn: 70 of each hundred are 70.
        let asked = match (self, at * 37 % 100) {
            (Kind::Static, _) => Asked::Region(region),
            (Kind::Missing | Kind::Deep, _) | (_, 95..) => Asked::Missing,
            (_, 0..70) => Asked::Steered,
            (_, 70..85) => Asked::Address(region),
            (_, 85..89) => Asked::Apex(35),
            (_, 89..92) => Asked::Apex(16),
            _ => Asked::Apex(15),
        };
        let (name, rtype) = match asked {
            Asked::Steered => (SERVICE.to_owned(), 33),
            Asked::Region(region) => (format!("_sip._tcp.{}.{ZONE}", REGIONS[region].0), 33),
            Asked::Address(region) => (format!("sbc1.{}.{ZONE}", REGIONS[region].0), 1),
            Asked::Apex(rtype) => (ZONE.to_owned(), rtype),
            Asked::Missing if self == Kind::Deep => {
                (format!("00000000.{}{ZONE}", "a.".repeat(90)), 33)
            }
            Asked::Missing => (format!("00000000.{ZONE}"), 33),
        };
        let subnet = (self == Kind::Subnet).then(|| world.subnets[random % world.subnets.len()]);
        let has_edns = matches!(self, Kind::Edns | Kind::Subnet);
        Question {
            octets: query(&name, rtype, has_edns, subnet.map(|(subnet, _)| subnet)),
            asked,
            placed: subnet.map(|(_, region)| region),
            number_at: (asked == Asked::Missing).then_some(13),
        }
    }
}

/// Returns a query with the ID 0.
pub fn query(name: &str, rtype: u16, has_edns: bool, subnet: Option<[u8; 3]>) -> Vec<u8> {
    let mut octets = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(has_edns)];
    for label in name.split('.') {
        octets.push(label.len() as u8);
        octets.extend(label.bytes());
    }
    octets.push(0);
    octets.extend(rtype.to_be_bytes());
    octets.extend([0, 1]);
    if has_edns {
        // OPT, 1232 octets; the subnet is a /24.
        let len = if subnet.is_some() { 11 } else { 0 };
        octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, len]);
    }
    if let Some(subnet) = subnet {
        octets.extend([0, 8, 0, 7, 0, 1, 24, 0]);
        octets.extend(subnet);
    }
    octets
}

//----------- Steering -------------------------------------------------------

/// What a server makes of the steered name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Steering {
    /// SRV records of the client's region, by its address or its subnet.
    Services,

    /// The same, but client subnets are not looked at.
    AddressOnly,

    /// An alias of a name with the region in it: more gdnsd cannot.
    Alias,

    /// SRV records of the first region, for everybody.
    None,
}

impl Steering {
    /// Returns what the answer to a question of a client in a region must be,
    /// in some versions of the zone.
    pub fn expected(
        self,
        question: &Question,
        region: usize,
        versions: RangeInclusive<u16>,
    ) -> Expected {
        let ports =
            |region| Data::Port(port(region, *versions.start())..=port(region, *versions.end()));
        let by_subnet = question.placed.unwrap_or(region);
        let (rcode, count, rtype, data) = match (question.asked, self) {
            (Asked::Steered, Steering::Services) => (0, 3, 33, ports(by_subnet)),
            (Asked::Steered, Steering::AddressOnly) => (0, 3, 33, ports(region)),
            (Asked::Steered, Steering::Alias) => (0, 1, 5, Data::Label(REGIONS[by_subnet].0)),
            (Asked::Steered, Steering::None) => (0, 3, 33, ports(0)),
            (Asked::Region(region), _) => (0, 3, 33, ports(region)),
            (Asked::Address(region), _) => (0, 1, 1, Data::Address(address(region, 1).octets())),
            (Asked::Apex(rtype), _) => (0, 1, rtype, Data::Any),
            (Asked::Missing, _) => (3, 0, 0, Data::Any),
        };
        Expected { rcode, count, rtype, data }
    }
}
