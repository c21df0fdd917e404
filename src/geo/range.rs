//! The range table: from an address to a region.
//!
//! Each family is a sorted list of range starts with the region of each
//! range. An index by the leading bits narrows a lookup to a few ranges, a
//! binary search does the rest. Two levels of summaries say which regions
//! occur in 64 and in 4096 ranges in a row, so that the edges of an answer
//! are found without a walk over everything in between.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::number::RegionNumber;
use super::prefix::Family;
use super::region::{RegionId, RegionSet};
use super::special::{self, Embedding};

/// The mark of IPv6 ranges that carry IPv4 addresses; no region's id, see
/// [`RegionId::MAX_COUNT`].
pub(super) const WALL: RegionId = RegionId(u8::MAX);

/// Ranges a block, and blocks a group.
const FAN: usize = 64;

/// Pairs of regions that some address has in one map and in another.
pub type RegionPairs = BTreeSet<(RegionId, RegionId)>;

//----------- RegionMap ------------------------------------------------------

/// The region of every address.
///
/// Pure data: two maps are equal exactly if they place every address alike, in
/// regions of the same names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegionMap {
    v4: Ranges<u32>,
    v6: Ranges<u128>,

    /// The regions' names, by [`RegionId`].
    names: Box<[Box<str>]>,

    /// By what numbers these are counted.
    numbers: Box<[RegionNumber]>,
}

impl RegionMap {
    /// Builds the map from the ranges of both families.
    pub(super) fn new(v4: RangeList, v6: RangeList, names: Box<[Box<str>]>) -> Self {
        let numbers = RegionNumber::of_all(&names);
        RegionMap { v4: Ranges::new(v4), v6: Ranges::new(v6), names, numbers }
    }

    /// Returns the regions' names, by [`RegionId`].
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Returns the name of a region.
    pub fn name(&self, region: RegionId) -> &str {
        self.names.get(usize::from(region.0)).map_or("", |name| name)
    }

    /// Returns by what number a region is counted.
    pub fn number(&self, region: RegionId) -> RegionNumber {
        self.numbers.get(usize::from(region.0)).copied().unwrap_or(RegionNumber::OTHER)
    }

    /// Returns the region of an address.
    pub fn locate(&self, address: IpAddr) -> RegionId {
        match address {
            IpAddr::V4(address) => self.locate_v4(address),
            IpAddr::V6(outer) => match self.v6.regions[self.v6.find(outer.into())] {
                WALL => self.locate_embedded(outer),
                region => region,
            },
        }
    }

    /// Returns the length of the widest prefix around an address in which
    /// every address has a region of `same`: 0 to 32 for IPv4, 0 to 128 for
    /// IPv6.
    ///
    /// `same` holds the address's own region; an address whose region it does
    /// not hold gets a prefix of its own. A prefix in a block of IPv6 that
    /// carries IPv4 addresses never leaves the block, and no other prefix of
    /// IPv6 holds such a block.
    pub fn scope(&self, address: IpAddr, same: &RegionSet) -> u8 {
        let mut same = *same;
        same.remove(WALL);
        match address {
            IpAddr::V4(address) => self.v4.scope(address.into(), &same),
            IpAddr::V6(outer) => match Embedding::find(outer) {
                Some((embedding, inner)) => {
                    embedding.bits_before() + self.v4.scope(inner.into(), &same)
                }
                None => self.v6.scope(outer.into(), &same),
            },
        }
    }

    /// Returns the first and the last address of the range around an address
    /// that is in one region. IPv4 carried in IPv6 counts as IPv4.
    pub fn range(&self, address: IpAddr) -> (IpAddr, IpAddr) {
        let found = match special::canonical(address) {
            IpAddr::V4(address) => self.v4.range(self.v4.find(address.into())),
            IpAddr::V6(address) => self.v6.range(self.v6.find(address.into())),
        };
        let family = Family::of(special::canonical(address));
        (family.address(found.0), family.address(found.1))
    }

