//! From nodes to the lists of a zone, and from kept octets back.

use std::collections::HashMap;

use rustc_hash::{FxBuildHasher, FxHashMap};
use serde::{Serialize, Serializer};

use super::super::Bodies;
use super::super::index::Index;
use super::shape::{NodePart, RrsetPart, Shape, VariantPart};
use super::{NodeId, Parts, Status, Zone};
use crate::geo::RegionSet;
use crate::wire::{LowerName, Name, Rtype, is_same_name};

//----------- NewNode --------------------------------------------------------

/// A name on its way into a zone.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// The name.
    pub owner: Name,

    /// Its RRsets by type.
    pub rrsets: Vec<NewRrset>,

    /// How the zone stands to it.
    pub status: Status,

    /// The node `*` directly below it.
    pub wildcard: Option<NodeId>,
}

/// An RRset on its way into a zone.
#[derive(Clone, Debug)]
pub struct NewRrset {
    /// The type.
    pub rtype: Rtype,

    /// The TTL.
    pub ttl: u32,

    /// The different sets of records: one, unless it is steered.
    pub variants: Vec<NewVariant>,

    /// For every region the position of its variant; empty if there is one.
    pub by_region: Vec<u8>,
}

/// The records that the clients of some regions see.
#[derive(Clone, Debug)]
pub struct NewVariant {
    /// RDATA in uncompressed wire format, in the order of answers.
    pub rdatas: Vec<Box<[u8]>>,

    /// The regions that see it: all, unless the RRset is steered.
    pub regions: RegionSet,

    /// The hosts in the zone that the records name and that have addresses,
    /// in the order of the records, each once.
    pub hosts: Vec<NewHost>,
}

/// A host that records name.
#[derive(Clone, Debug)]
pub struct NewHost {
    /// Its name, as the records have it.
    pub name: Name,

    /// The node with its addresses: its own, or a wildcard's.
    pub node: NodeId,
}

//----------- Building -------------------------------------------------------

impl Zone {
    /// Returns a zone of nodes in canonical order, the origin's first.
    ///
    /// The origin must have an SOA record; the compiler sees to it. Where the
    /// operator wrote its serial, `has_own_serial` says so.
    pub fn new(nodes: &[NewNode], has_own_serial: bool) -> Self {
        let mut builder = Builder::for_nodes(nodes);
        // Names come behind those that they are the ends of.
        for node in nodes.iter().rev() {
            builder.name(node.owner.as_wire());
        }
        for node in nodes {
            builder.owner(node);
        }
        for (at, node) in nodes.iter().enumerate() {
            builder.nodes[at].rrsets = builder.rrsets.len() as u32;
            for rrset in &node.rrsets {
                builder.rrset(rrset);
            }
        }
        let (octets, shape) = builder.finish();
        let zone = Self::of_parts(octets, shape, has_own_serial);
        zone.expect("the compiler refuses a zone without SOA")
    }

    /// Returns the zone in the form in which it is kept.
    pub fn to_octets(&self) -> Vec<u8> {
        // Writing to memory does not fail, and there is nothing that the
        // format cannot express.
        let Parts { octets, shape, has_own_serial } = &self.parts;
        let kept = (AtOnce(octets), &**shape, has_own_serial);
        postcard::to_stdvec(&kept).expect("plain lists can be written")
    }

    /// Reads a zone that was kept; none where the octets are none.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let (octets, shape, has_own_serial) =
            postcard::from_bytes::<(&[u8], Shape, bool)>(octets).ok()?;
        Self::of_parts(octets.into(), shape, has_own_serial)
    }

    /// Returns the zone with another serial in its SOA record.
    pub fn with_serial(mut self, serial: u32) -> Self {
        let soa = self.apex().rrset(Rtype::SOA).and_then(|soa| soa.first_variant().first());
        let start = self.parts.octets.as_ptr().addr();
        // Five numbers stand at the record's end, the serial first (RFC 1035
        // section 3.3.13); none is shorter than that.
        let place = soa.map(|rdata| rdata.as_ptr().addr() - start + rdata.len() - 20);
        if let Some(place) = place {
            self.parts.octets[place..place + 4].copy_from_slice(&serial.to_be_bytes());
            self.bodies = Bodies::default();
        }
        self
    }

    fn of_parts(octets: Box<[u8]>, mut shape: Shape, has_own_serial: bool) -> Option<Self> {
        let origin = Name::from_wire(name_at(&octets, shape.nodes.first()?.owner)).ok()?;
        let origin_labels = origin.label_count();
        let mut labels_max = 0;
        let mut hashes = Vec::with_capacity(shape.nodes.len());
        for node in &shape.nodes {
            let name = LowerName::from_wire(name_at(&octets, node.owner))?;
            labels_max = labels_max.max(name.label_count());
            hashes.push(name.hash_below(origin_labels));
        }
        shape.index = Index::new(hashes.into_iter());
        let parts = Parts { octets, shape: shape.shared(), has_own_serial };
        let srv_count = srv_count(&parts.shape);
        let mut zone = Zone {
            origin,
            parts,
            origin_labels,
            labels_max,
            negative_ttl: 0,
            srv_count,
            bodies: Bodies::default(),
        };
        let soa = zone.apex().rrset(Rtype::SOA)?;
        // The last field (RFC 1035 section 3.3.13).
        let rdata = soa.first_variant().first()?;
        rdata.last_chunk::<20>()?;
        zone.negative_ttl = soa.ttl().min(u32::from_be_bytes(*rdata.last_chunk()?));
        Some(zone)
    }
}

