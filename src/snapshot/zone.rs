//! A compiled zone: the tree of names with everything that answers need.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::{label_count, parent};
use crate::geo::{RegionId, RegionSet};
use crate::wire::{Name, Rtype};

//----------- Zone -----------------------------------------------------------

/// A zone's names, in canonical order, each with its RRsets.
///
/// Every ancestor of a name up to the origin has a node of its own, so that
/// empty non-terminals are found like any other name (RFC 4592 section
/// 2.2.2), and a name that is not found has its closest encloser here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zone {
    origin: Name,
    nodes: Vec<Node>,
    index: HashMap<Box<[u8]>, NodeId, FxBuildHasher>,

    /// The most labels that a name in the zone has.
    labels_max: usize,

    /// The TTL of NXDOMAIN and NODATA (RFC 2308 section 5).
    negative_ttl: u32,

    /// How many variants its SRV RRsets have in all.
    srv_count: usize,

    /// Whether the operator wrote the SOA record's serial.
    has_own_serial: bool,
}

impl Zone {
    /// Returns a zone of nodes in canonical order, the origin's first.
    ///
    /// The origin must have an SOA record; the compiler sees to it.
    pub fn new(mut nodes: Vec<Node>) -> Self {
        let mut srv_count = 0;
        for rrset in nodes.iter_mut().flat_map(|node| &mut node.rrsets) {
            rrset.slot = (rrset.rtype == Rtype::SRV).then_some(srv_count as u32);
            srv_count += rrset.slot.map_or(0, |_| rrset.variants.len());
        }
        let origin = nodes[0].owner.clone();
        let soa = nodes[0].rrset(Rtype::SOA).expect("the compiler refuses a zone without SOA");
        let negative_ttl = soa.ttl.min(soa_minimum(&soa.variants[0].rdatas[0]));
        let index = nodes
            .iter()
            .enumerate()
            .map(|(at, node)| (node.owner.to_key(), NodeId(at as u32)))
            .collect();
        let labels_max = nodes.iter().map(|node| node.owner.label_count()).max().unwrap_or(0);
        let has_own_serial = false;
        Zone { origin, nodes, index, labels_max, negative_ttl, srv_count, has_own_serial }
    }

    /// Returns the zone with a serial that the operator wrote.
    pub fn with_own_serial(self) -> Self {
        Zone { has_own_serial: true, ..self }
    }

    /// Returns the zone with another serial in its SOA record.
    pub fn with_serial(mut self, serial: u32) -> Self {
        let soa = self.nodes[0].rrsets.iter_mut().find(|rrset| rrset.rtype == Rtype::SOA);
        let rdata = soa.map(|soa| &mut soa.variants[0].rdatas[0]);
        if let Some(numbers) = rdata.and_then(|rdata| rdata.last_chunk_mut::<20>()) {
            numbers[..4].copy_from_slice(&serial.to_be_bytes());
        }
        self
    }

    /// Says whether the operator wrote the SOA record's serial.
    pub fn has_own_serial(&self) -> bool {
        self.has_own_serial
    }

    /// Returns the zone in the form in which it is kept.
    pub fn to_octets(&self) -> Vec<u8> {
        // Writing to memory does not fail, and there is nothing that the
        // format cannot express.
        postcard::to_stdvec(&(&self.nodes, self.has_own_serial)).expect("nodes can be written")
    }

    /// Reads a zone that was kept; none where the octets are none.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let (nodes, has_own_serial): (Vec<Node>, bool) = postcard::from_bytes(octets).ok()?;
        let soa = nodes.first()?.rrset(Rtype::SOA)?;
        soa.variants.first()?.rdatas.first()?.last_chunk::<20>()?;
        let zone = Zone::new(nodes);
        Some(if has_own_serial { zone.with_own_serial() } else { zone })
    }

    /// Returns the zone's name.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// Returns the node of the origin.
    pub fn apex(&self) -> &Node {
        &self.nodes[0]
    }

    /// Returns the nodes in canonical order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the node of an id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Returns the TTL that the SOA record has in NXDOMAIN and NODATA: the
    /// smaller of its own and its MINIMUM field (RFC 2308 section 3).
    pub fn negative_ttl(&self) -> u32 {
        self.negative_ttl
    }

    /// Returns how many variants the SRV RRsets have in all.
    pub fn srv_count(&self) -> usize {
        self.srv_count
    }

    /// Returns the number of each variant of an SRV RRset with its TTL.
    pub fn srv_ttls(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let rrsets = self.nodes.iter().flat_map(|node| &node.rrsets);
        rrsets.filter_map(|rrset| Some((rrset.slot?, rrset))).flat_map(|(first, rrset)| {
            (first..).zip(&rrset.variants).map(|(slot, _)| (slot, rrset.ttl))
        })
    }

    /// Returns the serial of the SOA record.
    pub fn serial(&self) -> u32 {
        // Five numbers stand at the record's end, the serial first.
        let soa = self.apex().rrset(Rtype::SOA).map(|soa| &soa.variants[0].rdatas[0]);
        let numbers = soa.and_then(|rdata| rdata.last_chunk::<20>());
        numbers.map_or(0, |[a, b, c, d, ..]| u32::from_be_bytes([*a, *b, *c, *d]))
    }

    /// Finds what the zone has for a name.
    ///
    /// `key` is a name within the zone, in wire format and lower case.
    pub fn find(&self, key: &[u8]) -> Found<'_> {
        if let Some(node) = self.get(key) {
            return self.reach(node).unwrap_or(Found::Exact(node));
        }
        let encloser = self.closest_encloser(key);
        if let Some(found) = self.reach(encloser) {
            return found;
        }
        if encloser.status == Status::Cut {
            return Found::Referral(encloser);
        }
        if encloser.rrset(Rtype::DNAME).is_some() {
            return Found::Redirected(encloser);
        }
        match encloser.wildcard {
            Some(id) => Found::Wildcard(self.node(id)),
            None => Found::Missing,
        }
    }

    /// Returns the node of a name that exists, hidden or not.
    pub fn get(&self, key: &[u8]) -> Option<&Node> {
        self.index.get(key).map(|id| self.node(*id))
    }

    /// Returns the longest existing ancestor (RFC 4592 section 3.3.1).
    fn closest_encloser(&self, key: &[u8]) -> &Node {
        let mut labels = label_count(key);
        let mut rest = key;
        while let Some(up) = parent(rest) {
            rest = up;
            labels -= 1;
            if labels <= self.labels_max
                && let Some(node) = self.get(rest)
            {
                return node;
            }
        }
        self.apex()
    }

    /// Says what stands above a hidden node.
    fn reach(&self, node: &Node) -> Option<Found<'_>> {
        let Status::Hidden(above) = node.status else {
            return None;
        };
        let above = self.node(above);
        Some(match above.status {
            Status::Cut => Found::Referral(above),
            _ => Found::Redirected(above),
        })
    }
}