    /// Returns the range that keeps the prefix of [`Self::scope`] from being
    /// wider, with its region; no region where it carries IPv4 addresses.
    pub fn neighbour(
        &self,
        address: IpAddr,
        same: &RegionSet,
    ) -> Option<((IpAddr, IpAddr), Option<RegionId>)> {
        let mut same = *same;
        same.remove(WALL);
        let address = special::canonical(address);
        let (first, last, region) = match address {
            IpAddr::V4(address) => self.v4.neighbour(address.into(), &same)?,
            IpAddr::V6(address) => self.v6.neighbour(address.into(), &same)?,
        };
        let family = Family::of(address);
        let range = (family.address(first), family.address(last));
        Some((range, Some(region).filter(|region| *region != WALL)))
    }

    /// Counts the ranges of both families.
    pub fn range_count(&self) -> usize {
        self.v4.starts.len() + self.v6.starts.len()
    }

    /// Returns the size of the table in octets.
    pub fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }

    /// Returns each range by its first and last address, IPv4 before IPv6,
    /// ascending; without the blocks of IPv6 that carry IPv4 addresses.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr, RegionId)> + '_ {
        let v4 = self.v4.iter().map(|range| (Family::V4, range));
        let v6 = self.v6.iter().map(|range| (Family::V6, range));
        v4.chain(v6).filter(|(_, (.., region))| *region != WALL).map(|(family, range)| {
            let (first, last, region) = range;
            (family.address(first), family.address(last), region)
        })
    }

    /// Returns every pair of regions that some address has in this map and in
    /// another one.
    ///
    /// Of a map with itself it is known at once; two large ones take
    /// milliseconds to walk.
    pub fn pairs(&self, other: &RegionMap) -> RegionPairs {
        if std::ptr::eq(self, other) {
            return self.regions().iter().map(|region| (region, region)).collect();
        }
        let v4 = self.v4.beside(&other.v4).map(|(_, own, others)| (own, others));
        let v6 = self.v6.beside(&other.v6).map(|(_, own, others)| (own, others));
        // Neighbours alternate between few: each is looked up in a table.
        let mut seen = [RegionSet::default(); 1 << u8::BITS];
        let is_new = |(own, others): &(RegionId, RegionId)| {
            let set = &mut seen[usize::from(own.0)];
            let is_new = *own != WALL && !set.contains(*others);
            set.insert(*others);
            is_new
        };
        v4.chain(v6).filter(is_new).collect()
    }

    /// Returns which share of the addresses another map places in regions of
    /// other names, from 0 to 1: of IPv4, and of the IPv6 that is in use
    /// (2000::/3, RFC 4291 section 2.4).
    pub fn moved(&self, other: &RegionMap) -> (f64, f64) {
        if std::ptr::eq(self, other) {
            // Most reloads leave it as it is, and a large one takes a while to walk.
            return (0.0, 0.0);
        }
        let differs = |own: RegionId, others: RegionId| {
            own != WALL && others != WALL && self.name(own) != other.name(others)
        };
        let (first, last) = (1u128 << 125, (1u128 << 126) - 1);
        let share = |count: u128, of: u128| count as f64 / of as f64;
        (
            share(self.v4.count(&other.v4, (0, u32::MAX.into()), differs), 1 << 32),
            share(self.v6.count(&other.v6, (first, last), differs), 1 << 125),
        )
    }

    /// Returns each stretch of addresses that another map places in a region of
    /// another name, by its first and last address, with the region here and
    /// there: of IPv4, and of the IPv6 that is in use.
    pub fn moves<'m>(
        &'m self,
        other: &'m RegionMap,
    ) -> impl Iterator<Item = (IpAddr, IpAddr, RegionId, RegionId)> + 'm {
        let (first, last) = (1u128 << 125, (1u128 << 126) - 1);
        let v4 = self.v4.stretches(&other.v4, (0, u32::MAX.into()));
        let v6 = self.v6.stretches(&other.v6, (first, last));
        let all = v4.map(|one| (Family::V4, one)).chain(v6.map(|one| (Family::V6, one)));
        let differs = move |own: RegionId, others: RegionId| {
            own != WALL && others != WALL && self.name(own) != other.name(others)
        };
        let moved = all.filter(move |(_, (.., own, others))| differs(*own, *others));
        moved.map(|(family, (start, end, own, others))| {
            (family.address(start), family.address(end), own, others)
        })
    }

    /// Returns the map in the form in which it is kept.
    pub fn to_octets(&self) -> Vec<u8> {
        let lists = (&self.v4.starts, &self.v4.regions, &self.v6.starts, &self.v6.regions);
        // Writing to memory does not fail, and there is nothing that the
        // format cannot express.
        postcard::to_stdvec(&(lists, &self.names)).expect("plain lists can be written")
    }

    /// Reads a map that was kept; none where the octets are none.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        type Lists = (Box<[u32]>, Box<[RegionId]>, Box<[u128]>, Box<[RegionId]>);
        let (lists, names): (Lists, Box<[Box<str>]>) = postcard::from_bytes(octets).ok()?;
        let v4 = Ranges::of(lists.0, lists.1)?;
        let v6 = Ranges::of(lists.2, lists.3)?;
        let numbers = RegionNumber::of_all(&names);
        Some(RegionMap { v4, v6, names, numbers })
    }

    /// Returns the regions in which some address is.
    pub fn regions(&self) -> RegionSet {
        let groups = self.v4.groups.iter().chain(&self.v6.groups);
        let mut regions = groups.fold(RegionSet::default(), |all, group| all.union(group));
        regions.remove(WALL);
        regions
    }

    /// Counts the IPv4 addresses of each region, by [`RegionId`].
    pub fn ipv4_shares(&self) -> Vec<u64> {
        let mut shares = vec![0; RegionId::MAX_COUNT];
        for (first, last, region) in self.v4.iter() {
            // At most 2^32.
            shares[usize::from(region.0)] += (last - first + 1) as u64;
        }
        shares
    }

    fn locate_v4(&self, address: Ipv4Addr) -> RegionId {
        self.v4.regions[self.v4.find(address.into())]
    }

    #[cold]
    fn locate_embedded(&self, outer: Ipv6Addr) -> RegionId {
        // The walls were made from the blocks that are searched here, so that
        // there always is an inner address.
        let inner = Embedding::find(outer).map_or(Ipv4Addr::UNSPECIFIED, |(_, inner)| inner);
        self.locate_v4(inner)
    }
}

