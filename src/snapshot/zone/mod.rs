//! A compiled zone: the tree of names with everything that answers need.
//!
//! # Shape
//!
//! ```text
//!  index ──▶ nodes ──▶ rrsets ──▶ variants ──▶ octets: RDATA, hosts
//!              └────────────────────────────▶ octets: owner names
//! ```
//!
//! A zone is a handful of flat lists, in which numbers point from one to the
//! next: a zone of a million records is a few allocations, and a zone that is
//! kept on the disk is read back without being built again. [`Node`],
//! [`Rrset`], [`Variant`] and [`Host`] are views of places in these lists. All
//! but the octets is the zone's [`Shape`], which zones have in common.

mod build;
mod shape;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::shape::{NodePart, RrsetPart, Shape, VariantPart};
use super::Bodies;
use crate::geo::{RegionId, RegionSet};
use crate::wire::{LowerName, Name, Rtype};

pub use self::build::{NewHost, NewNode, NewRrset, NewVariant};

//----------- Zone -----------------------------------------------------------

/// A zone's names, in canonical order, each with its RRsets.
///
/// Every ancestor of a name up to the origin has a node of its own, so that
/// empty non-terminals are found like any other name (RFC 4592 section
/// 2.2.2), and a name that is not found has its closest encloser here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zone {
    origin: Name,
    parts: Parts,

    /// The labels of the origin, and the most that a name in the zone has.
    origin_labels: usize,
    labels_max: usize,

    /// The TTL of NXDOMAIN and NODATA (RFC 2308 section 5).
    negative_ttl: u32,

    /// How many variants its SRV RRsets have in all.
    srv_count: u32,

    /// Its answers, ready to be copied, as far as they have been asked for: no
    /// answer depends on them.
    bodies: Bodies,
}

/// What a zone is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Parts {
    /// Names and records, one after the other; see `build`.
    octets: Box<[u8]>,

    /// Where what is in them.
    shape: Arc<Shape>,

    /// Whether the operator wrote the SOA record's serial.
    has_own_serial: bool,
}

impl Zone {
    /// Returns the zone's name.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// Returns the node of the origin.
    pub fn apex(&self) -> Node<'_> {
        self.node(NodeId(0))
    }

    /// Returns the nodes in canonical order.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> + Clone {
        (0..self.parts.shape.nodes.len() as u32).map(|at| self.node(NodeId(at)))
    }

    /// Returns all RRsets, by their owners in canonical order.
    pub fn rrsets(&self) -> impl Iterator<Item = Rrset<'_>> + Clone {
        (0..self.parts.shape.rrsets.len()).map(|at| Rrset { zone: self, at })
    }

    /// Returns the node of an id.
    pub fn node(&self, id: NodeId) -> Node<'_> {
        Node { zone: self, at: id.0 as usize }
    }

    /// Returns the TTL that the SOA record has in NXDOMAIN and NODATA: the
    /// smaller of its own and its MINIMUM field (RFC 2308 section 3).
    pub fn negative_ttl(&self) -> u32 {
        self.negative_ttl
    }

    /// Returns the answers that have been asked for.
    pub fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// Returns how many variants all RRsets have together.
    pub fn variant_count(&self) -> usize {
        self.parts.shape.variants.len()
    }

    /// Returns how many variants the SRV RRsets have in all.
    pub fn srv_count(&self) -> usize {
        self.srv_count as usize
    }

    /// Returns the number of each variant of an SRV RRset with its TTL.
    pub fn srv_ttls(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let rrsets = self.rrsets().filter_map(|rrset| Some((rrset.slot()?, rrset)));
        rrsets.flat_map(|(first, rrset)| {
            (first..).zip(rrset.variants()).map(move |(slot, _)| (slot, rrset.ttl()))
        })
    }

    /// Says whether the operator wrote the SOA record's serial.
    pub fn has_own_serial(&self) -> bool {
        self.parts.has_own_serial
    }

    /// Returns the serial of the SOA record.
    pub fn serial(&self) -> u32 {
        // Five numbers stand at the record's end, the serial first.
        let soa = self.apex().rrset(Rtype::SOA).and_then(|soa| soa.first_variant().first());
        let numbers = soa.and_then(|rdata| rdata.last_chunk::<20>());
        numbers.map_or(0, |[a, b, c, d, ..]| u32::from_be_bytes([*a, *b, *c, *d]))
    }

    /// Finds what the zone has for a name within it.
    #[inline]
    pub fn find(&self, name: &LowerName) -> Found<'_> {
        match self.get(name) {
            Some(node) => self.reach(node).unwrap_or(Found::Exact(node)),
            None => self.find_above(name),
        }
    }

    /// Finds what the zone has for a name that does not exist.
    #[inline(never)]
    fn find_above(&self, name: &LowerName) -> Found<'_> {
        let encloser = self.closest_encloser(name);
        if let Some(found) = self.reach(encloser) {
            return found;
        }
        if encloser.status() == Status::Cut {
            return Found::Referral(encloser);
        }
        if encloser.rrset(Rtype::DNAME).is_some() {
            return Found::Redirected(encloser);
        }
        encloser.wildcard().map_or(Found::Missing, Found::Wildcard)
    }

    /// Returns the node of a name that exists, hidden or not.
    #[inline]
    pub fn get(&self, name: &LowerName) -> Option<Node<'_>> {
        // Nobody makes us hash more labels than there are.
        if name.label_count() > self.labels_max {
            return None;
        }
        self.get_hashed(name.hash_below(self.origin_labels), name.as_wire())
    }

    #[inline]
    fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<Node<'_>> {
        let Shape { nodes, index, .. } = &*self.parts.shape;
        index.find(hash, |at| {
            let is_it = self.parts.is_name(nodes[at as usize].owner, key);
            is_it.then(|| self.node(NodeId(at)))
        })
    }

    /// Returns the longest existing ancestor (RFC 4592 section 3.3.1).
    ///
    /// Looked for from the origin downwards: each ancestor of a name that
    /// exists has a node, so that the first one missing ends the search,
    /// however long the name is.
    fn closest_encloser(&self, name: &LowerName) -> Node<'_> {
        let above = name.label_count().saturating_sub(self.origin_labels + 1);
        let ancestors = name.suffixes_below(self.origin_labels).take(above);
        let nodes = ancestors.map_while(|suffix| self.get_hashed(suffix.hash, suffix.wire));
        nodes.last().unwrap_or(self.apex())
    }

    /// Says what stands above a hidden node.
    fn reach(&self, node: Node<'_>) -> Option<Found<'_>> {
        let Status::Hidden(above) = node.status() else {
            return None;
        };
        let above = self.node(above);
        Some(match above.status() {
            Status::Cut => Found::Referral(above),
            _ => Found::Redirected(above),
        })
    }
}

