//! RRsets on their way into a zone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::drain;
use crate::diag::Span;
use crate::geo::{RegionId, RegionSet};
use crate::wire::{Name, Rtype};

//----------- Draft ----------------------------------------------------------

/// An RRset as one table gives it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// The owner.
    pub(super) owner: Name,

    /// The type.
    pub(super) rtype: Rtype,

    /// The TTL.
    pub(super) ttl: u32,

    /// The records, for every client.
    pub(super) records: Records,

    /// Where the operator wrote it, for complaints about the RRset.
    pub(super) span: Span,

    /// Which table gives it.
    pub(super) table: Table,
}

impl Draft {
    /// Moves drained endpoints of SRV records behind all others.
    pub(super) fn drain(&mut self, drained: &BTreeSet<Name>) {
        if self.rtype != Rtype::SRV {
            return;
        }
        let lists = match &mut self.records {
            Records::Fixed(list) => std::slice::from_mut(list),
            Records::Steered(lists) => lists,
        };
        for list in lists {
            *list = drain::behind(std::mem::take(list), drained);
        }
    }
}

/// A table that publishes RRsets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Table {
    Soa,
    NameServers,
    Hosts,
    Services,
    Compat,
    Naptr,
    Geo,
    MasterFile,
}

impl Table {
    /// Returns the table's name in the operator's files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Soa => "[soa]",
            Table::NameServers => "[ns]",
            Table::Hosts => "[hosts]",
            Table::Services => "[services]",
            Table::Compat => "[compat]",
            Table::Naptr => "[naptr]",
            Table::Geo => "[[geo]]",
            Table::MasterFile => "the master file",
        }
    }
}

//----------- Records --------------------------------------------------------

/// The records of a draft.
#[derive(Clone, Debug)]
pub(super) enum Records {
    /// The same for everybody.
    Fixed(Vec<Rdata>),

    /// By region: the vector has one entry a region.
    Steered(Vec<Vec<Rdata>>),
}

/// RDATA in uncompressed wire format, and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Rdata {
    /// The octets.
    pub(super) octets: Box<[u8]>,

    /// Where it was written.
    pub(super) span: Span,
}

impl Records {
    /// Returns each list of records once, with the regions that see it.
    ///
    /// Equal lists are joined; the first region decides the order, so that
    /// it follows from the data alone.
    pub(super) fn variants(&self) -> Vec<(&[Rdata], RegionSet)> {
        let lists = match self {
            Records::Fixed(list) => return vec![(list, RegionSet::ALL)],
            Records::Steered(lists) => lists,
        };
        let mut seen: BTreeMap<Vec<&[u8]>, usize> = BTreeMap::new();
        let mut variants: Vec<(&[Rdata], RegionSet)> = Vec::new();
        for (at, list) in lists.iter().enumerate() {
            let key: Vec<_> = list.iter().map(|rdata| &rdata.octets[..]).collect();
            let place = *seen.entry(key).or_insert_with(|| {
                variants.push((list, RegionSet::default()));
                variants.len() - 1
            });
            variants[place].1.insert(RegionId(at as u8));
        }
        if let [(_, regions)] = &mut variants[..] {
            // Nobody is steered by a set that is the same for all.
            *regions = RegionSet::ALL;
        }
        variants
    }

    /// Returns every record of every list.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Rdata> {
        let lists = match self {
            Records::Fixed(list) => std::slice::from_ref(list),
            Records::Steered(lists) => &lists[..],
        };
        lists.iter().flatten()
    }

    /// Brings every list into the order of answers and drops duplicates,
    /// names in them being equal whatever their letter case.
    pub(super) fn sort(&mut self, rtype: Rtype) {
        let lists = match self {
            Records::Fixed(list) => std::slice::from_mut(list),
            Records::Steered(lists) => &mut lists[..],
        };
        for list in lists.iter_mut().filter(|list| list.len() > 1) {
            list.sort_by_cached_key(|rdata| (rank(rtype, &rdata.octets), rdata.octets.clone()));
            list.dedup_by_key(|rdata| rank(rtype, &rdata.octets));
        }
    }
}

