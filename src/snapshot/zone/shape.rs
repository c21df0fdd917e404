//! What zones of one shape have in common.
//!
//! A carrier has a zone a customer. They differ by the name and by addresses,
//! which are as long in one as in the other, so that all else is the same: it is
//! there once, and found in the processor's caches whichever of ten thousand
//! zones is asked for.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use rustc_hash::{FxHashMap, FxHasher};
use serde::{Deserialize, Serialize};

use super::super::index::Index;
use super::Status;
use crate::geo::RegionSet;
use crate::wire::Rtype;

//----------- Shape ----------------------------------------------------------

/// The lists of a zone but for the octets.
#[derive(Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub(super) struct Shape {
    pub(super) nodes: Box<[NodePart]>,
    pub(super) rrsets: Box<[RrsetPart]>,
    pub(super) variants: Box<[VariantPart]>,

    /// Sets of regions, each once.
    pub(super) sets: Box<[RegionSet]>,

    /// For every region the position of its variant; each list once.
    pub(super) assignments: Box<[Box<[u8]>]>,

    /// The nodes by the hashes of their names below the origin: those are the
    /// same in zones of one shape, as good as always.
    #[serde(skip)]
    pub(super) index: Index,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub(super) struct NodePart {
    /// Where its name is in the octets.
    pub(super) owner: u32,

    /// The first of its RRsets; the last one is before the next node's first.
    pub(super) rrsets: u32,

    /// The node of `*` directly below it; 0, the origin's, if there is none.
    pub(super) wildcard: u32,

    pub(super) status: Status,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub(super) struct RrsetPart {
    pub(super) rtype: Rtype,
    pub(super) ttl: u32,

    /// The first of its variants; the last one is before the next RRset's
    /// first.
    pub(super) variants: u32,

    /// Which assignment of regions it has, counted from 1; 0 if there is one
    /// variant.
    pub(super) assignment: u32,

    /// Of SRV RRsets, the number of the first variant among those of all.
    pub(super) slot: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub(super) struct VariantPart {
    /// Where its records are in the octets.
    pub(super) records: u32,

    /// Which set of regions sees it.
    pub(super) regions: u32,
}

impl Shape {
    /// Returns the shape that is the same, if a zone has it, else this one,
    /// which is the one from now on.
    pub(super) fn shared(self) -> Arc<Shape> {
        let mut hasher = FxHasher::default();
        self.hash(&mut hasher);
        let key = hasher.finish();
        let mut shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shapes.known.get(&key).and_then(Weak::upgrade)
            && *known == self
        {
            return known;
        }
        let shape = Arc::new(self);
        if shapes.known.len() >= shapes.limit {
            shapes.known.retain(|_, shape| shape.strong_count() > 0);
            shapes.limit = shapes.known.len() * 2 + 64;
        }
        shapes.known.insert(key, Arc::downgrade(&shape));
        shape
    }
}

/// The shapes that zones have, by a hash. Of two with the same hash, one is
/// not shared.
static SHAPES: LazyLock<Mutex<Shapes>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Shapes {
    known: FxHashMap<u64, Weak<Shape>>,

    /// How many there are when those that no zone has any more are forgotten.
    limit: usize,
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(records: u32) -> Shape {
        Shape { variants: [VariantPart { records, regions: 0 }].into(), ..Shape::default() }
    }

    #[test]
    fn equal_shapes_are_one_as_long_as_a_zone_has_it() {
        let (one, other) = (shape(987_654).shared(), shape(987_655).shared());
        assert!(Arc::ptr_eq(&one, &shape(987_654).shared()));
        assert!(!Arc::ptr_eq(&one, &other));
        // However many come and go, no more are remembered than there are.
        for records in 0..10_000 {
            drop(shape(records).shared());
        }
        let known = SHAPES.lock().unwrap_or_else(PoisonError::into_inner).known.len();
        assert!(known < 5_000, "{known}");
        assert!(Arc::ptr_eq(&one, &shape(987_654).shared()));
    }
}
