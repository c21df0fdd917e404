//! Which objects values in memory are.

use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;

use super::pack::ObjectId;

//----------- Ids ------------------------------------------------------------

/// Which objects values in memory are.
///
/// Writing a value to find out would take longer than writing what changed.
#[derive(Debug)]
pub(super) struct Ids<T> {
    /// By the value's address, which is its own as long as it lives.
    known: FxHashMap<usize, (Weak<T>, ObjectId)>,

    /// How many there are when those that live no longer are forgotten.
    limit: usize,
}

impl<T> Ids<T> {
    /// Returns the object that a value is, if that is known.
    pub(super) fn find(&self, value: &Arc<T>) -> Option<ObjectId> {
        let (known, id) = self.known.get(&Arc::as_ptr(value).addr())?;
        // Another value may live where a dropped one did.
        known.upgrade().filter(|known| Arc::ptr_eq(known, value)).map(|_| *id)
    }

    /// Remembers which object a value is.
    pub(super) fn note(&mut self, value: &Arc<T>, id: ObjectId) {
        if self.known.len() >= self.limit {
            self.known.retain(|_, (value, _)| value.strong_count() > 0);
            self.limit = self.known.len() * 2 + 64;
        }
        self.known.insert(Arc::as_ptr(value).addr(), (Arc::downgrade(value), id));
    }
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Ids { known: FxHashMap::default(), limit: 0 }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_as_long_as_they_live_and_no_more_are_remembered() {
        let mut ids = Ids::default();
        let id = ObjectId::of(b"one");
        let value = Arc::new(1);
        ids.note(&value, id);
        for other in 0..10_000 {
            ids.note(&Arc::new(other), ObjectId::of(b"other"));
        }
        assert_eq!(ids.find(&value), Some(id));
        assert_eq!(ids.find(&Arc::new(1)), None);
        assert!(ids.known.len() < 200, "{}", ids.known.len());
    }
}
