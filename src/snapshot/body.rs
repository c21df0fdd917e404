//! Prebuilt answers: what follows the question, ready to be copied.
//!
//! A body is written once, by the code that writes every other answer, when
//! what it answers is asked for the first time. It depends on nothing but its
//! zone, and lives as long: versions of a zone that differ in the region map
//! alone share their bodies, and a zone that nobody asks has none.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::answer::Cause;
use crate::geo::{RegionId, RegionSet};
use crate::wire::{Rcode, Rtype};

//----------- Body -----------------------------------------------------------

/// An answer's records in wire format, with what the header says of them.
#[derive(Debug)]
pub struct Body {
    /// The response code.
    pub rcode: Rcode,

    /// Whether the zone answers for the name asked for (AA).
    pub authoritative: bool,

    /// Why.
    pub cause: Cause,

    /// The records. Names are compressed against the last `known` octets of
    /// the name asked for, and point to where they are if that is all of it.
    pub octets: Box<[u8]>,

    /// How many octets of the name asked for every question has in common that
    /// gets this.
    pub known: u8,

    /// Where in the octets the pointers are that point elsewhere where the
    /// question is longer.
    pub pointers: Box<[u16]>,

    /// How many records answer, and how many are in the authority section.
    pub counts: [u16; 2],

    /// Where what the client needs ends.
    pub needed: Cut,

    /// Where each host's addresses end that it can do without, shortest first.
    pub optional: Box<[Cut]>,

    /// Where the serial of an SOA record is.
    pub serial_at: Option<u16>,

    /// The slot and the TTL, in seconds, of SRV records that answer.
    pub srv: Option<(u32, u32)>,
}

/// A place where a body may end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cut {
    /// How many octets come before.
    pub len: u16,

    /// How many additional records do.
    pub additionals: u16,
}

impl Body {
    /// Returns the longest part of it that fits into so many octets; none where
    /// not even that does which the client needs.
    pub fn cut(&self, space: usize) -> Option<Cut> {
        let mut cuts = self.optional.iter().rev().chain([&self.needed]);
        cuts.find(|cut| usize::from(cut.len) <= space).copied()
    }

    /// Says whether a client is told the same; the serial of the SOA record
    /// does not count. There is no telling where the two were written for
    /// different questions.
    pub fn agrees(&self, other: &Body) -> Option<bool> {
        if std::ptr::eq(self, other) {
            return Some(true);
        }
        let is_same = self.rcode == other.rcode
            && self.authoritative == other.authoritative
            && self.counts == other.counts
            && self.needed == other.needed
            && self.optional == other.optional
            && self.serial_at == other.serial_at
            && self.without_serial() == other.without_serial();
        (self.known == other.known).then_some(is_same)
    }

    /// Returns the octets before and behind the serial of an SOA record.
    fn without_serial(&self) -> (&[u8], &[u8]) {
        let serial_at = self.serial_at.map_or(self.octets.len(), usize::from);
        let (before, rest) = self.octets.split_at(serial_at);
        (before, rest.get(4..).unwrap_or_default())
    }

    /// Returns about how much memory it takes, in octets.
    fn memory(&self) -> usize {
        size_of::<Link>()
            + self.octets.len()
            + size_of_val(&*self.pointers)
            + size_of_val(&*self.optional)
    }
}

//----------- Bodies ---------------------------------------------------------

/// The bodies of a zone, as far as they have been asked for.
#[derive(Debug, Default)]
pub struct Bodies {
    lists: OnceLock<Box<[List]>>,
}

/// The bodies of a variant: one, but for those of aliases, whose answers depend
/// on the type asked for, and where hosts that records name are steered apart
/// from them.
type List = OnceLock<Box<Link>>;

/// A body that is kept, or that there can be none.
#[derive(Debug)]
pub struct Link {
    key: BodyKey,

    /// None where there can be none.
    body: Option<Body>,

    next: List,
}

/// Whose a body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyKey {
    /// The type asked for.
    pub qtype: Rtype,

    /// The regions whose clients get it.
    pub same: RegionSet,
}

impl Bodies {
    /// The most bodies of a variant. An alias is asked for A, AAAA, SRV and
    /// NAPTR; whoever asks it for all types there are gets the rest at the
    /// price of an answer that is not prebuilt.
    const LINKS_MAX: usize = 8;

    /// The most memory that the bodies of all zones take, in octets: more than
    /// 100,000 answers with three endpoints each. What is asked for beyond it
    /// is not prebuilt.
    const MEMORY_MAX: usize = 64 << 20;

    /// Returns what is kept in a slot for clients of a region who ask for a type.
    #[inline]
    pub fn get(&self, slot: usize, whose: (Rtype, RegionId)) -> Option<&Link> {
        Self::walk(self.lists.get()?.get(slot)?, whose).ok()
    }

    /// Keeps the body that is built in a slot, out of `count`, unless another
    /// worker has just done so, or there are enough; returns what is kept.
    #[cold]
    pub fn add(
        &self,
        (slot, count): (usize, usize),
        whose: (Rtype, RegionId),
        build: impl FnOnce() -> (BodyKey, Option<Body>),
    ) -> Option<&Link> {
        let lists = self.lists.get_or_init(|| (0..count).map(|_| List::new()).collect());
        let list = match Self::walk(lists.get(slot)?, whose) {
            Ok(link) => return Some(link),
            Err(list) => list,
        };
        if list.get().is_some() || MEMORY.load(Ordering::Relaxed) > Self::MEMORY_MAX {
            return None;
        }
        let (key, body) = build();
        let link = list.get_or_init(|| {
            MEMORY.fetch_add(body.as_ref().map_or(0, Body::memory), Ordering::Relaxed);
            Box::new(Link { key, body, next: List::new() })
        });
        // That of another worker may be for others.
        Some(&**link).filter(|link| link.key == key)
    }

    /// Returns whose link it is, or where it would be added.
    #[inline]
    fn walk(mut list: &List, (qtype, region): (Rtype, RegionId)) -> Result<&Link, &List> {
        for _ in 0..Self::LINKS_MAX {
            let Some(link) = list.get() else { break };
            if link.key.qtype == qtype && link.key.same.contains(region) {
                return Ok(link);
            }
            list = &link.next;
        }
        Err(list)
    }
}

impl Link {
    /// Returns the body, with whose it is; there is none where there can be none.
    #[inline]
    pub fn content(&self) -> Option<(&BodyKey, &Body)> {
        self.body.as_ref().map(|body| (&self.key, body))
    }
}

/// What all bodies of the process take, in octets.
static MEMORY: AtomicUsize = AtomicUsize::new(0);

impl Drop for Link {
    fn drop(&mut self) {
        MEMORY.fetch_sub(self.body.as_ref().map_or(0, Body::memory), Ordering::Relaxed);
    }
}

/// A copy of a zone begins without bodies, and is equal to it all the same.
impl Clone for Bodies {
    fn clone(&self) -> Self {
        Bodies::default()
    }
}

impl PartialEq for Bodies {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Bodies {}
