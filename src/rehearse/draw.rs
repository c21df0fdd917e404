//! Chance that comes from a seed.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Draws numbers: the same ones for the same seed, in every release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    /// The seed.
    pub(super) seed: u64,
}

impl Draw {
    /// Returns a number from 0 to below a bound, which is at least 1.
    ///
    /// `what` and `number` tell one draw from all others.
    pub(super) fn below(self, what: &str, number: u64, bound: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.seed, number);
        hasher.write(what.as_bytes());
        hasher.finish() % bound.max(1)
    }
}
