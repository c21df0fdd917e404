//! Prebuilt answers: what follows the question, ready to be copied.
//!
//! A body is written once by the code that writes every other answer, when
//! its variant is asked for the first time, and holds for as long as its
//! version: it depends on nothing but the zone.

use std::sync::OnceLock;

use crate::geo::RegionSet;

//----------- Body -----------------------------------------------------------

/// The records of an answer in wire format, names compressed against the
/// question.
#[derive(Debug, Eq, PartialEq)]
pub struct Body {
    /// The records, those of the answer section first.
    pub octets: Box<[u8]>,

    /// How many of them answer.
    pub answers: u16,

    /// Where it may end, shortest first.
    pub cuts: Box<[Cut]>,

    /// The regions whose clients get it.
    pub same: RegionSet,

    /// The TTL of the records that answer, in seconds.
    pub ttl: u32,
}

/// A place where a body may end: behind the addresses of a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cut {
    /// How many octets come before.
    pub len: u16,

    /// How many additional records do.
    pub additionals: u16,
}

//----------- Bodies ---------------------------------------------------------

/// The bodies of a version, by the slots of its SRV variants.
#[derive(Debug, Default)]
pub struct Bodies {
    slots: Box<[OnceLock<Option<Box<Body>>>]>,
}

impl Bodies {
    /// Returns slots for bodies that are yet to be built.
    pub fn new(count: usize) -> Self {
        Bodies { slots: (0..count).map(|_| OnceLock::new()).collect() }
    }

    /// Returns the body of a slot, which is built if this is the first time;
    /// none where there can be none.
    pub fn get(&self, slot: u32, build: impl FnOnce() -> Option<Body>) -> Option<&Body> {
        self.slots.get(slot as usize)?.get_or_init(|| build().map(Box::new)).as_deref()
    }
}