/// Octets that are written at once: those of a list are written one by one,
/// and look the same.
struct AtOnce<'a>(&'a [u8]);

impl Serialize for AtOnce<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

fn srv_count(shape: &Shape) -> u32 {
    let ends = shape.rrsets.iter().skip(1).map(|rrset| rrset.variants);
    let ends = ends.chain([shape.variants.len() as u32]);
    let srv = shape.rrsets.iter().zip(ends).filter(|(rrset, _)| rrset.rtype == Rtype::SRV);
    srv.map(|(rrset, end)| end - rrset.variants).sum()
}

//----------- Builder --------------------------------------------------------

#[derive(Default)]
struct Builder<'n> {
    octets: Octets,
    nodes: Vec<NodePart>,
    rrsets: Vec<RrsetPart>,
    variants: Vec<VariantPart>,
    sets: Vec<RegionSet>,
    assignments: Vec<Box<[u8]>>,

    /// Where each name is that has been written, and each end of one.
    names: FxHashMap<&'n [u8], u32>,

    /// Where each list of records is that has been written: the names of a
    /// service for one region and for all of them share theirs.
    records: HashMap<Vec<u8>, u32, rustc_hash::FxBuildHasher>,

    /// The number of the next variant of an SRV RRset.
    slot: u32,
}

impl<'n> Builder<'n> {
    /// Returns one with room for nodes.
    fn for_nodes(nodes: &[NewNode]) -> Self {
        /// How many octets of names and records a node has, about.
        const OCTETS: usize = 64;
        let rrsets: usize = nodes.iter().map(|node| node.rrsets.len()).sum();
        Builder {
            octets: Octets(Vec::with_capacity(OCTETS * nodes.len())),
            nodes: Vec::with_capacity(nodes.len()),
            rrsets: Vec::with_capacity(rrsets),
            names: FxHashMap::with_capacity_and_hasher(nodes.len(), FxBuildHasher),
            records: HashMap::with_capacity_and_hasher(rrsets, FxBuildHasher),
            ..Builder::default()
        }
    }

    fn owner(&mut self, node: &'n NewNode) {
        let owner = self.name(node.owner.as_wire());
        let wildcard = node.wildcard.map_or(0, |id| id.0);
        self.nodes.push(NodePart { owner, rrsets: 0, wildcard, status: node.status });
    }

    fn rrset(&mut self, rrset: &'n NewRrset) {
        let assignment = match rrset.by_region.is_empty() {
            true => 0,
            false => place(&mut self.assignments, rrset.by_region.as_slice().into()) + 1,
        };
        let slot = self.slot;
        if rrset.rtype == Rtype::SRV {
            self.slot += rrset.variants.len() as u32;
        }
        self.rrsets.push(RrsetPart {
            rtype: rrset.rtype,
            ttl: rrset.ttl,
            variants: self.variants.len() as u32,
            assignment,
            slot,
        });
        for variant in &rrset.variants {
            let regions = place(&mut self.sets, variant.regions);
            let records = self.records(variant);
            self.variants.push(VariantPart { records, regions });
        }
    }

    fn records(&mut self, variant: &'n NewVariant) -> u32 {
        let hosts: Vec<_> = variant
            .hosts
            .iter()
            .map(|host| (self.name(host.name.as_wire()), host.node.0))
            .collect();
        let octets = Records::to_octets(&variant.rdatas, &hosts);
        if let Some(known) = self.records.get(&octets) {
            return *known;
        }
        let place = self.octets.push(&octets);
        self.records.insert(octets, place);
        place
    }

    /// Returns where a name is, which is written if need be.
    fn name(&mut self, wire: &'n [u8]) -> u32 {
        if let Some(known) = self.names.get(wire) {
            return *known;
        }
        let place = self.octets.push(wire);
        let mut end = wire;
        while let Some((len, rest)) = end.split_first()
            && !self.names.contains_key(end)
        {
            self.names.insert(end, place + (wire.len() - end.len()) as u32);
            end = rest.get(usize::from(*len)..).unwrap_or_default();
        }
        place
    }

