//! What is looked at, and what is found in it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Context;
use super::sets::{Set, sets};
use crate::config::model::ZoneTables;
use crate::diag::{Code, Finding, Place, Report, Span};
use crate::snapshot::{Found as InZone, Node, Zone};
use crate::wire::{LowerName, Name, Rtype};

//----------- Subject --------------------------------------------------------

/// A zone as the operator wrote it and as it was compiled.
pub(super) struct Subject<'a> {
    /// The tables.
    pub(super) tables: &'a ZoneTables,

    /// What they make.
    pub(super) zone: &'a Zone,

    /// What is beside the zone.
    pub(super) context: &'a Context<'a>,

    /// Every list of SRV records that the operator wrote.
    pub(super) sets: Vec<Set<'a>>,
}

impl<'a> Subject<'a> {
    /// Gathers what lints look at.
    pub(super) fn new(tables: &'a ZoneTables, zone: &'a Zone, context: &'a Context<'a>) -> Self {
        Subject { tables, zone, context, sets: sets(tables, context.regions) }
    }

    /// Returns the place of the zone's first SIP service, if it has one.
    pub(super) fn first_service(&self) -> Option<Span> {
        let declared = self.tables.services.iter().find(|service| is_sip(&service.name.value));
        let declared = declared.map(|service| service.name.span);
        declared.or_else(|| {
            let at_apex = |set: &&Set<'_>| set.is_at_apex && is_sip(&set.service);
            self.sets.iter().find(at_apex).map(|set| set.span)
        })
    }

    /// Returns the node that answers for a host of the zone.
    pub(super) fn host(&self, name: &Name) -> Option<Node<'a>> {
        if !name.is_within(&self.tables.origin) {
            return None;
        }
        match self.zone.find(&LowerName::from(name)) {
            InZone::Exact(node) | InZone::Wildcard(node) => Some(node),
            _ => None,
        }
    }

    /// Returns the addresses that a host of the zone has for anybody.
    pub(super) fn addresses(&self, name: &Name) -> Vec<IpAddr> {
        self.host(name).map(addresses_of).unwrap_or_default()
    }

    /// Returns where the operator wrote the records of a name and types.
    pub(super) fn place(&self, name: &Name, rtypes: &[Rtype]) -> Option<Span> {
        let host = self.tables.hosts.iter().find(|host| host.name.value == *name);
        let is_address = rtypes.iter().any(|rtype| [Rtype::A, Rtype::AAAA].contains(rtype));
        let host = host.filter(|_| is_address).map(|host| host.name.span);
        let geo = || {
            let mut geo = self.tables.geo.iter();
            let found = geo.find(|set| set.owner.value == *name && rtypes.contains(&set.rtype));
            found.map(|set| set.owner.span)
        };
        let record = || {
            let mut records = self.tables.records.iter();
            let found = records.find(|one| one.owner == *name && rtypes.contains(&one.rtype));
            found.map(|record| record.span)
        };
        host.or_else(geo).or_else(record)
    }
}

/// Returns the addresses at a node, for anybody.
fn addresses_of(node: Node<'_>) -> Vec<IpAddr> {
    let of = |rtype| node.rrset(rtype).into_iter().flat_map(|rrset| rrset.variants());
    let v4 = of(Rtype::A).flat_map(|variant| variant.rdatas());
    let v6 = of(Rtype::AAAA).flat_map(|variant| variant.rdatas());
    v4.chain(v6).filter_map(address).collect()
}

/// Returns the address in the RDATA of an A or AAAA record.
pub(super) fn address(rdata: &[u8]) -> Option<IpAddr> {
    match rdata.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(rdata).ok()?)),
        _ => Some(IpAddr::from(<[u8; 16]>::try_from(rdata).ok()?)),
    }
}

/// Says whether a service is one of SIP.
pub(super) fn is_sip(service: &str) -> bool {
    service.starts_with("_sip.") || service.starts_with("_sips.")
}

//----------- Found ----------------------------------------------------------

/// What was found: of each code, one finding a place.
///
/// Services that share a table share its mistakes, which are written once.
pub(super) struct Found<'r> {
    report: &'r mut Report,
    seen: BTreeSet<(Code, Place)>,
}

impl<'r> Found<'r> {
    /// Begins with nothing found.
    pub(super) fn new(report: &'r mut Report) -> Self {
        Found { report, seen: BTreeSet::new() }
    }

    /// Adds a finding, unless its place has one of its code.
    pub(super) fn add(&mut self, finding: Finding) {
        if self.seen.insert((finding.code, finding.place.clone())) {
            self.report.add(finding);
        }
    }
}
