//! What a version changes for the clients of another one.
//!
//! Found by asking: every name, type and region is resolved in both versions
//! by the code that answers queries, so that whatever clients can see is
//! seen here too, wildcards, aliases and delegations included.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::CLASS_IN;
use super::resolve::{Records, Resolution, resolve};
use crate::geo::RegionPairs;
use crate::snapshot::{Change, Node, Rrset, Status, Version, Zone};
use crate::wire::{LowerName, Name, Question, Rtype, Section};

/// Compares what two versions of a zone tell the same clients.
///
/// ANY is left out: what it gets is a sample (RFC 8482). The serial of the SOA
/// record counts only where the operator fixed it and nothing else differs.
pub fn change(old: &Version, new: &Version) -> Change {
    change_for(old, new, &old.map.pairs(&new.map))
}

/// Compares what two versions of a zone tell the same clients, of whom is
/// known which regions the maps of both place them in.
pub fn change_for(old: &Version, new: &Version, pairs: &RegionPairs) -> Change {
    let has_same_zone = Arc::ptr_eq(&old.zone, &new.zone) || old.zone == new.zone;
    if has_same_zone && (Arc::ptr_eq(&old.map, &new.map) || old.map == new.map) {
        return Change::Nothing;
    }
    let has_new_serial = new.zone.has_own_serial() && old.zone.serial() != new.zone.serial();
    let change = if has_new_serial { Change::Serial } else { Change::Nothing };
    let are_plain = [old, new].iter().all(|version| is_plain(&version.zone));
    let probes = if are_plain { plain_probes } else { all_probes };
    let changes = probes(&old.zone, &new.zone).map(|probe| probe.compare(old, new, pairs));
    changes.fold(change, Change::max)
}

//----------- Probes ---------------------------------------------------------

/// Says whether a zone has no aliases, wildcards and delegations: then an
/// answer depends on the name asked for alone, and on the records that it has.
fn is_plain(zone: &Zone) -> bool {
    let is_alias = |rrset: Rrset<'_>| [Rtype::CNAME, Rtype::DNAME].contains(&rrset.rtype());
    zone.nodes().all(|node| node.status() == Status::Authoritative && node.wildcard().is_none())
        && !zone.rrsets().any(is_alias)
}

/// Returns questions for every name that one of two plain zones has: for each
/// type that it has in one of them, and for one that it has in neither.
///
/// Whatever else is asked is denied by both, with the same SOA record unless
/// that is seen to differ. Ten thousand zones may change at once, and this is
/// a tenth of all questions.
fn plain_probes<'z>(old: &'z Zone, new: &'z Zone) -> Box<dyn Iterator<Item = Probe> + 'z> {
    let find = |zone: &'z Zone, name: &LowerName| zone.get(name);
    let name = |node: Node<'_>| LowerName::from_wire(node.owner());
    let is_added = move |node: &Node<'_>| name(*node).is_some_and(|name| old.get(&name).is_none());
    let nodes = old.nodes().chain(new.nodes().filter(is_added));
    Box::new(nodes.flat_map(move |node| {
        let key = name(node);
        let nodes = key.iter().flat_map(move |key| [find(old, key), find(new, key)]).flatten();
        let mut types: BTreeSet<_> =
            nodes.flat_map(Node::rrsets).map(|rrset| rrset.rtype()).collect();
        types.extend((1..).map(Rtype).find(|rtype| rtype.is_data() && !types.contains(rtype)));
        let name = Name::from_wire(node.owner()).ok();
        types.into_iter().filter_map(move |rtype| Probe::new(name.as_ref()?, rtype))
    }))
}

/// Returns every question that two zones may answer in different ways.
fn all_probes<'z>(old: &'z Zone, new: &'z Zone) -> Box<dyn Iterator<Item = Probe> + 'z> {
    let types = types(old, new);
    let names = names(old, new).into_iter();
    Box::new(names.flat_map(move |name| {
        let types = types.clone().into_iter();
        types.filter_map(move |rtype| Probe::new(&name, rtype))
    }))
}

/// Returns every name that one of the zones has, and below each of them one
/// that neither has: it shows wildcards, delegations and missing names.
fn names(old: &Zone, new: &Zone) -> BTreeSet<Name> {
    let nodes = old.nodes().chain(new.nodes());
    let mut names: BTreeSet<_> =
        nodes.filter_map(|node| Name::from_wire(node.owner()).ok()).collect();
    let absent: Vec<_> = names.iter().filter_map(|name| absent_below(name, &names)).collect();
    names.extend(absent);
    names
}

fn absent_below(name: &Name, names: &BTreeSet<Name>) -> Option<Name> {
    (0..=u8::MAX).filter_map(|octet| name.child(&[octet]).ok()).find(|below| !names.contains(below))
}

/// Returns every type that one of the zones has, and one that neither has.
fn types(old: &Zone, new: &Zone) -> BTreeSet<Rtype> {
    let rrsets = old.rrsets().chain(new.rrsets());
    let mut types: BTreeSet<_> = rrsets.map(|rrset| rrset.rtype()).collect();
    // DS is asked of another side of a cut than all others.
    types.insert(Rtype::DS);
    types.extend((1..).map(Rtype).find(|rtype| rtype.is_data() && !types.contains(rtype)));
    types
}

//----------- Probe ----------------------------------------------------------

/// A question that is asked of both versions.
struct Probe {
    wire: Vec<u8>,
    name: LowerName,
    rtype: Rtype,
}

impl Probe {
    fn new(name: &Name, rtype: Rtype) -> Option<Self> {
        let mut wire = name.as_wire().to_vec();
        wire.extend(rtype.0.to_be_bytes());
        wire.extend(CLASS_IN.to_be_bytes());
        Some(Probe { name: LowerName::from_wire(name.as_wire())?, wire, rtype })
    }

    fn compare(&self, old: &Version, new: &Version, pairs: &RegionPairs) -> Change {
        let mut change = Change::Nothing;
        for (before, after) in pairs {
            let before = resolve(&old.zone, *before, &self.question());
            let after = resolve(&new.zone, *after, &self.question());
            change = change.max(difference(&before, &after));
            if before.is_for_all() && after.is_for_all() {
                break;
            }
        }
        change
    }

    fn question(&self) -> Question<'_> {
        Question { wire: &self.wire, name: &self.name, qtype: self.rtype, qclass: CLASS_IN }
    }
}

/// Says how two answers differ: by the TTL of what is in the first and not as
/// it was in the second.
fn difference(before: &Resolution<'_>, after: &Resolution<'_>) -> Change {
    if before.agrees(after) {
        return Change::Nothing;
    }
    let gone = before.records.iter().filter(|rrset| {
        counts(before, rrset) && !after.records.iter().any(|other| rrset.agrees(other))
    });
    match gone.map(|rrset| rrset.ttl).max() {
        Some(ttl) => Change::Records { ttl },
        None => Change::Additions,
    }
}

/// Says whether an RRset of an answer counts as a record that clients have.
///
/// Denials do not: a cached one may outlive an addition by the negative TTL.
/// Addresses that come along are asked for by their own name, except for the
/// glue of a delegation.
fn counts(answer: &Resolution<'_>, rrset: &Records<'_>) -> bool {
    match rrset.section {
        Section::Answer => true,
        Section::Authority => rrset.rtype != Rtype::SOA,
        Section::Additional => !answer.authoritative,
    }
}
