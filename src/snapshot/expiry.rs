//! When the last cached copy of an SRV answer expires.
//!
//! Which endpoints callers may still know is a matter of the answers that
//! were sent. Each variant of an SRV RRset has a slot in its version, in
//! which the latest expiry of its copies is kept, and how many were sent.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

//----------- Expiries -------------------------------------------------------

/// For each variant of a zone's SRV RRsets, when its last copy expires.
///
/// Of ten thousand zones most are asked for seldom: slots are made when the
/// first copy is sent.
#[derive(Debug, Default)]
pub struct Expiries {
    count: u32,

    /// In seconds since the Unix epoch; 0 where none was sent. They last
    /// until 2106.
    slots: OnceLock<Box<[AtomicU32]>>,

    /// How many copies were sent. Writers take turns in the lanes, each of which
    /// is made when its first writer comes: with as many workers as lanes or
    /// fewer, no two write to the same memory.
    counts: OnceLock<Box<[Counts; Self::LANES]>>,

    /// Until when anybody may have been sent anything, in seconds since the
    /// Unix epoch; 0 if that is known for each slot.
    assumed: AtomicU32,
}

/// How many copies of each variant some writers have sent.
type Counts = OnceLock<Box<[AtomicU64]>>;

impl Expiries {
    const LANES: usize = 8;

    /// Returns slots for copies that nobody has.
    pub fn new(count: usize) -> Self {
        // The readers limit zones to far fewer.
        Expiries { count: count as u32, ..Self::default() }
    }

    /// Returns when the last copy of a variant expires, in seconds since the
    /// Unix epoch; 0 if none was sent. `ttl` is the variant's.
    pub fn last(&self, slot: u32, ttl: u32) -> u64 {
        let sent = self.slots.get().and_then(|slots| slots.get(slot as usize));
        let noted = sent.map_or(0, |slot| slot.load(Ordering::Relaxed).into());
        match self.assumed.load(Ordering::Relaxed) {
            0 => noted,
            until => noted.max(u64::from(until) + u64::from(ttl)),
        }
    }

    /// Counts a copy. `writer` is the number of who sends it.
    pub fn count(&self, slot: u32, writer: usize) {
        let lanes = self.counts.get_or_init(Box::default);
        let make = || (0..self.count).map(|_| AtomicU64::new(0)).collect();
        if let Some(count) = lanes[writer % Self::LANES].get_or_init(make).get(slot as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many copies of a variant were sent.
    pub fn sent(&self, slot: u32) -> u64 {
        let lanes = self.counts.get().into_iter().flat_map(|lanes| lanes.iter());
        let counts = lanes.filter_map(|lane| lane.get()?.get(slot as usize));
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Notes that anybody may have been sent anything until a time, in seconds
    /// since the Unix epoch.
    pub fn assume(&self, until: u64) {
        self.assumed.fetch_max(seconds(until), Ordering::Relaxed);
    }

    /// Takes back what would expire later than if it were sent now, in seconds
    /// since the Unix epoch: the clock was set back, and nothing was sent for
    /// that long. `ttls` are those of the slots.
    pub fn limit(&self, now: u64, ttls: impl Iterator<Item = (u32, u32)>) {
        self.assumed.fetch_min(seconds(now), Ordering::Relaxed);
        let Some(slots) = self.slots.get() else { return };
        for (slot, ttl) in ttls {
            if let Some(slot) = slots.get(slot as usize) {
                slot.fetch_min(seconds(now + u64::from(ttl)), Ordering::Relaxed);
            }
        }
    }

    /// Notes that a copy expires at a time, in seconds since the Unix epoch.
    pub fn note(&self, slot: u32, expiry: u64) {
        let make = || (0..self.count).map(|_| AtomicU32::new(0)).collect();
        let expiry = seconds(expiry);
        let Some(slot) = self.slots.get_or_init(make).get(slot as usize) else { return };
        // Nearly always another answer of this second was noted before:
        // workers read what none of them writes, and do not contend.
        if slot.load(Ordering::Relaxed) < expiry {
            slot.fetch_max(expiry, Ordering::Relaxed);
        }
    }
}

fn seconds(time: u64) -> u32 {
    u32::try_from(time).unwrap_or(u32::MAX)
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
    /// Notes that they are sent before a full second, since the Unix epoch.
    /// `writer` is the number of who does it.
    pub fn note(&self, second: u64, writer: usize) {
        self.expiries.count(self.slot, writer);
        self.expiries.note(self.slot, second + u64::from(self.ttl));
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::super::Moment;
    use super::*;

    #[test]
    fn the_latest_expiry_of_a_slot_counts() {
        let expiries = Expiries::new(2);
        for (now, ttl) in [(1_000_001, 60), (1_030_000, 20), (1_040_000, 30)] {
            HandedOut { expiries: &expiries, slot: 1, ttl }.note(Moment(now).next_second(), 0);
        }
        assert_eq!((expiries.last(0, 60), expiries.last(1, 60)), (0, 1070));
    }

    #[test]
    fn copies_are_counted_by_all_writers_and_slots_that_are_none_by_nobody() {
        let expiries = Expiries::new(2);
        for writer in 0..20 {
            expiries.count(1, writer);
        }
        expiries.count(2, 0);
        assert_eq!([0, 1, 2].map(|slot| expiries.sent(slot)), [0, 20, 0]);
    }

    #[test]
    fn what_may_have_been_sent_counts_like_what_was_until_the_clock_is_set_back() {
        let expiries = Expiries::new(2);
        expiries.note(1, 1100);
        expiries.assume(1050);
        assert_eq!((expiries.last(0, 60), expiries.last(1, 20)), (1110, 1100));
        expiries.limit(1000, [(0, 60), (1, 20)].into_iter());
        assert_eq!((expiries.last(0, 60), expiries.last(1, 20)), (1060, 1020));
    }
}
