//! From an address to a region.
mod country;
mod region;

pub use self::region::{
    CloudList, CloudRegion, Continent, Coordinates, Country, Region, RegionId, RegionSet,
    RegionTable, Subdivision,
};