//----------- Found ----------------------------------------------------------

/// What a zone has for a name.
#[derive(Clone, Copy, Debug)]
pub enum Found<'z> {
    /// The name exists, perhaps without records, perhaps as a delegation.
    Exact(Node<'z>),

    /// The name is below this delegation.
    Referral(Node<'z>),

    /// The name is below this node's DNAME (RFC 6672).
    Redirected(Node<'z>),

    /// The name does not exist; this wildcard stands in (RFC 4592).
    Wildcard(Node<'z>),

    /// The name does not exist.
    Missing,
}

//----------- Node -----------------------------------------------------------

/// A name of the zone.
#[derive(Clone, Copy, Debug)]
pub struct Node<'z> {
    zone: &'z Zone,
    at: usize,
}

impl<'z> Node<'z> {
    /// Returns the name in wire format, with the letter case of the tables.
    pub fn owner(self) -> &'z [u8] {
        self.zone.parts.name(self.part().owner)
    }

    /// Returns its RRsets.
    pub fn rrsets(self) -> impl Iterator<Item = Rrset<'z>> + Clone {
        let nodes = &self.zone.parts.shape.nodes;
        let end = nodes.get(self.at + 1).map(|next| next.rrsets as usize);
        let end = end.unwrap_or(self.zone.parts.shape.rrsets.len());
        let zone = self.zone;
        (self.part().rrsets as usize..end).map(move |at| Rrset { zone, at })
    }

    /// Returns the RRset of a type.
    pub fn rrset(self, rtype: Rtype) -> Option<Rrset<'z>> {
        // A name has a handful of types: a scan beats a search.
        self.rrsets().find(|rrset| rrset.rtype() == rtype)
    }

    /// Says whether it stands in for names that do not exist (RFC 4592 section
    /// 2.1.1).
    pub fn is_wildcard(self) -> bool {
        self.owner().starts_with(b"\x01*")
    }

    /// Returns how the zone stands to it.
    pub fn status(self) -> Status {
        self.part().status
    }

    /// Returns the node `*` directly below it.
    pub fn wildcard(self) -> Option<Node<'z>> {
        let wildcard = self.part().wildcard;
        (wildcard != 0).then(|| self.zone.node(NodeId(wildcard)))
    }

    /// Returns the regions whose clients see what `region`'s see at this
    /// name, over all types.
    pub fn same(self, region: RegionId) -> RegionSet {
        self.rrsets()
            .fold(RegionSet::ALL, |same, rrset| same.intersect(rrset.variant(region).regions()))
    }

    fn part(self) -> &'z NodePart {
        &self.zone.parts.shape.nodes[self.at]
    }
}