/// Returns what records of a type are sorted by.
///
/// SRV records stand in failover order: priority ascending, weight
/// descending, target, port. All others are in the canonical order of RFC
/// 4034 section 6.3, which for NAPTR and MX is that of preference.
fn rank(rtype: Rtype, rdata: &[u8]) -> Vec<u8> {
    let name_at = match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::PTR | Rtype::DNAME => 0,
        Rtype::MX => 2,
        Rtype::SRV => 6,
        _ => rdata.len(),
    };
    let (fixed, name) = rdata.split_at(name_at.min(rdata.len()));
    let name = name.to_ascii_lowercase();
    match *fixed {
        [p1, p0, w1, w0, ref port @ ..] if rtype == Rtype::SRV => {
            [&[p1, p0, !w1, !w0][..], &name, port].concat()
        }
        _ => [fixed, &name].concat(),
    }
}

//----------- RDATA ----------------------------------------------------------

/// Returns the RDATA of an A or AAAA record and its type.
pub(super) fn address(address: IpAddr) -> (Rtype, Box<[u8]>) {
    match address {
        IpAddr::V4(address) => (Rtype::A, address.octets().into()),
        IpAddr::V6(address) => (Rtype::AAAA, address.octets().into()),
    }
}

/// Returns the RDATA of an SRV record (RFC 2782).
pub(super) fn srv(priority: u16, weight: u16, port: u16, target: &Name) -> Box<[u8]> {
    let mut rdata = Vec::with_capacity(6 + target.as_wire().len());
    for field in [priority, weight, port] {
        rdata.extend(field.to_be_bytes());
    }
    rdata.extend(target.as_wire());
    rdata.into()
}

/// Returns the RDATA of a NAPTR record with flag "s" and no regular
/// expression (RFC 3403 section 4.1, RFC 3263 section 4.1).
pub(super) fn naptr(order: u16, preference: u16, service: &str, replacement: &Name) -> Box<[u8]> {
    let mut rdata = Vec::new();
    rdata.extend(order.to_be_bytes());
    rdata.extend(preference.to_be_bytes());
    for text in ["s", service, ""] {
        rdata.push(text.len() as u8);
        rdata.extend(text.as_bytes());
    }
    rdata.extend(replacement.as_wire());
    rdata.into()
}

/// Returns the name of a host which clients will want addresses of.
pub(super) fn target(rtype: Rtype, rdata: &[u8]) -> Option<Name> {
    Name::from_wire(target_octets(rtype, rdata)?).ok()
}

/// Returns the octets in RDATA that are the name of a host which clients
/// will want addresses of.
pub(super) fn target_octets(rtype: Rtype, rdata: &[u8]) -> Option<&[u8]> {
    let at = match rtype {
        Rtype::NS => 0,
        Rtype::MX => 2,
        Rtype::SRV => 6,
        _ => return None,
    };
    rdata.get(at..)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Sources;
    use std::path::Path;

    fn rdatas(list: &[Box<[u8]>]) -> Vec<Rdata> {
        let span = Sources::default().add(Path::new("x"), "").span(0..0);
        list.iter().map(|octets| Rdata { octets: octets.clone(), span }).collect()
    }

    fn name(text: &str) -> Name {
        Name::parse(text, &Name::root()).unwrap()
    }

    #[test]
    fn srv_records_sort_by_priority_then_weight_descending_then_target_then_port() {
        let sorted = [
            srv(10, 60, 5060, &name("b.")),
            srv(10, 40, 5060, &name("A.")),
            srv(10, 40, 5060, &name("b.")),
            srv(10, 40, 5070, &name("b.")),
            srv(20, 100, 5060, &name("a.")),
            srv(256, 0, 5060, &name("a.")),
        ];
        let mut shuffled = sorted.clone();
        shuffled.reverse();
        shuffled.swap(1, 3);
        let mut records = Records::Fixed(rdatas(&shuffled));
        records.sort(Rtype::SRV);
        let octets: Vec<_> = records.iter().map(|rdata| rdata.octets.clone()).collect();
        assert_eq!(octets, sorted);
    }

    #[test]
    fn equal_lists_are_one_variant_and_one_variant_steers_nobody() {
        let (a, b) = (rdatas(&[[1].into()]), rdatas(&[[2].into()]));
        let records = Records::Steered(vec![a.clone(), b, a.clone()]);
        let variants = records.variants();
        assert_eq!(variants.len(), 2);
        assert_eq!(variants[0].1.iter().collect::<Vec<_>>(), [RegionId(0), RegionId(2)]);
        let records = Records::Steered(vec![a.clone(), a]);
        assert_eq!(records.variants()[0].1, RegionSet::ALL);
    }
}