    fn finish(self) -> (Box<[u8]>, Shape) {
        let shape = Shape {
            nodes: self.nodes.into(),
            rrsets: self.rrsets.into(),
            variants: self.variants.into(),
            sets: self.sets.into(),
            assignments: self.assignments.into(),
            index: Index::default(),
        };
        // What was reserved in vain is not to stay with ten thousand zones.
        (self.octets.0.as_slice().into(), shape)
    }
}

/// Returns the position of a value in a list of few, where it is put if need
/// be.
fn place<T: PartialEq>(list: &mut Vec<T>, value: T) -> u32 {
    let known = list.iter().position(|known| *known == value);
    known.unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    }) as u32
}

//----------- Octets ---------------------------------------------------------

/// The names and records of a zone, one after the other.
///
/// Names are in wire format, and one that is the end of another is not written
/// a second time; see [`Records`] for the other.
#[derive(Debug, Default)]
struct Octets(Vec<u8>);

impl Octets {
    /// Adds octets; returns where they are.
    fn push(&mut self, octets: &[u8]) -> u32 {
        let place = self.0.len();
        self.0.extend_from_slice(octets);
        // A zone of more than 4 GiB does not fit into a message's worth of
        // tables: its master file alone is limited to 10 million records.
        u32::try_from(place).expect("the readers limit zones to far less than 4 GiB")
    }
}

//----------- Parts ----------------------------------------------------------

impl Parts {
    /// Returns a name in wire format.
    pub(super) fn name(&self, place: u32) -> &[u8] {
        name_at(&self.octets, place)
    }

    /// Says whether a name is this one, which is in wire format.
    pub(super) fn is_name(&self, place: u32, wire: &[u8]) -> bool {
        // No name in wire format is the beginning of another one.
        let place = place as usize;
        let name = self.octets.get(place..place + wire.len());
        name.is_some_and(|name| is_same_name(name, wire))
    }

    /// Says whether a variant has no records.
    pub(super) fn is_without_records(&self, place: u32) -> bool {
        self.octets[place as usize..].starts_with(&[0, 0])
    }

    /// Returns the records of a variant.
    pub(super) fn records(&self, place: u32) -> Records<'_> {
        let octets = &self.octets[place as usize..];
        let (counts, rest) = octets.split_at(4);
        let number = |at: usize| u16::from_be_bytes([counts[at], counts[at + 1]]);
        let (hosts, rest) = rest.split_at(8 * usize::from(number(2)));
        Records { rdatas: Rdatas { left: number(0), octets: rest }, hosts }
    }
}

/// Returns the name in wire format that is at a place.
fn name_at(octets: &[u8], place: u32) -> &[u8] {
    let rest = &octets[place as usize..];
    let mut end = 0;
    while rest[end] != 0 {
        end += 1 + usize::from(rest[end]);
    }
    &rest[..=end]
}

//----------- Records --------------------------------------------------------

/// The records of a variant, and the hosts that they name.
///
/// Two numbers of 16 bits: how many records, and how many hosts. Then for
/// each host the places of name and node in 32 bits each, then for each record
/// its length in 16 bits and its data. All numbers are big-endian.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'z> {
    /// The records' data.
    pub(super) rdatas: Rdatas<'z>,

    hosts: &'z [u8],
}

impl<'z> Records<'z> {
    /// Returns the hosts by the places of name and node.
    pub(super) fn hosts(self) -> impl Iterator<Item = (u32, u32)> + Clone {
        let number = |octets: &[u8]| octets.iter().fold(0, |all, one| all << 8 | u32::from(*one));
        self.hosts.chunks_exact(8).map(move |host| (number(&host[..4]), number(&host[4..])))
    }

    fn to_octets(rdatas: &[Box<[u8]>], hosts: &[(u32, u32)]) -> Vec<u8> {
        let len: usize = rdatas.iter().map(|rdata| 2 + rdata.len()).sum();
        let mut octets = Vec::with_capacity(4 + 8 * hosts.len() + len);
        // An RRset fits into a message, and so do its numbers into 16 bits;
        // the readers refuse larger ones.
        octets.extend((rdatas.len() as u16).to_be_bytes());
        octets.extend((hosts.len() as u16).to_be_bytes());
        for (name, node) in hosts {
            octets.extend(name.to_be_bytes());
            octets.extend(node.to_be_bytes());
        }
        for rdata in rdatas {
            octets.extend((rdata.len() as u16).to_be_bytes());
            octets.extend_from_slice(rdata);
        }
        octets
    }
}

/// The data of records, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rdatas<'z> {
    left: u16,
    octets: &'z [u8],
}

impl<'z> Iterator for Rdatas<'z> {
    type Item = &'z [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (len, rest) = self.octets.split_first_chunk()?;
        let (rdata, rest) = rest.split_at(u16::from_be_bytes(*len).into());
        self.octets = rest;
        Some(rdata)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for Rdatas<'_> {}