/// Returns the last field of an SOA record (RFC 1035 section 3.3.13).
fn soa_minimum(rdata: &[u8]) -> u32 {
    let octets = rdata.last_chunk().expect("the compiler lets no SOA of under 22 octets through");
    u32::from_be_bytes(*octets)
}

//----------- Found ----------------------------------------------------------

/// What a zone has for a name.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// The name exists, perhaps without records, perhaps as a delegation.
    Exact(&'a Node),

    /// The name is below this delegation.
    Referral(&'a Node),

    /// The name is below this node's DNAME (RFC 6672).
    Redirected(&'a Node),

    /// The name does not exist; this wildcard stands in (RFC 4592).
    Wildcard(&'a Node),

    /// The name does not exist.
    Missing,
}

//----------- Node -----------------------------------------------------------

/// A name of the zone.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Node {
    /// The name.
    pub owner: Name,

    /// Its RRsets by type.
    pub rrsets: Vec<Rrset>,

    /// How the zone stands to it.
    pub status: Status,

    /// The node `*` directly below it.
    pub wildcard: Option<NodeId>,
}

impl Node {
    /// Returns the RRset of a type.
    pub fn rrset(&self, rtype: Rtype) -> Option<&Rrset> {
        // A name has a handful of types: a scan beats a search.
        self.rrsets.iter().find(|rrset| rrset.rtype == rtype)
    }

    /// Returns the regions whose clients see what `region`'s see at this
    /// name, over all types.
    pub fn same(&self, region: RegionId) -> RegionSet {
        self.rrsets
            .iter()
            .fold(RegionSet::ALL, |same, rrset| same.intersect(&rrset.variant(region).regions))
    }
}

/// A node of a zone, by its position in [`Zone::nodes`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeId(pub u32);

/// How the zone stands to a name.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Status {
    /// The zone answers for it.
    Authoritative,

    /// It is delegated away; the zone answers for its DS records only.
    Cut,

    /// It is below the cut or the DNAME of this node, and not visible but as
    /// glue.
    Hidden(NodeId),
}

//----------- Rrset ----------------------------------------------------------

/// The records of a name and type, for every client.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rrset {
    /// The type.
    pub rtype: Rtype,

    /// The TTL.
    pub ttl: u32,

    /// The different sets of records: one, unless the RRset is steered.
    pub variants: Vec<Variant>,

    /// For every region the position of its variant; empty if there is one.
    pub by_region: Box<[u8]>,

    /// Of SRV RRsets, the number of the first variant among those of all; set
    /// by [`Zone::new`].
    pub slot: Option<u32>,
}

impl Rrset {
    /// Returns what the clients of a region get.
    pub fn variant(&self, region: RegionId) -> &Variant {
        &self.variants[self.variant_at(region)]
    }

    /// Returns the number of an SRV variant that the clients of a region get.
    pub fn srv_slot(&self, region: RegionId) -> Option<u32> {
        self.slot.map(|first| first + self.variant_at(region) as u32)
    }

    fn variant_at(&self, region: RegionId) -> usize {
        self.by_region.get(usize::from(region.0)).map_or(0, |at| usize::from(*at))
    }
}

/// The records of an RRset as the clients of some regions see them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Variant {
    /// RDATA in uncompressed wire format, in the order of answers.
    ///
    /// Empty only at a steered RRset that these clients have nothing of.
    pub rdatas: Vec<Box<[u8]>>,

    /// The regions that see it: all, unless the RRset is steered.
    pub regions: RegionSet,

    /// The hosts in the zone that the records name and that have addresses,
    /// in the order of the records, each once.
    pub hosts: Vec<Host>,
}

/// A host that records name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Host {
    /// Its name, as the records have it.
    pub name: Name,

    /// The node with its addresses: its own, or a wildcard's.
    pub node: NodeId,
}
