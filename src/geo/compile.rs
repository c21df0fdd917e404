//! From rules and databases to the range table.
//!
//! All sources of a family (prefixes of networks and clouds, special-purpose
//! blocks, each database) are walked side by side in ascending order. Where
//! none of them changes, neither does the decision, and only the region of
//! each such stretch is kept. Nothing is stored in between but the distinct
//! records, so that a city database takes little more memory than its file.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use super::cloud::CloudLists;
use super::database::{self, Content, Database, Databases};
use super::facts::Facts;
use super::prefix::{Family, Piece};
use super::range::{RangeList, RegionMap, WALL};
use super::region::{RegionId, RegionTable};
use super::rules::Rules;
use super::special::{self, Kind};
use super::usage::Usage;

impl RegionMap {
    /// Compiles the map. The same input gives the same map.
    pub fn compile(table: &RegionTable, clouds: &CloudLists, databases: &Databases) -> Self {
        Self::survey(table, clouds, databases).0
    }

    /// Compiles the map, and says what of the table places anybody.
    pub fn survey(
        table: &RegionTable,
        clouds: &CloudLists,
        databases: &Databases,
    ) -> (Self, Usage) {
        let rules = Rules::new(table, clouds);
        let mut usage = Usage::default();
        let [v4, v6] = Family::ALL.map(|family| sweep(family, &rules, databases, &mut usage));
        let names = table.regions.iter().map(|region| region.name.as_str().into()).collect();
        (RegionMap::new(v4, v6, names), usage)
    }
}

/// Collects the ranges of a family.
fn sweep(family: Family, rules: &Rules, databases: &Databases, usage: &mut Usage) -> RangeList {
    let known = KnownFacts::new(rules);
    let mut streams = vec![
        Stream::new(rules.pieces(family).iter().map(|piece| Piece { id: piece.id + 1, ..*piece })),
        Stream::new(special::pieces(family).iter().copied()),
    ];
    streams.extend(databases.iter().map(|database| known.stream(family, database)));

    let mut ranges = RangeList::default();
    let mut decided: FxHashMap<Box<[u32]>, RegionId> = FxHashMap::default();
    let mut ids = vec![0; streams.len()];
    let mut at = 0;
    loop {
        let mut end = family.last();
        for (id, stream) in ids.iter_mut().zip(&mut streams) {
            let piece = stream.piece_at(at, family);
            *id = piece.id;
            end = end.min(piece.end);
        }
        let region = decided.get(&*ids).copied().unwrap_or_else(|| {
            let region = decide(rules, &known, &ids, usage);
            decided.insert(ids.as_slice().into(), region);
            region
        });
        ranges.push(at, region);
        if end == family.last() {
            return ranges;
        }
        at = end + 1;
    }
}

/// Decides for addresses by the ids of their pieces: prefix, special-purpose
/// block, then a record of each database.
fn decide(rules: &Rules, known: &KnownFacts<'_>, ids: &[u32], usage: &mut Usage) -> RegionId {
    let prefix = ids[0].checked_sub(1);
    let special = match Kind::from_id(ids[1]) {
        Kind::Embedding => return WALL,
        kind => kind == Kind::Special,
    };
    let facts = known.merge(&ids[2..]);
    let decision = rules.place(prefix, special, &facts);
    usage.note(&decision.rule, &facts);
    decision.region
}

//----------- KnownFacts -----------------------------------------------------

/// The distinct records that have been met, as far as rules look at them.
struct KnownFacts<'a> {
    rules: &'a Rules,

    /// The first is that of no record. Shared by the streams that fill it and
    /// the sweep that reads it.
    facts: RefCell<Vec<Facts>>,
}

impl<'a> KnownFacts<'a> {
    fn new(rules: &'a Rules) -> Self {
        KnownFacts { rules, facts: RefCell::new(vec![Facts::default()]) }
    }

    /// Walks the networks of a database; ids are positions in `facts`.
    fn stream<'b>(&'b self, family: Family, database: &'b Database) -> Stream<'b> {
        match database.content() {
            Content::Mmdb(reader) => {
                let mut ids: FxHashMap<Option<usize>, u32> = FxHashMap::default();
                Stream::new(database::networks(reader, family).map(move |(start, end, found)| {
                    let id = ids.entry(found.offset());
                    let id = *id.or_insert_with(|| self.add(database::decode(&found)));
                    Piece { start, end, id }
                }))
            }
            Content::Geofeed(feed) => {
                let ids: Vec<_> = feed.facts.iter().map(|facts| self.add(*facts)).collect();
                let pieces = feed.pieces(family).iter();
                Stream::new(pieces.map(move |piece| Piece { id: ids[piece.id as usize], ..*piece }))
            }
        }
    }

    fn add(&self, facts: Facts) -> u32 {
        let facts = self.rules.relevant(facts);
        let mut known = self.facts.borrow_mut();
        // Neighbours in the tree mostly are neighbours in the data as well.
        if known.last() != Some(&facts) {
            known.push(facts);
        }
        // Fewer than the leaves of a tree, which are limited.
        known.len() as u32 - 1
    }

    fn merge(&self, ids: &[u32]) -> Facts {
        let known = self.facts.borrow();
        ids.iter().fold(Facts::default(), |merged, id| merged.or(&known[*id as usize]))
    }
}

//----------- Stream ---------------------------------------------------------

/// Disjoint pieces in ascending order, as they are needed.
struct Stream<'a> {
    pieces: Box<dyn Iterator<Item = Piece> + 'a>,
    current: Option<Piece>,
}

impl<'a> Stream<'a> {
    fn new(pieces: impl Iterator<Item = Piece> + 'a) -> Self {
        let mut pieces: Box<dyn Iterator<Item = Piece> + 'a> = Box::new(pieces);
        Stream { current: pieces.next(), pieces }
    }

    /// Returns the piece that holds an address, or the gap from there on with
    /// the id 0. Addresses must ascend.
    fn piece_at(&mut self, at: u128, family: Family) -> Piece {
        while self.current.is_some_and(|piece| piece.end < at) {
            self.current = self.pieces.next();
        }
        match self.current {
            Some(piece) if piece.start <= at => piece,
            Some(next) => Piece { start: at, end: next.start - 1, id: 0 },
            None => Piece { start: at, end: family.last(), id: 0 },
        }
    }
}
