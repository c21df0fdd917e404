//! Databases: MMDB files of any layout, and geofeeds.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use maxminddb::{LookupResult, MaxMindDbError, Reader, Within, WithinOptions};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::facts::{Facts, Record};
use super::geofeed::Geofeed;
use super::prefix::{self, Family};
use super::region::Country;
use super::special::{self, Kind};
use crate::diag::{Code, Finding, Located, Report, Sources, Span};
use crate::parallel;

/// The most leaves that a search tree may have. The largest city databases
/// have 8 million. Nodes of a damaged tree may be reached by many ways, and
/// without a limit walking it would not end.
const MOST_LEAVES: usize = 1 << 26;

/// The most leaves that a search tree may have for each of its nodes.
///
/// A tree has one leaf more than it has nodes, and in few of the databases
/// that are published some part hangs in more than one place. In a damaged
/// file of 250 octets 2²⁶ leaves can be reached, which take 3 s to walk.
const MOST_LEAVES_A_NODE: usize = 16;

/// The largest file that is read, in octets: tenfold a city database.
const LARGEST_FILE: u64 = 1 << 30;

type Octets = Vec<u8>;

//----------- Databases ------------------------------------------------------

/// The databases in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Databases {
    databases: Vec<Database>,
}

impl Databases {
    /// Reads databases into memory and checks every record of them.
    ///
    /// A file whose name ends in `.csv` is a geofeed, any other an MMDB. What
    /// cannot be used is a `bad-database` or `bad-geofeed` finding; the rest
    /// is returned.
    ///
    /// The files' octets are held for as long as the value lives, so that an
    /// explanation cannot differ from what was compiled: drop it after
    /// [`RegionMap::compile`](super::RegionMap::compile) where memory counts.
    pub fn load(
        paths: &[Located<PathBuf>],
        sources: &mut Sources,
        report: &mut Report,
    ) -> Databases {
        let mut databases = Vec::new();
        for path in paths {
            match Database::load(&path.value, path.span, sources, report) {
                Ok(database) => databases.push(database),
                Err(message) => report.add(bad_database(path, message)),
            }
        }
        Databases { databases }
    }

    /// Returns each database, in the order in which they are asked.
    pub fn iter(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter()
    }

    /// Returns the first address of each network that databases place in a
    /// country, IPv4 before IPv6 in each.
    ///
    /// Another database, which is asked before, may place the address elsewhere.
    pub fn addresses_in(&self, country: Country) -> impl Iterator<Item = IpAddr> {
        self.databases.iter().flat_map(move |database| database.addresses_in(country))
    }

    /// Says which databases these are.
    pub fn summaries(&self) -> Vec<DatabaseSummary> {
        let summary = |database: &Database| DatabaseSummary {
            path: database.path.display().to_string(),
            size: database.size,
            built: database.built,
        };
        self.databases.iter().map(summary).collect()
    }

    /// Returns what is known of an address: for each field, what the first
    /// database says that knows it.
    ///
    /// An address that carries an IPv4 address is looked up as that. Nothing
    /// is known of special-purpose addresses.
    pub fn facts(&self, address: IpAddr) -> Facts {
        let address = special::canonical(address);
        if Kind::of(address) == Kind::Special {
            return Facts::default();
        }
        let known = self
            .databases
            .iter()
            .fold(Facts::default(), |known, database| known.or(&database.facts(address)));
        known.complete()
    }
}

//----------- DatabaseSummary ------------------------------------------------

/// Which database a region map was compiled from.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DatabaseSummary {
    /// The file.
    pub path: String,

    /// Its size in octets.
    pub size: u64,

    /// When it was built, in seconds since the Unix epoch; geofeeds do not
    /// say.
    pub built: Option<u64>,
}

//----------- Database -------------------------------------------------------

/// One database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    span: Span,
    size: u64,
    built: Option<u64>,
    content: Content,
}

/// What a database holds.
#[derive(Debug)]
pub(super) enum Content {
    Mmdb(Reader<Octets>),
    Geofeed(Geofeed),
}

impl Database {
    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where the file is named.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns the size of the file in octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns when it was built, in seconds since the Unix epoch; geofeeds
    /// do not say.
    pub fn built(&self) -> Option<u64> {
        self.built
    }

    /// Returns what this database alone knows of an address, taken as it is.
    pub fn facts(&self, address: IpAddr) -> Facts {
        match &self.content {
            Content::Mmdb(reader) => look_up(reader, address),
            Content::Geofeed(feed) => feed.facts(address),
        }
    }

    /// Returns the network whose record this database has for an address,
    /// taken as it is; geofeeds are not asked for it.
    pub fn network(&self, address: IpAddr) -> Option<IpNet> {
        let Content::Mmdb(reader) = &self.content else { return None };
        let found = reader.lookup(address).ok().filter(LookupResult::has_data)?;
        let network = found.network().ok()?;
        IpNet::new(network.network(), network.prefix()).ok()
    }

