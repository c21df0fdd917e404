//! Buckets of tokens, in a table of fixed size.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::snapshot::{Moment, Rate};

//----------- Buckets --------------------------------------------------------

/// How much clients may still be sent.
///
/// A bucket is the time at which it is full again (see [`Rate`]), so that one
/// that nobody takes from fills up without being touched, and one that was
/// full a while ago need not be remembered: it is as good as a new one. That
/// decides who makes room in a set that has none: the bucket that is, or will
/// be, full first. So whoever is over a rate keeps its place however many
/// others come, and whoever loses its place gets a full bucket, not an empty
/// one.
///
/// All workers share the table, and none waits for another. A bucket is
/// written when a token is taken, which its rate bounds, and not when there is
/// none: under a flood its line is only read. Where two workers want a place
/// for two clients in the same instant, one may count a token for the other.
#[derive(Debug)]
pub(super) struct Buckets {
    sets: Box<[Set]>,
}

impl Buckets {
    /// Sets, a power of two. 4,096 with four buckets each are 256 KiB: as many
    /// clients as are over a rate at the same time have never been seen, and
    /// nobody is hurt by one more.
    const SETS: usize = 4096;

    /// Returns buckets that are full.
    pub(super) fn new() -> Self {
        Buckets { sets: (0..Self::SETS).map(|_| Set::default()).collect() }
    }

    /// Takes a token from a client's bucket; returns false where it is empty.
    pub(super) fn take(&self, client: u64, rate: Rate, now: Moment) -> bool {
        let now = now.0.saturating_mul(1_000_000);
        let set = &self.sets[client as usize % Self::SETS];
        set.bucket(client).take(rate, now)
    }
}

/// The buckets that a client's can be among: one line of the cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    buckets: [Bucket; 4],
}

impl Set {
    /// Returns the bucket of a client.
    fn bucket(&self, client: u64) -> &Bucket {
        let found = self.buckets.iter().find(|one| one.client.load(Ordering::Relaxed) == client);
        found.unwrap_or_else(|| {
            let [first, others @ ..] = &self.buckets;
            let place = others.iter().fold(first, |a, b| if b.full() < a.full() { b } else { a });
            place.client.store(client, Ordering::Relaxed);
            place.full.store(0, Ordering::Relaxed);
            place
        })
    }
}

/// The bucket of a client.
#[derive(Debug, Default)]
struct Bucket {
    /// Whose it is: a hash, of which one in 2^64 belongs to somebody else too.
    client: AtomicU64,

    /// When it is full, in nanoseconds since the Unix epoch.
    full: AtomicU64,
}

impl Bucket {
    fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Takes a token, `now` in nanoseconds since the Unix epoch.
    fn take(&self, rate: Rate, now: u64) -> bool {
        let empty = now.saturating_add(rate.burst);
        let mut full = self.full();
        loop {
            // No bucket is emptier than empty, unless the clock was set back
            // or the burst was shortened: that must not be held against it.
            let taken = full.clamp(now, empty).saturating_add(rate.interval);
            if taken > empty {
                if full > empty {
                    self.full.store(empty, Ordering::Relaxed);
                }
                return false;
            }
            match self.full.compare_exchange_weak(full, taken, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(other) => full = other,
            }
        }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: u32, burst: u64) -> Rate {
        Rate::new(per_second, Duration::from_secs(burst)).unwrap()
    }

    /// Counts the tokens that a client gets of those it asks for.
    fn take(buckets: &Buckets, client: u64, rate: Rate, now: u64, count: usize) -> usize {
        (0..count).filter(|_| buckets.take(client, rate, Moment(now))).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (buckets, rate) = (Buckets::new(), rate(50, 5));
        let now = 1_800_000_000_000;
        assert_eq!(take(&buckets, 7, rate, now, 1000), 250);
        assert_eq!(take(&buckets, 7, rate, now + 19, 1000), 0);
        assert_eq!(take(&buckets, 7, rate, now + 20, 1000), 1);
        assert_eq!(take(&buckets, 7, rate, now + 1020, 1000), 50);
        assert_eq!(take(&buckets, 7, rate, now + 3_600_000, 1000), 250, "it is full, no fuller");
        assert_eq!(take(&buckets, 8, rate, now, 1000), 250, "another client has its own");
    }

    #[test]
    fn a_clock_that_was_set_back_empties_a_bucket_and_no_more() {
        let (buckets, rate) = (Buckets::new(), rate(50, 5));
        let now = 1_800_000_000_000;
        take(&buckets, 7, rate, now, 1000);
        let back = now - 3_600_000;
        assert_eq!(take(&buckets, 7, rate, back, 1000), 0);
        assert_eq!(take(&buckets, 7, rate, back + 1000, 1000), 50);
    }

    #[test]
    fn workers_do_not_get_more_together_than_one_would() {
        let (buckets, rate) = (Buckets::new(), rate(1000, 2));
        let taken: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| take(&buckets, 7, rate, 1_800_000_000_000, 2000)))
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(taken, 2000);
    }

    #[test]
    fn whoever_is_over_its_rate_stays_so_however_many_others_come() {
        let (buckets, rate) = (Buckets::new(), rate(50, 5));
        let now = 1_800_000_000_000;
        assert_eq!(take(&buckets, 7, rate, now, 1000), 250);
        for other in 0..1_000_000u64 {
            let other = other.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert!(buckets.take(other, rate, Moment(now)), "a full table limits nobody");
        }
        assert_eq!(take(&buckets, 7, rate, now, 1000), 0);
    }

    #[test]
    fn a_set_of_others_who_are_over_their_rates_limits_nobody_else() {
        let (buckets, rate) = (Buckets::new(), rate(50, 5));
        let now = 1_800_000_000_000;
        let same_set = |number: u64| 7 + number * Buckets::SETS as u64;
        for number in 0..4 {
            take(&buckets, same_set(number), rate, now, 1000);
        }
        assert!(buckets.take(same_set(4), rate, Moment(now)));
        // One of them was forgotten for it, and the others were not.
        let left = (0..4).filter(|number| take(&buckets, same_set(*number), rate, now, 1) == 0);
        assert!(left.count() >= 3);
    }

    proptest! {
        #[test]
        fn within_any_span_there_is_a_burst_and_the_rate(
            per_second in 1u32..2000,
            burst in 1u64..10,
            pauses in prop::collection::vec((0u64..400, 1usize..200), 1..60),
        ) {
            let (buckets, rate) = (Buckets::new(), rate(per_second, burst));
            let start = 1_800_000_000_000;
            let mut now = start;
            let mut taken = 0;
            for (pause, count) in pauses {
                now += pause;
                taken += take(&buckets, 7, rate, now, count) as u64;
                let most = u64::from(per_second) * burst
                    + u64::from(per_second) * (now - start) / 1000;
                prop_assert!(taken <= most + 1, "{taken} of {most}");
            }
        }

        #[test]
        fn a_client_below_its_rate_always_passes(
            per_second in 1u32..1000,
            seconds in prop::collection::vec(0u64..1000, 1..40),
        ) {
            let (buckets, rate) = (Buckets::new(), rate(per_second, 1));
            for (second, offset) in (0..).zip(seconds) {
                let now = 1_800_000_000_000 + second * 2000 + offset;
                let count = per_second as usize;
                prop_assert_eq!(take(&buckets, 7, rate, now, count), count);
            }
        }
    }
}
