//! Clients that have been seen over TCP.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::snapshot::Moment;

//----------- Proven ---------------------------------------------------------

/// Clients that receive what is sent to their address, because a connection
/// has come about.
///
/// Connections write, UDP workers read, and neither waits: a client is noted
/// once a minute at most. Where a set is full, the one seen longest ago is
/// forgotten.
#[derive(Debug)]
pub(super) struct Proven {
    sets: Box<[Set]>,
}

impl Proven {
    /// Sets, a power of two. 1,024 with eight places each are 64 KiB: more
    /// than the connections that there are by default.
    const SETS: usize = 1024;

    /// How long a client counts as seen, in seconds. A resolver that is
    /// limited comes over TCP at once, and again after this time.
    const LIFETIME: u32 = 600;

    /// How long a client is not noted again, in seconds.
    const PAUSE: u32 = 60;

    /// Returns a table of nobody.
    pub(super) fn new() -> Self {
        Proven { sets: (0..Self::SETS).map(|_| Set::default()).collect() }
    }

    /// Notes that a client was seen.
    pub(super) fn note(&self, client: u64, now: Moment) {
        let (set, tag, now) = self.place(client, now);
        let ages = || set.places.iter().map(|place| (place, Seen::load(place)));
        let known = ages().find(|(_, seen)| seen.tag == tag);
        if known.as_ref().is_some_and(|(_, seen)| seen.age(now) < Self::PAUSE) {
            return;
        }
        let oldest = || ages().max_by_key(|(_, seen)| seen.age(now));
        if let Some((place, _)) = known.or_else(oldest) {
            place.store(Seen { tag, second: now }.pack(), Ordering::Relaxed);
        }
    }

    /// Says whether a client was seen lately.
    pub(super) fn contains(&self, client: u64, now: Moment) -> bool {
        let (set, tag, now) = self.place(client, now);
        let mut all = set.places.iter().map(Seen::load);
        all.any(|seen| seen.tag == tag && seen.age(now) < Self::LIFETIME)
    }

    fn place(&self, client: u64, now: Moment) -> (&Set, u32, u32) {
        let set = &self.sets[client as usize % Self::SETS];
        (set, (client >> 32) as u32, now.second() as u32)
    }
}

/// The places that a client's can be among: one line of the cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    places: [AtomicU64; 8],
}

/// What one word of the table says.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Half of the client's hash. Of the clients that were never seen, one in
    /// 500 million is taken for one that was.
    tag: u32,

    /// When it was seen, in seconds since the Unix epoch, as a serial number
    /// (RFC 1982): it holds beyond 2106.
    second: u32,
}

impl Seen {
    fn load(place: &AtomicU64) -> Self {
        let word = place.load(Ordering::Relaxed);
        Seen { tag: (word >> 32) as u32, second: word as u32 }
    }

    fn pack(self) -> u64 {
        u64::from(self.tag) << 32 | u64::from(self.second)
    }

    /// Returns how long ago it was, in seconds. What is ahead of a clock that
    /// was set back was very long ago.
    fn age(self, now: u32) -> u32 {
        now.wrapping_sub(self.second)
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(second: u64) -> Moment {
        Moment(second * 1000)
    }

    #[test]
    fn a_client_counts_as_seen_for_a_while() {
        let proven = Proven::new();
        assert!(!proven.contains(7 << 32, at(NOW)) && !proven.contains(0, at(NOW)));
        proven.note(7 << 32, at(NOW));
        assert!(proven.contains(7 << 32, at(NOW)) && proven.contains(7 << 32, at(NOW + 599)));
        assert!(!proven.contains(8 << 32, at(NOW)) && !proven.contains(7 << 32, at(NOW + 600)));
        proven.note(7 << 32, at(NOW + 300));
        assert!(proven.contains(7 << 32, at(NOW + 899)));
        assert!(!proven.contains(7 << 32, at(NOW - 1)), "the clock was set back");
    }

    #[test]
    fn the_one_seen_longest_ago_makes_room() {
        let proven = Proven::new();
        for client in 1..=9u64 {
            proven.note(client << 32, at(NOW + client));
        }
        let is_known = |client: u64| proven.contains(client << 32, at(NOW + 10));
        assert!(!is_known(1) && (2..=9).all(is_known));
    }
}
