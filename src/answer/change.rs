//! What a version changes for the clients of another one.
//!
//! Found by asking: every name, type and region is resolved in both versions
//! by the code that answers queries, so that whatever clients can see is
//! seen here too, wildcards, aliases and delegations included.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::CLASS_IN;
use super::resolve::{Records, Resolution, resolve};
use crate::geo::RegionId;
use crate::snapshot::{Change, Version, Zone};
use crate::wire::{LowerName, Name, Question, Rtype, Section};

/// Compares what two versions of a zone tell the same clients.
///
/// ANY is left out: what it gets is a sample (RFC 8482). The serial of the SOA
/// record counts only where the operator fixed it and nothing else differs.
pub fn change(old: &Version, new: &Version) -> Change {
    let has_same_zone = Arc::ptr_eq(&old.zone, &new.zone) || old.zone == new.zone;
    if has_same_zone && (Arc::ptr_eq(&old.map, &new.map) || old.map == new.map) {
        return Change::Nothing;
    }
    let has_new_serial = new.zone.has_own_serial() && old.zone.serial() != new.zone.serial();
    let pairs = old.map.pairs(&new.map);
    let types = types(&old.zone, &new.zone);
    let mut change = if has_new_serial { Change::Serial } else { Change::Nothing };
    for name in names(&old.zone, &new.zone) {
        for rtype in &types {
            if let Some(probe) = Probe::new(&name, *rtype) {
                change = change.max(probe.compare(old, new, &pairs));
            }
        }
    }
    change
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

    fn compare(
        &self,
        old: &Version,
        new: &Version,
        pairs: &BTreeSet<(RegionId, RegionId)>,
    ) -> Change {
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
        Question { wire: &self.wire, name: self.name.clone(), qtype: self.rtype, qclass: CLASS_IN }
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
