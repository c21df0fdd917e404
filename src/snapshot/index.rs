//! From the hash of a name to what has that name.

//----------- Index ----------------------------------------------------------

/// A hash table of the positions in a list, with open addressing and at most
/// half full.
///
/// Names are not in it: it costs eight octets an entry.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Index {
    /// Positions, counted from 1; 0 where there is none. A power of two of
    /// them.
    slots: Box<[u32]>,
}

impl Index {
    /// Indexes a list by the hashes of its names, in order.
    pub(super) fn new(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        let size = (hashes.len() * 2).next_power_of_two();
        let mut slots = vec![0; size].into_boxed_slice();
        for (position, hash) in (1..).zip(hashes) {
            let mut slot = start(hash, size);
            while slots[slot] != 0 {
                slot = (slot + 1) % size;
            }
            slots[slot] = position;
        }
        Index { slots }
    }

    /// Finds what is at a position with a hash, as `get` returns it of the right
    /// one only.
    // A few instructions in three places: less than a call.
    #[inline(always)]
    pub(super) fn find<T>(&self, hash: u64, get: impl Fn(u32) -> Option<T>) -> Option<T> {
        let size = self.slots.len();
        let mut slot = start(hash, size);
        loop {
            let position = self.slots.get(slot)?.checked_sub(1)?;
            if let Some(found) = get(position) {
                return Some(found);
            }
            slot = (slot + 1) & (size - 1);
        }
    }
}

fn start(hash: u64, size: usize) -> usize {
    // The upper bits of this hash are the well-mixed ones.
    (hash >> 20) as usize & (size - 1)
}
