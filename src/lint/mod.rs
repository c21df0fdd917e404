//! Findings about tables that can be served and will not do what was meant.
//!
//! ```text
//!  ZoneTables ─┐
//!  Zone ───────┼─▶ Subject ── each of LINTS ──▶ Report
//!  Context ────┘
//!  RegionTable, Usage ── region_table ──▶ Report        dates ── ages ──▶ Report
//!  the name servers of all zones ── cycles ──▶ Report
//! ```
//!
//! What must hold for a zone to be served at all is found by
//! [`compile`](crate::compile). What is found here are warnings: that a SIP
//! stack in use fails on an answer, that a failover order has one thing in
//! common, that a rule never counts. `docs/findings.md` has the reason for each.
//!
//! Pure: no I/O and no clock. A lint is a function over the `Subject`, which
//! costs no more than compiling the zone did: a server that starts with 10,000
//! zones lints them all.
//!
//! # What is absent
//!
//! Nothing here holds anything back. The operator allows what is meant by
//! `[check] allow`; that is applied by whoever owns the report.

mod addresses;
mod ages;
mod names;
mod naptr;
mod regions;
mod rows;
mod servers;
mod services;
mod sets;
mod size;
mod subject;

use crate::config::model::ZoneTables;
use crate::diag::Report;
use crate::geo::{Databases, RegionTable};
use crate::snapshot::Zone;

pub use self::ages::ages;
pub use self::regions::region_table;
pub use self::servers::{Servers, cycles};

use self::subject::{Found, Subject};

//----------- Context --------------------------------------------------------

/// What lints look at beside a zone.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The region table.
    pub regions: &'a RegionTable,

    /// The databases, where they are in memory: they know AS numbers.
    pub databases: Option<&'a Databases>,

    /// `[server] production`
    pub production: bool,

    /// `[handover] spread-ttl`
    pub spread_ttl: u8,
}

/// Every lint of a zone.
const LINTS: &[fn(&Subject<'_>, &mut Found<'_>)] = &[
    addresses::special,
    addresses::targets,
    addresses::apex,
    naptr::naptr,
    names::doubled,
    rows::shared_fate,
    rows::last_resort,
    rows::equal_endpoints,
    servers::name_servers,
    services::ttls,
    services::tiers,
    services::negative_ttl,
    services::transports,
    sets::weights,
    sets::ports,
    sets::counts,
    size::sizes,
];

/// Finds what a zone will not do as it was meant.
pub fn zone(tables: &ZoneTables, zone: &Zone, context: &Context<'_>, report: &mut Report) {
    let subject = Subject::new(tables, zone, context);
    let mut found = Found::new(report);
    for lint in LINTS {
        lint(&subject, &mut found);
    }
}
