//! How long the answer core takes.
//!
//! The time is taken of one message in [`Latency::ONE_IN`], from its octets to
//! those of the response: two readings of the clock, some 50 ns, make less than
//! a nanosecond a message. What the system does around it, and how long a
//! message waits in a socket's buffer, is not in it.

use std::time::Duration;

//----------- Latency --------------------------------------------------------

/// How long answers took, of those whose time was taken.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Latency {
    /// How many took no longer than each of [`Self::BOUNDS`] and longer than
    /// the one before; at the end those that took longer than all.
    pub counts: [u64; Self::BOUNDS.len() + 1],

    /// How long all of them took together, in nanoseconds.
    pub sum: u64,
}

impl Latency {
    /// Of how many messages one is measured.
    pub const ONE_IN: u64 = 1024;

    /// The bounds, in nanoseconds: a copied answer takes some hundreds, one
    /// that is worked out some thousands, and a millisecond is a fault.
    pub const BOUNDS: [u64; 12] = [
        250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
        10_000_000,
    ];

    /// How many numbers it takes to count it.
    pub(super) const CELLS: usize = Self::BOUNDS.len() + 2;

    /// Returns by how much a time adds to which of the numbers.
    pub(super) fn counted(time: Duration) -> [(usize, u64); 2] {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < nanoseconds);
        [(bucket, 1), (Self::CELLS - 1, nanoseconds)]
    }

    /// Returns it from its numbers.
    pub(super) fn of_cells(cells: &[u64]) -> Self {
        let mut latency = Self::default();
        let (sum, counts) = cells.split_last().unwrap_or((&0, &[]));
        latency.sum = *sum;
        latency.counts.iter_mut().zip(counts).for_each(|(count, cell)| *count = *cell);
        latency
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_below_the_first_bound_that_it_does_not_exceed() {
        let mut cells = [0; Latency::CELLS];
        for nanoseconds in [0, 250, 251, 900, 10_000_000, 10_000_001] {
            for (cell, count) in Latency::counted(Duration::from_nanos(nanoseconds)) {
                cells[cell] += count;
            }
        }
        let latency = Latency::of_cells(&cells);
        assert_eq!(latency.counts[..4], [2, 1, 1, 0]);
        assert_eq!(latency.counts[11..], [1, 1]);
        assert_eq!(latency.sum, 20_001_402);
    }
}
