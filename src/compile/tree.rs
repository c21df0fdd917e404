//! The tree of a zone: nodes for all names, cuts, wildcards, hosts.

use rustc_hash::FxHashMap;

use super::draft::{self, Draft};
use super::names::Names;
use crate::geo::RegionId;
use crate::snapshot::{NewHost, NewNode, NewRrset, NewVariant, NodeId, Status, Zone};
use crate::wire::{Name, Rtype};

/// Builds a zone of checked names.
///
/// `has_own_serial` is whether the tables fix the SOA record's serial.
pub(super) fn build(names: &Names, has_own_serial: bool) -> Zone {
    let mut hosts = Hosts { names, known: FxHashMap::default() };
    // Few zones have any.
    let has_wildcards = names.iter().any(|(owner, _)| owner.is_wildcard());
    let wildcard = |owner: &Name| names.id(&owner.child(b"*").ok()?);
    let nodes: Vec<_> = names
        .iter()
        .zip(statuses(names))
        .map(|((owner, drafts), status)| NewNode {
            owner: owner.clone(),
            rrsets: drafts.iter().map(|draft| rrset(draft, &mut hosts)).collect(),
            status,
            wildcard: has_wildcards.then(|| wildcard(owner)).flatten(),
        })
        .collect();
    Zone::new(&nodes, has_own_serial)
}

/// Returns how the zone stands to each name, in the order of names.
///
/// In canonical order a name comes before all names below it, and they come
/// before anything else: what hides names is the last cut or DNAME seen, as
/// long as names are below it.
fn statuses(names: &Names) -> Vec<Status> {
    let mut hiding: Option<(&Name, NodeId)> = None;
    let mut statuses = Vec::with_capacity(names.len());
    for (at, (owner, drafts)) in names.iter().enumerate() {
        hiding = hiding.filter(|(above, _)| owner.is_within(above));
        if let Some((_, above)) = hiding {
            statuses.push(Status::Hidden(above));
            continue;
        }
        let has = |rtype| drafts.iter().any(|draft| draft.rtype == rtype);
        // The first name is the origin.
        let is_cut = at != 0 && has(Rtype::NS);
        if is_cut || has(Rtype::DNAME) {
            hiding = Some((owner, NodeId(at as u32)));
        }
        statuses.push(if is_cut { Status::Cut } else { Status::Authoritative });
    }
    statuses
}

fn rrset<'a>(draft: &'a Draft, hosts: &mut Hosts<'a>) -> NewRrset {
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
            hosts: hosts.of(draft.rtype, rdatas),
        })
        .collect();
    NewRrset { rtype: draft.rtype, ttl: draft.ttl, variants, by_region }
}

//----------- Hosts ----------------------------------------------------------

/// The hosts of a zone, each looked up once: an endpoint is named under every
/// name of its service.
struct Hosts<'a> {
    names: &'a Names,

    /// By the name in records, in wire format.
    known: FxHashMap<&'a [u8], Option<NewHost>>,
}

impl<'a> Hosts<'a> {
    /// Returns the hosts with addresses that records name, each once.
    fn of(&mut self, rtype: Rtype, rdatas: &'a [draft::Rdata]) -> Vec<NewHost> {
        let mut hosts: Vec<NewHost> = Vec::new();
        for rdata in rdatas {
            let Some(target) = draft::target_octets(rtype, &rdata.octets) else {
                continue;
            };
            let names = self.names;
            let find = || find_host(Name::from_wire(target).ok()?, names);
            let found = self.known.entry(target).or_insert_with(find).as_ref();
            let is_new = |host: &&NewHost| hosts.iter().all(|other| other.name != host.name);
            if let Some(host) = found.filter(is_new) {
                hosts.push(host.clone());
            }
        }
        hosts
    }
}

/// Returns the node that answers for a host's addresses: its own, or that of
/// the wildcard that stands in for it (RFC 4592 section 3.3.1).
fn find_host(target: Name, names: &Names) -> Option<NewHost> {
    let owner = match names.id(&target) {
        Some(_) => target.clone(),
        None => {
            let mut encloser = target.parent()?;
            while names.id(&encloser).is_none() {
                encloser = encloser.parent()?;
            }
            encloser.child(b"*").ok()?
        }
    };
    let is_address = |draft: &Draft| [Rtype::A, Rtype::AAAA].contains(&draft.rtype);
    names.rrsets(&owner).iter().any(is_address).then_some(())?;
    Some(NewHost { node: names.id(&owner)?, name: target })
}