//----------- RangeList ------------------------------------------------------

/// Ranges as they are collected in ascending order.
#[derive(Debug, Default)]
pub(super) struct RangeList {
    starts: Vec<u128>,
    regions: Vec<RegionId>,
}

impl RangeList {
    /// Adds the range that begins at `start`, the first one at 0; neighbours
    /// of one region become one range.
    pub(super) fn push(&mut self, start: u128, region: RegionId) {
        debug_assert!(self.starts.last().map_or(start == 0, |last| *last < start));
        if self.regions.last() != Some(&region) {
            self.starts.push(start);
            self.regions.push(region);
        }
    }
}

//----------- Ranges ---------------------------------------------------------

/// The ranges of one family.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Ranges<A> {
    /// The first address of each range, ascending, the first one 0.
    starts: Box<[A]>,

    /// The region of each range.
    regions: Box<[RegionId]>,

    /// For each value of the leading bits, the range of its first address;
    /// one more at the end.
    index: Box<[u32]>,

    /// The regions that occur in each block of ranges.
    blocks: Box<[RegionSet]>,

    /// The regions that occur in each group of blocks.
    groups: Box<[RegionSet]>,
}

/// An address as a number.
trait Address: Copy + Ord + Into<u128> {
    /// Its bits.
    const BITS: u32;

    /// The leading bits that the index is by. IPv4: 16, the index has 256 KiB
    /// and a /16 of a city database some ten ranges. IPv6: 20, it has 4 MiB,
    /// because what is allocated crowds into few /12 blocks.
    const INDEX_BITS: u32;

    /// Returns the address of a number that is in the family.
    fn from_number(number: u128) -> Self;

    /// Returns the leading bits.
    fn leading(self) -> usize;
}

impl Address for u32 {
    const BITS: u32 = u32::BITS;
    const INDEX_BITS: u32 = 16;

    fn from_number(number: u128) -> Self {
        number as u32
    }

    fn leading(self) -> usize {
        (self >> (Self::BITS - Self::INDEX_BITS)) as usize
    }
}

impl Address for u128 {
    const BITS: u32 = u128::BITS;
    const INDEX_BITS: u32 = 20;

    fn from_number(number: u128) -> Self {
        number
    }

    fn leading(self) -> usize {
        (self >> (Self::BITS - Self::INDEX_BITS)) as usize
    }
}

