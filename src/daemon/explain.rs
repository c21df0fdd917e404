//! Explaining what is served: the snapshot with the tables it was made of.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::load;
use crate::compile::Origins;
use crate::config;
use crate::diag::Report;
use crate::explain::{self, Explanation, Request, Usage, Written};
use crate::snapshot::{Moment, Settings, Snapshot, Variant, Version, Zone};
use crate::state::{self, Kept, KeptZone};
use crate::wire::{LowerName, Name, Rtype};

/// Returns what was served at the moment that a request names, with the tables
/// it was made of; none if that is now or to come, or not remembered.
pub fn past(
    folder: &Path,
    settings: &Settings,
    now: Moment,
    request: &Request,
) -> Option<(Snapshot, Kept)> {
    let at = request.at.map(Moment).filter(|at| *at < now)?;
    let name = Name::parse(&request.name, &Name::root()).ok()?;
    // Another zone than the one with the longest origin may answer: that above
    // it has its DS records.
    let kept = state::recall(folder, at.second(), |zone| name.is_within(zone))?.kept;
    let config = load::read_kept(&kept.shared.config, config::read_config);
    let settings = match config {
        Some(config) => Settings {
            client_subnet: config.geoip.client_subnet,
            spread_ttl: config.handover.spread_ttl,
            ..settings.clone()
        },
        None => settings.clone(),
    };
    Some((kept.snapshot(&settings), kept))
}

/// Explains the answers that clients get from a snapshot.
///
/// Fails where the request cannot be read.
pub fn explain(
    snapshot: &Snapshot,
    kept: &Kept,
    now: Moment,
    request: &Request,
) -> Result<Vec<Explanation>, String> {
    let zone = zone_of(kept, &request.name);
    let regions = load::read_kept(&kept.shared.regions, config::read_regions);
    let tables = zone.zip(regions.as_ref()).and_then(|(zone, regions)| {
        let (tables, sources) = load::read_texts(&zone.tables, regions, &mut Report::default());
        Some((tables?.draining(&zone.drained), sources, regions))
    });
    let written = tables.as_ref().map(|(tables, sources, regions)| Written {
        origins: Origins::new(tables, regions),
        sources,
    });
    // The texts that are at hand are those of the newest version.
    let is_newest = |version: &Version| {
        zone.is_some_and(|zone| Arc::ptr_eq(&zone.timeline.newest().zone, &version.zone))
    };
    explain::explain(snapshot, now, request, |version| {
        written.as_ref().filter(|_| is_newest(version))
    })
}

/// Returns every place of the priority tables that names an endpoint, given
/// its name or an address of it.
pub fn usages(kept: &Kept, what: &str) -> Vec<Usage> {
    let Some(meant) = Meant::read(what) else { return Vec::new() };
    let regions = load::read_kept(&kept.shared.regions, config::read_regions);
    let Some(regions) = regions else { return Vec::new() };
    let zones = kept.zones.values().filter(|zone| meant.occurs_in(&zone.timeline.newest().zone));
    let usages = zones.filter_map(|zone| {
        let (tables, sources) = load::read_texts(&zone.tables, &regions, &mut Report::default());
        Some(explain::usages(&tables?, &regions, &sources, |name, addresses| {
            meant.is(name, addresses)
        }))
    });
    usages.flatten().collect()
}

/// Returns the zone with the longest origin that a name is in.
fn zone_of<'k>(kept: &'k Kept, name: &str) -> Option<&'k KeptZone> {
    let name = Name::parse(name, &Name::root()).ok()?;
    let origins = std::iter::successors(Some(name), Name::parent);
    origins.filter_map(|origin| kept.zones.get(&origin)).map(|zone| &**zone).next()
}

//----------- Meant ----------------------------------------------------------

/// An endpoint, as it was asked for.
enum Meant {
    Address(IpAddr),
    Host(Name),
}

impl Meant {
    fn read(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(address) => Some(Meant::Address(address)),
            Err(_) => Name::parse(text, &Name::root()).ok().map(Meant::Host),
        }
    }

    fn is(&self, name: &Name, addresses: &[IpAddr]) -> bool {
        match self {
            Meant::Address(address) => addresses.contains(address),
            Meant::Host(host) => host == name,
        }
    }

    /// Says whether a zone has it, so that only such zones' tables are read.
    fn occurs_in(&self, zone: &Zone) -> bool {
        let octets = match self {
            Meant::Address(IpAddr::V4(address)) => (Rtype::A, address.octets().to_vec()),
            Meant::Address(IpAddr::V6(address)) => (Rtype::AAAA, address.octets().to_vec()),
            Meant::Host(host) => return zone.get(&LowerName::from(host)).is_some(),
        };
        let (rtype, octets) = octets;
        let has = |variant: Variant<'_>| variant.rdatas().any(|rdata| rdata == octets);
        zone.rrsets().any(|rrset| rrset.rtype() == rtype && rrset.variants().any(has))
    }
}
