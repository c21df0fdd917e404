//! Records that a zone would gain and lose.

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::op::Message;
use serde::Serialize;

use crate::answer::CLASS_IN;
use crate::geo::{RegionId, RegionMap, RegionSet};
use crate::snapshot::Zone;
use crate::wire::{Name, Rtype};

/// Where the serial of SOA data begins, from its end, in octets.
const SERIAL_FROM_END: usize = 20;

//----------- RecordDiff -----------------------------------------------------

/// Records that differ.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordDiff {
    /// Those that would go.
    pub removed: Vec<RecordLine>,

    /// Those that would come.
    pub added: Vec<RecordLine>,
}

/// A record, and who is given it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordLine {
    /// The owner.
    pub name: String,

    /// TTL, type and data, as master files have them.
    pub record: String,

    /// The regions whose clients are given it; empty where all are.
    pub regions: Vec<String>,
}

/// What clients of each region, by name, are given: TTL and data.
type Given = BTreeMap<(Name, Rtype), BTreeMap<(u32, Box<[u8]>), BTreeSet<String>>>;

impl RecordDiff {
    /// Compares two zones, each with the map that clients are placed by.
    pub(super) fn new(
        (old, old_map): (&Zone, &RegionMap),
        (new, new_map): (&Zone, &RegionMap),
    ) -> Self {
        let (before, after) = (given(old, old_map), given(new, new_map));
        RecordDiff {
            removed: missing(&before, &after, old_map.names().len()),
            added: missing(&after, &before, new_map.names().len()),
        }
    }

    /// Returns all records of a zone that is new.
    pub(super) fn added(zone: &Zone, map: &RegionMap) -> Self {
        let added = missing(&given(zone, map), &Given::new(), map.names().len());
        RecordDiff { added, ..Self::default() }
    }

    /// Returns all records of a zone that is gone.
    pub(super) fn gone(zone: &Zone, map: &RegionMap) -> Self {
        let removed = missing(&given(zone, map), &Given::new(), map.names().len());
        RecordDiff { removed, ..Self::default() }
    }
}

fn given(zone: &Zone, map: &RegionMap) -> Given {
    let mut given = Given::new();
    let all: RegionSet = (0..map.names().len()).map(|at| RegionId(at as u8)).collect();
    for node in zone.nodes() {
        let Ok(owner) = Name::from_wire(node.owner()) else { continue };
        for rrset in node.rrsets() {
            let records = given.entry((owner.clone(), rrset.rtype())).or_default();
            for variant in rrset.variants() {
                let regions = variant.regions().intersect(&all);
                let names = regions.iter().map(|region| map.name(region).to_owned());
                let names: BTreeSet<_> = names.collect();
                for rdata in variant.rdatas() {
                    let key = (rrset.ttl(), without_serial(rrset.rtype(), rdata));
                    records.entry(key).or_default().extend(names.iter().cloned());
                }
            }
        }
    }
    given
}

/// The server's own serial is no change.
fn without_serial(rtype: Rtype, rdata: &[u8]) -> Box<[u8]> {
    let mut rdata: Box<[u8]> = rdata.into();
    let at = rdata.len().checked_sub(SERIAL_FROM_END).filter(|_| rtype == Rtype::SOA);
    if let Some(serial) = at.and_then(|at| rdata.get_mut(at..at + 4)) {
        serial.fill(0);
    }
    rdata
}

/// Returns what of one is not in another, and for whom.
fn missing(own: &Given, others: &Given, regions: usize) -> Vec<RecordLine> {
    let mut lines = Vec::new();
    for (key, records) in own {
        let other = others.get(key);
        for ((ttl, rdata), names) in records {
            let known = other.and_then(|other| other.get(&(*ttl, rdata.clone())));
            let left: Vec<_> = match known {
                Some(known) => names.difference(known).cloned().collect(),
                None => names.iter().cloned().collect(),
            };
            if left.is_empty() {
                continue;
            }
            let (owner, rtype) = key;
            lines.push(RecordLine {
                name: owner.to_string(),
                record: format!("{ttl} {}", shown(*rtype, rdata)),
                regions: if left.len() == regions { Vec::new() } else { left },
            });
        }
    }
    lines
}

/// Returns type and data as master files have them (RFC 1035 section 5, RFC
/// 3597 section 5).
fn shown(rtype: Rtype, rdata: &[u8]) -> String {
    // A response with nothing but this record, of the root.
    let mut octets = b"\0\0\x80\0\0\0\0\x01\0\0\0\0\0".to_vec();
    octets.extend(rtype.0.to_be_bytes());
    octets.extend(CLASS_IN.to_be_bytes());
    octets.extend([0; 4]);
    octets.extend((rdata.len() as u16).to_be_bytes());
    octets.extend(rdata);
    let read = Message::from_vec(&octets).ok();
    let record = read.as_ref().and_then(|message| message.answers.first());
    match record {
        Some(record) => format!("{rtype} {}", record.data),
        None => {
            let hex: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("{rtype} \\# {} {hex}", rdata.len())
        }
    }
}
