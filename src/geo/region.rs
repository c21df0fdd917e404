//! The region table: the operator's rules that place clients.

use std::fmt;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::diag::{Located, Span};

//----------- RegionTable ----------------------------------------------------

/// The checked region table.
#[derive(Clone, Debug)]
pub struct RegionTable {
    /// The regions, sorted by name; a [`RegionId`] is a position in here.
    pub regions: Vec<Region>,

    /// The region of clients that nothing else places.
    pub default: RegionId,

    /// The address lists that clouds publish, by the name the table gives.
    pub clouds: Vec<CloudList>,
}

impl RegionTable {
    /// Returns the region of a name.
    pub fn find(&self, name: &str) -> Option<RegionId> {
        let at = self.regions.binary_search_by(|region| region.name.as_str().cmp(name)).ok()?;
        Some(RegionId(at as u8))
    }

    /// Returns the region of an id.
    pub fn get(&self, id: RegionId) -> &Region {
        &self.regions[usize::from(id.0)]
    }

    /// Returns all ids, in the order of names.
    pub fn ids(&self) -> impl Iterator<Item = RegionId> + use<> {
        (0..self.regions.len()).map(|at| RegionId(at as u8))
    }
}

/// One region with the rules that place clients in it.
#[derive(Clone, Debug)]
pub struct Region {
    /// The name: a DNS label in lower case.
    pub name: String,

    /// Where the region's header is written.
    pub span: Span,

    /// Where its endpoints are, for distances and ties.
    pub location: Option<Coordinates>,

    /// Client networks by prefix.
    pub networks: Vec<Located<IpNet>>,

    /// Regions of clouds whose addresses are clients of this region.
    pub clouds: Vec<Located<CloudRegion>>,

    /// Autonomous systems.
    pub asns: Vec<Located<u32>>,

    /// Subdivisions of countries.
    pub subdivisions: Vec<Located<Subdivision>>,

    /// Countries.
    pub countries: Vec<Located<Country>>,

    /// Continents.
    pub continents: Vec<Located<Continent>>,
}

/// A file with the address ranges of a cloud.
#[derive(Clone, Debug)]
pub struct CloudList {
    /// The name that [`CloudRegion::list`] refers to.
    pub name: String,

    /// The file, resolved, and where it is named.
    pub path: Located<PathBuf>,
}

/// `aws:us-east-1`: a region of a cloud.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CloudRegion {
    /// The name of the [`CloudList`].
    pub list: String,

    /// The cloud's own name for its region.
    pub region: String,
}

//----------- RegionId -------------------------------------------------------

/// A region, by its position in [`RegionTable::regions`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RegionId(pub u8);

impl RegionId {
    /// The most regions a table may hold.
    ///
    /// A carrier with a region a cloud region has about forty; ids in one
    /// octet keep the range table small, and sets of them in four words.
    pub const MAX_COUNT: usize = 250;
}

//----------- RegionSet ------------------------------------------------------

/// A set of regions.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct RegionSet([u64; 4]);

impl RegionSet {
    /// Every region there can be.
    pub const ALL: RegionSet = RegionSet([u64::MAX; 4]);

    /// Returns the set of one region.
    pub fn one(id: RegionId) -> Self {
        let mut set = Self::default();
        set.insert(id);
        set
    }

    /// Adds a region.
    pub fn insert(&mut self, id: RegionId) {
        self.0[usize::from(id.0 >> 6)] |= 1 << (id.0 & 63);
    }

    /// Takes a region out.
    pub fn remove(&mut self, id: RegionId) {
        self.0[usize::from(id.0 >> 6)] &= !(1 << (id.0 & 63));
    }

    /// Says whether a region is in the set.
    pub fn contains(&self, id: RegionId) -> bool {
        self.0[usize::from(id.0 >> 6)] & (1 << (id.0 & 63)) != 0
    }

    /// Says whether all of this set is in another one.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(own, other)| own & !other == 0)
    }

    /// Returns what is in both sets.
    pub fn intersect(&self, other: &Self) -> Self {
        RegionSet(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }

    /// Returns what is in either set.
    pub fn union(&self, other: &Self) -> Self {
        RegionSet(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    /// Says whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Counts the regions in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns the regions in the set, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = RegionId> + '_ {
        (0..=u8::MAX).map(RegionId).filter(|id| self.contains(*id))
    }
}

impl FromIterator<RegionId> for RegionSet {
    fn from_iter<T: IntoIterator<Item = RegionId>>(ids: T) -> Self {
        let mut set = Self::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

//----------- Coordinates ----------------------------------------------------

/// A place on Earth, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    /// From -90 (south) to 90 (north).
    pub latitude: f64,

    /// From -180 (west) to 180 (east).
    pub longitude: f64,
}

//----------- Country, Subdivision, Continent --------------------------------

/// An ISO 3166-1 alpha-2 code, in upper case.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Country(pub [u8; 2]);

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.0[0]), char::from(self.0[1]))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Country({self})")
    }
}

/// An ISO 3166-2 code such as `US-VA`: a country and up to three characters.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subdivision {
    /// The country.
    pub country: Country,

    /// What stands behind the hyphen, in upper case, padded with zero octets.
    pub code: [u8; 3],
}

impl fmt::Display for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.country)?;
        for octet in self.code.iter().filter(|octet| **octet != 0) {
            write!(f, "{}", char::from(*octet))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subdivision({self})")
    }
}

/// A continent by the code that databases use.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Continent {
    Africa,
    Antarctica,
    Asia,
    Europe,
    NorthAmerica,
    Oceania,
    SouthAmerica,
}

impl Continent {
    /// Every continent with its code.
    pub const ALL: [(Continent, &'static str); 7] = [
        (Continent::Africa, "AF"),
        (Continent::Antarctica, "AN"),
        (Continent::Asia, "AS"),
        (Continent::Europe, "EU"),
        (Continent::NorthAmerica, "NA"),
        (Continent::Oceania, "OC"),
        (Continent::SouthAmerica, "SA"),
    ];
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, code) = Self::ALL[*self as usize];
        f.write_str(code)
    }
}
