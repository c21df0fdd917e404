//! The server's clock: seconds of the wall clock that do not jump while a
//! handover counts on them.
//!
//! The system's wall clock is read once, at the start. From then on time
//! passes by the monotonic clock, so that nothing that is done to the wall
//! clock makes a client network change over early, or go back. Once a second
//! [`Clock::check`] compares the two: a deviation of a second or more is a
//! step, which is counted and logged; and as long as no handover is under
//! way, when nothing depends on it, the clock follows the wall clock.
//!
//! What holds: within a run of the server the guarantee of the handover does
//! not depend on the wall clock. A handover that is under way when the wall
//! clock steps ends when it would have ended; `effective` times and those
//! that are logged are off by the step until then. Across a restart the wall
//! clock is believed, except in the middle of a handover: then time does not
//! begin before what was last published, and scheduled tables wait until the
//! two clocks agree again.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::snapshot::Moment;

/// Returns the time of the system's wall clock; before 1970 it is 1970.
pub fn wall() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(since.as_millis() as u64)
}

//----------- Clock ----------------------------------------------------------

/// Time as the server counts it. Reading it takes no lock.
#[derive(Debug)]
pub struct Clock {
    start: Instant,

    /// What the time was at `start`, in milliseconds since the Unix epoch.
    origin: AtomicI64,

    steps: AtomicU64,
}

impl Clock {
    /// The deviation from the wall clock that is a step, in milliseconds.
    ///
    /// Clocks that are adjusted smoothly deviate by less than a millisecond a
    /// second.
    pub const STEP: u64 = 1000;

    /// Starts the clock at a time.
    pub fn new(now: Moment) -> Self {
        Clock {
            start: Instant::now(),
            origin: AtomicI64::new(now.0 as i64),
            steps: AtomicU64::new(0),
        }
    }

    /// Returns the time.
    pub fn now(&self) -> Moment {
        let passed = self.start.elapsed().as_millis() as i64;
        Moment(self.origin.load(Ordering::Relaxed).saturating_add(passed).max(0) as u64)
    }

    /// Returns how far the wall clock is ahead, in milliseconds.
    pub fn deviation(&self, wall: Moment) -> i64 {
        wall.0 as i64 - self.now().0 as i64
    }

    /// Returns how many steps of the wall clock have been seen.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Compares with the wall clock, and follows it if that may be.
    ///
    /// `known` is the deviation that the last check left, in milliseconds;
    /// returns the one that this check leaves.
    pub fn check(&self, wall: Moment, known: i64, may_follow: bool) -> i64 {
        let deviation = self.deviation(wall);
        if deviation.abs_diff(known) >= Self::STEP {
            self.steps.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                "the system's clock stepped by {} ms; {}",
                deviation - known,
                if may_follow { "it is followed" } else { "a handover goes on by the old time" }
            );
        }
        if !may_follow {
            return deviation;
        }
        self.origin.fetch_add(deviation, Ordering::Relaxed);
        0
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_800_000_000_000;
    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_step_is_counted_once_and_followed_when_no_handover_is_under_way() {
        for wall in [NOON - HOUR, NOON + HOUR] {
            let clock = Clock::new(Moment(NOON));
            let mut known = 0;
            for _ in 0..3 {
                known = clock.check(Moment(wall), known, false);
                assert!(clock.now().0.abs_diff(NOON) < HOUR / 2, "it goes on by the old time");
            }
            assert_eq!(clock.steps(), 1);
            known = clock.check(Moment(wall), known, true);
            assert_eq!((known, clock.steps()), (0, 1));
            assert!(clock.now().0.abs_diff(wall) < HOUR / 2, "it follows");
        }
    }

    #[test]
    fn a_clock_that_is_adjusted_smoothly_does_not_step() {
        let clock = Clock::new(Moment(NOON));
        let mut known = 0;
        for second in 1..100 {
            known = clock.check(Moment(clock.now().0 + second % 7), known, second % 10 == 0);
        }
        assert_eq!(clock.steps(), 0);
    }
}
