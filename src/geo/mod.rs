//! From an address to a region.
//!
//! ```text
//!  region table ──▶ CloudLists::load ─┐
//!       │                             ├─▶ Rules ──▶ decide(address, facts)   explain, plan
//!       ├─────────────────────────────┘     │
//!  databases ─────▶ Databases::load ────────┴─▶ RegionMap::compile ──▶ locate, scope   queries
//! ```
//!
//! [`Rules`] are the one place that decides; [`Decision`] says why. Compiling
//! asks them once for every distinct combination of records, and keeps the
//! regions alone: a [`RegionMap`] needs neither rules nor databases, places an
//! address in some tens of nanoseconds, and gives the width of an answer (ECS
//! scope, RFC 7871 section 7.2.1) out of the same table.
//!
//! # Limits
//!
//! 250 regions ([`RegionId::MAX_COUNT`]), databases of 1 GiB and 67 million
//! leaves. Loading reads and checks every record, so that nothing fails later.
//!
//! # What is absent
//!
//! No file is mapped into memory: one that is rewritten in place would change
//! answers, or kill the server. Cities and postal codes are not read, anycast
//! and proxy flags neither. Distances are on a sphere.

mod cloud;
mod compile;
mod country;
mod database;
mod facts;
mod geofeed;
mod networks;
mod number;
mod prefix;
mod range;
mod region;
mod rules;
mod special;
mod usage;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use self::cloud::CloudLists;
pub use self::country::subdivision_by_name;
pub use self::database::{Database, DatabaseSummary, Databases};
pub use self::facts::Facts;
pub use self::networks::{NetworkMap, carrier_of_ipv4};
pub use self::number::RegionNumber;
pub use self::range::{RegionMap, RegionPairs};
pub use self::region::{
    CloudList, CloudRegion, Continent, Coordinates, Country, Region, RegionId, RegionSet,
    RegionTable, Subdivision,
};
pub use self::rules::{Decision, Rule, Rules};
pub use self::special::{canonical, network_len, special_block};
pub use self::usage::Usage;