    /// Returns the first address of each network that it places in a country.
    fn addresses_in(&self, country: Country) -> Box<dyn Iterator<Item = IpAddr> + '_> {
        match &self.content {
            Content::Mmdb(reader) => Box::new(Family::ALL.into_iter().flat_map(move |family| {
                let known = networks(reader, family);
                let own = known.filter(move |(.., found)| decode(found).country == Some(country));
                own.map(move |(start, ..)| family.address(start))
            })),
            Content::Geofeed(feed) => Box::new(Family::ALL.into_iter().flat_map(move |family| {
                let is_own = move |id: u32| feed.facts[id as usize].country == Some(country);
                let own = feed.pieces(family).iter().filter(move |piece| is_own(piece.id));
                own.map(move |piece| family.address(piece.start))
            })),
        }
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    fn load(
        path: &Path,
        span: Span,
        sources: &mut Sources,
        report: &mut Report,
    ) -> Result<Self, String> {
        let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
        match size {
            0 => return Err("the file is empty".into()),
            LARGEST_FILE.. => {
                return Err(format!("it has {size} octets, more than {LARGEST_FILE}"));
            }
            _ => {}
        }
        let is_feed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        let (content, built) = if is_feed {
            let file = sources.read(path).map_err(|error| error.to_string())?;
            let feed = Geofeed::read(file, sources, report);
            if feed.facts.iter().all(Facts::is_empty) {
                return Err("it places no network".into());
            }
            (Content::Geofeed(feed), None)
        } else {
            let octets = sources.read_octets(path).map_err(|error| error.to_string())?;
            let reader = Reader::from_source(octets).map_err(|error| error.to_string())?;
            check(&reader)?;
            let built = reader.metadata().build_epoch;
            (Content::Mmdb(reader), Some(built))
        };
        Ok(Database { path: path.to_owned(), span, size, built, content })
    }
}

/// Walks the networks of one family in ascending order.
///
/// Networks without data are left out, and so are the places where the IPv4
/// tree hangs in the IPv6 tree once more: these are the blocks that carry
/// IPv4 addresses.
pub(super) fn networks(
    reader: &Reader<Octets>,
    family: Family,
) -> impl Iterator<Item = (u128, u128, LookupResult<'_, Octets>)> {
    // Damage was found when the database was loaded.
    walk(reader, family).into_iter().flatten().flatten().filter_map(move |found| {
        let (start, end) = span_of(&found, family)?;
        found.has_data().then_some((start, end, found))
    })
}

/// Returns what a record says.
pub(super) fn decode(found: &LookupResult<'_, Octets>) -> Facts {
    found.decode::<Record<'_>>().ok().flatten().map_or_else(Facts::default, |record| record.facts())
}

fn look_up(reader: &Reader<Octets>, address: IpAddr) -> Facts {
    match reader.lookup(address) {
        Ok(found) if span_of(&found, Family::of(address)).is_some() => decode(&found),
        // An IPv6 address in an IPv4 database, or an IPv4 address in an IPv6
        // database without an IPv4 tree.
        _ => Facts::default(),
    }
}

/// Walks everything once: afterwards no lookup fails, and some succeed.
fn check(reader: &Reader<Octets>) -> Result<(), String> {
    let nodes = reader.metadata().node_count as usize;
    let most_leaves = MOST_LEAVES.min(MOST_LEAVES_A_NODE.saturating_mul(nodes + 1));
    // Half of the networks are in each, and a start waits for it.
    let check = |family| check_family(reader, family, most_leaves);
    let (v4, v6) = parallel::both(|| check(Family::V4), || check(Family::V6));
    match v4? | v6? {
        true => Ok(()),
        false => Err(format!(
            "no record of this `{}` database has a country, subdivision, continent, place or AS \
             number",
            reader.metadata().database_type
        )),
    }
}

/// Walks the networks of a family; says whether any record is of use.
fn check_family(
    reader: &Reader<Octets>,
    family: Family,
    most_leaves: usize,
) -> Result<bool, String> {
    let mut seen = FxHashSet::default();
    let mut leaves = 0;
    let mut useful = false;
    for found in walk(reader, family).into_iter().flatten() {
        let found = found.map_err(|error| error.to_string())?;
        leaves += 1;
        if leaves > most_leaves {
            return Err(format!("its tree has more than {most_leaves} leaves"));
        }
        let Some(offset) = found.offset() else { continue };
        if seen.insert(offset) {
            let record = found.decode::<Record<'_>>().map_err(|error| error.to_string())?;
            useful |= record.is_some_and(|record| !record.facts().is_empty());
        }
    }
    Ok(useful)
}

/// Walks all leaves of a family, those without data too: it is they that a
/// damaged tree has without end.
fn walk(reader: &Reader<Octets>, family: Family) -> Option<Within<'_, Octets>> {
    let everything = match family {
        Family::V4 => "0.0.0.0/0",
        Family::V6 => "::/0",
    };
    let everything = everything.parse().ok()?;
    let mut options = WithinOptions::default().include_networks_without_data();
    if family == Family::V6 && !has_ipv4_tree(reader) {
        // Nothing is an alias of an IPv4 tree then, but the reader takes all
        // networks that share a record with `::` for aliases.
        options = options.include_aliased_networks();
    }
    let walk: Result<_, MaxMindDbError> = reader.within(everything, options);
    // An IPv4 database has no IPv6 tree.
    walk.ok()
}

fn has_ipv4_tree(reader: &Reader<Octets>) -> bool {
    let found = reader.lookup(Family::V4.address(0));
    found.is_ok_and(|found| span_of(&found, Family::V4).is_some())
}

/// Returns the first and the last address of what was found, if it is of the
/// family that was asked for.
fn span_of(found: &LookupResult<'_, Octets>, family: Family) -> Option<(u128, u128)> {
    let network = found.network().ok()?;
    let start = network.network();
    (Family::of(start) == family)
        .then(|| (prefix::number(start), prefix::number(network.broadcast())))
}

fn bad_database(path: &Located<PathBuf>, message: String) -> Finding {
    Finding::new(
        Code::BadDatabase,
        path.span,
        format!("`{}` cannot be used: {message}", path.value.display()),
        "fetch the file again, or take it out of `databases`; MMDB files and RFC 8805 geofeeds \
         (`.csv`) are read",
    )
}