impl<A: Address> Ranges<A> {
    fn new(list: RangeList) -> Self {
        let starts: Box<[A]> = list.starts.into_iter().map(A::from_number).collect();
        Self::index_all(starts, list.regions.into_boxed_slice())
    }

    /// Returns the ranges of lists that go together, the first one from 0 on.
    fn of(starts: Box<[A]>, regions: Box<[RegionId]>) -> Option<Self> {
        let is_sound = starts.len() == regions.len()
            && starts.first().is_some_and(|first| (*first).into() == 0)
            && starts.is_sorted_by(|a, b| a < b);
        is_sound.then(|| Self::index_all(starts, regions))
    }

    fn index_all(starts: Box<[A]>, regions: Box<[RegionId]>) -> Self {
        let blocks: Box<[RegionSet]> =
            regions.chunks(FAN).map(|block| block.iter().copied().collect()).collect();
        let groups = blocks
            .chunks(FAN)
            .map(|group| group.iter().fold(RegionSet::default(), |all, one| all.union(one)))
            .collect();
        Ranges { index: Self::index(&starts), starts, regions, blocks, groups }
    }

    fn index(starts: &[A]) -> Box<[u32]> {
        let mut range = 0;
        let mut index = Vec::with_capacity((1 << A::INDEX_BITS) + 1);
        for leading in 0..1u128 << A::INDEX_BITS {
            let first = A::from_number(leading << (A::BITS - A::INDEX_BITS));
            while starts.get(range + 1).is_some_and(|start| *start <= first) {
                range += 1;
            }
            // A table of 2^32 ranges would not fit into memory.
            index.push(range as u32);
        }
        index.push(starts.len() as u32 - 1);
        index.into_boxed_slice()
    }

    /// Returns the position of the range that holds an address.
    fn find(&self, address: A) -> usize {
        let leading = address.leading();
        let low = self.index[leading] as usize;
        let high = self.index[leading + 1] as usize;
        low + self.starts[low + 1..=high].partition_point(|start| *start <= address)
    }

    fn scope(&self, address: A, same: &RegionSet) -> u8 {
        let at = self.find(address);
        if !same.contains(self.regions[at]) {
            return A::BITS as u8;
        }
        let before = self.last_outside(at, same).map(|found| self.starts[found + 1].into() - 1);
        let after = self.first_outside(at + 1, same).map(|found| self.starts[found].into());
        let outside = before.into_iter().chain(after);
        outside.map(|other| bits_to_part::<A>(address.into(), other)).max().unwrap_or(0)
    }

    /// Returns first and last address of a range.
    fn range(&self, at: usize) -> (u128, u128) {
        let last = u128::MAX >> (u128::BITS - A::BITS);
        let next = self.starts.get(at + 1).map(|next| (*next).into() - 1);
        (self.starts[at].into(), next.unwrap_or(last))
    }

    /// Returns the range outside of `same` that shares most bits with an
    /// address, by first and last address.
    fn neighbour(&self, address: A, same: &RegionSet) -> Option<(u128, u128, RegionId)> {
        let at = self.find(address);
        let before = self.last_outside(at, same).map(|found| (found, self.range(found).1));
        let after = self.first_outside(at + 1, same).map(|found| (found, self.range(found).0));
        let outside = before.into_iter().chain(after);
        let bits = |(_, edge): &(usize, u128)| bits_to_part::<A>(address.into(), *edge);
        let (found, _) = outside.max_by_key(bits)?;
        let (first, last) = self.range(found);
        Some((first, last, self.regions[found]))
    }

    /// Returns the first range from `from` on whose region is not in `same`.
    fn first_outside(&self, from: usize, same: &RegionSet) -> Option<usize> {
        let outside = |at: &usize| !same.contains(self.regions[*at]);
        let block = from.div_ceil(FAN);
        let head = from..(block * FAN).min(self.regions.len());
        head.into_iter().find(outside).or_else(|| {
            let block = self.first_block_outside(block, same)?;
            (block * FAN..self.regions.len()).find(outside)
        })
    }

