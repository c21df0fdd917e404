//! The tree of a zone: nodes for all names, cuts, wildcards, hosts.

use std::collections::BTreeMap;

use super::check::Names;
use super::draft::{self, Draft};
use crate::geo::RegionId;
use crate::snapshot::{NewHost, NewNode, NewRrset, NewVariant, NodeId, Status, Zone};
use crate::wire::{Name, Rtype};

/// Builds a zone of checked names, the origin among them.
///
/// `has_own_serial` is whether the tables fix the SOA record's serial.
pub(super) fn build(mut names: Names, has_own_serial: bool) -> Zone {
    let origin = names.keys().next().cloned().expect("the checks refuse a zone without SOA");
    add_empty_non_terminals(&mut names, &origin);
    let ids: BTreeMap<Name, NodeId> =
        names.keys().enumerate().map(|(at, name)| (name.clone(), NodeId(at as u32))).collect();
    let statuses = statuses(&names, &origin);
    let nodes: Vec<_> = names
        .iter()
        .zip(statuses)
        .map(|((owner, drafts), status)| NewNode {
            owner: owner.clone(),
            rrsets: drafts.iter().map(|draft| rrset(draft, &names, &ids)).collect(),
            status,
            wildcard: owner.child(b"*").ok().and_then(|name| ids.get(&name).copied()),
        })
        .collect();
    Zone::new(&nodes, has_own_serial)
}

/// Adds the names that exist only because names below them do (RFC 4592
/// section 2.2.2).
fn add_empty_non_terminals(names: &mut Names, origin: &Name) {
    let owners: Vec<_> = names.keys().cloned().collect();
    for owner in owners {
        let mut name = owner;
        while name != *origin
            && let Some(above) = name.parent()
            && !names.contains_key(&above)
        {
            names.insert(above.clone(), Vec::new());
            name = above;
        }
    }
}

/// Returns how the zone stands to each name, in the order of names.
///
/// In canonical order a name comes before all names below it, and they come
/// before anything else: what hides names is the last cut or DNAME seen, as
/// long as names are below it.
fn statuses(names: &Names, origin: &Name) -> Vec<Status> {
    let mut hiding: Option<(&Name, NodeId)> = None;
    let mut statuses = Vec::with_capacity(names.len());
    for (at, (owner, drafts)) in names.iter().enumerate() {
        hiding = hiding.filter(|(above, _)| owner.is_within(above));
        if let Some((_, above)) = hiding {
            statuses.push(Status::Hidden(above));
            continue;
        }
        let has = |rtype| drafts.iter().any(|draft| draft.rtype == rtype);
        let is_cut = owner != origin && has(Rtype::NS);
        if is_cut || has(Rtype::DNAME) {
            hiding = Some((owner, NodeId(at as u32)));
        }
        statuses.push(if is_cut { Status::Cut } else { Status::Authoritative });
    }
    statuses
}

fn rrset(draft: &Draft, names: &Names, ids: &BTreeMap<Name, NodeId>) -> NewRrset {
    let parts = draft.records.variants();
    let mut by_region = Vec::new();
    if parts.len() > 1 {
        for id in (0..RegionId::MAX_COUNT).map(|at| RegionId(at as u8)) {
            match parts.iter().position(|(_, regions)| regions.contains(id)) {
                Some(at) => by_region.push(at as u8),
                None => break,
            }
        }
    }
    let variants = parts
        .into_iter()
        .map(|(rdatas, regions)| NewVariant {
            rdatas: rdatas.iter().map(|rdata| rdata.octets.clone()).collect(),
            regions,
            hosts: hosts(draft, rdatas, names, ids),
        })
        .collect();
    NewRrset { rtype: draft.rtype, ttl: draft.ttl, variants, by_region }
}

/// Returns the hosts with addresses that records name, each once.
fn hosts(
    draft: &Draft,
    rdatas: &[draft::Rdata],
    names: &Names,
    ids: &BTreeMap<Name, NodeId>,
) -> Vec<NewHost> {
    let mut hosts: Vec<NewHost> = Vec::new();
    for rdata in rdatas {
        let Some(target) = draft::target(draft.rtype, &rdata.octets) else {
            continue;
        };
        let found = find_host(target, names, ids);
        hosts.extend(found.filter(|host| hosts.iter().all(|other| other.name != host.name)));
    }
    hosts
}

/// Returns the node that answers for a host's addresses: its own, or that of
/// the wildcard that stands in for it (RFC 4592 section 3.3.1).
fn find_host(target: Name, names: &Names, ids: &BTreeMap<Name, NodeId>) -> Option<NewHost> {
    let owner = match ids.contains_key(&target) {
        true => target.clone(),
        false => {
            let mut encloser = target.parent()?;
            while !ids.contains_key(&encloser) {
                encloser = encloser.parent()?;
            }
            encloser.child(b"*").ok()?
        }
    };
    let is_address = |draft: &Draft| [Rtype::A, Rtype::AAAA].contains(&draft.rtype);
    names.get(&owner)?.iter().any(is_address).then_some(())?;
    Some(NewHost { node: *ids.get(&owner)?, name: target })
}
