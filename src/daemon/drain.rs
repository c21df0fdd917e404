//! Which endpoints `drain` and `undrain` mean, and what draining leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::load::read_texts;
use crate::config::model::{RowKey, Service};
use crate::diag::Report;
use crate::geo::{RegionId, RegionTable};
use crate::sip::targets::{host, matches};
use crate::snapshot::{Variant, Zone};
use crate::state::{Kept, KeptZone};
use crate::wire::{Name, Rtype, SrvData};

//----------- Request --------------------------------------------------------

/// Endpoints that are to come behind all others, or no longer.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Who asks, for people.
    pub by: String,

    /// Why, in their words.
    pub reason: Option<String>,

    /// An endpoint's name, relative to a zone or not, perhaps with `*` for any
    /// characters; or a region.
    pub what: String,

    /// The zone whose endpoints are meant; all without one.
    pub zone: Option<Name>,

    /// When it is to take effect, in seconds since the Unix epoch.
    pub effective: Option<u64>,

    /// For how long, in seconds.
    pub lasts: Option<u64>,

    /// Whether it is to be in force for everybody at once.
    pub now: bool,

    /// Whether it is meant where nobody else is left.
    pub force: bool,
}

/// Returns the endpoints that a request means; fails if there are none, or if
/// a name means several that have nothing to do with each other.
///
/// What is drained can always be named, whether or not a zone has it.
pub(super) fn find(
    kept: &Kept,
    regions: Option<&RegionTable>,
    request: &Request,
) -> Result<BTreeSet<Name>, String> {
    let what = request.what.trim_end_matches('.').to_ascii_lowercase();
    let zones = kept
        .zones
        .iter()
        .filter(|(origin, _)| request.zone.as_ref().is_none_or(|zone| zone == *origin));
    if let Some((regions, region)) = regions.and_then(|all| Some((all, all.find(&what)?))) {
        let tables = zones
            .filter_map(|(_, zone)| read_texts(&zone.tables, regions, &mut Report::default()).0);
        let found: BTreeSet<_> = tables
            .flat_map(|tables| {
                tables.services.iter().flat_map(|one| endpoints_of(one, region)).collect::<Vec<_>>()
            })
            .collect();
        return match found.is_empty() {
            true => Err(format!("no endpoint is closest to {what}")),
            false => Ok(found),
        };
    }
    let mut found = BTreeSet::new();
    for (origin, zone) in zones {
        let below = format!("{what}.{}", host(origin));
        let is_meant = |name: &Name| matches(&what, &host(name)) || matches(&below, &host(name));
        let targets = targets(&zone.timeline.newest().zone);
        found.extend(targets.into_iter().filter(is_meant));
    }
    found.extend(kept.drains.keys().filter(|name| matches(&what, &host(name))).cloned());
    let whole = found.iter().find(|name| host(name) == what);
    if let Some(name) = whole {
        return Ok(BTreeSet::from([name.clone()]));
    }
    match found.len() {
        0 => Err(format!("`{}` is neither an endpoint nor a region", request.what)),
        count if count > 1 && !what.contains('*') => {
            let names: Vec<_> = found.iter().take(3).map(Name::to_string).collect();
            Err(format!(
                "`{}` means {count} endpoints, such as {}: name the zone by --zone, or the \
                 endpoint in full",
                request.what,
                names.join(" and ")
            ))
        }
        _ => Ok(found),
    }
}

/// Returns the endpoints of a priority table that clients of no region are
/// given in an earlier tier than those of a region.
fn endpoints_of(service: &Service, region: RegionId) -> Vec<Name> {
    let rank = |tier: &str| service.tiers.iter().position(|one| one.name.value == tier);
    let mut best: BTreeMap<&Name, usize> = BTreeMap::new();
    let mut own: BTreeMap<&Name, usize> = BTreeMap::new();
    for row in &service.rows {
        for cell in &row.cells {
            let Some(rank) = rank(&cell.tier.value) else { continue };
            for endpoint in &cell.endpoints {
                let target = &endpoint.target.value;
                let lower = |ranks: &mut BTreeMap<_, usize>| {
                    let known = ranks.entry(target).or_insert(rank);
                    *known = rank.min(*known);
                };
                lower(&mut best);
                if row.key.value == RowKey::Region(region) {
                    lower(&mut own);
                }
            }
        }
    }
    own.into_iter()
        .filter(|(name, rank)| best[name] == *rank)
        .map(|(name, _)| name.clone())
        .collect()
}

//----------- Zones ----------------------------------------------------------

/// Returns the targets of a zone's SRV records, without `.`, which says that
/// there is no service (RFC 2782).
pub(super) fn targets(zone: &Zone) -> BTreeSet<Name> {
    let rrsets = zone.rrsets().filter(|rrset| rrset.rtype() == Rtype::SRV);
    let rdatas = rrsets.flat_map(|rrset| rrset.variants()).flat_map(|variant| variant.rdatas());
    rdatas.filter_map(target).filter(|target| *target != Name::root()).collect()
}

/// Returns the names whose SRV records for some clients are all of drained
/// endpoints, one of them this.
pub(super) fn exhausted(zone: &Zone, drained: &BTreeSet<Name>, by: &Name) -> BTreeSet<Name> {
    let is_exhausted = |variant: Variant<'_>| {
        let mut targets = variant.rdatas().filter_map(target);
        let has_it = targets.clone().any(|target| target == *by);
        has_it && targets.all(|target| drained.contains(&target))
    };
    let nodes = zone.nodes().filter(|node| {
        let rrset = node.rrset(Rtype::SRV);
        rrset.is_some_and(|rrset| rrset.variants().any(is_exhausted))
    });
    nodes.filter_map(|node| Name::from_wire(node.owner()).ok()).collect()
}

/// Returns the endpoints that a zone has and would have no longer, and that
/// are not drained: somebody may prefer them to the last.
pub fn leaving(known: &KeptZone, new: &Arc<Zone>) -> impl Iterator<Item = Name> {
    let old = &known.timeline.newest().zone;
    let gone = match Arc::ptr_eq(old, new) {
        true => BTreeSet::new(),
        false => targets(old).difference(&targets(new)).cloned().collect(),
    };
    gone.into_iter().filter(|name| !known.drained.contains(name))
}

/// Says that an endpoint leaves a zone without having been drained.
pub fn leaves(name: &Name, known: &KeptZone) -> String {
    let zone = known.timeline.newest().zone.origin();
    format!(
        "{name} leaves {zone} and was not drained: calls may go to it until cached answers have \
         expired; `trunkdns drain {} --wait` before the edit says when they have",
        host(name)
    )
}

/// Returns the target of SRV data (RFC 2782).
fn target(rdata: &[u8]) -> Option<Name> {
    SrvData::read(rdata).map(|srv| srv.target)
}
