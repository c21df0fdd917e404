//! From a name to its node.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::{NodeId, Parts};

//----------- Index ----------------------------------------------------------

/// A hash table of nodes with open addressing, at most half full.
///
/// Names are not in it: it costs eight octets a node. Clients cannot put
/// anything in, so that the hash need not withstand them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Index {
    /// Nodes, counted from 1; 0 where there is none. A power of two of them.
    slots: Box<[u32]>,
}

impl Index {
    /// Indexes all nodes.
    pub(super) fn new(parts: &Parts) -> Self {
        let size = (parts.nodes.len() * 2).next_power_of_two();
        let mut slots = vec![0; size].into_boxed_slice();
        for (at, node) in parts.nodes.iter().enumerate() {
            let key = parts.name(node.owner).to_ascii_lowercase();
            let mut slot = start(&key, size);
            while slots[slot] != 0 {
                slot = (slot + 1) % size;
            }
            slots[slot] = at as u32 + 1;
        }
        Index { slots }
    }

    /// Finds the node of a name, in wire format and lower case.
    pub(super) fn find(&self, parts: &Parts, key: &[u8]) -> Option<NodeId> {
        let size = self.slots.len();
        let mut slot = start(key, size);
        loop {
            let at = self.slots[slot].checked_sub(1)?;
            let owner = parts.name(parts.nodes[at as usize].owner);
            if owner.eq_ignore_ascii_case(key) {
                return Some(NodeId(at));
            }
            slot = (slot + 1) % size;
        }
    }
}

fn start(key: &[u8], size: usize) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    // The upper bits of this hash are the well-mixed ones.
    (hasher.finish() >> 20) as usize & (size - 1)
}
