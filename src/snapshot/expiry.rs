//! When the last cached copy of an SRV answer expires.
//!
//! Which endpoints callers may still know is a matter of the answers that
//! were sent. Each variant of an SRV RRset has a slot in its version, in
//! which the latest expiry of its copies is kept.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Moment;

//----------- Expiries -------------------------------------------------------

/// For each variant of a zone's SRV RRsets, when its last copy expires.
#[derive(Debug, Default)]
pub struct Expiries {
    /// In seconds since the Unix epoch; 0 where none was sent. They last
    /// until 2106.
    slots: Box<[AtomicU32]>,
}

impl Expiries {
    /// Returns slots for copies that nobody has.
    pub fn new(count: usize) -> Self {
        Expiries { slots: (0..count).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Returns when the last copy of a variant expires, in seconds since the
    /// Unix epoch; 0 if none was sent.
    pub fn last(&self, slot: u32) -> u64 {
        self.slots.get(slot as usize).map_or(0, |slot| slot.load(Ordering::Relaxed).into())
    }

    /// Takes back what would expire after a time, in seconds since the Unix
    /// epoch: the clock was set back, and nothing was sent for that long.
    pub fn limit(&self, slot: u32, latest: u64) {
        if let Some(slot) = self.slots.get(slot as usize) {
            slot.fetch_min(u32::try_from(latest).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
    }

    /// Notes that a copy expires at a time, in seconds since the Unix epoch.
    pub fn note(&self, slot: u32, expiry: u64) {
        let expiry = u32::try_from(expiry).unwrap_or(u32::MAX);
        let Some(slot) = self.slots.get(slot as usize) else { return };
        // Nearly always another answer of this second was noted before:
        // workers read what none of them writes, and do not contend.
        if slot.load(Ordering::Relaxed) < expiry {
            slot.fetch_max(expiry, Ordering::Relaxed);
        }
    }
}

//----------- HandedOut ------------------------------------------------------

/// SRV records that an answer holds.
#[derive(Clone, Copy, Debug)]
pub struct HandedOut<'s> {
    /// Where their expiry is to be noted.
    pub expiries: &'s Expiries,

    /// The slot of the variant.
    pub slot: u32,

    /// The TTL that was sent, in seconds.
    pub ttl: u32,
}

impl HandedOut<'_> {
    /// Notes that they were sent.
    pub fn note(&self, now: Moment) {
        self.expiries.note(self.slot, now.next_second() + u64::from(self.ttl));
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_expiry_of_a_slot_counts() {
        let expiries = Expiries::new(2);
        for (now, ttl) in [(1_000_001, 60), (1_030_000, 20), (1_040_000, 30)] {
            HandedOut { expiries: &expiries, slot: 1, ttl }.note(Moment(now));
        }
        assert_eq!((expiries.last(0), expiries.last(1)), (0, 1070));
    }
}