    fn first_block_outside(&self, from: usize, same: &RegionSet) -> Option<usize> {
        let outside = |at: &usize| !self.blocks[*at].is_subset(same);
        let group = from.div_ceil(FAN);
        let head = from..(group * FAN).min(self.blocks.len());
        head.into_iter().find(outside).or_else(|| {
            let group = (group..self.groups.len()).find(|at| !self.groups[*at].is_subset(same))?;
            (group * FAN..self.blocks.len()).find(outside)
        })
    }

    /// Returns the last range before `to` whose region is not in `same`.
    fn last_outside(&self, to: usize, same: &RegionSet) -> Option<usize> {
        let outside = |at: &usize| !same.contains(self.regions[*at]);
        let block = to / FAN;
        (block * FAN..to).rev().find(outside).or_else(|| {
            let block = self.last_block_outside(block, same)?;
            (0..(block + 1) * FAN).rev().find(outside)
        })
    }

    fn last_block_outside(&self, to: usize, same: &RegionSet) -> Option<usize> {
        let outside = |at: &usize| !self.blocks[*at].is_subset(same);
        let group = to / FAN;
        (group * FAN..to).rev().find(outside).or_else(|| {
            let group = (0..group).rev().find(|at| !self.groups[*at].is_subset(same))?;
            (0..(group + 1) * FAN).rev().find(outside)
        })
    }

    /// Counts the addresses, from a first to a last one, for whose regions in
    /// both lists a condition holds.
    fn count(
        &self,
        other: &Self,
        (first, last): (u128, u128),
        counts: impl Fn(RegionId, RegionId) -> bool,
    ) -> u128 {
        let stretches = self.stretches(other, (first, last));
        let counted = stretches.filter(|(.., own, others)| counts(*own, *others));
        counted.map(|(start, end, ..)| end - start + 1).sum()
    }

    /// Returns each stretch, from a first to a last address, in which neither
    /// list changes: first and last address, and regions.
    fn stretches<'r>(
        &'r self,
        other: &'r Self,
        (first, last): (u128, u128),
    ) -> impl Iterator<Item = (u128, u128, RegionId, RegionId)> + 'r {
        let mut pieces = self.beside(other).peekable();
        let stretches = std::iter::from_fn(move || {
            let (start, own, others) = pieces.next()?;
            let end = pieces.peek().map_or(u128::MAX, |(next, ..)| next - 1).min(last);
            Some((start.max(first), end, own, others))
        });
        stretches.filter(|(start, end, ..)| start <= end)
    }

    /// Walks both lists side by side; returns start and regions of each piece
    /// in which neither changes.
    fn beside<'r>(
        &'r self,
        other: &'r Self,
    ) -> impl Iterator<Item = (u128, RegionId, RegionId)> + 'r {
        let mut next = Some((0, 0));
        std::iter::from_fn(move || {
            let (own, others) = next?;
            let start = self.starts[own].into().max(other.starts[others].into());
            next = match (self.starts.get(own + 1), other.starts.get(others + 1)) {
                (None, None) => None,
                (Some(a), Some(b)) if a == b => Some((own + 1, others + 1)),
                (Some(a), b) if b.is_none_or(|b| a < b) => Some((own + 1, others)),
                _ => Some((own, others + 1)),
            };
            Some((start, self.regions[own], other.regions[others]))
        })
    }

    /// Returns first and last address and region of each range.
    fn iter(&self) -> impl Iterator<Item = (u128, u128, RegionId)> + '_ {
        let last = u128::MAX >> (u128::BITS - A::BITS);
        let ends = self.starts.iter().skip(1).map(|start| (*start).into() - 1);
        let starts = self.starts.iter().map(|start| (*start).into());
        let ranges = starts.zip(ends.chain([last])).zip(&self.regions);
        ranges.map(|((first, last), region)| (first, last, *region))
    }

    fn memory(&self) -> usize {
        size_of_val(&*self.starts)
            + size_of_val(&*self.regions)
            + size_of_val(&*self.index)
            + size_of_val(&*self.blocks)
            + size_of_val(&*self.groups)
    }
}

/// Returns the length of the widest prefix of one address that does not hold
/// the other.
fn bits_to_part<A: Address>(address: u128, other: u128) -> u8 {
    // They differ, and in the family's bits only: the result is 1 to 128.
    (A::BITS - (u128::BITS - 1 - (address ^ other).leading_zeros())) as u8
}
