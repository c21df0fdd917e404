//! From checked tables to a zone that answers queries.
//!
//! ```text
//!  ZoneTables ── publish ──▶ drafts ── check ──▶ drafts ── tree ──▶ Zone
//!              services, hosts,       what does        nodes, cuts,
//!              NAPTR, [[geo]], SOA    not fit          wildcards, hosts
//! ```
//!
//! - `publish` turns each table into draft RRsets: an
//!   owner, a type, a TTL, and the records that each region sees, drained
//!   endpoints behind all others.
//! - `check` joins the drafts and reports what contradicts.
//! - `tree` builds the immutable [`Zone`].
//!
//! Pure: no I/O, no clock, no randomness. The same tables and the same
//! serial give an equal zone, and order comes from the data alone.

mod check;
mod draft;
mod drain;
mod names;
mod origin;
mod publish;
mod tree;

pub use self::origin::{Origin, Origins};

use crate::config::model::{Checks, ZoneTables};
use crate::diag::Report;
use crate::geo::RegionTable;
use crate::snapshot::Zone;

/// Compiles the tables of a zone.
///
/// `serial` is the SOA serial where the tables do not fix one. Returns no
/// zone if anything found is an error by these checks; all findings are
/// reported.
pub fn compile(
    tables: &ZoneTables,
    regions: &RegionTable,
    serial: u32,
    checks: Checks,
    report: &mut Report,
) -> Option<Zone> {
    let mut found = Report::default();
    let drafts = publish::publish(tables, regions, serial, &mut found);
    let names = check::check(tables, drafts, &mut found);
    if checks == Checks::Lenient {
        found.excuse();
    }
    let sound = !found.has_errors();
    report.extend(found);
    let has_own_serial = tables.soa.as_ref().is_none_or(|soa| soa.serial.is_some());
    sound.then(|| tree::build(&names, has_own_serial))
}