/// A node of a zone, by its position in [`Zone::nodes`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct NodeId(pub u32);

/// How the zone stands to a name.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
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
#[derive(Clone, Copy, Debug)]
pub struct Rrset<'z> {
    zone: &'z Zone,
    at: usize,
}

impl<'z> Rrset<'z> {
    /// Returns the type.
    pub fn rtype(self) -> Rtype {
        self.part().rtype
    }

    /// Returns the TTL.
    pub fn ttl(self) -> u32 {
        self.part().ttl
    }

    /// Returns the different sets of records: one, unless it is steered.
    pub fn variants(self) -> impl Iterator<Item = Variant<'z>> + Clone {
        let rrsets = &self.zone.parts.shape.rrsets;
        let end = rrsets.get(self.at + 1).map(|next| next.variants as usize);
        let end = end.unwrap_or(self.zone.parts.shape.variants.len());
        let zone = self.zone;
        (self.part().variants as usize..end).map(move |at| Variant { zone, at })
    }

    /// Returns what the clients of a region get.
    pub fn variant(self, region: RegionId) -> Variant<'z> {
        let first = self.part().variants as usize;
        Variant { zone: self.zone, at: first + self.variant_at(region) }
    }

    /// Returns what everybody gets, or the first of what some get.
    pub fn first_variant(self) -> Variant<'z> {
        Variant { zone: self.zone, at: self.part().variants as usize }
    }

    /// Returns of an SRV RRset the number of the first variant among those of
    /// all.
    pub fn slot(self) -> Option<u32> {
        (self.rtype() == Rtype::SRV).then_some(self.part().slot)
    }

    /// Returns the number of an SRV variant that the clients of a region get.
    pub fn srv_slot(self, region: RegionId) -> Option<u32> {
        self.slot().map(|first| first + self.variant_at(region) as u32)
    }

    fn variant_at(self, region: RegionId) -> usize {
        let assignment = self.part().assignment as usize;
        let list = assignment.checked_sub(1).map(|at| &self.zone.parts.shape.assignments[at]);
        let at = list.and_then(|list| list.get(usize::from(region.0)));
        at.map_or(0, |at| usize::from(*at))
    }

    fn part(self) -> &'z RrsetPart {
        &self.zone.parts.shape.rrsets[self.at]
    }
}

//----------- Variant --------------------------------------------------------

/// The records of an RRset as the clients of some regions see them.
#[derive(Clone, Copy, Debug)]
pub struct Variant<'z> {
    zone: &'z Zone,
    at: usize,
}

impl<'z> Variant<'z> {
    /// Returns RDATA in uncompressed wire format, in the order of answers.
    ///
    /// There is none only at a steered RRset that these clients have nothing
    /// of.
    pub fn rdatas(self) -> impl ExactSizeIterator<Item = &'z [u8]> + Clone {
        self.records().rdatas
    }

    /// Says whether these clients have nothing of a steered RRset.
    pub fn is_empty(self) -> bool {
        self.zone.parts.is_without_records(self.part().records)
    }

    /// Returns the first RDATA.
    pub fn first(self) -> Option<&'z [u8]> {
        self.rdatas().next()
    }

    /// Returns its number among those of all RRsets.
    pub fn number(self) -> usize {
        self.at
    }

    /// Returns the regions that see it: all, unless the RRset is steered.
    pub fn regions(self) -> &'z RegionSet {
        &self.zone.parts.shape.sets[self.part().regions as usize]
    }

    /// Returns the hosts in the zone that the records name and that have
    /// addresses, in the order of the records, each once.
    pub fn hosts(self) -> impl Iterator<Item = Host<'z>> + Clone {
        let zone = self.zone;
        self.records().hosts().map(move |(name, node)| Host {
            name: zone.parts.name(name),
            node: zone.node(NodeId(node)),
        })
    }

    fn records(self) -> build::Records<'z> {
        self.zone.parts.records(self.part().records)
    }

    fn part(self) -> &'z VariantPart {
        &self.zone.parts.shape.variants[self.at]
    }
}

/// Two are equal that hold the same records in the same order.
impl PartialEq for Variant<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rdatas().eq(other.rdatas())
    }
}

//----------- Host -----------------------------------------------------------

/// A host that records name.
#[derive(Clone, Copy, Debug)]
pub struct Host<'z> {
    /// Its name in wire format, as the records have it.
    pub name: &'z [u8],

    /// The node with its addresses: its own, or a wildcard's.
    pub node: Node<'z>,
}
